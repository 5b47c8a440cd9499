//! Writing down what was studied, when somebody comes by.
//!
//! Promises that a stretch is written once its phase has ended, or a pause, a stop or the end of the plan has cut it,
//! and that the lines are the same whoever writes them and however late: a crash, a killed server or a lost client
//! changes no second. The sweeper is only the one who comes by when nobody else does.

use std::time::Duration;

use entity::{AccountId, Millis, RoomId, account};
use tokio_util::sync::CancellationToken;

use super::{say, store};
use crate::{
    app::App,
    clock,
    db::Tx,
    error::{ErrorCode, Result},
    people,
    realtime::{Event, protocol::events::StopReason},
    rooms,
    runs::{
        self, Run, State,
        engine::{Kind, Piece, Standing, Timeline},
    },
    study::{self, ledger::Stretch},
};

/// How long an ended phase may wait to be written.
const TICK: Duration = Duration::from_millis(500);

/// Runs that the sweeper takes at once: few statements for many, and nobody waits long for the locks.
const BATCH: u64 = 500;

/// An open-ended run ends when nobody was there for so long.
const ABANDONED: Duration = Duration::from_secs(2 * 3600);

/// How often the sweeper looks whether somebody is there.
const LOOK: Duration = Duration::from_secs(5 * 60);

/// Writes everything up to `upto`, which cuts what lasts.
pub(super) async fn settle(app: &App, tx: &Tx, run: &mut Run, upto: Millis) -> Result<()> {
    let room = rooms::current(&**tx, run.row.account_id).await?;
    let stretches = unwritten(run, room, upto);
    run.row.settled_to = run.row.settled_to.max(upto);
    study::record(tx, &app.zone, &stretches).await
}

fn unwritten(run: &Run, room: Option<RoomId>, upto: Millis) -> Vec<Stretch> {
    let pieces = run.timeline.pieces(run.row.settled_to, upto);
    let stretch = |piece: &Piece| Stretch {
        run: run.row.id,
        account: run.row.account_id,
        room,
        phase: piece.phase,
        is_work: piece.kind == Kind::Work,
        from: piece.from,
        to: piece.to,
        offset: piece.offset,
    };
    pieces.iter().map(stretch).collect()
}

/// Ends a run at `at` and tells it.
pub(super) async fn finish(app: &App, tx: &Tx, run: &mut Run, at: Millis, reason: StopReason) -> Result<()> {
    settle(app, tx, run, at).await?;
    run.end(at, reason);
    store::update_run(tx, run.row.clone()).await?;
    let event = Event::TimerStopped { user: run.row.account_id.0, run: run.view(at), reason };
    say(tx, &run.row, at, &event).await
}

/// The open run of `owner`, whose lock is held. One whose plan is fulfilled, or that was left for long, ends first, where
/// the sweeper would have ended it.
pub(super) async fn complete(app: &App, tx: &Tx, owner: &account::Model, now: Millis) -> Result<Option<Run>> {
    let Some(mut run) = runs::find_open(&**tx, owner.id).await? else { return Ok(None) };
    let online = app.hub.seen(&[owner.id]).await.iter().any(Option::is_some);
    match end_of(app, &run, last_seen(&run, owner, online, now), now) {
        Some((at, reason)) => finish(app, tx, &mut run, at, reason).await.map(|()| None),
        None => Ok(Some(run)),
    }
}

/// When somebody must look at it next: at the end of the phase, and at an open end, paused or not, in between.
pub(super) fn next_due(run: &Run, now: Millis) -> Option<Millis> {
    if run.row.ended_at.is_some() {
        return None;
    }
    let look = (run.row.total_time == 0).then(|| clock::after(now, LOOK));
    run.timeline.phase_ends_at(now).into_iter().chain(look).min()
}

/// Whether it matters that the owner is there, and was not noted lately.
pub fn wants_sight(run: &Run, now: Millis) -> bool {
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

/// Writes ended phases, ends fulfilled or abandoned runs, and tells friends what they could not be told, until `stop`.
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
        super::tell_again(&app).await;
    }
}

