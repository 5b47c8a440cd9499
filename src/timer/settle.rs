//! Writing down what was studied, when somebody comes by.
//!
//! Promises that a stretch is written once its phase has ended, or a pause, a stop or the end of the plan has cut it,
//! and that the lines are the same whoever writes them and however late: a crash, a killed server or a lost client
//! changes no second. The sweeper is only the one who comes by when nobody else does.

use std::time::Duration;

use entity::{AccountId, Millis};
use tokio_util::sync::CancellationToken;

use super::{say, store};
use crate::{
    app::App,
    clock,
    db::Tx,
    error::Result,
    people,
    realtime::{Event, protocol::events::StopReason},
    rooms,
    runs::{
        self, Run,
        engine::{Kind, Standing, Timeline},
    },
    study::{self, ledger::Stretch},
};

/// How long an ended phase may wait to be written.
const TICK: Duration = Duration::from_millis(500);

/// Runs that the sweeper takes at once.
const BATCH: u64 = 200;

/// An open-ended run ends when nobody was there for so long.
const ABANDONED: Duration = Duration::from_secs(2 * 3600);

/// How often the sweeper looks whether somebody is there.
const LOOK: Duration = Duration::from_secs(5 * 60);

/// Writes everything up to `upto`, which cuts what lasts.
pub(super) async fn settle(app: &App, tx: &Tx, run: &mut Run, upto: Millis) -> Result<()> {
    let stretches = unwritten(tx, run, upto).await?;
    run.row.settled_to = run.row.settled_to.max(upto);
    study::record(tx, &app.zone, &stretches).await
}

async fn unwritten(tx: &Tx, run: &Run, upto: Millis) -> Result<Vec<Stretch>> {
    let pieces = run.timeline.pieces(run.row.settled_to, upto);
    let room = if pieces.is_empty() { None } else { rooms::current(&**tx, run.row.account_id).await? };
    let stretch = |piece: &runs::engine::Piece| Stretch {
        run: run.row.id,
        account: run.row.account_id,
        room,
        phase: piece.phase,
        is_work: piece.kind == Kind::Work,
        from: piece.from,
        to: piece.to,
        offset: piece.offset,
    };
    Ok(pieces.iter().map(stretch).collect())
}

/// Ends a run at `at` and tells it.
pub(super) async fn finish(app: &App, tx: &Tx, run: &mut Run, at: Millis, reason: StopReason) -> Result<()> {
    settle(app, tx, run, at).await?;
    run.end(at, reason);
    store::update_run(tx, run.row.clone()).await?;
    let event = Event::TimerStopped { user: run.row.account_id.0, run: run.view(at), reason };
    say(tx, &run.row, at, &event).await
}

/// The open run of `who`, unless its plan is fulfilled: then it ends first. The account's lock is held.
pub(super) async fn complete(app: &App, tx: &Tx, who: AccountId, now: Millis) -> Result<Option<Run>> {
    let Some(mut run) = runs::find_open(&**tx, who).await? else { return Ok(None) };
    if let Standing::Ended { at, .. } = run.timeline.at(now) {
        finish(app, tx, &mut run, at, StopReason::Completed).await?;
        return Ok(None);
    }
    Ok(Some(run))
}

/// When something must be written next: at the end of the phase; an open-ended run is looked after in between.
pub(super) fn next_due(run: &Run, now: Millis) -> Option<Millis> {
    if run.row.paused_at.is_some() || run.row.ended_at.is_some() {
        return None;
    }
    let look = (run.row.total_time == 0).then(|| clock::after(now, LOOK));
    run.timeline.phase_ends_at(now).into_iter().chain(look).min()
}

/// Whether it matters that the owner is there, and was not noted lately.
pub(super) fn wants_sight(run: &Run, now: Millis) -> bool {
    run.row.total_time == 0 && clock::after(run.row.seen_at, LOOK) <= now
}

