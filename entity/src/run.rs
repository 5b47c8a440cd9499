//! Started timers.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One run: a timer with the plan that it was started with. At most one of an account is open.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "run")]
pub struct Model {
    /// Never used again once given.
    #[sea_orm(primary_key)]
    pub id: RunId,
    /// Whose.
    pub account_id: AccountId,
    /// Minutes of work and breaks together; 0 is open end.
    pub total_time: i32,
    /// Minutes of one work phase; 0 is one long phase.
    pub work_time: i32,
    /// Minutes of one break.
    pub break_time: i32,
    /// When it was started.
    pub started_at: Millis,
    /// Since when it is paused.
    pub paused_at: Option<Millis>,
    /// When it ended; an open run has none.
    pub ended_at: Option<Millis>,
    /// Why it ended, as the wire says it.
    pub end_reason: Option<String>,
    /// Up to when its segments are written.
    pub settled_to: Millis,
    /// When something must be written next; none while paused or ended.
    pub due_at: Option<Millis>,
    /// When its owner was last known to be there.
    pub seen_at: Millis,
    /// The owner's last commands with an id, also for earlier runs, one a line: repeating them changes nothing.
    pub last_command: Option<String>,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
