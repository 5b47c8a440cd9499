//! Keys printed on devices.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One product key. The key itself is never stored.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product_key")]
pub struct Model {
    /// For the operator.
    #[sea_orm(primary_key)]
    pub id: ProductKeyId,
    /// HMAC-SHA-256 of the canonical key, in hexadecimal.
    pub key_hash: String,
    /// Who registered it; one key an account.
    pub account_id: Option<AccountId>,
    /// When it was made.
    pub created_at: Millis,
    /// When its holder registered it.
    pub registered_at: Option<Millis>,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
