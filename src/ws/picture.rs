//! Whole pictures and the places they stand at: what `hello` and snapshots say.
//!
//! Promises that a picture contains exactly the committed changes up to its place. It is read between two looks at the
//! channel; if a change was said meanwhile, or is committed but unsaid, it is read again, at last under the lock of the
//! row that serialises the channel. Its place is that of the first look: an edge of presence said between the two may or
//! may not be in the picture, so it follows it. Telling again what is there already changes nothing.

use entity::{AccountId, RoomId};
use sea_orm::ConnectionTrait;
use serde::Serialize;

use crate::{
    app::App,
    error::Result,
    friends, outbox, people,
    realtime::{
        Channel, Place,
        protocol::events::{FriendView, RequestView, RoomView},
    },
    rooms,
};

/// Looks without a lock before one is taken.
const TRIES: usize = 3;

/// What a user's own channel tells.
#[derive(Clone, Debug, Serialize)]
pub(super) struct UserView {
    pub(super) friends: Vec<FriendView>,
    pub(super) requests: Vec<RequestView>,
    /// Where the user sits. The room's picture says it to the client.
    #[serde(skip)]
    pub(super) seat: Option<RoomId>,
}

/// How a channel's state is read, inside a transaction or outside.
trait Read: Sync {
    type State;

    fn channel(&self) -> Channel;

    fn read<C: ConnectionTrait>(&self, connection: &C) -> impl Future<Output = Result<Self::State>> + Send;
}

impl Read for RoomId {
    type State = RoomView;

    fn channel(&self) -> Channel {
        Channel::Room(*self)
    }

    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<RoomView> {
        rooms::picture(connection, *self).await
    }
}

impl Read for AccountId {
    type State = UserView;

    fn channel(&self) -> Channel {
        Channel::User(*self)
    }

    async fn read<C: ConnectionTrait>(&self, connection: &C) -> Result<UserView> {
        Ok(UserView {
            friends: friends::friend_views(connection, *self).await?,
            requests: friends::request_views(connection, *self).await?,
            seat: rooms::current(connection, *self).await?,
        })
    }
}

/// A room with its members and who is online, and its place.
pub(super) async fn room(app: &App, id: RoomId) -> Result<(RoomView, Place)> {
    let (mut view, place) = consistent(app, id).await?;
    let ids: Vec<_> = view.members.iter().map(|member| AccountId(member.person.id)).collect();
    for (member, since) in view.members.iter_mut().zip(app.hub.broker().online(&ids).await?) {
        member.online = since.is_some();
        member.since = since.map(|at| at.0).or(member.since);
    }
    Ok((view, place))
}

/// A user's friends, who of them is online, requests and seat; and the place.
pub(super) async fn user(app: &App, id: AccountId) -> Result<(UserView, Place)> {
    let (mut view, place) = consistent(app, id).await?;
    let ids: Vec<_> = view.friends.iter().map(|friend| AccountId(friend.person.id)).collect();
    for (friend, since) in view.friends.iter_mut().zip(app.hub.broker().online(&ids).await?) {
        friend.online = since.is_some();
        friend.since = since.map(|at| at.0).or(friend.since);
    }
    Ok((view, place))
}

async fn consistent<R: Read>(app: &App, of: R) -> Result<(R::State, Place)> {
    let channel = of.channel();
    for _ in 0..TRIES {
        let before = app.hub.standing(channel).await?;
        let state = of.read(&*app.db).await?;
        if outbox::has_unsaid(&*app.db, channel).await? {
            outbox::flush(&*app.db, &app.hub, &[channel]).await?;
            continue;
        }
        let after = app.hub.standing(channel).await?;
        if before.place.epoch == after.place.epoch && before.last_key == after.last_key {
            return Ok((state, before.place));
        }
    }
    // Too busy to be caught standing still: nobody changes it while its row is locked. Everything is read by the
    // connection that holds the lock: whoever waited for another one meanwhile could empty the pool with its like.
    let tx = app.db.begin().await?;
    match channel {
        Channel::Room(room) => rooms::freeze(&tx, room).await?,
        Channel::User(account) => people::lock_one(&tx, account).await.map(|_| ())?,
    }
    outbox::flush(&*tx, &app.hub, &[channel]).await?;
    let place = app.hub.standing(channel).await?.place;
    let state = of.read(&*tx).await?;
    drop(tx);
    Ok((state, place))
}
