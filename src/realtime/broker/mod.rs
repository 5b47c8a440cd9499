//! What instances share: the places of channels, their short memory, presence and single-use secrets.
//!
//! One trait, so that one instance alone and many together behave alike; every implementation passes the same contract
//! suite. A broker numbers and remembers; it decides nothing about users.

pub mod memory;
pub mod redis;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use entity::{AccountId, Millis, OutboxId, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{
    presence::{DeviceId, Edge},
    protocol::{Channel, CloseReason, Event, Frame, Place, events::Routing},
};
use crate::error::{ErrorCode, Result};

/// An event on its way to a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// The event's name.
    pub ev: String,
    /// The event's content.
    pub d: Box<RawValue>,
    /// What it means for the connections it passes.
    #[serde(flatten)]
    pub routing: Routing,
}

impl Message {
    /// The message that tells `event`.
    pub fn new(event: &Event) -> Result<Self> {
        #[derive(Serialize, Deserialize)]
        struct Spelled {
            ev: String,
            d: Box<RawValue>,
        }
        let spelled = serde_json::to_string(event).and_then(|text| serde_json::from_str::<Spelled>(&text));
        let Spelled { ev, d } = spelled.map_err(anyhow::Error::from)?;
        Ok(Self { ev, d, routing: event.routing() })
    }
}

/// An event at its place, encoded once for everybody.
#[derive(Debug)]
pub struct Delivery {
    /// Where.
    pub channel: Channel,
    /// Its place there.
    pub place: Place,
    /// When it happened.
    pub at: Millis,
    /// The frame as it leaves.
    pub frame: Frame,
    /// What it means for the connections it passes.
    pub routing: Routing,
}

/// Where a channel stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its last event.
    pub place: Place,
    /// The last committed change among its events.
    pub last_key: Option<OutboxId>,
}

/// How an id is spelled from one instance to another; rows know no spelling.
#[derive(Serialize, Deserialize)]
#[serde(remote = "AccountId")]
struct Account(i64);

/// See [`Account`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionId")]
struct Session(i64);

/// What every instance must hear at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Sessions have ended: their tokens are dead and their sockets close.
    SessionsEnded {
        /// Whose.
        #[serde(with = "Account")]
        account: AccountId,
        /// Which of them.
        which: Which,
        /// What their sockets are told.
        reason: CloseReason,
    },
    /// A newer device has taken this one's place.
    Replaced {
        /// Whose.
        #[serde(with = "Account")]
        account: AccountId,
        /// Where it is connected.
        instance: String,
        /// Which it is there.
        device: DeviceId,
    },
    /// A user's connections are sent away; they come back.
    SentAway {
        /// Whose.
        #[serde(with = "Account")]
        account: AccountId,
    },
    /// An instance sends everybody away and takes nobody in.
    Drained {
        /// Which.
        instance: String,
    },
}

impl Control {
    /// The instance for which it is meant, if it is not for all.
    pub fn addressee(&self) -> Option<&str> {
        match self {
            Self::Replaced { instance, .. } | Self::Drained { instance } => Some(instance),
            Self::SessionsEnded { .. } | Self::SentAway { .. } => None,
        }
    }
}

/// Some of an account's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// This one.
    One(#[serde(with = "Session")] SessionId),
    /// All but this one.
    AllBut(#[serde(with = "Session")] SessionId),
    /// All.
    All,
}

impl Which {
    /// Whether `session` is among them.
    pub fn includes(self, session: SessionId) -> bool {
        match self {
            Self::One(one) => one == session,
            Self::AllBut(kept) => kept != session,
            Self::All => true,
        }
    }
}

/// An instance at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceInfo {
    /// Its present name.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its sockets.
    pub connections: usize,
    /// Whose they are.
    pub users: usize,
    /// Whether it sends them away.
    pub draining: bool,
}

/// What an instance says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct About {
    /// Its sockets.
    pub connections: usize,
    /// Whose they are.
    pub users: usize,
    /// Whether it sends them away.
    pub draining: bool,
}

/// A connection, as an operator sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionInfo {
    /// Its number at its instance.
    pub id: DeviceId,
    /// Its session.
    pub session: i64,
    /// How long it has been there.
    pub age_secs: u64,
    /// Frames that wait for it.
    pub queue_frames: usize,
    /// Their bytes.
    pub queue_bytes: usize,
    /// How long its last heartbeat took; null before the first.
    #[schema(required)]
    pub round_trip_ms: Option<f64>,
}

/// A try that is counted, or what became of it.
#[derive(Clone, Copy, Debug)]
pub enum Tried {
    /// One more in a window that allows so many.
    Counted {
        /// How many.
        tries: u32,
        /// In how long.
        window: Duration,
    },
    /// One more that is taken for a failure: after `free` ones the delay doubles up to `longest`.
    Attempted {
        /// Failures without a delay.
        free: u32,
        /// The greatest delay.
        longest: Duration,
    },
    /// It went well: everything is forgotten.
    Forgiven,
}

