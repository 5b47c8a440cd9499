//! Counts that are kept instead of counted: how many stand in which bucket of a board, and how many people and rooms there
//! are, kept up without anybody waiting for anybody.
//!
//! Promises that what is counted and what is still to be folded in, together, are what there is, in every snapshot. A
//! change appends a row of its own; [`keep`] folds such rows into the counts, and one instance is enough. Whom to count
//! is for those to say who write their rows.

pub mod buckets;

use std::{collections::BTreeMap, time::Duration};

use entity::{AccountId, tally, tally_change};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, Func, LockBehavior, LockType, OnConflict, Query, SelectStatement, UnionType},
};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{Db, Tx},
    error::Result,
};
use buckets::{Blocks, Tally, block_of, bucket_of};

/// A board's window: period and first day.
pub type Window = (i16, i32);

/// How often changes are folded in: those that wait are added up by every reader.
const EVERY: Duration = Duration::from_secs(1);

/// Changes of one transaction, so that none lasts long.
const BATCH: u64 = 10_000;

/// Rows of one statement, far below what SQLite binds.
const ROWS: usize = 4000;

/// What is counted by blocks of ids lies beside the boards, under numbers that no period has.
const LIVING: Window = (16, 0);
const LISTED: Window = (17, 0);
const OPEN_ROOMS: Window = (18, 0);

/// Who has points in `window`, by blocks of ids.
fn scorers((period, first_day): Window) -> Window {
    (period + 8, first_day)
}

/// What is counted by blocks of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Whose account is not deleted.
    Living,
    /// Who stand on boards, with points or without.
    Listed,
    /// Who have points in a window.
    Scorers(Window),
    /// Rooms that are not closed.
    OpenRooms,
}

impl Group {
    fn window(self) -> Window {
        match self {
            Self::Living => LIVING,
            Self::Listed => LISTED,
            Self::Scorers(window) => scorers(window),
            Self::OpenRooms => OPEN_ROOMS,
        }
    }
}

/// By how much buckets of windows change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<(Window, i32), i64>);

impl Changes {
    /// One account goes from `old` to `new` points. None is on no board.
    pub fn moved(&mut self, account: AccountId, window: Window, old: i64, new: i64) {
        for (points, change) in [(old, -1), (new, 1)] {
            if points > 0 {
                self.add(window, bucket_of(points), change);
                self.belongs(account.0, Group::Scorers(window), change);
            }
        }
    }

    /// Row `id` belongs to `group` from now on, or, by -1, no longer.
    pub fn belongs(&mut self, id: i64, group: Group, change: i64) {
        self.add(group.window(), block_of(id), change);
    }

    /// So many of `block` belong to `group`.
    pub fn belonging(&mut self, block: i32, group: Group, rows: i64) {
        self.add(group.window(), block, rows);
    }

    /// `accounts` stand at `points`.
    pub fn standing(&mut self, window: Window, points: i64, accounts: i64) {
        self.add(window, bucket_of(points), accounts);
    }

    /// Everything that changes.
    pub fn keys(&self) -> impl Iterator<Item = (Window, i32)> {
        self.0.keys().copied()
    }

    /// By how much one bucket changes.
    pub fn get(&self, window: Window, bucket: i32) -> i64 {
        self.0.get(&(window, bucket)).copied().unwrap_or(0)
    }

    fn add(&mut self, window: Window, bucket: i32, change: i64) {
        *self.0.entry((window, bucket)).or_default() += change;
    }

    fn rows(&self) -> Vec<((Window, i32), i64)> {
        self.0.iter().filter(|(_, change)| **change != 0).map(|(key, change)| (*key, *change)).collect()
    }
}

/// Appends changes.
pub async fn append(tx: &Tx, changes: &Changes) -> Result<()> {
    for rows in changes.rows().chunks(ROWS) {
        let rows = rows.iter().map(|(((period, first_day), bucket), change)| tally_change::ActiveModel {
            period: Set(*period),
            first_day: Set(*first_day),
            bucket: Set(*bucket),
            change: Set(*change),
            ..Default::default()
        });
        tally_change::Entity::insert_many(rows).exec_without_returning(&**tx).await?;
    }
    Ok(())
}

/// The tally of one window.
pub async fn read(connection: &impl ConnectionTrait, window: Window) -> Result<Tally> {
    Ok(Tally::new(rows(connection, window).await?))
}

/// Where the rows of a group are.
pub async fn blocks(connection: &impl ConnectionTrait, group: Group) -> Result<Blocks> {
    Ok(Blocks::new(rows(connection, group.window()).await?))
}

