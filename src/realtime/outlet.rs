//! The hub's end of one connection: its queue, its gates, and what its task has to do next.
//!
//! Promises that whoever adds never waits, that a channel's events pass in order, and that a gate lets nothing pass
//! that the state behind it already contains. The socket's own task holds the other reference and drains it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use entity::{AccountId, SessionId};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    broker::Delivery,
    gate::Gate,
    outqueue::{Bounds, OutQueue},
    presence::DeviceId,
    protocol::{Channel, CloseReason, Place},
};

/// Deliveries that may wait at a closed gate. Reading a snapshot takes milliseconds; a channel that says more than
/// this meanwhile is read again.
const GATE: usize = 1024;

/// The end of a connection, and whether its client may come back sooner than its own back-off says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why.
    pub reason: CloseReason,
    /// When to come back.
    pub reconnect_ms: Option<u64>,
}

/// What a connection's task has to do next.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be written, in order.
    pub frames: Vec<Utf8Bytes>,
    /// More frames wait.
    pub more: bool,
    /// The user's room may be another one now.
    pub follow: bool,
    /// Say goodbye; what waits is not written any more, resuming brings it.
    pub closing: Option<Closing>,
}

#[derive(Debug)]
struct State {
    queue: OutQueue,
    gates: Vec<Gate>,
    follow: bool,
    resync: Vec<Channel>,
    closing: Option<Closing>,
    /// What is listened to; after a detachment perhaps more than that.
    channels: Vec<Channel>,
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
    wake: Notify,
    /// Apart from `wake`: whoever waits for the end must not swallow the word that there is something to write.
    ended: Notify,
    since: Instant,
    /// The last heartbeat's way there and back, in microseconds and one more; 0 if there was none.
    round_trip: AtomicU32,
}

/// So much came while the gate was closed that it was not kept: read the state again.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