/// Where a broker hands over what concerns this instance. Called in the channel's order; never waits.
pub trait Sink: Send + Sync + Debug {
    /// An event for the channel's local subscribers.
    fn deliver(&self, delivery: &Arc<Delivery>);
    /// Whether anybody here listens to `channel`.
    fn listens(&self, channel: Channel) -> bool;
    /// Something of `channel` is missing, or may be: its local subscribers read its state anew. What is delivered from
    /// here on follows that state.
    fn resync(&self, channel: Channel);
    /// What there is to say of this instance.
    fn about(&self) -> About;
    /// A user's connections here.
    fn connections(&self, account: AccountId) -> Vec<ConnectionInfo>;
    /// A word to this instance.
    fn control(&self, control: &Control);
}

/// See the module. Offsets begin at 1; an epoch lives as long as somebody may remember it.
#[async_trait]
pub trait Broker: Send + Sync + Debug {
    /// The present name of this instance. It changes if others have given it up meanwhile.
    fn instance(&self) -> Arc<str>;

    /// Whatever goes on beside, until `stop`.
    async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    /// Gives `message` the next place of `channel`, remembers it and delivers it everywhere. Within a channel keys
    /// ascend: a key that is not greater than the last was published before, and answers `None`.
    async fn publish(
        &self,
        channel: Channel,
        key: Option<OutboxId>,
        at: Millis,
        message: &Message,
    ) -> Result<Option<Place>>;

    /// Where `channel` stands now.
    async fn standing(&self, channel: Channel) -> Result<Standing>;

    /// Every event after `off`, in order, and where the channel stands then; `None` if that is no longer known.
    async fn since(&self, channel: Channel, epoch: &str, off: u64) -> Result<Option<(Vec<Arc<Delivery>>, Place)>>;

    /// Waits until what stands up to `place` has been handed over here, or can't be for now. Where a channel stands may be
    /// known before its last events have come.
    async fn reach(&self, channel: Channel, place: &Place);

    /// This instance listens to `channel` from here on. The sink listens already; letting go is the broker's: it asks
    /// the sink who still does.
    async fn subscribe(&self, channel: Channel) -> Result<()>;

    /// Tells every instance.
    async fn tell(&self, control: Control) -> Result<()>;

    /// A device has connected.
    async fn connect(&self, user: AccountId, device: DeviceId, now: Millis) -> Result<Option<Edge>>;

    /// A device is gone, `held` for the grace or for good.
    async fn disconnect(&self, user: AccountId, device: DeviceId, now: Millis, held: bool) -> Result<Option<Edge>>;

    /// Whether the edge of `user` that was decided here is still to be told from here: whoever took too long was given up,
    /// and another tells it.
    async fn may_tell(&self, _user: AccountId, _decided: Millis, _now: Millis) -> Result<bool> {
        Ok(true)
    }

    /// The edge of `user` that was decided here last has been told; answers the next one, if things have changed
    /// meanwhile. An edge whose teller says nothing is found due again, and told by another.
    async fn told(&self, user: AccountId, now: Millis) -> Result<Option<Edge>>;

    /// Whoever is held will not come back: the grace ends at once.
    async fn give_up(&self, user: AccountId, now: Millis) -> Result<()>;

    /// Waits until it is worth asking who is due.
    async fn until_due(&self, now: Millis);

    /// Whose grace has ended.
    async fn due(&self, now: Millis) -> Result<Vec<AccountId>>;

    /// Lets go of `user` if the grace has ended and nobody returned.
    async fn expire(&self, user: AccountId, now: Millis) -> Result<Option<Edge>>;

    /// Since when each of `users` is online.
    async fn online(&self, users: &[AccountId]) -> Result<Vec<Option<Millis>>>;

    /// Since when each of `users` is connected to this instance, which needs nobody to be known.
    fn online_here(&self, users: &[AccountId]) -> Vec<Option<Millis>>;

    /// Keeps `value` under `key` for `ttl`, to be taken once.
    async fn keep(&self, key: String, value: String, now: Millis, ttl: Duration) -> Result<()>;

    /// Takes what is kept under `key`; only one taker gets it.
    async fn take(&self, key: &str, now: Millis) -> Result<Option<String>>;

    /// All instances, this one among them.
    async fn instances(&self) -> Result<Vec<InstanceInfo>>;

    /// A user's connections, each with its instance.
    async fn connections(&self, account: AccountId) -> Result<Vec<(String, ConnectionInfo)>>;

    /// Counts what `who` tries for all instances together; answers how long to wait. A broker that is alone does not:
    /// whoever asks counts by itself.
    async fn tried(&self, _who: &str, _how: Tried) -> Result<Option<Duration>> {
        Err(ErrorCode::Unavailable.into())
    }

    /// Whether what others say arrives here. A broker that has nobody else to hear has nothing to fear.
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// How long ago this instance last showed the others that it lives. One that is alone need not.
    fn lease_age(&self) -> Duration {
        Duration::ZERO
    }

    /// Forgets what nobody can ask for any more, and lets go of channels without a listener here.
    async fn sweep(&self, now: Millis) -> Result<()>;
}
