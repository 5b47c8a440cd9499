//! Channels as Redis keeps them: the next place, where it stands, what was missed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{Millis, OutboxId};
use redis::Value;

use super::{Inner, cursor::Cursor, keys::Partition};
use crate::{
    clock,
    error::{Error, Result},
    realtime::{
        broker::{Delivery, Message, Standing},
        protocol::{Channel, Place, frames},
    },
    together::Together,
};

/// How much longer than its age a channel's memory is kept: what is asked for at the last moment is still there.
const SLACK: Duration = Duration::from_secs(10);

/// A channel that somebody listens to is refreshed several times within its life.
const LIFE: u32 = 3;

/// How long a publisher waits for events of others that come before its own. Longer than reading them from Redis takes.
const HAND_OVER: Duration = Duration::from_secs(2);

/// How long an early event waits for those before it until they are read from Redis: they are on their way, usually.
pub(super) const EARLY: Duration = Duration::from_millis(50);

/// Channels that one script looks at.
const BATCH: usize = 256;

/// A place in a channel.
type Asked = (Channel, Arc<str>, u64);

/// All events after a place, and where they end.
type Since = (Vec<Arc<Delivery>>, Place);

/// What many ask at the same time: where channels stand, and what was missed of them.
#[derive(Debug, Default)]
pub(super) struct Questions {
    standings: Together<Channel, Standing>,
    missed: Together<Asked, Since>,
}

fn fresh_epoch() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The event as everybody here gets it.
pub(super) fn delivery(channel: Channel, place: Place, at: Millis, message: &Message) -> Arc<Delivery> {
    let frame = frames::event(channel, place.off, at, &message.ev, &message.d);
    Arc::new(Delivery { channel, place, at, frame, routing: message.routing })
}

fn broken(what: &'static str) -> Error {
    Error::Internal(anyhow::anyhow!("Redis answered a script with something else: {what}"))
}

impl Inner {
    fn heads_life(&self) -> i64 {
        clock::millis(self.memory.age * LIFE + SLACK)
    }

    pub(super) async fn publish(
        &self,
        channel: Channel,
        key: Option<OutboxId>,
        at: Millis,
        message: &Message,
    ) -> Result<Option<Place>> {
        let body = serde_json::to_string(message).map_err(anyhow::Error::from)?;
        let key = key.map(|key| key.0.to_string()).unwrap_or_default();
        let arguments = (
            (fresh_epoch(), key, at.0, body),
            (self.memory.messages, clock::millis(self.memory.age + SLACK), self.heads_life()),
        );
        let keys = [self.keys.head(channel), self.keys.log(channel)];
        let placed: Option<(String, u64)> = self.link.eval(&self.scripts.publish, &keys, arguments).await?;
        let Some((epoch, off)) = placed else { return Ok(None) };
        let place = Place { epoch: epoch.into(), off };
        if self.follows.wants(channel, &place.epoch, off) {
            self.follows.arrive(delivery(channel, place.clone(), at, message));
            if let Some(reached) = self.follows.reached(channel, &place.epoch, off) {
                // Whoever publishes may answer somebody: no answer overtakes its event. If those before it don't come,
                // they are late, and not lost.
                let _ = tokio::time::timeout(HAND_OVER, reached).await;
            }
        }
        Ok(Some(place))
    }

    pub(super) async fn standing(&self, channel: Channel) -> Result<Standing> {
        let together = self.together(channel)?;
        let found = together.standings.ask(vec![channel], |channels| self.list_standings(channels)).await?;
        found.get(&channel).cloned().ok_or_else(|| broken("where a channel stands"))
    }

    /// Where channels stand that one script can touch.
    async fn list_standings(&self, channels: Vec<Channel>) -> Result<HashMap<Channel, Standing>> {
        let keys: Vec<_> =
            channels.iter().flat_map(|channel| [self.keys.head(*channel), self.keys.log(*channel)]).collect();
        let arguments = (fresh_epoch(), self.heads_life());
        let stand: Vec<(String, u64, String)> = self.link.eval(&self.scripts.standing, &keys, arguments).await?;
        let standing = |(epoch, off, last_key): (String, u64, String)| {
            let place = Place { epoch: epoch.into(), off };
            Standing { place, last_key: last_key.parse().ok().map(OutboxId) }
        };
        Ok(channels.into_iter().zip(stand.into_iter().map(standing)).collect())
    }

    /// What a client has missed that stands at `off`.
    pub(super) async fn missed(&self, channel: Channel, epoch: &str, off: u64) -> Result<Option<Since>> {
        let asked = (channel, Arc::from(epoch), off);
        let together = self.together(channel)?;
        // What it was shown in doubt is shown to it anew.
        let list = |asked| self.list_since(asked, self.memory.age, true);
        Ok(together.missed.ask(vec![asked.clone()], list).await?.remove(&asked))
    }

