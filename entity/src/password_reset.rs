//! Pending password resets.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// The one live reset of an account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_reset")]
pub struct Model {
    /// Whose password.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// SHA-256 of the mailed token, in hexadecimal.
    pub token_hash: String,
    /// When it dies.
    pub expires_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
