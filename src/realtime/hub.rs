//! The one type that features and doors see of realtime.
//!
//! Promises that what is published reaches every connection that listens, in the channel's order, encoded once. It
//! never waits for a receiver.

use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use entity::{AccountId, Millis, OutboxId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    admission::Admission,
    broker::{
        About, Broker, ConnectionInfo, Control, Delivery, Message, Sink, Standing, Which,
        memory::{Memory, MemoryBroker},
        redis::{self, RedisBroker},
    },
    edges::Edges,
    faults::Faults,
    merge::Merge,
    outlet::{Closing, Outlet, Overflow},
    outqueue::Bounds,
    presence::Edge,
    protocol::{Channel, CloseReason, Event, Place, frames},
    registry::Registry,
    touched::Touched,
};
use crate::{clock::Clock, config::Config, error::Result, telemetry::Metrics};

/// Who hears first that sessions have ended.
pub type OnSessionsEnded = Box<dyn Fn(AccountId, Which) + Send + Sync>;

/// Whoever is sent away by an operator comes back after so long: soon, and not before the socket is gone.
const RETURN_MS: u32 = 500;

/// This instance's end of realtime, cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    local: Arc<Local>,
    broker: Box<dyn Broker>,
    clock: Clock,
    edges: Edges,
    merge: std::sync::Mutex<Merge>,
    admission: Admission,
}

/// What the broker hands over ends here.
struct Local {
    registry: Registry,
    timers: Touched,
    untold: Touched,
    metrics: Metrics,
    faults: Arc<Faults>,
    on_sessions_ended: OnSessionsEnded,
    drain_wanted: CancellationToken,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Sink for Local {
    fn deliver(&self, delivery: &Arc<Delivery>) {
        if let Some(user) = delivery.routing.timer_of {
            self.timers.touch([AccountId(user)]);
        }
        if let Some(user) = delivery.routing.detach {
            self.registry.detach(AccountId(user), delivery.channel);
        }
        self.metrics.delivered.inc_by(self.registry.deliver(delivery));
    }

    fn listens(&self, channel: Channel) -> bool {
        self.registry.has_listeners(channel)
    }

    fn resync(&self, channel: Channel) {
        self.registry.resync(channel);
    }

    fn about(&self) -> About {
        About {
            connections: self.registry.len(),
            users: self.registry.accounts(),
            draining: self.drain_wanted.is_cancelled(),
        }
    }

    fn connections(&self, account: AccountId) -> Vec<ConnectionInfo> {
        self.registry.infos(account)
    }

    fn control(&self, control: &Control) {
        match control {
            Control::SessionsEnded { account, which, reason } => {
                (self.on_sessions_ended)(*account, *which);
                for outlet in self.registry.of(*account) {
                    if which.includes(outlet.session) {
                        outlet.close(Closing { reason: *reason, reconnect_ms: None });
                    }
                }
            }
            Control::Replaced { account, instance: _, device } => {
                for outlet in self.registry.of(*account).iter().filter(|outlet| outlet.id == *device) {
                    outlet.close(Closing { reason: CloseReason::Replaced, reconnect_ms: None });
                }
            }
            Control::SentAway { account } => {
                for outlet in self.registry.of(*account) {
                    outlet.close(Closing { reason: CloseReason::Draining, reconnect_ms: Some(RETURN_MS) });
                }
            }
            Control::Drained { instance: _ } => self.drain_wanted.cancel(),
        }
    }
}

impl Hub {
    /// A hub with the broker that `config` asks for.
    pub async fn new(
        config: &Config,
        clock: Clock,
        metrics: Metrics,
        on_sessions_ended: OnSessionsEnded,
    ) -> anyhow::Result<Self> {
        let bounds = Bounds { messages: config.socket.queue_messages, bytes: config.socket.queue_bytes };
        let faults = Arc::new(Faults::new(&config.faults));
        let local = Arc::new(Local {
            registry: Registry::new(bounds, Arc::clone(&faults)),
            timers: Touched::default(),
            untold: Touched::default(),
            metrics: metrics.clone(),
            faults,
            on_sessions_ended,
            drain_wanted: CancellationToken::new(),
        });
        let sink: Arc<dyn Sink> = Arc::clone(&local) as Arc<dyn Sink>;
        let memory = Memory { messages: config.socket.history_messages, age: config.socket.history };
        let grace = config.presence.grace;
        let urls = config.broker.redis_url.expose();
        let broker: Box<dyn Broker> = if urls.is_empty() {
            Box::new(MemoryBroker::new(sink, memory, grace))
        } else {
            let cap = config.limits.connections_per_user;
            let (lease, prefix) = (config.broker.lease, config.broker.prefix.clone());
            let settings = redis::Settings { memory, grace, lease, cap, prefix, waiting: redis::WAITING };
            Box::new(RedisBroker::connect(urls, settings, sink, clock.clone(), metrics).await?)
        };
        let admission = Admission::new(config.limits.connections, config.limits.connections_per_address);
        let (edges, merge) = (Edges::default(), std::sync::Mutex::default());
        Ok(Self(Arc::new(Inner { local, broker, clock, edges, merge, admission })))
    }

