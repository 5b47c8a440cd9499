//! One connection's gates: what a channel says is held back while the state that it follows is read.
//!
//! Promises that what passes an opened gate follows that state without a gap and without a part of it, in order, and that
//! nothing passes behind the user's own departure. It decides nothing else and writes nothing.

use std::sync::Arc;

use entity::AccountId;

use super::{
    broker::Delivery,
    protocol::{Channel, Frame, Place},
};

/// Deliveries that may wait at a closed gate. Reading a snapshot takes milliseconds; a channel that says more than
/// this meanwhile is read again.
const MOST: usize = 1024;

#[derive(Debug)]
struct Gate {
    channel: Channel,
    held: Vec<Arc<Delivery>>,
    /// Derived states, the last of each user; they follow what is held.
    derived: Vec<(AccountId, Frame)>,
    /// Something is missing: what is being read is not enough.
    stale: bool,
    /// The state is to be read, and nobody does yet.
    unread: bool,
}

impl Gate {
    fn new(channel: Channel) -> Self {
        Self { channel, held: Vec::new(), derived: Vec::new(), stale: false, unread: false }
    }
}

/// The closed ones; all others are open.
#[derive(Debug, Default)]
pub struct Gates(Vec<Gate>);

/// So much came while the gate was closed that it was not kept: read the state again.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// What follows the state.
#[derive(Debug)]
pub struct Opened {
    /// Events in order.
    pub follow: Vec<Arc<Delivery>>,
    /// Derived states.
    pub derived: Vec<(AccountId, Frame)>,
    /// The user departed since the state was read: what came after that is left out, and the gate is closed again.
    pub departed: bool,
}

impl Gates {
    fn of(&mut self, channel: Channel) -> Option<&mut Gate> {
        self.0.iter_mut().find(|gate| gate.channel == channel)
    }

    /// Closes a gate; a closed one keeps what it holds.
    pub fn close(&mut self, channel: Channel) {
        if !self.is_closed(channel) {
            self.0.push(Gate::new(channel));
        }
    }

    /// Closes a gate because something is missing: its state is to be read. What a closed one holds is given up, and
    /// whoever closed it finds that what was read is not enough.
    pub fn close_stale(&mut self, channel: Channel) {
        if let Some(gate) = self.of(channel) {
            gate.held.clear();
            gate.stale = true;
        } else {
            self.close(channel);
            self.read_again(channel);
        }
    }

    /// The state behind a closed gate could not be read, and still is to be.
    pub fn read_again(&mut self, channel: Channel) {
        if let Some(gate) = self.of(channel) {
            gate.unread = true;
        }
    }

    /// Whether the state behind some gate is to be read.
    pub fn has_unread(&self) -> bool {
        self.0.iter().any(|gate| gate.unread)
    }

    /// The channels whose state is to be read; whoever asks does it.
    pub fn take_unread(&mut self) -> Vec<Channel> {
        let take = |gate: &mut Gate| std::mem::take(&mut gate.unread).then_some(gate.channel);
        self.0.iter_mut().filter_map(take).collect()
    }

    /// Whether the gate is closed.
    pub fn is_closed(&self, channel: Channel) -> bool {
        self.0.iter().any(|gate| gate.channel == channel)
    }

    /// Holds an event back, if its gate is closed.
    pub fn hold_back(&mut self, delivery: &Arc<Delivery>) -> bool {
        let Some(gate) = self.of(delivery.channel) else { return false };
        // One more than fits says that something is missing.
        if gate.held.len() <= MOST {
            gate.held.push(Arc::clone(delivery));
        }
        true
    }

    /// Holds events of a closed gate's channel back.
    pub fn hold_back_all(&mut self, deliveries: &[Arc<Delivery>]) {
        for delivery in deliveries {
            self.hold_back(delivery);
        }
    }

    /// Holds a derived state of `user` back, if its gate is closed.
    pub fn hold_back_derived(&mut self, channel: Channel, user: AccountId, frame: &Frame) -> bool {
        let Some(gate) = self.of(channel) else { return false };
        gate.derived.retain(|(other, _)| *other != user);
        gate.derived.push((user, frame.clone()));
        true
    }

    /// Opens the gate of `account`'s connection: what stands behind `place` follows. Nothing, if it was not closed; a gate
    /// that held too much stays closed, emptied.
    pub fn open(&mut self, channel: Channel, place: &Place, account: AccountId) -> Option<Result<Opened, Overflow>> {
        let index = self.0.iter().position(|gate| gate.channel == channel)?;
        let mut gate = self.0.swap_remove(index);
        // All are open almost always, and in every idle connection.
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        let stale = std::mem::take(&mut gate.stale);
        if stale || gate.held.len() > MOST || gate.held.iter().any(|delivery| delivery.place.epoch != place.epoch) {
            gate.held.clear();
            self.0.push(gate);
            return Some(Err(Overflow));
        }
        gate.held.retain(|delivery| delivery.place.off > place.off);
        let departure = gate.held.iter().position(|delivery| delivery.routing.detach == Some(account.0));
        if let Some(departure) = departure {
            gate.held.truncate(departure);
            self.close(channel);
        }
        Some(Ok(Opened { follow: gate.held, derived: gate.derived, departed: departure.is_some() }))
    }

    /// The offsets of the user's moves that a closed gate holds.
    pub fn moves(&self, channel: Channel) -> Vec<u64> {
        let held = self.0.iter().filter(|gate| gate.channel == channel).flat_map(|gate| &gate.held);
        held.filter(|delivery| delivery.routing.follow).map(|delivery| delivery.place.off).collect()
    }

    /// Forgets a gate with what it holds.
    pub fn forget(&mut self, channel: Channel) {
        self.0.retain(|gate| gate.channel != channel);
    }
}