/// How many belong to a group.
pub async fn total(connection: &impl ConnectionTrait, group: Group) -> Result<i64> {
    // A sum of large numbers is no large number by itself: PostgreSQL makes it a decimal.
    let sum = Func::coalesce([Expr::col("amount").sum().cast_as("bigint"), Expr::val(0)]);
    let sum = Query::select().expr(sum).from_subquery(amounts(Some(group.window())), "counted").to_owned();
    let row = connection.query_one(&sum).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get_by_index(0))?)
}

/// What is counted in one window.
async fn rows(connection: &impl ConnectionTrait, window: Window) -> Result<Vec<(i32, i64)>> {
    let mut counted = BTreeMap::<i32, i64>::new();
    for row in connection.query_all(&amounts(Some(window))).await? {
        *counted.entry(row.try_get_by_index(0)?).or_default() += row.try_get_by_index::<i64>(1)?;
    }
    Ok(counted.into_iter().filter(|(_, accounts)| *accounts != 0).collect())
}

/// All tallies.
pub async fn all(tx: &Tx) -> Result<Changes> {
    let mut counted = Changes::default();
    for row in tx.query_all(&amounts(None)).await? {
        let window = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        counted.add(window, row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    }
    Ok(counted)
}

/// Buckets and amounts, in one window or in all, which follow then, with what is still to be folded in: one statement,
/// because what is folded in between two would be in neither.
fn amounts(window: Option<Window>) -> SelectStatement {
    let amounts = |table: &'static str, amount: &'static str| {
        let mut amounts = Query::select();
        amounts.column("bucket").expr_as(Expr::col(amount), "amount").from(table);
        match window {
            None => amounts.columns(["period", "first_day"]),
            Some((period, first_day)) => {
                amounts.and_where(Expr::col("period").eq(period)).and_where(Expr::col("first_day").eq(first_day))
            }
        }
        .take()
    };
    amounts("tally", "accounts").union(UnionType::All, amounts("tally_change", "change")).take()
}

/// Folds changes in until `stop`.
pub async fn keep(db: Db, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Err(error) = fold(&db).await {
            tracing::warn!(%error, "folding tallies");
        }
    }
}

/// Folds in what waits.
pub async fn fold(db: &Db) -> Result<()> {
    while tally_change::Entity::find().one(&**db).await?.is_some() {
        let tx = db.begin().await?;
        if fold_batch(&tx).await? < BATCH {
            return tx.commit_quietly().await;
        }
        tx.commit_quietly().await?;
    }
    Ok(())
}

/// What another instance is folding at this moment is left to it: each change counts once, and nobody waits.
async fn fold_batch(tx: &Tx) -> Result<u64> {
    let oldest = tally_change::Entity::find()
        .select_only()
        .column(tally_change::Column::Id)
        .order_by_asc(tally_change::Column::Id)
        .limit(BATCH)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_query();
    let gone = tally_change::Entity::delete_many()
        .filter(tally_change::Column::Id.in_subquery(oldest))
        .exec_with_returning(&**tx)
        .await?;
    let mut changes = Changes::default();
    for row in &gone {
        changes.add((row.period, row.first_day), row.bucket, row.change);
    }
    add(tx, &changes).await?;
    Ok(gone.len() as u64)
}

/// In ascending order, so that two instances can't wait for each other.
async fn add(tx: &Tx, changes: &Changes) -> Result<()> {
    let summed = Expr::col(("tally", "accounts")).add(Expr::col(("excluded", "accounts")));
    let key = [tally::Column::Period, tally::Column::FirstDay, tally::Column::Bucket];
    for rows in changes.rows().chunks(ROWS) {
        let rows = rows.iter().map(|(((period, first_day), bucket), change)| tally::ActiveModel {
            period: Set(*period),
            first_day: Set(*first_day),
            bucket: Set(*bucket),
            accounts: Set(*change),
        });
        let conflict = OnConflict::columns(key).value(tally::Column::Accounts, summed.clone()).to_owned();
        tally::Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(&**tx).await?;
    }
    Ok(())
}

/// Writes down what was counted one by one. The caller keeps everybody else from changing what is counted meanwhile.
pub async fn recount(tx: &Tx, counted: Changes) -> Result<()> {
    tally_change::Entity::delete_many().exec(&**tx).await?;
    tally::Entity::delete_many().exec(&**tx).await?;
    add(tx, &counted).await
}
