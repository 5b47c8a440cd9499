//! Answers that are kept for whoever asks again.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// The answer to one request with a key, or its place while the request is under way.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "answer")]
pub struct Model {
    /// Who asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// The client's name for the request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// A keyed digest of the request.
    pub fingerprint: String,
    /// HTTP status; null while the request is under way.
    pub status: Option<i16>,
    /// What the body is.
    pub media_type: Option<String>,
    /// What was answered.
    pub body: Option<String>,
    /// When the key was taken.
    pub created_at: Millis,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
