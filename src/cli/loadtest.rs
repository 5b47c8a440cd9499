//! `solgik loadtest`: puts a server under load, and says what it took and whether it was right.
//!
//! Promises that a run in which anything was lost, doubled, out of order or shown wrongly exits with 1 and names it; also
//! one that is interrupted, which is judged by what it has seen.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::say;
use crate::loadtest::{self, Options, limit, page, report::Report, scenario::Scenario, table};

#[derive(Debug, Args)]
pub(super) struct Loadtest {
    /// An embedded scenario's name, or a file; without one, their names are listed
    scenario: Option<String>,
    /// http://host:port of the server; again for each other instance; without it, one is started for the run
    #[arg(long, value_name = "URL")]
    target: Vec<String>,
    /// A process of the server, where it is on this machine, to measure its CPU and memory; again for each other one
    #[arg(long, requires = "target")]
    pid: Vec<u32>,
    /// With several instances: all of a room on the same one, as behind a proxy that sorts by room
    #[arg(long)]
    by_room: bool,
    /// A token a line, as `solgik user seed` writes them
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Put the users straight into the server's database; its secret must be this command's too
    #[arg(long, value_name = "URL", requires = "target", conflicts_with = "tokens")]
    seed_db: Option<String>,
    /// Where those go who lose their connection in a deploy: another instance of the same service
    #[arg(long, value_name = "URL", requires = "target")]
    then: Option<String>,
    /// Don't measure what this machine could do at most
    #[arg(long)]
    no_limit: bool,
    /// How often; the middle run is reported
    #[arg(long, default_value_t = 1, value_name = "N")]
    repeat: usize,
    /// Another number of rooms than the scenario's
    #[arg(long, value_name = "N")]
    rooms: Option<usize>,
    /// Another number of members in each room
    #[arg(long, value_name = "N")]
    members: Option<usize>,
    /// Another time to measure
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Loopback addresses that connections come from
    #[arg(long, default_value_t = 16, value_name = "N")]
    sources: usize,
    /// Let the system choose the cores
    #[arg(long)]
    no_pin: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one page for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare two reports instead of running anything
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    compare: Option<Vec<PathBuf>>,
    /// Be what other runs measure as the limit
    #[arg(long, hide = true)]
    be_the_limit: bool,
}

pub(super) fn run(command: Loadtest) -> anyhow::Result<()> {
    if command.be_the_limit {
        return limit::serve(|address| Ok(writeln!(std::io::stderr(), "serving on http://{address}")?));
    }
    if let Some([a, b]) = command.compare.as_deref() {
        return table::compare(&Report::read(a)?, &Report::read(b)?).into_iter().try_for_each(say);
    }
    let Some(name) = &command.scenario else {
        return Scenario::names().into_iter().try_for_each(|name| {
            let scenario = Scenario::find(name)?;
            say(format_args!("{name:<12}{}", scenario.about))
        });
    };
    let options = command.options(name)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = Arc::clone(&options.stop);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.store(true, Ordering::Relaxed);
    });
    let report = loadtest::run(&options)?;
    table::lines(&report).into_iter().try_for_each(say)?;
    if let Some(file) = &command.json {
        report.write(file)?;
    }
    if let Some(file) = &command.html {
        std::fs::write(file, page::render(&report)?).with_context(|| format!("writing {}", file.display()))?;
    }
    anyhow::ensure!(report.is_right(), "the run went wrong");
    Ok(())
}

impl Loadtest {
    fn options(&self, name: &str) -> anyhow::Result<Options> {
        let mut scenario = Scenario::find(name)?;
        scenario.rooms = self.rooms.unwrap_or(scenario.rooms);
        scenario.members = self.members.unwrap_or(scenario.members);
        scenario.seconds = self.seconds.unwrap_or(scenario.seconds);
        scenario.check()?;
        Ok(Options {
            scenario,
            targets: self.target.clone(),
            by_room: self.by_room,
            pids: self.pid.clone(),
            tokens: self.tokens.clone(),
            seed_db: self.seed_db.clone(),
            then: self.then.clone(),
            limit: !self.no_limit,
            repeat: self.repeat,
            sources: self.sources,
            pin: !self.no_pin && self.target.is_empty(),
            progress: std::io::stderr().is_terminal(),
            stop: Arc::new(AtomicBool::new(false)),
        })
    }
}
