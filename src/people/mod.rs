//! What anybody may see of somebody, and how accounts are found and locked.
//!
//! Promises one spelling of a name, one rule for e-mails, and one order in which accounts are locked. What
//! people do is the business of the features above.

pub mod names;

use std::collections::{BTreeMap, HashMap};

use entity::{AccountId, Millis, account};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::CaseStatement,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::EmailDisplay,
    db::{self, Db, Tx},
    error::{ErrorCode, Result},
    realtime::protocol::events::PersonView,
    runs::State,
};

pub use names::{full_name, masked, search_name};

/// A person as REST lists them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct PublicView {
    #[schema(example = 7)]
    pub id: i64,
    #[schema(example = "김")]
    pub last_name: String,
    #[schema(example = "수미")]
    pub first_name: String,
    #[schema(example = "김수미")]
    pub name: String,
    /// Whole for oneself and friends; for others as the operator says.
    #[schema(required, example = "s***i@e***.com")]
    pub email: Option<String>,
    #[schema(required)]
    pub image: Option<String>,
    /// 1 idle, 2 studying, 3 break, 4 paused.
    #[schema(minimum = 1, maximum = 4)]
    pub current_state: u8,
}

/// How much of an e-mail a viewer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    /// Oneself or a friend: whole.
    Close,
    /// Anybody else: as the configuration says.
    Stranger(EmailDisplay),
}

/// `account` as REST lists it, while it does what `state` says.
pub fn public(account: &account::Model, closeness: Closeness, state: State) -> PublicView {
    let email = account.email.as_deref().map(|email| match closeness {
        Closeness::Close | Closeness::Stranger(EmailDisplay::Full) => email.to_owned(),
        Closeness::Stranger(EmailDisplay::Masked) => masked(email),
    });
    PublicView {
        id: account.id.0,
        last_name: account.last_name.clone(),
        first_name: account.first_name.clone(),
        name: full_name(&account.last_name, &account.first_name),
        email,
        image: account.image.clone(),
        current_state: state.code(),
    }
}

/// As much of an account as others see of it.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Face {
    /// Whose it is.
    pub id: AccountId,
    /// Family name.
    pub last_name: String,
    /// Given name.
    pub first_name: String,
    /// Address of a picture.
    pub image: Option<String>,
    /// When the last device was lost.
    pub seen_at: Option<Millis>,
}

impl From<&account::Model> for Face {
    fn from(account: &account::Model) -> Self {
        Self {
            id: account.id,
            last_name: account.last_name.clone(),
            first_name: account.first_name.clone(),
            image: account.image.clone(),
            seen_at: account.seen_at,
        }
    }
}

/// Somebody as the socket tells it, who does what `state` says.
pub fn person(face: Face, state: State) -> PersonView {
    PersonView {
        id: face.id.0,
        name: full_name(&face.last_name, &face.first_name),
        last_name: face.last_name,
        first_name: face.first_name,
        image: face.image,
        current_state: state.code(),
        state: state.as_str(),
    }
}

/// The living account `id`.
pub async fn get(connection: &impl ConnectionTrait, id: AccountId) -> Result<account::Model> {
    let found = account::Entity::find_by_id(id).filter(account::Column::DeletedAt.is_null()).one(connection).await?;
    Ok(found.ok_or(ErrorCode::AccountNotFound)?)
}

/// Those of `ids` that live, by id.
pub async fn list(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = AccountId>,
) -> Result<HashMap<AccountId, account::Model>> {
    let ids: Vec<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = account::Entity::find()
        .filter(db::among(connection, account::Column::Id, ids))
        .filter(account::Column::DeletedAt.is_null())
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Locks the living accounts among `ids` until `tx` ends, always in ascending order, so that no two can wait for each
/// other. Whoever says something in a user's channel holds that user's lock.
pub async fn lock(tx: &Tx, ids: impl IntoIterator<Item = AccountId>) -> Result<HashMap<AccountId, account::Model>> {
    let ids: Vec<_> = ids.into_iter().collect();
    let rows = account::Entity::find()
        .filter(db::among(&**tx, account::Column::Id, ids))
        .filter(account::Column::DeletedAt.is_null())
        .order_by_asc(account::Column::Id)
        .lock_exclusive()
        .all(&**tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Locks one account, which must live.
pub async fn lock_one(tx: &Tx, id: AccountId) -> Result<account::Model> {
    Ok(lock(tx, [id]).await?.remove(&id).ok_or(ErrorCode::AccountNotFound)?)
}

/// Notes when the last device of each account was lost.
pub async fn seen(db: &Db, lost: impl IntoIterator<Item = (AccountId, Millis)>) -> Result<()> {
    let lost: BTreeMap<_, _> = lost.into_iter().collect();
    if lost.is_empty() {
        return Ok(());
    }
    let alone = db.alone().await?;
    // In the order in which everybody locks, so that no two can wait for each other.
    let those = account::Entity::find()
        .select_only()
        .column(account::Column::Id)
        .filter(db::among(&*alone, account::Column::Id, lost.keys().copied()))
        .order_by_asc(account::Column::Id)
        .lock_exclusive()
        .into_query();
    let at = lost.into_iter().fold(CaseStatement::new(), |case, (id, at)| case.case(account::Column::Id.eq(id), at.0));
    account::Entity::update_many()
        .col_expr(account::Column::SeenAt, at.into())
        .filter(account::Column::Id.in_subquery(those))
        .exec(&*alone)
        .await?;
    Ok(())
}

/// When those of `ids` were last seen who have been here.
pub async fn list_seen(connection: &impl ConnectionTrait, ids: Vec<AccountId>) -> Result<HashMap<AccountId, Millis>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let seen = account::Entity::find()
        .select_only()
        .columns([account::Column::Id, account::Column::SeenAt])
        .filter(db::among(connection, account::Column::Id, ids))
        .filter(account::Column::SeenAt.is_not_null())
        .into_tuple::<(AccountId, Millis)>()
        .all(connection)
        .await?;
    Ok(seen.into_iter().collect())
}
