//! Whether the caches agree with the ledger, and making them agree.
//!
//! Promises that what is expected comes from segments alone, and that accounts are looked at under their lock, a batch
//! at a time: a server that runs beside it is neither stopped nor blamed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use entity::{AccountId, account, day_total, room, score, segment};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Alias, Expr, ExprTrait},
};

use super::{
    add_scores, store,
    totals::{Days, Scores, Sum, capped, scores_of},
};
use crate::{
    db::{self, Db, Tx, is_postgres},
    error::Result,
    tally::{self, Changes, Group, Window},
};

/// Accounts of one transaction.
const BATCH: u64 = 500;

/// A place where a cache and the ledger disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the tables'")]
pub enum Difference {
    /// Work or points of a day.
    Day { account: AccountId, day: i32, expected: Sum, found: Sum },
    /// Points in a window.
    Score { account: AccountId, window: Window, expected: i64, found: i64 },
    /// Whether a score stands on its board.
    Listed { account: AccountId, window: Window },
    /// How many are in a bucket or block.
    Tally { window: Window, bucket: i32, expected: i64, found: i64 },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day { account, day, expected, found } => write!(
                f,
                "account {account}, day {day}: {} ms and {} points instead of {} ms and {} points",
                found.work_ms, found.points, expected.work_ms, expected.points
            ),
            Self::Score { account, window: (period, first_day), expected, found } => {
                write!(
                    f,
                    "account {account}, period {period} from day {first_day}: {found} points instead of {expected}"
                )
            }
            Self::Listed { account, window: (period, first_day) } => {
                write!(
                    f,
                    "account {account}, period {period} from day {first_day}: listed, or not, against its owner's will"
                )
            }
            Self::Tally { window: (period, first_day), bucket, expected, found } => {
                write!(f, "period {period} from day {first_day}, bucket {bucket}: {found} instead of {expected}")
            }
        }
    }
}

/// Every difference there is.
pub async fn verify(db: &Db) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    let mut last = AccountId(0);
    loop {
        let tx = db.begin().await?;
        let Some(batch) = Batch::lock(&tx, last).await? else { break };
        last = batch.last();
        differences.extend(batch.differences(&tx).await?);
    }
    let tx = db.begin().await?;
    stop_counted(&tx).await?;
    differences.extend(tally_differences(&tx).await?);
    Ok(differences)
}

/// Makes every cache what the ledger comes to.
pub async fn rebuild(db: &Db) -> Result<()> {
    let mut last = AccountId(0);
    loop {
        let tx = db.begin().await?;
        let Some(batch) = Batch::lock(&tx, last).await? else { break };
        last = batch.last();
        batch.rebuild(&tx).await?;
        tx.commit_quietly().await?;
    }
    let tx = db.begin().await?;
    stop_counted(&tx).await?;
    tally::recount(&tx, counted(&tx).await?).await?;
    tx.commit_quietly().await
}

/// Nobody comes, goes or changes a score, and no room opens or closes, until `tx` ends. SQLite's one writer is `tx` already.
async fn stop_counted(tx: &Tx) -> Result<()> {
    if is_postgres(&**tx) {
        // In the order in which everybody else takes their locks.
        tx.execute_unprepared("LOCK TABLE account, room, score IN SHARE ROW EXCLUSIVE MODE").await?;
    }
    Ok(())
}

/// Accounts with whether they are hidden, locked.
struct Batch(BTreeMap<AccountId, bool>);

