//! How many sockets this instance holds, altogether and from one address.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;

use crate::telemetry::process::descriptor_limit;

/// Descriptors kept for everything that is no socket of a client.
const RESERVED: usize = 256;

/// The counts, cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    cap: usize,
    cap_per_address: usize,
    all: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
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
        Self(Arc::new(Counts { cap, cap_per_address, all: AtomicUsize::new(0), by_address: DashMap::new() }))
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
}
