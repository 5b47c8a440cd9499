//! The ledger.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One stretch of a phase: nothing in it is ever changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "segment")]
pub struct Model {
    /// In the order of writing.
    #[sea_orm(primary_key)]
    pub id: SegmentId,
    /// Of which run.
    pub run_id: RunId,
    /// Whose.
    pub account_id: AccountId,
    /// Where its owner sat when it was written.
    pub room_id: Option<RoomId>,
    /// Which phase of the run, from 0.
    pub phase: i64,
    /// 0 work, 1 break.
    pub kind: i16,
    /// 0 written by the timer, 1 a correction: its time and points are taken off.
    pub source: i16,
    /// Since when.
    pub from_at: Millis,
    /// Until when.
    pub to_at: Millis,
    /// Days since 1970-01-01 in the zone of the board.
    pub day: i32,
    /// Whole minutes of work that end in it; negative for a correction.
    pub points: i32,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
