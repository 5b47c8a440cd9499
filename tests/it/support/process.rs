//! The real binary as a process of its own, which can be ended in any way.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use tokio::{task, time::timeout};

use super::database::Scratch;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Killed,
    Terminated,
}

/// Longer than a stop may take with `server.drain_secs` at 3.
const STOP: Duration = Duration::from_secs(20);

/// The binary at work. Dropping it kills it.
pub struct Server {
    /// `http://127.0.0.1:port`
    pub base: String,
    process: Option<Child>,
}

impl Server {
    pub async fn start(data: &Path, database: Option<&Scratch>) -> Self {
        Self::with(data, database, &[]).await
    }

    /// With more in its environment.
    pub async fn with(data: &Path, database: Option<&Scratch>, environment: &[(&str, &str)]) -> Self {
        let mut command = binary(data, database);
        command.envs(environment.iter().copied());
        Self::spawn(command, None).await
    }

    /// The binary as `command` has it, with a file that keeps its log.
    pub async fn spawn(mut command: Command, kept: Option<File>) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut server = Self { process: Some(process), base: String::new() };
        server.base = task::spawn_blocking(|| address(log, kept)).await.unwrap();
        server
    }

    /// Stops the process without a word, or lets it go on.
    pub fn pause(&self, paused: bool) {
        signal(if paused { "-STOP" } else { "-CONT" }, self.process.as_ref().unwrap().id());
    }

    /// Whether the process has ended by itself.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Ends the process and says how it went.
    pub async fn end(mut self, end: End) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        let pid = process.id();
        signal(if end == End::Killed { "-KILL" } else { "-TERM" }, pid);
        match timeout(STOP, task::spawn_blocking(move || process.wait())).await {
            Ok(status) => status.unwrap().unwrap(),
            Err(_) => {
                signal("-KILL", pid);
                panic!("the process does not end");
            }
        }
    }
}

/// The tokens of so many people in so many rooms, made by the binary itself.
pub fn seed_people(data: &Path, database: Option<&Scratch>, people: usize, rooms: usize) -> Vec<String> {
    let tokens = data.join("tokens");
    let mut command = binary(data, database);
    command.args(["user", "seed", &people.to_string(), "--rooms", &rooms.to_string(), "--tokens"]).arg(&tokens);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    std::fs::read_to_string(tokens).unwrap().lines().map(str::to_owned).collect()
}

/// The binary with these arguments, from its start to its end.
pub async fn run_binary(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = binary(data, None);
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// The binary on its own data; it has no listener for figures, because others may run beside it.
pub fn binary(data: &Path, database: Option<&Scratch>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solgik"));
    command.env("SOLGIK__DATA_DIR", data).env("SOLGIK__ADMIN__LISTEN", "");
    if let Some(database) = database {
        command.env("SOLGIK__DATABASE__URL", database.url());
    }
    command.env("SOLGIK__SERVER__DRAIN_SECS", "1").env("NO_COLOR", "1").env("SOLGIK__LOG__FILTER", "info");
    command.env("SOLGIK__AUTH__HASH_MEMORY_KIB", "64").env("SOLGIK__AUTH__HASH_PASSES", "1");
    // A machine that is busy with other tests is slow, and not overloaded.
    command.env("SOLGIK__DATABASE__ACQUIRE_SECS", "30");
    command
}

/// Sends a process a signal, by its name.
pub fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Where the server serves. Its log is read on: it must not wait for a reader.
fn address(mut log: BufReader<ChildStderr>, mut kept: Option<File>) -> String {
    let mut said = String::new();
    loop {
        assert!(log.read_line(&mut said).unwrap() > 0, "the server ended: {said}");
        if let Some((_, rest)) = said.split_once("serving on ") {
            let base = rest.split_whitespace().next().unwrap().to_owned();
            task::spawn_blocking(move || {
                let mut rest = String::new();
                if let Some(kept) = &mut kept {
                    io::copy(&mut log, kept).unwrap();
                    return;
                }
                let _ = log.read_to_string(&mut rest);
                for line in rest.lines().filter(|line| line.contains("ERROR")) {
                    println!("the server said: {line}");
                }
            });
            return base;
        }
    }
}
