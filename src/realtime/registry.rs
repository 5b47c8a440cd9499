//! Who is connected to this instance, and to what they listen.
//!
//! Promises synchronous methods that return owned values: no guard of a map ever reaches an await. What is said in a room
//! is gathered for one turn and handed to each listener at once; whatever depends on their having it, an answer, an opened
//! gate, somebody who comes or goes, has it handed on before.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};
use entity::{AccountId, RoomId, SessionId};
use tokio_util::sync::CancellationToken;

use super::{
    broker::{ConnectionInfo, Delivery},
    faults::Faults,
    listeners::Listeners,
    outlet::{Closing, Outlet, Overflow},
    outqueue::Bounds,
    protocol::{Channel, CloseReason, Frame, Place},
    writers::Writers,
};

/// Events that are gathered at most: no turn should be so long.
const MOST: usize = 32;

/// Everyone who is connected here.
#[derive(Debug)]
pub struct Registry {
    bounds: Bounds,
    next: AtomicU64,
    count: AtomicUsize,
    /// Oldest first, so that a cap knows whom to replace.
    accounts: DashMap<AccountId, Vec<Arc<Outlet>>>,
    channels: DashMap<Channel, Listeners>,
    writers: Writers,
    faults: Arc<Faults>,
}

impl Registry {
    /// Nobody yet; each connection's queue will have `bounds`.
    pub fn new(bounds: Bounds, faults: Arc<Faults>) -> Self {
        // Ids differ between two lives of an instance, so that logs and presence can't mix them up.
        let first = u64::from(rand::random::<u32>()) << 31;
        Self {
            bounds,
            next: AtomicU64::new(first),
            count: AtomicUsize::new(0),
            accounts: DashMap::new(),
            channels: DashMap::new(),
            writers: Writers::default(),
            faults,
        }
    }

