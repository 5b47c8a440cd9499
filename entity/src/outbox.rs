//! What was committed and is still to be said.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One message that waits to be relayed; the row goes once it is said.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    /// Order within a channel, and the key that keeps it single.
    #[sea_orm(primary_key)]
    pub id: OutboxId,
    /// The name of a channel for an event; none for a letter.
    pub channel: Option<String>,
    /// JSON: the event, or the letter.
    pub body: String,
    /// When the change happened.
    pub at: Millis,
    /// Not before this instant: a letter that failed waits.
    pub due_at: Millis,
    /// How often a letter has failed.
    pub attempts: i32,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