    /// The present name of this instance.
    pub fn instance(&self) -> Arc<str> {
        self.0.broker.instance()
    }

    /// Whatever the broker does beside, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        self.0.broker.run(stop).await;
    }

    /// Cancelled once an operator wants everybody here to be sent away.
    pub fn drain_wanted(&self) -> &CancellationToken {
        &self.0.local.drain_wanted
    }

    /// How many may connect here.
    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// Presence of large rooms that waits to be told.
    pub fn merge(&self) -> std::sync::MutexGuard<'_, Merge> {
        self.0.merge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose friends could not be told what they do.
    pub fn untold(&self) -> &Touched {
        &self.0.local.untold
    }

    /// Whose timers have changed, or have somebody new to tell.
    pub fn timers(&self) -> &Touched {
        &self.0.local.timers
    }

    /// Tells those here who listen to `channel` what follows from `user`'s state by arithmetic alone: every instance
    /// finds it by itself, so it has an id and no place.
    pub fn derive(&self, channel: Channel, user: AccountId, eid: &str, at: Millis, event: &Event) -> Result<()> {
        if self.registry().has_listeners(channel) {
            let message = Message::new(event)?;
            let frame = frames::derived(channel, eid, at, &message.ev, &message.d);
            self.registry().derive(channel, user, &frame);
        }
        Ok(())
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.0.local.faults
    }

    /// Who is connected here.
    pub fn registry(&self) -> &Registry {
        &self.0.local.registry
    }

    /// What instances share.
    pub fn broker(&self) -> &dyn Broker {
        &*self.0.broker
    }

    /// Publishes a committed change once, however often it is called with the same key.
    pub async fn publish(&self, channel: Channel, key: OutboxId, at: Millis, mut message: Message) -> Result<()> {
        if let Some(user) = message.routing.presence_of {
            message.d = self.with_presence(AccountId(user), &message).await?;
        }
        self.place(channel, Some(key), at, &message).await?;
        Ok(())
    }

    /// Publishes what no transaction knows of: presence, a cheer.
    pub async fn say(&self, channel: Channel, event: &Event) -> Result<Option<Place>> {
        let message = Message::new(event)?;
        self.place(channel, None, self.0.clock.now(), &message).await
    }

    async fn place(
        &self,
        channel: Channel,
        key: Option<OutboxId>,
        at: Millis,
        message: &Message,
    ) -> Result<Option<Place>> {
        let began = Instant::now();
        let place = self.0.broker.publish(channel, key, at, message).await?;
        let metrics = &self.0.local.metrics;
        metrics.publish_time.observe(began.elapsed().as_secs_f64());
        metrics.published.inc_by(u64::from(place.is_some()));
        Ok(place)
    }