/// Comes by once; answers how many runs were looked at. Those whose phase has ended are written together, with few
/// statements for all of them; those that end are told in a transaction of their own each, because telling locks a room.
pub async fn sweep_once(app: &App) -> Result<u64> {
    let now = app.clock.now();
    let accounts = runs::due(&*app.db, now, BATCH).await?;
    if accounts.is_empty() {
        return Ok(0);
    }
    let tx = app.db.begin().await?;
    let owners = people::lock(&tx, accounts.iter().copied()).await?;
    let mut due = runs::list_open(&*tx, owners.keys().copied()).await?;
    due.retain(|run| run.row.due_at.is_some_and(|at| at <= now));
    let ids: Vec<_> = due.iter().map(|run| run.row.account_id).collect();
    let online: Vec<Option<bool>> = match app.hub.broker().online(&ids).await {
        Err(error) if error.code() == ErrorCode::Unavailable => vec![None; ids.len()],
        online => online?.iter().map(|since| Some(since.is_some())).collect(),
    };
    let seats = rooms::seats_of(&*tx, ids).await?;
    let (mut ending, mut written, mut stretches) = (Vec::new(), Vec::with_capacity(due.len()), Vec::new());
    for (mut run, online) in due.into_iter().zip(online) {
        let id = run.row.account_id;
        let Some(owner) = owners.get(&id) else { continue };
        let Some(online) = online.or((run.row.total_time != 0).then_some(false)) else {
            // No open end comes because nobody can know whether its owner is there: it is looked at again.
            run.row.due_at = next_due(&run, now);
            written.push(run.row);
            continue;
        };
        let last_seen = last_seen(&run, owner, online, now);
        if end_of(app, &run, last_seen, now).is_some() {
            ending.push(id);
            continue;
        }
        // While nobody is there, an open-ended run may yet end where they went.
        let horizon =
            if run.row.total_time == 0 { now.min(clock::after(last_seen, app.config.presence.grace)) } else { now };
        let upto = last_phase_end(&run.timeline, horizon);
        stretches.extend(unwritten(&run, seats.get(&id).copied(), upto));
        run.row.settled_to = run.row.settled_to.max(upto);
        run.row.seen_at = run.row.seen_at.max(last_seen);
        run.row.due_at = next_due(&run, now);
        written.push(run.row);
    }
    store::update_settled(&tx, &written).await?;
    study::record(&tx, &app.zone, &stretches).await?;
    tx.commit_quietly().await?;
    for account in ending {
        end(app, account, now).await?;
    }
    Ok(accounts.len() as u64)
}

/// When the owner was last known to be there.
fn last_seen(run: &Run, owner: &account::Model, online: bool, now: Millis) -> Millis {
    if online { now } else { owner.seen_at.map_or(run.row.seen_at, |seen| seen.max(run.row.seen_at)) }
}

/// How the run has ended by itself: its plan is fulfilled, or it has no end and nobody was there for long. Then it ended
/// where they went, whoever finds that out and however late.
fn end_of(app: &App, run: &Run, last_seen: Millis, now: Millis) -> Option<(Millis, StopReason)> {
    if let Standing::Ended { at, .. } = run.timeline.at(now) {
        return Some((at, StopReason::Completed));
    }
    let abandoned = run.row.total_time == 0 && clock::after(last_seen, ABANDONED) <= now;
    let at = clock::after(last_seen, app.config.presence.grace).min(now).max(run.last_instant());
    abandoned.then_some((at, StopReason::Abandoned))
}

async fn end(app: &App, who: AccountId, now: Millis) -> Result<()> {
    let tx = app.db.begin().await?;
    let owner = people::lock_one(&tx, who).await?;
    let open = complete(app, &tx, &owner, now).await?;
    tx.commit().await?;
    let state = open.map_or(State::Idle, |run| run.state(now));
    super::tell_friends(app, who, state).await;
    Ok(())
}
