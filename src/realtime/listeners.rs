//! Who listens to one channel, and how they are handed what is said there.
//!
//! Promises that everyone is handed everything in the same order, put together where several things were said in one
//! turn, and that a connection's answers follow what was said before them. It says who is to be written to, and writes
//! nothing.

use std::sync::Arc;

use super::{broker::Delivery, faults::Faults, outlet::Outlet, outqueue::Gathered, protocol::Frame};

/// Who listens to a channel, and what they are still to be handed.
#[derive(Debug)]
pub(super) struct Listeners {
    /// In the order in which they began.
    pub(super) outlets: Vec<Arc<Outlet>>,
    /// What was said in a room since the last turn ended.
    pub(super) gathered: Option<Box<Turn>>,
}

/// What was said in a room within one turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) deliveries: Vec<Arc<Delivery>>,
    /// What connections have answered since; it follows.
    pub(super) answers: Vec<(Arc<Outlet>, Vec<Frame>)>,
}

impl Listeners {
    /// Nobody yet: most channels have one, their user's only device.
    pub(super) fn new() -> Self {
        Self { outlets: Vec::with_capacity(1), gathered: None }
    }

    /// Hands on what is gathered. Answers those who are to be flushed.
    pub(super) fn settle(&self, turn: Turn, faults: &Faults) -> Vec<Arc<Outlet>> {
        let mut unwritten: Vec<_> = match turn.deliveries.as_slice() {
            [_, _, ..] if !faults.may_lose() => {
                let gathered = Arc::new(Gathered::new(turn.deliveries));
                self.outlets.iter().filter(|outlet| outlet.deliver_gathered(&gathered)).cloned().collect()
            }
            some => self.hand(some, faults),
        };
        for (outlet, frames) in turn.answers {
            if outlet.say(frames) {
                unwritten.push(outlet);
            }
        }
        unwritten
    }

    /// Hands on events one by one. Answers those who are to be flushed.
    pub(super) fn hand(&self, deliveries: &[Arc<Delivery>], faults: &Faults) -> Vec<Arc<Outlet>> {
        let hand = |outlet: &&Arc<Outlet>| {
            let unwritten = deliveries.iter().filter(|delivery| !faults.loses() && outlet.deliver(delivery));
            unwritten.count() > 0
        };
        self.outlets.iter().filter(hand).cloned().collect()
    }
}
