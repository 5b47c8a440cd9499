//! Friendships.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One friendship: an ordered pair, so that it exists once.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "friendship")]
pub struct Model {
    /// The smaller id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub low_id: AccountId,
    /// The greater id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub high_id: AccountId,
    /// Since when.
    pub created_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
