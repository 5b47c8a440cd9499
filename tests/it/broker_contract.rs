//! What every broker promises, written once and run on each implementation.
//!
//! A broker may deliver some time after it has published; that something is *not* delivered is therefore proved by what
//! comes after it. Instants are arguments.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use entity::{AccountId, Millis, OutboxId, RoomId, SessionId};
use futures_util::future::join_all;
use serde_json::Value;
use solgik::{
    clock::Clock,
    realtime::{
        Channel, CloseReason, Event, Place,
        broker::{
            About, Broker, ConnectionInfo, Control, Delivery, Message, Sink, Which,
            memory::{Memory, MemoryBroker},
            redis::{RedisBroker, Settings, WAITING},
        },
        presence::Edge,
        protocol::events::OfflineReason,
    },
    telemetry::Metrics,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::support::{RedisCluster, pass, prefix, redis};

const MEMORY: Memory = Memory { messages: 5, age: Duration::from_secs(120) };
const GRACE: Duration = Duration::from_secs(15);

const ROOM: Channel = Channel::Room(RoomId(42));
const OTHER: Channel = Channel::User(AccountId(9));
const SUMI: AccountId = AccountId(9);

/// Hands the contract's properties to `$with`, after what that wants to know.
macro_rules! properties {
    ($with:ident, $($about:tt)*) => {
        $with! { $($about)* =>
            places_ascend_from_one_in_each_channel,
            a_key_is_published_once,
            everybody_hears_concurrent_events_in_the_order_of_their_places,
            where_a_channel_stands_can_be_waited_for,
            what_was_missed_is_told_exactly_or_not_at_all,
            events_are_forgotten_by_age,
            a_channel_is_forgotten_when_nobody_listens_or_remembers,
            presence_has_one_edge_for_all_devices,
            a_kept_value_is_taken_once_and_in_time,
            a_word_to_all_instances_arrives,
        }
    };
}

/// One test a property, on the brokers that `$make` makes; none, where it makes none.
macro_rules! contract {
    ($implementation:ident, $make:path => $($property:ident,)*) => {
        mod $implementation {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $property() {
                if let Some(bench) = super::Bench::new($make).await {
                    super::$property(bench).await;
                }
            })*
        }
    };
}

properties! { contract, memory, super::memory_broker }
properties! { contract, redis, super::redis_broker }

