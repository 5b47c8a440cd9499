//! Processes beside the lab: an embedded server, the limit, and whoever fills a database.
//!
//! Promises that a child ends with the lab's value for it, and that it runs where it was put: the server on one core,
//! the lab on another.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, bail, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A child that serves.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    /// `127.0.0.1:port`
    pub(super) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Everything that it had is thrown away, so it needs no gentle end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Starts this binary with `arguments`, and waits until it says where it serves.
    pub(super) fn start(arguments: &[&str], environment: &[(String, String)]) -> anyhow::Result<Self> {
        let mut command = myself()?;
        command.args(arguments).envs(environment.iter().cloned()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A key pressed in the terminal ends the lab, which still has to ask the server what became of everybody.
        command.process_group(0);
        let mut process = command.spawn().context("starting the server")?;
        let stderr = process.stderr.take();
        let mut server = Self { process, address: String::new() };
        let mut log = BufReader::new(stderr.context("the server has no log")?);
        let mut said = String::new();
        loop {
            ensure!(log.read_line(&mut said)? > 0, "the server did not start: {said}");
            if let Some((_, rest)) = said.split_once("serving on http://") {
                server.address = rest.split_whitespace().next().unwrap_or_default().to_owned();
                // The log is read on: the server must not wait for a reader.
                thread::spawn(move || drop(log.read_to_end(&mut Vec::new())));
                return Ok(server);
            }
        }
    }
}

/// Fills a database by this binary's own means; answers a token a user.
pub(super) fn seed(
    people: usize,
    rooms: usize,
    folder: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> anyhow::Result<Vec<String>> {
    let tokens = folder.join("tokens");
    let mut command = myself()?;
    command.args(["user", "seed", &people.to_string(), "--rooms", &rooms.to_string(), "--tokens"]).arg(&tokens);
    let done = command.args(arguments).envs(environment.iter().cloned()).output().context("seeding")?;
    if !done.status.success() {
        bail!("seeding failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    self::tokens(&tokens)
}

/// A token a line.
pub(super) fn tokens(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn myself() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe().context("finding this binary")?))
}

/// Two of the cores that this process may use: for the server, and for the lab. None, if there is but one.
pub(super) fn cores() -> Option<(usize, usize)> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    Some((cores.next()?, cores.next()?))
}

/// Keeps this thread, and what it starts from now on, on one core.
pub(super) fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("keeping to core {core}"))
}
