//! Lines of the ledger: pure arithmetic over stretches of time and the board's zone.

use entity::{AccountId, Millis, RoomId, RunId};

/// A stretch of one phase of one run, uninterrupted by a pause: what the timer hands over to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Of which run.
    pub run: RunId,
    /// Whose.
    pub account: AccountId,
    /// Where its owner sits.
    pub room: Option<RoomId>,
    /// Which phase of the run, from 0.
    pub phase: i64,
    /// Work earns points, breaks don't.
    pub is_work: bool,
    /// Since when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// Milliseconds of the phase that went before, pauses not counted: a minute begun before a pause ends after it.
    pub offset: i64,
}
