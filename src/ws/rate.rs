//! How fast one socket may ask: a token bucket, and patience for two violations.

use std::time::Instant;

/// Violations after which the socket is closed.
const PATIENCE: u32 = 3;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is carried out.
    Fine,
    /// It is refused.
    TooMany,
    /// It is refused, and it was the last time.
    Enough,
}

/// The bucket of one socket.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    filled: Instant,
    violations: u32,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(burst: f64, now: Instant) -> Self {
        Self { tokens: burst, filled: now, violations: 0 }
    }

    /// Counts one message at `now`, where so many fit `per_second`, and `burst` at once.
    pub(super) fn count(&mut self, per_second: f64, burst: f64, now: Instant) -> Verdict {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * per_second).min(burst);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Verdict::Fine;
        }
        self.violations += 1;
        if self.violations < PATIENCE { Verdict::TooMany } else { Verdict::Enough }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_fine_and_the_third_violation_is_enough() {
        let start = Instant::now();
        let mut bucket = Bucket::new(20.0, start);
        let mut count = |now| bucket.count(10.0, 20.0, now);
        for _ in 0..20 {
            assert_eq!(count(start), Verdict::Fine);
        }
        assert_eq!(count(start), Verdict::TooMany);
        let later = start + Duration::from_millis(250);
        assert_eq!([count(later), count(later)], [Verdict::Fine, Verdict::Fine]);
        assert_eq!([count(later), count(later)], [Verdict::TooMany, Verdict::Enough]);
    }
}
