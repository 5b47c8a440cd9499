//! The hub's end of one connection: its queue, its gates, its wire, and what its task has to do next.
//!
//! Promises that whoever adds never waits, that a channel's events pass in order, and that a gate lets nothing pass
//! that the state behind it already contains. What leaves, leaves through the queue: [`Outlet::flush`] writes it from
//! whatever task comes by, and as long as the wire takes everything the connection's own task is not woken. Once it
//! doesn't, that task waits until it does and goes on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use entity::{AccountId, RoomId, SessionId};

use super::{
    broker::Delivery,
    gates::Gates,
    outflow::Outflow,
    outqueue::{Bounds, Gathered},
    presence::DeviceId,
    protocol::{Channel, CloseReason, Frame, Place},
    round_trip::RoundTrip,
    shown::Shown,
};
pub use super::{
    duty::{Closing, Duty, Turn},
    gates::Overflow,
    outflow::Wire,
};

#[derive(Debug)]
struct State {
    outflow: Outflow,
    gates: Gates,
    follow: bool,
    closing: Option<Closing>,
    /// What it listens to: its own channel, and at most one room; after a detachment the room to which it did.
    own: Option<Channel>,
    room: Option<Channel>,
    /// The connection's task.
    waker: Option<Waker>,
}

/// The hub's end of one connection.
#[derive(Debug)]
pub struct Outlet {
    /// This connection.
    pub id: DeviceId,
    /// Whose it is.
    pub account: AccountId,
    /// By which sign-in.
    pub session: SessionId,
    state: Mutex<State>,
    since: Instant,
    /// The last heartbeat's way there and back.
    pub round_trip: RoundTrip,
}

