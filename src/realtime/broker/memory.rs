//! The broker of one instance alone: everything in this process, gone with it.
//!
//! A channel's state lives as long as somebody listens or its history can still be asked for; a later life has another
//! epoch, so that nobody mistakes new offsets for old ones. Lives that began between the same two sweeps share theirs.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dashmap::{DashMap, mapref::one::RefMut};
use entity::{AccountId, Millis, OutboxId};
use tokio::sync::Notify;

use super::{About, Broker, ConnectionInfo, Control, Delivery, InstanceInfo, Message, Sink, Standing};
use crate::{
    clock,
    error::Result,
    realtime::{
        presence::{DeviceId, Edge, Presence},
        protocol::{Channel, Place, frames},
    },
};

/// How late the end of a grace is found if the clock jumps. What the clock says by itself is found in time.
const LOOK: Duration = Duration::from_millis(50);

/// What a channel remembers.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// At most so many events.
    pub messages: usize,
    /// For at most so long.
    pub age: Duration,
}

fn new_epoch() -> Arc<str> {
    format!("{:016x}", rand::random::<u64>()).into()
}

#[derive(Debug)]
struct State {
    epoch: Arc<str>,
    off: u64,
    last_key: Option<OutboxId>,
    history: VecDeque<Arc<Delivery>>,
    touched: Millis,
}

impl State {
    fn new(epoch: Arc<str>) -> Self {
        Self { epoch, off: 0, last_key: None, history: VecDeque::new(), touched: Millis(0) }
    }

    fn place(&self) -> Place {
        Place { epoch: Arc::clone(&self.epoch), off: self.off }
    }

    fn trim(&mut self, now: Millis, memory: Memory) {
        while self.history.len() > memory.messages
            || self.history.front().is_some_and(|oldest| clock::after(oldest.at, memory.age) < now)
        {
            self.history.pop_front();
        }
        if self.history.is_empty() {
            self.history.shrink_to_fit();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct MemoryBroker {
    sink: Arc<dyn Sink>,
    instance: Arc<str>,
    memory: Memory,
    /// In boxes: a map has room for more than it holds.
    channels: DashMap<Channel, Box<State>>,
    /// That of lives which begin now.
    epoch: Mutex<Arc<str>>,
    presence: Mutex<Presence>,
    grace: Duration,
    /// Somebody is held for less than a look's time.
    held: Notify,
    kept: Mutex<HashMap<String, (String, Millis)>>,
}

impl MemoryBroker {
    /// A broker that remembers as `memory` says and holds lost devices for `grace`.
    pub fn new(sink: Arc<dyn Sink>, memory: Memory, grace: Duration) -> Self {
        Self {
            sink,
            instance: format!("{:08x}", rand::random::<u32>()).into(),
            memory,
            channels: DashMap::new(),
            epoch: Mutex::new(new_epoch()),
            presence: Mutex::new(Presence::new(grace)),
            grace,
            held: Notify::new(),
            kept: Mutex::default(),
        }
    }

    /// The state of `channel`, whose life begins now if it has none. The entry's guard is what keeps a channel's order.
    fn state(&self, channel: Channel) -> RefMut<'_, Channel, Box<State>> {
        let begin = || Box::new(State::new(Arc::clone(&self.epoch())));
        self.channels.entry(channel).or_insert_with(begin)
    }

    fn epoch(&self) -> MutexGuard<'_, Arc<str>> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, (String, Millis)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn instance(&self) -> Arc<str> {
        Arc::clone(&self.instance)
    }

    async fn publish(
        &self,
        channel: Channel,
        key: Option<OutboxId>,
        at: Millis,
        message: &Message,
    ) -> Result<Option<Place>> {
        // Held while delivering.
        let mut state = self.state(channel);
        if key.is_some() && key <= state.last_key {
            return Ok(None);
        }
        state.last_key = key.or(state.last_key);
        state.off += 1;
        state.touched = at;
        let delivery = Arc::new(Delivery {
            channel,
            place: state.place(),
            at,
            frame: frames::event(channel, state.off, at, &message.ev, &message.d),
            routing: message.routing,
        });
        state.history.push_back(Arc::clone(&delivery));
        state.trim(at, self.memory);
        self.sink.deliver(&delivery);
        Ok(Some(delivery.place.clone()))
    }

    async fn standing(&self, channel: Channel) -> Result<Standing> {
        let state = self.state(channel);
        Ok(Standing { place: state.place(), last_key: state.last_key })
    }

    async fn since(&self, channel: Channel, epoch: &str, off: u64) -> Result<Option<(Vec<Arc<Delivery>>, Place)>> {
        let Some(state) = self.channels.get(&channel) else { return Ok(None) };
        let missed = state.off.checked_sub(off).and_then(|missed| usize::try_from(missed).ok());
        let Some(missed) = missed.filter(|missed| *state.epoch == *epoch && *missed <= state.history.len()) else {
            return Ok(None);
        };
        let events = state.history.iter().skip(state.history.len() - missed).cloned().collect();
        Ok(Some((events, state.place())))
    }

    async fn reach(&self, _channel: Channel, _place: &Place) {
        // Events are handed over before anybody can see that there are more.
    }

    async fn subscribe(&self, channel: Channel) -> Result<()> {
        drop(self.state(channel));
        Ok(())
    }

    async fn tell(&self, control: Control) -> Result<()> {
        self.sink.control(&control);
        Ok(())
    }

    async fn connect(&self, user: AccountId, device: DeviceId, now: Millis) -> Result<Option<Edge>> {
        Ok(self.presence().connect(user, device, now))
    }

    async fn disconnect(&self, user: AccountId, device: DeviceId, now: Millis, held: bool) -> Result<Option<Edge>> {
        let edge = self.presence().disconnect(user, device, now, held);
        if held && self.grace < LOOK {
            self.held.notify_one();
        }
        Ok(edge)
    }

    async fn told(&self, _user: AccountId, _now: Millis) -> Result<Option<Edge>> {
        // Edges are decided one after another, each told before the next: nothing has changed meanwhile.
        Ok(None)
    }

    async fn give_up(&self, user: AccountId, now: Millis) -> Result<()> {
        self.presence().give_up(user, now);
        Ok(())
    }

    async fn until_due(&self, now: Millis) {
        let due = self.presence().next_due().map_or(LOOK, |due| clock::until(now, due));
        // Whoever is due and can't be let go just now is not asked for without a pause.
        let wait = due.clamp(Duration::from_millis(1), LOOK);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.held.notified() => {}
        }
    }

