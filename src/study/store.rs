//! Segments and their totals in the database.

use std::collections::HashSet;

use entity::{AccountId, Millis, RunId, account, day_total, run, score, segment};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, OnConflict, Query},
};

use super::{
    ledger::Line,
    totals::{Days, Scores},
};
use crate::{
    db::{self, Tx},
    error::Result,
    http::page::Span,
    tally::Window,
};

/// Rows of one statement: SQLite binds no more than 32 766 values, a segment has ten.
const ROWS: usize = 1000;

/// Who wrote a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The timer: it adds.
    Timer,
    /// Its owner: it takes off.
    Correction,
}

/// Writes lines, and answers those that were not there: the database judges what is new.
pub(super) async fn insert_lines(tx: &Tx, lines: &[Line], source: Source) -> Result<Vec<Line>> {
    let mut new = HashSet::new();
    for lines in lines.chunks(ROWS) {
        let mut insert = Query::insert();
        insert
            .into_table(segment::Entity)
            .columns([
                segment::Column::RunId,
                segment::Column::AccountId,
                segment::Column::RoomId,
                segment::Column::Phase,
                segment::Column::Kind,
                segment::Column::Source,
                segment::Column::FromAt,
                segment::Column::ToAt,
                segment::Column::Day,
                segment::Column::Points,
            ])
            .on_conflict(
                OnConflict::columns([segment::Column::RunId, segment::Column::FromAt, segment::Column::Source])
                    .do_nothing()
                    .to_owned(),
            )
            .returning(Query::returning().columns([segment::Column::RunId, segment::Column::FromAt]));
        for line in lines {
            insert.values_panic(row(line, source));
        }
        for row in tx.query_all(&insert).await? {
            new.insert((row.try_get_by_index::<RunId>(0)?, row.try_get_by_index::<Millis>(1)?));
        }
    }
    // Each counts once, also if it was handed over twice.
    Ok(lines.iter().filter(|line| new.remove(&(line.stretch.run, line.stretch.from))).copied().collect())
}

fn row(line: &Line, source: Source) -> [Expr; 10] {
    let stretch = &line.stretch;
    [
        stretch.run.0.into(),
        stretch.account.0.into(),
        stretch.room.map(|room| room.0).into(),
        stretch.phase.into(),
        i16::from(!stretch.is_work).into(),
        i16::from(source == Source::Correction).into(),
        stretch.from.0.into(),
        stretch.to.0.into(),
        line.day.into(),
        match source {
            Source::Timer => line.points.into(),
            Source::Correction => (-line.points).into(),
        },
    ]
}

/// Adds to days; answers each day's points before the cap, as they are now.
pub(super) async fn add_to_days(tx: &Tx, days: &Days) -> Result<Vec<((AccountId, i32), i64)>> {
    let days: Vec<_> = days.iter().collect();
    let mut now = Vec::with_capacity(days.len());
    for days in days.chunks(ROWS) {
        let mut insert = Query::insert();
        insert
            .into_table(day_total::Entity)
            .columns([
                day_total::Column::AccountId,
                day_total::Column::Day,
                day_total::Column::WorkMs,
                day_total::Column::Points,
            ])
            .on_conflict(
                OnConflict::columns([day_total::Column::AccountId, day_total::Column::Day])
                    .value(day_total::Column::WorkMs, added("day_total", "work_ms"))
                    .value(day_total::Column::Points, added("day_total", "points"))
                    .to_owned(),
            )
            .returning(Query::returning().columns([
                day_total::Column::AccountId,
                day_total::Column::Day,
                day_total::Column::Points,
            ]));
        for ((account, day), sum) in days {
            insert.values_panic([account.0.into(), (*day).into(), sum.work_ms.into(), sum.points.into()]);
        }
        for row in tx.query_all(&insert).await? {
            let day = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            now.push((day, i64::from(row.try_get_by_index::<i32>(2)?)));
        }
    }
    Ok(now)
}

/// Adds to scores; answers each score as it is now, and whether it stands on its board.
pub(super) async fn add_to_scores(tx: &Tx, scores: &Scores) -> Result<Vec<((AccountId, Window), i64, bool)>> {
    let hidden = list_hidden(tx, scores.keys().map(|(account, _)| *account)).await?;
    let scores: Vec<_> = scores.iter().collect();
    let mut now = Vec::with_capacity(scores.len());
    for scores in scores.chunks(ROWS) {
        let mut insert = Query::insert();
        insert
            .into_table(score::Entity)
            .columns([
                score::Column::AccountId,
                score::Column::Period,
                score::Column::FirstDay,
                score::Column::Points,
                score::Column::Listed,
            ])
            .on_conflict(
                OnConflict::columns([score::Column::Period, score::Column::FirstDay, score::Column::AccountId])
                    .value(score::Column::Points, added("score", "points"))
                    .to_owned(),
            )
            .returning(Query::returning().columns([
                score::Column::AccountId,
                score::Column::Period,
                score::Column::FirstDay,
                score::Column::Points,
                score::Column::Listed,
            ]));
        for ((account, (period, first_day)), points) in scores {
            let listed = !hidden.contains(account);
            insert.values_panic([
                account.0.into(),
                (*period).into(),
                (*first_day).into(),
                (**points).into(),
                listed.into(),
            ]);
        }
        for row in tx.query_all(&insert).await? {
            let window = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            now.push(((row.try_get_by_index(0)?, window), row.try_get_by_index(3)?, row.try_get_by_index(4)?));
        }
    }
    Ok(now)
}

