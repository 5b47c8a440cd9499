//! What this instance owes Redis beside a sign of life: saying again whom it holds, taking back whom it doesn't, seeing to
//! those whom a dead instance held.
//!
//! Promises that what is owed is done however often Redis goes away meanwhile, that a dead instance's users are held as if
//! each had lost its connection, and that a Redis without its data announces nobody as gone.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use entity::{AccountId, Millis};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Inner,
    keys::Partition,
    lease::{LOOKS, hold},
    presence::member_of,
};
use crate::{clock, error::Result, realtime::presence::DeviceId};

/// Members of a dead instance that one script gives up, and devices that are said again at once.
const BATCH: usize = 128;

/// How long the mark of a given-up name stays: longer than anybody can be paused.
const FENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// After Redis has lost its data, the others have so long to say again whom they hold; a picture that is read earlier
/// may show fewer people than there are. Whoever takes longer tells them.
const SETTLE: Duration = Duration::from_secs(3);

/// Others who take longer as well may do so together.
const TOGETHER: Duration = Duration::from_millis(500);

/// A word that nobody may have heard is missed for so long after a loss.
const LATELY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Partitions in which all devices are to be said again, and whether others know of them.
    again: BTreeMap<Partition, bool>,
    /// The others are to hear that nothing of what was lost is missing any more.
    tell: bool,
    /// When Redis lost something.
    lost: Option<Instant>,
    /// Whatever else is held under this instance's name is to be taken back.
    tidy: bool,
    /// Instances that are gone, and when each showed itself last.
    dead: BTreeMap<String, Millis>,
    /// When everybody here is to look at the channels anew: the others had time to say again what they hold.
    settle: Option<Instant>,
    /// Whether what is being paid keeps others from seeing everybody.
    behind: bool,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Debt {
    Again(Partition, bool),
    Tell,
    Tidy,
    Dead(String, Millis),
    Settle(Instant),
}

impl Owed {
    /// This instance has a new name.
    pub(super) fn say_again(&mut self, partitions: impl IntoIterator<Item = Partition>) {
        partitions.into_iter().for_each(|partition| self.add(Debt::Again(partition, false)));
    }

    /// Redis has lost what it held of `partitions`. Nobody was told that anybody had gone.
    pub(super) fn restore(&mut self, partitions: &[Partition], now: Instant) {
        partitions.iter().for_each(|partition| self.add(Debt::Again(*partition, true)));
        self.add(Debt::Tell);
        self.add(Debt::Settle(now + SETTLE));
        self.lost = Some(now);
    }

    /// Somebody has said again whom it holds. Whoever looks later anyway sees them.
    pub(super) fn hear_restored(&mut self, now: Instant) {
        self.settle.get_or_insert(now + TOGETHER);
    }

    /// Words may have been missed.
    pub(super) fn hear_anew(&mut self, now: Instant) {
        if self.lost.is_some_and(|lost| now < lost + LATELY) {
            self.hear_restored(now);
        }
    }

    /// Something may be held that is not here any more.
    pub(super) fn tidy(&mut self) {
        self.add(Debt::Tidy);
    }

    /// An instance is gone since `lost`.
    pub(super) fn reap(&mut self, dead: &str, lost: Millis) {
        self.add(Debt::Dead(dead.to_owned(), lost));
    }

    /// Whether Redis says less than is true.
    pub(super) fn is_behind(&self) -> bool {
        self.behind || self.settle.is_some() || !self.again.is_empty()
    }

    fn add(&mut self, debt: Debt) {
        match debt {
            Debt::Again(partition, known) => {
                // Who goes while it is said again is taken back after it.
                self.tidy = true;
                // Told once too often is better than not at all.
                self.again.entry(partition).and_modify(|before| *before &= known).or_insert(known);
            }
            Debt::Tell => self.tell = true,
            Debt::Tidy => self.tidy = true,
            Debt::Dead(dead, lost) => drop(self.dead.insert(dead, lost)),
            Debt::Settle(at) => self.settle = self.settle.max(Some(at)),
        }
    }

