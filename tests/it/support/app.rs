//! A server in this process, on a free port, with a folder and a database of its own.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use solgik::{
    app::App,
    clock::Clock,
    config::{Config, Flags},
    outbox, server,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{database::Scratch, door::Door, person::Person, process::Server};

/// What every test wants: hashes that cost nothing, nobody throttled, no haste where the machine is busy with other
/// tests, and an end without a long goodbye.
const CHEAP: [(&str, &str); 6] = [
    ("auth.hash_memory_kib", "64"),
    ("auth.hash_passes", "1"),
    ("database.acquire_secs", "30"),
    ("limits.exempt_loopback", "true"),
    ("mail.transport", "file"),
    ("server.drain_secs", "0"),
];

/// A server. As a [`Door`] it is somebody who has not signed in.
pub struct TestApp {
    /// The parts of the server, for what no door shows.
    pub app: App,
    door: Door,
    people: AtomicU32,
    stop: CancellationToken,
    server: Option<JoinHandle<anyhow::Result<()>>>,
    // Fields fall in this order: the server goes before what it stands on.
    database: Option<Scratch>,
    #[allow(dead_code, reason = "what the server stands on falls with it")]
    data: Option<TempDir>,
}

impl TestApp {
    /// A server with the defaults.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with `settings`, for example `("presence.grace_secs", "1")`.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let (data, database) = (tempfile::tempdir().unwrap(), Scratch::create().await);
        let (path, url) = (data.path().to_str().unwrap().to_owned(), database.as_ref().map(Scratch::url));
        let mut app = Self::on(&path, url, settings).await;
        (app.data, app.database) = (Some(data), database);
        app
    }

    /// Another instance with `settings`, on the same data and database as this one. It must not outlive it.
    pub async fn beside(&self, settings: &[(&str, &str)]) -> Self {
        let config = &self.app.config;
        let url = config.database.url.expose();
        let url = (!url.is_empty()).then(|| url.to_owned());
        let beside = Self::on(config.data_dir.to_str().unwrap(), url, settings).await;
        // Its people have other numbers.
        beside.people.store((u32::from(rand::random::<u16>()) + 1) << 8, Ordering::Relaxed);
        beside
    }

    /// The binary as another instance, with `environment`, on the same data and database as this one.
    pub async fn process_beside(&self, environment: &[(&str, &str)]) -> Server {
        Server::with(&self.app.config.data_dir, self.database.as_ref(), environment).await
    }

    /// Another instance's door.
    pub fn door_at(&self, base: &str) -> Door {
        Door::new(base.to_owned())
    }

    async fn on(data: &str, database: Option<String>, settings: &[(&str, &str)]) -> Self {
        let mut environment = vec![("SOLGIK__DATA_DIR".to_owned(), data.to_owned())];
        if let Some(url) = database {
            environment.push(("SOLGIK__DATABASE__URL".to_owned(), url));
        }
        for (key, value) in CHEAP.iter().chain(settings) {
            environment.push((format!("SOLGIK__{}", key.replace('.', "__").to_uppercase()), (*value).to_owned()));
        }
        let config = Config::load(&Flags::default(), environment).unwrap();
        let app = App::build(config, Clock::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = Door::new(format!("http://{}", listener.local_addr().unwrap()));
        let stop = CancellationToken::new();
        let server = Some(tokio::spawn(server::run(app.clone(), listener, stop.clone())));
        let ready = async { while door.get("/readyz").await.status == 503 {} };
        timeout(Duration::from_secs(10), ready).await.expect("the server is not ready");
        door.get("/readyz").await.ok();
        Self { app, door, people: AtomicU32::new(0), stop, server, database: None, data: None }
    }

    /// Somebody with an account and a session, put straight into the database because that is quick.
    pub async fn person(&self, first_name: &str) -> Person {
        Person::insert(&self.app, &self.door, first_name, self.next()).await
    }

    /// Somebody who came through the door.
    pub async fn signed_up(&self, first_name: &str) -> Person {
        Person::sign_up(&self.door, first_name, self.next()).await
    }

    /// Everything that was committed is said, without waiting for the relay to get round to it.
    pub async fn say_all(&self) {
        outbox::drain(&self.app.db, &self.app.hub).await.unwrap();
    }

    /// Stops another instance without a word, at a moment at which it holds no lock that this one waits for.
    #[allow(dead_code, reason = "for tests/it")]
    pub async fn pause(&self, server: &Server) {
        loop {
            server.pause(true);
            match self.app.db.begin().await {
                Ok(_) => return,
                // SQLite's one writer was stopped.
                Err(_) => server.pause(false),
            }
        }
    }

    fn next(&self) -> u32 {
        self.people.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Asks the server to stop without waiting for it.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the server, waits until it has gone, and checks that it left nobody behind.
    pub async fn stop(mut self) {
        self.begin_stop();
        let server = self.server.take().unwrap();
        let ended = timeout(Duration::from_secs(10), server).await.expect("the server doesn't end");
        ended.expect("the server panicked").expect("the server failed");
        self.check();
        assert!(self.app.hub.registry().is_empty(), "the server ended and somebody is connected");
        // A database that nobody uses is dropped at once.
        self.app.db.close().await;
    }

    /// What must hold at every moment.
    fn check(&self) {
        if let Err(broken) = self.app.hub.registry().check() {
            panic!("{broken}");
        }
    }
}

impl Deref for TestApp {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Whatever the server began ends with the test's runtime.
        if let Some(server) = self.server.take() {
            self.stop.cancel();
            server.abort();
        }
        if !thread::panicking() {
            self.check();
        }
    }
}
