//! The broker of many instances: what they share lies in Redis.
//!
//! Promises what the trait does, across instances, as long as Redis answers; and that while it does not, nothing is
//! announced, connections stay, and everything is made up for afterwards. Redis may lose what it holds at any time: the
//! database has everything that was committed, and a channel whose numbers are lost begins a new epoch.

mod channels;
mod cursor;
mod ears;
mod follow;
mod keys;
mod lease;
mod link;
mod listen;
mod owed;
mod presence;
mod scripts;
mod wire;
mod words;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use entity::{AccountId, Millis, OutboxId};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    channels::Questions,
    ears::Ears,
    follow::{Follows, Join},
    keys::{Keys, Partition},
    link::Link,
    owed::Owed,
    presence::{Mine, Unsaid},
    scripts::Scripts,
    wire::Target,
    words::Question,
};
use super::{Broker, ConnectionInfo, Control, Delivery, InstanceInfo, Message, Sink, Standing, Tried, memory::Memory};
use crate::{
    clock::{self, Clock},
    error::{ErrorCode, Result},
    realtime::{
        presence::{DeviceId, Edge},
        protocol::{Channel, Place},
    },
    telemetry::Metrics,
};

/// How often every instance looks for graces that have ended.
const DUE: Duration = Duration::from_millis(500);

/// Events that may wait to be handed over: a second of a busy instance.
pub const WAITING: usize = 16 * 1024;

/// How it is set up.
#[derive(Debug)]
pub struct Settings {
    /// What a channel remembers.
    pub memory: Memory,
    /// How long a lost connection is held back.
    pub grace: Duration,
    /// How long an instance is taken to live after its last sign of life.
    pub lease: Duration,
    /// Connections of one user, across all instances.
    pub cap: usize,
    /// What every name in Redis begins with.
    pub prefix: String,
    /// Events that may wait to be handed over. What is more is read from the channels' memory.
    pub waiting: usize,
}

/// See the module.
#[derive(Debug)]
pub struct RedisBroker {
    inner: Arc<Inner>,
    /// What the tasks of [`Broker::run`] take their work from.
    work: Mutex<Option<Work>>,
}

#[derive(Debug)]
struct Work {
    wanted: mpsc::UnboundedReceiver<Channel>,
    gaps: mpsc::UnboundedReceiver<Channel>,
    asked: mpsc::UnboundedReceiver<Question>,
}

#[derive(Debug)]
struct Inner {
    sink: Arc<dyn Sink>,
    clock: Clock,
    metrics: Metrics,
    memory: Memory,
    grace: Duration,
    lease: Duration,
    cap: usize,
    waiting: usize,
    link: Link,
    /// By partition.
    questions: Vec<Questions>,
    keys: Keys,
    scripts: Scripts,
    follows: Follows,
    /// Channels that are to be subscribed to.
    want: mpsc::UnboundedSender<Channel>,
    /// What operators at other instances want to know.
    ask: mpsc::UnboundedSender<Question>,
    instance: RwLock<Arc<str>>,
    probe_name: String,
    mine: Mutex<Mine>,
    unsaid: Mutex<Unsaid>,
    ears: Ears,
    hears: AtomicBool,
    healthy: AtomicBool,
    look_now: Notify,
    /// When the lease was renewed.
    renewed: Mutex<Instant>,
    owed: Mutex<Owed>,
    owes: Notify,
}

fn new_name() -> Arc<str> {
    format!("{:08x}", rand::random::<u32>()).into()
}

impl RedisBroker {
    /// A broker at `urls`, connected if Redis can be reached: an instance that starts without goes on trying.
    pub async fn connect(
        urls: &str,
        settings: Settings,
        sink: Arc<dyn Sink>,
        clock: Clock,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let Settings { memory, grace, lease, cap, prefix, waiting } = settings;
        let (want, wanted) = mpsc::unbounded_channel();
        let (gap, gaps) = mpsc::unbounded_channel();
        let (ask, asked) = mpsc::unbounded_channel();
        let inner = Inner {
            follows: Follows::new(Arc::clone(&sink), gap),
            sink,
            clock,
            metrics,
            memory,
            grace,
            lease,
            cap,
            waiting,
            link: Link::new(Target::parse(urls)?),
            questions: Partition::all().map(|_| Questions::default()).collect(),
            keys: Keys::new(&prefix),
            scripts: Scripts::new(),
            want,
            ask,
            instance: RwLock::new(new_name()),
            probe_name: format!("{:016x}", rand::random::<u64>()),
            mine: Mutex::default(),
            unsaid: Mutex::default(),
            ears: Ears::new(),
            hears: AtomicBool::new(false),
            healthy: AtomicBool::new(false),
            look_now: Notify::new(),
            renewed: Mutex::new(Instant::now()),
            owed: Mutex::default(),
            owes: Notify::new(),
        };
        if let Err(error) = inner.link.connect().await {
            tracing::warn!(%error, "Redis is not to be reached; this instance is not ready until it is");
        }
        Ok(Self { inner: Arc::new(inner), work: Mutex::new(Some(Work { wanted, gaps, asked })) })
    }
}

