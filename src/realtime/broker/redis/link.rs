//! The way to Redis: a connection for commands that comes back by itself.
//!
//! Promises that while Redis is away a command fails at once instead of queueing, and that each command carries the
//! name of the server that its connection leads to: a script that finds the mark of another one knows that the last
//! words of that one may be lost. It repeats nothing by itself.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::sleep,
};

use super::{
    keys::Partition,
    scripts::Lua,
    wire::{Target, Wire},
};
use crate::error::{Error, ErrorCode, Result};

/// Waits between two attempts to connect.
const RETRY: std::ops::Range<u64> = 100..400;

/// How long to wait before a cluster of which a part is away is looked at once more.
const ANEW: Duration = Duration::from_secs(1);

/// Commands that may be on their way at one time. Whoever comes after them waits for a place and not for an answer: where
/// thousands speak at once, Redis takes longer for all of them than anybody waits for an answer.
pub(super) const UNDER_WAY: usize = 256;

/// A connection that works, as far as anybody knows.
#[derive(Clone)]
struct Live {
    wire: Wire,
    /// The server's name for this life of it; empty in a cluster, where each node is asked for its own.
    server: Arc<str>,
    number: u64,
}

/// The connection for commands.
pub(super) struct Link {
    pub(super) target: Target,
    live: RwLock<Option<Live>>,
    lost: Notify,
    /// A cluster is to be looked at anew; until then what is there goes on being used.
    anew: AtomicBool,
    places: Semaphore,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("target", &self.target).field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        let places = Semaphore::new(UNDER_WAY);
        Self { target, live: RwLock::new(None), lost: Notify::new(), anew: AtomicBool::new(false), places }
    }

    pub(super) fn is_up(&self) -> bool {
        self.live.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A place in the connection: to be taken before it is looked at, which may be lost meanwhile.
    async fn place(&self) -> Result<SemaphorePermit<'_>> {
        Ok(self.places.acquire().await.map_err(anyhow::Error::from)?)
    }

    fn live(&self) -> Result<Live> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner).clone();
        live.ok_or_else(|| ErrorCode::Unavailable.into())
    }

    /// Connects once.
    pub(super) async fn connect(&self) -> anyhow::Result<()> {
        let mut wire = self.target.connect(None::<fn(redis::PushInfo) -> Result<(), ()>>).await?;
        let server = match self.target.is_cluster() {
            true => String::new(),
            false => server_of(&mut wire).await?,
        };
        let live = Live { wire, server: server.into(), number: rand::random() };
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live);
        Ok(())
    }

    /// Connects until it is connected, and again whenever the connection breaks. Says each time that it has.
    pub(super) async fn keep(&self, connected: impl Fn()) {
        let mut said = false;
        loop {
            if !self.is_up() || self.anew.swap(false, Ordering::Relaxed) {
                match self.connect().await {
                    Ok(()) => said = false,
                    Err(error) => {
                        self.anew.store(true, Ordering::Relaxed);
                        if !std::mem::replace(&mut said, true) {
                            tracing::warn!(%error, "Redis is not to be reached; trying on");
                        }
                        sleep(Duration::from_millis(rand::random_range(RETRY))).await;
                        continue;
                    }
                }
            }
            connected();
            if self.target.is_cluster() {
                sleep(ANEW).await;
            }
            self.lost.notified().await;
        }
    }

    /// The connection was found to be broken; a later one may be there already. That to a cluster still leads to the nodes
    /// that are left, but not to whichever takes over from one that is gone.
    fn give_up(&self, number: u64) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|live| live.number == number) {
            match self.target.is_cluster() {
                true => self.anew.store(true, Ordering::Relaxed),
                false => *live = None,
            }
            self.lost.notify_one();
        }
    }

    fn judge(&self, number: u64, error: RedisError) -> Error {
        let kind = error.kind();
        let away = matches!(
            kind,
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
            ) | ErrorKind::Io
                | ErrorKind::ClusterConnectionNotFound
        );
        // A server that has become a replica does not close its connections by itself.
        let broken = error.is_unrecoverable_error()
            || matches!(kind, ErrorKind::Io | ErrorKind::Server(ServerErrorKind::ReadOnly));
        if broken || (away && self.target.is_cluster()) {
            self.give_up(number);
        }
        if away || broken {
            tracing::debug!(%error, "Redis does not answer");
            ErrorCode::Unavailable.into()
        } else {
            Error::Internal(anyhow::Error::from(error).context("asking Redis"))
        }
    }

    /// Runs one command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let _place = self.place().await?;
        let mut live = self.live()?;
        command.query_async(&mut live.wire).await.map_err(|error| self.judge(live.number, error))
    }

    /// Runs commands, each with the partition of its keys, in as few steps as there can be; answers in their order.
    pub(super) async fn run_all<T: FromRedisValue>(&self, commands: Vec<(Partition, Cmd)>) -> Result<Vec<T>> {
        let _place = self.place().await?;
        let live = self.live()?;
        let run = async |commands: Vec<(usize, Cmd)>| {
            let mut pipeline = redis::Pipeline::with_capacity(commands.len());
            let (indices, commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
            for command in commands {
                pipeline.add_command(command);
            }
            let answers: Vec<T> = pipeline.query_async(&mut live.wire.clone()).await?;
            Ok::<_, RedisError>(indices.into_iter().zip(answers).collect::<Vec<_>>())
        };
        let mut groups = std::collections::BTreeMap::<Option<Partition>, Vec<(usize, Cmd)>>::new();
        for (index, (partition, command)) in commands.into_iter().enumerate() {
            groups.entry(self.target.is_cluster().then_some(partition)).or_default().push((index, command));
        }
        let answers = futures_util::future::try_join_all(groups.into_values().map(run)).await;
        let mut answers =
            answers.map_err(|error| self.judge(live.number, error))?.into_iter().flatten().collect::<Vec<_>>();
        answers.sort_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Runs a script. Its first argument is the server's name.
    pub(super) async fn eval<T: FromRedisValue>(
        &self,
        script: &Lua,
        keys: &[String],
        arguments: impl ToRedisArgs,
    ) -> Result<T> {
        let place = self.place().await?;
        let answer = self.eval_at_once(script, keys, arguments).await;
        drop(place);
        answer
    }

    /// The same ahead of everybody who waits for a place: for signs of life, which nobody may miss because others speak.
    pub(super) async fn eval_at_once<T: FromRedisValue>(
        &self,
        script: &Lua,
        keys: &[String],
        arguments: impl ToRedisArgs,
    ) -> Result<T> {
        let mut live = self.live()?;
        let call = |command: &str, what: &str| {
            let mut call = redis::cmd(command);
            call.arg(what).arg(keys.len()).arg(keys).arg(&*live.server).arg(&arguments);
            call
        };
        let mut answer = call("EVALSHA", &script.digest).query_async(&mut live.wire).await;
        if answer.as_ref().is_err_and(|error: &RedisError| error.kind() == NO_SCRIPT) {
            answer = call("EVAL", &script.code).query_async(&mut live.wire).await;
        }
        answer.map_err(|error| self.judge(live.number, error))
    }
}

const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

/// The server's name for its present life. A replica is none: what is written there is lost.
async fn server_of(wire: &mut Wire) -> anyhow::Result<String> {
    let info: String = redis::cmd("INFO").query_async(wire).await?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    anyhow::ensure!(field("role") == Some("master"), "this Redis is a replica, or loads");
    field("run_id").map(str::to_owned).ok_or_else(|| anyhow::anyhow!("this Redis does not say who it is"))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::realtime::broker::redis::scripts::Scripts;

    #[tokio::test]
    async fn a_sign_of_life_waits_for_nobody() {
        let link = Link::new(Target::parse("redis://127.0.0.1:1/0").unwrap());
        let scripts = Scripts::new();
        let places = link.places.acquire_many(u32::try_from(UNDER_WAY).unwrap()).await.unwrap();
        let mut waiting = pin!(link.eval::<()>(&scripts.beat, &[], ""));
        assert!(waiting.as_mut().now_or_never().is_none());
        let away = |done: Option<Result<()>>| done.unwrap().unwrap_err().code() == ErrorCode::Unavailable;
        assert!(away(link.eval_at_once(&scripts.beat, &[], "").now_or_never()));
        drop(places);
        assert!(away(waiting.now_or_never()), "a place, and still no connection");
    }
}
