//! One connection's bounded queue of outgoing frames.
//!
//! Promises that it never holds more of what others say than its bounds, in messages and in bytes, and that whoever
//! adds never waits. From half full, a presence state that a later one of the same user supersedes gives up its content
//! but keeps its place, so that offsets stay without a gap. A full queue refuses: the connection is closed as slow. What
//! the connection itself has to say, answers and pictures, is not refused: it asks for nothing more while that waits.
//! A frame that is torn apart by a full socket is finished before anything else leaves. It knows neither sockets nor
//! tasks.

use std::collections::VecDeque;

use bytes::Bytes;

use super::protocol::{Channel, Frame, frames};

/// How much a queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Frames; those that only keep a place or are the connection's own don't count.
    pub messages: usize,
    /// Bytes of all frames.
    pub bytes: usize,
}

/// Whose state an event tells: a later one with the same key makes it pointless.
pub type StateKey = (Channel, i64);

#[derive(Debug)]
struct Item {
    frame: Frame,
    state: Option<(StateKey, Option<u64>)>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It counts.
    Said,
    /// Only keeps a place.
    Placeholder,
    /// The connection's own.
    Own,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Frames in the order in which they leave.
#[derive(Debug)]
pub struct OutQueue {
    items: VecDeque<Item>,
    /// What is left of a frame that has begun to leave.
    torn: Bytes,
    messages: usize,
    own: usize,
    bytes: usize,
    bounds: Bounds,
}

impl OutQueue {
    /// An empty queue; it takes no memory until used.
    pub fn new(bounds: Bounds) -> Self {
        Self { items: VecDeque::new(), torn: Bytes::new(), messages: 0, own: 0, bytes: 0, bounds }
    }

    /// Adds a frame that nothing supersedes.
    pub fn push(&mut self, frame: Frame) -> Result<(), Full> {
        self.add(frame, None)
    }

    /// Adds an event that tells a state, at its offset.
    pub fn push_state(&mut self, frame: Frame, key: StateKey, off: u64) -> Result<(), Full> {
        if self.is_half_full() {
            self.supersede(key);
        }
        self.add(frame, Some((key, Some(off))))
    }

    /// Adds a state without a place: it takes the one of an earlier such state of the same user.
    pub fn push_derived(&mut self, frame: Frame, key: StateKey) -> Result<(), Full> {
        let earlier = self.items.iter().position(|item| item.state == Some((key, None)));
        if let Some(item) = earlier.and_then(|index| self.items.remove(index)) {
            self.messages -= 1;
            self.bytes -= item.frame.len();
        }
        self.add(frame, Some((key, None)))
    }

    /// Adds what the connection itself has to say.
    pub fn push_own(&mut self, frame: Frame) {
        self.own += 1;
        self.items.push_back(Item { frame, state: None, kind: Kind::Own });
    }

    /// What leaves next: at least one frame, if there is one, and more as long as they are within `bytes`. They are put
    /// together in `buffer`.
    pub fn next<'a>(&'a self, buffer: &'a mut Vec<u8>, bytes: usize) -> &'a [u8] {
        let frames = self.items.iter().map(|item| item.frame.whole());
        let mut parts = Some(&self.torn).filter(|torn| !torn.is_empty()).into_iter().chain(frames).peekable();
        // What is large is not copied time and again while it leaves in pieces.
        if let Some(large) = parts.next_if(|part| part.len() >= bytes) {
            return large;
        }
        buffer.clear();
        while let Some(part) = parts.next_if(|part| buffer.is_empty() || buffer.len() + part.len() <= bytes) {
            buffer.extend_from_slice(part);
        }
        buffer
    }

    /// So many bytes of what [`OutQueue::next`] showed have left.
    pub fn left(&mut self, mut bytes: usize) {
        let torn = bytes.min(self.torn.len());
        drop(self.torn.split_to(torn));
        bytes -= torn;
        while bytes > 0 {
            let Some(item) = self.pop() else { break };
            let frame = item.frame.whole();
            if bytes < frame.len() {
                self.torn = frame.slice(bytes..);
                break;
            }
            bytes -= frame.len();
        }
        if self.items.is_empty() {
            // The emptied buffer goes with its contents: an idle connection holds none.
            self.items = VecDeque::new();
        }
    }

