//! The first push: who am I, what time is it, who is there, what did I miss.

use std::{future::ready, sync::Arc};

use entity::RoomId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    authenticate::Known,
    channels::{ChannelView, Channels},
    connection::Connection,
    picture, presence,
};
use crate::{
    error::Result,
    people::{self, PublicView},
    realtime::{
        Channel, CloseReason,
        broker::Delivery,
        protocol::{
            events::{FriendView, RequestView, RoomView, RunView},
            frames,
            ops::Since,
        },
        shown::Shown,
    },
    rooms,
};

#[derive(Serialize, ToSchema)]
pub(super) struct Hello<'a> {
    session: i64,
    instance: &'a str,
    server_time: i64,
    #[schema(value_type = u64)]
    heartbeat_ms: u128,
    token_expires_at: i64,
    max_frame: usize,
    user: PublicView,
    #[schema(required)]
    run: Option<RunView>,
    friends: Vec<FriendView>,
    requests: Vec<RequestView>,
    /// With its members, or its id alone where the missed events follow.
    #[schema(required)]
    room: Option<HelloRoom>,
    #[schema(value_type = BTreeMap<Channel, ChannelView>)]
    channels: Channels,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum HelloRoom {
    Whole(RoomView),
    Recovered { id: i64 },
}

impl Connection {
    /// `hello`, what was missed, and the gates opened. The inner result is the connection's.
    pub(super) async fn open(&mut self, known: Known) -> Result<Result<(), CloseReason>> {
        let app = self.app.clone();
        // The session may have ended while nobody could find this connection; from here on everybody can.
        app.auth.check_session(self.caller.account, self.caller.session).await?;
        let own = Channel::User(self.caller.account);
        app.hub.subscribe(&self.outlet, own).await?;
        let (mut user, mut place) = presence::connected(&app, &self.outlet).await?;
        let (room, channels, missed) = loop {
            let (mut channels, mut missed) = (Channels::new(), Vec::new());
            self.place(own, place, &known.since, &mut channels, &mut missed).await?;
            let seat = user.seat.map(|(room, _)| room);
            let room = self.open_room(seat, &known.since, &mut channels, &mut missed).await?;
            // A move that came meanwhile would follow a room's picture that is newer than itself: look again.
            let known = channels.get(&own).map_or(0, |line| line.place.off);
            if self.outlet.held_moves(own).iter().all(|off| *off <= known) {
                break (room, channels, missed);
            }
            self.leave_channel();
            (user, place) = picture::user(&app, self.caller.account, |_| ready(Ok(Vec::new()))).await?;
        };
        let hello = Hello {
            session: self.caller.session.0,
            instance: &app.hub.instance(),
            server_time: app.clock.now().0,
            heartbeat_ms: app.config.socket.heartbeat.as_millis(),
            token_expires_at: self.caller.expires_at.0,
            max_frame: app.config.socket.max_frame,
            user: people::public(&user.account, people::Closeness::Close, user.state),
            run: user.run,
            friends: user.friends,
            requests: user.requests,
            room,
            channels,
        };
        let answer = known.id.map(|id| frames::ok(Some(id), &serde_json::Map::new()));
        let mut frames: Vec<_> = answer.into_iter().chain([frames::push("hello", &hello)]).collect();
        frames.extend(missed.iter().map(|delivery| delivery.frame.clone()));
        self.write(frames);
        self.outlet.show(Shown::picture(self.room()));
        Ok(self.release_all(&hello.channels).await)
    }

    /// The room's part of `hello`: whole, and every move up to it has been said; or only its id where the missed events
    /// follow.
    async fn open_room(
        &mut self,
        seat: Option<RoomId>,
        since: &Since,
        channels: &mut Channels,
        missed: &mut Vec<Arc<Delivery>>,
    ) -> Result<Option<HelloRoom>> {
        let Some(room) = seat else { return Ok(None) };
        let channel = Channel::Room(room);
        self.app.hub.subscribe(&self.outlet, channel).await?;
        if let Some((events, place)) = self.missed(channel, since).await? {
            missed.extend(events);
            channels.insert(channel, ChannelView { place, recovered: Some(true) });
            if !self.app.hub.registry().has_hearers(channel) {
                // Nobody may have watched these timers either.
                self.app.hub.timers().touch(rooms::seats(&*self.app.db, room).await?);
            }
            return Ok(Some(HelloRoom::Recovered { id: room.0 }));
        }
        let Some((view, place)) = self.own_room(room).await? else {
            self.leave_channel();
            return Ok(None);
        };
        channels.insert(channel, ChannelView { place, recovered: Some(false) });
        Ok(Some(HelloRoom::Whole(view)))
    }
}
