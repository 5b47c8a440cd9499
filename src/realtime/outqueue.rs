//! One connection's bounded queue of outgoing frames.
//!
//! Promises that it never holds more of what others say than its bounds, in messages and in bytes, and that whoever
//! adds never waits. From half full, a presence state that a later one of the same user supersedes gives up its content
//! but keeps its place, so that offsets stay without a gap. A full queue refuses: the connection is closed as slow. What
//! the connection itself has to say, answers and pictures, is not refused: it asks for nothing more while that waits.
//! A frame that is torn apart by a full socket is finished before anything else leaves. It knows neither sockets nor
//! tasks.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

pub use super::outitem::Gathered;
use super::{
    broker::Delivery,
    outitem::{Item, Kind, Single, StateKey, Weight},
    protocol::{Frame, frames},
};

/// How much a queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Frames; those that only keep a place or are the connection's own don't count.
    pub messages: usize,
    /// Bytes of all frames.
    pub bytes: usize,
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
    bytes: usize,
    bounds: Bounds,
}

impl OutQueue {
    /// An empty queue; it takes no memory until used.
    pub fn new(bounds: Bounds) -> Self {
        Self { items: VecDeque::new(), torn: Bytes::new(), messages: 0, bytes: 0, bounds }
    }

    /// Adds an event. If it tells a state, it supersedes an earlier one from half full on.
    pub fn push(&mut self, delivery: &Delivery) -> Result<(), Full> {
        let single = Single::said(delivery);
        if let Some((key, _)) = single.state
            && self.is_half_full()
        {
            self.supersede(key);
        }
        self.add(single)
    }

    /// Adds events that were put together, unless one of them might have to be superseded before they leave; says whether
    /// they were added.
    pub fn push_gathered(&mut self, gathered: &Arc<Gathered>) -> bool {
        let messages = self.messages + gathered.deliveries().len();
        let bytes = self.bytes + gathered.len();
        if messages * 2 > self.bounds.messages || bytes * 2 > self.bounds.bytes {
            return false;
        }
        (self.messages, self.bytes) = (messages, bytes);
        self.items.push_back(Item::Gathered(Arc::clone(gathered)));
        true
    }

    /// Adds a state without a place: it takes the one of an earlier such state of the same user.
    pub fn push_derived(&mut self, frame: Frame, key: StateKey) -> Result<(), Full> {
        let is_earlier = |item: &Item| matches!(item, Item::One(single) if single.state == Some((key, None)));
        let earlier = self.items.iter().position(is_earlier);
        if let Some(Item::One(single)) = earlier.and_then(|index| self.items.remove(index)) {
            self.messages -= 1;
            self.bytes -= single.frame.len();
        }
        self.add(Single { frame, state: Some((key, None)), kind: Kind::Said })
    }

    /// Adds what the connection itself has to say.
    pub fn push_own(&mut self, frame: Frame) {
        self.items.push_back(Item::One(Single { frame, state: None, kind: Kind::Own }));
    }

