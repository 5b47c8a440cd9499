//! Rooms and seats in the database. An open room is one that is not closed; closed ones are history.

use std::collections::{BTreeSet, HashMap};

use entity::{AccountId, Millis, RoomId, account, membership, room};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder,
    QuerySelect, RelationDef, Select,
    sea_query::{Expr, Order, Query},
};

use crate::{
    db::{self, Tx},
    error::{ErrorCode, Result},
    grams,
    http::page::Span,
    people::Face,
    tally::{self, Changes, Group, buckets::first_id},
};

fn open() -> Select<room::Entity> {
    room::Entity::find().filter(room::Column::ClosedAt.is_null())
}

/// A room, open or closed.
pub(super) async fn find_room(connection: &impl ConnectionTrait, id: RoomId) -> Result<Option<room::Model>, DbErr> {
    room::Entity::find_by_id(id).one(connection).await
}

/// Those of `ids` that are open.
pub(super) async fn list_open(connection: &impl ConnectionTrait, ids: &[RoomId]) -> Result<Vec<room::Model>, DbErr> {
    open().filter(db::among(connection, room::Column::Id, ids.iter().copied())).all(connection).await
}

pub(super) async fn get_room(connection: &impl ConnectionTrait, id: RoomId) -> Result<room::Model> {
    let room = open().filter(room::Column::Id.eq(id)).one(connection).await?;
    Ok(room.ok_or(ErrorCode::RoomNotFound)?)
}

/// Locks those of `ids` that are open, always in ascending order, so that no two can wait for each other. Whoever says
/// something in a room's channel holds its lock.
pub(super) async fn lock_rooms(
    tx: &Tx,
    ids: impl IntoIterator<Item = RoomId>,
) -> Result<HashMap<RoomId, room::Model>, DbErr> {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rooms = open()
        .filter(db::among(&**tx, room::Column::Id, ids))
        .order_by_asc(room::Column::Id)
        .lock_exclusive()
        .all(&**tx)
        .await?;
    Ok(rooms.into_iter().map(|room| (room.id, room)).collect())
}

/// Locks one room, which must be open.
pub(super) async fn lock_room(tx: &Tx, id: RoomId) -> Result<room::Model> {
    Ok(lock_rooms(tx, [id]).await?.remove(&id).ok_or(ErrorCode::RoomNotFound)?)
}

/// One page of open rooms, the newest first, and how many there are.
pub(super) async fn list_rooms(
    connection: &impl ConnectionTrait,
    keyword: Option<&str>,
    page: Span,
) -> Result<(Vec<room::Model>, u64)> {
    let newest = open().order_by_desc(room::Column::Id);
    let Some(keyword) = keyword else {
        let blocks = tally::blocks(connection, Group::OpenRooms).await?;
        let total = u64::try_from(blocks.total()).unwrap_or(0);
        let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
        let Some((block, newer)) = blocks.locate_back(offset) else { return Ok((Vec::new(), total)) };
        let rows = newest
            .filter(room::Column::Id.lt(first_id(block + 1)))
            .offset(u64::try_from(offset - newer).unwrap_or(0))
            .limit(page.limit);
        return Ok((rows.all(connection).await?, total));
    };
    let hits = grams::ROOMS.hits(&keyword.to_lowercase());
    let (ids, total) = grams::page(connection, hits, Order::Desc, page).await?;
    Ok((newest.filter(db::among(connection, room::Column::Id, ids)).all(connection).await?, total))
}

pub(super) async fn insert_room(
    tx: &Tx,
    name: String,
    description: String,
    password_hash: Option<String>,
    at: Millis,
) -> Result<room::Model> {
    let row = room::ActiveModel {
        search_name: Set(name.to_lowercase()),
        name: Set(name),
        description: Set(description),
        password_hash: Set(password_hash),
        created_at: Set(at),
        ..Default::default()
    };
    let room = room::Entity::insert(row).exec_with_returning(&**tx).await?;
    count_in(tx, std::slice::from_ref(&room)).await?;
    Ok(room)
}

