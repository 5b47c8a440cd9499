//! Friendships and requests in the database.

use std::{cmp::Reverse, collections::HashMap};

use entity::{AccountId, Millis, friend_request, friendship};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, UnionType},
};

use super::relation::Relation;
use crate::{
    db::{self, Tx},
    error::{ErrorCode, Result},
    http::page::Span,
};

/// A friendship's key: the pair in order.
fn pair(a: AccountId, b: AccountId) -> (AccountId, AccountId) {
    if a < b { (a, b) } else { (b, a) }
}

/// Who stands around an account, and since when.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) friends: Vec<(AccountId, Millis)>,
    pub(super) asking: Vec<(AccountId, Millis)>,
}

/// What a row of [`get_relation`] says.
const FRIENDS: i32 = 0;
const ASKING: i32 = 1;
const ASKED: i32 = 2;

/// What `other` is to `me`.
pub(super) async fn get_relation(
    connection: &impl ConnectionTrait,
    me: AccountId,
    other: AccountId,
) -> Result<Relation, DbErr> {
    let mut relations =
        friendship::Entity::find_by_id(pair(me, other)).select_only().expr(Expr::val(FRIENDS)).into_query();
    let asks = |sender, receiver, relation: i32| {
        let request = friend_request::Entity::find_by_id((sender, receiver));
        request.select_only().expr(Expr::val(relation)).into_query()
    };
    relations.union(UnionType::All, asks(me, other, ASKING)).union(UnionType::All, asks(other, me, ASKED));
    let rows = connection.query_all(&relations).await?;
    let found = rows.iter().map(|row| row.try_get_by_index::<i32>(0)).collect::<Result<Vec<_>, _>>()?;
    Ok(match found.into_iter().min() {
        Some(FRIENDS) => Relation::Friends,
        Some(ASKING) => Relation::Asking,
        Some(_) => Relation::Asked,
        None => Relation::Strangers,
    })
}

/// Everyone who is a friend, and since when.
pub(super) async fn list_friends(
    connection: &impl ConnectionTrait,
    account: AccountId,
) -> Result<Vec<(AccountId, Millis)>, DbErr> {
    let rows = friendship::Entity::find()
        .filter(Condition::any().add(friendship::Column::LowId.eq(account)).add(friendship::Column::HighId.eq(account)))
        .order_by_asc(friendship::Column::CreatedAt)
        .all(connection)
        .await?;
    let other = |row: &friendship::Model| if row.low_id == account { row.high_id } else { row.low_id };
    Ok(rows.iter().map(|row| (other(row), row.created_at)).collect())
}

/// Of each of `accounts` that has any: friends, the oldest friendship first, and those who wait for an answer, the newest
/// first; each with the beginning.
pub(super) async fn list_around(
    connection: &impl ConnectionTrait,
    accounts: &[AccountId],
) -> Result<HashMap<AccountId, Around>, DbErr> {
    let (low, high) = (friendship::Column::LowId, friendship::Column::HighId);
    let ids = || accounts.iter().copied();
    let friends = |mine: friendship::Column, theirs: friendship::Column| {
        let rows = friendship::Entity::find().select_only().columns([mine, theirs, friendship::Column::CreatedAt]);
        rows.expr(Expr::val(false)).filter(db::among(connection, mine, ids())).into_query()
    };
    let (sender, receiver) = (friend_request::Column::SenderId, friend_request::Column::ReceiverId);
    let asking = friend_request::Entity::find()
        .select_only()
        .columns([receiver, sender, friend_request::Column::CreatedAt])
        .expr(Expr::val(true))
        .filter(db::among(connection, receiver, ids()))
        .into_query();
    // Each direction by its index.
    let all = friends(low, high).union(UnionType::All, friends(high, low)).union(UnionType::All, asking).take();
    let mut by_account: HashMap<_, Around> = HashMap::new();
    for row in connection.query_all(&all).await? {
        let (other, since) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        let around = by_account.entry(row.try_get_by_index(0)?).or_default();
        let list = if row.try_get_by_index(3)? { &mut around.asking } else { &mut around.friends };
        list.push((other, since));
    }
    for around in by_account.values_mut() {
        around.friends.sort_unstable_by_key(|(id, since)| (*since, *id));
        around.asking.sort_unstable_by_key(|(id, since)| Reverse((*since, *id)));
    }
    Ok(by_account)
}

