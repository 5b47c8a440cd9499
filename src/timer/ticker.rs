//! Rings phases on time for those who are connected here.
//!
//! Promises one `timer.phase` a boundary and watched run, and one `friend.state` to each friend, with an id that every
//! instance finds by itself. After a pause of the process or a step of the clock it rings the present phase once, not
//! everything that was missed. It writes nothing: a phase follows from the run by arithmetic, whether anybody rings it or
//! not. Friends hear it behind the owner and the room, who have clocks to stop.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use entity::{AccountId, Millis, RoomId};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    clock,
    error::Result,
    friends,
    realtime::{Channel, Event},
    rooms,
    runs::{
        self, Run, State,
        engine::{Phase, Standing},
        word,
    },
};

/// Phases that are rung before others get a turn.
const BURST: usize = 64;

/// Accounts that one query asks about.
const LOOKS: usize = 1000;

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
            self.insert(account, Watched { run, room, due });
        }
    }

    fn insert(&mut self, account: AccountId, watched: Watched) {
        self.due.insert((watched.due, account));
        self.watched.insert(account, watched);
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

/// What friends are to hear of a phase that has begun.
#[derive(Debug)]
struct Rung {
    account: AccountId,
    eid: String,
    at: Millis,
    state: State,
    /// Neither the owner nor the room is here: without friends nobody watches.
    alone: bool,
}

/// Rings until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    // Nobody who rings waits for friends to be looked up. What waits is bounded by what rings within the time of that.
    let (rung, heard) = mpsc::unbounded_channel();
    tokio::join!(ring_all(&app, rung, stop), tell_all(&app, heard));
}

async fn ring_all(app: &App, rung: UnboundedSender<Rung>, stop: CancellationToken) {
    let mut schedule = Schedule::default();
    loop {
        let touched = app.hub.timers().take();
        if !touched.is_empty()
            && let Err(error) = look(app, &mut schedule, touched.iter().copied().collect()).await
        {
            tracing::warn!(%error, "timers are looked at again");
            app.hub.timers().touch(touched);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        ring(app, &mut schedule, &rung).await;
        let now = app.clock.now();
        // Also without anything due it looks now and then: the clock may have been set.
        let soon = clock::after(now, Duration::from_secs(1));
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
    for accounts in accounts.chunks(LOOKS) {
        let standings = runs::standings(&*app.db, now, accounts.iter().copied()).await?;
        let seats = rooms::seats_of(&*app.db, accounts.iter().copied()).await?;
        for account in accounts {
            // A boundary that has passed while nobody rang is still to be rung.
            let since = schedule.remove(*account).map_or(now, |watched| now.min(Millis(watched.due.0 - 1)));
            if let Some(run) = standings.run(*account) {
                schedule.put(*account, run.clone(), seats.get(account).copied(), since);
            }
        }
    }
    Ok(())
}

async fn ring(app: &App, schedule: &mut Schedule, rung: &UnboundedSender<Rung>) {
    let mut changed = Vec::new();
    for burst in 1.. {
        let now = app.clock.now();
        let Some((account, watched)) = schedule.take_due(now) else { break };
        if app.hub.timers().contains(account) {
            // Something was told of this run already: what is known here may contradict that.
            changed.push((account, watched));
        } else if let Standing::Running { phase, .. } = watched.run.timeline.at(now) {
            let at = watched.run.timeline.wall(phase.from).unwrap_or(now);
            let place = format!("{account}:{}:{}", watched.run.row.id, phase.index);
            let channels = [Some(Channel::User(account)), watched.room.map(Channel::Room)];
            let mut alone = true;
            for channel in channels.into_iter().flatten().filter(|channel| app.hub.registry().has_listeners(*channel)) {
                alone = false;
                let event = phase_event(account, &watched.run, phase, now);
                if let Err(error) = app.hub.derive(channel, account, &format!("t:{place}"), at, &event) {
                    tracing::warn!(%error, "a phase was not told");
                }
            }
            let state = watched.run.state(now);
            // There is nobody to receive it only while the service ends.
            let _ = rung.send(Rung { account, eid: format!("f:{place}"), at, state, alone });
            // A run that nobody here watches is forgotten until somebody comes.
            if !alone {
                app.metrics.lateness.observe(clock::until(watched.due, now).as_secs_f64());
                schedule.put(account, watched.run, watched.room, now);
            }
        }
        if burst % BURST == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (account, watched) in changed {
        schedule.insert(account, watched);
    }
}

fn phase_event(account: AccountId, run: &Run, phase: Phase, now: Millis) -> Event {
    Event::TimerPhase {
        user: account.0,
        run: run.row.id.0,
        phase: word(phase.kind),
        index: phase.index,
        state: run.state(now).as_str(),
        ends_at: run.timeline.phase_ends_at(now).map(|at| at.0),
        next: run.next(now),
        server_time: now.0,
    }
}

/// Tells friends, many phases at once: the friends of all of them are looked up together.
async fn tell_all(app: &App, mut heard: UnboundedReceiver<Rung>) {
    let mut rung = Vec::new();
    while heard.recv_many(&mut rung, LOOKS).await > 0 {
        if let Err(error) = tell_friends(app, &rung).await {
            tracing::warn!(%error, "friends were not told of phases");
        }
        rung.clear();
    }
}

async fn tell_friends(app: &App, rung: &[Rung]) -> Result<()> {
    let mut friends: HashMap<_, Vec<_>> = HashMap::new();
    for (account, friend) in friends::pairs(&*app.db, rung.iter().map(|rung| rung.account)).await? {
        let channel = Channel::User(friend);
        if app.hub.registry().has_listeners(channel) {
            friends.entry(account).or_default().push(channel);
        }
    }
    for rung in rung {
        let Some(channels) = friends.get(&rung.account) else { continue };
        let event = Event::FriendState { user: rung.account.0, state: rung.state.as_str() };
        for channel in channels {
            app.hub.derive(*channel, rung.account, &rung.eid, rung.at, &event)?;
        }
    }
    // Somebody watches after all.
    let watched = rung.iter().filter(|rung| rung.alone && friends.contains_key(&rung.account));
    app.hub.timers().touch(watched.map(|rung| rung.account));
    Ok(())
}

#[cfg(test)]
mod tests {
    use entity::{RunId, run};

    use super::*;

    const MINUTE: i64 = 60_000;

    fn run() -> Run {
        let row = run::Model {
            id: RunId(1),
            account_id: AccountId(1),
            total_time: 0,
            work_time: 25,
            break_time: 5,
            started_at: Millis(0),
            paused_at: None,
            ended_at: None,
            end_reason: None,
            settled_to: Millis(0),
            due_at: None,
            seen_at: Millis(0),
            last_command: None,
        };
        Run::new(row, &[]).unwrap()
    }

    #[test]
    fn a_boundary_is_due_once_and_after_a_long_sleep_too() {
        let mut schedule = Schedule::default();
        schedule.put(AccountId(1), run(), None, Millis(0));
        assert!(schedule.take_due(Millis(25 * MINUTE - 1)).is_none());
        let (account, watched) = schedule.take_due(Millis(300 * MINUTE)).unwrap();
        assert_eq!(watched.due, Millis(25 * MINUTE));
        schedule.put(account, watched.run, None, Millis(300 * MINUTE));
        assert!(schedule.take_due(Millis(300 * MINUTE)).is_none());
        assert!(schedule.take_due(Millis(325 * MINUTE)).is_some());
    }
}