/// New rooms can be found, and are counted.
pub(super) async fn count_in(tx: &Tx, rooms: &[room::Model]) -> Result<()> {
    grams::ROOMS.insert(tx, rooms.iter().map(|room| (room.id.0, room.search_name.as_str()))).await?;
    let mut come = Changes::default();
    rooms.iter().for_each(|room| come.belongs(room.id.0, Group::OpenRooms, 1));
    tally::append(tx, &come).await
}

/// A closed room is history: nobody finds it any more.
pub(super) async fn update_closed(tx: &Tx, room: &room::Model, at: Millis) -> Result<()> {
    room::Entity::update_many()
        .col_expr(room::Column::ClosedAt, Expr::value(at.0))
        .filter(room::Column::Id.eq(room.id))
        .exec(&**tx)
        .await?;
    let mut gone = Changes::default();
    gone.belongs(room.id.0, Group::OpenRooms, -1);
    tally::append(tx, &gone).await?;
    grams::ROOMS.update(tx, room.id.0, &room.search_name, "").await
}

pub(super) async fn find_membership(
    connection: &impl ConnectionTrait,
    account: AccountId,
) -> Result<Option<membership::Model>, DbErr> {
    membership::Entity::find_by_id(account).one(connection).await
}

/// An account and where it sits.
#[derive(FromQueryResult)]
pub(super) struct Seated {
    #[sea_orm(nested)]
    pub(super) account: account::Model,
    pub(super) room: Option<RoomId>,
    /// How many sit there.
    pub(super) size: i64,
}

/// Those of `accounts` that live, and where they sit.
pub(super) async fn list_seated(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
) -> Result<Vec<Seated>, DbErr> {
    let there = Expr::col(("there", membership::Column::RoomId));
    let size = Query::select()
        .expr(Expr::col(("there", membership::Column::AccountId)).count())
        .from_as(membership::Entity, "there")
        .and_where(there.equals((membership::Entity, membership::Column::RoomId)))
        .take();
    account::Entity::find()
        .filter(db::among(connection, account::Column::Id, accounts))
        .filter(account::Column::DeletedAt.is_null())
        .join(JoinType::LeftJoin, belongs_to_account().rev())
        .column_as(membership::Column::RoomId, "room")
        .expr_as(size, "size")
        .into_model()
        .all(connection)
        .await
}

/// Those whose seats are `these`, in the order of entering.
fn members(these: Expr) -> Select<account::Entity> {
    account::Entity::find()
        .join(JoinType::InnerJoin, belongs_to_account().rev())
        .filter(these)
        .filter(account::Column::DeletedAt.is_null())
        .order_by_asc(membership::Column::EnteredAt)
        .order_by_asc(membership::Column::AccountId)
}

/// The accounts of those who sit in a room, in the order of entering.
pub(super) async fn list_members(
    connection: &impl ConnectionTrait,
    room: RoomId,
) -> Result<Vec<account::Model>, DbErr> {
    members(membership::Column::RoomId.eq(room)).all(connection).await
}

/// A member as others see them.
#[derive(FromQueryResult)]
pub(super) struct Member {
    pub(super) room_id: RoomId,
    pub(super) entered_at: Millis,
    #[sea_orm(nested)]
    pub(super) face: Face,
    /// What the member works on.
    pub(super) goal: Option<String>,
}

/// Those who sit in `rooms` as others see them, in the order of entering.
pub(super) async fn list_faces(connection: &impl ConnectionTrait, rooms: &[RoomId]) -> Result<Vec<Member>, DbErr> {
    faces(connection, db::among(connection, membership::Column::RoomId, rooms.iter().copied())).await
}

