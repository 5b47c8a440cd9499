//! What instances say to each other beside events.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use entity::AccountId;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, timeout},
};

use super::{Inner, keys::Partition};
use crate::{
    clock,
    error::Result,
    realtime::broker::{ConnectionInfo, Control, Tried},
};

/// How long others may take to answer an operator's question.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether they have.
const PACE: Duration = Duration::from_millis(20);

/// A word to all instances.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    Control(Control),
    /// Whoever holds connections of a user puts them under a name.
    Asked(Question),
    /// After a loss of Redis, an instance has said again whom it holds.
    Restored,
}

/// See [`Word::Asked`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    account: i64,
    reply: String,
}

impl Inner {
    pub(super) async fn tell(&self, control: Control) -> Result<()> {
        // Here at once: whatever becomes of the word, this instance has heard it.
        self.obey(&control);
        self.say(&Word::Control(control)).await
    }

    /// Whoever is connected is shown who is there anew, and whoever comes back is, for as long as there is something to
    /// come back to: what they saw before may have been drawn without those who are here.
    pub(super) async fn tell_restored(&self) -> Result<()> {
        let doubt = |partition| {
            let mut doubt = redis::cmd("SET");
            doubt.arg(self.keys.doubt(partition)).arg(1).arg("PX").arg(clock::millis(self.memory.age));
            (partition, doubt)
        };
        let _: Vec<()> = self.link.run_all(Partition::all().map(doubt).collect()).await?;
        self.say(&Word::Restored).await
    }

    async fn say(&self, word: &Word) -> Result<()> {
        let word = serde_json::to_string(word).map_err(anyhow::Error::from)?;
        let publish = if self.link.target.is_cluster() { "SPUBLISH" } else { "PUBLISH" };
        self.link.run(redis::cmd(publish).arg(self.keys.words()).arg(word)).await
    }

    fn obey(&self, control: &Control) {
        if control.addressee().is_none_or(|addressee| *addressee == *self.instance()) {
            self.sink.control(control);
        }
    }

    /// A word has come. One's own comes back as well; obeying twice changes nothing.
    pub(super) fn hear_word(&self, word: &str) -> anyhow::Result<()> {
        match serde_json::from_str(word)? {
            Word::Control(control) => self.obey(&control),
            Word::Asked(question) => self.ask.send(question)?,
            Word::Restored => self.owe(|owed| owed.hear_restored(Instant::now())),
        }
        Ok(())
    }

    /// Answers the others' questions; until the task that it runs in ends.
    pub(super) async fn answer(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Question>) {
        while let Some(Question { account, reply }) = asked.recv().await {
            let here = self.sink.connections(AccountId(account));
            let answer = serde_json::to_string(&(&*self.instance(), here)).unwrap_or_default();
            let put = async {
                let () = self.link.run(redis::cmd("RPUSH").arg(&reply).arg(answer)).await?;
                self.link.run(redis::cmd("PEXPIRE").arg(&reply).arg(clock::millis(PATIENCE * 10))).await
            };
            let put: Result<()> = put.await;
            if let Err(error) = put {
                tracing::debug!(%error, "an operator's question stays without an answer");
            }
        }
    }

    /// A user's connections wherever they are. Instances that don't answer in time are left out.
    pub(super) async fn connections(&self, account: AccountId) -> Result<Vec<(String, ConnectionInfo)>> {
        let fields: Vec<String> = self.link.run(redis::cmd("HKEYS").arg(self.keys.user(account))).await?;
        let instances = fields.iter().filter_map(|field| field.strip_prefix('@')?.split_once(':'));
        let instances: BTreeSet<_> = instances.map(|(instance, _)| instance).collect();
        if instances.is_empty() {
            return Ok(Vec::new());
        }
        let reply = self.keys.kept(&format!("reply:{:016x}", rand::random::<u64>()));
        self.say(&Word::Asked(Question { account: account.0, reply: reply.clone() })).await?;
        let mut answers = Vec::new();
        let gather = async {
            let mut pace = interval(PACE);
            loop {
                pace.tick().await;
                let found: Vec<String> = self.link.run(redis::cmd("LRANGE").arg(&reply).arg(0).arg(-1)).await?;
                let found = found.iter().filter_map(|answer| serde_json::from_str(answer).ok());
                answers = found.collect::<Vec<(String, Vec<ConnectionInfo>)>>();
                if instances.iter().all(|wanted| answers.iter().any(|(instance, _)| instance == wanted)) {
                    return Ok::<_, crate::error::Error>(());
                }
            }
        };
        if let Ok(failed) = timeout(PATIENCE, gather).await {
            failed?;
        }
        answers.sort_by(|(a, _), (b, _)| a.cmp(b));
        let each = |(instance, connections): (String, Vec<ConnectionInfo>)| {
            connections.into_iter().map(move |connection| (instance.clone(), connection))
        };
        Ok(answers.into_iter().flat_map(each).collect())
    }

    pub(super) async fn tried(&self, who: &str, how: Tried) -> Result<Option<Duration>> {
        let arguments = match how {
            Tried::Counted { tries, window } => ("counted", i64::from(tries), clock::millis(window)),
            Tried::Attempted { free, longest } => ("attempted", i64::from(free), clock::millis(longest)),
            Tried::Forgiven => ("forgiven", 0, 0),
        };
        let wait: u64 = self.link.eval(&self.scripts.tried, &[self.keys.tries(who)], arguments).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }
}
