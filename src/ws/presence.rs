//! Tells who came and who is gone: to the room, and to friends.
//!
//! Promises that an edge is told after everything committed before it, so that nobody hears of a member before they
//! hear that there is one; and that two edges of one user are told in their order. What an edge is, `realtime` decides.

use std::{
    collections::{BTreeSet, HashMap},
    sync::OnceLock,
    time::Duration,
};

use entity::{AccountId, Millis};
use futures_util::future;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use super::picture::{self, UserView};
use crate::{
    app::App,
    error::Result,
    friends, outbox, people,
    realtime::{Channel, Event, Place, merge, outlet::Outlet, presence::Edge},
    rooms::{self, Seat},
    timer,
};

/// How exactly the delay of a merged event is kept.
const TICK: Duration = Duration::from_millis(50);

/// How long what could not be told waits.
const AGAIN: Duration = Duration::from_millis(250);

/// Graces that end in one step: their users share what the database is asked and told.
const TOGETHER: usize = 64;

/// A connection has authenticated. Answers what its user's channel tells.
pub(super) async fn connected(app: &App, outlet: &Outlet) -> Result<(UserView, Place)> {
    let user = outlet.account;
    let _one_edge_at_a_time = app.hub.edges().lock(user).await;
    let edge = OnceLock::new();
    let told = announce(app, outlet, &edge).await;
    if told.is_err() && edge.get().is_some() {
        // Nobody was told, so nobody is online: the connection ends and comes back.
        app.hub.disconnect(outlet, false).await?;
    }
    told
}

/// Connects, with its `edge`, while its user's picture is read: one that nothing was said about between the two holds
/// after the edge as well, and says who hears of it.
async fn announce(app: &App, outlet: &Outlet, edge: &OnceLock<Option<Edge>>) -> Result<(UserView, Place)> {
    let (user, began) = (outlet.account, app.clock.now());
    let connect = |view: &UserView| {
        let left_alone = view.open.as_ref().is_some_and(|run| timer::settle::wants_sight(run, began));
        let hearers = Hearers::of(view);
        async move {
            if edge.get().is_none() {
                // Before anybody is online: afterwards nobody could tell that a timer was left alone until now.
                if left_alone {
                    timer::sighted(app, user).await?;
                }
                let decided = app.hub.connect(outlet).await?;
                edge.get_or_init(|| decided);
            }
            // What was committed before the edge is said before it is told.
            Ok(if edge.get().is_some_and(Option::is_some) { hearers.channels().collect() } else { Vec::new() })
        }
    };
    let (view, place) = picture::user(app, user, connect).await?;
    if let Some(Some(edge)) = edge.get().copied() {
        let next = tell_those(app, vec![Telling { user, edge, decided: began, hearers: Hearers::of(&view) }]).await?;
        tell(app, next).await?;
    }
    Ok((view, place))
}

/// A connection is gone: lost, or ended by its owner for good.
pub(super) async fn disconnected(app: &App, outlet: &Outlet, for_good: bool) -> Result<()> {
    let _one_edge_at_a_time = app.hub.edges().lock(outlet.account).await;
    // While nobody can be found to be told, even the last goodbye is held: the end of the grace tries again.
    let held = !for_good || app.db.ping().await.is_err();
    let edge = app.hub.disconnect(outlet, held).await?;
    tell(app, edge.map(|edge| (outlet.account, edge)).into_iter().collect()).await
}

/// Ends graces and tells merged presence, until `stop`.
pub async fn watch(app: App, stop: CancellationToken) {
    let graces = async {
        while stop.run_until_cancelled(app.hub.broker().until_due(app.clock.now())).await.is_some() {
            if let Err(error) = expire(&app).await {
                tracing::debug!(%error, "graces don't end");
                stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
            }
        }
    };
    let merged = async {
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            tell_merged(&app).await;
        }
    };
    // Nobody who is told of one waits for the other.
    future::join(graces, merged).await;
}

async fn expire(app: &App) -> Result<()> {
    let broker = app.hub.broker();
    let mut due = broker.due(app.clock.now()).await?;
    if due.is_empty() || app.db.ping().await.is_err() {
        return Ok(());
    }
    // Instances that find the same users begin with different ones.
    due.shuffle(&mut rand::rng());
    for users in due.chunks(TOGETHER) {
        // Those whom a draining instance sends away come back to another; nobody is told that they left.
        if app.drain.is_cancelled() {
            break;
        }
        // Whoever comes or goes just now is due again if that changes nothing.
        let locks: Vec<_> = users.iter().filter_map(|user| app.hub.edges().try_lock(*user)).collect();
        let end = async |user| Ok(broker.expire(user, app.clock.now()).await?.map(|edge| (user, edge)));
        let ended = future::join_all(locks.iter().map(|lock| end(lock.user()))).await;
        let (ended, failed): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
        tell(app, ended.into_iter().flatten().flatten().collect()).await?;
        failed.into_iter().collect::<Result<Vec<_>>>()?;
    }
    Ok(())
}

