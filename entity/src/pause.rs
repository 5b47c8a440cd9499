//! Pauses that are over.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One pause of a run. The one that lasts is in the run itself.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pause")]
pub struct Model {
    /// Of which run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunId,
    /// Since when.
    #[sea_orm(primary_key, auto_increment = false)]
    pub from_at: Millis,
    /// Until when.
    pub to_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
