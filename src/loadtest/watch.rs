//! Looks on while a run goes on: a moment of it now and then for the report, and a line for whoever waits.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    figures,
    floor::{Floor, Play},
    meter::Sample,
    scenario::Scenario,
    stage::Over,
};

/// Moments of a run that a plot can show.
const MOMENTS: f64 = 200.0;

/// The shortest time between two of them.
const SHORTEST: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Watch {
    pid: Option<u32>,
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
    pub(super) fn new(pid: Option<u32>, title: Option<&'static str>, scenario: &Scenario) -> Self {
        let now = Instant::now();
        let bar = if title.is_some() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(title.unwrap_or_default());
        Self {
            pid,
            bar,
            doing: "",
            start: now,
            last: now,
            last_cpu: Duration::ZERO,
            distance: Duration::from_secs_f64(scenario.seconds / MOMENTS).max(SHORTEST),
            timeline: Vec::new(),
        }
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
        let cpu = self.pid.and_then(|pid| figures::cpu(pid).ok());
        let memory = self.pid.and_then(|pid| figures::resident(pid).ok());
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
