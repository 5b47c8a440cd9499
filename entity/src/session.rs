//! Signed-in devices.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One session: a token is alive as long as its session has a row here.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// What the token names.
    #[sea_orm(primary_key)]
    pub id: SessionId,
    /// Whose it is.
    pub account_id: AccountId,
    /// The account's epoch at sign-in.
    pub epoch: i32,
    /// When it began.
    pub created_at: Millis,
    /// The greatest age that refreshing can reach.
    pub expires_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
