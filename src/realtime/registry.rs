//! Who is connected to this instance, and to what they listen.
//!
//! Promises synchronous methods that return owned values: no guard of a map ever reaches an await. An [`Outlet`] is
//! the hub's end of a connection; the socket's own task holds the other reference and drains it.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;
use entity::{AccountId, SessionId};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    broker::Delivery,
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
    /// After the frames, say goodbye.
    pub closing: Option<Closing>,
}

#[derive(Debug)]
struct Gate {
    channel: Channel,
    held: Vec<Arc<Delivery>>,
}

#[derive(Debug)]
struct State {
    queue: OutQueue,
    gates: Vec<Gate>,
    follow: bool,
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
}

/// So much came while the gate was closed that it was not kept: read the state again.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

impl Outlet {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, or holds it at its channel's gate.
    pub fn deliver(&self, delivery: &Arc<Delivery>) {
        let mut state = self.state();
        if let Some(gate) = state.gates.iter_mut().find(|gate| gate.channel == delivery.channel) {
            // One more than fits says that something is missing.
            if gate.held.len() <= GATE {
                gate.held.push(Arc::clone(delivery));
            }
            return;
        }
        state.enqueue(delivery);
        self.wake(state);
    }

    /// Closes the gate of `channel`: what comes is held until the state it follows has been read. What a closed gate
    /// holds already stays: whether it is older is found out when the gate is opened.
    pub fn hold(&self, channel: Channel) {
        let mut state = self.state();
        if state.gates.iter().all(|gate| gate.channel != channel) {
            state.gates.push(Gate { channel, held: Vec::new() });
        }
    }

    /// Opens the gate: what stands at or before `place` is dropped, the rest follows in order. A gate that held too much
    /// stays closed, emptied: read the state again.
    pub fn release(&self, channel: Channel, place: &Place) -> Result<(), Overflow> {
        let mut state = self.state();
        let Some(index) = state.gates.iter().position(|gate| gate.channel == channel) else { return Ok(()) };
        let mut gate = state.gates.swap_remove(index);
        if gate.held.len() > GATE || gate.held.iter().any(|delivery| delivery.place.epoch != place.epoch) {
            gate.held.clear();
            state.gates.push(gate);
            // A move may have been among what was not kept.
            state.follow = true;
            return Err(Overflow);
        }
        for delivery in &gate.held {
            if delivery.place.off > place.off {
                state.enqueue(delivery);
            } else {
                // The client knows; whether the connection does is another question.
                state.follow |= delivery.routing.follow;
            }
        }
        self.wake(state);
        Ok(())
    }

    /// The offsets of the user's moves that a closed gate holds.
    pub fn held_moves(&self, channel: Channel) -> Vec<u64> {
        let state = self.state();
        let held = state.gates.iter().filter(|gate| gate.channel == channel).flat_map(|gate| &gate.held);
        held.filter(|delivery| delivery.routing.follow).map(|delivery| delivery.place.off).collect()
    }

    /// Asks the connection to look again which room it belongs to.
    pub fn follow(&self) {
        self.state().follow = true;
        self.wake.notify_one();
    }

    /// Ends the connection after what is queued; the first reason counts.
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

    fn remember(&self, channel: Channel) {
        let mut state = self.state();
        if !state.channels.contains(&channel) {
            state.channels.push(channel);
        }
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

    /// Why the connection is to end, once it is.
    pub fn closing(&self) -> Option<Closing> {
        self.state().closing
    }
}

impl State {
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
        self.follow |= delivery.routing.follow;
    }
}

/// Everyone who is connected here.
#[derive(Debug)]
pub struct Registry {
    bounds: Bounds,
    next: AtomicU64,
    count: AtomicUsize,
    /// Oldest first, so that a cap knows whom to replace.
    accounts: DashMap<AccountId, Vec<Arc<Outlet>>>,
    channels: DashMap<Channel, Vec<Arc<Outlet>>>,
}

