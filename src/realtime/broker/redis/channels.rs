//! Channels as Redis keeps them: the next place, where it stands, what was missed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use entity::{Millis, OutboxId};
use futures_util::future::try_join_all;
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

/// A place in a channel.
pub(super) type Asked = (Channel, Arc<str>, u64);

/// All events after a place, and where they end.
pub(super) type Since = (Vec<Arc<Delivery>>, Place);

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
        let found = self.standings.ask(vec![channel], |channels| self.list_standings(channels)).await?;
        found.get(&channel).cloned().ok_or_else(|| broken("where a channel stands"))
    }

    async fn list_standings(&self, channels: Vec<Channel>) -> Result<HashMap<Channel, Standing>> {
        let look = async |batch: Vec<Channel>| {
            let keys: Vec<_> =
                batch.iter().flat_map(|channel| [self.keys.head(*channel), self.keys.log(*channel)]).collect();
            let arguments = (fresh_epoch(), self.heads_life());
            let stand: Vec<(String, u64, String)> = self.link.eval(&self.scripts.standing, &keys, arguments).await?;
            let standing = |(epoch, off, last_key): (String, u64, String)| {
                let place = Place { epoch: epoch.into(), off };
                Standing { place, last_key: last_key.parse().ok().map(OutboxId) }
            };
            Ok::<_, Error>(batch.into_iter().zip(stand.into_iter().map(standing)))
        };
        let batches = self.batches(channels, |channel| *channel).into_iter();
        Ok(try_join_all(batches.map(look)).await?.into_iter().flatten().collect())
    }

    /// What a client has missed that stands at `off`.
    pub(super) async fn missed(&self, channel: Channel, epoch: &str, off: u64) -> Result<Option<Since>> {
        let asked = (channel, epoch.into(), off);
        // What it was shown in doubt is shown to it anew.
        let mut found = self.missed.ask(vec![asked], |asked| self.list_since(asked, self.memory.age, true)).await?;
        Ok(found.drain().next().map(|(_, since)| since))
    }

    /// Events after each place, not older than `age`. Where not all of them are known any more, there is nothing.
    async fn list_since(&self, asked: Vec<Asked>, age: Duration, doubts: bool) -> Result<HashMap<Asked, Since>> {
        let look = async |batch: Vec<Asked>| {
            let keys = |channel| {
                let doubt = self.keys.doubt(Partition::of_channel(channel));
                [self.keys.head(channel), self.keys.log(channel), doubt]
            };
            let keys: Vec<_> = batch.iter().flat_map(|(channel, ..)| keys(*channel)).collect();
            let places: Vec<_> = batch.iter().map(|(_, epoch, off)| (&**epoch, *off)).collect();
            let arguments = (self.memory.messages, clock::millis(age), u8::from(doubts), places);
            let found: Vec<Option<(u64, Vec<Value>)>> = self.link.eval(&self.scripts.since, &keys, arguments).await?;
            let mut all = Vec::new();
            for ((channel, epoch, asked), found) in batch.into_iter().zip(found) {
                let Some((off, events)) = found else { continue };
                let events = events.into_iter().map(|event| logged(channel, &epoch, event)).collect::<Result<_>>()?;
                all.push(((channel, Arc::clone(&epoch), asked), (events, Place { epoch, off })));
            }
            Ok::<_, Error>(all)
        };
        let batches = self.batches(asked, |(channel, ..)| *channel).into_iter();
        Ok(try_join_all(batches.map(look)).await?.into_iter().flatten().collect())
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
        for batch in self.batches(channels.to_vec(), |channel| *channel) {
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
        for batch in self.batches(self.follows.all(), |channel| *channel) {
            let keys: Vec<_> = batch.iter().map(|channel| self.keys.head(*channel)).collect();
            let arguments = (now.0, self.heads_life());
            let () = self.link.eval(&self.scripts.refresh, &keys, arguments).await?;
        }
        Ok(())
    }

    /// What concerns channels, so much at once as one script may touch.
    pub(super) fn batches<T>(&self, all: Vec<T>, channel: impl Fn(&T) -> Channel) -> Vec<Vec<T>> {
        // A single server has everything.
        let partition = |each: &T| self.link.target.is_cluster().then(|| Partition::of_channel(channel(each)));
        let mut batches = BTreeMap::<_, Vec<Vec<T>>>::new();
        for each in all {
            let batches = batches.entry(partition(&each)).or_default();
            match batches.last_mut().filter(|last| last.len() < BATCH) {
                Some(last) => last.push(each),
                None => batches.push(vec![each]),
            }
        }
        batches.into_values().flatten().collect()
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
