//! Presence as Redis keeps it: who is there on which instance, and what others were told.
//!
//! What this instance itself holds is remembered here too: that is what is said again to a Redis that has forgotten.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use entity::{AccountId, Millis};
use redis::ToRedisArgs;

use super::{Inner, keys::Partition, owed::Owed, scripts::Lua};
use crate::{
    clock,
    error::{Error, Result},
    realtime::{
        broker::Control,
        presence::{DeviceId, Edge},
        protocol::events::OfflineReason,
    },
};

/// How long an instance may take to tell an edge before others believe that it died over it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A script that needs no more than the others.
const NOTHING: &[&str] = &[];

/// Users whose graces one look finds.
const BATCH: usize = 512;

/// A connection that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    at: Millis,
    held: bool,
}

/// Losses that Redis has not heard of.
pub(super) type Unsaid = HashMap<(AccountId, DeviceId), Lost>;

/// This instance's connections by user, with when they came.
pub(super) type Mine = HashMap<AccountId, Vec<(DeviceId, Millis)>>;

impl Inner {
    async fn presence<T: redis::FromRedisValue>(
        &self,
        script: &Lua,
        user: AccountId,
        instance: &str,
        (now, patience): (Millis, Duration),
        more: impl ToRedisArgs,
    ) -> Result<T> {
        let partition = Partition::of_user(user);
        let keys = [
            self.keys.user(user),
            self.keys.due(partition),
            self.keys.held_by(partition, instance),
            self.keys.fenced(partition, instance),
        ];
        self.link.eval(script, &keys, ((user.0, now.0, clock::millis(patience), instance), more)).await
    }

    pub(super) async fn connect(&self, user: AccountId, device: DeviceId, now: Millis) -> Result<Option<Edge>> {
        self.mine().entry(user).or_default().push((device, now));
        self.say_connected(user, device, (now, PATIENCE), None).await
    }

    /// `known`: since when the device has been there, if nobody needs to be told of that, because nobody was told that the
    /// user had gone. Without patience, the edge is told by whoever looks next for what is due.
    pub(super) async fn say_connected(
        &self,
        user: AccountId,
        device: DeviceId,
        now: (Millis, Duration),
        known: Option<Millis>,
    ) -> Result<Option<Edge>> {
        let known = known.map(|since| since.0.to_string()).unwrap_or_default();
        loop {
            let instance = self.instance();
            let more = (format!("{instance}:{device}"), self.cap, &known);
            let answer: Vec<Vec<String>> = self.presence(&self.scripts.connect, user, &instance, now, more).await?;
            let Some([edge, surplus]) = answer.first_chunk() else {
                // Given up under that name.
                self.rename(&instance);
                continue;
            };
            for device in surplus {
                if let Some((instance, device)) = device.split_once(':') {
                    let device = device.parse().map_err(anyhow::Error::from)?;
                    self.tell(Control::Replaced { account: user, instance: instance.to_owned(), device }).await?;
                }
            }
            return edge_of(edge);
        }
    }

    pub(super) async fn disconnect(
        &self,
        user: AccountId,
        device: DeviceId,
        now: Millis,
        held: bool,
    ) -> Result<Option<Edge>> {
        if let Entry::Occupied(mut mine) = self.mine().entry(user) {
            mine.get_mut().retain(|(other, _)| *other != device);
            if mine.get().is_empty() {
                mine.remove();
            }
        }
        let said = self.say_disconnected(user, device, now, (now, PATIENCE), held).await;
        if said.is_err() {
            self.unsaid().insert((user, device), Lost { at: now, held });
            self.owe(Owed::tidy);
        }
        said
    }

    async fn say_disconnected(
        &self,
        user: AccountId,
        device: DeviceId,
        lost: Millis,
        now: (Millis, Duration),
        held: bool,
    ) -> Result<Option<Edge>> {
        let instance = self.instance();
        let grace = if held { clock::millis(self.grace).to_string() } else { String::new() };
        let more = (format!("{instance}:{device}"), grace, lost.0);
        edge_of(&self.presence::<Vec<String>>(&self.scripts.disconnect, user, &instance, now, more).await?)
    }

