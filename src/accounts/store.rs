//! Queries of accounts and their resets.

use entity::{AccountId, Millis, account, password_reset};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    Select,
    sea_query::{OnConflict, Order, SelectStatement},
};

use super::NewAccount;
use crate::{
    db::{self, Tx},
    error::{Error, ErrorCode, Result},
    grams,
    http::page::Span,
    people::search_name,
    study,
    tally::{self, Group, buckets::first_id},
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
    let account = inserted.map_err(|error| match db::unique(error, ErrorCode::EmailTaken) {
        Error::Refused(refusal) if refusal.code == ErrorCode::EmailTaken => Error::field("email", refusal.code),
        other => other,
    })?;
    enter(tx, [&account]).await?;
    Ok(account)
}

/// New accounts can be found, and count.
pub(super) async fn enter(tx: &Tx, accounts: impl IntoIterator<Item = &account::Model> + Clone) -> Result<()> {
    study::count_in(tx, accounts.clone().into_iter().map(|account| account.id)).await?;
    grams::PEOPLE.insert(tx, accounts.into_iter().map(|account| (account.id.0, account.search_name.as_str()))).await
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
pub(super) async fn anonymise(tx: &Tx, account: &account::Model, now: Millis) -> Result<()> {
    grams::PEOPLE.update(tx, account.id.0, &account.search_name, "").await?;
    let change = account::ActiveModel {
        id: Set(account.id),
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

/// One page of those whom `keyword` finds, by name or by id, and how many there are.
pub(super) async fn list(
    connection: &impl ConnectionTrait,
    keyword: Option<&str>,
    by_name: bool,
    page: Span,
) -> Result<(Vec<account::Model>, u64)> {
    let living = account::Entity::find().filter(account::Column::DeletedAt.is_null());
    match (keyword, by_name) {
        (Some(keyword), true) => {
            let hits = named(connection, keyword).await?;
            let total = grams::count_up_to(connection, hits.clone(), grams::MOST).await?;
            let found = living.filter(account::Column::Id.in_subquery(hits));
            Ok((in_order_of_name(found, page).all(connection).await?, total))
        }
        (Some(keyword), false) => {
            let hits = named(connection, keyword).await?;
            let (ids, total) = grams::page(connection, hits, Order::Asc, page).await?;
            let rows = living.filter(db::among(connection, account::Column::Id, ids)).order_by_asc(account::Column::Id);
            Ok((rows.all(connection).await?, total))
        }
        (None, by_name) => {
            let blocks = tally::blocks(connection, Group::Living).await?;
            let total = u64::try_from(blocks.total()).unwrap_or(0);
            if by_name {
                return Ok((in_order_of_name(living, page).all(connection).await?, total));
            }
            let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
            let Some((block, before)) = blocks.locate(offset) else { return Ok((Vec::new(), total)) };
            let rows = living
                .filter(account::Column::Id.gte(first_id(block)))
                .order_by_asc(account::Column::Id)
                .offset(u64::try_from(offset - before).unwrap_or(0))
                .limit(page.limit);
            Ok((rows.all(connection).await?, total))
        }
    }
}

fn in_order_of_name(found: Select<account::Entity>, page: Span) -> Select<account::Entity> {
    found
        .order_by_asc(account::Column::SearchName)
        .order_by_asc(account::Column::Id)
        .offset(page.offset)
        .limit(page.limit)
}

/// The ids of those whose name has `keyword` in it, or whose e-mail it is.
pub(super) async fn named(connection: &impl ConnectionTrait, keyword: &str) -> Result<SelectStatement> {
    let hits = grams::PEOPLE.hits(keyword);
    Ok(match find(connection, keyword).await? {
        Some(holder) => grams::with(hits, holder.id.0),
        None => hits,
    })
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
