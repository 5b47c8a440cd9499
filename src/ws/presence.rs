//! Tells who came and who is gone: to the room, and to friends.
//!
//! Promises that an edge is told after everything committed before it, so that nobody hears of a member before they
//! hear that there is one; and that two edges of one user are told in their order. What an edge is, `realtime` decides.

use std::time::Duration;

use entity::{AccountId, Millis};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::picture::{self, UserView};
use crate::{
    app::App,
    error::Result,
    friends, outbox, people,
    realtime::{
        Channel, Event, Place,
        merge::{self, Told},
        outlet::Outlet,
        presence::Edge,
    },
    rooms::{self, Seat},
};

/// How exactly the end of a grace and the delay of a merged event are kept.
const TICK: Duration = Duration::from_millis(50);

/// A connection has authenticated. Answers what its user's channel tells, which was read for those who are told.
pub(super) async fn connected(app: &App, outlet: &Outlet) -> Result<(UserView, Place)> {
    let user = outlet.account;
    let _one_edge_at_a_time = app.hub.edge_lock(user).await;
    let edge = app.hub.connect(outlet).await?;
    let telling = async {
        let (view, place) = picture::user(app, user).await?;
        if let Some(edge) = edge {
            let friends = view.friends.iter().map(|friend| AccountId(friend.person.id)).collect();
            tell_those(app, user, told(app, user, edge).await?, friends, view.seat).await?;
            tell(app, user, app.hub.told(user).await?).await?;
        }
        Ok((view, place))
    };
    let told = telling.await;
    if told.is_err() {
        // Nobody was told, so nobody is online: the connection ends and comes back.
        app.hub.disconnect(outlet, false).await?;
    }
    told
}

/// A connection is gone: lost, or ended by its owner for good.
pub(super) async fn disconnected(app: &App, outlet: &Outlet, for_good: bool) -> Result<()> {
    let _one_edge_at_a_time = app.hub.edge_lock(outlet.account).await;
    // While nobody can be found to be told, even the last goodbye is held: the end of the grace tries again.
    let held = !for_good || app.db.ping().await.is_err();
    let edge = app.hub.disconnect(outlet, held).await?;
    tell(app, outlet.account, edge).await
}

/// Ends graces and tells merged presence, until `stop`.
pub async fn watch(app: App, stop: CancellationToken) {
    let mut look_at = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        if look_at <= Instant::now() {
            look_at = Instant::now() + app.hub.broker().pace();
            if let Err(error) = expire(&app).await {
                tracing::debug!(%error, "graces don't end");
            }
        }
        if let Err(error) = tell_merged(&app).await {
            tracing::warn!(%error, "telling merged presence");
        }
    }
}

async fn expire(app: &App) -> Result<()> {
    // Those whom a draining instance sends away come back to another; nobody is told that they left.
    if app.drain.is_cancelled() {
        return Ok(());
    }
    let due = app.hub.broker().due(app.clock.now()).await?;
    if due.is_empty() || app.db.ping().await.is_err() {
        return Ok(());
    }
    for user in due {
        let _one_edge_at_a_time = app.hub.edge_lock(user).await;
        let edge = app.hub.broker().expire(user, app.clock.now()).await?;
        tell(app, user, edge).await?;
    }
    Ok(())
}

/// Tells an edge that has taken place, and those that follow from what happened meanwhile.
async fn tell(app: &App, user: AccountId, edge: Option<Edge>) -> Result<()> {
    let mut next = edge;
    while let Some(edge) = next {
        tell_one(app, user, edge).await?;
        next = app.hub.told(user).await?;
    }
    Ok(())
}

/// Tells one edge. Who hears of it is looked up only now: whoever enters a room later is told of
/// with the presence that holds then.
async fn tell_one(app: &App, user: AccountId, edge: Edge) -> Result<()> {
    let told = told(app, user, edge).await?;
    let friends = friends::ids(&*app.db, user).await?;
    tell_those(app, user, told, friends, rooms::seat(&*app.db, user).await?).await
}

/// What is told of an edge.
async fn told(app: &App, user: AccountId, edge: Edge) -> Result<Told> {
    match edge {
        Edge::Online { since } => Ok(Told::Online(since)),
        Edge::Offline { at, reason } => {
            // Before it is told: a picture read from now on shows since when.
            people::seen(&app.db, user, at).await?;
            Ok(Told::Offline(at, reason))
        }
    }
}

/// Tells friends and the room, as they were looked up after the edge.
async fn tell_those(app: &App, user: AccountId, told: Told, friends: Vec<AccountId>, seat: Option<Seat>) -> Result<()> {
    let mut channels: Vec<_> = friends.into_iter().map(Channel::User).collect();
    if let Some((room, seats)) = seat {
        if matches!(told, Told::Offline(..)) {
            // It says when its absent members were last seen.
            app.pictures.invalidate(&room);
        }
        match merge::delay(seats) {
            None => channels.push(Channel::Room(room)),
            Some(delay) => app.hub.merge().add(room, user, told, app.clock.now(), delay),
        }
    }
    outbox::catch_up(&app.db, &app.hub, &channels).await?;
    for channel in channels {
        app.hub.say(channel, &event(channel, user, told)).await?;
        if app.hub.faults().doubles() {
            app.hub.say(channel, &event(channel, user, told)).await?;
        }
    }
    Ok(())
}

fn event(channel: Channel, user: AccountId, told: Told) -> Event {
    let user = user.0;
    match (channel, told) {
        (Channel::Room(_), Told::Online(Millis(since))) => Event::PresenceOnline { user, since },
        (Channel::Room(_), Told::Offline(Millis(at), reason)) => Event::PresenceOffline { user, at, reason },
        (Channel::User(_), Told::Online(Millis(since))) => Event::FriendOnline { user, since },
        (Channel::User(_), Told::Offline(Millis(at), reason)) => Event::FriendOffline { user, at, reason },
    }
}

async fn tell_merged(app: &App) -> Result<()> {
    // Taken out before anything is awaited: the lock is the hub's.
    let due = app.hub.merge().due(app.clock.now());
    for (room, event) in due {
        let channel = Channel::Room(room);
        outbox::catch_up(&app.db, &app.hub, &[channel]).await?;
        app.hub.say(channel, &event).await?;
    }
    Ok(())
}
