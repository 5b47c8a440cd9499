//! Counts and times while a run goes on.
//!
//! Promises that a time is taken from the moment that was intended, whatever delayed the sending: a server that stalls
//! is charged for everybody who would have come meanwhile.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::report::Figures;

/// The longest time that is told apart from a longer one.
const LONGEST: Duration = Duration::from_secs(600);

/// Times in microseconds, three digits of them right.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_max(micros(LONGEST), 3)?))
    }

    pub(super) fn add(&mut self, time: Duration) {
        self.0.saturating_record(micros(time).max(1));
    }

    pub(super) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// The figures of it.
    pub(super) fn tell(&self, figures: &mut Figures) {
        if self.len() == 0 {
            return;
        }
        for (name, share) in
            [("latency_p50_ms", 0.5), ("latency_p90_ms", 0.9), ("latency_p99_ms", 0.99), ("latency_p999_ms", 0.999)]
        {
            figures.insert(name.to_owned(), self.quantile(share));
        }
        figures.insert("latency_max_ms".to_owned(), self.max());
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The time, in milliseconds, that so large a share stayed within.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    pub(super) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// Shares and times from the middle to the end, denser and denser: what a percentile plot shows.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        let steps = (0..=48).map(|step| 1.0 - 0.5_f64.powf(f64::from(step) / 4.0));
        let known = steps.filter(|share| (1.0 - share) * self.0.len() as f64 >= 1.0);
        known.map(|share| (share, self.quantile(share))).collect()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// One moment of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the run began.
    pub at: f64,
    /// Who is connected.
    pub connections: usize,
    /// Deliveries a second since the moment before.
    pub deliveries: f64,
    /// Half of them came within so many milliseconds.
    pub p50_ms: f64,
    /// All but a hundredth of them did.
    pub p99_ms: f64,
    /// The server's CPU, in cores.
    pub cpu: f64,
    /// The server's memory, in MiB.
    pub memory_mib: f64,
    /// Whether this moment counts.
    pub measured: bool,
}

/// All counts of a run.
#[derive(Debug)]
pub(super) struct Meter {
    /// Whether what happens now counts.
    pub(super) counts: bool,
    pub(super) deliveries: u64,
    pub(super) sent: u64,
    pub(super) latency: Times,
    pub(super) connect: Times,
    /// Answers that somebody waited for.
    pub(super) answers: Times,
    recent: Times,
    recent_deliveries: u64,
    since: Instant,
}

impl Meter {
    pub(super) fn new(now: Instant) -> anyhow::Result<Self> {
        Ok(Self {
            counts: false,
            deliveries: 0,
            sent: 0,
            latency: Times::new()?,
            connect: Times::new()?,
            answers: Times::new()?,
            recent: Times::new()?,
            recent_deliveries: 0,
            since: now,
        })
    }

    /// An event has come to somebody.
    pub(super) fn delivered(&mut self) {
        self.recent_deliveries += 1;
        self.deliveries += u64::from(self.counts);
    }

    /// How long something took that was meant to begin at `intended`.
    pub(super) fn took(&mut self, intended: Instant, now: Instant) {
        let time = now.saturating_duration_since(intended);
        self.recent.add(time);
        if self.counts {
            self.latency.add(time);
        }
    }

    /// A request that was meant to be made at `intended` is answered.
    pub(super) fn answered(&mut self, intended: Instant, now: Instant) {
        if self.counts {
            self.answers.add(now.saturating_duration_since(intended));
        }
    }

    /// What has been since the last time that this was asked.
    pub(super) fn sample(&mut self, now: Instant) -> Sample {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64().max(1e-6);
        let some = self.recent.len() > 0;
        let sample = Sample {
            deliveries: self.recent_deliveries as f64 / seconds,
            p50_ms: if some { self.recent.quantile(0.5) } else { 0.0 },
            p99_ms: if some { self.recent.quantile(0.99) } else { 0.0 },
            measured: self.counts,
            ..Sample::default()
        };
        (self.recent_deliveries, self.since) = (0, now);
        self.recent.clear();
        sample
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_the_intended_moment_and_only_while_it_counts() {
        let start = Instant::now();
        let mut meter = Meter::new(start).unwrap();
        meter.took(start, start + Duration::from_millis(5));
        assert_eq!(meter.latency.len(), 0);
        meter.counts = true;
        for ms in 1..=100 {
            meter.took(start, start + Duration::from_millis(ms));
            meter.delivered();
        }
        assert!((meter.latency.quantile(0.5) - 50.0).abs() < 0.1, "{}", meter.latency.quantile(0.5));
        let sample = meter.sample(start + Duration::from_secs(2));
        assert!((sample.deliveries - 50.0).abs() < 0.1 && sample.p99_ms >= 98.9);
        assert_eq!(meter.sample(start + Duration::from_secs(3)).deliveries, 0.0);
        assert!(meter.latency.curve().windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    }
}