/// Each of `accounts` with everyone who is a friend.
pub(super) async fn list_pairs(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
) -> Result<Vec<(AccountId, AccountId)>, DbErr> {
    let (low, high) = (friendship::Column::LowId, friendship::Column::HighId);
    let mut pairs = Vec::new();
    // Each direction by its index.
    for (mine, theirs) in [(low, high), (high, low)] {
        let of_them = db::among(connection, mine, accounts.iter().copied());
        let query = friendship::Entity::find().select_only().columns([mine, theirs]).filter(of_them);
        pairs.extend(query.into_tuple::<(AccountId, AccountId)>().all(connection).await?);
    }
    Ok(pairs)
}

/// In which direction a list of requests looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that wait for my answer.
    Received,
    /// Those that I wait for.
    Sent,
}

/// Requests of one direction, the newest first, and how many there are; all of them without a page.
pub(super) async fn list_requests(
    connection: &impl ConnectionTrait,
    account: AccountId,
    direction: Direction,
    page: Option<Span>,
) -> Result<(Vec<(AccountId, Millis)>, u64), DbErr> {
    let mine = match direction {
        Direction::Received => friend_request::Column::ReceiverId,
        Direction::Sent => friend_request::Column::SenderId,
    };
    let query = friend_request::Entity::find()
        .filter(mine.eq(account))
        .order_by_desc(friend_request::Column::CreatedAt)
        .order_by_desc(friend_request::Column::SenderId)
        .order_by_desc(friend_request::Column::ReceiverId);
    let (rows, total) = match page {
        None => {
            let rows = query.all(connection).await?;
            let total = rows.len() as u64;
            (rows, total)
        }
        Some(page) => {
            let total = query.clone().count(connection).await?;
            (query.offset(page.offset).limit(page.limit).all(connection).await?, total)
        }
    };
    let other = |row: &friend_request::Model| match direction {
        Direction::Received => row.sender_id,
        Direction::Sent => row.receiver_id,
    };
    Ok((rows.iter().map(|row| (other(row), row.created_at)).collect(), total))
}

pub(super) async fn insert_request(tx: &Tx, sender: AccountId, receiver: AccountId, at: Millis) -> Result<()> {
    let row = friend_request::ActiveModel { sender_id: Set(sender), receiver_id: Set(receiver), created_at: Set(at) };
    friend_request::Entity::insert(row)
        .exec_without_returning(&**tx)
        .await
        .map_err(|error| db::unique(error, ErrorCode::AlreadyFriends))?;
    Ok(())
}

pub(super) async fn delete_request(tx: &Tx, sender: AccountId, receiver: AccountId) -> Result<(), DbErr> {
    friend_request::Entity::delete_by_id((sender, receiver)).exec(&**tx).await?;
    Ok(())
}

pub(super) async fn insert_friendship(tx: &Tx, a: AccountId, b: AccountId, at: Millis) -> Result<()> {
    let (low, high) = pair(a, b);
    let row = friendship::ActiveModel { low_id: Set(low), high_id: Set(high), created_at: Set(at) };
    friendship::Entity::insert(row)
        .exec_without_returning(&**tx)
        .await
        .map_err(|error| db::unique(error, ErrorCode::AlreadyFriends))?;
    Ok(())
}

pub(super) async fn delete_friendship(tx: &Tx, a: AccountId, b: AccountId) -> Result<(), DbErr> {
    friendship::Entity::delete_by_id(pair(a, b)).exec(&**tx).await?;
    Ok(())
}