/// Tells edges that have taken place, each of another user, and those that follow from what happened meanwhile. Who hears
/// of them is looked up only now: whoever enters a room later is told of with the presence that holds then.
async fn tell(app: &App, mut edges: Vec<(AccountId, Edge)>) -> Result<()> {
    while !edges.is_empty() {
        let decided = app.clock.now();
        let users = || edges.iter().map(|(user, _)| *user);
        let seats = rooms::sized_seats_of(&*app.db, users()).await?;
        let mut friends: HashMap<_, Vec<_>> = HashMap::new();
        for (user, friend) in friends::pairs(&*app.db, users()).await? {
            friends.entry(user).or_default().push(friend);
        }
        let telling = |(user, edge): &(AccountId, Edge)| Telling {
            user: *user,
            edge: *edge,
            decided,
            hearers: Hearers { friends: friends.remove(user).unwrap_or_default(), seat: seats.get(user).copied() },
        };
        let tellings: Vec<_> = edges.iter().map(telling).collect();
        let hearers: BTreeSet<_> = tellings.iter().flat_map(|telling| telling.hearers.channels()).collect();
        outbox::catch_up(&app.db, &app.hub, &Vec::from_iter(hearers)).await?;
        edges = tell_those(app, tellings).await?;
    }
    Ok(())
}

/// Who hears of a user's edges.
struct Hearers {
    friends: Vec<AccountId>,
    seat: Option<Seat>,
}

impl Hearers {
    fn of(view: &UserView) -> Self {
        Self { friends: view.friends.iter().map(|friend| AccountId(friend.person.id)).collect(), seat: view.seat }
    }

    fn channels(&self) -> impl Iterator<Item = Channel> {
        let room = self.seat.iter().map(|(room, _)| Channel::Room(*room));
        self.friends.iter().copied().map(Channel::User).chain(room)
    }
}

/// An edge, and who hears of it.
struct Telling {
    user: AccountId,
    edge: Edge,
    /// When, or before.
    decided: Millis,
    hearers: Hearers,
}

/// Tells friends and rooms, as they were looked up after the edges, and have heard what was committed before. Answers the
/// edges that follow.
async fn tell_those(app: &App, tellings: Vec<Telling>) -> Result<Vec<(AccountId, Edge)>> {
    let lost = tellings.iter().filter_map(|telling| match telling.edge {
        Edge::Offline { at, .. } => Some((telling.user, at)),
        Edge::Online { .. } => None,
    });
    // Before it is told: a picture read from now on shows since when.
    people::seen(&app.db, lost).await?;
    for telling in tellings.iter().filter(|telling| matches!(telling.edge, Edge::Offline { .. })) {
        if let Some(picture) = telling.hearers.seat.and_then(|(room, _)| app.pictures.get(&room)) {
            picture.left(telling.user);
        }
    }
    let say = async |telling: &Telling| {
        let (user, edge) = (telling.user, telling.edge);
        if !app.hub.broker().may_tell(user, telling.decided, app.clock.now()).await? {
            return Ok(None);
        }
        let merged = telling.hearers.seat.and_then(|(room, seats)| Some((room, merge::delay(seats)?)));
        if let Some((room, delay)) = merged {
            app.hub.merge().add(room, user, edge, app.clock.now(), delay);
        }
        let later = merged.map(|(room, _)| Channel::Room(room));
        for channel in telling.hearers.channels().filter(|channel| Some(*channel) != later) {
            app.hub.say(channel, &event(channel, user, edge)).await?;
            if app.hub.faults().doubles() {
                app.hub.say(channel, &event(channel, user, edge)).await?;
            }
        }
        Ok(app.hub.told(user).await?.map(|edge| (user, edge)))
    };
    let next: Result<Vec<_>> = future::join_all(tellings.iter().map(say)).await.into_iter().collect();
    Ok(next?.into_iter().flatten().collect())
}

fn event(channel: Channel, user: AccountId, edge: Edge) -> Event {
    let user = user.0;
    match (channel, edge) {
        (Channel::Room(_), Edge::Online { since }) => Event::PresenceOnline { user, since: since.0 },
        (Channel::Room(_), Edge::Offline { at, reason }) => Event::PresenceOffline { user, at: at.0, reason },
        (Channel::User(_), Edge::Online { since }) => Event::FriendOnline { user, since: since.0 },
        (Channel::User(_), Edge::Offline { at, reason }) => Event::FriendOffline { user, at: at.0, reason },
    }
}

async fn tell_merged(app: &App) {
    // Taken out before anything is awaited: the lock is the hub's.
    let due = app.hub.merge().due(app.clock.now());
    for (room, edges) in due {
        let channel = Channel::Room(room);
        let told = async {
            outbox::catch_up(&app.db, &app.hub, &[channel]).await?;
            app.hub.say(channel, &merge::batch(&edges)).await
        };
        if let Err(error) = told.await {
            tracing::debug!(%error, %room, "merged presence waits");
            app.hub.merge().put_back(room, edges, app.clock.now(), AGAIN);
        }
    }
}
