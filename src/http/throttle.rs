//! How often one caller may try.
//!
//! Promises bounded memory and an answer that says when to come back. A window is counted from its first try.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use entity::Millis;

use crate::{
    clock::{self, Clock},
    config::Rate,
    error::{Error, ErrorCode, Result},
};

/// After so many tries of anybody, windows that are over are forgotten.
const SWEEP: usize = 4096;

/// The delay after failed tries doubles up to this.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
struct Window {
    tries: u32,
    until: Millis,
}

/// All windows of this instance, cheap to clone.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    exempt_loopback: bool,
    windows: DashMap<(&'static str, String), Window>,
    calls: AtomicUsize,
}

impl Throttle {
    /// Nobody has tried yet.
    pub fn new(clock: Clock, exempt_loopback: bool) -> Self {
        Self(Arc::new(Inner { clock, exempt_loopback, windows: DashMap::new(), calls: AtomicUsize::new(0) }))
    }

    /// Whether `peer` is never throttled.
    pub fn exempts(&self, peer: IpAddr) -> bool {
        self.0.exempt_loopback && peer.is_loopback()
    }

    /// Counts a try of `who` at `what`, and refuses it beyond `rate`.
    pub fn count(&self, peer: IpAddr, what: &'static str, who: impl ToString, rate: Rate) -> Result<()> {
        if self.exempts(peer) {
            return Ok(());
        }
        self.sweep();
        let now = self.0.clock.now();
        let fresh = || Window { tries: 0, until: clock::after(now, rate.window) };
        let mut window = self.0.windows.entry((what, who.to_string())).or_insert_with(fresh);
        if window.until <= now {
            *window = fresh();
        }
        if window.tries >= rate.tries {
            return Err(Error::retry(ErrorCode::TooManyRequests, clock::until(now, window.until)));
        }
        window.tries += 1;
        Ok(())
    }

    /// Takes back what [`Throttle::count`] counted or [`Throttle::failed`] delayed: it went well.
    pub fn forgive(&self, what: &'static str, who: impl ToString) {
        self.0.windows.remove(&(what, who.to_string()));
    }

    /// Refuses while the delay after failed tries lasts. The tries are counted by [`Throttle::failed`].
    pub fn delayed(&self, peer: IpAddr, what: &'static str, who: impl ToString) -> Result<()> {
        let now = self.0.clock.now();
        match self.0.windows.get(&(what, who.to_string())) {
            Some(window) if window.until > now && !self.exempts(peer) => {
                Err(Error::retry(ErrorCode::TooManyRequests, clock::until(now, window.until)))
            }
            _ => Ok(()),
        }
    }

    /// A try of `who` failed: after `free` tries the next waits 1 s, then 2 s, 4 s … 15 min, and never for good.
    pub fn failed(&self, peer: IpAddr, what: &'static str, who: impl ToString, free: u32) {
        if self.exempts(peer) {
            return;
        }
        self.sweep();
        let now = self.0.clock.now();
        let mut window = self.0.windows.entry((what, who.to_string())).or_insert(Window { tries: 0, until: now });
        window.tries = window.tries.saturating_add(1);
        if let Some(doublings) = window.tries.checked_sub(free.saturating_add(1)) {
            let delay = Duration::from_secs(1 << doublings.min(16)).min(LONGEST_DELAY);
            window.until = clock::after(now, delay);
        }
    }

    fn sweep(&self) {
        if self.0.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP) {
            // A delay is remembered a while after it is over, or waiting it out would reset the doubling.
            let oldest = Millis(self.0.clock.now().0 - clock::millis(LONGEST_DELAY));
            self.0.windows.retain(|_, window| window.until > oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn wait_of(error: &Error) -> u64 {
        let Error::Refused(refusal) = error else { panic!() };
        assert_eq!(refusal.code, ErrorCode::TooManyRequests);
        refusal.retry_after.unwrap().as_secs()
    }

    #[test]
    fn a_window_is_counted_from_its_first_try() {
        let clock = Clock::default();
        let throttle = Throttle::new(clock.clone(), true);
        let rate: Rate = "2/60".parse().unwrap();
        throttle.count(ELSEWHERE, "find", "a", rate).unwrap();
        throttle.count(ELSEWHERE, "find", "a", rate).unwrap();
        let error = throttle.count(ELSEWHERE, "find", "a", rate).unwrap_err();
        assert!(wait_of(&error) >= 58);
        throttle.count(ELSEWHERE, "find", "b", rate).unwrap();
        throttle.count(LOOPBACK, "find", "a", rate).unwrap();
        clock.advance(Duration::from_secs(61));
        throttle.count(ELSEWHERE, "find", "a", rate).unwrap();
    }

    #[test]
    fn the_delay_doubles_and_is_never_for_good() {
        let clock = Clock::default();
        let throttle = Throttle::new(clock.clone(), false);
        for _ in 0..3 {
            throttle.failed(LOOPBACK, "login", "a", 3);
            throttle.delayed(LOOPBACK, "login", "a").unwrap();
        }
        for expected in [1, 2, 4, 8] {
            throttle.failed(LOOPBACK, "login", "a", 3);
            let wait = wait_of(&throttle.delayed(LOOPBACK, "login", "a").unwrap_err());
            assert!(wait + 1 >= expected && wait <= expected, "{wait} for {expected}");
            clock.advance(Duration::from_secs(expected));
            throttle.delayed(LOOPBACK, "login", "a").unwrap();
        }
        for _ in 0..40 {
            throttle.failed(LOOPBACK, "login", "a", 3);
        }
        assert!(wait_of(&throttle.delayed(LOOPBACK, "login", "a").unwrap_err()) <= 900);
        throttle.forgive("login", "a");
        throttle.delayed(LOOPBACK, "login", "a").unwrap();
    }
}