impl Outlet {
    pub(super) fn new(id: DeviceId, account: AccountId, session: SessionId, bounds: Bounds) -> Self {
        let state = State {
            queue: OutQueue::new(bounds),
            gates: Vec::new(),
            follow: false,
            resync: Vec::new(),
            closing: None,
            channels: Vec::new(),
        };
        Self {
            id,
            account,
            session,
            state: Mutex::new(state),
            wake: Notify::new(),
            ended: Notify::new(),
            since: Instant::now(),
            round_trip: AtomicU32::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, or holds it at its channel's gate.
    pub fn deliver(&self, delivery: &Arc<Delivery>) {
        let mut state = self.state();
        // Also at a closed gate: what the gate drops may still tell of another room.
        state.follow |= delivery.routing.follow;
        if let Some(gate) = state.gates.iter_mut().find(|gate| gate.channel == delivery.channel) {
            // One more than fits says that something is missing.
            if gate.held.len() <= GATE {
                gate.held.push(Arc::clone(delivery));
            }
            self.wake(state);
            return;
        }
        state.enqueue(delivery);
        self.wake(state);
    }

    /// Adds a derived state of `user`, or holds it at its channel's gate.
    pub fn derive(&self, channel: Channel, user: AccountId, frame: &Utf8Bytes) {
        let mut state = self.state();
        if let Some(gate) = state.gates.iter_mut().find(|gate| gate.channel == channel) {
            gate.derived.retain(|(other, _)| *other != user);
            gate.derived.push((user, frame.clone()));
            return;
        }
        state.enqueue_derived(channel, user, frame.clone());
        self.wake(state);
    }

    /// Closes the gate of `channel`: what comes is held until the state it follows has been read. What a closed gate
    /// holds already stays: whether it is older is found out when the gate is opened.
    pub fn hold(&self, channel: Channel) {
        let mut state = self.state();
        if state.gates.iter().all(|gate| gate.channel != channel) {
            state.gates.push(Gate::new(channel));
        }
    }

    /// Closes the gate of `channel` until its state has been read anew. Where it is closed already, whoever closed it
    /// finds that what was read is not enough.
    pub fn resync(&self, channel: Channel) {
        let mut state = self.state();
        match state.gates.iter_mut().find(|gate| gate.channel == channel) {
            Some(gate) => {
                gate.held.clear();
                gate.stale = true;
            }
            None => {
                state.gates.push(Gate::new(channel));
                state.resync.push(channel);
            }
        }
        // A move may be among what is missing.
        state.follow = true;
        self.wake(state);
    }

    /// The state of `channel` could not be read; its gate stays closed, and it is tried again.
    pub fn try_again(&self, channel: Channel) {
        let mut state = self.state();
        if !state.resync.contains(&channel) && state.channels.contains(&channel) {
            state.resync.push(channel);
        }
        self.wake(state);
    }

    /// Channels whose state is to be read and sent anew; their gates are closed.
    pub fn take_stale(&self) -> Vec<Channel> {
        std::mem::take(&mut self.state().resync)
    }

    /// Opens the gate: what stands at or before `place` is dropped, the rest follows in order. A gate that held too much
    /// stays closed, emptied: read the state again.
    pub fn release(&self, channel: Channel, place: &Place) -> Result<(), Overflow> {
        let mut state = self.state();
        let Some(index) = state.gates.iter().position(|gate| gate.channel == channel) else { return Ok(()) };
        let mut gate = state.gates.swap_remove(index);
        if std::mem::take(&mut gate.stale)
            || gate.held.len() > GATE
            || gate.held.iter().any(|delivery| delivery.place.epoch != place.epoch)
        {
            gate.held.clear();
            state.gates.push(gate);
            // A move may have been among what was not kept.
            state.follow = true;
            return Err(Overflow);
        }
        for delivery in gate.held.iter().filter(|delivery| delivery.place.off > place.off) {
            if delivery.routing.detach == Some(self.account.0) {
                // Gone since the state was read: nothing more passes, and the connection looks where it belongs.
                state.gates.push(Gate::new(channel));
                state.follow = true;
                break;
            }
            state.enqueue(delivery);
        }
        for (user, frame) in gate.derived {
            state.enqueue_derived(channel, user, frame);
        }
        self.wake(state);
        Ok(())
    }

    /// Asks the connection to look again which room it belongs to.
    pub fn follow(&self) {
        self.state().follow = true;
        self.wake.notify_one();
    }

    /// Ends the connection; the first reason counts. What is queued is left: resuming brings it.
    pub fn close(&self, closing: Closing) {
        let mut state = self.state();
        state.closing.get_or_insert(closing);
        self.wake(state);
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let ended = state.closing.is_some();
        drop(state);
        self.wake.notify_one();
        if ended {
            self.ended.notify_one();
        }
    }

    /// The offsets of the user's moves that a closed gate holds.
    pub fn held_moves(&self, channel: Channel) -> Vec<u64> {
        let state = self.state();
        let held = state.gates.iter().filter(|gate| gate.channel == channel).flat_map(|gate| &gate.held);
        held.filter(|delivery| delivery.routing.follow).map(|delivery| delivery.place.off).collect()
    }

    /// Whether the gate of `channel` is closed.
    pub fn is_held(&self, channel: Channel) -> bool {
        self.state().gates.iter().any(|gate| gate.channel == channel)
    }

    pub(super) fn remember(&self, channel: Channel) {
        let mut state = self.state();
        if !state.channels.contains(&channel) {
            state.channels.push(channel);
        }
    }

    pub(super) fn forget(&self, channel: Channel) {
        let mut state = self.state();
        state.channels.retain(|listened| *listened != channel);
        state.gates.retain(|gate| gate.channel != channel);
        state.resync.retain(|stale| *stale != channel);
    }

    pub(super) fn channels(&self) -> Vec<Channel> {
        self.state().channels.clone()
    }

    /// Waits until there is something to do.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Waits until the connection is to end. It may be given up waiting for: whoever is woken is woken all the same.
    pub async fn ended(&self) -> Closing {
        loop {
            if let Some(closing) = self.closing() {
                return closing;
            }
            self.ended.notified().await;
        }
    }

    /// Takes what there is to do; frames of at most so many bytes, or one.
    pub fn turn(&self, bytes: usize) -> Turn {
        let mut state = self.state();
        Turn {
            frames: state.queue.take(bytes),
            more: !state.queue.is_empty(),
            follow: std::mem::take(&mut state.follow),
            closing: state.closing,
        }
    }

    /// Takes all frames that wait.
    pub fn waiting(&self) -> Vec<Utf8Bytes> {
        self.state().queue.take(usize::MAX)
    }

    /// Frames that wait, and their bytes.
    pub fn queued(&self) -> (usize, usize) {
        self.state().queue.len()
    }

    /// How long it has been connected.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// A heartbeat was answered.
    pub fn note_round_trip(&self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX - 1);
        self.round_trip.store(micros.saturating_add(1), Ordering::Relaxed);
    }

    /// How long the last heartbeat's answer took.
    pub fn round_trip(&self) -> Option<Duration> {
        let noted = self.round_trip.load(Ordering::Relaxed);
        noted.checked_sub(1).map(|micros| Duration::from_micros(micros.into()))
    }

    /// Why the connection is to end, once it is.
    pub fn closing(&self) -> Option<Closing> {
        self.state().closing
    }
}

impl State {
    fn enqueue_derived(&mut self, channel: Channel, user: AccountId, frame: Utf8Bytes) {
        if self.closing.is_none() && self.queue.push_derived(frame, (channel, user.0)).is_err() {
            self.closing = Some(Closing { reason: CloseReason::Slow, reconnect_ms: None });
        }
    }

    fn enqueue(&mut self, delivery: &Delivery) {
        if self.closing.is_some() {
            return;
        }
        let frame = delivery.frame.clone();
        let queued = match delivery.routing.state_of {
            Some(user) => self.queue.push_state(frame, (delivery.channel, user), delivery.place.off),
            None => self.queue.push(frame),
        };
        if queued.is_err() {
            self.closing = Some(Closing { reason: CloseReason::Slow, reconnect_ms: None });
        }
    }
}
