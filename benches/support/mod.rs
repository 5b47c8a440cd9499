//! What measurements share: a server as a process of its own, and what Linux says of it.

#![allow(dead_code, reason = "no measurement needs all of it")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// A server that goes with its measurement.
pub struct Server {
    process: Child,
    /// `127.0.0.1:port`
    pub address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command line, on the data in a folder.
pub fn solgik(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solgik"));
    command.env("SOLGIK__DATA_DIR", data).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Starts it.
pub fn serve(mut command: Command) -> Server {
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Server { process: command.spawn().unwrap(), address: String::new() };
    let mut log = BufReader::new(server.process.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("serving on http://") {
        assert!(log.read_line(&mut said).unwrap() > 0, "the server ended: {said}");
    }
    let (_, rest) = said.split_once("serving on http://").unwrap();
    server.address = rest.split_whitespace().next().unwrap().to_owned();
    // Its log is read on: it must not wait for a reader.
    thread::spawn(move || drop(log.read_to_end(&mut Vec::new())));
    server
}

impl Server {
    /// Seconds of CPU that it has used.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // Behind the name, which may hold anything, come the state and ten more fields before the two.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        // The kernel counts in hundredths of a second wherever this runs.
        ticks / 100.0
    }

    /// KiB of memory that it has.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS")
    }

    /// Most KiB of memory that it has had.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM")
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Makes people, seated in rooms in order, and answers their tokens.
pub fn seed(mut command: Command, data: &Path, people: usize, rooms: usize) -> Vec<String> {
    let tokens = data.join("tokens");
    command.args(["user", "seed", &people.to_string(), "--rooms", &rooms.to_string(), "--tokens"]).arg(&tokens);
    let seeded = command.output().unwrap();
    assert!(seeded.status.success(), "{seeded:?}");
    fs::read_to_string(tokens).unwrap().lines().map(str::to_owned).collect()
}
