//! Channels as Redis keeps them: the next place, where it stands, what was missed.

use std::{sync::Arc, time::Duration};

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
        let keys = [self.keys.head(channel), self.keys.log(channel)];
        let arguments = (fresh_epoch(), self.heads_life());
        let stands: (String, u64, String) = self.link.eval(&self.scripts.standing, &keys, arguments).await?;
        let (epoch, off, last_key) = stands;
        Ok(Standing { place: Place { epoch: epoch.into(), off }, last_key: last_key.parse().ok().map(OutboxId) })
    }

    /// Events after `off`, not older than `age`.
    pub(super) async fn events_since(
        &self,
        channel: Channel,
        epoch: &str,
        off: u64,
        age: Duration,
        unless: Option<String>,
    ) -> Result<Option<(Vec<Arc<Delivery>>, Place)>> {
        let keys: Vec<_> = [self.keys.head(channel), self.keys.log(channel)].into_iter().chain(unless).collect();
        let arguments = (epoch, off, self.memory.messages, clock::millis(age));
        let found: Option<(u64, Vec<Value>)> = self.link.eval(&self.scripts.since, &keys, arguments).await?;
        let Some((off, events)) = found else { return Ok(None) };
        let epoch: Arc<str> = epoch.into();
        let events = events.into_iter().map(|event| logged(channel, &epoch, event)).collect::<Result<_>>()?;
        Ok(Some((events, Place { epoch, off })))
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
        match self.events_since(channel, &epoch, off, self.memory.age * 1000, None).await? {
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
        for batch in self.batches(channels) {
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
        for batch in self.batches(&self.follows.all()) {
            let keys: Vec<_> = batch.iter().map(|channel| self.keys.head(*channel)).collect();
            let arguments = (now.0, self.heads_life());
            let () = self.link.eval(&self.scripts.refresh, &keys, arguments).await?;
        }
        Ok(())
    }

    /// `channels`, so many at once as one script may touch.
    pub(super) fn batches(&self, channels: &[Channel]) -> Vec<Vec<Channel>> {
        let mut channels: Vec<_> = channels.iter().map(|channel| (Partition::of_channel(*channel), *channel)).collect();
        channels.sort_unstable();
        let partitions = channels.chunk_by(|(a, _), (b, _)| a == b);
        let batches = partitions.flat_map(|partition| partition.chunks(BATCH));
        batches.map(|batch| batch.iter().map(|(_, channel)| *channel).collect()).collect()
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
