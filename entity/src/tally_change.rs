//! What is still to be added to tallies.

use sea_orm::entity::prelude::*;

/// A change of one tally: written instead of the tally itself, whose row everybody would wait for.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tally_change")]
pub struct Model {
    /// In the order of writing.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// As in `tally`.
    pub period: i16,
    /// As in `tally`.
    pub first_day: i32,
    /// As in `tally`.
    pub bucket: i32,
    /// How many more, or fewer.
    pub change: i64,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