    /// Says what could not be said while Redis was away, and takes back what is not here any more. Edges that follow are
    /// told by whoever finds that nobody has told them.
    pub(super) async fn tidy(&self, now: Millis) -> Result<()> {
        let instance = self.instance();
        let unsaid = self.unsaid().clone();
        let look = |partition| {
            let mut look = redis::cmd("SMEMBERS");
            look.arg(self.keys.held_by(partition, &instance));
            (partition, look)
        };
        let held: Vec<Vec<String>> = self.link.run_all(Partition::all().map(look).collect()).await?;
        for member in held.iter().flatten() {
            let Some((user, device)) = member_of(member) else { continue };
            if self.mine().get(&user).is_some_and(|mine| mine.iter().any(|(mine, _)| *mine == device)) {
                continue;
            }
            let known = unsaid.get(&(user, device)).copied();
            let Lost { at, held } = known.unwrap_or(Lost { at: now, held: true });
            self.say_disconnected(user, device, at, (now, Duration::ZERO), held).await?;
        }
        self.unsaid().retain(|lost, _| !unsaid.contains_key(lost));
        Ok(())
    }

    pub(super) async fn give_up(&self, user: AccountId, now: Millis) -> Result<()> {
        self.presence(&self.scripts.give_up, user, &self.instance(), (now, PATIENCE), NOTHING).await
    }

    pub(super) async fn expire(&self, user: AccountId, now: Millis) -> Result<Option<Edge>> {
        edge_of(
            &self
                .presence::<Vec<String>>(&self.scripts.expire, user, &self.instance(), (now, PATIENCE), NOTHING)
                .await?,
        )
    }

    pub(super) async fn may_tell(&self, user: AccountId, decided: Millis, now: Millis) -> Result<bool> {
        // Half of it is left for the telling.
        if clock::until(decided, now) < PATIENCE / 2 {
            return Ok(true);
        }
        self.presence(&self.scripts.may_tell, user, &self.instance(), (now, PATIENCE), NOTHING).await
    }

    pub(super) async fn told(&self, user: AccountId, now: Millis) -> Result<Option<Edge>> {
        edge_of(
            &self.presence::<Vec<String>>(&self.scripts.told, user, &self.instance(), (now, PATIENCE), NOTHING).await?,
        )
    }

    pub(super) async fn due(&self, now: Millis) -> Result<Vec<AccountId>> {
        let look = |partition| {
            let mut look = redis::cmd("ZRANGEBYSCORE");
            look.arg(self.keys.due(partition)).arg("-inf").arg(now.0).arg("LIMIT").arg(0).arg(BATCH);
            (partition, look)
        };
        let due: Vec<Vec<i64>> = self.link.run_all(Partition::all().map(look).collect()).await?;
        Ok(due.into_iter().flatten().map(AccountId).collect())
    }

    pub(super) async fn online(&self, users: &[AccountId]) -> Result<Vec<Option<Millis>>> {
        let look = |user: &AccountId| {
            let mut look = redis::cmd("HGET");
            look.arg(self.keys.user(*user)).arg("since");
            (Partition::of_user(*user), look)
        };
        let online: Vec<Option<i64>> = self.link.run_all(users.iter().map(look).collect()).await?;
        Ok(online.into_iter().map(|since| since.map(Millis)).collect())
    }
}

/// A user and a device, as an instance's set names them: `9 instance:7`.
pub(super) fn member_of(member: &str) -> Option<(AccountId, DeviceId)> {
    let (user, device) = member.split_once(' ')?;
    Some((AccountId(user.parse().ok()?), device.rsplit(':').next()?.parse().ok()?))
}

/// An edge as scripts write it; nothing is none.
fn edge_of(words: &[String]) -> Result<Option<Edge>> {
    let broken = || Error::Internal(anyhow::anyhow!("not an edge: {words:?}"));
    let at = |text: &str| text.parse().map(Millis).map_err(|_| broken());
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        ["online", since] => Ok(Some(Edge::Online { since: at(since)? })),
        ["offline", lost, why] => {
            let reason = match why {
                "logout" => OfflineReason::Logout,
                "instance_lost" => OfflineReason::InstanceLost,
                _ => OfflineReason::Disconnected,
            };
            Ok(Some(Edge::Offline { at: at(lost)?, reason }))
        }
        _ => Err(broken()),
    }
}