    /// What is left of a frame that has begun to leave.
    pub fn torn(&self) -> &Bytes {
        &self.torn
    }

    /// Takes out at least one frame, if there is one, and more as long as they are within `bytes`.
    pub fn take(&mut self, bytes: usize) -> Vec<Frame> {
        let mut taken = Vec::new();
        let mut size = 0;
        while self.items.front().is_some_and(|item| taken.is_empty() || size + item.frame.len() <= bytes) {
            let Some(item) = self.pop() else { break };
            size += item.frame.len();
            taken.push(item.frame);
        }
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        taken
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        match item.kind {
            Kind::Own => self.own -= 1,
            Kind::Said => {
                self.messages -= 1;
                self.bytes -= item.frame.len();
            }
            Kind::Placeholder => self.bytes -= item.frame.len(),
        }
        Some(item)
    }

    /// How much it may hold.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Frames that wait, and their bytes.
    pub fn len(&self) -> (usize, usize) {
        (self.items.len(), self.bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.torn.is_empty()
    }

    /// Whether something waits that the connection itself has to say.
    pub fn has_own(&self) -> bool {
        self.own > 0
    }

    /// Whether states begin to be superseded.
    pub fn is_half_full(&self) -> bool {
        self.messages * 2 >= self.bounds.messages || self.bytes * 2 >= self.bounds.bytes
    }

    fn add(&mut self, frame: Frame, state: Option<(StateKey, Option<u64>)>) -> Result<(), Full> {
        let bytes = self.bytes + frame.len();
        if self.messages >= self.bounds.messages || bytes > self.bounds.bytes {
            return Err(Full);
        }
        self.messages += 1;
        self.bytes = bytes;
        self.items.push_back(Item { frame, state, kind: Kind::Said });
        Ok(())
    }

    fn supersede(&mut self, key: StateKey) {
        for item in &mut self.items {
            if let Some((_, Some(off))) = item.state.take_if(|(state, off)| *state == key && off.is_some()) {
                let placeholder = frames::superseded(key.0, off);
                self.messages -= 1;
                item.kind = Kind::Placeholder;
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

    fn take(queue: &mut OutQueue, bytes: usize) -> Vec<String> {
        queue.take(bytes).iter().map(Frame::to_string).collect()
    }

    #[test]
    fn frames_leave_in_order() {
        let mut queue = queue(8, 1000);
        queue.push("a".into()).unwrap();
        queue.push("b".into()).unwrap();
        queue.push("c".into()).unwrap();
        assert_eq!(take(&mut queue, 2), ["a", "b"]);
        assert_eq!(queue.len(), (1, 1));
        assert_eq!(take(&mut queue, 0), ["c"], "one always goes");
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
    fn a_torn_frame_is_finished_first_and_only_whole_ones_are_given_up() {
        let mut queue = queue(8, 1000);
        for text in ["abc", "def"] {
            queue.push(text.into()).unwrap();
        }
        let shown = |queue: &OutQueue, bytes| queue.next(&mut Vec::new(), bytes).to_vec();
        assert_eq!(shown(&queue, 0), b"\x81\x03abc", "one always goes");
        assert_eq!(shown(&queue, 10), b"\x81\x03abc\x81\x03def");
        queue.left(8);
        assert_eq!((queue.torn().as_ref(), queue.len()), (b"ef".as_slice(), (0, 0)), "what has begun can't be refused");
        queue.push("g".into()).unwrap();
        assert_eq!(shown(&queue, 10), b"ef\x81\x01g");
        queue.left(1);
        assert_eq!((queue.torn().as_ref(), queue.len()), (b"f".as_slice(), (1, 1)));
        queue.left(4);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_the_connection_itself_says_is_never_refused_and_stays_in_its_place() {
        let mut queue = queue(1, 3);
        queue.push("abc".into()).unwrap();
        queue.push_own("long and own".into());
        assert_eq!(queue.push("d".into()), Err(Full));
        assert!(queue.has_own());
        assert_eq!(take(&mut queue, usize::MAX), ["abc", "long and own"]);
        assert!(!queue.has_own());
        queue.push("d".into()).unwrap();
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
