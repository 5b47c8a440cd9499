//! Which instances live.
//!
//! An instance that renews its lease lives; its connections need no lease of their own. One that does not is given up by
//! any other. Promises that nobody is given up by an instance that may itself have been cut off, and that an instance which
//! was given up and lives goes on under a new name. It only looks and renews: whatever follows from what it finds is owed
//! (`owed.rs`), and takes as long as it takes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use entity::Millis;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Inner, keys::Partition};
use crate::{clock, error::Result, realtime::broker::InstanceInfo};

/// How often this instance looks whether all is well, in a lease; and how often it renews it.
pub(super) const LOOKS: u32 = 9;
const RENEWALS: u32 = 3;

/// What the keeper remembers from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Each partition's life and server.
    partitions: HashMap<Partition, (String, String)>,
    /// Since when every renewal has succeeded.
    steady_since: Option<Instant>,
    named: Option<Arc<str>>,
    beats: u64,
}

/// When those whom an instance took with it are told to be gone, counted from its last sign of life. Half a lease more
/// than a lost connection gets: that it is lost is noticed later.
pub(super) fn hold(grace: Duration, lease: Duration) -> Duration {
    grace + lease / 2
}

/// What an instance says of itself to the others.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    version: String,
    connections: usize,
    users: usize,
    draining: bool,
}

impl Inner {
    /// Looks and renews, until the task that it runs in ends.
    pub(super) async fn keep_lease(self: Arc<Self>) {
        let mut seen = Seen::default();
        let pace = self.lease / LOOKS;
        loop {
            if let Err(error) = self.look(&mut seen).await {
                tracing::debug!(%error, "the lease can't be looked after");
                seen.steady_since = None;
                self.healthy.store(false, Ordering::Relaxed);
            }
            tokio::select! {
                () = sleep(pace) => {}
                () = self.look_now.notified() => {}
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> Result<()> {
        let lost = self.beat(seen).await?;
        if !lost.is_empty() {
            tracing::warn!(
                partitions = lost.len(),
                "Redis has lost its data or is another one; saying again what it knew"
            );
            self.owe(|owed| owed.restore(&lost, Instant::now()));
        }
        let instance = self.instance();
        let renamed = seen.named.as_ref().is_some_and(|named| *named != instance);
        let fresh = seen.named.as_ref().is_none_or(|named| *named != instance);
        if seen.steady_since.is_none() || fresh || !lost.is_empty() || self.lease_age() >= self.lease / RENEWALS {
            // Whoever went while Redis was away.
            let back = seen.steady_since.is_none();
            let began_anew = fresh || !lost.is_empty();
            if !self.renew(seen, &instance, began_anew).await? {
                self.rename(&instance);
                self.look_now.notify_one();
                return Ok(());
            }
            seen.named = Some(instance);
            if back {
                self.owe(|owed| owed.tidy());
            }
        }
        if renamed {
            self.owe(|owed| owed.say_again(Partition::all()));
        }
        self.healthy.store(!self.owed().is_behind(), Ordering::Relaxed);
        self.metrics.broker_lag.set(self.ears.lag().as_secs_f64());
        self.metrics.broker_channels.set(i64::try_from(self.follows.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Lets this instance hear itself, and names the partitions that are not what they were.
    async fn beat(&self, seen: &mut Seen) -> Result<Vec<Partition>> {
        seen.beats += 1;
        let says = self.ears.speak(seen.beats);
        let fresh = format!("{:016x}", rand::random::<u64>());
        let looks = self.link.target.probed().map(async |partition| {
            let keys = [self.keys.life(partition), self.keys.probe(partition, &self.probe_name)];
            let found: (String, String) = self.link.eval_at_once(&self.scripts.beat, &keys, (&fresh, &says)).await?;
            self.ears.said(partition);
            Ok::<_, crate::error::Error>((partition, found))
        });
        let found = futures_util::future::try_join_all(looks).await?;
        let mut lost = Vec::new();
        for (partition, now) in found {
            if seen.partitions.insert(partition, now.clone()).is_some_and(|before| before != now) {
                lost.push(partition);
            }
        }
        // What the one partition of a single server has lost, all have.
        let each_speaks = lost.is_empty() || self.link.target.is_cluster();
        Ok(if each_speaks { lost } else { Partition::all().collect() })
    }

    /// Whether the lease was still there. Gives up others if this instance has been there all the time; one instance sees to
    /// what each of them held.
    async fn renew(&self, seen: &mut Seen, instance: &str, new: bool) -> Result<bool> {
        let steady = seen.steady_since.is_some_and(|since| since.elapsed() > self.lease);
        let about = serde_json::to_string(&self.about()).map_err(anyhow::Error::from)?;
        let arguments = (instance, clock::millis(self.lease), about, u8::from(new), u8::from(steady));
        let asked = self.clock.now();
        let answer: Vec<String> = self.link.eval_at_once(&self.scripts.renew, &self.keys.leases(), arguments).await?;
        let Some((held, given_up)) = answer.split_first() else { return Ok(false) };
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        seen.steady_since.get_or_insert_with(Instant::now);
        for pair in given_up.chunks_exact(2) {
            let [dead, age] = pair else { continue };
            let age: i64 = age.parse().unwrap_or_default();
            self.owe(|owed| owed.reap(dead, Millis(asked.0 - age)));
        }
        Ok(held == "1")
    }

    /// A new name, because the present one was given up. Everything is said again under it.
    pub(super) fn rename(&self, given_up: &str) {
        let mut instance = self.instance.write().unwrap_or_else(PoisonError::into_inner);
        if **instance == *given_up {
            *instance = super::new_name();
            tracing::warn!(given_up, instance = &**instance, "this instance was given up; it goes on under a new name");
        }
        drop(instance);
        self.look_now.notify_one();
    }

    fn about(&self) -> About {
        let about = self.sink.about();
        About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: about.connections,
            users: about.users,
            draining: about.draining,
        }
    }

    /// How long ago the lease was renewed.
    pub(super) fn lease_age(&self) -> Duration {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// All instances whose lease holds.
    pub(super) async fn instances(&self) -> Result<Vec<InstanceInfo>> {
        let [_, about, ..] = self.keys.leases();
        let all: HashMap<String, String> = self.link.run(redis::cmd("HGETALL").arg(about)).await?;
        let own = self.instance();
        let mut all: Vec<_> = all
            .into_iter()
            .filter_map(|(id, about)| {
                let about = if *id == *own { self.about() } else { serde_json::from_str(&about).ok()? };
                let About { version, connections, users, draining } = about;
                Some(InstanceInfo { id, version, connections, users, draining })
            })
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// This instance ends and its connections are gone: nobody has to give it up.
    pub(super) async fn leave(&self) -> Result<()> {
        let [leases, about, ..] = self.keys.leases();
        let instance = self.instance();
        self.tidy(self.clock.now()).await?;
        let () = self.link.run(redis::cmd("ZREM").arg(leases).arg(&*instance)).await?;
        self.link.run(redis::cmd("HDEL").arg(about).arg(&*instance)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ghosts_are_told_in_time_and_whoever_comes_back_has_time_to() {
        let (grace, lease) = (Duration::from_secs(15), Duration::from_secs(9));
        let hold = hold(grace, lease);
        // A killed instance renewed at most a third of a lease before.
        assert!(hold - lease / RENEWALS > grace, "{hold:?}");
        // It is given up a look after its lease has ended at the latest, long before anybody is told.
        assert!(lease + lease / LOOKS < hold, "{hold:?}");
        assert!(hold < Duration::from_secs(20), "{hold:?}");
    }
}