    /// Events after each place, not older than `age`, of channels that one script can touch. Where not all of them are
    /// known any more, there is nothing.
    async fn list_since(&self, asked: Vec<Asked>, age: Duration, doubts: bool) -> Result<HashMap<Asked, Since>> {
        let keys = |channel| {
            let doubt = self.keys.doubt(Partition::of_channel(channel));
            [self.keys.head(channel), self.keys.log(channel), doubt]
        };
        let keys: Vec<_> = asked.iter().flat_map(|(channel, ..)| keys(*channel)).collect();
        let places: Vec<_> = asked.iter().map(|(_, epoch, off)| (&**epoch, *off)).collect();
        let arguments = (self.memory.messages, clock::millis(age), u8::from(doubts), places);
        let found: Vec<Option<(u64, Vec<Value>)>> = self.link.eval(&self.scripts.since, &keys, arguments).await?;
        let mut all = HashMap::new();
        for (asked, found) in asked.into_iter().zip(found) {
            let Some((off, events)) = found else { continue };
            let (channel, epoch) = (asked.0, Arc::clone(&asked.1));
            let events = events.into_iter().map(|event| logged(channel, &epoch, event)).collect::<Result<_>>()?;
            all.insert(asked, (events, Place { epoch, off }));
        }
        Ok(all)
    }

    /// With whom one asks about `channel`: in a cluster with those whose channels are of the same part of it, lest a part
    /// that is away be a fault of all others.
    fn together(&self, channel: Channel) -> Result<&Questions> {
        let index = if self.link.target.is_cluster() { Partition::of_channel(channel).index() } else { 0 };
        self.questions.get(index).ok_or_else(|| broken("a partition that there is not"))
    }

    /// See [`Broker::reach`](crate::realtime::broker::Broker::reach). What is not on its way is read.
    pub(super) async fn reach(&self, channel: Channel, place: &Place) {
        let Some(reached) = self.follows.reached(channel, &place.epoch, place.off) else { return };
        if tokio::time::timeout(EARLY, reached).await.is_err()
            && let Err(error) = self.fill(channel).await
        {
            tracing::debug!(%error, %channel, "what stands there already will come late");
        }
    }

    /// Reads what is missing of `channel`, or tells those who listen to read its state anew.
    pub(super) async fn fill(&self, channel: Channel) -> Result<()> {
        let Some(Cursor { epoch, off }) = self.follows.cursor(channel) else { return Ok(()) };
        // However old: what is there is the shortest way.
        let found = self.list_since(vec![(channel, epoch, off)], self.memory.age * 1000, false).await?;
        match found.into_values().next() {
            Some((events, _)) => {
                self.metrics.broker_filled.inc_by(events.len() as u64);
                for event in events {
                    self.follows.arrive(event);
                }
            }
            None => {
                self.metrics.broker_resyncs.inc();
                self.follows.reset(channel, self.standing(channel).await?.place);
            }
        }
        Ok(())
    }

    /// Compares how far channels were heard with where they stand, and makes up for the difference.
    pub(super) async fn compare(&self, channels: &[Channel]) -> Result<()> {
        for batch in self.batches(channels.to_vec()) {
            let cursors = self.follows.cursors(&batch);
            let keys: Vec<_> = cursors.iter().map(|(channel, _)| self.keys.head(*channel)).collect();
            if keys.is_empty() {
                continue;
            }
            let places: Vec<_> = cursors.iter().map(|(_, cursor)| (&*cursor.epoch, cursor.off)).collect();
            let differ: Vec<usize> = self.link.eval(&self.scripts.differ, &keys, places).await?;
            for (channel, _) in differ.into_iter().filter_map(|index| cursors.get(index.checked_sub(1)?)) {
                self.fill(*channel).await?;
            }
        }
        Ok(())
    }

    /// Keeps the channels that somebody here listens to.
    pub(super) async fn refresh(&self, now: Millis) -> Result<()> {
        for batch in self.batches(self.follows.all()) {
            let keys: Vec<_> = batch.iter().map(|channel| self.keys.head(*channel)).collect();
            let arguments = (now.0, self.heads_life());
            let () = self.link.eval(&self.scripts.refresh, &keys, arguments).await?;
        }
        Ok(())
    }

    /// `channels`, so many at once as one script may touch.
    pub(super) fn batches(&self, mut channels: Vec<Channel>) -> Vec<Vec<Channel>> {
        if !self.link.target.is_cluster() {
            return channels.chunks(BATCH).map(<[_]>::to_vec).collect();
        }
        channels.sort_unstable_by_key(|channel| Partition::of_channel(*channel));
        let partitions = channels.chunk_by(|a, b| Partition::of_channel(*a) == Partition::of_channel(*b));
        partitions.flat_map(|partition| partition.chunks(BATCH)).map(<[_]>::to_vec).collect()
    }
}

/// An entry of a channel's log: its id, then `at` and the message.
fn logged(channel: Channel, epoch: &Arc<str>, entry: Value) -> Result<Arc<Delivery>> {
    let (id, fields): (String, (String, i64, String, String)) =
        redis::from_redis_value(entry).map_err(anyhow::Error::from)?;
    let off = id.split('-').next().and_then(|off| off.parse().ok()).ok_or_else(|| broken("an event's place"))?;
    let message: Message = serde_json::from_str(&fields.3).map_err(anyhow::Error::from)?;
    Ok(delivery(channel, Place { epoch: Arc::clone(epoch), off }, Millis(fields.1), &message))
}
