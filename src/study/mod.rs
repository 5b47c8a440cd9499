//! What was studied: the ledger, and what it comes to.
//!
//! Promises that every point comes from a line of the ledger, that lines are written once and never changed, and that
//! writing one again changes nothing. Totals of days and windows are a cache of the ledger, changed with it in one
//! transaction. When somebody studies is the timer's to say.

pub mod audit;
pub mod board;
pub mod correction;
pub mod ledger;
pub mod period;
pub mod routes;
pub mod statistics;
pub mod totals;

mod board_store;
mod store;

use std::{collections::HashMap, time::Duration};

use entity::{AccountId, Millis, RunId, account, segment};
use jiff::tz::TimeZone;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    clock,
    db::Tx,
    error::{ErrorCode, Result},
    http::page::Span,
    people,
    tally::{self, Changes, Group, Window},
};

use correction::Written;
use ledger::Line;
pub use ledger::Stretch;
pub use period::Period;
use store::Source;
use totals::{Scores, capped};

/// How long after its end a run can be corrected.
const CORRECTABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Points of each period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct PointsView {
    pub day: i64,
    pub week: i64,
    pub month: i64,
    pub all: i64,
}

/// What counts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Milliseconds of work.
    pub work_ms: i64,
    /// Whole minutes of its phases.
    pub points: i64,
}

/// Writes what was studied. `tx` holds the locks of the accounts that the stretches belong to.
pub async fn record(tx: &Tx, zone: &TimeZone, stretches: &[Stretch]) -> Result<()> {
    let mut lines = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        lines.extend(ledger::cut(stretch, zone)?);
    }
    lines.sort_by_key(|line| (line.stretch.account, line.stretch.run, line.stretch.from));
    write(tx, &lines, Source::Timer).await
}

/// Writes lines that are not there yet, and lets the totals follow.
async fn write(tx: &Tx, lines: &[Line], source: Source) -> Result<()> {
    let new = store::insert_lines(tx, lines, source).await?;
    let mut days = totals::days_of(&new);
    if source == Source::Correction {
        for sum in days.values_mut() {
            (sum.work_ms, sum.points) = (-sum.work_ms, -sum.points);
        }
    }
    let mut changes = Vec::with_capacity(days.len());
    for (day, points) in store::add_to_days(tx, &days).await? {
        let added = days.get(&day).map_or(0, |sum| sum.points);
        changes.push((day, capped(points) - capped(points - added)));
    }
    add_scores(tx, &totals::scores_of(changes)?).await
}

async fn add_scores(tx: &Tx, scores: &Scores) -> Result<()> {
    let mut moved = Changes::default();
    for ((account, window), points, listed) in store::add_to_scores(tx, scores).await? {
        let added = scores.get(&(account, window)).copied().unwrap_or(0);
        if listed {
            moved.moved(account, window, points - added, points);
        }
    }
    tally::append(tx, &moved).await
}

/// Puts an account on boards that stands on none, or takes it off them. `tx` holds its lock.
pub async fn set_listed(tx: &Tx, account: AccountId, listed: bool) -> Result<()> {
    let mut moved = Changes::default();
    for score in store::update_listed(tx, account, listed).await? {
        let (old, new) = if listed { (0, score.points) } else { (score.points, 0) };
        moved.moved(account, (score.period, score.first_day), old, new);
    }
    moved.belongs(account.0, Group::Listed, if listed { 1 } else { -1 });
    tally::append(tx, &moved).await
}

/// New accounts are there, and stand on boards.
pub async fn count_in(tx: &Tx, accounts: impl IntoIterator<Item = AccountId>) -> Result<()> {
    let mut come = Changes::default();
    for account in accounts {
        come.belongs(account.0, Group::Living, 1);
        come.belongs(account.0, Group::Listed, 1);
    }
    tally::append(tx, &come).await
}

/// An account goes, and leaves boards. `tx` holds its lock.
pub async fn count_out(tx: &Tx, account: &account::Model) -> Result<()> {
    if !account.hidden {
        set_listed(tx, account.id, false).await?;
    }
    let mut gone = Changes::default();
    gone.belongs(account.id.0, Group::Living, -1);
    tally::append(tx, &gone).await
}

/// The points of an account in the windows of now.
pub async fn points(app: &App, connection: &impl ConnectionTrait, account: AccountId) -> Result<PointsView> {
    let today = period::number_of(period::today(app.clock.now(), &app.zone)?)?;
    let windows = totals::windows_of(today)?;
    let scores = store::list_scores(connection, [account], &windows).await?;
    let of = |window: Window| {
        let score = scores.iter().find(|score| (score.period, score.first_day) == window);
        score.map_or(0, |score| score.points)
    };
    let [day, week, month, all] = windows.map(of);
    Ok(PointsView { day, week, month, all })
}

/// The points of accounts since ever; who has none is left out.
pub async fn all_time(
    connection: &impl ConnectionTrait,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<HashMap<AccountId, i64>> {
    let scores = store::list_scores(connection, accounts, &[(Period::All.code(), 0)]).await?;
    Ok(scores.into_iter().map(|score| (score.account_id, score.points)).collect())
}

/// Takes off a run what came after `until`.
pub async fn trim(app: &App, caller: AccountId, run: RunId, until: Millis) -> Result<Remaining> {
    let tx = app.db.begin().await?;
    // What is corrected twice at once must be corrected once.
    people::lock_one(&tx, caller).await?;
    let run = store::find_run(&tx, caller, run).await?.ok_or(ErrorCode::RunNotFound)?;
    let ended = run.ended_at.ok_or(ErrorCode::RunNotFound)?;
    if clock::after(ended, CORRECTABLE) < app.clock.now() {
        return Err(ErrorCode::TooLate.into());
    }
    let written = Written::new(store::list_run(&tx, run.id).await?);
    let off = written.after(until);
    write(&tx, &off, Source::Correction).await?;
    tx.commit_quietly().await?;
    let (work_ms, points) = written.without(&off).remaining();
    Ok(Remaining { work_ms, points })
}

/// Takes off all of a run.
pub async fn discard(app: &App, caller: AccountId, run: RunId) -> Result<Remaining> {
    trim(app, caller, run, Millis(i64::MIN)).await
}

/// One page of what was written of an account, the newest first, and how much there is.
pub async fn page(app: &App, account: AccountId, page: Span) -> Result<(Vec<segment::Model>, u64)> {
    Ok(store::list_segments(&*app.db, account, page).await?)
}