    /// Adds a connection. Beyond `cap` of one account, the oldest ones are told to make room.
    pub fn add(&self, account: AccountId, session: SessionId, cap: usize) -> Arc<Outlet> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let outlet = Arc::new(Outlet::new(id, account, session, self.bounds));
        self.count.fetch_add(1, Ordering::Relaxed);
        // Most have one device, and each is held to what it needs.
        let mut devices = self.accounts.entry(account).or_insert_with(|| Vec::with_capacity(1));
        devices.push(Arc::clone(&outlet));
        let surplus = devices.len().saturating_sub(cap);
        for oldest in devices.iter().take(surplus) {
            oldest.close(Closing { reason: CloseReason::Replaced, reconnect_ms: None });
        }
        outlet
    }

    /// Forgets a connection and everything that it listens to.
    pub fn forget(&self, outlet: &Outlet) {
        for channel in outlet.channels() {
            self.unsubscribe(outlet, channel);
        }
        if let Some(mut devices) = self.accounts.get_mut(&outlet.account) {
            let before = devices.len();
            devices.retain(|other| other.id != outlet.id);
            self.count.fetch_sub(before - devices.len(), Ordering::Relaxed);
        }
        self.accounts.remove_if(&outlet.account, |_, devices| devices.is_empty());
    }

    /// Begins to listen: to the connection's own channel, or to a room instead of another one.
    pub fn subscribe(&self, outlet: &Arc<Outlet>, channel: Channel) {
        if let Some(former) = outlet.remember(channel) {
            self.unsubscribe(outlet, former);
        }
        let mut listeners = self.channels.entry(channel).or_insert_with(Listeners::new);
        self.hand_on(channel, &mut listeners);
        if listeners.outlets.iter().all(|other| other.id != outlet.id) {
            listeners.outlets.push(Arc::clone(outlet));
        }
    }

    /// No longer listens.
    pub fn unsubscribe(&self, outlet: &Outlet, channel: Channel) {
        self.unsubscribe_where(channel, |other| other.id == outlet.id);
        // Only now: what was still handed on meanwhile is held by a closed gate, and goes with it.
        outlet.forget(channel);
    }

    /// None of the account's connections listens any more, and each looks again where it belongs: the word may be late,
    /// and whoever has come back meanwhile must not stay deaf. Those whose gate is closed are about to read a state that
    /// knows better; [`Outlet::release`] looks for their own departure in what they held.
    pub fn detach(&self, account: AccountId, channel: Channel) {
        self.unsubscribe_where(channel, |other| {
            let goes = other.account == account && !other.is_held(channel);
            if goes {
                other.follow();
            }
            goes
        });
    }

    fn unsubscribe_where(&self, channel: Channel, goes: impl Fn(&Outlet) -> bool) {
        if let Entry::Occupied(mut listeners) = self.channels.entry(channel) {
            self.hand_on(channel, listeners.get_mut());
            listeners.get_mut().outlets.retain(|other| !goes(other));
            // At once: what is gathered in between would be lost, and answers with it.
            if listeners.get().outlets.is_empty() {
                listeners.remove();
            }
        }
    }

    fn hand_on(&self, channel: Channel, listeners: &mut Listeners) {
        if let Some(turn) = listeners.gathered.take() {
            self.writers.add(channel, listeners.settle(*turn, &self.faults).into_iter());
        }
    }

    /// Hands on what is gathered in `channel`, without waiting for the end of the turn.
    pub fn settle(&self, channel: Channel) {
        if let Some(mut listeners) = self.channels.get_mut(&channel) {
            self.hand_on(channel, &mut listeners);
        }
    }

    /// Whether anybody here listens to `channel`.
    pub fn has_listeners(&self, channel: Channel) -> bool {
        self.channels.contains_key(&channel)
    }

    /// Whether anybody here hears what is said in `channel`: whoever listens with a closed gate does not yet.
    pub fn has_hearers(&self, channel: Channel) -> bool {
        let hears = |listeners: &Listeners| listeners.outlets.iter().any(|outlet| !outlet.is_held(channel));
        self.channels.get(&channel).is_some_and(|listeners| hears(&listeners))
    }

    /// Whether this connection listens to `channel`.
    pub fn listens(&self, outlet: &Outlet, channel: Channel) -> bool {
        let is_there = |listeners: &Listeners| listeners.outlets.iter().any(|other| other.id == outlet.id);
        self.channels.get(&channel).is_some_and(|listeners| is_there(&listeners))
    }

    /// Hands an event to everyone here who listens, in a room at the end of this turn; says how many they are.
    pub fn deliver(&self, delivery: &Arc<Delivery>) -> u64 {
        let channel = delivery.channel;
        if let Channel::User(_) = channel {
            return self.deliver_at_once(delivery);
        }
        let Some(mut listeners) = self.channels.get_mut(&channel) else { return 0 };
        let gathered = &mut listeners.gathered.get_or_insert_default().deliveries;
        gathered.push(Arc::clone(delivery));
        match gathered.len() {
            1 => self.writers.gather(channel),
            MOST.. => self.hand_on(channel, &mut listeners),
            _ => {}
        }
        listeners.outlets.len() as u64
    }

    /// A user's own channel has few listeners, and what it tells comes behind what their room has told.
    fn deliver_at_once(&self, delivery: &Arc<Delivery>) -> u64 {
        let listeners = || self.channels.get(&delivery.channel);
        let rooms = |listeners: &Listeners| listeners.outlets.iter().filter_map(|outlet| outlet.room()).collect();
        let rooms: Vec<_> = listeners().map(|listeners| rooms(&listeners)).unwrap_or_default();
        rooms.into_iter().for_each(|room| self.settle(room));
        let Some(listeners) = listeners() else { return 0 };
        let unwritten = listeners.hand(std::slice::from_ref(delivery), &self.faults);
        self.writers.add(delivery.channel, unwritten.into_iter());
        listeners.outlets.len() as u64
    }

    /// Everyone here who listens to `channel` reads its state anew.
    pub fn resync(&self, channel: Channel) {
        if let Some(mut listeners) = self.channels.get_mut(&channel) {
            self.hand_on(channel, &mut listeners);
            for outlet in &listeners.outlets {
                outlet.resync(channel);
            }
        }
    }

    /// Hands a derived state of `user` to everyone here who listens.
    pub fn derive(&self, channel: Channel, user: AccountId, frame: &Frame) {
        if let Some(mut listeners) = self.channels.get_mut(&channel) {
            self.hand_on(channel, &mut listeners);
            let unwritten = listeners.outlets.iter().filter(|outlet| outlet.derive(channel, user, frame));
            self.writers.add(channel, unwritten.cloned());
        }
    }

    /// Opens a connection's gate: see [`Outlet::release`].
    pub fn release(&self, outlet: &Outlet, channel: Channel, place: &Place) -> Result<(), Overflow> {
        self.settle_room(outlet);
        self.settle(channel);
        outlet.release(channel, place)
    }

    /// Hands a connection its answers, behind everything that was said before: where its room's turn is not over, at the
    /// end of that turn. Answering each word at once would have each leave by itself.
    pub fn answer(&self, outlet: &Arc<Outlet>, answers: Vec<Frame>) {
        if let Some(room) = outlet.room()
            && let Some(mut listeners) = self.channels.get_mut(&room)
            && let Some(turn) = &mut listeners.gathered
        {
            turn.answers.push((Arc::clone(outlet), answers));
            return;
        }
        self.say(outlet, answers);
    }

    /// Hands on what is gathered in the room of a connection, and what it has answered.
    fn settle_room(&self, outlet: &Outlet) {
        if let Some(room) = outlet.room() {
            self.settle(room);
        }
    }

    /// Hands a connection what it has to say itself, behind everything that was said before, now.
    pub fn say(&self, outlet: &Arc<Outlet>, frames: impl IntoIterator<Item = Frame>) {
        self.settle_room(outlet);
        if outlet.say(frames) {
            self.writers.add(Channel::User(outlet.account), std::iter::once(Arc::clone(outlet)));
        }
    }

    /// The same with a frame that shows `room`: see [`Outlet::show_room`].
    pub fn show_room(&self, outlet: &Arc<Outlet>, room: RoomId, picture: Frame) -> bool {
        self.settle_room(outlet);
        let shown = outlet.show_room(room, picture);
        if shown == Some(true) {
            self.writers.add(Channel::User(outlet.account), std::iter::once(Arc::clone(outlet)));
        }
        shown.is_some()
    }

    /// How many write to the connections, each in a task of its own.
    pub fn writers(&self) -> usize {
        self.writers.count()
    }

    /// One of those who do, until `stop`.
    pub async fn write(&self, index: usize, stop: CancellationToken) {
        self.writers.write(index, stop, |channel| self.settle(channel)).await;
    }

    /// The account's connections here.
    pub fn of(&self, account: AccountId) -> Vec<Arc<Outlet>> {
        self.accounts.get(&account).map(|devices| devices.clone()).unwrap_or_default()
    }

    /// The account's connections here, as an operator sees them.
    pub fn infos(&self, account: AccountId) -> Vec<ConnectionInfo> {
        let info = |outlet: &Arc<Outlet>| {
            let (queue_frames, queue_bytes) = outlet.queued();
            ConnectionInfo {
                id: outlet.id,
                session: outlet.session.0,
                age_secs: outlet.age().as_secs(),
                queue_frames,
                queue_bytes,
                round_trip_ms: outlet.round_trip.last().map(|took| took.as_secs_f64() * 1000.0),
            }
        };
        self.of(account).iter().map(info).collect()
    }

    /// Every connection here.
    pub fn all(&self) -> Vec<Arc<Outlet>> {
        self.those(|_| true)
    }

    /// The connections here that are `wanted`.
    pub fn those(&self, wanted: impl Fn(&Outlet) -> bool) -> Vec<Arc<Outlet>> {
        let mut found = Vec::new();
        for devices in &self.accounts {
            found.extend(devices.iter().filter(|outlet| wanted(outlet)).cloned());
        }
        found
    }

    /// How many are connected here.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many accounts are connected here.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
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
            let ids: HashSet<_> = channel.outlets.iter().map(|outlet| outlet.id).collect();
            if ids.len() != channel.outlets.len() {
                return Err(format!("somebody listens twice to {}", channel.key()));
            }
            if let Some(ghost) = ids.difference(&connected).next() {
                return Err(format!("connection {ghost} is gone and listens to {}", channel.key()));
            }
        }
        Ok(())
    }
}
