//! Faults on purpose, in builds for development alone: a load run has to notice them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config;

/// Which faults are made; none by default.
#[derive(Debug, Default)]
pub struct Faults {
    lose: OneIn,
    double: OneIn,
}

impl Faults {
    /// Those that are configured; a release refuses such a configuration.
    pub fn new(config: &config::Faults) -> Self {
        Self { lose: OneIn::new(config.lose_one_in), double: OneIn::new(config.double_edge_one_in) }
    }

    /// Whether an event is lost now and then.
    pub fn may_lose(&self) -> bool {
        cfg!(debug_assertions) && self.lose.every > 0
    }

    /// Whether this event is to be lost to one of those who listen.
    pub fn loses(&self) -> bool {
        cfg!(debug_assertions) && self.lose.hits()
    }

    /// Whether this edge is to be told twice.
    pub fn doubles(&self) -> bool {
        cfg!(debug_assertions) && self.double.hits()
    }
}

/// One in so many; none at 0.
#[derive(Debug, Default)]
struct OneIn {
    every: u64,
    seen: AtomicU64,
}

impl OneIn {
    fn new(every: u64) -> Self {
        Self { every, seen: AtomicU64::new(0) }
    }

    fn hits(&self) -> bool {
        self.every > 0 && (self.seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every)
    }
}
