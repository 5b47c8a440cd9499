//! What stands on boards.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// The points of one account in one window: a cache of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "score")]
pub struct Model {
    /// 0 day, 1 week, 2 month, 3 all.
    #[sea_orm(primary_key, auto_increment = false)]
    pub period: i16,
    /// The first day of the window; 0 for all time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_day: i32,
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// With at most 16 hours a day.
    pub points: i64,
    /// Whether it stands on the board: not if its owner is hidden or gone.
    pub listed: bool,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