/// Each property in turn: a cluster is too dear to be started for each.
macro_rules! in_turn {
    ($make:expr => $($property:ident,)*) => {
        $($property(Bench::new($make).await.unwrap()).await;)*
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_a_cluster_of_three_nodes() {
    if redis().is_none() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let url = &cluster.url();
    properties! { in_turn, async |sink| Some(broker_at(url.clone(), sink).await) }
}

async fn memory_broker(sink: Arc<dyn Sink>) -> Option<Made> {
    Some(Made { broker: Box::new(MemoryBroker::new(sink, MEMORY, GRACE)), stored: None })
}

async fn redis_broker(sink: Arc<dyn Sink>) -> Option<Made> {
    Some(broker_at(redis()?, sink).await)
}

async fn broker_at(url: String, sink: Arc<dyn Sink>) -> Made {
    let prefix = prefix();
    let broker = connect(&url, &prefix, (MEMORY, WAITING), sink, Metrics::new([])).await;
    Made { broker: Box::new(broker), stored: Some((url, prefix)) }
}

/// Two instances of one service.
async fn two_on_redis() -> Option<(Bench, Bench)> {
    let (url, prefix) = (redis()?, prefix());
    let make = async |sink| {
        let broker = connect(&url, &prefix, (MEMORY, WAITING), sink, Metrics::new([])).await;
        Some(Made { broker: Box::new(broker), stored: None })
    };
    Some((Bench::new(make).await?, Bench::new(make).await?))
}

async fn connect(
    url: &str,
    prefix: &str,
    (memory, waiting): (Memory, usize),
    sink: Arc<dyn Sink>,
    metrics: Metrics,
) -> RedisBroker {
    let prefix = prefix.to_owned();
    let settings = Settings { memory, grace: GRACE, lease: Duration::from_secs(9), cap: 8, prefix, waiting };
    RedisBroker::connect(url, settings, sink, Clock::default(), metrics).await.unwrap()
}

/// One task at a time: whatever comes at once finds the only place taken.
#[tokio::test]
async fn redis_never_waits_for_whoever_listens_slowly() {
    const EVENTS: u64 = 200;
    let Some(url) = redis() else { return };
    let (prefix, metrics) = (prefix(), Metrics::new([]));
    let memory = Memory { messages: 300, ..MEMORY };
    let listens = async |sink| {
        let broker = connect(&url, &prefix, (memory, 1), sink, metrics.clone()).await;
        Some(Made { broker: Box::new(broker), stored: None })
    };
    let says = async |sink| {
        let broker = connect(&url, &prefix, (memory, WAITING), sink, Metrics::new([])).await;
        Some(Made { broker: Box::new(broker), stored: None })
    };
    let (mut listener, speaker) = (Bench::new(listens).await.unwrap(), Bench::new(says).await.unwrap());
    listener.listen(ROOM).await;
    let publish = |_| speaker.publish(ROOM, None, 0);
    join_all((0..EVENTS).map(publish)).await;
    for off in 1..=EVENTS {
        assert_eq!(listener.heard().await.place.off, off);
    }
    assert!(metrics.broker_filled.get() > 0, "nothing was too much");
}

#[tokio::test]
async fn of_two_who_believe_that_an_edge_is_theirs_one_tells_it() {
    let Some((slow, other)) = two_on_redis().await else { return };
    let (slow, other) = (&slow.broker, &other.broker);
    let online = Some(Edge::Online { since: Millis(0) });
    assert_eq!(slow.connect(SUMI, 1, Millis(0)).await.unwrap(), online);

    // Asked in time, the slow one has as long again.
    assert!(slow.may_tell(SUMI, Millis(0), Millis(9_000)).await.unwrap());
    assert_eq!(other.due(Millis(18_999)).await.unwrap(), []);
    assert_eq!(other.expire(SUMI, Millis(18_999)).await.unwrap(), None);

    // Then it is taken for dead, and is not.
    assert_eq!(other.due(Millis(19_000)).await.unwrap(), [SUMI]);
    assert_eq!(other.expire(SUMI, Millis(19_000)).await.unwrap(), online);
    assert!(!slow.may_tell(SUMI, Millis(0), Millis(19_001)).await.unwrap());
    assert_eq!(slow.told(SUMI, Millis(19_001)).await.unwrap(), None);
    assert!(other.may_tell(SUMI, Millis(19_000), Millis(28_000)).await.unwrap());
    assert_eq!(other.told(SUMI, Millis(28_001)).await.unwrap(), None);
    assert_eq!(other.due(Millis(99_999)).await.unwrap(), []);
    assert!(!other.may_tell(SUMI, Millis(19_000), Millis(28_002)).await.unwrap(), "told once");
}

/// Whoever ends has things to say, and hears nothing of what others say before them.
#[tokio::test]
async fn whoever_has_stopped_says_what_is_left_without_waiting() {
    let Some((mut ends, goes_on)) = two_on_redis().await else { return };
    ends.listen(ROOM).await;
    ends.stop.cancel();
    (&mut ends.runs).await.unwrap();
    goes_on.publish(ROOM, None, 0).await;
    let began = Instant::now();
    for off in 2..=5 {
        assert_eq!(ends.publish(ROOM, None, 0).await.unwrap().off, off);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

/// A broker, and where what it shares is stored if that is not in this process.
struct Made {
    broker: Box<dyn Broker>,
    stored: Option<(String, String)>,
}

/// The instance that the broker under test hands over to.
#[derive(Debug)]
struct Instance {
    listens: Mutex<HashSet<Channel>>,
    events: mpsc::UnboundedSender<Arc<Delivery>>,
    words: mpsc::UnboundedSender<Control>,
}

impl Sink for Instance {
    fn deliver(&self, delivery: &Arc<Delivery>) {
        self.events.send(Arc::clone(delivery)).unwrap();
    }

    fn listens(&self, channel: Channel) -> bool {
        self.listens.lock().unwrap().contains(&channel)
    }

    fn resync(&self, channel: Channel) {
        panic!("something of {channel} is missing");
    }

    fn about(&self) -> About {
        About::default()
    }

    fn connections(&self, _account: AccountId) -> Vec<ConnectionInfo> {
        Vec::new()
    }

    fn control(&self, control: &Control) {
        self.words.send(control.clone()).unwrap();
    }
}

/// A broker and what comes out of it.
struct Bench {
    broker: Arc<dyn Broker>,
    instance: Arc<Instance>,
    events: mpsc::UnboundedReceiver<Arc<Delivery>>,
    words: mpsc::UnboundedReceiver<Control>,
    stored: Option<(String, String)>,
    stop: CancellationToken,
    runs: AbortOnDropHandle<()>,
}

impl Bench {
    async fn new(make: impl AsyncFn(Arc<dyn Sink>) -> Option<Made>) -> Option<Self> {
        let (tell_events, events) = mpsc::unbounded_channel();
        let (tell_words, words) = mpsc::unbounded_channel();
        let instance = Arc::new(Instance { listens: Mutex::default(), events: tell_events, words: tell_words });
        let Made { broker, stored } = make(Arc::clone(&instance) as Arc<dyn Sink>).await?;
        let broker: Arc<dyn Broker> = broker.into();
        let (run, stop) = (Arc::clone(&broker), CancellationToken::new());
        let stopped = stop.clone();
        let runs = AbortOnDropHandle::new(tokio::spawn(async move { run.run(stopped).await }));
        while broker.check().await.is_err() {
            tokio::task::yield_now().await;
        }
        Some(Self { broker, instance, events, words, stored, stop, runs })
    }

    /// Time goes by: instants are arguments, but what is stored elsewhere also grows old by itself.
    async fn pass(&self, by: Duration) {
        if let Some((url, prefix)) = &self.stored {
            pass(url, prefix, by).await;
        }
    }

    async fn listen(&self, channel: Channel) {
        self.instance.listens.lock().unwrap().insert(channel);
        self.broker.subscribe(channel).await.unwrap();
    }

    async fn publish(&self, channel: Channel, key: Option<i64>, at: i64) -> Option<Place> {
        self.broker.publish(channel, key.map(OutboxId), Millis(at), &cheer("화이팅")).await.unwrap()
    }

    async fn heard(&mut self) -> Arc<Delivery> {
        timeout(Duration::from_secs(5), self.events.recv()).await.expect("nothing is delivered").unwrap()
    }

    /// The offsets that the broker can still tell after `off`, and where the channel then stands.
    async fn since(&self, channel: Channel, epoch: &str, off: u64) -> Option<(Vec<u64>, u64)> {
        let (events, place) = self.broker.since(channel, epoch, off).await.unwrap()?;
        assert!(events.iter().all(|event| event.channel == channel && event.place.epoch == place.epoch));
        Some((events.iter().map(|event| event.place.off).collect(), place.off))
    }
}

fn cheer(text: &str) -> Message {
    Message::new(&Event::RoomCheer { user: SUMI.0, text: text.to_owned() }).unwrap()
}

async fn places_ascend_from_one_in_each_channel(mut bench: Bench) {
    bench.listen(ROOM).await;
    bench.listen(OTHER).await;
    let before = bench.broker.standing(ROOM).await.unwrap();
    assert_eq!((before.place.off, before.last_key), (0, None));
    for off in 1..=3 {
        let place = bench.publish(ROOM, None, 1000).await.unwrap();
        assert_eq!(place, Place { off, ..before.place.clone() });
        let heard = bench.heard().await;
        assert_eq!((heard.channel, &heard.place, heard.at), (ROOM, &place, Millis(1000)));
        let frame: Value = serde_json::from_str(heard.frame.as_str()).unwrap();
        assert_eq!(
            frame,
            serde_json::json!({"ch": "room:42", "off": off, "ev": "room.cheer", "at": 1000,
                "d": {"user": 9, "text": "화이팅"}})
        );
    }
    let other = bench.publish(OTHER, None, 1000).await.unwrap();
    assert_eq!(other.off, 1);
    assert_eq!(bench.broker.standing(ROOM).await.unwrap().place.off, 3);
}

async fn a_key_is_published_once(mut bench: Bench) {
    bench.listen(ROOM).await;
    bench.listen(OTHER).await;
    for (key, off) in [(Some(10), Some(1)), (Some(10), None), (Some(9), None), (None, Some(2)), (Some(11), Some(3))] {
        assert_eq!(bench.publish(ROOM, key, 0).await.map(|place| place.off), off, "{key:?}");
    }
    for off in 1..=3 {
        assert_eq!(bench.heard().await.place.off, off);
    }
    assert_eq!(bench.broker.standing(ROOM).await.unwrap().last_key, Some(OutboxId(11)));
    // Each channel counts its own keys.
    assert_eq!(bench.publish(OTHER, Some(5), 0).await.unwrap().off, 1);
    assert_eq!(bench.heard().await.channel, OTHER);
}

async fn everybody_hears_concurrent_events_in_the_order_of_their_places(mut bench: Bench) {
    const PUBLISHERS: u64 = 16;
    const EACH: u64 = 20;
    bench.listen(ROOM).await;
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let broker = Arc::clone(&bench.broker);
        publishers.spawn(async move {
            let mut places = Vec::new();
            for number in 0..EACH {
                let message = cheer(&format!("{publisher}:{number}"));
                let place = broker.publish(ROOM, None, Millis(0), &message).await.unwrap().unwrap();
                places.push((place.off, format!("{publisher}:{number}")));
            }
            places
        });
    }
    let mut published = publishers.join_all().await.concat();
    published.sort_unstable();
    for (off, text) in (1..=PUBLISHERS * EACH).zip(published) {
        assert_eq!(text.0, off, "every place is given once");
        let heard = bench.heard().await;
        assert_eq!(heard.place.off, off);
        let frame: Value = serde_json::from_str(heard.frame.as_str()).unwrap();
        assert_eq!(frame["d"]["text"], text.1, "the event at {off}");
    }
}

async fn where_a_channel_stands_can_be_waited_for(mut bench: Bench) {
    const EVENTS: u64 = 300;
    bench.listen(ROOM).await;
    let broker = Arc::clone(&bench.broker);
    let publisher = tokio::spawn(async move {
        for _ in 0..EVENTS {
            broker.publish(ROOM, None, Millis(0), &cheer("화이팅")).await.unwrap();
        }
    });
    let (mut reached, mut heard) = (0, 0);
    while reached < EVENTS {
        let place = bench.broker.standing(ROOM).await.unwrap().place;
        bench.broker.reach(ROOM, &place).await;
        while let Ok(event) = bench.events.try_recv() {
            heard = event.place.off;
        }
        assert!(heard >= place.off, "{heard} of {}", place.off);
        reached = place.off;
    }
    publisher.await.unwrap();
}

async fn what_was_missed_is_told_exactly_or_not_at_all(bench: Bench) {
    bench.listen(ROOM).await;
    let epoch = bench.broker.standing(ROOM).await.unwrap().place.epoch;
    assert_eq!(bench.since(ROOM, &epoch, 0).await, Some((vec![], 0)), "nothing was missed of nothing");
    for _ in 0..4 {
        bench.publish(ROOM, None, 0).await;
    }
    for (off, told) in [
        (0, Some((vec![1, 2, 3, 4], 4))),
        (2, Some((vec![3, 4], 4))),
        (3, Some((vec![4], 4))),
        (4, Some((vec![], 4))),
        (5, None),
        (u64::MAX, None),
    ] {
        assert_eq!(bench.since(ROOM, &epoch, off).await, told, "since {off}");
    }
    assert_eq!(bench.since(ROOM, "another epoch", 4).await, None);
    assert_eq!(bench.since(OTHER, &epoch, 0).await, None, "a channel that nobody has heard of");
    for _ in 0..3 {
        bench.publish(ROOM, None, 0).await;
    }
    assert_eq!(bench.since(ROOM, &epoch, 1).await, None, "the second of seven is beyond the memory of five");
    assert_eq!(bench.since(ROOM, &epoch, 2).await, Some((vec![3, 4, 5, 6, 7], 7)));
}

async fn events_are_forgotten_by_age(bench: Bench) {
    bench.listen(ROOM).await;
    for at in [0, 60_000, 120_000] {
        bench.publish(ROOM, None, at).await;
    }
    let epoch = bench.broker.standing(ROOM).await.unwrap().place.epoch;
    assert_eq!(bench.since(ROOM, &epoch, 0).await, Some((vec![1, 2, 3], 3)), "as old as allowed");
    bench.publish(ROOM, None, 120_001).await;
    assert_eq!(bench.since(ROOM, &epoch, 0).await, None);
    assert_eq!(bench.since(ROOM, &epoch, 1).await, Some((vec![2, 3, 4], 4)));
    bench.broker.sweep(Millis(180_000)).await.unwrap();
    assert_eq!(bench.since(ROOM, &epoch, 1).await, Some((vec![2, 3, 4], 4)));
    bench.broker.sweep(Millis(180_001)).await.unwrap();
    assert_eq!(bench.since(ROOM, &epoch, 1).await, None);
    assert_eq!(bench.since(ROOM, &epoch, 2).await, Some((vec![3, 4], 4)));
}

async fn a_channel_is_forgotten_when_nobody_listens_or_remembers(bench: Bench) {
    bench.listen(ROOM).await;
    let listened = bench.publish(ROOM, Some(1), 0).await.unwrap();
    let alone = bench.publish(OTHER, Some(1), 0).await.unwrap();
    bench.broker.sweep(Millis(120_000)).await.unwrap();
    assert_eq!(bench.broker.standing(OTHER).await.unwrap().place, alone, "its event can still be asked for");

    for minute in 3..=10 {
        bench.pass(Duration::from_secs(60)).await;
        bench.broker.sweep(Millis(minute * 60_000)).await.unwrap();
    }
    let anew = bench.broker.standing(OTHER).await.unwrap();
    assert_eq!((anew.place.off, anew.last_key), (0, None));
    assert_ne!(anew.place.epoch, alone.epoch, "a later life can't be mistaken for the former");
    assert_eq!(bench.since(OTHER, &alone.epoch, 1).await, None);

    let kept = bench.broker.standing(ROOM).await.unwrap();
    assert_eq!((&kept.place, kept.last_key), (&listened, Some(OutboxId(1))), "somebody listens");
    assert_eq!(bench.since(ROOM, &listened.epoch, 1).await, Some((vec![], 1)));
    assert_eq!(bench.since(ROOM, &listened.epoch, 0).await, None, "the event itself is too old");
}

async fn presence_has_one_edge_for_all_devices(bench: Bench) {
    let broker = &bench.broker;
    // Each edge is told before anything else happens.
    let told = async |edge: Option<Edge>, now| {
        if edge.is_some() {
            assert_eq!(broker.told(SUMI, Millis(now)).await.unwrap(), None);
        }
        edge
    };
    let connect = async |device, now| told(broker.connect(SUMI, device, Millis(now)).await.unwrap(), now).await;
    let disconnect =
        async |device, now, held| told(broker.disconnect(SUMI, device, Millis(now), held).await.unwrap(), now).await;
    let due = async |now| broker.due(Millis(now)).await.unwrap();
    let expire = async |now| told(broker.expire(SUMI, Millis(now)).await.unwrap(), now).await;
    let offline = |at, reason| Some(Edge::Offline { at: Millis(at), reason });
    let online = async || broker.online(&[AccountId(1), SUMI]).await.unwrap();

    assert_eq!(disconnect(1, 0, false).await, None, "nobody was there");
    assert_eq!(connect(1, 0).await, Some(Edge::Online { since: Millis(0) }));
    assert_eq!(connect(2, 5).await, None);
    assert_eq!(disconnect(1, 6, false).await, None);
    assert_eq!(online().await, [None, Some(Millis(0))]);

    // Lost, held, and back just in time.
    assert_eq!(disconnect(2, 1000, true).await, None);
    assert_eq!(due(15_999).await, []);
    assert_eq!(due(16_000).await, [SUMI]);
    assert_eq!(expire(15_999).await, None);
    assert_eq!(online().await, [None, Some(Millis(0))], "held is online");
    assert_eq!(connect(3, 15_999).await, None);
    assert_eq!(due(99_999).await, []);
    assert_eq!(expire(99_999).await, None);

    // Lost for good: the edge tells when, not when it was noticed.
    assert_eq!(disconnect(3, 20_000, true).await, None);
    assert_eq!(due(35_000).await, [SUMI]);
    assert_eq!(expire(35_500).await, offline(20_000, OfflineReason::Disconnected));
    assert_eq!(expire(35_500).await, None, "once");
    assert_eq!(due(99_999).await, []);
    assert_eq!(online().await, [None, None]);

    // Held, and known not to come back: the grace ends at once.
    assert_eq!(connect(5, 36_000).await, Some(Edge::Online { since: Millis(36_000) }));
    assert_eq!(disconnect(5, 37_000, true).await, None);
    broker.give_up(SUMI, Millis(37_500)).await.unwrap();
    assert_eq!(due(37_500).await, [SUMI]);
    assert_eq!(expire(37_500).await, offline(37_000, OfflineReason::Disconnected));

    // Signed out: at once.
    assert_eq!(connect(4, 40_000).await, Some(Edge::Online { since: Millis(40_000) }));
    assert_eq!(disconnect(4, 41_000, false).await, offline(41_000, OfflineReason::Logout));
}

async fn a_kept_value_is_taken_once_and_in_time(bench: Bench) {
    const TTL: Duration = Duration::from_secs(30);
    let keep = async || bench.broker.keep("ticket:a".into(), "9".into(), Millis(0), TTL).await.unwrap();
    keep().await;
    let mut racers = JoinSet::new();
    for _ in 0..50 {
        let broker = Arc::clone(&bench.broker);
        racers.spawn(async move { broker.take("ticket:a", Millis(29_999)).await.unwrap() });
    }
    let taken: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, ["9"]);
    keep().await;
    assert_eq!(bench.broker.take("ticket:b", Millis(0)).await.unwrap(), None);
    bench.pass(TTL).await;
    assert_eq!(bench.broker.take("ticket:a", Millis(30_000)).await.unwrap(), None, "too late");
    assert_eq!(bench.broker.take("ticket:a", Millis(0)).await.unwrap(), None, "a late taker has used it up");
}

async fn a_word_to_all_instances_arrives(mut bench: Bench) {
    let word =
        Control::SessionsEnded { account: SUMI, which: Which::AllBut(SessionId(3)), reason: CloseReason::SessionEnded };
    bench.broker.tell(word.clone()).await.unwrap();
    assert_eq!(timeout(Duration::from_secs(5), bench.words.recv()).await.unwrap(), Some(word));
}
