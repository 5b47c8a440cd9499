//! The connection by which this instance hears what others publish.
//!
//! Promises that Redis never waits for this instance: what comes faster than it is handed over is dropped, and read from
//! the channels' memory instead. The same happens after every interruption, so that none loses anything. Subscriptions
//! are made in batches, and a channel is let go of some seconds after its last listener.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use entity::Millis;
use redis::{FromRedisValue, PushInfo, PushKind};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner,
    channels::{self, EARLY},
    wire::Wire,
};
use crate::realtime::{
    broker::Message,
    protocol::{Channel, Place},
};

/// Subscriptions that one command makes.
const BATCH: usize = 512;

/// How often channels without a listener are looked for.
const LET_GO: Duration = Duration::from_secs(10);

/// When what could not be read is read again.
const LATER: Duration = Duration::from_millis(500);

/// The connection is to be made anew.
struct Broken(&'static str);

impl From<redis::RedisError> for Broken {
    fn from(error: redis::RedisError) -> Self {
        tracing::debug!(%error, "listening to Redis");
        Self("it does not answer")
    }
}

impl Inner {
    /// Listens, and begins again whenever that ends; until the task that it runs in ends.
    pub(super) async fn listen(self: Arc<Self>, mut wanted: mpsc::UnboundedReceiver<Channel>) {
        loop {
            let Broken(why) = match Arc::clone(&self).listen_once(&mut wanted).await {
                Ok(never) => match never {},
                Err(broken) => broken,
            };
            if self.hears.swap(false, Ordering::Relaxed) {
                tracing::warn!(why, "this instance does not hear the others; connecting anew");
                self.metrics.broker_reconnects.inc();
            }
            let mut failed = Vec::new();
            while let Ok(channel) = wanted.try_recv() {
                failed.push(channel);
            }
            self.follows.fail(&failed);
            sleep(Duration::from_millis(rand::random_range(100..300))).await;
        }
    }

    async fn listen_once(
        self: Arc<Self>,
        wanted: &mut mpsc::UnboundedReceiver<Channel>,
    ) -> Result<std::convert::Infallible, Broken> {
        let (push, pushed) = mpsc::channel(self.waiting);
        let broken = Arc::new(Notify::new());
        let dropped = Arc::new(AtomicBool::new(false));
        let pushes = {
            let (broken, dropped) = (Arc::clone(&broken), Arc::clone(&dropped));
            move |info: PushInfo| -> Result<(), ()> {
                let says = matches!(info.kind, PushKind::Message | PushKind::SMessage);
                if info.kind == PushKind::Disconnection {
                    broken.notify_one();
                } else if says && push.try_send(info).is_err() {
                    dropped.store(true, Ordering::Relaxed);
                }
                Ok(())
            }
        };
        let mut wire = self.link.target.connect(Some(pushes)).await?;
        let _receiver = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self).receive(pushed)));
        self.set_up(&mut wire).await?;
        let mut let_go_at = Instant::now() + LET_GO;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = wanted.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Err(Broken("the broker is gone"));
                    }
                    let joined = self.subscribe_all(&mut wire, &batch).await;
                    if joined.is_err() {
                        self.follows.fail(&batch);
                    }
                    joined?;
                    batch.clear();
                }
                () = broken.notified() => return Err(Broken("the connection has ended")),
                () = sleep(self.lease / 18) => {}
                () = sleep_until(let_go_at) => {
                    let_go_at = Instant::now() + LET_GO;
                    let idle = self.follows.let_go();
                    for topics in self.topics(&idle) {
                        wire.unsubscribe(&topics).await?;
                    }
                }
            }
            if dropped.swap(false, Ordering::Relaxed) {
                tracing::warn!("events came faster than they could be handed over; comparing all channels");
                self.compare_all().await?;
            }
            if self.ears.are_deaf() {
                return Err(Broken("it does not hear itself"));
            }
        }
    }

    /// Subscribes to everything, and makes up for what was missed meanwhile.
    async fn set_up(&self, wire: &mut Wire) -> Result<(), Broken> {
        wire.subscribe(&[self.keys.words()]).await?;
        for partition in self.link.target.probed() {
            wire.subscribe(&[self.keys.probe(partition, &self.probe_name)]).await?;
        }
        // Who waits for a subscription is served in turn.
        let followed: Vec<_> =
            self.follows.all().into_iter().filter(|channel| self.follows.cursor(*channel).is_some()).collect();
        for topics in self.topics(&followed) {
            wire.subscribe(&topics).await?;
        }
        self.ears.begin_anew();
        self.compare_all().await?;
        self.hears.store(true, Ordering::Relaxed);
        self.owe(|owed| owed.hear_anew(Instant::now()));
        Ok(())
    }

    async fn compare_all(&self) -> Result<(), Broken> {
        self.compare(&self.follows.all()).await.map_err(|error| {
            tracing::debug!(%error, "comparing channels");
            Broken("Redis does not say where channels stand")
        })
    }

    /// Subscribes to `channels`, asks where they stand, and lets those go on who wait for it.
    async fn subscribe_all(&self, wire: &mut Wire, channels: &[Channel]) -> Result<(), Broken> {
        for topics in self.topics(channels) {
            wire.subscribe(&topics).await?;
        }
        let stand = channels.iter().map(async |channel| (*channel, self.standing(*channel).await));
        let mut failed = Vec::new();
        for (channel, standing) in futures_util::future::join_all(stand).await {
            match standing {
                Ok(standing) => self.follows.joined(channel, standing.place),
                Err(_) => failed.push(channel),
            }
        }
        self.follows.fail(&failed);
        for topics in self.topics(&failed) {
            wire.unsubscribe(&topics).await?;
        }
        Ok(())
    }

    /// The names under which events of `channels` are told, so many at once as one command may have.
    fn topics(&self, channels: &[Channel]) -> Vec<Vec<String>> {
        let batches = self.batches(channels.to_vec()).into_iter();
        batches.map(|batch| batch.into_iter().map(|channel| self.keys.head(channel)).collect()).collect()
    }

    /// Hands over what comes in. It never waits for anything else.
    async fn receive(self: Arc<Self>, mut pushed: mpsc::Receiver<PushInfo>) {
        while let Some(info) = pushed.recv().await {
            if let Err(error) = self.hear(info) {
                tracing::error!(%error, "a word from Redis can't be understood");
            }
        }
    }

    fn hear(&self, info: PushInfo) -> anyhow::Result<()> {
        let [topic, payload] =
            <[redis::Value; 2]>::try_from(info.data).map_err(|_| anyhow::anyhow!("not a message"))?;
        let topic = String::from_redis_value(topic)?;
        let payload = String::from_redis_value(payload)?;
        if let Some(channel) = self.keys.channel_of(&topic) {
            return self.hear_event(channel, &payload);
        }
        if topic == self.keys.words() {
            return self.hear_word(&payload);
        }
        if let Some(partition) = self.keys.partition_of(&topic) {
            self.ears.hear(partition, &payload);
        }
        Ok(())
    }

    /// `epoch off at message`, as the publishing script puts it.
    fn hear_event(&self, channel: Channel, payload: &str) -> anyhow::Result<()> {
        let mut words = payload.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(|| anyhow::anyhow!("an event in {channel} is cut short"));
        let (epoch, off, at, body) = (word()?, word()?.parse()?, Millis(word()?.parse()?), word()?);
        // Usually it was published here and is handed over already: then it is not even read.
        if self.follows.wants(channel, epoch, off) {
            let message: Message = serde_json::from_str(body)?;
            let place = Place { epoch: epoch.into(), off };
            self.follows.arrive(channels::delivery(channel, place, at, &message));
        }
        Ok(())
    }

    /// Reads what is missing of channels; until the task that it runs in ends.
    pub(super) async fn fill_gaps(self: Arc<Self>, mut gaps: mpsc::UnboundedReceiver<Channel>) {
        let mut found = Vec::new();
        while gaps.recv_many(&mut found, BATCH).await > 0 {
            sleep(EARLY).await;
            let mut open = Vec::new();
            for channel in found.drain(..).filter(|channel| self.follows.has_gap(*channel)) {
                if let Err(error) = self.fill(channel).await {
                    tracing::debug!(%error, %channel, "a gap stays open for now");
                    open.push(channel);
                }
            }
            if !open.is_empty() {
                sleep(LATER).await;
                open.into_iter().for_each(|channel| self.follows.look_at(channel));
            }
        }
    }
}
