//! Everything that a feature may need, built in one function.
//!
//! Promises that two apps can live in one process: nothing here is static.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::extract::FromRef;
use entity::{AccountId, Millis, RoomId, account, room};
use jiff::tz::TimeZone;
use moka::sync::Cache;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Auth,
    clock::Clock,
    config::{Config, Rate},
    db::Db,
    error::Result,
    http::{
        page::Span,
        throttle::{Shared, Throttle},
    },
    jointly::Jointly,
    realtime::{
        CloseReason, Hub,
        broker::{Standing, Tried},
        protocol::events::{CountView, ExitReason, FriendView, MemberView, RequestView, RoomView},
    },
    runs::{Run, Standings},
    telemetry::Metrics,
    together::{SharedAnswer, Together},
};

/// The service's parts, cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// See [`App`].
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// What time it is.
    pub clock: Clock,
    /// The database.
    pub db: Db,
    /// Who is calling.
    pub auth: Auth,
    /// Who is connected.
    pub hub: Hub,
    /// What the operator measures.
    pub metrics: Metrics,
    /// Who tries too often.
    pub throttle: Throttle,
    /// Tasks of connections; the server waits for them.
    pub tasks: TaskTracker,
    /// Counts of rooms that somebody watches, not older than a second.
    pub lobby: Cache<RoomId, CountView>,
    /// Pictures of rooms that somebody has just asked for.
    pub pictures: Cache<RoomId, Arc<Picture>>,
    /// Users who are read for whoever connects.
    pub portraits: Together<AccountId, Portrait>,
    /// Pages of rooms, by keyword.
    pub room_lists: Together<(Option<String>, Span), SharedAnswer<RoomList>>,
    /// Pages of people.
    pub people_lists: Together<PeopleAsked, SharedAnswer<PeopleList>>,
    /// Rooms that are drawn.
    pub drawings: Together<RoomId, RoomView>,
    /// Members who have come, or changed, since a picture was drawn.
    pub seated: Together<AccountId, Seated>,
    /// Members of whom a picture that was drawn before says what time alone changes.
    pub changes: Together<AccountId, Change>,
    /// People who enter and leave.
    pub moves: Jointly<AccountId, Move, RoomId>,
    /// Cancelled once this instance accepts nobody new.
    pub drain: CancellationToken,
    /// The zone whose midnight begins a day.
    pub zone: TimeZone,
}

/// A room as it was read.
#[derive(Debug, Default)]
pub struct Picture {
    /// What was read, and where the channel stood: it holds for the last committed change before that. Nothing, while it
    /// is read for the first time.
    pub drawn: Option<(Standing, RoomView)>,
    departures: Arc<Mutex<Departures>>,
    seen: u64,
}

/// Who went offline, as far as this instance has told it, while a room is pictured.
#[derive(Debug, Default)]
struct Departures {
    count: u64,
    last: HashMap<AccountId, u64>,
}

impl Picture {
    /// How many have gone offline: to be asked before [`Picture::next`] is read.
    pub fn departures(&self) -> u64 {
        self.log().count
    }

    /// The picture that follows this one, read after so many departures.
    pub fn next(&self, standing: Standing, view: RoomView, seen: u64) -> Self {
        Self { drawn: Some((standing, view)), departures: Arc::clone(&self.departures), seen }
    }

    /// Whether `other` is told of the same departures.
    pub fn follows(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.departures, &other.departures)
    }

    /// `member` went offline, as far as this instance has told it.
    pub fn left(&self, member: AccountId) {
        let mut log = self.log();
        log.count += 1;
        let count = log.count;
        log.last.insert(member, count);
    }

    /// Whether `member` was told here to have gone offline since this was read.
    pub fn has_left(&self, member: AccountId) -> bool {
        self.log().last.get(&member).is_some_and(|at| *at > self.seen)
    }

    fn log(&self) -> MutexGuard<'_, Departures> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A seat, as the room sees it.
#[derive(Clone, Debug)]
pub struct Seated {
    /// Which room.
    pub room: RoomId,
    /// Since when.
    pub entered_at: Millis,
    /// Who sits there, before presence is known.
    pub member: MemberView,
}

/// A user as read from the database: who, where, with whom, at what.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Who.
    pub account: account::Model,
    /// The room, and how many sit there.
    pub seat: Option<(RoomId, u64)>,
    /// Before presence is known.
    pub friends: Vec<FriendView>,
    /// Those who wait for an answer.
    pub requests: Vec<RequestView>,
    /// The own timer.
    pub run: Option<Run>,
}

/// What of a member changes though nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The open run.
    pub run: Option<Run>,
    /// When the last device was lost.
    pub seen: Option<Millis>,
}

/// Somebody wants to enter a room, or to leave one.
#[derive(Clone, Debug)]
pub struct Move {
    /// Who.
    pub who: AccountId,
    /// What.
    pub wish: Wish,
}

