//! What waits in a connection's queue: frames one by one, or those of one turn of a room put together.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    broker::Delivery,
    protocol::{Channel, Frame},
};

/// Whose state an event tells: a later one with the same key makes it pointless.
pub(super) type StateKey = (Channel, i64);

/// Events of one channel that were said in one turn, put together once for everybody.
#[derive(Debug)]
pub struct Gathered {
    deliveries: Vec<Arc<Delivery>>,
    whole: Bytes,
    bytes: usize,
}

impl Gathered {
    /// Puts them together.
    pub fn new(deliveries: Vec<Arc<Delivery>>) -> Self {
        let frames = || deliveries.iter().map(|delivery| &delivery.frame);
        let mut whole = Vec::with_capacity(frames().map(|frame| frame.whole().len()).sum());
        frames().for_each(|frame| whole.extend_from_slice(frame.whole()));
        let bytes = frames().map(Frame::len).sum();
        Self { deliveries, whole: whole.into(), bytes }
    }

    /// One by one.
    pub fn deliveries(&self) -> &[Arc<Delivery>] {
        &self.deliveries
    }

    /// All their frames, as they leave.
    pub fn whole(&self) -> &Bytes {
        &self.whole
    }

    /// Bytes of what they say.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// What waits in a queue.
#[derive(Debug)]
pub(super) enum Item {
    One(Single),
    /// They count one by one.
    Gathered(Arc<Gathered>),
}

/// A frame.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) frame: Frame,
    /// Whose state it tells, at its offset if it has one.
    pub(super) state: Option<(StateKey, Option<u64>)>,
    pub(super) kind: Kind,
}

impl Single {
    pub(super) fn said(delivery: &Delivery) -> Self {
        let state = delivery.routing.state_of.map(|user| ((delivery.channel, user), Some(delivery.place.off)));
        Self { frame: delivery.frame.clone(), state, kind: Kind::Said }
    }
}

/// What an item counts for.
#[derive(Debug)]
pub(super) struct Weight {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Item {
    /// How many frames it is.
    pub(super) fn frames(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Gathered(gathered) => gathered.deliveries.len(),
        }
    }

    /// The same, one by one.
    pub(super) fn pieces(self) -> Vec<Self> {
        match self {
            Self::One(_) => vec![self],
            Self::Gathered(gathered) => gathered.deliveries.iter().map(|said| Self::One(Single::said(said))).collect(),
        }
    }

    /// Whether the connection itself says it.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::One(Single { kind: Kind::Own, .. }))
    }

    /// What it counts for.
    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Gathered(gathered) => Weight { messages: gathered.deliveries.len(), bytes: gathered.bytes },
            Self::One(Single { kind: Kind::Own, .. }) => Weight { messages: 0, bytes: 0 },
            Self::One(Single { kind, frame, .. }) => {
                Weight { messages: usize::from(*kind == Kind::Said), bytes: frame.len() }
            }
        }
    }

    pub(super) fn whole(&self) -> &Bytes {
        match self {
            Self::One(single) => single.frame.whole(),
            Self::Gathered(gathered) => &gathered.whole,
        }
    }
}

/// How a frame counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It counts.
    Said,
    /// Only keeps a place.
    Placeholder,
    /// The connection's own.
    Own,
}