impl Inner {
    fn instance(&self) -> Arc<str> {
        Arc::clone(&self.instance.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn mine(&self) -> MutexGuard<'_, Mine> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsaid(&self) -> MutexGuard<'_, Unsaid> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for RedisBroker {
    fn instance(&self) -> Arc<str> {
        self.inner.instance()
    }

    async fn run(&self, stop: CancellationToken) {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Work { wanted, gaps, asked }) = work else { return };
        let inner = &self.inner;
        let tasks = [
            tokio::spawn({
                let inner = Arc::clone(inner);
                async move { inner.link.keep(|| inner.look_now.notify_one()).await }
            }),
            tokio::spawn(Arc::clone(inner).listen(wanted)),
            tokio::spawn(Arc::clone(inner).fill_gaps(gaps)),
            tokio::spawn(Arc::clone(inner).keep_lease()),
            tokio::spawn(Arc::clone(inner).pay()),
            tokio::spawn(Arc::clone(inner).answer(asked)),
        ]
        .map(AbortOnDropHandle::new);
        stop.cancelled().await;
        drop(tasks);
        inner.follows.close();
        if let Err(error) = inner.leave().await {
            tracing::debug!(%error, "this instance leaves without a word");
        }
    }

    async fn publish(
        &self,
        channel: Channel,
        key: Option<OutboxId>,
        at: Millis,
        message: &Message,
    ) -> Result<Option<Place>> {
        self.inner.publish(channel, key, at, message).await
    }

    async fn standing(&self, channel: Channel) -> Result<Standing> {
        self.inner.standing(channel).await
    }

    async fn since(&self, channel: Channel, epoch: &str, off: u64) -> Result<Option<(Vec<Arc<Delivery>>, Place)>> {
        self.inner.missed(channel, epoch, off).await
    }

    async fn reach(&self, channel: Channel, place: &Place) {
        self.inner.reach(channel, place).await;
    }

    async fn subscribe(&self, channel: Channel) -> Result<()> {
        let joined = match self.inner.follows.join(channel) {
            Join::Done => return Ok(()),
            Join::Wait(joined) => joined,
            Join::First(joined) => {
                if !self.inner.hears.load(Ordering::Relaxed) || self.inner.want.send(channel).is_err() {
                    self.inner.follows.fail(&[channel]);
                }
                joined
            }
        };
        joined.await.map_err(|_| ErrorCode::Unavailable.into())
    }

    async fn tell(&self, control: Control) -> Result<()> {
        self.inner.tell(control).await
    }

    async fn connect(&self, user: AccountId, device: DeviceId, now: Millis) -> Result<Option<Edge>> {
        self.inner.connect(user, device, now).await
    }

    async fn disconnect(&self, user: AccountId, device: DeviceId, now: Millis, held: bool) -> Result<Option<Edge>> {
        self.inner.disconnect(user, device, now, held).await
    }

    async fn may_tell(&self, user: AccountId, decided: Millis, now: Millis) -> Result<bool> {
        self.inner.may_tell(user, decided, now).await
    }

    async fn told(&self, user: AccountId, now: Millis) -> Result<Option<Edge>> {
        self.inner.told(user, now).await
    }

    async fn give_up(&self, user: AccountId, now: Millis) -> Result<()> {
        self.inner.give_up(user, now).await
    }

    async fn until_due(&self, _now: Millis) {
        tokio::time::sleep(DUE).await;
    }

    async fn due(&self, now: Millis) -> Result<Vec<AccountId>> {
        self.inner.due(now).await
    }

    async fn expire(&self, user: AccountId, now: Millis) -> Result<Option<Edge>> {
        self.inner.expire(user, now).await
    }

    async fn online(&self, users: &[AccountId]) -> Result<Vec<Option<Millis>>> {
        self.inner.online(users).await
    }

    fn online_here(&self, users: &[AccountId]) -> Vec<Option<Millis>> {
        let mine = self.inner.mine();
        users.iter().map(|user| Some(mine.get(user)?.first()?.1)).collect()
    }

    async fn keep(&self, key: String, value: String, _now: Millis, ttl: Duration) -> Result<()> {
        let mut keep = redis::cmd("SET");
        keep.arg(self.inner.keys.kept(&key)).arg(value).arg("PX").arg(clock::millis(ttl));
        self.inner.link.run(&keep).await
    }

    async fn take(&self, key: &str, _now: Millis) -> Result<Option<String>> {
        self.inner.link.run(redis::cmd("GETDEL").arg(self.inner.keys.kept(key))).await
    }

    async fn instances(&self) -> Result<Vec<InstanceInfo>> {
        self.inner.instances().await
    }

    async fn connections(&self, account: AccountId) -> Result<Vec<(String, ConnectionInfo)>> {
        self.inner.connections(account).await
    }

    async fn tried(&self, who: &str, how: Tried) -> Result<Option<Duration>> {
        self.inner.tried(who, how).await
    }

    async fn check(&self) -> Result<()> {
        let inner = &self.inner;
        let well = inner.link.is_up() && inner.hears.load(Ordering::Relaxed) && inner.healthy.load(Ordering::Relaxed);
        if well { Ok(()) } else { Err(ErrorCode::Unavailable.into()) }
    }

    fn lease_age(&self) -> Duration {
        self.inner.lease_age()
    }

    async fn sweep(&self, now: Millis) -> Result<()> {
        self.inner.refresh(now).await
    }
}
