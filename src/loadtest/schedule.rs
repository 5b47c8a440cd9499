//! When things are meant to happen, whatever becomes of earlier ones.

use std::time::{Duration, Instant};

/// Moments at an even distance.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start: Instant,
    distance: Duration,
    done: u32,
}

impl Schedule {
    pub(super) fn evenly(per_second: f64, start: Instant) -> Self {
        Self { start, distance: Duration::from_secs_f64(1.0 / per_second), done: 0 }
    }

    /// The next moment.
    pub(super) fn next(&self) -> Instant {
        self.start + self.distance.saturating_mul(self.done)
    }

    /// Takes the next moment, if it has come; it may be long past.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next();
        (next <= now).then(|| {
            self.done += 1;
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_late_catches_up_with_the_moments_that_were_meant() {
        let start = Instant::now();
        let mut schedule = Schedule::evenly(100.0, start);
        let late = start + Duration::from_millis(25);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.due(late)).map(|at| (at - start).as_millis()).collect();
        assert_eq!(taken, [0, 10, 20]);
        assert_eq!(schedule.next(), start + Duration::from_millis(30));
    }
}
