//! The load lab: virtual people who use a server as its clients do, and verify what they get while it is measured.
//!
//! It knows the wire and nothing of the server's inside. One thread holds all sockets; everything it measures is beside
//! a limit that it measures itself, by the same clients on the same machine. Not for servers behind TLS: it would
//! measure that.

mod accounts;
mod child;
mod crowd;
pub mod faults;
mod figures;
mod floor;
pub mod limit;
mod meter;
mod moves;
pub mod page;
mod plays;
pub mod report;
mod rest;
mod room;
pub mod scenario;
mod schedule;
mod socket;
mod stage;
pub mod table;
mod verify;
mod watch;
mod wire;

use std::{
    net::ToSocketAddrs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use report::{Report, Side};
use scenario::{Scenario, Work};

use self::{child::Server, crowd::Person, figures::Processes, floor::Address, stage::Stage};

/// More people than this don't sign up one by one.
const FEW: usize = 500;

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is done.
    pub scenario: Scenario,
    /// `http://host:port` of each instance of a server; without any, one is embedded.
    pub targets: Vec<String>,
    /// Everybody in a room is on the same instance, as behind a proxy that sorts by room; otherwise on all in turn.
    pub by_room: bool,
    /// The server's processes, if they are on this machine: to measure their CPU and memory.
    pub pids: Vec<u32>,
    /// A file with a token a line; user i sits in room i mod R.
    pub tokens: Option<PathBuf>,
    /// The database of the server, to put users into.
    pub seed_db: Option<String>,
    /// Where those go who lose their connection in a deploy, if not where they were.
    pub then: Option<String>,
    /// Whether the limit is measured too.
    pub limit: bool,
    /// How often all of it is done; the middle one counts.
    pub repeat: usize,
    /// Addresses of this machine that connections come from, where the server is on it too.
    pub sources: usize,
    /// Keeps an embedded server to one core and the lab to another.
    pub pin: bool,
    /// Shows how it goes.
    pub progress: bool,
    /// Once set, the run ends early and is judged by what it has seen.
    pub stop: Arc<AtomicBool>,
}

/// Runs a scenario. Takes this thread; gives back what it came to, right or wrong.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    // Before anything is kept to a core: from then on there is but one.
    let machine = std::thread::available_parallelism().map_or(0, usize::from);
    let cores = if options.pin { child::cores() } else { None };
    let mut reports = Vec::new();
    for _ in 0..options.repeat.max(1) {
        reports.push(Report { cores: machine, ..once(options, cores)? });
        if options.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Report::middle(reports).context("nothing was run")
}

fn once(options: &Options, cores: Option<(usize, usize)>) -> anyhow::Result<Report> {
    let at = meter::wall_clock();
    let limit = match options.scenario.limit().filter(|_| options.limit) {
        Some(scenario) => Some(limited(&scenario, options, cores)?),
        None => None,
    };
    let (target, side) = served(options, cores)?;
    Ok(Report::new(options.scenario.clone(), target, at, side, limit))
}

/// The scenario against a server.
fn served(options: &Options, cores: Option<(usize, usize)>) -> anyhow::Result<(String, Side)> {
    let scenario = &options.scenario;
    let folder = tempfile::tempdir()?;
    let mut environment: Vec<_> = scenario.server.iter().map(|(key, value)| setting(key, value)).collect();
    let first = options.targets.first();
    if first.is_none() {
        // Its log says where it serves.
        environment.push(setting("log.filter", "info"));
        environment.push(setting("admin.listen", ""));
        environment.push(setting("data_dir", &folder.path().to_string_lossy()));
    }
    let (people, rooms) = (scenario.people(), scenario.rooms);
    let tokens = match (&options.tokens, &options.seed_db, first) {
        (Some(file), ..) => child::tokens(file)?,
        (None, Some(url), _) => child::seed(people, rooms, folder.path(), &["--database-url", url], &environment)?,
        (None, None, None) => child::seed(people, rooms, folder.path(), &[], &environment)?,
        (None, None, Some(url)) => {
            anyhow::ensure!(people <= FEW, "{people} people won't sign up one by one: give --tokens or --seed-db");
            accounts::sign_up(&address(url, 1)?, people, rooms)?
        }
    };
    anyhow::ensure!(tokens.len() >= people, "{people} people need as many tokens; there are {}", tokens.len());
    let server = match first {
        Some(_) => None,
        None => Some(apart(cores, || Server::start(&["serve", "--listen", "127.0.0.1:0"], &environment))?),
    };
    let (target, urls, processes) = match &server {
        Some(server) => {
            let url = format!("http://{}", server.address);
            ("an embedded server".to_owned(), vec![url], Processes(vec![server.pid()]))
        }
        None => (options.targets.join(" and "), options.targets.clone(), Processes(options.pids.clone())),
    };
    let addresses = urls.iter().map(|url| address(url, options.sources)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Work::Rest(rest) = &scenario.work {
        return Ok((target, rest::run(scenario, rest, &addresses, &processes, &tokens)?));
    }
    let instance = |index: usize| if options.by_room { index % rooms } else { index / rooms };
    let people = tokens.into_iter().take(people).enumerate().map(|(index, token)| Person {
        token,
        path: "/ws".into(),
        instance: instance(index),
        ..Person::default()
    });
    let stage = Stage {
        scenario,
        addresses,
        processes,
        progress: options.progress.then_some("server"),
        then: options.then.as_ref().map(|url| address(url, options.sources)).transpose()?,
        stop: Arc::clone(&options.stop),
    };
    Ok((target, stage.run(people.collect())?))
}

/// The same against the limit.
fn limited(scenario: &Scenario, options: &Options, cores: Option<(usize, usize)>) -> anyhow::Result<Side> {
    let server = apart(cores, || Server::start(&["loadtest", "--be-the-limit"], &[]))?;
    let path = |index: usize| format!("/ws?room={}&user={}", index % scenario.rooms + 1, index + 1);
    let people = (0..scenario.people()).map(|index| Person { path: path(index), ..Person::default() });
    let stage = Stage {
        scenario,
        addresses: vec![address(&format!("http://{}", server.address), options.sources)?],
        processes: Processes(vec![server.pid()]),
        progress: options.progress.then_some("limit"),
        then: None,
        stop: Arc::clone(&options.stop),
    };
    stage.run(people.collect())
}

/// Starts a child on a core of its own, and goes on on the other.
fn apart(cores: Option<(usize, usize)>, start: impl FnOnce() -> anyhow::Result<Server>) -> anyhow::Result<Server> {
    let Some((theirs, ours)) = cores else { return start() };
    child::pin(theirs)?;
    let started = start();
    child::pin(ours)?;
    started
}

/// `rooms.capacity` becomes `SOLGIK__ROOMS__CAPACITY`.
fn setting(key: &str, value: &str) -> (String, String) {
    (format!("SOLGIK__{}", key.replace('.', "__").to_uppercase()), value.to_owned())
}

fn address(url: &str, sources: usize) -> anyhow::Result<Address> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is not http://host:port"))?;
    let host = rest.split('/').next().unwrap_or_default().to_owned();
    let with_port = if host.contains(':') { host.clone() } else { format!("{host}:80") };
    let socket = with_port.to_socket_addrs().with_context(|| format!("looking up {host}"))?.next();
    Ok(Address { socket: socket.with_context(|| format!("{host} has no address"))?, host, sources })
}
