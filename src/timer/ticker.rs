//! Rings phases on time for those who are connected here.
//!
//! Promises one `timer.phase` a boundary and watched run, with an id that every instance finds by itself. After a pause
//! of the process or a step of the clock it rings the present phase once, not everything that was missed. It writes
//! nothing: a phase follows from the run by arithmetic, whether anybody rings it or not.

use std::collections::{BTreeSet, HashMap};

use entity::{AccountId, Millis, RoomId};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    clock,
    error::Result,
    realtime::{Channel, Event},
    rooms,
    runs::{self, Run, engine::Standing, word},
};

/// Phases that are rung before others get a turn.
const BURST: usize = 64;

#[derive(Debug)]
struct Watched {
    run: Run,
    room: Option<RoomId>,
    due: Millis,
}

/// The runs that somebody here watches, by their next boundary.
#[derive(Debug, Default)]
struct Schedule {
    watched: HashMap<AccountId, Watched>,
    due: BTreeSet<(Millis, AccountId)>,
}

impl Schedule {
    fn put(&mut self, account: AccountId, run: Run, room: Option<RoomId>, now: Millis) {
        self.remove(account);
        if let Some(due) = run.timeline.next_phases(now, 1).first().map(|(_, at)| *at) {
            self.due.insert((due, account));
            self.watched.insert(account, Watched { run, room, due });
        }
    }

    fn remove(&mut self, account: AccountId) -> Option<Watched> {
        let watched = self.watched.remove(&account)?;
        self.due.remove(&(watched.due, account));
        Some(watched)
    }

    fn take_due(&mut self, now: Millis) -> Option<(AccountId, Watched)> {
        let account = self.due.first().filter(|(due, _)| *due <= now)?.1;
        Some((account, self.remove(account)?))
    }
}

/// Rings until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut schedule = Schedule::default();
    loop {
        let touched = app.hub.timers().take();
        if !touched.is_empty()
            && let Err(error) = look(&app, &mut schedule, touched.iter().copied().collect()).await
        {
            tracing::warn!(%error, "timers are looked at again");
            app.hub.timers().touch(touched);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        ring(&app, &mut schedule).await;
        let now = app.clock.now();
        // Also without anything due it looks now and then: the clock may have been set.
        let soon = clock::after(now, std::time::Duration::from_secs(1));
        let next = schedule.due.first().map_or(soon, |(due, _)| (*due).min(soon));
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.hub.timers().woken() => {}
            () = tokio::time::sleep(clock::until(now, next)) => {}
        }
    }
}

/// Reads anew where the runs of `accounts` stand.
async fn look(app: &App, schedule: &mut Schedule, accounts: Vec<AccountId>) -> Result<()> {
    let now = app.clock.now();
    let standings = runs::standings(&*app.db, now, accounts.iter().copied()).await?;
    let seats = rooms::seats_of(&*app.db, accounts.iter().copied()).await?;
    for account in &accounts {
        schedule.remove(*account);
    }
    for (account, run) in standings.runs() {
        schedule.put(*account, run.clone(), seats.get(account).copied(), now);
    }
    Ok(())
}

async fn ring(app: &App, schedule: &mut Schedule) {
    for burst in 0.. {
        let now = app.clock.now();
        let Some((account, watched)) = schedule.take_due(now) else { return };
        let channels = [Some(Channel::User(account)), watched.room.map(Channel::Room)];
        let heard = channels.into_iter().flatten().filter(|channel| app.hub.registry().has_listeners(*channel));
        let mut watches = false;
        for channel in heard {
            watches = true;
            if let Err(error) = tell(app, channel, account, &watched.run, now) {
                tracing::warn!(%error, "a phase was not told");
            }
        }
        // A run that nobody here watches is forgotten until somebody comes.
        if watches {
            app.metrics.lateness.observe(clock::until(watched.due, now).as_secs_f64());
            schedule.put(account, watched.run, watched.room, now);
        }
        if burst % BURST == BURST - 1 {
            tokio::task::yield_now().await;
        }
    }
}

fn tell(app: &App, channel: Channel, account: AccountId, run: &Run, now: Millis) -> Result<()> {
    let Standing::Running { phase, .. } = run.timeline.at(now) else { return Ok(()) };
    let event = Event::TimerPhase {
        user: account.0,
        run: run.row.id.0,
        phase: word(phase.kind),
        index: phase.index,
        state: run.state(now).as_str(),
        ends_at: run.timeline.phase_ends_at(now).map(|at| at.0),
        next: run.next(now),
        server_time: now.0,
    };
    let eid = format!("t:{account}:{}:{}", run.row.id, phase.index);
    app.hub.derive(channel, account, &eid, run.timeline.wall(phase.from).unwrap_or(now), &event)
}