impl Outlet {
    pub(super) fn new(id: DeviceId, account: AccountId, session: SessionId, bounds: Bounds) -> Self {
        let state = State {
            outflow: Outflow::new(bounds),
            gates: Gates::default(),
            follow: false,
            closing: None,
            own: None,
            room: None,
            waker: None,
        };
        let (since, round_trip) = (Instant::now(), RoundTrip::default());
        Self { id, account, session, state: Mutex::new(state), since, round_trip }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is queued leaves through `wire` from now on.
    pub fn attach(&self, wire: Arc<dyn Wire>) {
        self.state().outflow.attach(wire);
    }

    /// Nobody writes to the wire any more. What waits is written if it fits; of what doesn't, the rest of a torn frame is
    /// answered, because nothing else can leave before it.
    pub fn detach(&self) -> Bytes {
        self.state().outflow.detach()
    }

    /// Adds an event, or holds it at its channel's gate. Says whether somebody has to [`Outlet::flush`].
    pub fn deliver(&self, delivery: &Arc<Delivery>) -> bool {
        let mut state = self.state();
        // Also at a closed gate: what the gate drops may still tell of another room.
        state.follow |= delivery.routing.follow;
        if !state.gates.hold_back(delivery) {
            state.tell(|outflow| outflow.tell(delivery));
        }
        Self::done(state)
    }

    /// The same with events of one channel that were put together.
    pub fn deliver_gathered(&self, gathered: &Arc<Gathered>) -> bool {
        let mut state = self.state();
        let (deliveries, gates) = (gathered.deliveries(), &mut state.gates);
        if deliveries.first().is_some_and(|first| gates.is_closed(first.channel)) {
            gates.hold_back_all(deliveries);
        } else {
            state.tell(|outflow| outflow.tell_gathered(gathered));
        }
        Self::done(state)
    }

    /// The same with a derived state of `user`.
    pub fn derive(&self, channel: Channel, user: AccountId, frame: &Frame) -> bool {
        let mut state = self.state();
        if !state.gates.hold_back_derived(channel, user, frame) {
            state.tell(|outflow| outflow.tell_derived(channel, user, frame.clone()));
        }
        Self::done(state)
    }

    /// Adds what the connection itself has to say. Says whether somebody has to [`Outlet::flush`].
    pub fn say(&self, frames: impl IntoIterator<Item = Frame>) -> bool {
        let mut state = self.state();
        for frame in frames {
            state.outflow.say(frame);
        }
        Self::done(state)
    }

    /// Adds the picture of `room`, unless the connection has to look again where it belongs: behind the word of a move the
    /// picture would bring back a room that was left. Says whether somebody has to [`Outlet::flush`], if it was added.
    pub fn show_room(&self, room: RoomId, picture: Frame) -> Option<bool> {
        let mut state = self.state();
        if state.follow {
            return None;
        }
        state.outflow.say(picture);
        state.outflow.shown = Shown::picture(Some(room));
        Some(Self::done(state))
    }

    /// Closes the gate of `channel`: what comes is held until the state it follows has been read. What a closed gate
    /// holds already stays: whether it is older is found out when the gate is opened.
    pub fn hold(&self, channel: Channel) {
        self.state().gates.close(channel);
    }

    /// Closes the gate of `channel` until its state has been read anew.
    pub fn resync(&self, channel: Channel) {
        let mut state = self.state();
        state.gates.close_stale(channel);
        // A move may be among what is missing.
        state.follow = true;
        Self::wake(state);
    }

    /// The state of `channel` could not be read; its gate stays closed, and it is tried again.
    pub fn try_again(&self, channel: Channel) {
        let mut state = self.state();
        state.gates.read_again(channel);
        Self::wake(state);
    }

    /// Channels whose state is to be read and sent anew; their gates are closed.
    pub fn take_stale(&self) -> Vec<Channel> {
        self.state().gates.take_unread()
    }

    /// Opens the gate: what stands at or before `place` is dropped, the rest follows in order. A gate that held too much
    /// stays closed, emptied: read the state again. What follows is flushed by the connection's task.
    pub fn release(&self, channel: Channel, place: &Place) -> Result<(), Overflow> {
        let mut state = self.state();
        let Some(opened) = state.gates.open(channel, place, self.account) else { return Ok(()) };
        let opened = opened.inspect_err(|_| {
            // A move may have been among what was not kept.
            state.follow = true;
        })?;
        // Gone since the state was read: the connection looks where it belongs.
        state.follow |= opened.departed;
        for delivery in opened.follow {
            state.tell(|outflow| outflow.tell(&delivery));
        }
        for (user, frame) in opened.derived {
            state.tell(|outflow| outflow.tell_derived(channel, user, frame));
        }
        Self::wake(state);
        Ok(())
    }

    /// Asks the connection to look again which room it belongs to.
    pub fn follow(&self) {
        let mut state = self.state();
        state.follow = true;
        Self::wake(state);
    }

    /// Ends the connection; the first reason counts. What is queued is left: resuming brings it.
    pub fn close(&self, closing: Closing) {
        let mut state = self.state();
        state.closing.get_or_insert(closing);
        Self::wake(state);
    }

    /// Whether somebody has to flush; wakes the connection's task only for what is its own.
    fn done(mut state: MutexGuard<'_, State>) -> bool {
        let lists = state.outflow.list();
        if state.follow || state.closing.is_some() || !state.outflow.flows() {
            Self::wake(state);
        }
        lists
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Writes what waits, as far as the wire takes it. `buffer` is for its use.
    pub fn flush(&self, buffer: &mut Vec<u8>) {
        let mut state = self.state();
        let flushed = state.outflow.flush(buffer);
        state.end_if(flushed);
        if state.closing.is_some() || !state.outflow.flows() {
            Self::wake(state);
        }
    }

    /// What there is to do for the connection's task, which is woken once there is something.
    pub fn poll_duty(&self, context: &Context<'_>) -> Poll<Duty> {
        let mut state = self.state();
        if let Some(closing) = state.closing {
            return Poll::Ready(Duty::Close(closing.reason));
        }
        if state.follow || state.gates.has_unread() {
            return Poll::Ready(Duty::Look);
        }
        if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        if state.outflow.stuck().is_some() {
            return Poll::Ready(Duty::Stuck { own: state.outflow.queue().has_own() });
        }
        if state.outflow.waits() { Poll::Ready(Duty::Write) } else { Poll::Pending }
    }

    /// Since when the wire takes nothing.
    pub fn stuck(&self) -> Option<Instant> {
        self.state().outflow.stuck()
    }

    /// Where the client takes itself to sit.
    pub fn shown(&self) -> Shown {
        self.state().outflow.shown
    }

    /// The client is shown otherwise than by an event.
    pub fn show(&self, shown: Shown) {
        self.state().outflow.shown = shown;
    }

    /// The offsets of the user's moves that a closed gate holds.
    pub fn held_moves(&self, channel: Channel) -> Vec<u64> {
        self.state().gates.moves(channel)
    }

    /// Whether the gate of `channel` is closed.
    pub fn is_held(&self, channel: Channel) -> bool {
        self.state().gates.is_closed(channel)
    }

    /// It listens to `channel`. Answers the other room to which it did, and no longer does.
    pub(super) fn remember(&self, channel: Channel) -> Option<Channel> {
        let former = self.state().listened(channel).replace(channel);
        former.filter(|former| *former != channel)
    }

    pub(super) fn forget(&self, channel: Channel) {
        let mut state = self.state();
        state.listened(channel).take_if(|listened| *listened == channel);
        state.gates.forget(channel);
    }

    /// What it listens to.
    pub(super) fn channels(&self) -> impl Iterator<Item = Channel> {
        let state = self.state();
        [state.own, state.room].into_iter().flatten()
    }

    /// The room that it listens to; at most one.
    pub fn room(&self) -> Option<Channel> {
        self.state().room
    }

    /// Whether the connection has to look again which room it belongs to; it is taken as said.
    pub fn takes_follow(&self) -> bool {
        std::mem::take(&mut self.state().follow)
    }

    /// Takes what there is to do; frames of at most so many bytes, or one.
    pub fn turn(&self, bytes: usize) -> Turn {
        let mut state = self.state();
        Turn {
            frames: state.outflow.queue().take(bytes),
            follow: std::mem::take(&mut state.follow),
            closing: state.closing,
        }
    }

    /// Frames that wait, and their bytes.
    pub fn queued(&self) -> (usize, usize) {
        self.state().outflow.queue().len()
    }

    /// How long it has been connected.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Why the connection is to end, once it is.
    pub fn closing(&self) -> Option<Closing> {
        self.state().closing
    }
}

impl State {
    fn listened(&mut self, channel: Channel) -> &mut Option<Channel> {
        if let Channel::Room(_) = channel { &mut self.room } else { &mut self.own }
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Outflow) -> Result<(), CloseReason>) {
        if self.closing.is_none() {
            let told = tell(&mut self.outflow);
            self.end_if(told);
        }
    }

    fn end_if(&mut self, result: Result<(), CloseReason>) {
        if let Err(reason) = result {
            self.closing.get_or_insert(Closing { reason, reconnect_ms: None });
        }
    }
}