    /// Takes the one that is to be paid now.
    fn next(&mut self, now: Instant) -> Option<Debt> {
        let again = self.again.pop_first().map(|(partition, known)| Debt::Again(partition, known));
        let next = again
            .or_else(|| mem::take(&mut self.tell).then_some(Debt::Tell))
            .or_else(|| mem::take(&mut self.tidy).then_some(Debt::Tidy))
            .or_else(|| self.dead.pop_first().map(|(dead, lost)| Debt::Dead(dead, lost)))
            .or_else(|| self.settle.take_if(|at| *at <= now).map(Debt::Settle));
        self.behind = matches!(next, Some(Debt::Again(..) | Debt::Settle(_)));
        next
    }
}

impl Inner {
    pub(super) fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn owe(&self, what: impl FnOnce(&mut Owed)) {
        what(&mut self.owed());
        self.owes.notify_one();
    }

    /// Pays what is owed, one debt after the other; until the task that it runs in ends.
    pub(super) async fn pay(self: Arc<Self>) {
        loop {
            let settle = self.owed().settle;
            tokio::select! {
                () = self.owes.notified() => {}
                () = sleep_until(settle.unwrap_or_else(Instant::now)), if settle.is_some() => {}
            }
            loop {
                let Some(debt) = self.owed().next(Instant::now()) else { break };
                if let Err(error) = self.pay_one(&debt).await {
                    tracing::debug!(%error, ?debt, "still owed");
                    self.owed().add(debt);
                    sleep(self.lease / LOOKS).await;
                }
            }
        }
    }

    async fn pay_one(&self, debt: &Debt) -> Result<()> {
        match debt {
            Debt::Again(partition, known) => self.say_again(*partition, *known).await,
            Debt::Tell => self.tell_restored().await,
            Debt::Tidy => self.tidy(self.clock.now()).await,
            Debt::Dead(dead, lost) => self.reap(dead, *lost).await,
            Debt::Settle(_) => self.settle().await,
        }
    }

    /// Says again which devices are here, in one partition.
    async fn say_again(&self, partition: Partition, known: bool) -> Result<()> {
        let now = self.clock.now();
        let mine: Vec<(AccountId, DeviceId, Millis)> = {
            let mine = self.mine();
            let mine = mine.iter().filter(|(user, _)| Partition::of_user(**user) == partition);
            mine.flat_map(|(user, devices)| devices.iter().map(|(device, since)| (*user, *device, *since))).collect()
        };
        for some in mine.chunks(BATCH) {
            // An edge, if there is one, is told by whoever looks next for what is due.
            let say = |(user, device, since): &(AccountId, DeviceId, Millis)| {
                self.say_connected(*user, *device, (now, Duration::ZERO), known.then_some(*since))
            };
            try_join_all(some.iter().map(say)).await?;
        }
        Ok(())
    }

    async fn settle(&self) -> Result<()> {
        let channels = self.follows.all();
        for channel in &channels {
            self.sink.resync(*channel);
        }
        self.compare(&channels).await
    }

    /// Holds the users of an instance that last showed itself at `lost`.
    async fn reap(&self, dead: &str, lost: Millis) -> Result<()> {
        tracing::warn!(instance = dead, "an instance is gone; its users are held");
        let due = clock::after(lost, hold(self.grace, self.lease));
        // The marks first: whatever still speaks under that name is refused from here on.
        let fence = |partition| {
            let mut fence = redis::cmd("SET");
            fence.arg(self.keys.fenced(partition, dead)).arg(1).arg("PX").arg(clock::millis(FENCE));
            (partition, fence)
        };
        let _: Vec<()> = self.link.run_all(Partition::all().map(fence).collect()).await?;
        loop {
            let look = |partition| {
                let mut look = redis::cmd("SRANDMEMBER");
                look.arg(self.keys.held_by(partition, dead)).arg(BATCH);
                (partition, look)
            };
            let found: Vec<Vec<String>> = self.link.run_all(Partition::all().map(look).collect()).await?;
            let found: Vec<_> = Partition::all().zip(found).filter(|(_, members)| !members.is_empty()).collect();
            if found.is_empty() {
                break;
            }
            let mut holds = Vec::with_capacity(found.len());
            for (partition, members) in &found {
                holds.push(self.hold_all(*partition, dead, members, lost, due));
            }
            futures_util::future::try_join_all(holds).await?;
        }
        let [_, _, ended, claimed] = self.keys.leases();
        let () = self.link.run(redis::cmd("ZREM").arg(ended).arg(dead)).await?;
        self.link.run(redis::cmd("HDEL").arg(claimed).arg(dead)).await
    }

