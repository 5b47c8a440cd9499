//! The REST door of the timer and the time setting.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use entity::RunId;
use serde::Serialize;

use super::{Command, Order, PlanView, setting};
use crate::{
    app::App,
    auth::Caller,
    clock::rfc3339,
    error::{ErrorCode, FieldError, Result},
    http::{Answer, Body, Fields},
    runs::{
        self, Run,
        plan::{Change, MAX_PHASE, MAX_TOTAL, Plan},
        row::RunRow,
    },
};

/// Characters of a command's id.
const LONGEST_ID: usize = 64;

/// Paths of this feature.
pub fn router() -> Router<App> {
    Router::new()
        .route("/accounts/timesetting", get(read).post(create).put(change).delete(remove))
        .route("/accounts/timer", get(current))
        .route("/accounts/timer/start", post(start))
        .route("/accounts/timer/pause", post(pause))
        .route("/accounts/timer/restart", post(restart))
        .route("/accounts/timer/stop", post(stop))
}

/// Where one's timer stands.
#[derive(Debug, Serialize)]
struct TimerView {
    /// 1 idle, 2 studying, 3 break, 4 paused.
    user_state: u8,
    /// The server's clock.
    time: String,
    /// The run; null if none is open, or the one that has just ended.
    run: Option<RunRow>,
}

fn view(app: &App, run: Option<&Run>) -> TimerView {
    let now = app.clock.now();
    TimerView {
        user_state: run.map_or(runs::State::Idle, |run| run.state(now)).code(),
        time: rfc3339(now),
        run: run.map(|run| run.view(now).into()),
    }
}

async fn current(State(app): State<App>, caller: Caller) -> Result<Answer<TimerView>> {
    let run = super::sighted(&app, caller.account).await?;
    Ok(Answer::new(view(&app, run.as_ref())))
}

async fn start(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    let mut fields = body.fields();
    let plan = read_change(&mut fields);
    command(app, caller, Command::Start, plan, fields).await
}

async fn pause(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    command(app, caller, Command::Pause, Change::default(), body.fields()).await
}

async fn restart(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    command(app, caller, Command::Resume, Change::default(), body.fields()).await
}

async fn stop(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    command(app, caller, Command::Stop, Change::default(), body.fields()).await
}

async fn command(
    app: App,
    caller: Caller,
    command: Command,
    plan: Change,
    mut fields: Fields,
) -> Result<Answer<TimerView>> {
    let order = Order { run: fields.int("run", 1, i64::MAX).map(RunId), command: fields.text("cmd") };
    if order.command.as_ref().is_some_and(|id| id.chars().count() > LONGEST_ID) {
        fields.refuse(FieldError::new("cmd", ErrorCode::TooLong).with("max", LONGEST_ID));
    }
    fields.finish()?;
    let run = super::carry_out(&app, caller.account, command, plan, order).await?;
    Ok(Answer::new(view(&app, Some(&run))))
}

async fn read(State(app): State<App>, caller: Caller) -> Result<Answer<PlanView>> {
    let plan = super::find_plan(&*app.db, caller.account).await?;
    Ok(Answer::new(plan.ok_or(ErrorCode::PlanNotFound)?))
}

async fn create(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<PlanView>> {
    let mut fields = body.fields();
    let total_time = fields.required_int("total_time", 0, MAX_TOTAL);
    let work_time = fields.required_int("work_time", 0, MAX_PHASE);
    let break_time = fields.required_int("break_time", 0, MAX_PHASE);
    fields.finish()?;
    let plan = Plan::new(total_time, work_time, break_time)?;
    Ok(Answer::new(setting::create_plan(&app, caller.account, plan).await?))
}

fn read_change(fields: &mut Fields) -> Change {
    Change {
        total_time: fields.int("total_time", 0, MAX_TOTAL),
        work_time: fields.int("work_time", 0, MAX_PHASE),
        break_time: fields.int("break_time", 0, MAX_PHASE),
    }
}

async fn change(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<PlanView>> {
    let mut fields = body.fields();
    let change = read_change(&mut fields);
    fields.finish()?;
    Ok(Answer::new(setting::change_plan(&app, caller.account, change).await?))
}

async fn remove(State(app): State<App>, caller: Caller) -> Result<Answer<PlanView>> {
    Ok(Answer::new(setting::remove_plan(&app, caller.account).await?))
}