/// Those of `accounts` who sit anywhere, as others see them.
pub(super) async fn list_faces_of(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
) -> Result<Vec<Member>, DbErr> {
    faces(connection, db::among(connection, membership::Column::AccountId, accounts)).await
}

async fn faces(connection: &impl ConnectionTrait, these: Expr) -> Result<Vec<Member>, DbErr> {
    use account::Column::{FirstName, Id, Image, LastName, SeenAt};
    members(these)
        .select_only()
        .columns([Id, LastName, FirstName, Image, SeenAt])
        .columns([membership::Column::RoomId, membership::Column::EnteredAt, membership::Column::Goal])
        .into_model()
        .all(connection)
        .await
}

fn belongs_to_account() -> RelationDef {
    membership::Entity::belongs_to(account::Entity).from(membership::Column::AccountId).to(account::Column::Id).into()
}

/// Who sits in each of `rooms`.
pub(super) async fn list_seats(
    connection: &impl ConnectionTrait,
    rooms: &[RoomId],
) -> Result<HashMap<RoomId, Vec<AccountId>>, DbErr> {
    let seats = membership::Entity::find()
        .select_only()
        .columns([membership::Column::RoomId, membership::Column::AccountId])
        .filter(db::among(connection, membership::Column::RoomId, rooms.iter().copied()))
        .into_tuple::<(RoomId, AccountId)>()
        .all(connection)
        .await?;
    let mut by_room: HashMap<_, Vec<_>> = HashMap::new();
    for (room, account) in seats {
        by_room.entry(room).or_default().push(account);
    }
    Ok(by_room)
}

/// Where each of `accounts` sits.
pub(super) async fn list_seats_of(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
) -> Result<HashMap<AccountId, RoomId>, DbErr> {
    let seats = membership::Entity::find()
        .filter(db::among(connection, membership::Column::AccountId, accounts))
        .all(connection)
        .await?;
    Ok(seats.into_iter().map(|seat| (seat.account_id, seat.room_id)).collect())
}

/// How many sit in each of `rooms`.
pub(super) async fn count_seats(
    connection: &impl ConnectionTrait,
    rooms: impl IntoIterator<Item = RoomId>,
) -> Result<HashMap<RoomId, i64>, DbErr> {
    let rooms: BTreeSet<_> = rooms.into_iter().collect();
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let sizes = membership::Entity::find()
        .select_only()
        .column(membership::Column::RoomId)
        .column_as(membership::Column::AccountId.count(), "size")
        .filter(db::among(connection, membership::Column::RoomId, rooms))
        .group_by(membership::Column::RoomId)
        .into_tuple::<(RoomId, i64)>()
        .all(connection)
        .await?;
    Ok(sizes.into_iter().collect())
}

pub(super) async fn insert_memberships(tx: &Tx, seats: &[(AccountId, RoomId)], at: Millis) -> Result<(), DbErr> {
    if seats.is_empty() {
        return Ok(());
    }
    let row = |(account, room): &(AccountId, RoomId)| membership::ActiveModel {
        account_id: Set(*account),
        room_id: Set(*room),
        goal: Set(None),
        entered_at: Set(at),
    };
    membership::Entity::insert_many(seats.iter().map(row)).exec_without_returning(&**tx).await?;
    Ok(())
}

pub(super) async fn delete_memberships(tx: &Tx, accounts: Vec<AccountId>) -> Result<(), DbErr> {
    if accounts.is_empty() {
        return Ok(());
    }
    let theirs = db::among(&**tx, membership::Column::AccountId, accounts);
    membership::Entity::delete_many().filter(theirs).exec(&**tx).await?;
    Ok(())
}

pub(super) async fn update_goal(tx: &Tx, account: AccountId, goal: Option<String>) -> Result<(), DbErr> {
    membership::Entity::update_many()
        .col_expr(membership::Column::Goal, Expr::value(goal))
        .filter(membership::Column::AccountId.eq(account))
        .exec(&**tx)
        .await?;
    Ok(())
}