impl Batch {
    /// The next accounts after `last`, deleted ones too: their lines stay.
    async fn lock(tx: &Tx, last: AccountId) -> Result<Option<Self>> {
        let rows = account::Entity::find()
            .filter(account::Column::Id.gt(last))
            .order_by_asc(account::Column::Id)
            .limit(BATCH)
            .lock_exclusive()
            .all(&**tx)
            .await?;
        let batch: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row.hidden)).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()).map(Self))
    }

    fn last(&self) -> AccountId {
        self.0.keys().next_back().copied().unwrap_or(AccountId(i64::MAX))
    }

    fn ids(&self) -> impl Iterator<Item = AccountId> {
        self.0.keys().copied()
    }

    async fn expected(&self, tx: &Tx) -> Result<(Days, Scores)> {
        let whole = |expression: Expr| expression.cast_as(Alias::new("BIGINT"));
        let length = Expr::col(segment::Column::ToAt).sub(Expr::col(segment::Column::FromAt));
        // A correction takes off.
        let signed = length.mul(Expr::val(1).sub(Expr::col(segment::Column::Source).mul(2)));
        let rows = segment::Entity::find()
            .select_only()
            .columns([segment::Column::AccountId, segment::Column::Day])
            .column_as(whole(signed.sum()), "work_ms")
            .column_as(whole(Expr::col(segment::Column::Points).sum()), "points")
            .filter(db::among(&**tx, segment::Column::AccountId, self.ids()))
            .filter(segment::Column::Kind.eq(0_i16))
            .group_by(segment::Column::AccountId)
            .group_by(segment::Column::Day)
            .into_tuple::<(AccountId, i32, i64, i64)>()
            .all(&**tx)
            .await?;
        let days: Days =
            rows.into_iter().map(|(account, day, work_ms, points)| ((account, day), Sum { work_ms, points })).collect();
        let scores = scores_of(days.iter().map(|(day, sum)| (*day, capped(sum.points))))?;
        Ok((days, scores))
    }

    async fn differences(&self, tx: &Tx) -> Result<Vec<Difference>> {
        let (days, scores) = self.expected(tx).await?;
        let mut differences = Vec::new();
        let rows = day_total::Entity::find()
            .filter(db::among(&**tx, day_total::Column::AccountId, self.ids()))
            .all(&**tx)
            .await?;
        let found: Days = rows
            .into_iter()
            .map(|row| ((row.account_id, row.day), Sum { work_ms: row.work_ms, points: row.points.into() }))
            .collect();
        for (account, day) in keys(&days, &found) {
            let of = |days: &Days| days.get(&(account, day)).copied().unwrap_or_default();
            let (expected, found) = (of(&days), of(&found));
            if expected != found {
                differences.push(Difference::Day { account, day, expected, found });
            }
        }
        let rows =
            score::Entity::find().filter(db::among(&**tx, score::Column::AccountId, self.ids())).all(&**tx).await?;
        for row in &rows {
            if self.0.get(&row.account_id) == Some(&row.listed) {
                differences.push(Difference::Listed { account: row.account_id, window: (row.period, row.first_day) });
            }
        }
        let found: Scores =
            rows.into_iter().map(|row| ((row.account_id, (row.period, row.first_day)), row.points)).collect();
        for (account, window) in keys(&scores, &found) {
            let of = |scores: &Scores| scores.get(&(account, window)).copied().unwrap_or(0);
            let (expected, found) = (of(&scores), of(&found));
            if expected != found {
                differences.push(Difference::Score { account, window, expected, found });
            }
        }
        Ok(differences)
    }

    async fn rebuild(&self, tx: &Tx) -> Result<()> {
        let (days, scores) = self.expected(tx).await?;
        day_total::Entity::delete_many()
            .filter(db::among(&**tx, day_total::Column::AccountId, self.ids()))
            .exec(&**tx)
            .await?;
        score::Entity::delete_many().filter(db::among(&**tx, score::Column::AccountId, self.ids())).exec(&**tx).await?;
        store::add_to_days(tx, &days).await?;
        // The tallies that this changes are counted again at the end.
        add_scores(tx, &scores).await
    }
}

fn keys<K: Copy + Ord, V>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> BTreeSet<K> {
    a.keys().chain(b.keys()).copied().collect()
}

/// What stands on the boards, who is there, and which rooms, counted one by one.
async fn counted(tx: &Tx) -> Result<Changes> {
    let rows = score::Entity::find()
        .select_only()
        .columns([score::Column::Period, score::Column::FirstDay, score::Column::Points])
        .column_as(Expr::col(score::Column::AccountId).count(), "accounts")
        .filter(Expr::cust("listed AND points > 0"))
        .group_by(score::Column::Period)
        .group_by(score::Column::FirstDay)
        .group_by(score::Column::Points)
        .into_tuple::<(i16, i32, i64, i64)>()
        .all(&**tx)
        .await?;
    let mut counted = Changes::default();
    for (period, first_day, points, accounts) in rows {
        counted.standing((period, first_day), points, accounts);
    }
    let block = |id: &str| Expr::cust(format!("CAST({id} / 1024 AS INTEGER)"));
    let scorers = score::Entity::find()
        .select_only()
        .columns([score::Column::Period, score::Column::FirstDay])
        .column_as(block("account_id"), "block")
        .column_as(Expr::col(score::Column::AccountId).count(), "accounts")
        .filter(Expr::cust("listed AND points > 0"))
        .group_by(score::Column::Period)
        .group_by(score::Column::FirstDay)
        .group_by(block("account_id"))
        .into_tuple::<(i16, i32, i32, i64)>()
        .all(&**tx)
        .await?;
    for (period, first_day, block, accounts) in scorers {
        counted.belonging(block, Group::Scorers((period, first_day)), accounts);
    }
    for (group, belongs) in
        [(Group::Living, "deleted_at IS NULL"), (Group::Listed, "NOT hidden AND deleted_at IS NULL")]
    {
        let rows = account::Entity::find()
            .select_only()
            .column_as(block("id"), "block")
            .column_as(Expr::col(account::Column::Id).count(), "accounts")
            .filter(Expr::cust(belongs))
            .group_by(block("id"))
            .into_tuple::<(i32, i64)>()
            .all(&**tx)
            .await?;
        for (block, accounts) in rows {
            counted.belonging(block, group, accounts);
        }
    }
    let rooms = room::Entity::find()
        .select_only()
        .column_as(block("id"), "block")
        .column_as(Expr::col(room::Column::Id).count(), "rooms")
        .filter(room::Column::ClosedAt.is_null())
        .group_by(block("id"))
        .into_tuple::<(i32, i64)>()
        .all(&**tx)
        .await?;
    for (block, rooms) in rooms {
        counted.belonging(block, Group::OpenRooms, rooms);
    }
    Ok(counted)
}

async fn tally_differences(tx: &Tx) -> Result<Vec<Difference>> {
    let (expected, found) = (counted(tx).await?, tally::all(tx).await?);
    let mut differences = Vec::new();
    for (window, bucket) in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let (expected, found) = (expected.get(window, bucket), found.get(window, bucket));
        if expected != found {
            differences.push(Difference::Tally { window, bucket, expected, found });
        }
    }
    Ok(differences)
}
