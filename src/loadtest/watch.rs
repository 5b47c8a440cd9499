//! Looks on while a run goes on: a moment of it now and then for the report, and a line for whoever waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    figures::Processes,
    floor::{Floor, Play},
    meter::Sample,
    scenario::Scenario,
    stage::Over,
};

/// Moments of a run that a plot can show.
const MOMENTS: f64 = 200.0;

/// The shortest time between two of them.
const SHORTEST: Duration = Duration::from_millis(250);

/// How long a wish to stop may go unnoticed.
pub(super) const GLANCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Watch {
    processes: Processes,
    stop: Arc<AtomicBool>,
    bar: ProgressBar,
    doing: &'static str,
    start: Instant,
    last: Instant,
    last_cpu: Duration,
    distance: Duration,
    timeline: Vec<Sample>,
}

impl Watch {
    /// Shows progress under a title, if there is one and a terminal too.
    pub(super) fn new(
        processes: Processes,
        title: Option<&'static str>,
        scenario: &Scenario,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let now = Instant::now();
        let bar = if title.is_some() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(title.unwrap_or_default());
        Self {
            processes,
            stop,
            bar,
            doing: "",
            start: now,
            last: now,
            last_cpu: Duration::ZERO,
            distance: Duration::from_secs_f64(scenario.seconds / MOMENTS).max(SHORTEST),
            timeline: Vec::new(),
        }
    }

    /// Whether somebody wants the run to end early.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Looks on while `play` goes on.
    pub(super) fn over<'a>(&'a mut self, doing: &'static str, play: &'a mut dyn Play) -> Over<'a> {
        self.doing = doing;
        Over { watch: self, play }
    }

    /// Looks, if it is time to; says when it will be.
    pub(super) fn look(&mut self, floor: &mut Floor, now: Instant) -> Instant {
        if now < self.last + self.distance {
            return self.last + self.distance;
        }
        // A process that is gone shows itself elsewhere.
        let cpu = self.processes.cpu().ok().flatten();
        let memory = self.processes.resident().ok().flatten();
        let seconds = (now - self.last).as_secs_f64();
        let sample = Sample {
            at: (now - self.start).as_secs_f64(),
            connections: floor.open,
            cpu: cpu.map_or(0.0, |cpu| cpu.saturating_sub(self.last_cpu).as_secs_f64() / seconds),
            memory_mib: memory.unwrap_or(0) as f64 / 1024.0 / 1024.0,
            ..floor.crowd.meter.sample(now)
        };
        if cpu.is_some() && self.last_cpu.is_zero() {
            // What the process took before it was looked at is not this moment's.
            self.last_cpu = cpu.unwrap_or_default();
        } else {
            self.last_cpu = cpu.unwrap_or_default();
            self.bar.set_message(format!(
                "{}: {} connections, {:.0} deliveries/s, p99 {:.2} ms, CPU {:.0} %, {:.0} MiB, {} faults",
                self.doing,
                sample.connections,
                sample.deliveries,
                sample.p99_ms,
                sample.cpu * 100.0,
                sample.memory_mib,
                floor.crowd.faults.0.values().map(|entry| entry.count).sum::<u64>(),
            ));
            self.bar.tick();
            self.timeline.push(sample);
        }
        self.last = now;
        self.last + self.distance
    }

    /// Every moment that was seen.
    pub(super) fn finish(self) -> Vec<Sample> {
        self.bar.finish_and_clear();
        self.timeline
    }
}
