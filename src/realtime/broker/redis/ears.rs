//! Whether this instance hears what is said: it says something to itself all the time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::keys::Partition;

/// Words in a row that may stay unheard.
const PATIENCE: u32 = 4;

/// See the module. Each partition may come by another way.
#[derive(Debug)]
pub(super) struct Ears {
    unheard: Vec<AtomicU32>,
    spoke: Mutex<(u64, Instant)>,
    lag: Mutex<Duration>,
}

impl Ears {
    pub(super) fn new() -> Self {
        Self {
            unheard: Partition::all().map(|_| AtomicU32::new(0)).collect(),
            spoke: Mutex::new((0, Instant::now())),
            lag: Mutex::default(),
        }
    }

    /// What to say now.
    pub(super) fn speak(&self, number: u64) -> String {
        *self.spoke.lock().unwrap_or_else(PoisonError::into_inner) = (number, Instant::now());
        number.to_string()
    }

    /// It was said: Redis has answered.
    pub(super) fn said(&self, partition: Partition) {
        if let Some(unheard) = self.unheard.get(partition.index()) {
            unheard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It was heard.
    pub(super) fn hear(&self, partition: usize, word: &str) {
        if let Some(unheard) = self.unheard.get(partition) {
            unheard.store(0, Ordering::Relaxed);
        }
        let (number, at) = *self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        if word.parse() == Ok(number) {
            *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = at.elapsed();
        }
    }

    /// Whether what is said does not arrive.
    pub(super) fn are_deaf(&self) -> bool {
        self.unheard.iter().any(|unheard| unheard.load(Ordering::Relaxed) > PATIENCE)
    }

    /// A new way: nothing is expected from before.
    pub(super) fn begin_anew(&self) {
        for unheard in &self.unheard {
            unheard.store(0, Ordering::Relaxed);
        }
    }

    /// How long the last word was on its way.
    pub(super) fn lag(&self) -> Duration {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_hear_itself_is_deaf_after_a_while() {
        let ears = Ears::new();
        let partition = Partition::all().next().unwrap();
        for _ in 0..=PATIENCE {
            assert!(!ears.are_deaf());
            ears.speak(1);
            ears.said(partition);
        }
        assert!(ears.are_deaf());
        ears.hear(partition.index(), "1");
        assert!(!ears.are_deaf());
    }
}
