//! Started timers as they are: where each run stands, and the plan it was started with.
//!
//! Promises that whoever shows a person shows the same state, derived from the run and never stored. It reads; starting,
//! pausing and stopping is `timer`'s.

pub mod engine;
pub mod plan;
pub mod row;
mod store;

use std::collections::HashMap;

use entity::{AccountId, Millis, pause, run};
use sea_orm::ConnectionTrait;

pub use self::plan::Plan;
use self::{
    engine::{Kind, Pause, Phase, Standing, Timeline},
    store::{find_last, list_due, list_pauses},
};
use crate::{
    error::Result,
    realtime::protocol::events::{BoundaryView, RunView, StopReason},
};

/// Boundaries that a client is told ahead: it rings them without a connection.
const NEXT: usize = 4;

/// What a person does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No timer runs.
    #[default]
    Idle,
    /// In a work phase.
    Studying,
    /// In a break.
    Break,
    /// The timer is paused.
    Paused,
}

impl State {
    /// The number of the original API.
    pub fn code(self) -> u8 {
        match self {
            Self::Idle => 1,
            Self::Studying => 2,
            Self::Break => 3,
            Self::Paused => 4,
        }
    }

    /// The word on the socket.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Studying => "studying",
            Self::Break => "break",
            Self::Paused => "paused",
        }
    }
}

/// A run with everything that decides where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its row.
    pub row: run::Model,
    /// Its arithmetic.
    pub timeline: Timeline,
}

impl Run {
    /// Puts a run together. A row that holds no plan was not written by us.
    pub fn new(row: run::Model, pauses: &[pause::Model]) -> Result<Self> {
        let plan = Plan::new(row.total_time.into(), row.work_time.into(), row.break_time.into())
            .map_err(|error| anyhow::anyhow!("a stored run has no valid plan: {error}"))?;
        let over = pauses.iter().map(|pause| Pause { from: pause.from_at, to: Some(pause.to_at) });
        let lasting = row.paused_at.map(|from| Pause { from, to: None });
        let timeline = Timeline {
            plan,
            started_at: row.started_at,
            pauses: over.chain(lasting).collect(),
            ended_at: row.ended_at,
        };
        Ok(Self { row, timeline })
    }

    /// Stands still from `now` on.
    pub fn pause(&mut self, now: Millis) {
        self.row.paused_at = Some(now);
        self.timeline.pauses.push(Pause { from: now, to: None });
    }

    /// Goes on from `now`.
    pub fn resume(&mut self, now: Millis) {
        self.row.paused_at = None;
        if let Some(pause) = self.timeline.pauses.last_mut() {
            pause.to = Some(now);
        }
    }

    /// Is over at `at`.
    pub fn end(&mut self, at: Millis, reason: StopReason) {
        self.row.ended_at = Some(at);
        self.row.due_at = None;
        self.row.end_reason = Some(reason.as_str().to_owned());
        self.timeline.ended_at = Some(at);
    }

    /// The last instant at which something happened to it: nothing more happens before that.
    pub fn last_instant(&self) -> Millis {
        let edges = self.timeline.pauses.iter().flat_map(|pause| [Some(pause.from), pause.to]);
        edges.chain([self.row.ended_at]).flatten().fold(self.row.settled_to.max(self.row.started_at), Millis::max)
    }

    /// What its owner does at `now`.
    pub fn state(&self, now: Millis) -> State {
        match self.timeline.at(now) {
            Standing::Running { phase: Phase { kind: Kind::Work, .. }, .. } => State::Studying,
            Standing::Running { phase: Phase { kind: Kind::Break, .. }, .. } => State::Break,
            Standing::Paused { .. } => State::Paused,
            Standing::Ended { .. } => State::Idle,
        }
    }

