//! What a connection's task is told by its outlet to do.

use super::protocol::{CloseReason, Frame};

/// The end of a connection, and whether its client may come back sooner than its own back-off says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why.
    pub reason: CloseReason,
    /// When to come back.
    pub reconnect_ms: Option<u32>,
}

/// What a connection's task has to do next.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be written, in order, where there is no wire.
    pub frames: Vec<Frame>,
    /// The user's room may be another one now.
    pub follow: bool,
    /// Say goodbye; what waits is not written any more, resuming brings it.
    pub closing: Option<Closing>,
}

/// What a connection's task is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// To say goodbye.
    Close(CloseReason),
    /// To look again which room the connection belongs to, and what it has to read anew.
    Look,
    /// The wire takes nothing: to wait until it does, and to flush. Until then nothing more is asked of a connection that
    /// has something to say itself.
    Stuck {
        /// Whether it has.
        own: bool,
    },
    /// To write what is queued: nobody else will.
    Write,
}
