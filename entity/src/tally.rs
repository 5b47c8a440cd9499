//! How many there are: of scores in a range of points, of people and rooms in a range of ids.

use sea_orm::entity::prelude::*;

/// Rows of one bucket or block, as far as changes are folded in.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tally")]
pub struct Model {
    /// As in `score`, or a number that no period has, for another group.
    #[sea_orm(primary_key, auto_increment = false)]
    pub period: i16,
    /// As in `score`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_day: i32,
    /// A range of points or ids, as `tally::buckets` has it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i32,
    /// How many.
    pub accounts: i64,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
