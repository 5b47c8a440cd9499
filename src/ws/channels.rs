//! The channels that a connection listens to: following its user from room to room, and making up for what was missed.
//!
//! Promises no gap between a picture and what follows it: a channel's gate is closed before its state is read, and
//! opened at the place where the state stands.

use std::{collections::BTreeMap, future::ready, sync::Arc};

use entity::RoomId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{connection::Connection, picture};
use crate::{
    error::{ErrorCode, Result},
    realtime::{
        Channel, CloseReason, Place,
        broker::Delivery,
        protocol::{Frame, events::RoomView, frames, ops::Since},
        shown::Shown,
    },
    rooms,
};

/// A channel's line in `hello` and in the answer to `sync`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelView {
    #[serde(flatten)]
    pub(super) place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) recovered: Option<bool>,
}

impl From<Place> for ChannelView {
    fn from(place: Place) -> Self {
        Self { place, recovered: None }
    }
}

/// Places by channel.
pub(super) type Channels = BTreeMap<Channel, ChannelView>;

/// The whole state of a channel and the place it stands at.
#[derive(Serialize, ToSchema)]
pub(super) struct Snapshot<T> {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    state: T,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RoomState {
    /// Null for whoever doesn't sit there any more.
    #[schema(required)]
    pub(super) room: Option<RoomView>,
}

/// Missed events in order, and the place where they end.
type Missed = (Vec<Arc<Delivery>>, Place);

#[derive(Serialize, ToSchema)]
pub(super) struct Synced<'a> {
    #[schema(value_type = BTreeMap<Channel, ChannelView>)]
    channels: &'a Channels,
}

impl Connection {
    /// Puts the channel's line: recovered with its missed events, or standing at `place`.
    pub(super) async fn place(
        &mut self,
        channel: Channel,
        place: Place,
        since: &Since,
        channels: &mut Channels,
        missed: &mut Vec<Arc<Delivery>>,
    ) -> Result<()> {
        let line = match self.missed(channel, since).await? {
            Some((events, place)) => {
                missed.extend(events);
                ChannelView { place, recovered: Some(true) }
            }
            None => ChannelView { place, recovered: Some(false) },
        };
        channels.insert(channel, line);
        Ok(())
    }

    /// What the client has missed, if it says where it stands and that is still known. Whoever moved to and fro is
    /// shown where that led: the way there would lead away from the room's picture, which is newer.
    pub(super) async fn missed(&mut self, channel: Channel, since: &Since) -> Result<Option<Missed>> {
        let Some((epoch, off)) = since.get(&channel) else { return Ok(None) };
        let me = Some(self.caller.account.0);
        let missed = self.app.hub.broker().since(channel, epoch, *off).await?;
        let missed = missed.filter(|(events, _)| {
            events.iter().filter(|event| event.routing.follow).count() <= 1
                && events.iter().all(|event| event.routing.detach != me)
        });
        self.app.metrics.resumed(missed.is_some());
        Ok(missed)
    }

    /// The room's picture, unless the user does not sit there any more. Every move up to it has been said.
    pub(super) async fn own_room(&mut self, room: RoomId) -> Result<Option<(RoomView, Place)>> {
        let own = Channel::User(self.caller.account);
        let (view, place) = match picture::room(&self.app, room, own).await {
            Err(error) if error.code() == ErrorCode::RoomNotFound => return Ok(None),
            other => other?,
        };
        let sits_there = view.members.iter().any(|member| member.person.id == self.caller.account.0);
        Ok(sits_there.then_some((view, place)))
    }

    pub(super) fn leave_channel(&self) {
        if let Some(room) = self.outlet.room() {
            self.app.hub.unsubscribe(&self.outlet, room);
        }
    }

    /// Opens the gates at their places. A gate that held too much says so, and its state is read again.
    pub(super) async fn release_all(&mut self, channels: &Channels) -> Result<(), CloseReason> {
        for (channel, line) in channels {
            if self.app.hub.release(&self.outlet, *channel, &line.place).await.is_err() {
                self.resend(*channel).await?;
            }
        }
        Ok(())
    }

