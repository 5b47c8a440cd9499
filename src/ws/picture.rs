//! Whole pictures and the places they stand at: what `hello` and snapshots say.
//!
//! Promises that a picture contains exactly the committed changes up to its place. It is read between two looks at the
//! channel, of which the second comes when everything committed has been said; if that was more, it is read again, at
//! last under the lock of the row that serialises the channel. Its place is that of the first look: an edge of presence
//! said between the two may or may not be in the picture, so it follows it. Telling again what is there already changes
//! nothing.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    iter,
    sync::Arc,
};

use entity::{AccountId, Millis, RoomId, account};
use moka::ops::compute::Op;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::{App, Picture, Portrait},
    db::Tx,
    error::{ErrorCode, Result},
    friends, outbox, people,
    realtime::{
        Channel, Place,
        broker::{Delivery, Standing},
        protocol::events::{FriendView, RequestView, RoomView, Routing, RunView},
    },
    rooms::{self, Seat, pictures},
    runs::{Run, State},
};

/// Looks without a lock before one is taken.
const TRIES: usize = 3;

/// What a user's own channel tells.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    pub(super) friends: Vec<FriendView>,
    pub(super) requests: Vec<RequestView>,
    /// One's own timer.
    #[schema(required)]
    pub(super) run: Option<RunView>,
    /// Who it is; only `hello` says that.
    #[serde(skip)]
    pub(super) account: account::Model,
    /// What one does; `run` says it to the client.
    #[serde(skip)]
    pub(super) state: State,
    /// One's own timer as it was read.
    #[serde(skip)]
    pub(super) open: Option<Run>,
    /// Where the user sits. The room's picture says it to the client.
    #[serde(skip)]
    pub(super) seat: Option<Seat>,
}

/// A room with its members and who is online, and its place. What is committed about `also` has been said by then.
pub(super) async fn room(app: &App, id: RoomId, also: Channel) -> Result<(RoomView, Place)> {
    let channel = Channel::Room(id);
    // In its place before anything is read, so that whoever tells of a departure finds it.
    let known = app.pictures.entry(id).or_default().into_value();
    let seen = known.departures();
    let read = |standing| drawn(app, id, &known, standing);
    let (mut view, online, place) = match caught(app, channel, read, |_| ready(Ok(vec![also]))).await? {
        Some(((view, online), standing)) => {
            let place = standing.place.clone();
            let next = Arc::new(known.next(standing, view.clone(), seen));
            app.pictures.entry(id).and_compute_with(|current| match current {
                Some(current) if current.value().follows(&next) => Op::Put(next),
                // One that has lost its place may have missed a departure.
                _ => Op::Nop,
            });
            (view, online, place)
        }
        None => {
            let (tx, place) = frozen(app, channel).await?;
            let view = pictures::draw(&*tx, vec![id], app.clock.now()).await?.remove(&id);
            let view = view.ok_or(ErrorCode::RoomNotFound)?;
            tx.commit_quietly().await?;
            outbox::catch_up(&app.db, &app.hub, &[also]).await?;
            (view, None, place)
        }
    };
    let online = match online {
        Some(online) => online,
        None => app.hub.broker().online(&ids(&view)).await?,
    };
    // Whoever reads the picture wants to hear its phases ring.
    app.hub.timers().touch(view.members.iter().filter(|member| member.run.is_some()).map(|m| AccountId(m.person.id)));
    for (member, since) in view.members.iter_mut().zip(online) {
        member.online = since.is_some();
        member.since = since.map(|at| at.0).or(member.since);
    }
    Ok((view, place))
}

/// A room's picture before presence is known, and since when each member is online if that had to be asked for. One that
/// was drawn already is as good as a new one, but for what was committed since, for who went offline and for what time
/// alone changes: in a crowd, only the first reads everybody's rows.
async fn drawn(
    app: &App,
    id: RoomId,
    known: &Picture,
    standing: Standing,
) -> Result<(RoomView, Option<Vec<Option<Millis>>>)> {
    let Some(view) = updated(app, id, known, &standing).await? else {
        let draw = |ids| pictures::draw(&*app.db, ids, app.clock.now());
        let view = app.drawings.ask(vec![id], draw).await?.remove(&id);
        return Ok((view.ok_or(ErrorCode::RoomNotFound)?, None));
    };
    let ids = ids(&view);
    let online = app.hub.broker().online(&ids).await?;
    let away = ids.into_iter().zip(&online).filter(|(_, online)| online.is_none()).map(|(id, _)| id);
    // One instance alone has told everybody's departure itself.
    let left = away.filter(|id| !app.is_alone() || known.has_left(*id));
    Ok((pictures::redraw(app, view, left.collect()).await?, Some(online)))
}

/// What is known already, with everything that was committed up to `standing`; nothing, if that takes a new picture.
async fn updated(app: &App, id: RoomId, known: &Picture, standing: &Standing) -> Result<Option<RoomView>> {
    let Some((drawn, view)) = &known.drawn else { return Ok(None) };
    if drawn.place.epoch != standing.place.epoch {
        return Ok(None);
    }
    if drawn.last_key == standing.last_key {
        return Ok(Some(view.clone()));
    }
    let since = app.hub.broker().since(Channel::Room(id), &drawn.place.epoch, drawn.place.off).await?;
    let Some((left, changed)) = since.and_then(|(events, _)| concerned(&events)) else { return Ok(None) };
    // Where most have changed, all are read as quickly.
    if changed.len() > view.members.len() / 2 {
        return Ok(None);
    }
    Ok(Some(pictures::reseat(app, view.clone(), &left, changed).await?))
}