    /// The run as clients see it at `now`.
    pub fn view(&self, now: Millis) -> RunView {
        let (phase, elapsed, ended_at) = match self.timeline.at(now) {
            Standing::Running { phase, elapsed } | Standing::Paused { phase, elapsed, .. } => {
                (Some(phase), elapsed, None)
            }
            Standing::Ended { at, .. } => (None, self.timeline.elapsed(at), Some(at)),
        };
        RunView {
            id: self.row.id.0,
            total_time: self.row.total_time,
            work_time: self.row.work_time,
            break_time: self.row.break_time,
            started_at: self.row.started_at.0,
            state: self.state(now).as_str(),
            phase: phase.map(|phase| word(phase.kind)),
            index: phase.map(|phase| phase.index),
            elapsed_ms: elapsed,
            paused_at: self.row.paused_at.filter(|_| ended_at.is_none()).map(|at| at.0),
            ends_at: self.timeline.phase_ends_at(now).map(|at| at.0),
            completes_at: self.timeline.ends_at().map(|at| at.0),
            next: self.next(now),
            ended_at: ended_at.map(|at| at.0),
            server_time: now.0,
        }
    }

    /// The next boundaries after `now`.
    pub fn next(&self, now: Millis) -> Vec<BoundaryView> {
        let next = self.timeline.next_phases(now, NEXT);
        next.into_iter()
            .map(|(phase, at)| BoundaryView { index: phase.index, phase: word(phase.kind), at: at.0 })
            .collect()
    }
}

/// A kind of phase on the wire.
pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Work => "work",
        Kind::Break => "break",
    }
}

/// Where the runs of some people stand at one instant.
#[derive(Clone, Debug)]
pub struct Standings {
    at: Millis,
    runs: HashMap<AccountId, Run>,
}

impl Standings {
    /// What `account` does.
    pub fn state(&self, account: AccountId) -> State {
        self.runs.get(&account).map_or(State::Idle, |run| run.state(self.at))
    }

    /// The run of `account`, if one goes on or is paused.
    pub fn view(&self, account: AccountId) -> Option<RunView> {
        let run = self.runs.get(&account)?;
        (run.state(self.at) != State::Idle).then(|| run.view(self.at))
    }

    /// The run itself.
    pub fn run(&self, account: AccountId) -> Option<&Run> {
        self.runs.get(&account)
    }
}

/// Where those among `accounts` stand at `now` whose timer runs.
pub async fn standings(
    connection: &impl ConnectionTrait,
    now: Millis,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<Standings> {
    let runs = list_open(connection, accounts).await?;
    Ok(Standings { at: now, runs: runs.into_iter().map(|run| (run.row.account_id, run)).collect() })
}

/// The open runs of `accounts`.
pub async fn list_open(
    connection: &impl ConnectionTrait,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<Vec<Run>> {
    let accounts: Vec<_> = accounts.into_iter().collect();
    let rows = if accounts.is_empty() { Vec::new() } else { store::list_open(connection, accounts).await? };
    with_pauses(connection, rows).await
}

/// The open run of `account`.
pub async fn find_open(connection: &impl ConnectionTrait, account: AccountId) -> Result<Option<Run>> {
    Ok(list_open(connection, [account]).await?.pop())
}

/// The last run of `account`, open or not.
pub async fn find_latest(connection: &impl ConnectionTrait, account: AccountId) -> Result<Option<Run>> {
    let row = find_last(connection, account).await?;
    Ok(with_pauses(connection, row.into_iter().collect()).await?.pop())
}

/// At most `most` open runs for which something must be written by `now`.
pub async fn due(connection: &impl ConnectionTrait, now: Millis, most: u64) -> Result<Vec<AccountId>> {
    Ok(list_due(connection, now, most).await?.into_iter().map(|row| row.account_id).collect())
}

/// How many open runs wait for something to be written.
pub async fn count_due(connection: &impl ConnectionTrait, now: Millis) -> Result<u64> {
    Ok(store::count_due(connection, now).await?)
}

async fn with_pauses(connection: &impl ConnectionTrait, rows: Vec<run::Model>) -> Result<Vec<Run>> {
    let pauses = list_pauses(connection, rows.iter().map(|row| row.id).collect()).await?;
    let none = Vec::new();
    rows.into_iter()
        .map(|row| {
            let over = pauses.get(&row.id).unwrap_or(&none);
            Run::new(row, over)
        })
        .collect()
}