    /// The presence of a member or a friend is true only at the moment of telling.
    async fn with_presence(&self, user: AccountId, message: &Message) -> Result<Box<serde_json::value::RawValue>> {
        let since = self.since(user).await?;
        let mut d: Value = serde_json::from_str(message.d.get()).map_err(anyhow::Error::from)?;
        let person = ["member", "friend"].into_iter().find(|name| d.get(name).is_some());
        if let Some(person) = person.and_then(|name| d.get_mut(name)).and_then(Value::as_object_mut) {
            person.insert("online".to_owned(), json!(since.is_some()));
            if let Some(since) = since {
                person.insert("since".to_owned(), json!(since.0));
            }
        }
        Ok(serde_json::value::to_raw_value(&d).map_err(anyhow::Error::from)?)
    }

    /// Since when `user` is online.
    pub async fn since(&self, user: AccountId) -> Result<Option<Millis>> {
        Ok(self.0.broker.online(&[user]).await?.first().copied().flatten())
    }

    /// Since when each of `users` is online; while the broker is away, as far as this instance knows by itself. Good for
    /// an answer of the moment. A picture that events build upon needs the truth, or none.
    pub async fn seen(&self, users: &[AccountId]) -> Vec<Option<Millis>> {
        match self.0.broker.online(users).await {
            Ok(online) => online,
            Err(error) => {
                tracing::debug!(%error, "who is online is told from what is known here");
                self.0.broker.online_here(users)
            }
        }
    }

    /// Where `channel` stands.
    pub async fn standing(&self, channel: Channel) -> Result<Standing> {
        self.0.broker.standing(channel).await
    }

    /// Opens a connection's gate at `place`, once everything up to it has come: what came after that would be told again.
    /// See [`Outlet::release`].
    pub async fn release(&self, outlet: &Outlet, channel: Channel, place: &Place) -> Result<(), Overflow> {
        self.0.broker.reach(channel, place).await;
        self.registry().release(outlet, channel, place)
    }

    /// Begins to listen, with the gate closed: open it by [`Hub::release`] once the state has been read.
    pub async fn subscribe(&self, outlet: &Arc<Outlet>, channel: Channel) -> Result<()> {
        outlet.hold(channel);
        self.registry().subscribe(outlet, channel);
        // Also if others listen already: their subscription may still be on its way.
        let subscribed = self.0.broker.subscribe(channel).await;
        if subscribed.is_err() {
            self.unsubscribe(outlet, channel);
        }
        subscribed
    }

    /// No longer listens.
    pub fn unsubscribe(&self, outlet: &Outlet, channel: Channel) {
        self.registry().unsubscribe(outlet, channel);
    }

    /// One of those who write to connections, until `stop`.
    pub async fn write(self, index: usize, stop: CancellationToken) {
        self.registry().write(index, stop).await;
    }

    /// Tells every instance that sessions have ended.
    pub async fn end_sessions(&self, account: AccountId, which: Which, reason: CloseReason) -> Result<()> {
        self.0.broker.tell(Control::SessionsEnded { account, which, reason }).await
    }

    /// The locks under which edges are decided and told.
    pub fn edges(&self) -> &Edges {
        &self.0.edges
    }

    /// A device of `user` has connected.
    pub async fn connect(&self, outlet: &Outlet) -> Result<Option<Edge>> {
        self.0.broker.connect(outlet.account, outlet.id, self.0.clock.now()).await
    }

    /// A device of `user` is gone.
    pub async fn disconnect(&self, outlet: &Outlet, held: bool) -> Result<Option<Edge>> {
        self.0.broker.disconnect(outlet.account, outlet.id, self.0.clock.now(), held).await
    }

    /// The last edge of `user` has been told; answers the next one.
    pub async fn told(&self, user: AccountId) -> Result<Option<Edge>> {
        self.0.broker.told(user, self.0.clock.now()).await
    }

    /// Forgets what nobody can ask for any more.
    pub async fn sweep(&self) -> Result<()> {
        self.0.broker.sweep(self.0.clock.now()).await
    }
}
