//! Queries of boards. What decides which index is used is written out: a bound value would hide it from the planner.

use entity::{AccountId, account, score};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
    sea_query::{Expr, Func, Order, Query, SelectStatement},
};

use super::board::Scored;
use crate::{
    db,
    error::Result,
    http::page::Span,
    tally::{
        Window,
        buckets::{first_id, lowest},
    },
};

/// What the board's index holds of a window.
fn on_board((period, first_day): Window) -> Condition {
    Condition::all()
        .add(score::Column::Period.eq(period))
        .add(score::Column::FirstDay.eq(first_day))
        .add(Expr::cust("listed AND points > 0"))
}

fn board(window: Window) -> SelectStatement {
    let mut query = Query::select();
    query.columns([score::Column::AccountId, score::Column::Points]).from(score::Entity).cond_where(on_board(window));
    query
}

/// The board's own order.
fn ordered(query: &mut SelectStatement, points: Order, account: Order) -> &mut SelectStatement {
    query.order_by(score::Column::Points, points).order_by(score::Column::AccountId, account)
}

async fn scored(connection: &impl ConnectionTrait, query: &SelectStatement) -> Result<Vec<Scored>, DbErr> {
    let rows = connection.query_all(query).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Rows from the beginning of `bucket`, without the first `skip`.
pub(super) async fn list_from(
    connection: &impl ConnectionTrait,
    window: Window,
    bucket: i32,
    skip: u64,
    limit: u64,
) -> Result<Vec<Scored>, DbErr> {
    let mut query = board(window);
    query.and_where(Expr::col(score::Column::Points).lt(lowest(bucket + 1)));
    ordered(&mut query, Order::Desc, Order::Asc).offset(skip).limit(limit);
    scored(connection, &query).await
}

/// How many in `bucket` have more than `points`.
pub(super) async fn count_better(
    connection: &impl ConnectionTrait,
    window: Window,
    points: i64,
    bucket: i32,
) -> Result<i64, DbErr> {
    let better = Condition::all()
        .add(Expr::col(score::Column::Points).gt(points))
        .add(Expr::col(score::Column::Points).lt(lowest(bucket + 1)));
    let query = Query::select()
        .expr(Expr::col(score::Column::AccountId).count())
        .from(score::Entity)
        .cond_where(on_board(window))
        .cond_where(better)
        .to_owned();
    let row = connection.query_one(&query).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// The nearest above `me`, the nearest first.
pub(super) async fn list_above(
    connection: &impl ConnectionTrait,
    window: Window,
    (me, points): Scored,
    most: u64,
) -> Result<Vec<Scored>, DbErr> {
    // Two ranges of the index instead of one condition that no index serves.
    let mut level = board(window);
    level.and_where(Expr::col(score::Column::Points).eq(points)).and_where(Expr::col(score::Column::AccountId).lt(me));
    let mut better = board(window);
    better.and_where(Expr::col(score::Column::Points).gt(points));
    near(connection, [level, better], Order::Asc, Order::Desc, most).await
}

/// The nearest below `me`, the nearest first.
pub(super) async fn list_below(
    connection: &impl ConnectionTrait,
    window: Window,
    (me, points): Scored,
    most: u64,
) -> Result<Vec<Scored>, DbErr> {
    let mut level = board(window);
    level.and_where(Expr::col(score::Column::Points).eq(points)).and_where(Expr::col(score::Column::AccountId).gt(me));
    let mut worse = board(window);
    worse.and_where(Expr::col(score::Column::Points).lt(points));
    near(connection, [level, worse], Order::Desc, Order::Asc, most).await
}

async fn near(
    connection: &impl ConnectionTrait,
    ranges: [SelectStatement; 2],
    points: Order,
    account: Order,
    most: u64,
) -> Result<Vec<Scored>, DbErr> {
    let mut near = Vec::new();
    for mut range in ranges {
        let rest = most - near.len() as u64;
        if rest > 0 {
            ordered(&mut range, points.clone(), account.clone()).limit(rest);
            near.extend(scored(connection, &range).await?);
        }
    }
    Ok(near)
}

/// What an account has in a window, hidden or not.
pub(super) async fn get_points(connection: &impl ConnectionTrait, window: Window, id: AccountId) -> Result<i64, DbErr> {
    Ok(score::Entity::find_by_id((window.0, window.1, id)).one(connection).await?.map_or(0, |score| score.points))
}

fn listed() -> Select<account::Entity> {
    account::Entity::find().filter(account::Column::DeletedAt.is_null()).filter(Expr::cust("NOT hidden"))
}

/// The points of the account at hand in `window`; null without any.
fn points_of((period, first_day): Window) -> SelectStatement {
    Query::select()
        .column((score::Entity, score::Column::Points))
        .from(score::Entity)
        .and_where(Expr::col((score::Entity, score::Column::Period)).eq(period))
        .and_where(Expr::col((score::Entity, score::Column::FirstDay)).eq(first_day))
        .and_where(Expr::col((score::Entity, score::Column::AccountId)).equals((account::Entity, account::Column::Id)))
        .to_owned()
}

/// Those on the board who have no points, by id, of the blocks from `first` to `last` and without the first `skip`.
pub(super) async fn list_without(
    connection: &impl ConnectionTrait,
    window: Window,
    (first, last): (i32, i32),
    skip: u64,
    limit: u64,
) -> Result<Vec<Scored>, DbErr> {
    let (from, to) = (first_id(first), first_id(last.saturating_add(1)));
    // A set of its own: however the planner errs about it, it is read once, as one range of the index.
    let scorers = Query::select()
        .column(score::Column::AccountId)
        .from(score::Entity)
        .and_where(Expr::col(score::Column::Period).eq(window.0))
        .and_where(Expr::col(score::Column::FirstDay).eq(window.1))
        .and_where(Expr::col(score::Column::Points).gt(0))
        .and_where(Expr::col(score::Column::AccountId).gte(from))
        .and_where(Expr::col(score::Column::AccountId).lt(to))
        .to_owned();
    let ids = listed()
        .select_only()
        .column(account::Column::Id)
        .filter(account::Column::Id.gte(from))
        .filter(account::Column::Id.lt(to))
        .filter(account::Column::Id.not_in_subquery(scorers))
        .order_by_asc(account::Column::Id)
        .offset(skip)
        .limit(limit)
        .into_tuple::<AccountId>()
        .all(connection)
        .await?;
    Ok(ids.into_iter().map(|id| (id, 0)).collect())
}

fn with_points(query: Select<account::Entity>, window: Window) -> Select<account::Entity> {
    let points = Func::coalesce([Expr::from(points_of(window)), Expr::val(0)]);
    query.select_only().column(account::Column::Id).column_as(Expr::from(points), "points")
}

/// One page of those on the board whom `filter` lets through, and how many they are.
pub(super) async fn list_filtered(
    connection: &impl ConnectionTrait,
    window: Window,
    filter: Condition,
    page: Span,
) -> Result<(Vec<Scored>, u64), DbErr> {
    let query = listed().filter(filter);
    let total = query.clone().count(connection).await?;
    let rows = with_points(query, window)
        .order_by_desc(Expr::col("points"))
        .order_by_asc(account::Column::Id)
        .offset(page.offset)
        .limit(page.limit);
    Ok((rows.into_tuple::<Scored>().all(connection).await?, total))
}

/// Those of `ids` who stand on boards, and whom `filter` lets through, with their points.
pub(super) async fn list_of(
    connection: &impl ConnectionTrait,
    window: Window,
    ids: &[AccountId],
    filter: Option<Condition>,
) -> Result<Vec<Scored>, DbErr> {
    let query = listed().filter(db::among(connection, account::Column::Id, ids.iter().copied()));
    let query = filter.into_iter().fold(query, QueryFilter::filter);
    with_points(query, window).into_tuple::<Scored>().all(connection).await
}
