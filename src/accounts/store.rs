//! Queries of accounts and their resets.

use entity::{AccountId, Millis, account, password_reset};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
    sea_query::{LikeExpr, OnConflict},
};

use super::{
    NewAccount,
    search::{Order, Search},
};
use crate::{
    db::{self, Tx},
    error::{Error, ErrorCode, Result},
    http::page::Page,
    people::search_name,
};

/// A new account; the database refuses an e-mail that is taken.
pub(super) async fn insert(tx: &Tx, new: &NewAccount, password_hash: String, now: Millis) -> Result<account::Model> {
    let row = account::ActiveModel {
        email: Set(Some(new.email.address().to_owned())),
        email_key: Set(Some(new.email.key().to_owned())),
        password_hash: Set(Some(password_hash)),
        last_name: Set(new.last_name.clone()),
        first_name: Set(new.first_name.clone()),
        search_name: Set(search_name(&new.last_name, &new.first_name)),
        gender: Set(new.gender),
        birth_date: Set(new.birth_date.clone()),
        image: Set(None),
        staff: Set(false),
        hidden: Set(false),
        epoch: Set(0),
        seen_at: Set(None),
        created_at: Set(now),
        deleted_at: Set(None),
        ..Default::default()
    };
    let inserted = account::Entity::insert(row).exec_with_returning(&**tx).await;
    inserted.map_err(|error| match db::unique(error, ErrorCode::EmailTaken) {
        Error::Refused(refusal) if refusal.code == ErrorCode::EmailTaken => Error::field("email", refusal.code),
        other => other,
    })
}

/// The living account with this e-mail, in the form in which e-mails are compared.
pub(super) async fn find(connection: &impl ConnectionTrait, email_key: &str) -> Result<Option<account::Model>> {
    Ok(account::Entity::find().filter(account::Column::EmailKey.eq(email_key)).one(connection).await?)
}

/// Writes what `change` sets.
pub(super) async fn update(tx: &Tx, change: account::ActiveModel) -> Result<account::Model> {
    Ok(account::Entity::update(change).exec(&**tx).await?)
}

pub(super) async fn update_password(tx: &Tx, account: account::Model, password_hash: String) -> Result<()> {
    let mut change = account.into_active_model();
    change.password_hash = Set(Some(password_hash));
    update(tx, change).await.map(|_| ())
}

/// Leaves nothing of the person in the row. A birth date can't be null and a real one would lie: it becomes empty.
pub(super) async fn anonymise(tx: &Tx, id: AccountId, now: Millis) -> Result<()> {
    let change = account::ActiveModel {
        id: Set(id),
        email: Set(None),
        email_key: Set(None),
        password_hash: Set(None),
        last_name: Set(String::new()),
        first_name: Set(String::new()),
        search_name: Set(String::new()),
        gender: Set(0),
        birth_date: Set(String::new()),
        image: Set(None),
        staff: Set(false),
        hidden: Set(true),
        seen_at: Set(None),
        deleted_at: Set(Some(now)),
        ..Default::default()
    };
    update(tx, change).await.map(|_| ())
}

/// One page of those whom `search` finds, and how many there are.
pub(super) async fn list(
    connection: &impl ConnectionTrait,
    search: &Search,
    page: &Page,
) -> Result<(Vec<account::Model>, u64)> {
    let found = matching(search);
    let total = found.clone().count(connection).await?;
    let ordered = match search.order {
        Order::Name => found.order_by_asc(account::Column::SearchName),
        // Boards are read by study, in their own order.
        Order::Point(..) | Order::Id => found,
    };
    let rows = ordered.order_by_asc(account::Column::Id).offset(page.offset()).limit(page.limit());
    Ok((rows.all(connection).await?, total))
}

fn matching(search: &Search) -> Select<account::Entity> {
    let mut found = account::Entity::find().filter(account::Column::DeletedAt.is_null());
    if let Some(keyword) = &search.keyword {
        found = found.filter(named(keyword));
    }
    found
}

/// Those whose name has `keyword` in it, or whose e-mail it is.
pub(super) fn named(keyword: &str) -> Condition {
    let pattern = LikeExpr::new(db::like_contains(keyword)).escape('\\');
    Condition::any().add(account::Column::SearchName.like(pattern)).add(account::Column::EmailKey.eq(keyword))
}

/// The account's one live reset: an older one dies.
pub(super) async fn insert_reset(tx: &Tx, account: AccountId, token_hash: String, expires_at: Millis) -> Result<()> {
    let row = password_reset::ActiveModel {
        account_id: Set(account),
        token_hash: Set(token_hash),
        expires_at: Set(expires_at),
    };
    let replace = OnConflict::column(password_reset::Column::AccountId)
        .update_columns([password_reset::Column::TokenHash, password_reset::Column::ExpiresAt])
        .to_owned();
    password_reset::Entity::insert(row).on_conflict(replace).exec_without_returning(&**tx).await?;
    Ok(())
}

fn live_reset(account: AccountId, token_hash: &str, now: Millis) -> Condition {
    Condition::all()
        .add(password_reset::Column::AccountId.eq(account))
        .add(password_reset::Column::TokenHash.eq(token_hash))
        .add(password_reset::Column::ExpiresAt.gt(now))
}

/// Whether this reset could be used now.
pub(super) async fn has_reset(
    connection: &impl ConnectionTrait,
    account: AccountId,
    token_hash: &str,
    now: Millis,
) -> Result<bool> {
    Ok(password_reset::Entity::find().filter(live_reset(account, token_hash, now)).one(connection).await?.is_some())
}

/// Uses this reset up; false if it is dead or somebody else was quicker.
pub(super) async fn delete_reset(tx: &Tx, account: AccountId, token_hash: &str, now: Millis) -> Result<bool> {
    let used = password_reset::Entity::delete_many().filter(live_reset(account, token_hash, now)).exec(&**tx).await?;
    Ok(used.rows_affected == 1)
}

/// Whatever reset the account has dies.
pub(super) async fn delete_resets(tx: &Tx, account: AccountId) -> Result<()> {
    password_reset::Entity::delete_by_id(account).exec(&**tx).await?;
    Ok(())
}
