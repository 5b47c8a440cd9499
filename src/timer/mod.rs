//! The timer: one's time setting, and a run of it.
//!
//! Promises that an account has at most one open run, that a command is carried out once however often it is sent, and
//! that a command for an old run changes nothing. What was studied is settled by arithmetic when a command or the sweeper
//! comes by, the same whoever comes first; nothing counts seconds.

pub mod command;
pub mod routes;
pub mod setting;
pub mod settle;
mod store;
pub mod ticker;

use entity::{AccountId, Millis, RunId, account, run};

pub use self::{
    command::Command,
    setting::{PlanView, find_plan},
};
use crate::{
    app::App,
    db::Tx,
    error::{ErrorCode, Result},
    friends, outbox, people,
    realtime::{Channel, Event, protocol::events::StopReason},
    rooms,
    runs::{
        self, Run, State,
        plan::{Change, Plan},
    },
};

/// Commands of an account that are remembered: one of them that comes once more, however late, changes nothing.
const REMEMBERED: usize = 16;

/// Between the ids of commands. No id has one.
const SEPARATOR: char = '\n';

/// A command with what keeps it single.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The run that is meant; another one stays as it is.
    pub run: Option<RunId>,
    /// The client's id of this command: sent again, it changes nothing.
    pub command: Option<String>,
}

/// Carries out `command` of `who`; `plan` overrides the time setting of a start. Answers the run as it is then.
pub async fn carry_out(app: &App, who: AccountId, command: Command, plan: Change, order: Order) -> Result<Run> {
    let order = Order { command: order.command.map(|id| id.replace(SEPARATOR, " ")), ..order };
    let tx = app.db.begin().await?;
    let owner = people::lock_one(&tx, who).await?;
    let latest = runs::find_latest(&*tx, who).await?;
    // Only now is known what came before. A command comes after that, also if it waited for the lock, if the clock was
    // set back, or if an instance whose clock is ahead carried out the last one.
    let now = latest.as_ref().map_or(app.clock.now(), |run| run.last_instant().max(app.clock.now()));
    let known = latest.and_then(|run| run.row.last_command);
    let open = settle::complete(app, &tx, &owner, now).await?;
    if let Some(unchanged) = already_done(&tx, who, open.as_ref(), command, &order).await? {
        tx.commit().await?;
        return Ok(unchanged);
    }
    command::check(open.as_ref().map_or(State::Idle, |run| run.state(now)), command)?;
    let mut run = match open {
        Some(run) => run,
        None => begin(&tx, who, plan, now).await?,
    };
    run.row.last_command = remembered(known.as_deref(), order.command);
    run.row.seen_at = now;
    match command {
        Command::Start => save_and_say(&tx, &mut run, now, |user, run| Event::TimerStarted { user, run }).await?,
        Command::Pause => {
            settle::settle(app, &tx, &mut run, now).await?;
            run.pause(now);
            save_and_say(&tx, &mut run, now, |user, run| Event::TimerPaused { user, run }).await?;
        }
        Command::Resume => {
            store::insert_pause(&tx, &run, now).await?;
            run.resume(now);
            save_and_say(&tx, &mut run, now, |user, run| Event::TimerResumed { user, run }).await?;
        }
        Command::Stop => settle::finish(app, &tx, &mut run, now, StopReason::Stopped).await?,
    }
    tx.commit().await?;
    tell_friends(app, who, run.state(now)).await;
    Ok(run)
}

/// The ids of the last commands, `id` among them, the latest first.
fn remembered(known: Option<&str>, id: Option<String>) -> Option<String> {
    let known = known.into_iter().flat_map(|known| known.split(SEPARATOR).map(str::to_owned));
    let ids: Vec<_> = id.into_iter().chain(known).take(REMEMBERED).collect();
    (!ids.is_empty()).then(|| ids.join("\n"))
}

