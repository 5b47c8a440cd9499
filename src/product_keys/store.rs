//! Queries on product keys. They know digests only.

use std::collections::HashSet;

use entity::{AccountId, Millis, product_key};
use product_key::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    UpdateMany,
    sea_query::{Expr, OnConflict},
};

use crate::{db::Tx, error::Result, http::page::Span};

/// Nobody.
const NOBODY: Option<AccountId> = None;

pub(super) async fn find(connection: &impl ConnectionTrait, hash: &str) -> Result<Option<Model>> {
    Ok(Entity::find().filter(Column::KeyHash.eq(hash)).one(connection).await?)
}

pub(super) async fn list(connection: &impl ConnectionTrait, page: Span) -> Result<(Vec<Model>, u64)> {
    let total = Entity::find().count(connection).await?;
    let rows = Entity::find().order_by_asc(Column::Id).offset(page.offset).limit(page.limit).all(connection).await?;
    Ok((rows, total))
}

/// Locks the key with `hash` and the one that `account` holds, always in ascending order: two accounts that move to
/// each other's keys would otherwise wait for each other.
pub(super) async fn lock(tx: &Tx, account: AccountId, hash: &str) -> Result<Vec<Model>> {
    let involved = Condition::any().add(Column::AccountId.eq(account)).add(Column::KeyHash.eq(hash));
    Ok(Entity::find().filter(involved).order_by_asc(Column::Id).lock_exclusive().all(&**tx).await?)
}

/// Gives the free key with `hash` to `account`; false if there was none.
pub(super) async fn claim(tx: &Tx, account: AccountId, hash: &str, now: Millis) -> Result<bool> {
    let claimed = held_by(Some(account), Some(now))
        .filter(Column::KeyHash.eq(hash))
        .filter(Column::AccountId.is_null())
        .exec(&**tx)
        .await?;
    Ok(claimed.rows_affected == 1)
}

/// Frees what `account` holds.
pub(super) async fn release(tx: &Tx, account: AccountId) -> Result<()> {
    held_by(NOBODY, None).filter(Column::AccountId.eq(account)).exec(&**tx).await?;
    Ok(())
}

/// Frees what `account` holds unless it is the key with `hash`, which is then found in use.
pub(super) async fn release_others(tx: &Tx, account: AccountId, hash: &str) -> Result<()> {
    let others = held_by(NOBODY, None).filter(Column::AccountId.eq(account)).filter(Column::KeyHash.ne(hash));
    others.exec(&**tx).await?;
    Ok(())
}

fn held_by(account: Option<AccountId>, since: Option<Millis>) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::AccountId, Expr::value(account))
        .col_expr(Column::RegisteredAt, Expr::value(since))
}

/// Adds free keys. Answers with the digests that were new; those that exist are left as they are.
pub(super) async fn insert_new(tx: &Tx, hashes: &[String], now: Millis) -> Result<HashSet<String>> {
    let rows = hashes.iter().map(|hash| ActiveModel {
        key_hash: Set(hash.clone()),
        account_id: Set(None),
        created_at: Set(now),
        registered_at: Set(None),
        ..Default::default()
    });
    let known = OnConflict::column(Column::KeyHash).do_nothing().to_owned();
    let inserted = Entity::insert_many(rows).on_conflict(known).exec_with_returning(&**tx).await?;
    Ok(inserted.into_iter().map(|row| row.key_hash).collect())
}

pub(super) async fn delete(tx: &Tx, hash: &str) -> Result<Option<Model>> {
    let deleted = Entity::delete_many().filter(Column::KeyHash.eq(hash)).exec_with_returning(&**tx).await?;
    Ok(deleted.into_iter().next())
}
