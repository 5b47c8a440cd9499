//! What a run came to: figures by name, beside the limit's and the goals, with everything that went wrong.
//!
//! Promises that a report which was written can be read by later versions: figures are looked up by name, and what is
//! not known is left out of a comparison.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{
    faults::Faults,
    meter::Sample,
    scenario::{Goal, Scenario},
};

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

/// The names of figures, in the order in which they are told: name, words, unit, digits.
pub const FIGURES: &[(&str, &str, &str, usize)] = &[
    ("cpu_us_per_delivery", "server CPU a delivery (s a million)", "µs", 3),
    ("deliveries_per_cpu_second", "deliveries a CPU second", "", 0),
    ("deliveries_per_second", "deliveries a second", "", 0),
    ("sent_per_second", "sent a second", "", 1),
    ("latency_p50_ms", "latency p50", "ms", 3),
    ("latency_p90_ms", "latency p90", "ms", 3),
    ("latency_p99_ms", "latency p99", "ms", 3),
    ("latency_p999_ms", "latency p99.9", "ms", 3),
    ("latency_max_ms", "latency max", "ms", 3),
    ("answer_p50_ms", "answered after p50", "ms", 2),
    ("answer_p99_ms", "answered after p99", "ms", 2),
    ("connect_p50_ms", "connect to hello p50", "ms", 2),
    ("connect_p99_ms", "connect to hello p99", "ms", 2),
    ("resume_p99_ms", "resumed after p99", "ms", 1),
    ("resume_max_ms", "resumed after max", "ms", 1),
    ("requests_per_second", "requests a second", "", 0),
    ("cpu_us_per_request", "server CPU a request", "µs", 1),
    ("connects_per_second", "connects a second", "", 0),
    ("connect_cpu_us", "server CPU a connect", "µs", 1),
    ("bytes_per_connection", "server memory a connection", "B", 0),
    ("resident_mib", "server memory", "MiB", 1),
    ("peak_mib", "server memory at most", "MiB", 1),
    ("memory_growth_mib", "server memory grew at work by", "MiB", 1),
    ("seconds", "measured for", "s", 1),
    ("cpu_percent", "server CPU at work", "%", 2),
    ("lab_cpu_us_per_delivery", "the lab's own CPU a delivery", "µs", 3),
];

/// One side of a run: the server, or the limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// What was measured.
    pub figures: Figures,
    /// Shares, and the milliseconds that they stayed within.
    pub curve: Vec<(f64, f64)>,
    /// The run, moment by moment.
    pub timeline: Vec<Sample>,
    /// What went wrong.
    pub faults: Faults,
}

/// A goal beside what was reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The goal.
    pub goal: Goal,
    /// What was reached.
    pub figure: Option<f64>,
    /// The limit's.
    pub limit: Option<f64>,
    /// How many times the limit.
    pub ratio: Option<f64>,
    /// Whether the goal was reached; `None` where something was not measured.
    pub reached: Option<bool>,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Changes if what is here changes its meaning.
    pub format: u32,
    /// What was done.
    pub scenario: Scenario,
    /// Where.
    pub target: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The binary's version.
    pub version: String,
    /// Cores of the machine.
    pub cores: usize,
    /// The server.
    pub server: Side,
    /// The limit, if it was measured.
    pub limit: Option<Side>,
    /// The main figure of every repetition; the report is that of the middle one.
    pub runs: Vec<f64>,
    /// Goals.
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// Puts both sides together.
    pub fn new(scenario: Scenario, target: String, at: i64, server: Side, limit: Option<Side>) -> Self {
        let verdicts = scenario.goals.iter().map(|goal| verdict(goal, &server, limit.as_ref())).collect();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let runs = vec![main_figure(&server)];
        Self { format: 1, scenario, target, at, version, cores, server, limit, runs, verdicts }
    }

    /// The middle one of several, by their main figure.
    pub fn middle(mut reports: Vec<Self>) -> Option<Self> {
        reports.sort_by(|a, b| main_figure(&a.server).total_cmp(&main_figure(&b.server)));
        let runs = reports.iter().map(|report| main_figure(&report.server)).collect();
        // A run that went wrong is not outvoted.
        let wrong = reports.iter().position(|report| !report.server.faults.is_empty());
        let middle = wrong.unwrap_or(reports.len() / 2);
        if middle >= reports.len() {
            return None;
        }
        Some(Self { runs, ..reports.swap_remove(middle) })
    }

    /// Nothing went wrong.
    pub fn is_right(&self) -> bool {
        self.server.faults.is_empty()
    }

    /// Reads one that was written.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", file.display()))
    }

    /// Writes it for [`Report::read`].
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }
}

fn main_figure(side: &Side) -> f64 {
    let names = ["cpu_us_per_delivery", "cpu_us_per_request", "connect_cpu_us", "latency_p99_ms"];
    names.iter().find_map(|name| side.figures.get(*name).copied()).unwrap_or(0.0)
}

fn verdict(goal: &Goal, server: &Side, limit: Option<&Side>) -> Verdict {
    let figure = server.figures.get(&goal.figure).copied();
    let limit = limit.and_then(|limit| limit.figures.get(&goal.figure)).copied();
    let ratio = figure.zip(limit).filter(|(_, limit)| *limit > 0.0).map(|(figure, limit)| figure / limit);
    let checks = [
        goal.at_most.map(|most| figure.map(|figure| figure <= most)),
        goal.at_least.map(|least| figure.map(|figure| figure >= least)),
        goal.times_limit.map(|times| ratio.map(|ratio| ratio <= times)),
    ];
    let reached = checks.into_iter().flatten().collect::<Option<Vec<_>>>().map(|checks| checks.iter().all(|ok| *ok));
    Verdict { goal: goal.clone(), figure, limit, ratio, reached }
}