/// The run that a repeated or late command finds as it left it.
async fn already_done(
    tx: &Tx,
    who: AccountId,
    open: Option<&Run>,
    command: Command,
    order: &Order,
) -> Result<Option<Run>> {
    let Some(latest) = (match open {
        Some(run) => Some(run.clone()),
        None => runs::find_latest(&**tx, who).await?,
    }) else {
        return Ok(None);
    };
    let known = latest.row.last_command.as_ref();
    let repeated = known.zip(order.command.as_ref()).is_some_and(|(known, id)| known.split(SEPARATOR).any(|k| k == id));
    let late = command != Command::Start && order.run.is_some_and(|run| run != latest.row.id || open.is_none());
    Ok((repeated || late).then_some(latest))
}

async fn begin(tx: &Tx, who: AccountId, change: Change, now: Millis) -> Result<Run> {
    let plan = match setting::find(&**tx, who).await? {
        Some(plan) => plan.changed(change)?,
        None if change == Change::default() => return Err(ErrorCode::PlanNotFound.into()),
        None => Plan::new(0, 0, 0)?.changed(change)?,
    };
    Run::new(store::insert_run(tx, who, plan, now).await?, &[])
}

async fn save_and_say(
    tx: &Tx,
    run: &mut Run,
    now: Millis,
    event: impl FnOnce(i64, crate::realtime::protocol::events::RunView) -> Event,
) -> Result<()> {
    run.row.due_at = settle::next_due(run, now);
    store::update_run(tx, run.row.clone()).await?;
    say(tx, &run.row, now, &event(run.row.account_id.0, run.view(now))).await
}

/// Tells the owner's devices and the room.
async fn say(tx: &Tx, run: &run::Model, now: Millis, event: &Event) -> Result<()> {
    outbox::say(tx, Channel::User(run.account_id), now, event).await?;
    rooms::say(tx, run.account_id, now, event).await
}

/// Friends hear what one does; it is nothing that was committed, and follows from what was. Now or later: it is lost only
/// with this process.
async fn tell_friends(app: &App, who: AccountId, state: State) {
    if let Err(error) = say_to_friends(app, who, state).await {
        tracing::warn!(%error, "friends will be told later what somebody does");
        app.hub.untold().touch([who]);
    }
}

async fn say_to_friends(app: &App, who: AccountId, state: State) -> Result<()> {
    let event = Event::FriendState { user: who.0, state: state.as_str() };
    for friend in friends::ids(&*app.db, who).await? {
        app.hub.say(Channel::User(friend), &event).await?;
    }
    Ok(())
}

/// Tells what could not be told before, as it is now.
async fn tell_again(app: &App) {
    let mut untold: Vec<_> = app.hub.untold().take().into_iter().collect();
    let told = async {
        let standings = runs::standings(&*app.db, app.clock.now(), untold.iter().copied()).await?;
        while let Some(who) = untold.last() {
            say_to_friends(app, *who, standings.state(*who)).await?;
            untold.pop();
        }
        Ok::<_, crate::error::Error>(())
    };
    if let Err(error) = told.await {
        tracing::debug!(%error, "friends wait to be told what somebody does");
        app.hub.untold().touch(untold);
    }
}

/// The open run of `who`, who is there at this moment, with a socket or without one: an open end goes on. One that was
/// left for long has ended meanwhile, also if nobody came by to write that down.
pub async fn sighted(app: &App, who: AccountId) -> Result<Option<Run>> {
    let now = app.clock.now();
    let open = runs::find_open(&*app.db, who).await?.filter(|run| run.state(now) != State::Idle);
    if !open.as_ref().is_some_and(|run| settle::wants_sight(run, now)) {
        return Ok(open);
    }
    let tx = app.db.begin().await?;
    let owner = people::lock_one(&tx, who).await?;
    let open = settle::complete(app, &tx, &owner, now).await?;
    if let Some(run) = &open {
        store::update_seen(&tx, run.row.id, now).await?;
    }
    tx.commit().await?;
    if open.is_none() {
        tell_friends(app, who, State::Idle).await;
    }
    Ok(open)
}

/// Ends what an account that goes has running, and forgets its time setting.
pub async fn remove_in(app: &App, tx: &Tx, owner: &account::Model, now: Millis) -> Result<()> {
    if let Some(mut run) = settle::complete(app, tx, owner, now).await? {
        settle::finish(app, tx, &mut run, now, StopReason::Deleted).await?;
    }
    setting::remove_in(tx, owner.id).await
}