    async fn due(&self, now: Millis) -> Result<Vec<AccountId>> {
        Ok(self.presence().due(now))
    }

    async fn expire(&self, user: AccountId, now: Millis) -> Result<Option<Edge>> {
        Ok(self.presence().expire(user, now))
    }

    async fn online(&self, users: &[AccountId]) -> Result<Vec<Option<Millis>>> {
        Ok(self.online_here(users))
    }

    fn online_here(&self, users: &[AccountId]) -> Vec<Option<Millis>> {
        let presence = self.presence();
        users.iter().map(|user| presence.since(*user)).collect()
    }

    async fn keep(&self, key: String, value: String, now: Millis, ttl: Duration) -> Result<()> {
        self.kept().insert(key, (value, clock::after(now, ttl)));
        Ok(())
    }

    async fn take(&self, key: &str, now: Millis) -> Result<Option<String>> {
        let taken = self.kept().remove(key);
        Ok(taken.filter(|(_, until)| now < *until).map(|(value, _)| value))
    }

    async fn instances(&self) -> Result<Vec<InstanceInfo>> {
        let About { connections, users, draining } = self.sink.about();
        let (id, version) = (self.instance.to_string(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(vec![InstanceInfo { id, version, connections, users, draining }])
    }

    async fn connections(&self, account: AccountId) -> Result<Vec<(String, ConnectionInfo)>> {
        let here = self.sink.connections(account).into_iter();
        Ok(here.map(|connection| (self.instance.to_string(), connection)).collect())
    }

    async fn sweep(&self, now: Millis) -> Result<()> {
        // Before the first life ends: the next one of that channel has another epoch.
        *self.epoch() = new_epoch();
        self.channels.retain(|channel, state| {
            state.trim(now, self.memory);
            self.sink.listens(*channel) || now <= clock::after(state.touched, self.memory.age)
        });
        self.kept().retain(|_, (_, until)| now < *until);
        Ok(())
    }
}
