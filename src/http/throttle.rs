//! How often one caller may try.
//!
//! Promises bounded memory and an answer that says when to come back. A window is counted from its first try. Where there
//! are several instances, they count together; while they can't, each counts by itself.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
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

/// Where all instances count together. `who` names a window; a wait that is answered refuses the try. A failure is one of
/// the counting, and says nothing about the try.
#[async_trait]
pub trait Shared: Send + Sync + std::fmt::Debug {
    /// See [`Throttle::count`].
    async fn count(&self, who: &str, rate: Rate) -> Result<Option<Duration>>;
    /// See [`Throttle::attempt`].
    async fn attempt(&self, who: &str, free: u32, longest: Duration) -> Result<Option<Duration>>;
    /// See [`Throttle::forgive`].
    async fn forgive(&self, who: &str) -> Result<()>;
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
    shared: Option<Box<dyn Shared>>,
}

impl Throttle {
    /// Nobody has tried yet.
    pub fn new(clock: Clock, exempt_loopback: bool, shared: Option<Box<dyn Shared>>) -> Self {
        Self(Arc::new(Inner { clock, exempt_loopback, windows: DashMap::new(), calls: AtomicUsize::new(0), shared }))
    }

    /// Whether `peer` is never throttled.
    pub fn exempts(&self, peer: IpAddr) -> bool {
        self.0.exempt_loopback && peer.is_loopback()
    }

    /// Counts a try of `who` at `what`, and refuses it beyond `rate`.
    pub async fn count(&self, peer: IpAddr, what: &'static str, who: impl ToString, rate: Rate) -> Result<()> {
        if self.exempts(peer) {
            return Ok(());
        }
        let who = who.to_string();
        if let Some(shared) = &self.0.shared {
            match shared.count(&window(what, &who), rate).await {
                Ok(wait) => return refused(wait),
                Err(error) => tracing::debug!(%error, "tries are counted here alone"),
            }
        }
        self.sweep();
        let now = self.0.clock.now();
        let fresh = || Window { tries: 0, until: clock::after(now, rate.window) };
        let mut window = self.0.windows.entry((what, who)).or_insert_with(fresh);
        if window.until <= now {
            *window = fresh();
        }
        if window.tries >= rate.tries {
            return refused(Some(clock::until(now, window.until)));
        }
        window.tries += 1;
        Ok(())
    }

    /// Counts a try of `who` that may fail, and refuses it while the delay after earlier ones lasts: after `free` tries
    /// the next waits 1 s, then 2 s, 4 s … 15 min, and never for good. Whoever succeeds is forgiven.
    pub async fn attempt(&self, peer: IpAddr, what: &'static str, who: impl ToString, free: u32) -> Result<()> {
        if self.exempts(peer) {
            return Ok(());
        }
        let who = who.to_string();
        if let Some(shared) = &self.0.shared {
            match shared.attempt(&window(what, &who), free, LONGEST_DELAY).await {
                Ok(wait) => return refused(wait),
                Err(error) => tracing::debug!(%error, "attempts are counted here alone"),
            }
        }
        self.sweep();
        let now = self.0.clock.now();
        let mut window = self.0.windows.entry((what, who)).or_insert(Window { tries: 0, until: now });
        if window.until > now {
            return refused(Some(clock::until(now, window.until)));
        }
        window.tries = window.tries.saturating_add(1);
        if let Some(doublings) = window.tries.checked_sub(free.saturating_add(1)) {
            let delay = Duration::from_secs(1 << doublings.min(16)).min(LONGEST_DELAY);
            window.until = clock::after(now, delay);
        }
        Ok(())
    }

    /// Takes back what was counted: it went well.
    pub async fn forgive(&self, what: &'static str, who: impl ToString) {
        let who = who.to_string();
        if let Some(shared) = &self.0.shared
            && let Err(error) = shared.forgive(&window(what, &who)).await
        {
            tracing::debug!(%error, "tries are forgiven here alone");
        }
        self.0.windows.remove(&(what, who));
    }

    fn sweep(&self) {
        if self.0.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP) {
            // A delay is remembered a while after it is over, or waiting it out would reset the doubling.
            let oldest = Millis(self.0.clock.now().0 - clock::millis(LONGEST_DELAY));
            self.0.windows.retain(|_, window| window.until > oldest);
        }
    }
}

fn refused(wait: Option<Duration>) -> Result<()> {
    wait.map_or(Ok(()), |wait| Err(Error::retry(ErrorCode::TooManyRequests, wait)))
}

/// A window's name among all instances: whose it is can't be read from it.
fn window(what: &str, who: &str) -> String {
    let digest = digest(&SHA256, who.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{what}:{hex}")
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

    #[tokio::test]
    async fn a_window_is_counted_from_its_first_try() {
        let clock = Clock::default();
        let throttle = Throttle::new(clock.clone(), true, None);
        let rate: Rate = "2/60".parse().unwrap();
        throttle.count(ELSEWHERE, "find", "a", rate).await.unwrap();
        throttle.count(ELSEWHERE, "find", "a", rate).await.unwrap();
        let error = throttle.count(ELSEWHERE, "find", "a", rate).await.unwrap_err();
        assert!(wait_of(&error) >= 58);
        throttle.count(ELSEWHERE, "find", "b", rate).await.unwrap();
        throttle.count(LOOPBACK, "find", "a", rate).await.unwrap();
        clock.advance(Duration::from_secs(61));
        throttle.count(ELSEWHERE, "find", "a", rate).await.unwrap();
    }

    #[tokio::test]
    async fn the_delay_doubles_and_is_never_for_good() {
        let clock = Clock::default();
        let throttle = Throttle::new(clock.clone(), false, None);
        let attempt = async || throttle.attempt(LOOPBACK, "login", "a", 3).await;
        for _ in 0..3 {
            attempt().await.unwrap();
        }
        for expected in [1, 2, 4, 8] {
            attempt().await.unwrap();
            let wait = wait_of(&attempt().await.unwrap_err());
            assert!(wait + 1 >= expected && wait <= expected, "{wait} for {expected}");
            clock.advance(Duration::from_secs(expected));
        }
        for _ in 0..40 {
            attempt().await.unwrap();
            assert!(wait_of(&attempt().await.unwrap_err()) <= 900);
            clock.advance(Duration::from_secs(900));
        }
        attempt().await.unwrap();
        attempt().await.unwrap_err();
        throttle.forgive("login", "a").await;
        attempt().await.unwrap();
    }
}
