//! Product keys: a device carries one, an account registers it, and the device's owner is found by it.
//!
//! Promises that an account holds at most one key and a key belongs to at most one account, both judged by the
//! database; that a key is stored only as a keyed digest, so that neither a backup nor an operator's list gives one
//! away; and that it is shown once, when it is made. It writes no letters and changes no account.

pub mod key;
pub mod routes;
mod store;

use entity::{AccountId, product_key};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    clock,
    db::Tx,
    error::{ErrorCode, Result},
    http::page::Span,
    people,
};

pub use key::{Malformed, ProductKey};

/// Keys that one transaction adds: SQLite's one writer place must be free again soon for a server beside.
const BATCH: usize = 500;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It waits for an owner.
    Free,
    /// An account holds it.
    InUse,
    /// There is no such key.
    Unknown,
}

/// A key as the operator sees it: never the key itself.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct KeyView {
    pub id: i64,
    pub in_use: bool,
    #[schema(required)]
    pub account: Option<i64>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(required, format = DateTime)]
    pub registered_at: Option<String>,
}

fn view(row: &product_key::Model) -> KeyView {
    KeyView {
        id: row.id.0,
        in_use: row.account_id.is_some(),
        account: row.account_id.map(|account| account.0),
        created_at: clock::rfc3339(row.created_at),
        registered_at: row.registered_at.map(clock::rfc3339),
    }
}

/// Under which a key is stored. A stolen table is worthless without the installation's secret.
fn hash(app: &App, key: &ProductKey) -> String {
    app.auth.digest("product-key", key.expose())
}

/// Whether `key` can be registered.
pub async fn certify(app: &App, key: &ProductKey) -> Result<KeyState> {
    let found = store::find(&*app.db, &hash(app, key)).await?;
    Ok(match found.map(|row| row.account_id) {
        None => KeyState::Unknown,
        Some(None) => KeyState::Free,
        Some(Some(_)) => KeyState::InUse,
    })
}

/// Registers `key` for `account`; a key that it held before is free again.
pub async fn register(app: &App, account: AccountId, key: &ProductKey) -> Result<()> {
    let hash = hash(app, key);
    let tx = app.db.begin().await?;
    people::lock_one(&tx, account).await?;
    let known = store::lock(&tx, account, &hash).await?.iter().any(|row| row.key_hash == hash);
    store::release_others(&tx, account, &hash).await?;
    // One statement judges the race; leaving without a commit gives the old key back.
    if !store::claim(&tx, account, &hash, app.clock.now()).await? {
        let code = if known { ErrorCode::KeyInUse } else { ErrorCode::KeyNotFound };
        return Err(code.into());
    }
    tx.commit_quietly().await
}

/// Frees the key that `account` holds, if it does. The account's row must be locked by `tx`.
pub async fn release_in(tx: &Tx, account: AccountId) -> Result<()> {
    store::release(tx, account).await
}

/// Who holds `key`; nobody holds one that is free, unknown or malformed.
pub async fn holder(app: &App, key: &str) -> Result<Option<AccountId>> {
    let Ok(key) = ProductKey::parse(key) else { return Ok(None) };
    let found = store::find(&*app.db, &hash(app, &key)).await?;
    Ok(found.and_then(|row| row.account_id))
}

/// Makes `count` new keys. Nobody can see them again after this.
pub async fn generate(app: &App, count: usize) -> Result<Vec<ProductKey>> {
    let keys: Vec<_> = (0..count).map(|_| ProductKey::generate(rand::random())).collect();
    import(app, &keys).await?;
    Ok(keys)
}

/// Adds keys that devices carry already, and says for each whether it is new; a repeated one is new once. Importing
/// again what was imported changes nothing, so an import that was cut off is simply repeated.
pub async fn import(app: &App, keys: &[ProductKey]) -> Result<Vec<bool>> {
    let mut new = Vec::with_capacity(keys.len());
    for batch in keys.chunks(BATCH) {
        let hashes: Vec<_> = batch.iter().map(|key| hash(app, key)).collect();
        let tx = app.db.begin().await?;
        let mut inserted = store::insert_new(&tx, &hashes, app.clock.now()).await?;
        tx.commit_quietly().await?;
        new.extend(hashes.iter().map(|hash| inserted.remove(hash)));
    }
    Ok(new)
}

/// Keys in the order in which they were added, and how many there are.
pub async fn list(app: &App, page: Span) -> Result<(Vec<KeyView>, u64)> {
    let (rows, total) = store::list(&*app.db, page).await?;
    Ok((rows.iter().map(view).collect(), total))
}

/// Removes `key` for good, whoever holds it.
pub async fn revoke(app: &App, key: &ProductKey) -> Result<KeyView> {
    let tx = app.db.begin().await?;
    let row = store::delete(&tx, &hash(app, key)).await?.ok_or(ErrorCode::KeyNotFound)?;
    tx.commit_quietly().await?;
    Ok(view(&row))
}
