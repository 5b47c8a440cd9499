//! One connection's bounded queue of outgoing frames.
//!
//! Promises that it never holds more than its bounds, in messages and in bytes, and that whoever adds never waits.
//! From half full, a presence state that a later one of the same user supersedes gives up its content but keeps its
//! place, so that offsets stay without a gap. A full queue refuses: the connection is closed as slow. It knows
//! neither sockets nor tasks.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::protocol::{Channel, frames};

/// How much a queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Frames; those that only keep a place don't count.
    pub messages: usize,
    /// Bytes of all frames.
    pub bytes: usize,
}

/// Whose state an event tells: a later one with the same key makes it pointless.
pub type StateKey = (Channel, i64);

#[derive(Debug)]
struct Item {
    frame: Utf8Bytes,
    state: Option<(StateKey, Option<u64>)>,
    /// A frame that only keeps a place doesn't count.
    counts: bool,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Frames in the order in which they leave.
#[derive(Debug)]
pub struct OutQueue {
    items: VecDeque<Item>,
    messages: usize,
    bytes: usize,
    bounds: Bounds,
}

impl OutQueue {
    /// An empty queue; it takes no memory until used.
    pub fn new(bounds: Bounds) -> Self {
        Self { items: VecDeque::new(), messages: 0, bytes: 0, bounds }
    }

    /// Adds a frame that nothing supersedes.
    pub fn push(&mut self, frame: Utf8Bytes) -> Result<(), Full> {
        self.add(Item { frame, state: None, counts: true })
    }

    /// Adds an event that tells a state, at its offset.
    pub fn push_state(&mut self, frame: Utf8Bytes, key: StateKey, off: u64) -> Result<(), Full> {
        if self.messages * 2 >= self.bounds.messages || self.bytes * 2 >= self.bounds.bytes {
            self.supersede(key);
        }
        self.add(Item { frame, state: Some((key, Some(off))), counts: true })
    }

    /// Adds a state without a place: it takes the one of an earlier such state of the same user.
    pub fn push_derived(&mut self, frame: Utf8Bytes, key: StateKey) -> Result<(), Full> {
        let earlier = self.items.iter().position(|item| item.state == Some((key, None)));
        if let Some(item) = earlier.and_then(|index| self.items.remove(index)) {
            self.messages -= 1;
            self.bytes -= item.frame.len();
        }
        self.add(Item { frame, state: Some((key, None)), counts: true })
    }

    /// Takes out at least one frame, if there is one, and more as long as they are within `bytes`.
    pub fn take(&mut self, bytes: usize) -> Vec<Utf8Bytes> {
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some(item) = self.items.pop_front_if(|item| taken.is_empty() || size + item.frame.len() <= bytes) {
            size += item.frame.len();
            self.messages -= usize::from(item.counts);
            taken.push(item.frame);
        }
        self.bytes -= size;
        if self.items.is_empty() {
            // The emptied buffer goes with its contents: an idle connection holds none.
            self.items = VecDeque::new();
        }
        taken
    }

    /// Frames that wait, and their bytes.
    pub fn len(&self) -> (usize, usize) {
        (self.items.len(), self.bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn add(&mut self, item: Item) -> Result<(), Full> {
        let bytes = self.bytes + item.frame.len();
        if self.messages >= self.bounds.messages || bytes > self.bounds.bytes {
            return Err(Full);
        }
        self.messages += 1;
        self.bytes = bytes;
        self.items.push_back(item);
        Ok(())
    }

    fn supersede(&mut self, key: StateKey) {
        for item in &mut self.items {
            if let Some((_, Some(off))) = item.state.take_if(|(state, off)| *state == key && off.is_some()) {
                let placeholder = frames::superseded(key.0, off);
                self.messages -= 1;
                item.counts = false;
                self.bytes = self.bytes + placeholder.len() - item.frame.len();
                item.frame = placeholder;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::RoomId;

    use super::*;

    const ROOM: Channel = Channel::Room(RoomId(1));

    fn queue(messages: usize, bytes: usize) -> OutQueue {
        OutQueue::new(Bounds { messages, bytes })
    }

    #[test]
    fn frames_leave_in_order() {
        let mut queue = queue(8, 1000);
        queue.push("a".into()).unwrap();
        queue.push("b".into()).unwrap();
        queue.push("c".into()).unwrap();
        assert_eq!(queue.take(2), ["a", "b"]);
        assert_eq!(queue.len(), (1, 1));
        assert_eq!(queue.take(0), ["c"], "one always goes");
        assert!(queue.is_empty());
        assert_eq!(queue.len(), (0, 0));
    }

    #[test]
    fn a_full_queue_refuses_by_messages_and_by_bytes() {
        let mut by_messages = queue(2, 1000);
        by_messages.push("a".into()).unwrap();
        by_messages.push("b".into()).unwrap();
        assert_eq!(by_messages.push("c".into()), Err(Full));
        let mut by_bytes = queue(100, 5);
        by_bytes.push("abc".into()).unwrap();
        assert_eq!(by_bytes.push("def".into()), Err(Full));
        by_bytes.push("de".into()).unwrap();
    }

    #[test]
    fn from_half_full_a_superseded_state_keeps_only_its_place() {
        let mut queue = queue(4, 10_000);
        let long = "x".repeat(200);
        queue.push_state(long.as_str().into(), (ROOM, 7), 1).unwrap();
        queue.push_state(long.as_str().into(), (ROOM, 8), 2).unwrap();
        for off in 3..50 {
            queue.push_state(long.as_str().into(), (ROOM, 7), off).unwrap();
        }
        let frames = queue.take(usize::MAX);
        assert_eq!(frames.len(), 49, "every offset has a frame");
        assert_eq!(frames[0].as_str(), r#"{"ch":"room:1","off":1,"ev":"superseded"}"#);
        assert_eq!(frames[1].as_str(), long, "another user's state stands");
        assert_eq!(frames[48].as_str(), long, "the last state stands");
    }
}
