//! Friend requests that wait for an answer.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One request, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "friend_request")]
pub struct Model {
    /// Who asks.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sender_id: AccountId,
    /// Who is asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub receiver_id: AccountId,
    /// When.
    pub created_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
