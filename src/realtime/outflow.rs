//! What leaves one connection: its queue, and the wire that the queue empties into.
//!
//! Promises that what leaves keeps its order whoever flushes, and that the queue fills only with what the wire does not
//! take. It never waits: whoever finds the wire full goes away, and the connection's task goes on.

use std::{fmt::Debug, io, sync::Arc, time::Instant};

use bytes::Bytes;
use entity::{AccountId, RoomId};

use super::{
    broker::Delivery,
    outqueue::{Bounds, Full, Gathered, OutQueue},
    protocol::{Channel, CloseReason, Frame},
    shown::Shown,
};

/// Bytes that are handed to a wire at once; the rest stays in the queue, where it can be superseded.
const CHUNK: usize = 16 * 1024;

/// Where frames leave to.
pub trait Wire: Send + Sync + Debug {
    /// Takes as many bytes as it can at once; `WouldBlock` if none.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// See the module. An error is the reason to end the connection.
#[derive(Debug)]
pub struct Outflow {
    queue: OutQueue,
    wire: Option<Arc<dyn Wire>>,
    /// Since when the wire takes nothing.
    stuck: Option<Instant>,
    /// Somebody is about to flush.
    listed: bool,
    /// Where the client takes itself to sit.
    pub shown: Shown,
}

impl Outflow {
    /// Nothing leaves yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { queue: OutQueue::new(bounds), wire: None, stuck: None, listed: false, shown: Shown::default() }
    }

    /// What is queued leaves through `wire` from now on.
    pub fn attach(&mut self, wire: Arc<dyn Wire>) {
        self.wire = Some(wire);
    }

    /// Nothing leaves any more. What waits is written if it fits; of what doesn't, the rest of a torn frame is answered.
    pub fn detach(&mut self) -> Bytes {
        // Whether the peer is still there is found out by whoever says goodbye.
        let _ = self.flush(&mut Vec::new());
        self.wire = None;
        let torn = self.queue.torn().clone();
        self.queue = OutQueue::new(self.queue.bounds());
        torn
    }

    /// Adds an event.
    pub fn tell(&mut self, delivery: &Delivery) -> Result<(), CloseReason> {
        self.make_room()?;
        if delivery.routing.follow {
            self.shown = self.shown.moved(delivery.routing.seat.map(RoomId));
        }
        self.queue.push(delivery).map_err(|Full| CloseReason::Slow)
    }

    /// Adds events that were put together; a move is never among them.
    pub fn tell_gathered(&mut self, gathered: &Arc<Gathered>) -> Result<(), CloseReason> {
        if self.flows() && self.queue.push_gathered(gathered) {
            return Ok(());
        }
        gathered.deliveries().iter().try_for_each(|delivery| self.tell(delivery))
    }

    /// Adds a derived state of `user`.
    pub fn tell_derived(&mut self, channel: Channel, user: AccountId, frame: Frame) -> Result<(), CloseReason> {
        self.make_room()?;
        self.queue.push_derived(frame, (channel, user.0)).map_err(|Full| CloseReason::Slow)
    }

    /// Adds what the connection itself has to say.
    pub fn say(&mut self, frame: Frame) {
        self.queue.push_own(frame);
    }

    /// A queue is for what the wire doesn't take, not for what nobody has come round to write.
    fn make_room(&mut self) -> Result<(), CloseReason> {
        if self.stuck.is_none() && self.queue.is_half_full() { self.flush(&mut Vec::new()) } else { Ok(()) }
    }

    /// Writes what waits, as far as the wire takes it. `buffer` is for its use.
    pub fn flush(&mut self, buffer: &mut Vec<u8>) -> Result<(), CloseReason> {
        self.listed = false;
        let Some(wire) = &self.wire else { return Ok(()) };
        while !self.queue.is_empty() {
            match wire.try_write(self.queue.next(buffer, CHUNK)) {
                Ok(written) if written > 0 => {
                    self.queue.left(written);
                    self.stuck = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck.get_or_insert_with(Instant::now);
                    break;
                }
                // The peer is gone; whoever reads would notice too.
                _ => return Err(CloseReason::Normal),
            }
        }
        Ok(())
    }

    /// Whether the wire takes what is written, as far as is known.
    pub fn flows(&self) -> bool {
        self.wire.is_some() && self.stuck.is_none()
    }

    /// Since when the wire takes nothing.
    pub fn stuck(&self) -> Option<Instant> {
        self.stuck
    }

    /// Whether something waits that nobody is about to write. Whoever asks is.
    pub fn list(&mut self) -> bool {
        let lists = self.flows() && self.waits();
        self.listed |= lists;
        lists
    }

    /// Whether something waits that nobody is about to write.
    pub fn waits(&self) -> bool {
        !self.listed && !self.queue.is_empty()
    }

    /// What waits.
    pub fn queue(&mut self) -> &mut OutQueue {
        &mut self.queue
    }
}