/// Where to.
#[derive(Clone, Debug)]
pub enum Wish {
    /// In.
    Enter {
        /// Which room.
        room: RoomId,
        /// The hash of its password that is proven to be known.
        proven: Option<String>,
    },
    /// Out.
    Leave {
        /// Which room; wherever it is otherwise.
        room: Option<RoomId>,
        /// Why.
        reason: ExitReason,
    },
}

/// A page of open rooms.
#[derive(Debug)]
pub struct RoomList {
    /// In their order, with who is there.
    pub rooms: Vec<(room::Model, CountView)>,
    /// How many there are on all pages.
    pub total: u64,
}

/// A page of people, as whoever reads it finds them.
#[derive(Debug)]
pub struct PeopleList {
    /// In their order.
    pub accounts: Vec<account::Model>,
    /// How many there are on all pages.
    pub total: u64,
    /// Their points of all time.
    pub points: HashMap<AccountId, i64>,
    /// What they do.
    pub standings: Standings,
}

/// What is asked for: a keyword, whether the order is that of names, and which rows.
pub type PeopleAsked = (Option<String>, bool, Span);

/// Members in all pictures that are kept.
const PICTURED: u64 = 50_000;

/// How long a picture is kept for whoever comes next.
const KEPT: Duration = Duration::from_secs(10);

impl App {
    /// Connects, migrates and puts everything together. No task runs yet.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let db = Db::connect(&config).await?;
        let auth = Auth::new(&config, db.clone(), clock.clone())?;
        let forget = auth.clone();
        let metrics = Metrics::new(CloseReason::ALL.iter().map(|reason| reason.as_str()));
        let hub = Hub::new(
            &config,
            clock.clone(),
            metrics.clone(),
            Box::new(move |account, which| forget.forget(account, which)),
        )
        .await?;
        let shared = (!config.is_alone()).then(|| Box::new(hub.clone()) as Box<dyn Shared>);
        let throttle = Throttle::new(clock.clone(), config.limits.exempt_loopback, shared);
        let zone = TimeZone::get(&config.board.zone)?;
        Ok(Self(Arc::new(Parts {
            config: Arc::new(config),
            clock,
            db,
            auth,
            hub,
            metrics,
            throttle,
            tasks: TaskTracker::new(),
            lobby: Cache::builder().max_capacity(100_000).time_to_live(Duration::from_secs(1)).build(),
            pictures: Cache::builder()
                .weigher(|_, picture: &Arc<Picture>| {
                    let members = picture.drawn.as_ref().map_or(0, |(_, view)| view.members.len());
                    u32::try_from(members + 1).unwrap_or(u32::MAX)
                })
                .max_capacity(PICTURED)
                .time_to_live(KEPT)
                .build(),
            portraits: Together::default(),
            room_lists: Together::default(),
            people_lists: Together::default(),
            drawings: Together::default(),
            seated: Together::default(),
            changes: Together::default(),
            moves: Jointly::default(),
            drain: CancellationToken::new(),
            zone,
        })))
    }
}

impl Parts {
    /// Whether nobody else serves from this database.
    pub fn is_alone(&self) -> bool {
        self.config.is_alone()
    }
}

/// Tries are counted where instances share everything.
#[async_trait]
impl Shared for Hub {
    async fn count(&self, who: &str, rate: Rate) -> Result<Option<Duration>> {
        self.broker().tried(who, Tried::Counted { tries: rate.tries, window: rate.window }).await
    }

    async fn attempt(&self, who: &str, free: u32, longest: Duration) -> Result<Option<Duration>> {
        self.broker().tried(who, Tried::Attempted { free, longest }).await
    }

    async fn forgive(&self, who: &str) -> Result<()> {
        self.broker().tried(who, Tried::Forgiven).await.map(|_| ())
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}

impl FromRef<App> for Arc<Config> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::Place;

    #[test]
    fn who_leaves_while_a_picture_is_read_has_left_since() {
        let next = |picture: &Picture, seen| {
            let standing = Standing { place: Place { epoch: "e".into(), off: 1 }, last_key: None };
            let (name, description) = (String::new(), String::new());
            let view = RoomView { id: 1, name, description, has_password: false, members: Vec::new() };
            picture.next(standing, view, seen)
        };
        let (before, meanwhile) = (AccountId(1), AccountId(2));
        let known = Picture::default();
        known.left(before);
        let seen = known.departures();
        known.left(meanwhile);
        let drawn = next(&known, seen);
        assert_eq!([before, meanwhile].map(|who| drawn.has_left(who)), [false, true]);
        let anew = next(&drawn, drawn.departures());
        assert!(!anew.has_left(meanwhile) && anew.follows(&known) && !anew.follows(&Picture::default()));
    }
}
