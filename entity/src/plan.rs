//! Time settings.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// The plan of an account: how long to study, in which cycle.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plan")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// Minutes of work and breaks together; 0 is open end.
    pub total_time: i32,
    /// Minutes of one work phase; 0 is one long phase.
    pub work_time: i32,
    /// Minutes of one break.
    pub break_time: i32,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
