//! A Redis and a PostgreSQL of a run's own, to be killed, stopped and started again.
//!
//! Both listen on a socket in their folder and on no port: what wants to reach them takes a [`Link`](crate::support::link::Link).

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sea_orm::{ConnectOptions, Database};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task,
};

use crate::{pass, support::signal};

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// A process that doesn't outlive its owner.
struct Process(Child);

impl Process {
    fn spawn(mut command: Command) -> Self {
        // Its own group: a Ctrl-C in the terminal is the run's business.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        signal(name, self.0.id());
    }

    fn end(&mut self, name: &str) {
        self.signal(name);
        self.0.wait().unwrap();
    }
}

/// See the module.
pub struct Redis {
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    pub async fn start(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mut redis = Self { folder, process: None };
        redis.restart().await;
        redis
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// Starts it with what it had written down.
    pub async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket"]).arg(self.socket()).arg("--dir").arg(&self.folder);
        // Written before it is answered: a killed process loses nothing, and nobody waits for a disk.
        command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "no", "--logfile", "redis.log"]);
        self.process = Some(Process::spawn(command));
        let until = Instant::now() + START;
        while self.ask("PING").await.as_deref() != Some("+PONG\r\n") {
            assert!(Instant::now() < until, "Redis does not start");
            pass(Duration::from_millis(50)).await;
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.take().unwrap().end("-KILL");
        let _ = fs::remove_file(self.socket());
    }

    /// Throws away what it had written down.
    pub fn forget(&self) {
        fs::remove_dir_all(self.folder.join("appendonlydir")).unwrap();
    }

    /// Keeps a copy of what it has written down.
    pub fn remember(&self) {
        copy(&self.folder.join("appendonlydir"), &self.folder.join("earlier"));
    }

    /// Goes back to that copy, as a replica does that takes over and had not heard everything.
    pub fn go_back(&self) {
        self.forget();
        copy(&self.folder.join("earlier"), &self.folder.join("appendonlydir"));
    }

    pub fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name);
    }

    /// Asks for one thing, in one line.
    pub async fn ask(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).await.ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).await.ok()?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end("-KILL");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// See the module.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    process: Option<Process>,
}

impl Postgres {
    /// The programs, which Debian keeps out of the PATH, a folder a version.
    pub fn programs() -> Option<PathBuf> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.map(|entry| entry.unwrap().path().join("bin"));
        versions.filter(|folder| folder.join("initdb").exists()).max()
    }

    pub async fn start(folder: PathBuf, programs: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&folder).status().unwrap().success());
        }
        let mut postgres = Self { folder, programs, process: None };
        let mut command = postgres.command("initdb");
        // Whoever gets to the socket is trusted; its folder is the run's own.
        command.args(["-U", "solgik", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        command.arg(postgres.folder.join("data"));
        let done = task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(done.status.success(), "{done:?}");
        postgres.restart().await;
        postgres
    }

    /// It refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        command.current_dir(&self.folder);
        command
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// The address for whoever sits beside it; `address` is that of a link.
    pub fn url(&self, address: Option<&str>) -> String {
        match address {
            Some(address) => format!("postgres://solgik@{address}/postgres"),
            None => format!("postgres://solgik@localhost/postgres?host={}", self.folder.display()),
        }
    }

    pub async fn restart(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        command.args(["-h", "", "-F", "-c", "max_connections=150", "-c", "full_page_writes=off"]);
        self.process = Some(Process::spawn(command));
        let until = Instant::now() + START;
        let mut options = ConnectOptions::new(self.url(None));
        options.max_connections(1).sqlx_logging(false);
        while let Err(error) = Database::connect(options.clone()).await {
            assert!(Instant::now() < until, "PostgreSQL does not start: {error}");
            pass(Duration::from_millis(100)).await;
        }
    }

    /// Ends it at once, as if its machine had stopped.
    pub fn crash(&mut self) {
        self.process.take().unwrap().end("-QUIT");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end("-QUIT");
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
