//! Who sits in which room.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// A seat. The primary key says that an account has at most one.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "membership")]
pub struct Model {
    /// Who.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// Where.
    pub room_id: RoomId,
    /// What the member is working on, shown to the room.
    pub goal: Option<String>,
    /// Since when.
    pub entered_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
