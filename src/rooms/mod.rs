//! Rooms: making, entering, leaving, and who sits there.
//!
//! Promises that an account sits in at most one room, that a room never holds more than its seats, and that every
//! change is told in the room's channel in the order in which it was committed: every change locks first the account,
//! then the room. Being seated is durable; being connected is presence, which the hub knows.

mod moves;
pub mod pictures;
pub mod policy;
pub mod routes;
mod store;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use entity::{AccountId, Millis, RoomId, account, room};
use sea_orm::ConnectionTrait;

use self::moves::{Floor, Step};
use crate::{
    app::{App, Move, RoomList, Wish},
    db::Tx,
    error::{Error, ErrorCode, Result},
    http::page::Span,
    outbox, people,
    realtime::{
        Channel, Event,
        protocol::events::{CountView, ExitReason},
    },
    runs::{self, Standings},
};

/// What is needed to make a room.
#[derive(Debug)]
pub struct NewRoom {
    /// 1 to 100 characters.
    pub name: String,
    /// 0 to 300 characters.
    pub description: String,
    /// `None` for a room that is open to all.
    pub password: Option<String>,
}

/// Makes a room and seats its maker.
pub async fn create(app: &App, maker: AccountId, new: NewRoom) -> Result<RoomId> {
    let password_hash = match new.password {
        Some(password) => Some(app.auth.passwords().hash(password).await?),
        None => None,
    };
    let tx = app.db.begin().await?;
    let accounts = HashMap::from([(maker, people::lock_one(&tx, maker).await?)]);
    if let Some(seat) = store::find_membership(&*tx, maker).await? {
        return Err(Error::from(ErrorCode::AlreadyInRoom).with("room", seat.room_id.0).with_status(400));
    }
    let now = app.clock.now();
    let room = store::insert_room(&tx, new.name, new.description, password_hash, now).await?;
    moves::write(&tx, &accounts, vec![Step::Entered { who: maker, room: room.id }], now).await?;
    tx.commit().await?;
    Ok(room.id)
}

/// Seats `who` in a room. Whoever sits there already stays; a room's password is asked of everybody else.
pub async fn enter(app: &App, who: AccountId, room: RoomId, password: Option<String>, peer: IpAddr) -> Result<()> {
    // Before anything is locked: checking takes long.
    let proven = match password.filter(|password| !password.is_empty()) {
        Some(password) => prove(app, who, room, password, peer).await?,
        None => None,
    };
    moves::make(app, Move { who, wish: Wish::Enter { room, proven } }).await.map(|_| ())
}

/// Rooms whose rows have been inserted are there: they are found and counted.
pub async fn open(tx: &Tx, rooms: &[room::Model]) -> Result<()> {
    store::count_in(tx, rooms).await
}

/// The hash that `password` fits, if one is asked of `who`.
async fn prove(app: &App, who: AccountId, room: RoomId, password: String, peer: IpAddr) -> Result<Option<String>> {
    let Some(hash) = store::get_room(&*app.db, room).await?.password_hash else { return Ok(None) };
    if current(&*app.db, who).await? == Some(room) {
        return Ok(None);
    }
    let tries = format!("{who}:{room}");
    app.throttle.count(peer, "room_password", &tries, app.config.limits.room_password_per_account).await?;
    if !app.auth.passwords().verify(password, Some(hash.clone())).await? {
        return Err(ErrorCode::WrongPassword.into());
    }
    app.throttle.forgive("room_password", &tries).await;
    Ok(Some(hash))
}

/// Frees the seat of `who`: in `room`, or wherever it is. Answers which room that was.
pub async fn leave(app: &App, who: AccountId, room: Option<RoomId>) -> Result<RoomId> {
    let left = moves::make(app, Move { who, wish: Wish::Leave { room, reason: ExitReason::Left } }).await?;
    tell(app, left).await;
    Ok(left)
}

/// Tells a room what was committed about it without waiting for the relay: from here on no event of the room reaches
/// whoever has left.
pub async fn tell(app: &App, room: RoomId) {
    if let Err(error) = outbox::catch_up(&app.db, &app.hub, &[Channel::Room(room)]).await {
        tracing::warn!(%error, %room, "the relay will tell the room later");
    }
}

