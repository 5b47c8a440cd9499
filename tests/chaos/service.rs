//! The service as a run has it: instances, a Redis, a PostgreSQL, and a link between every two that talk.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::Command,
    sync::Mutex,
    time::Duration,
};

use reqwest::{Client, StatusCode};
use solgik::{
    config::{Config, Flags},
    db::Db,
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    now, pass,
    stores::{Postgres, Redis},
    support::{
        self, Server, binary,
        link::{End, Link},
    },
};

/// What every instance is started with, beside the links.
const SETTINGS: [(&str, &str); 6] = [
    ("SOLGIK__SERVER__DRAIN_SECS", "3"),
    ("SOLGIK__SOCKET__HEARTBEAT_SECS", "3"),
    ("SOLGIK__SOCKET__ANSWER_SECS", "5"),
    ("SOLGIK__DATABASE__MAX_CONNECTIONS", "16"),
    ("SOLGIK__DATABASE__ACQUIRE_SECS", "6"),
    ("SOLGIK__LOG__FILTER", "info,solgik=debug"),
];

/// Trouble that is over is felt a little longer.
const AFTERMATH: i64 = 6000;

/// How long the service may take to be whole again.
const HEAL: Duration = Duration::from_secs(40);

/// An instance and its links.
pub struct Instance {
    pub server: Option<Server>,
    pub redis: Link,
    pub postgres: Link,
    pub clients: Link,
    log: PathBuf,
    /// When something was done to it, or to what it stands on.
    troubles: Mutex<Vec<(i64, i64)>>,
}

/// See the module.
pub struct Service {
    pub instances: Vec<Instance>,
    pub redis: Redis,
    pub postgres: Postgres,
    pub tokens: Vec<String>,
    pub password: String,
    client: Client,
    data: TempDir,
    // Of another owner than the rest.
    _postgres_folder: TempDir,
}

impl Instance {
    /// Whether nothing was wrong with it at `at`.
    pub fn was_sound(&self, at: i64) -> bool {
        self.troubles.lock().unwrap().iter().all(|(from, to)| !(*from..=*to).contains(&at))
    }

    /// From now on something is wrong with it, until [`Instance::recovers`].
    pub fn suffers(&self) {
        self.troubles.lock().unwrap().push((now(), i64::MAX));
    }

    pub fn recovers(&self) {
        let over = now() + AFTERMATH;
        self.troubles.lock().unwrap().iter_mut().filter(|(_, to)| *to == i64::MAX).for_each(|(_, to)| *to = over);
    }

    /// Stops the process without a word, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.server.as_ref().unwrap().pause(paused);
    }

    /// The address for its clients.
    pub fn base(&self) -> String {
        format!("http://{}", self.clients.address)
    }
}

impl Service {
    /// So many instances, and so many people in so many rooms.
    pub async fn start(programs: PathBuf, instances: usize, people: usize, rooms: usize) -> Self {
        let (data, postgres_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let redis = Redis::start(data.path().join("redis")).await;
        let postgres = Postgres::start(postgres_folder.path().to_owned(), programs).await;
        let mut service = Self {
            instances: Vec::new(),
            redis,
            postgres,
            tokens: Vec::new(),
            password: String::new(),
            client: Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap(),
            data,
            _postgres_folder: postgres_folder,
        };
        service.seed(people, rooms);
        for number in 0..instances {
            let nowhere = End::Tcp(String::new());
            let log = service.logs().join(format!("instance-{number}.log"));
            service.instances.push(Instance {
                server: None,
                redis: Link::new(End::Unix(service.redis.socket())).await,
                postgres: Link::new(End::Unix(service.postgres.socket())).await,
                clients: Link::new(nowhere).await,
                log,
                troubles: Mutex::default(),
            });
            service.start_instance(number).await;
        }
        service
    }

    /// Where logs are: in the folder that a curious person named, or with everything else.
    fn logs(&self) -> PathBuf {
        let folder = std::env::var_os("SOLGIK_CHAOS_LOGS").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| self.data.path().to_owned());
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn command(&self, database: &str) -> Command {
        let mut command = binary(self.data.path(), None);
        command.envs(SETTINGS).env("SOLGIK__DATABASE__URL", database);
        command
    }

    fn seed(&mut self, people: usize, rooms: usize) {
        let tokens = self.data.path().join("tokens");
        let mut command = self.command(&self.postgres.url(None));
        command.args(["user", "seed", &people.to_string(), "--rooms", &rooms.to_string(), "--tokens"]).arg(&tokens);
        let done = command.output().unwrap();
        let said = String::from_utf8(done.stdout.clone()).unwrap();
        assert!(done.status.success(), "{done:?}");
        self.password = said.trim().rsplit(' ').next().unwrap().to_owned();
        self.tokens = fs::read_to_string(tokens).unwrap().lines().map(str::to_owned).collect();
    }

    /// Starts an instance that isn't there.
    pub async fn start_instance(&mut self, number: usize) {
        let instance = &self.instances[number];
        let mut command = self.command(&self.postgres.url(Some(&instance.postgres.address)));
        command.env("SOLGIK__BROKER__REDIS_URL", format!("redis://{}", instance.redis.address));
        let log = OpenOptions::new().create(true).append(true).open(&instance.log).unwrap();
        let server = Server::spawn(command, Some(log)).await;
        instance.clients.lead(End::Tcp(server.base.strip_prefix("http://").unwrap().to_owned()));
        self.instances[number].server = Some(server);
    }

    /// Ends an instance.
    pub async fn end_instance(&mut self, number: usize, end: support::End) {
        self.instances[number].server.take().unwrap().end(end).await;
    }

    /// Whether an instance says that it is ready.
    pub async fn is_ready(&self, number: usize) -> bool {
        let base = self.instances[number].base();
        let answer = self.client.get(format!("{base}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Whether something was wrong anywhere within that time.
    pub fn had_trouble(&self, from: i64, to: i64) -> bool {
        let overlaps = |(begin, end): &(i64, i64)| *begin <= to && from <= *end;
        self.instances.iter().any(|instance| instance.troubles.lock().unwrap().iter().any(overlaps))
    }

    /// Waits until every instance is ready; says how long that took. One that gave up starting, because what it needs was
    /// away, is started again, as whoever supervises it would do.
    pub async fn whole(&mut self) -> Duration {
        let began = Instant::now();
        for number in 0..self.instances.len() {
            while !self.is_ready(number).await {
                if self.instances[number].server.as_mut().unwrap().has_ended() {
                    println!("instance {number} did not start and is started again");
                    self.start_instance(number).await;
                }
                assert!(began.elapsed() < HEAL, "instance {number} is not ready again");
                pass(Duration::from_millis(100)).await;
            }
        }
        began.elapsed()
    }

    /// A connection of one's own to the database.
    pub async fn database(&self) -> Db {
        let environment = vec![("SOLGIK__DATABASE__URL".to_owned(), self.postgres.url(None))];
        Db::open(&Config::load(&Flags::default(), environment).unwrap()).await.unwrap()
    }

    /// What the instances said that they should not have had to: lines by their words, with how many of each.
    pub fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for instance in &self.instances {
            let log = fs::read_to_string(&instance.log).unwrap();
            lines.extend(log.lines().filter(|line| line.contains(" ERROR ")).map(str::to_owned));
            assert!(!log.contains("panicked"), "an instance panicked: {}", instance.log.display());
        }
        lines
    }
}
