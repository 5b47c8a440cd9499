//! What the ledger comes to, day by day.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// The work of one account on one day: a cache of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "day_total")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// Days since 1970-01-01 in the zone of the board.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i32,
    /// Milliseconds of work.
    pub work_ms: i64,
    /// Points before the cap of a day.
    pub points: i32,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
