//! The channels that this instance follows, and how far it has heard of each.
//!
//! Promises that each event is handed over once and in order, whichever way it arrives first, and that whoever listens is
//! told to look again where that is impossible. Nothing here waits: what is missing is asked for by others.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dashmap::{DashMap, Entry};
use tokio::sync::{mpsc, oneshot};

use super::cursor::{Arrival, Cursor};
use crate::realtime::{
    broker::{Delivery, Sink},
    protocol::{Channel, Place},
};

/// Early events that are kept for when those before them have come. Beyond that, all are read from Redis together.
const AHEAD: usize = 256;

#[derive(Debug, Default)]
struct Followed {
    /// None until Redis has been asked where the channel stands.
    cursor: Option<Cursor>,
    ahead: BTreeMap<u64, Arc<Delivery>>,
    /// Who waits for the subscription.
    joining: Vec<oneshot::Sender<()>>,
    /// Publishers who wait until their event has been handed over here.
    publishing: Vec<(u64, oneshot::Sender<()>)>,
}

impl Followed {
    /// What waits belongs to a life that is over; dropping its publishers lets them go on.
    fn start_anew(&mut self) {
        self.ahead.clear();
        self.publishing.clear();
    }
}

/// What is to be done before `channel` is followed.
#[derive(Debug)]
pub(super) enum Join {
    /// Nothing.
    Done,
    /// Somebody else is about it; an end without a word is a failure.
    Wait(oneshot::Receiver<()>),
    /// It has to be subscribed to.
    First(oneshot::Receiver<()>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Follows {
    sink: Arc<dyn Sink>,
    channels: DashMap<Channel, Followed>,
    /// Channels of which something is missing.
    gaps: mpsc::UnboundedSender<Channel>,
    /// Nobody hears any more.
    closed: AtomicBool,
}

impl Follows {
    pub(super) fn new(sink: Arc<dyn Sink>, gaps: mpsc::UnboundedSender<Channel>) -> Self {
        Self { sink, channels: DashMap::new(), gaps, closed: AtomicBool::new(false) }
    }

    /// Begins to follow.
    pub(super) fn join(&self, channel: Channel) -> Join {
        let (joined, join) = oneshot::channel();
        match self.channels.entry(channel) {
            Entry::Occupied(mut followed) => {
                if followed.get().cursor.is_some() {
                    return Join::Done;
                }
                followed.get_mut().joining.push(joined);
                Join::Wait(join)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Followed { joining: vec![joined], ..Followed::default() });
                Join::First(join)
            }
        }
    }

    /// The subscription is there, and the channel stood at `place` after it began.
    pub(super) fn joined(&self, channel: Channel, place: Place) {
        let Some(mut followed) = self.channels.get_mut(&channel) else { return };
        followed.cursor = Some(Cursor { epoch: place.epoch, off: place.off });
        self.settle(channel, &mut followed);
        for joined in followed.joining.drain(..) {
            // Whoever has gone meanwhile needs no word.
            let _ = joined.send(());
        }
    }

    /// The channels can't be followed now.
    pub(super) fn fail(&self, channels: &[Channel]) {
        for channel in channels {
            // Dropping the senders tells those who wait.
            self.channels.remove_if(channel, |_, followed| followed.cursor.is_none());
        }
    }

    /// Everything that is followed, or will be.
    pub(super) fn all(&self) -> Vec<Channel> {
        self.channels.iter().map(|followed| *followed.key()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// How far each of `channels` has been heard.
    pub(super) fn cursors(&self, channels: &[Channel]) -> Vec<(Channel, Cursor)> {
        let cursor = |channel| Some((channel, self.channels.get(&channel)?.cursor.clone()?));
        channels.iter().filter_map(|channel| cursor(*channel)).collect()
    }

    pub(super) fn cursor(&self, channel: Channel) -> Option<Cursor> {
        self.channels.get(&channel)?.cursor.clone()
    }

    /// Whether an event there would be news.
    pub(super) fn wants(&self, channel: Channel, epoch: &str, off: u64) -> bool {
        self.channels.get(&channel).is_some_and(|followed| {
            followed.cursor.as_ref().is_none_or(|cursor| cursor.judge(epoch, off) != Arrival::Old)
        })
    }

    /// An event has arrived.
    pub(super) fn arrive(&self, delivery: Arc<Delivery>) {
        let channel = delivery.channel;
        let Some(mut followed) = self.channels.get_mut(&channel) else { return };
        let Some(cursor) = &mut followed.cursor else {
            followed.ahead.insert(delivery.place.off, delivery);
            return;
        };
        match cursor.judge(&delivery.place.epoch, delivery.place.off) {
            Arrival::Old => {}
            Arrival::Next => {
                cursor.off = delivery.place.off;
                self.sink.deliver(&delivery);
                if !followed.ahead.is_empty() || !followed.publishing.is_empty() {
                    self.settle(channel, &mut followed);
                }
            }
            Arrival::Early => {
                if followed.ahead.is_empty() {
                    self.look_at(channel);
                }
                if followed.ahead.len() < AHEAD {
                    followed.ahead.insert(delivery.place.off, delivery);
                }
            }
            Arrival::Foreign => {
                // Gates first: what comes from here on follows the state that will be read.
                self.sink.resync(channel);
                let before = delivery.place.off.saturating_sub(1);
                *cursor = Cursor { epoch: Arc::clone(&delivery.place.epoch), off: before };
                followed.start_anew();
                followed.ahead.insert(delivery.place.off, delivery);
                self.settle(channel, &mut followed);
            }
        }
    }

    /// Nobody knows what was missed: whoever listens reads the state anew, at or after `place`.
    pub(super) fn reset(&self, channel: Channel, place: Place) {
        let Some(mut followed) = self.channels.get_mut(&channel) else { return };
        let known = followed.cursor.as_ref();
        if known.is_some_and(|cursor| cursor.epoch == place.epoch && cursor.off >= place.off) {
            return;
        }
        self.sink.resync(channel);
        followed.cursor = Some(Cursor { epoch: place.epoch, off: place.off });
        followed.publishing.clear();
        self.settle(channel, &mut followed);
    }

    /// Hands over what was early, and lets publishers go on.
    fn settle(&self, channel: Channel, followed: &mut Followed) {
        let Some(cursor) = &mut followed.cursor else { return };
        while let Some((_, delivery)) = followed.ahead.pop_first() {
            match cursor.judge(&delivery.place.epoch, delivery.place.off) {
                Arrival::Next => {
                    cursor.off = delivery.place.off;
                    self.sink.deliver(&delivery);
                }
                Arrival::Old => {}
                // What was early in another life is no part of this one; if it belongs to a later life, somebody has to
                // look.
                Arrival::Foreign => self.look_at(channel),
                Arrival::Early => {
                    followed.ahead.insert(delivery.place.off, delivery);
                    break;
                }
            }
        }
        let reached = cursor.off;
        for (_, publisher) in followed.publishing.extract_if(.., |(off, _)| *off <= reached) {
            let _ = publisher.send(());
        }
    }

    /// This instance has stopped hearing: publishers wait for nothing, and those who do go on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.channels.iter_mut().for_each(|mut followed| followed.publishing.clear());
    }

    /// Waits until `off` has been handed over here; nothing to wait for if it has, or nobody listens.
    pub(super) fn reached(&self, channel: Channel, epoch: &str, off: u64) -> Option<oneshot::Receiver<()>> {
        let mut followed = self.channels.get_mut(&channel)?;
        let cursor = followed.cursor.as_ref()?;
        if *cursor.epoch != *epoch || cursor.off >= off || self.closed.load(Ordering::SeqCst) {
            return None;
        }
        let (reached, wait) = oneshot::channel();
        followed.publishing.push((off, reached));
        Some(wait)
    }

    /// Something may be missing.
    pub(super) fn look_at(&self, channel: Channel) {
        // Without a receiver the broker is at its end.
        let _ = self.gaps.send(channel);
    }

    /// Whether something is still missing.
    pub(super) fn has_gap(&self, channel: Channel) -> bool {
        self.channels.get(&channel).is_some_and(|followed| followed.cursor.is_some() && !followed.ahead.is_empty())
    }

    /// Forgets the channels to which nobody here listens, and names them. Whoever begins to listen says so to the sink
    /// before asking to follow, so it is either seen here or comes too late to be taken for a follower.
    pub(super) fn let_go(&self) -> Vec<Channel> {
        let idle = |channel: Channel, followed: &Followed| followed.cursor.is_some() && !self.sink.listens(channel);
        let idle_now: Vec<_> =
            self.channels.iter().filter(|each| idle(*each.key(), each.value())).map(|each| *each.key()).collect();
        idle_now
            .into_iter()
            .filter(|channel| self.channels.remove_if(channel, |channel, followed| idle(*channel, followed)).is_some())
            .collect()
    }
}
