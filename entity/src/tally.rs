//! How many stand where on a board.

use sea_orm::entity::prelude::*;

/// Listed scores in one bucket of points of one window, as far as changes are folded in.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tally")]
pub struct Model {
    /// As in `score`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub period: i16,
    /// As in `score`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_day: i32,
    /// A range of points, as `study::buckets` has it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i32,
    /// How many.
    pub accounts: i64,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