    /// What leaves next: at least one frame, if there is one, and more as long as they are within `bytes`. They are put
    /// together in `buffer`.
    pub fn next<'a>(&'a self, buffer: &'a mut Vec<u8>, bytes: usize) -> &'a [u8] {
        let frames = self.items.iter().map(Item::whole);
        let mut parts = Some(&self.torn).filter(|torn| !torn.is_empty()).into_iter().chain(frames).peekable();
        // What is alone needs no copy; and what is large is not copied time and again while it leaves in pieces.
        let alone = self.items.len() + usize::from(!self.torn.is_empty()) == 1;
        if let Some(part) = parts.next_if(|part| alone || part.len() >= bytes) {
            return part;
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
            match self.items.front() {
                None => break,
                Some(Item::Gathered(gathered)) if bytes < gathered.whole().len() => self.unfold_first(),
                Some(item) if bytes < item.whole().len() => {
                    self.torn = item.whole().slice(bytes..);
                    self.pop();
                    break;
                }
                Some(item) => {
                    bytes -= item.whole().len();
                    self.pop();
                }
            }
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
        self.unfold();
        while let Some(Item::One(next)) = self.items.front()
            && (taken.is_empty() || size + next.frame.len() <= bytes)
        {
            size += next.frame.len();
            taken.push(next.frame.clone());
            self.pop();
        }
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        taken
    }

    /// The first item has left.
    fn pop(&mut self) {
        if let Some(item) = self.items.pop_front() {
            let Weight { messages, bytes } = item.weight();
            self.messages -= messages;
            self.bytes -= bytes;
        }
    }

    /// What was put together first is in pieces again: not all of it has left.
    fn unfold_first(&mut self) {
        let pieces = self.items.pop_front().map(Item::pieces).unwrap_or_default();
        pieces.into_iter().rev().for_each(|piece| self.items.push_front(piece));
    }

    /// The same for everything: it waits, and a part of it may have to give way.
    fn unfold(&mut self) {
        if self.items.iter().any(|item| matches!(item, Item::Gathered(_))) {
            self.items = std::mem::take(&mut self.items).into_iter().flat_map(Item::pieces).collect();
        }
    }

    /// How much it may hold.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Frames that wait, and their bytes.
    pub fn len(&self) -> (usize, usize) {
        (self.items.iter().map(Item::frames).sum(), self.bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.torn.is_empty()
    }

    /// Whether something waits that the connection itself has to say.
    pub fn has_own(&self) -> bool {
        self.items.iter().any(Item::is_own)
    }

    /// Whether states begin to be superseded.
    pub fn is_half_full(&self) -> bool {
        self.messages * 2 >= self.bounds.messages || self.bytes * 2 >= self.bounds.bytes
    }

    fn add(&mut self, single: Single) -> Result<(), Full> {
        let bytes = self.bytes + single.frame.len();
        if self.messages >= self.bounds.messages || bytes > self.bounds.bytes {
            return Err(Full);
        }
        self.messages += 1;
        self.bytes = bytes;
        self.items.push_back(Item::One(single));
        Ok(())
    }

    fn supersede(&mut self, key: StateKey) {
        self.unfold();
        for item in &mut self.items {
            let Item::One(single) = item else { continue };
            if let Some((_, Some(off))) = single.state.take_if(|(state, off)| *state == key && off.is_some()) {
                let placeholder = frames::superseded(key.0, off);
                self.messages -= 1;
                single.kind = Kind::Placeholder;
                self.bytes = self.bytes + placeholder.len() - single.frame.len();
                single.frame = placeholder;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::{Millis, RoomId};

    use super::*;
    use crate::realtime::{Channel, Place, protocol::events::Routing};

    const ROOM: Channel = Channel::Room(RoomId(1));

    fn queue(messages: usize, bytes: usize) -> OutQueue {
        OutQueue::new(Bounds { messages, bytes })
    }

    /// The event at `off`, which tells the state of `of`.
    fn event(off: u64, text: &str, of: Option<i64>) -> Arc<Delivery> {
        let place = Place { epoch: "e".into(), off };
        let routing = Routing { state_of: of, ..Routing::default() };
        Arc::new(Delivery { channel: ROOM, place, at: Millis(0), frame: text.into(), routing })
    }

    fn word(text: &str) -> Arc<Delivery> {
        event(1, text, None)
    }

    fn gathered(texts: &[&str]) -> Arc<Gathered> {
        Arc::new(Gathered::new(texts.iter().map(|text| word(text)).collect()))
    }

    fn take(queue: &mut OutQueue, bytes: usize) -> Vec<String> {
        queue.take(bytes).iter().map(Frame::to_string).collect()
    }

    #[test]
    fn frames_leave_in_order() {
        let mut queue = queue(8, 1000);
        queue.push(&word("a")).unwrap();
        assert!(queue.push_gathered(&gathered(&["b", "c"])));
        assert_eq!(queue.len(), (3, 3));
        assert_eq!(take(&mut queue, 2), ["a", "b"]);
        assert_eq!(queue.len(), (1, 1));
        assert_eq!(take(&mut queue, 0), ["c"], "one always goes");
        assert!(queue.is_empty());
        assert_eq!(queue.len(), (0, 0));
    }

    #[test]
    fn a_full_queue_refuses_by_messages_and_by_bytes() {
        let mut by_messages = queue(2, 1000);
        by_messages.push(&word("a")).unwrap();
        by_messages.push(&word("b")).unwrap();
        assert_eq!(by_messages.push(&word("c")), Err(Full));
        let mut by_bytes = queue(100, 5);
        by_bytes.push(&word("abc")).unwrap();
        assert_eq!(by_bytes.push(&word("def")), Err(Full));
        by_bytes.push(&word("de")).unwrap();
    }

    #[test]
    fn a_torn_frame_is_finished_first_and_only_whole_ones_are_given_up() {
        let shown = |queue: &OutQueue, bytes| queue.next(&mut Vec::new(), bytes).to_vec();
        let mut one_by_one = queue(8, 1000);
        for text in ["abc", "def"] {
            one_by_one.push(&word(text)).unwrap();
        }
        assert_eq!(shown(&one_by_one, 0), b"\x81\x03abc", "one always goes");
        let mut at_once = queue(8, 1000);
        assert!(at_once.push_gathered(&gathered(&["abc", "def"])));
        for mut queue in [one_by_one, at_once] {
            assert_eq!(shown(&queue, 10), b"\x81\x03abc\x81\x03def");
            queue.left(8);
            assert_eq!(
                (queue.torn().as_ref(), queue.len()),
                (b"ef".as_slice(), (0, 0)),
                "what has begun can't be refused"
            );
            queue.push(&word("g")).unwrap();
            assert_eq!(shown(&queue, 10), b"ef\x81\x01g");
            queue.left(1);
            assert_eq!((queue.torn().as_ref(), queue.len()), (b"f".as_slice(), (1, 1)));
            queue.left(4);
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn what_the_connection_itself_says_is_never_refused_and_stays_in_its_place() {
        let mut queue = queue(1, 3);
        queue.push(&word("abc")).unwrap();
        queue.push_own("long and own".into());
        assert_eq!(queue.push(&word("d")), Err(Full));
        assert!(queue.has_own());
        assert_eq!(take(&mut queue, usize::MAX), ["abc", "long and own"]);
        assert!(!queue.has_own());
        queue.push(&word("d")).unwrap();
    }

    #[test]
    fn from_half_full_a_superseded_state_keeps_only_its_place() {
        let mut queue = queue(6, 10_000);
        let long = "x".repeat(200);
        let both = vec![event(1, &long, Some(7)), event(2, &long, Some(8))];
        assert!(queue.push_gathered(&Arc::new(Gathered::new(both))));
        for off in 3..50 {
            queue.push(&event(off, &long, Some(7))).unwrap();
        }
        assert!(!queue.push_gathered(&gathered(&["c", "d"])), "one by one from here on");
        let frames = queue.take(usize::MAX);
        assert_eq!(frames.len(), 49, "every offset has a frame");
        assert_eq!(frames[0].as_str(), r#"{"ch":"room:1","off":1,"ev":"superseded"}"#);
        assert_eq!(frames[1].as_str(), long, "another user's state stands");
        assert_eq!(frames[48].as_str(), long, "the last state stands");
    }
}
