//! Who is online: a pure state machine over users, devices and instants.
//!
//! Promises one edge per user, whatever the number of devices: online with the first, offline with the last. A lost
//! connection is held for a grace; a return within it is silent, and the edge that follows otherwise carries the
//! instant of the loss. It does not sleep, send or ask for the time.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use entity::{AccountId, Millis};

use super::protocol::events::OfflineReason;
use crate::clock;

/// One connection of one user.
pub type DeviceId = u64;

/// A change that others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first device came.
    Online {
        /// When.
        since: Millis,
    },
    /// The last device went, and did not return in time.
    Offline {
        /// When it was lost.
        at: Millis,
        /// How.
        reason: OfflineReason,
    },
}

#[derive(Debug)]
struct User {
    since: Millis,
    devices: Vec<DeviceId>,
    /// In a box: most are here.
    lost: Option<Box<Lost>>,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    at: Millis,
    /// When it is told.
    due: Millis,
}

/// Everyone who is online or held.
#[derive(Debug, Default)]
pub struct Presence {
    grace: Duration,
    users: HashMap<AccountId, User>,
    /// Those without a device, by the end of their grace.
    held: BTreeSet<(Millis, AccountId)>,
}

impl Presence {
    /// Nobody is online; who is lost will be held for `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }

    /// A device has connected.
    pub fn connect(&mut self, user: AccountId, device: DeviceId, now: Millis) -> Option<Edge> {
        if let Some(known) = self.users.get_mut(&user) {
            known.devices.push(device);
            if let Some(lost) = known.lost.take() {
                self.held.remove(&(lost.due, user));
            }
            return None;
        }
        self.users.insert(user, User { since: now, devices: vec![device], lost: None });
        Some(Edge::Online { since: now })
    }

    /// A device is gone: `held` for the grace, or for good.
    pub fn disconnect(&mut self, user: AccountId, device: DeviceId, now: Millis, held: bool) -> Option<Edge> {
        let known = self.users.get_mut(&user)?;
        known.devices.retain(|other| *other != device);
        if !known.devices.is_empty() {
            return None;
        }
        let lost = **known.lost.get_or_insert_with(|| Box::new(Lost { at: now, due: clock::after(now, self.grace) }));
        if held {
            self.held.insert((lost.due, user));
            return None;
        }
        self.held.remove(&(lost.due, user));
        self.users.remove(&user);
        Some(Edge::Offline { at: lost.at, reason: OfflineReason::Logout })
    }

    /// Whoever is held and will not come back is due at once.
    pub fn give_up(&mut self, user: AccountId, now: Millis) {
        if let Some(lost) = self.users.get_mut(&user).and_then(|known| known.lost.as_mut())
            && self.held.remove(&(lost.due, user))
        {
            lost.due = lost.due.min(now);
            self.held.insert((lost.due, user));
        }
    }

    /// When the next grace ends.
    pub fn next_due(&self) -> Option<Millis> {
        self.held.first().map(|(due, _)| *due)
    }

    /// Whose grace has ended at `now`.
    pub fn due(&self, now: Millis) -> Vec<AccountId> {
        self.held.iter().take_while(|(due, _)| *due <= now).map(|(_, user)| *user).collect()
    }

    /// Lets go of `user` if the grace has ended and nobody returned meanwhile.
    pub fn expire(&mut self, user: AccountId, now: Millis) -> Option<Edge> {
        let lost = self.users.get(&user)?.lost.as_deref().copied().filter(|lost| lost.due <= now)?;
        self.held.remove(&(lost.due, user));
        self.users.remove(&user);
        Some(Edge::Offline { at: lost.at, reason: OfflineReason::Disconnected })
    }

    /// Since when `user` is online; a held user still is.
    pub fn since(&self, user: AccountId) -> Option<Millis> {
        self.users.get(&user).map(|known| known.since)
    }

    /// How many are online.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody is online.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMI: AccountId = AccountId(9);
    const GRACE: Duration = Duration::from_secs(15);

    fn lost_at(at: i64) -> Option<Edge> {
        Some(Edge::Offline { at: Millis(at), reason: OfflineReason::Disconnected })
    }

    #[test]
    fn several_devices_are_one_presence() {
        let mut presence = Presence::new(GRACE);
        assert_eq!(presence.connect(SUMI, 1, Millis(0)), Some(Edge::Online { since: Millis(0) }));
        assert_eq!(presence.connect(SUMI, 2, Millis(5)), None);
        assert_eq!(presence.disconnect(SUMI, 1, Millis(6), false), None);
        assert_eq!(
            presence.disconnect(SUMI, 2, Millis(7), false),
            Some(Edge::Offline { at: Millis(7), reason: OfflineReason::Logout })
        );
        assert!(presence.is_empty());
    }

    #[test]
    fn a_return_within_the_grace_is_silent() {
        let mut presence = Presence::new(GRACE);
        presence.connect(SUMI, 1, Millis(0));
        assert_eq!(presence.disconnect(SUMI, 1, Millis(1000), true), None);
        assert_eq!(presence.since(SUMI), Some(Millis(0)), "held is online");
        assert_eq!(presence.due(Millis(15_999)), []);
        assert_eq!(presence.connect(SUMI, 2, Millis(15_999)), None);
        assert_eq!(presence.due(Millis(99_999)), []);
        assert_eq!(presence.expire(SUMI, Millis(99_999)), None);
    }

    #[test]
    fn the_edge_carries_the_instant_of_the_loss() {
        let mut presence = Presence::new(GRACE);
        presence.connect(SUMI, 1, Millis(0));
        presence.disconnect(SUMI, 1, Millis(1000), true);
        assert_eq!(presence.due(Millis(16_000)), [SUMI]);
        assert_eq!(presence.expire(SUMI, Millis(16_000)), lost_at(1000));
        assert_eq!(presence.expire(SUMI, Millis(16_000)), None, "once");
        assert_eq!(presence.connect(SUMI, 2, Millis(17_000)), Some(Edge::Online { since: Millis(17_000) }));
    }

    #[test]
    fn signing_out_while_held_is_immediate_and_keeps_the_instant() {
        let mut presence = Presence::new(GRACE);
        presence.connect(SUMI, 1, Millis(0));
        presence.disconnect(SUMI, 1, Millis(1000), true);
        assert_eq!(
            presence.disconnect(SUMI, 1, Millis(2000), false),
            Some(Edge::Offline { at: Millis(1000), reason: OfflineReason::Logout })
        );
        assert_eq!(presence.due(Millis(99_999)), []);
    }

    #[test]
    fn whoever_will_not_come_back_is_due_at_once() {
        let mut presence = Presence::new(GRACE);
        presence.connect(SUMI, 1, Millis(0));
        presence.give_up(SUMI, Millis(500));
        assert_eq!(presence.due(Millis(99_999)), [], "a device is there");
        presence.disconnect(SUMI, 1, Millis(1000), true);
        presence.give_up(SUMI, Millis(2000));
        assert_eq!(presence.due(Millis(2000)), [SUMI]);
        assert_eq!(presence.expire(SUMI, Millis(2000)), lost_at(1000));
    }
}