    /// Reads a channel's state and sends it as a snapshot until its gate can be opened. The gate of a room from which the
    /// user moves meanwhile stays closed, until the connection looks where it belongs.
    pub(super) async fn resend(&mut self, channel: Channel) -> Result<(), CloseReason> {
        loop {
            self.outlet.hold(channel);
            let place = match self.send_state(channel).await {
                Ok(Some(place)) => place,
                Ok(None) => return Ok(()),
                Err(error) if error.code() == ErrorCode::Unavailable => {
                    self.look_again(Some(channel));
                    return Ok(());
                }
                Err(error) => return Err(self.broken(&error)),
            };
            if self.app.hub.release(&self.outlet, channel, &place).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Where the state stands that was sent; nothing, if it was overtaken by a move.
    async fn send_state(&mut self, channel: Channel) -> Result<Option<Place>> {
        let room = match channel {
            Channel::User(account) => {
                let (state, place) = picture::user(&self.app, account, |_| ready(Ok(Vec::new()))).await?;
                self.take_back(state.seat.map(|(room, _)| room)).await?;
                self.write([self.snapshot(channel, place.clone(), state)]);
                return Ok(Some(place));
            }
            Channel::Room(room) => room,
        };
        if let Some((view, place)) = self.own_room(room).await? {
            let snapshot = self.snapshot(channel, place.clone(), RoomState { room: Some(view) });
            return Ok(self.show_room(room, snapshot).then_some(place));
        }
        let place = self.app.hub.standing(channel).await?.place;
        self.leave_channel();
        if self.outlet.shown().seat() == Some(room) {
            self.outlet.show(Shown::picture(None));
        }
        self.write([self.snapshot(channel, place.clone(), RoomState { room: None })]);
        Ok(Some(place))
    }

    fn snapshot<T: Serialize>(&self, channel: Channel, place: Place, state: T) -> Frame {
        frames::snapshot(channel, self.app.clock.now(), &Snapshot { place, state })
    }

    /// Writes a frame with the picture of `room`, unless the word of a move has come since it was begun to be read: behind
    /// that word it would bring back a room that was left. Says whether it did; if not, the connection looks again.
    #[must_use]
    pub(super) fn show_room(&mut self, room: RoomId, picture: Frame) -> bool {
        // What was said before is said in any case.
        self.write([]);
        self.app.hub.registry().show_room(&self.outlet, room, picture)
    }

    /// Shows the empty picture of the room in which the client takes itself to sit, if the user's `seat` is another one.
    /// Whatever of the user's channel is replaced by its state may have held the word of the move, and no state of a user
    /// says where one sits.
    async fn take_back(&mut self, seat: Option<RoomId>) -> Result<()> {
        let Some(told) = self.outlet.shown().seat().filter(|told| Some(*told) != seat) else { return Ok(()) };
        let channel = Channel::Room(told);
        let place = self.app.hub.standing(channel).await?.place;
        // Whichever it is, its picture comes after this one.
        self.leave_channel();
        self.write([self.snapshot(channel, place, RoomState { room: None })]);
        self.outlet.show(Shown::picture(None));
        self.outlet.follow();
        Ok(())
    }

    /// Listens to the room in which the user sits now. Answers its picture if that is another one than before, for
    /// [`Connection::show_room`]; the gate is still closed then, and every move up to the picture has been written: a client
    /// forgets a room's picture when it hears of a move elsewhere, and an older word must not make it forget a newer one.
    pub(super) async fn follow(&mut self) -> Result<Option<(RoomView, Place)>> {
        loop {
            let seat = rooms::current(&*self.app.db, self.caller.account).await?;
            // A gate that is still closed was left so by the user's own departure. Words that came late may have taken the
            // picture away again.
            let listens = |room| {
                let channel = Channel::Room(room);
                self.app.hub.registry().listens(&self.outlet, channel)
                    && !self.outlet.is_held(channel)
                    && self.outlet.shown().has(room)
            };
            if seat == self.room() && seat.is_none_or(listens) {
                return Ok(None);
            }
            if self.outlet.is_held(Channel::User(self.caller.account)) {
                self.take_back(seat).await?;
            }
            self.leave_channel();
            let Some(room) = seat else { return Ok(None) };
            self.app.hub.subscribe(&self.outlet, Channel::Room(room)).await?;
            let picture = self.own_room(room).await;
            // Without a picture nobody would open the gate.
            if !matches!(picture, Ok(Some(_))) {
                self.leave_channel();
            }
            let picture = picture?;
            if !self.outlet.takes_follow() {
                return Ok(picture);
            }
            self.leave_channel();
        }
    }

    /// Answers `sync`: each channel's line, then what was missed or the whole state.
    pub(super) async fn sync(&mut self, id: Option<u32>, since: &Since) -> Result<(), CloseReason> {
        let mine = [Some(Channel::User(self.caller.account)), self.outlet.room()];
        let asked: Vec<_> = mine.into_iter().flatten().filter(|channel| since.contains_key(channel)).collect();
        for channel in &asked {
            self.outlet.hold(*channel);
        }
        let (mut channels, mut missed) = (Channels::new(), Vec::new());
        for channel in asked {
            // The gates are closed, and only an answer opens them again.
            if let Err(error) = self.line(channel, since, &mut channels, &mut missed).await {
                return Err(self.broken(&error));
            }
        }
        let mut frames = vec![frames::ok(id, &Synced { channels: &channels })];
        frames.extend(missed.iter().map(|delivery| delivery.frame.clone()));
        self.write(frames);
        if let Some(moved) = missed.iter().rev().find(|delivery| delivery.routing.follow) {
            self.outlet.show(self.outlet.shown().moved(moved.routing.seat.map(RoomId)));
        }
        for (channel, line) in &channels {
            let recovered = line.recovered == Some(true);
            if !recovered || self.app.hub.release(&self.outlet, *channel, &line.place).await.is_err() {
                self.resend(*channel).await?;
            }
        }
        Ok(())
    }

    async fn line(
        &mut self,
        channel: Channel,
        since: &Since,
        channels: &mut Channels,
        missed: &mut Vec<Arc<Delivery>>,
    ) -> Result<()> {
        let place = self.app.hub.standing(channel).await?.place;
        self.place(channel, place, since, channels, missed).await
    }

    /// Opens a gate that [`Connection::follow`] left closed.
    pub(super) async fn release(&mut self, channel: Channel, place: &Place) -> Result<(), CloseReason> {
        match self.app.hub.release(&self.outlet, channel, place).await {
            Ok(()) => Ok(()),
            Err(_) => self.resend(channel).await,
        }
    }

    pub(super) async fn refollow(&mut self) -> Result<(), CloseReason> {
        match self.follow().await {
            Ok(None) => Ok(()),
            Ok(Some((view, place))) => {
                let room = RoomId(view.id);
                let channel = Channel::Room(room);
                let snapshot = self.snapshot(channel, place.clone(), RoomState { room: Some(view) });
                if self.show_room(room, snapshot) { self.release(channel, &place).await } else { Ok(()) }
            }
            Err(error) if error.code() == ErrorCode::Unavailable => {
                self.look_again(None);
                Ok(())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }
}
