//! What an operator counts and measures: how many, how often, how long.
//!
//! Promises that an event on its way to its listeners costs one atomic addition, however many they are: labels are
//! looked up only where something begins or ends. No label names a person or a room. It computes nothing: what can be
//! looked at is looked at when somebody asks.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry},
};

use super::process::Process;

/// A gauge with a fraction.
type Fraction = Gauge<f64, AtomicU64>;

const RECOVERED: &str = "recovered";
const SNAPSHOT: &str = "snapshot";

/// Why something ended, or how.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resumed {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// All figures of one app, cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Figures>);

/// See [`Metrics`]. Counters are moved where things happen, gauges where somebody asks.
#[derive(Debug)]
#[allow(missing_docs, reason = "each figure is described where it is registered")]
pub struct Figures {
    registry: Registry,
    closed: Family<Closed, Counter>,
    resumes: Family<Resumed, Counter>,
    requests: Family<Answered, Counter>,
    request_time: Family<Route, Histogram, fn() -> Histogram>,
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    descriptors: Gauge,
    descriptor_limit: Gauge,
    started: Fraction,
    pub opened: Counter,
    pub published: Counter,
    pub delivered: Counter,
    pub publish_time: Histogram,
    pub lateness: Histogram,
    pub connections: Gauge,
    pub users: Gauge,
    pub queue_frames: Gauge,
    pub queue_bytes: Gauge,
    pub queue_longest: Gauge,
    pub outbox_events: Gauge,
    pub outbox_age: Fraction,
    pub outbox_letters: Gauge,
    pub settle_backlog: Gauge,
    pub hashes_running: Gauge,
    pub hashes_waiting: Gauge,
    pub broker_up: Gauge,
    pub broker_channels: Gauge,
    pub broker_lag: Fraction,
    pub broker_lease_age: Fraction,
    pub broker_reconnects: Counter,
    pub broker_filled: Counter,
    pub broker_resyncs: Counter,
    pub database_up: Gauge,
    pub database_connections: Gauge,
    pub database_idle: Gauge,
    pub draining: Gauge,
    pub tasks: Gauge,
}

impl Metrics {
    /// Figures at zero; sockets will be closed for one of `reasons`. A series that is there from the beginning is one
    /// whose first rise is seen.
    pub fn new(reasons: impl IntoIterator<Item = &'static str>) -> Self {
        let mut registry = Registry::default();
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("solgik_build", "Which version this is", build);
        let mut new = Registrar(registry);
        let (closed, resumes) = (Family::<Closed, Counter>::default(), Family::<Resumed, Counter>::default());
        for reason in reasons {
            drop(closed.get_or_create(&Closed { reason }));
        }
        for outcome in [RECOVERED, SNAPSHOT] {
            drop(resumes.get_or_create(&Resumed { outcome }));
        }
        let quick = || Histogram::new(exponential_buckets(0.000_05, 2.5, 12));
        Self(Arc::new(Figures {
            opened: new.counter("connections_opened", "Sockets that have authenticated"),
            closed: new.add("connections_closed", "Sockets that were closed, by reason", closed),
            connections: new.gauge("connections", "Sockets that are connected here"),
            users: new.gauge("users_online", "Users who are connected here"),
            published: new.counter("events_published", "Events that this instance has given their place"),
            delivered: new.counter("events_delivered", "Events handed to connections of this instance"),
            publish_time: new.add("publish_seconds", "How long the broker takes for one event", quick()),
            queue_frames: new.gauge("queue_frames", "Frames that wait for slow clients"),
            queue_bytes: new.gauge("queue_bytes", "Bytes of these frames"),
            queue_longest: new.gauge("queue_longest", "Frames in the longest queue"),
            resumes: new.add("resumes", "Channels that were resumed, by outcome", resumes),
            outbox_events: new.gauge("outbox_events", "Committed events that are still to be said"),
            outbox_age: new.add("outbox_age_seconds", "How long the oldest of them waits", Fraction::default()),
            outbox_letters: new.gauge("outbox_letters", "Letters that are still to be sent"),
            lateness: new.add(
                "phase_lateness_seconds",
                "How late phases are rung",
                Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 5.0]),
            ),
            settle_backlog: new.gauge("settle_backlog", "Runs of which an ended phase is still to be written"),
            requests: new.add("http_requests", "Requests that were answered", Family::default()),
            request_time: new.add(
                "http_request_seconds",
                "How long answers take",
                Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 3.0, 10))),
            ),
            hashes_running: new.gauge("password_hashes_running", "Passwords that are being hashed"),
            hashes_waiting: new.gauge("password_hashes_waiting", "Callers who wait for that"),
            broker_up: new.gauge("broker_up", "1 if what other instances say arrives here"),
            broker_channels: new.gauge("broker_channels", "Channels that this instance follows"),
            broker_lag: new.add("broker_lag_seconds", "How long a word to itself was on its way", Fraction::default()),
            broker_lease_age: new.add(
                "broker_lease_age_seconds",
                "How long ago the lease was renewed",
                Fraction::default(),
            ),
            broker_reconnects: new.counter("broker_reconnects", "How often listening to the broker began anew"),
            broker_filled: new.counter("broker_events_filled", "Events that were missing and read from memory"),
            broker_resyncs: new.counter("broker_resyncs", "Channels of which too much was missing: read anew"),
            database_up: new.gauge("database_up", "1 if the database has answered just now"),
            database_connections: new.gauge("database_connections", "Open connections of the pool"),
            database_idle: new.gauge("database_connections_idle", "Those that nobody uses"),
            draining: new.gauge("draining", "1 while this instance sends its clients away"),
            tasks: new.gauge("tasks", "Tasks of the runtime that are alive"),
            cpu: new.process("process_cpu_seconds", "Processor time, user and system", Counter::default()),
            resident: new.process("process_resident_memory_bytes", "Memory in use", Gauge::default()),
            descriptors: new.process("process_open_fds", "Open files and sockets", Gauge::default()),
            descriptor_limit: new.process("process_max_fds", "How many there may be", Gauge::default()),
            started: new.process("process_start_time_seconds", "When this process began", Fraction::default()),
            registry: new.0,
        }))
    }
}

/// Registers while it hands out.
struct Registrar(Registry);

impl Registrar {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.process(&format!("solgik_{name}"), help, metric)
    }

    /// Names that every exporter uses alike, without our prefix.
    fn process<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.add(name, help, Counter::default())
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.add(name, help, Gauge::default())
    }
}

impl Metrics {
    /// A socket was closed.
    pub fn closed(&self, reason: &'static str) {
        self.0.closed.get_or_create(&Closed { reason }).inc();
    }

    /// A client came back to a channel, and what it had missed was still known, or wasn't.
    pub fn resumed(&self, recovered: bool) {
        let outcome = if recovered { RECOVERED } else { SNAPSHOT };
        self.0.resumes.get_or_create(&Resumed { outcome }).inc();
    }

    /// A request was answered. `route` is the pattern, never the path: that may hold a secret, and there are too many.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.0.request_time.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.0.requests.get_or_create(&Answered { method, route, status }).inc();
    }

    /// What the system tells of this process.
    pub fn look_at(&self, process: &Process) {
        self.0.cpu.inner().store(process.cpu.as_secs_f64().to_bits(), Ordering::Relaxed);
        self.0.resident.set(process.resident);
        self.0.descriptors.set(process.descriptors);
        self.0.descriptor_limit.set(process.descriptor_limit);
        self.0.started.set(process.started);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Deref for Metrics {
    type Target = Figures;

    fn deref(&self) -> &Figures {
        &self.0
    }
}