/// Who has left, and whom else `events` of a room concern; nothing, if one of them tells more than that.
fn concerned(events: &[Arc<Delivery>]) -> Option<(BTreeSet<AccountId>, BTreeSet<AccountId>)> {
    let (mut left, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for Routing { state_of, presence_of, timer_of, detach, .. } in events.iter().map(|event| event.routing) {
        match detach.or(presence_of).or(timer_of).map(AccountId) {
            Some(user) => changed.insert(user),
            // Presence is no part of what is kept.
            None => state_of.map(|_| false)?,
        };
        left.extend(detach.map(AccountId));
    }
    Some((left, changed))
}

fn ids(view: &RoomView) -> Vec<AccountId> {
    view.members.iter().map(|member| AccountId(member.person.id)).collect()
}

/// A user's friends, who of them is online, requests and seat; and the place. `meanwhile` is done between the two looks;
/// what is committed about the channels that it answers has been said when this ends.
pub(super) async fn user<M, S>(app: &App, id: AccountId, meanwhile: M) -> Result<(UserView, Place)>
where
    M: Fn(&UserView) -> S,
    S: Future<Output = Result<Vec<Channel>>> + Send,
{
    let channel = Channel::User(id);
    let find = |ids| portraits(&*app.db, ids, app.clock.now());
    let read = async |_| {
        let found = app.portraits.ask(vec![id], find).await?.remove(&id);
        UserView::of(found, app.clock.now())
    };
    let (mut view, place) = match caught(app, channel, read, &meanwhile).await? {
        Some((view, standing)) => (view, standing.place),
        None => {
            let (tx, place) = frozen(app, channel).await?;
            let now = app.clock.now();
            let view = UserView::of(portraits(&*tx, vec![id], now).await?.remove(&id), now)?;
            tx.commit_quietly().await?;
            outbox::catch_up(&app.db, &app.hub, &meanwhile(&view).await?).await?;
            (view, place)
        }
    };
    // Whoever reads the picture wants to hear these phases ring.
    let own = view.run.is_some().then_some(id);
    let friends = view.friends.iter().filter(|friend| friend.person.state != State::Idle.as_str());
    app.hub.timers().touch(own.into_iter().chain(friends.map(|friend| AccountId(friend.person.id))));
    let ids: Vec<_> = view.friends.iter().map(|friend| AccountId(friend.person.id)).collect();
    for (friend, since) in view.friends.iter_mut().zip(app.hub.broker().online(&ids).await?) {
        friend.online = since.is_some();
        friend.since = since.map(|at| at.0).or(friend.since);
    }
    Ok((view, place))
}

impl UserView {
    /// Who lives no more has no picture.
    fn of(portrait: Option<Portrait>, now: Millis) -> Result<Self> {
        let Portrait { account, seat, friends, requests, run: open } = portrait.ok_or(ErrorCode::AccountNotFound)?;
        let state = open.as_ref().map_or(State::Idle, |run| run.state(now));
        let run = open.as_ref().filter(|_| state != State::Idle).map(|run| run.view(now));
        Ok(Self { friends, requests, run, account, state, open, seat })
    }
}

/// Those of `ids` that live.
async fn portraits(
    connection: &impl ConnectionTrait,
    ids: Vec<AccountId>,
    now: Millis,
) -> Result<HashMap<AccountId, Portrait>> {
    let (mut around, standings) = friends::around(connection, &ids, now).await?;
    let portrait = |(account, seat): (account::Model, _)| {
        let (friends, requests) = around.remove(&account.id).unwrap_or_default();
        (account.id, Portrait { seat, friends, requests, run: standings.run(account.id).cloned(), account })
    };
    Ok(rooms::seated(connection, ids).await?.into_iter().map(portrait).collect())
}

/// The state of a channel that stood still while it was read, and where it stood; nothing if it never did. In between,
/// `meanwhile` is done, and what is committed about the channel and about those that it answers is said.
async fn caught<T, F, R, M, S>(app: &App, channel: Channel, read: F, meanwhile: M) -> Result<Option<(T, Standing)>>
where
    F: Fn(Standing) -> R,
    R: Future<Output = Result<T>> + Send,
    M: Fn(&T) -> S,
    S: Future<Output = Result<Vec<Channel>>> + Send,
{
    for _ in 0..TRIES {
        let before = app.hub.standing(channel).await?;
        let state = read(before.clone()).await?;
        let channels: Vec<_> = iter::once(channel).chain(meanwhile(&state).await?).collect();
        outbox::catch_up(&app.db, &app.hub, &channels).await?;
        let after = app.hub.standing(channel).await?;
        if before.place.epoch == after.place.epoch && before.last_key == after.last_key {
            return Ok(Some((state, before)));
        }
    }
    Ok(None)
}

/// The place of a channel that is too busy to be caught standing still: nobody changes it until the transaction ends.
/// Its state must be read in that transaction, on the connection that it has already: in a crowd, those who wait for
/// the lock hold all others.
async fn frozen(app: &App, channel: Channel) -> Result<(Tx, Place)> {
    let tx = app.db.begin().await?;
    match channel {
        Channel::Room(room) => rooms::freeze(&tx, room).await?,
        Channel::User(account) => people::lock_one(&tx, account).await.map(|_| ())?,
    }
    outbox::flush(&*tx, &app.hub, &[channel]).await?;
    let place = app.hub.standing(channel).await?.place;
    Ok((tx, place))
}
