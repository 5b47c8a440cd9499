//! How long a connection's last heartbeat took, in the room of one number.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// In microseconds and one more; 0 before the first.
#[derive(Debug, Default)]
pub struct RoundTrip(AtomicU32);

impl RoundTrip {
    /// A heartbeat was answered.
    pub fn note(&self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX - 1);
        self.0.store(micros.saturating_add(1), Ordering::Relaxed);
    }

    /// How long the last one took.
    pub fn last(&self) -> Option<Duration> {
        let noted = self.0.load(Ordering::Relaxed);
        noted.checked_sub(1).map(|micros| Duration::from_micros(micros.into()))
    }
}
