//! What time it is, as an argument.
//!
//! Promises one source of instants for the whole process, in milliseconds of UTC. Logic that depends on time takes
//! an instant instead of asking for one; only the tasks around it hold a [`Clock`]. Tests move a clock by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use entity::Millis;

/// The machine's wall clock, shifted by what a test asks for.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The present instant.
    pub fn now(&self) -> Millis {
        // A clock set before 1970 is no reason to stop serving.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Millis(wall.saturating_add(self.shift_ms.load(Ordering::Relaxed)))
    }

    /// Moves this clock and its clones forward.
    pub fn advance(&self, by: Duration) {
        self.shift_ms.fetch_add(millis(by), Ordering::Relaxed);
    }
}

/// `duration` in whole milliseconds.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `at` moved by `by`.
pub fn after(at: Millis, by: Duration) -> Millis {
    Millis(at.0.saturating_add(millis(by)))
}

/// `at` moved back by `by`.
pub fn before(at: Millis, by: Duration) -> Millis {
    Millis(at.0.saturating_sub(millis(by)))
}

/// How long from `from` until `to`; zero if that is past.
pub fn until(from: Millis, to: Millis) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

/// RFC 3339 in UTC with milliseconds, as every REST answer writes instants.
pub fn rfc3339(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|instant| format!("{instant:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(Millis(1_758_300_000_123)), "2025-09-19T16:40:00.123Z");
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_moved_clock_moves_its_clones() {
        let clock = Clock::default();
        let clone = clock.clone();
        let before = clone.now();
        clock.advance(Duration::from_secs(3600));
        assert!(clone.now().0 - before.0 >= 3_600_000);
    }
}