/// Frees the seat of `who`, if there is one, within a change that holds the account's lock. [`tell`] the room once that
/// is committed.
pub async fn leave_in(tx: &Tx, who: AccountId, reason: ExitReason, at: Millis) -> Result<Option<RoomId>> {
    let leaves = Move { who, wish: Wish::Leave { room: None, reason } };
    let mut floor = Floor::lock(tx, std::slice::from_ref(&leaves), 0).await?;
    match floor.make(&leaves) {
        Ok(room) => moves::write(tx, &HashMap::new(), floor.steps, at).await.map(|()| Some(room)),
        Err(error) if error.code() == ErrorCode::NotAMember => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets what `who` works on, for the room to see.
pub async fn set_goal(app: &App, who: AccountId, goal: Option<String>) -> Result<()> {
    let tx = app.db.begin().await?;
    people::lock_one(&tx, who).await?;
    let room = current(&*tx, who).await?.ok_or(ErrorCode::NotAMember)?;
    store::lock_room(&tx, room).await?;
    store::update_goal(&tx, who, goal.clone()).await?;
    let event = Event::GoalChanged { user: who.0, text: goal };
    outbox::say(&tx, Channel::Room(room), app.clock.now(), &event).await?;
    tx.commit().await
}

/// Tells the room that what is shown of a member has changed, within a change that holds the account's lock.
pub async fn member_changed(tx: &Tx, account: &account::Model, at: Millis) -> Result<()> {
    let Some(seat) = store::find_membership(&**tx, account.id).await? else { return Ok(()) };
    store::lock_room(tx, seat.room_id).await?;
    let standings = runs::standings(&**tx, at, [account.id]).await?;
    let member = pictures::member_view(account.into(), seat.goal, &standings);
    outbox::say(tx, Channel::Room(seat.room_id), at, &Event::RoomUpdated { member }).await
}

/// Tells the room in which `account` sits, if any, within a change that holds the account's lock.
pub async fn say(tx: &Tx, account: AccountId, at: Millis, event: &Event) -> Result<()> {
    let Some(room) = current(&**tx, account).await? else { return Ok(()) };
    store::lock_room(tx, room).await?;
    outbox::say(tx, Channel::Room(room), at, event).await
}

/// Where the account sits.
pub async fn current(connection: &impl ConnectionTrait, account: AccountId) -> Result<Option<RoomId>> {
    Ok(store::find_membership(connection, account).await?.map(|seat| seat.room_id))
}

/// A seat as others count it: the room, and how many sit there.
pub type Seat = (RoomId, u64);

/// Those of `accounts` that live, each with its seat.
pub async fn seated(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
) -> Result<Vec<(account::Model, Option<Seat>)>> {
    let found = store::list_seated(connection, accounts).await?;
    let seat = |room, size| (room, u64::try_from(size).unwrap_or(0));
    Ok(found.into_iter().map(|of| (of.account, of.room.map(|room| seat(room, of.size)))).collect())
}

/// Where each of `accounts` sits that sits anywhere.
pub async fn seats_of(
    connection: &impl ConnectionTrait,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<HashMap<AccountId, RoomId>> {
    Ok(store::list_seats_of(connection, accounts.into_iter().collect()).await?)
}

/// Who sits in a room.
pub async fn seats(connection: &impl ConnectionTrait, room: RoomId) -> Result<Vec<AccountId>> {
    Ok(store::list_seats(connection, &[room]).await?.remove(&room).unwrap_or_default())
}

/// The seat of each of `accounts` that has one.
pub async fn sized_seats_of(
    connection: &impl ConnectionTrait,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<HashMap<AccountId, Seat>> {
    let seats = seats_of(connection, accounts).await?;
    let sizes = store::count_seats(connection, seats.values().copied()).await?;
    let sized = |(account, room)| Some((account, (room, u64::try_from(*sizes.get(&room)?).unwrap_or(0))));
    Ok(seats.into_iter().filter_map(sized).collect())
}

/// Keeps a room as it is until `tx` ends: nobody enters, leaves or says anything committed.
pub async fn freeze(tx: &Tx, room: RoomId) -> Result<()> {
    store::lock_room(tx, room).await.map(|_| ())
}

/// One page of open rooms with their counts.
pub async fn list(app: &App, keyword: Option<&str>, page: Span) -> Result<Arc<RoomList>> {
    let key = (keyword.map(str::to_owned), page);
    let read = async |(keyword, page): (Option<String>, Span)| {
        let (rooms, total) = store::list_rooms(&*app.db, keyword.as_deref(), page).await?;
        let ids: Vec<_> = rooms.iter().map(|room| room.id).collect();
        let counts = counts(app, &ids).await?;
        Ok(RoomList { rooms: rooms.into_iter().zip(counts).collect(), total })
    };
    app.room_lists.ask_one(key, read).await
}

/// How many sit in each of `rooms`, and how many of them are online, in the same order.
pub async fn counts(app: &App, rooms: &[RoomId]) -> Result<Vec<CountView>> {
    let seats = store::list_seats(&*app.db, rooms).await?;
    let seated = |room: RoomId| seats.get(&room).map(Vec::as_slice).unwrap_or_default();
    let everybody: Vec<_> = rooms.iter().flat_map(|room| seated(*room)).copied().collect();
    let mut online = app.hub.seen(&everybody).await.into_iter();
    let count = |room: &RoomId| {
        let member_num = seated(*room).len();
        let online_num = online.by_ref().take(member_num).flatten().count() as u64;
        CountView { id: room.0, member_num: member_num as u64, online_num }
    };
    Ok(rooms.iter().map(count).collect())
}

/// A room with its members and since when each is online.
#[derive(Debug)]
pub struct Detail {
    /// The room.
    pub room: room::Model,
    /// Everyone who sits there.
    pub members: Vec<(account::Model, Option<Millis>)>,
    /// What each of them does.
    pub standings: Standings,
}

/// A room as it is: an open one, or one that has just been left by its last member.
pub async fn detail(app: &App, id: RoomId) -> Result<Detail> {
    let room = store::find_room(&*app.db, id).await?.ok_or(ErrorCode::RoomNotFound)?;
    let members = store::list_members(&*app.db, id).await?;
    let ids: Vec<_> = members.iter().map(|account| account.id).collect();
    let online = app.hub.seen(&ids).await;
    let standings = runs::standings(&*app.db, app.clock.now(), ids).await?;
    Ok(Detail { room, members: members.into_iter().zip(online).collect(), standings })
}
