//! How many sockets this instance holds, altogether and from one address, and how many it greets at one time.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::process::descriptor_limit;

/// Descriptors kept for everything that is no socket of a client.
const RESERVED: usize = 256;

/// Connections that are greeted at one time: as many as keep the database busy, and no more. Whoever comes after them
/// waits for a turn, and not for a connection to the database that thousands ask for at once: that wait has an end, and
/// would come to it.
const GREETED: usize = 32;

/// The counts, cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    cap: usize,
    cap_per_address: usize,
    all: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
    greeting: Arc<Semaphore>,
}

/// A place that is given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    counts: Arc<Counts>,
    address: IpAddr,
}

impl Admission {
    /// At most `cap` sockets, or as many as the descriptor limit allows if that is 0.
    pub fn new(cap: usize, cap_per_address: usize) -> Self {
        let cap = if cap == 0 { descriptor_limit().saturating_sub(RESERVED) } else { cap };
        Self(Arc::new(Counts {
            cap,
            cap_per_address,
            all: AtomicUsize::new(0),
            by_address: DashMap::new(),
            greeting: Arc::new(Semaphore::new(GREETED)),
        }))
    }

    /// A place for a socket from `address`, if there is one.
    pub fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let admitted = Admitted { counts: Arc::clone(&self.0), address };
        // Counted first: whoever is one too many gives its place back by dropping it.
        let all = self.0.all.fetch_add(1, Ordering::Relaxed);
        let mut here = self.0.by_address.entry(address).or_insert(0);
        *here += 1;
        let fits = all < self.0.cap && *here <= self.0.cap_per_address;
        drop(here);
        fits.then_some(admitted)
    }

    /// A turn to be greeted, first come, first served; it ends when dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.0.greeting).acquire_owned().await.ok()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(mut here) = self.counts.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
        }
        self.counts.by_address.remove_if(&self.address, |_, here| *here == 0);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Admission::new(3, 2);
        let here = "192.0.2.1".parse().unwrap();
        let there = "192.0.2.2".parse().unwrap();
        let first = admission.admit(here).unwrap();
        let _second = admission.admit(here).unwrap();
        assert!(admission.admit(here).is_none(), "two from one address");
        let _third = admission.admit(there).unwrap();
        assert!(admission.admit("192.0.2.3".parse().unwrap()).is_none(), "three altogether");
        drop(first);
        assert!(admission.admit(here).is_some());
        assert!(descriptor_limit() > RESERVED);
    }

    #[tokio::test]
    async fn turns_are_taken_in_the_order_of_asking() {
        let admission = Admission::new(1, 1);
        let mut under_way = Vec::new();
        for _ in 0..GREETED {
            under_way.push(admission.turn().await);
        }
        let (mut first, mut second) = (pin!(admission.turn()), pin!(admission.turn()));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        under_way.pop();
        assert!(second.as_mut().now_or_never().is_none(), "whoever asked before is served before");
        assert!(first.as_mut().now_or_never().is_some());
    }
}