impl Registry {
    /// Nobody yet; each connection's queue will have `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        // Ids differ between two lives of an instance, so that logs and presence can't mix them up.
        let first = u64::from(rand::random::<u32>()) << 31;
        Self {
            bounds,
            next: AtomicU64::new(first),
            count: AtomicUsize::new(0),
            accounts: DashMap::new(),
            channels: DashMap::new(),
        }
    }

    /// Adds a connection. Beyond `cap` of one account, the oldest ones are told to make room.
    pub fn add(&self, account: AccountId, session: SessionId, cap: usize) -> Arc<Outlet> {
        let outlet = Arc::new(Outlet {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            account,
            session,
            state: Mutex::new(State {
                queue: OutQueue::new(self.bounds),
                gates: Vec::new(),
                follow: false,
                closing: None,
                channels: Vec::new(),
            }),
            wake: Notify::new(),
            ended: Notify::new(),
        });
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut devices = self.accounts.entry(account).or_default();
        devices.push(Arc::clone(&outlet));
        let surplus = devices.len().saturating_sub(cap);
        for oldest in devices.iter().take(surplus) {
            oldest.close(Closing { reason: CloseReason::Replaced, reconnect_ms: None });
        }
        outlet
    }

    /// Forgets a connection and everything that it listens to.
    pub fn forget(&self, outlet: &Outlet) {
        let channels = std::mem::take(&mut outlet.state().channels);
        for channel in channels {
            self.unsubscribe(outlet, channel);
        }
        if let Some(mut devices) = self.accounts.get_mut(&outlet.account) {
            let before = devices.len();
            devices.retain(|other| other.id != outlet.id);
            self.count.fetch_sub(before - devices.len(), Ordering::Relaxed);
        }
        self.accounts.remove_if(&outlet.account, |_, devices| devices.is_empty());
    }

    /// Begins to listen; says whether this is the first listener here.
    pub fn subscribe(&self, outlet: &Arc<Outlet>, channel: Channel) -> bool {
        outlet.remember(channel);
        let mut listeners = self.channels.entry(channel).or_default();
        if listeners.iter().any(|other| other.id == outlet.id) {
            return false;
        }
        listeners.push(Arc::clone(outlet));
        listeners.len() == 1
    }

    /// No longer listens.
    pub fn unsubscribe(&self, outlet: &Outlet, channel: Channel) {
        let mut state = outlet.state();
        state.channels.retain(|listened| *listened != channel);
        state.gates.retain(|gate| gate.channel != channel);
        drop(state);
        self.unsubscribe_where(channel, |other| other.id == outlet.id);
    }

    /// None of the account's connections listens any more. Each of them looks again where it belongs: the account may
    /// have returned before the word that it left was heard, and then a connection listens for good reason.
    pub fn detach(&self, account: AccountId, channel: Channel) {
        self.unsubscribe_where(channel, |other| other.account == account);
        for outlet in self.of(account) {
            outlet.follow();
        }
    }

    fn unsubscribe_where(&self, channel: Channel, goes: impl Fn(&Outlet) -> bool) {
        if let Some(mut listeners) = self.channels.get_mut(&channel) {
            listeners.retain(|other| !goes(other));
        }
        self.channels.remove_if(&channel, |_, listeners| listeners.is_empty());
    }

    /// Whether anybody here listens to `channel`.
    pub fn has_listeners(&self, channel: Channel) -> bool {
        self.channels.contains_key(&channel)
    }

    /// Whether this connection listens to `channel`.
    pub fn listens(&self, outlet: &Outlet, channel: Channel) -> bool {
        self.channels.get(&channel).is_some_and(|listeners| listeners.iter().any(|other| other.id == outlet.id))
    }

    /// Hands an event to everyone here who listens.
    pub fn deliver(&self, delivery: &Arc<Delivery>) {
        if let Some(listeners) = self.channels.get(&delivery.channel) {
            for outlet in listeners.iter() {
                outlet.deliver(delivery);
            }
        }
    }

    /// The account's connections here.
    pub fn of(&self, account: AccountId) -> Vec<Arc<Outlet>> {
        self.accounts.get(&account).map(|devices| devices.clone()).unwrap_or_default()
    }

    /// Every connection here.
    pub fn all(&self) -> Vec<Arc<Outlet>> {
        self.accounts.iter().flat_map(|devices| devices.clone()).collect()
    }

    /// How many are connected here.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nobody is connected here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What must always hold: whoever listens is connected, nobody listens twice, the count is right.
    pub fn check(&self) -> Result<(), String> {
        let connected: HashSet<_> = self.all().iter().map(|outlet| outlet.id).collect();
        if connected.len() != self.len() {
            return Err(format!("{} connections, counted {}", connected.len(), self.len()));
        }
        for channel in &self.channels {
            let ids: HashSet<_> = channel.iter().map(|outlet| outlet.id).collect();
            if ids.len() != channel.len() {
                return Err(format!("somebody listens twice to {}", channel.key()));
            }
            if let Some(ghost) = ids.difference(&connected).next() {
                return Err(format!("connection {ghost} is gone and listens to {}", channel.key()));
            }
        }
        Ok(())
    }
}
