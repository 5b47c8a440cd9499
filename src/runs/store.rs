//! Runs and their pauses in the database, read.

use std::collections::HashMap;

use entity::{AccountId, Millis, RunId, pause, run};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::db;

/// The open runs among those of `accounts`.
pub(super) async fn list_open(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
) -> Result<Vec<run::Model>, DbErr> {
    run::Entity::find()
        .filter(db::among(connection, run::Column::AccountId, accounts))
        .filter(run::Column::EndedAt.is_null())
        .all(connection)
        .await
}

/// The account's last run, open or not.
pub(super) async fn find_last(
    connection: &impl ConnectionTrait,
    account: AccountId,
) -> Result<Option<run::Model>, DbErr> {
    run::Entity::find()
        .filter(run::Column::AccountId.eq(account))
        .order_by_desc(run::Column::Id)
        .limit(1)
        .one(connection)
        .await
}

/// Open runs for which something must be written by `now`, the most overdue first.
pub(super) async fn list_due(
    connection: &impl ConnectionTrait,
    now: Millis,
    most: u64,
) -> Result<Vec<run::Model>, DbErr> {
    run::Entity::find()
        .filter(run::Column::DueAt.lte(now))
        .order_by_asc(run::Column::DueAt)
        .limit(most)
        .all(connection)
        .await
}

/// How many open runs wait for something to be written.
pub(super) async fn count_due(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    run::Entity::find().filter(run::Column::DueAt.lte(now)).count(connection).await
}

/// Pauses that are over, in order, by run.
pub(super) async fn list_pauses(
    connection: &impl ConnectionTrait,
    runs: Vec<RunId>,
) -> Result<HashMap<RunId, Vec<pause::Model>>, DbErr> {
    let mut by_run: HashMap<_, Vec<_>> = HashMap::new();
    if runs.is_empty() {
        return Ok(by_run);
    }
    let pauses = pause::Entity::find()
        .filter(db::among(connection, pause::Column::RunId, runs))
        .order_by_asc(pause::Column::FromAt)
        .all(connection)
        .await?;
    for pause in pauses {
        by_run.entry(pause.run_id).or_default().push(pause);
    }
    Ok(by_run)
}
