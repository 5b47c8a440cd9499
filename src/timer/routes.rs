//! The REST door of the timer and the time setting.

use axum::extract::State;
use entity::RunId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

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
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read, create, change, remove))
        .routes(routes!(current))
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(restart))
        .routes(routes!(stop))
}

/// Minutes. A total of 0 has an open end; a work time of 0 is one long phase, and then the break is 0 too.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `create` reads")]
struct PlanBody {
    #[schema(minimum = 0, maximum = 1440, example = 120)]
    total_time: i64,
    #[schema(minimum = 0, maximum = 480, example = 25)]
    work_time: i64,
    #[schema(minimum = 0, maximum = 480, example = 5)]
    break_time: i64,
}

/// Minutes; what isn't sent is as the time setting has it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `read_change` reads")]
struct PlanChangeBody {
    #[schema(minimum = 0, maximum = 1440, example = 120)]
    total_time: Option<i64>,
    #[schema(minimum = 0, maximum = 480, example = 25)]
    work_time: Option<i64>,
    #[schema(minimum = 0, maximum = 480, example = 5)]
    break_time: Option<i64>,
}

/// What any command may carry.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `command` reads")]
struct CommandBody {
    /// Which run is meant; without it, the open one.
    #[schema(minimum = 1)]
    run: Option<i64>,
    /// An id of the client's choice: the same one again changes nothing.
    #[schema(max_length = 64)]
    cmd: Option<String>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `start` reads")]
struct StartBody {
    #[serde(flatten)]
    plan: PlanChangeBody,
    #[serde(flatten)]
    command: CommandBody,
}

/// Where one's timer stands.
#[derive(Debug, Serialize, ToSchema)]
struct TimerView {
    /// 1 idle, 2 studying, 3 break, 4 paused.
    #[schema(minimum = 1, maximum = 4)]
    user_state: u8,
    /// The server's clock.
    #[schema(format = DateTime)]
    time: String,
    /// The run; null if none is open, or the one that has just ended.
    #[schema(required)]
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

/// Where one's timer stands, and what comes next.
#[utoipa::path(get, path = "/accounts/timer", tag = "time", responses((status = 200, body = TimerView)))]
async fn current(State(app): State<App>, caller: Caller) -> Result<Answer<TimerView>> {
    let run = super::sighted(&app, caller.account).await?;
    Ok(Answer::new(view(&app, run.as_ref())))
}

/// Starts a run: of the time setting, or of the values sent.
#[utoipa::path(
    post, path = "/accounts/timer/start", tag = "time", request_body = StartBody,
    responses((status = 200, body = TimerView)),
    extensions(("x-errors" = json!("plan_not_found timer_running out_of_range break_without_work run_not_found too_long out_of_range account_not_found"))),
)]
async fn start(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    let mut fields = body.fields();
    let plan = read_change(&mut fields);
    command(app, caller, Command::Start, plan, fields).await
}

/// Stands still.
#[utoipa::path(
    post, path = "/accounts/timer/pause", tag = "time", request_body = CommandBody,
    responses((status = 200, body = TimerView)),
    extensions(("x-errors" = json!("no_timer timer_paused run_not_found too_long out_of_range account_not_found"))),
)]
async fn pause(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    command(app, caller, Command::Pause, Change::default(), body.fields()).await
}

/// Goes on after a pause.
#[utoipa::path(
    post, path = "/accounts/timer/restart", tag = "time", request_body = CommandBody,
    responses((status = 200, body = TimerView)),
    extensions(("x-errors" = json!("no_timer timer_not_paused run_not_found too_long out_of_range account_not_found"))),
)]
async fn restart(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<TimerView>> {
    command(app, caller, Command::Resume, Change::default(), body.fields()).await
}

/// Ends the run.
#[utoipa::path(
    post, path = "/accounts/timer/stop", tag = "time", request_body = CommandBody,
    responses((status = 200, body = TimerView)),
    extensions(("x-errors" = json!("no_timer run_not_found too_long out_of_range account_not_found"))),
)]
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

/// One's time setting.
#[utoipa::path(
    get, path = "/accounts/timesetting", tag = "time", responses((status = 200, body = PlanView)),
    extensions(("x-errors" = json!("plan_not_found"))),
)]
async fn read(State(app): State<App>, caller: Caller) -> Result<Answer<PlanView>> {
    let plan = super::find_plan(&*app.db, caller.account).await?;
    Ok(Answer::new(plan.ok_or(ErrorCode::PlanNotFound)?))
}

/// Makes the time setting, of which there is one.
#[utoipa::path(
    post, path = "/accounts/timesetting", tag = "time", request_body = PlanBody,
    responses((status = 200, body = PlanView)),
    extensions(("x-errors" = json!("plan_exists required out_of_range break_without_work account_not_found"))),
)]
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

/// Changes the time setting; a run that goes keeps the plan it was started with.
#[utoipa::path(
    put, path = "/accounts/timesetting", tag = "time", request_body = PlanChangeBody,
    responses((status = 200, body = PlanView)),
    extensions(("x-errors" = json!("plan_not_found out_of_range break_without_work account_not_found"))),
)]
async fn change(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<PlanView>> {
    let mut fields = body.fields();
    let change = read_change(&mut fields);
    fields.finish()?;
    Ok(Answer::new(setting::change_plan(&app, caller.account, change).await?))
}

/// Removes the time setting.
#[utoipa::path(
    delete, path = "/accounts/timesetting", tag = "time",
    responses((status = 200, description = "As it was", body = PlanView)),
    extensions(("x-errors" = json!("plan_not_found"))),
)]
async fn remove(State(app): State<App>, caller: Caller) -> Result<Answer<PlanView>> {
    Ok(Answer::new(setting::remove_plan(&app, caller.account).await?))
}