/// What stands there and what was to be inserted, together.
fn added(table: &'static str, column: &'static str) -> Expr {
    Expr::col((table, column)).add(Expr::col(("excluded", column)))
}

/// Those of `accounts` that stand on no board.
async fn list_hidden(tx: &Tx, accounts: impl Iterator<Item = AccountId>) -> Result<HashSet<AccountId>, DbErr> {
    let accounts: HashSet<_> = accounts.collect();
    let hidden = account::Entity::find()
        .select_only()
        .column(account::Column::Id)
        .filter(db::among(&**tx, account::Column::Id, accounts))
        .filter(account::Column::Hidden.eq(true))
        .into_tuple::<AccountId>()
        .all(&**tx)
        .await?;
    Ok(hidden.into_iter().collect())
}

/// Lists or takes from boards what an account has there, and answers the scores that change.
pub(super) async fn update_listed(tx: &Tx, id: AccountId, listed: bool) -> Result<Vec<score::Model>, DbErr> {
    score::Entity::update_many()
        .col_expr(score::Column::Listed, Expr::value(listed))
        .filter(score::Column::AccountId.eq(id))
        .filter(score::Column::Listed.ne(listed))
        .exec_with_returning(&**tx)
        .await
}

/// The points of accounts in windows.
pub(super) async fn list_scores(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = AccountId>,
    windows: &[Window],
) -> Result<Vec<score::Model>, DbErr> {
    let window = |(period, first_day): &Window| {
        Condition::all().add(score::Column::Period.eq(*period)).add(score::Column::FirstDay.eq(*first_day))
    };
    let windows = windows.iter().map(window).fold(Condition::any(), Condition::add);
    score::Entity::find()
        .filter(db::among(connection, score::Column::AccountId, ids))
        .filter(windows)
        .all(connection)
        .await
}

/// The run `id`, if it is `account`'s.
pub(super) async fn find_run(tx: &Tx, account: AccountId, id: RunId) -> Result<Option<run::Model>, DbErr> {
    run::Entity::find_by_id(id).filter(run::Column::AccountId.eq(account)).one(&**tx).await
}

/// Everything that was written of a run.
pub(super) async fn list_run(tx: &Tx, id: RunId) -> Result<Vec<segment::Model>, DbErr> {
    segment::Entity::find().filter(segment::Column::RunId.eq(id)).all(&**tx).await
}

/// One page of what was written of an account, the newest first, and how much there is.
pub(super) async fn list_segments(
    connection: &impl ConnectionTrait,
    account: AccountId,
    page: Span,
) -> Result<(Vec<segment::Model>, u64), DbErr> {
    let query = segment::Entity::find().filter(segment::Column::AccountId.eq(account));
    let total = query.clone().count(connection).await?;
    let rows = query.order_by_desc(segment::Column::FromAt).order_by_desc(segment::Column::Id);
    Ok((rows.offset(page.offset).limit(page.limit).all(connection).await?, total))
}

/// Work of an account that began in a window.
pub(super) async fn list_work(
    connection: &impl ConnectionTrait,
    account: AccountId,
    (from, to): (Millis, Millis),
) -> Result<Vec<segment::Model>, DbErr> {
    segment::Entity::find()
        .filter(segment::Column::AccountId.eq(account))
        .filter(segment::Column::FromAt.gte(from))
        .filter(segment::Column::FromAt.lt(to))
        .filter(segment::Column::Kind.eq(0_i16))
        .all(connection)
        .await
}

/// Days with work, from the first to the last.
pub(super) async fn list_days(
    connection: &impl ConnectionTrait,
    account: AccountId,
    first: i32,
    last: i32,
) -> Result<Vec<day_total::Model>, DbErr> {
    day_total::Entity::find()
        .filter(day_total::Column::AccountId.eq(account))
        .filter(day_total::Column::Day.between(first, last))
        .filter(day_total::Column::WorkMs.gt(0))
        .order_by_asc(day_total::Column::Day)
        .all(connection)
        .await
}

/// All days with at least one point.
pub(super) async fn list_days_with_points(
    connection: &impl ConnectionTrait,
    account: AccountId,
) -> Result<Vec<i32>, DbErr> {
    day_total::Entity::find()
        .select_only()
        .column(day_total::Column::Day)
        .filter(day_total::Column::AccountId.eq(account))
        .filter(day_total::Column::Points.gte(1))
        .order_by_asc(day_total::Column::Day)
        .into_tuple()
        .all(connection)
        .await
}