    /// Holds `members` of one partition of a dead instance.
    async fn hold_all(
        &self,
        partition: Partition,
        dead: &str,
        members: &[String],
        lost: Millis,
        due: Millis,
    ) -> Result<()> {
        let mut keys = vec![self.keys.held_by(partition, dead), self.keys.due(partition)];
        let mut arguments = vec![lost.0.to_string(), due.0.to_string()];
        for member in members {
            let Some(((user, _), (name, device))) = member_of(member).zip(member.split_once(' ')) else {
                continue;
            };
            keys.push(self.keys.user(user));
            arguments.extend([name.to_owned(), device.to_owned()]);
        }
        self.link.eval(&self.scripts.reap, &keys, arguments).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions() -> (Partition, Partition) {
        let mut all = Partition::all();
        (all.next().unwrap(), all.next().unwrap())
    }

    #[test]
    fn what_others_wait_for_is_paid_first() {
        let (now, (one, two)) = (Instant::now(), partitions());
        let mut owed = Owed::default();
        owed.reap("dead", Millis(7));
        owed.restore(&[one, two], now);
        let settle = now + SETTLE;
        let mut paid = Vec::new();
        while let Some(debt) = owed.next(now) {
            paid.push(debt);
            assert!(owed.is_behind());
        }
        let dead = Debt::Dead("dead".to_owned(), Millis(7));
        assert_eq!(paid, [Debt::Again(one, true), Debt::Again(two, true), Debt::Tell, Debt::Tidy, dead]);
        assert!(owed.is_behind(), "the others are not heard yet");
        assert_eq!(owed.next(settle), Some(Debt::Settle(settle)));
        assert!(owed.is_behind(), "it is being paid");
        assert_eq!(owed.next(settle), None);
        assert!(!owed.is_behind());
    }

    #[test]
    fn whoever_looked_too_early_looks_again() {
        let (now, (one, _)) = (Instant::now(), partitions());
        let mut owed = Owed::default();
        owed.restore(&[one], now);
        owed.hear_restored(now);
        while owed.next(now).is_some() {}
        assert_eq!(owed.next(now + SETTLE - TOGETHER), None, "once is enough");
        assert_eq!(owed.next(now + SETTLE), Some(Debt::Settle(now + SETTLE)));
        // Somebody was cut off meanwhile, and so was perhaps this one.
        let later = now + SETTLE * 4;
        for hear in [Owed::hear_restored, Owed::hear_anew] {
            hear(&mut owed, later);
            assert_eq!(owed.next(later + TOGETHER), Some(Debt::Settle(later + TOGETHER)));
        }
        owed.hear_anew(now + LATELY);
        assert_eq!(owed.next(now + LATELY * 2), None);
    }

    #[test]
    fn what_could_not_be_paid_is_owed_with_what_came_meanwhile() {
        let (now, (one, two)) = (Instant::now(), partitions());
        let mut owed = Owed::default();
        owed.restore(&[one, two], now);
        let debt = owed.next(now).unwrap();
        owed.say_again([one]);
        owed.add(debt);
        assert_eq!(owed.next(now), Some(Debt::Again(one, false)), "who was told as gone has to be told as back");
        assert_eq!(owed.next(now), Some(Debt::Again(two, true)));
    }
}
