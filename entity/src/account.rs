//! People's accounts.

use sea_orm::entity::prelude::*;

use crate::id::*;

/// One account. A deleted one keeps its row, anonymised, because the ledger refers to it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    /// Never used again once given.
    #[sea_orm(primary_key)]
    pub id: AccountId,
    /// As the person writes it; `None` once deleted.
    pub email: Option<String>,
    /// The e-mail lower-cased: unique, so that the database judges duplicates.
    pub email_key: Option<String>,
    /// An argon2id hash in PHC form; `None` once deleted.
    pub password_hash: Option<String>,
    /// Family name.
    pub last_name: String,
    /// Given name.
    pub first_name: String,
    /// Both orders of the name, lower-cased, as `accounts::names` makes it: what a keyword is looked for in.
    pub search_name: String,
    /// 0 man, 1 woman.
    pub gender: i16,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// Address of a picture.
    pub image: Option<String>,
    /// May use the operator's routes.
    pub staff: bool,
    /// Is left out of boards.
    pub hidden: bool,
    /// Lets friends see the statistics.
    pub share_study: bool,
    /// Raised whenever every session ends; a session of an older epoch is dead.
    pub epoch: i32,
    /// When the last device was lost; `None` before the first visit.
    pub seen_at: Option<Millis>,
    /// When the account was made.
    pub created_at: Millis,
    /// When it was deleted.
    pub deleted_at: Option<Millis>,
}

/// No relation is declared: every join is written where it is needed.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
