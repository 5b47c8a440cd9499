//! Study rooms.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One room. A closed one keeps its row, because study segments refer to it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "room")]
pub struct Model {
    /// Never used again once given.
    #[sea_orm(primary_key)]
    pub id: RoomId,
    /// 1 to 100 characters.
    pub name: String,
    /// The name lower-cased: what a keyword is looked for in.
    pub search_name: String,
    /// 0 to 300 characters.
    pub description: String,
    /// An argon2id hash in PHC form, for a room with a password.
    pub password_hash: Option<String>,
    /// When it was made.
    pub created_at: Millis,
    /// When the last member left.
    pub closed_at: Option<Millis>,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