/// The last phase end up to `at`: what lies before it is final.
fn last_phase_end(timeline: &Timeline, at: Millis) -> Millis {
    match timeline.at(at) {
        Standing::Running { phase, .. } | Standing::Paused { phase, .. } => {
            timeline.wall(phase.from).unwrap_or(timeline.started_at)
        }
        Standing::Ended { at, .. } => at,
    }
}

/// Writes ended phases and ends fulfilled or abandoned runs, until `stop`.
pub async fn sweep(app: App, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        loop {
            match sweep_once(&app).await {
                Ok(done) if done == BATCH => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "phases wait to be written");
                    break;
                }
            }
        }
    }
}

/// Comes by once; answers how many runs were looked at. Those whose phase has ended are written in one transaction;
/// those that end are told in one of their own each, because telling locks a room.
pub async fn sweep_once(app: &App) -> Result<u64> {
    let now = app.clock.now();
    let accounts = runs::due(&*app.db, now, BATCH).await?;
    if accounts.is_empty() {
        return Ok(0);
    }
    let mut ending = Vec::new();
    let mut stretches = Vec::new();
    let tx = app.db.begin().await?;
    let mut locked: Vec<_> = people::lock(&tx, accounts.iter().copied()).await?.into_values().collect();
    locked.sort_unstable_by_key(|account| account.id);
    for account in locked {
        let Some(mut run) = runs::find_open(&*tx, account.id).await? else { continue };
        if run.row.due_at.is_none_or(|due| due > now) {
            continue;
        }
        let last_seen = last_seen(app, &run, account.seen_at, now).await?;
        if ends(&run, last_seen, now).is_some() {
            ending.push(account.id);
            continue;
        }
        // While nobody is there, an open-ended run may yet end where they went.
        let horizon =
            if run.row.total_time == 0 { now.min(clock::after(last_seen, app.config.presence.grace)) } else { now };
        let upto = last_phase_end(&run.timeline, horizon);
        stretches.extend(unwritten(&tx, &run, upto).await?);
        run.row.settled_to = run.row.settled_to.max(upto);
        run.row.seen_at = run.row.seen_at.max(last_seen);
        run.row.due_at = next_due(&run, now);
        store::update_run(&tx, run.row).await?;
    }
    study::record(&tx, &app.zone, &stretches).await?;
    tx.commit_quietly().await?;
    for account in ending {
        end(app, account, now).await?;
    }
    Ok(accounts.len() as u64)
}

/// When the owner was last known to be there.
async fn last_seen(app: &App, run: &Run, seen_at: Option<Millis>, now: Millis) -> Result<Millis> {
    let online = app.hub.since(run.row.account_id).await?.is_some();
    Ok(if online { now } else { seen_at.map_or(run.row.seen_at, |seen| seen.max(run.row.seen_at)) })
}

/// Whether the run ends by itself: its plan is fulfilled, or it has no end and nobody was there for long.
fn ends(run: &Run, last_seen: Millis, now: Millis) -> Option<StopReason> {
    if let Standing::Ended { .. } = run.timeline.at(now) {
        return Some(StopReason::Completed);
    }
    let abandoned = run.row.total_time == 0 && clock::after(last_seen, ABANDONED) <= now;
    abandoned.then_some(StopReason::Abandoned)
}

async fn end(app: &App, who: AccountId, now: Millis) -> Result<()> {
    let tx = app.db.begin().await?;
    let account = people::lock_one(&tx, who).await?;
    if let Some(mut run) = complete(app, &tx, who, now).await? {
        let last_seen = last_seen(app, &run, account.seen_at, now).await?;
        if ends(&run, last_seen, now).is_some() {
            let at = clock::after(last_seen, app.config.presence.grace).min(now).max(run.row.settled_to);
            finish(app, &tx, &mut run, at, StopReason::Abandoned).await?;
        }
    }
    tx.commit().await?;
    super::tell_friends(app, who, runs::State::Idle).await;
    Ok(())
}
