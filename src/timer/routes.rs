//! The REST door of the time setting.

use axum::{Router, extract::State, routing::get};

use super::{Change, Plan, PlanView};
use crate::{
    app::App,
    auth::Caller,
    error::{ErrorCode, Result},
    http::{Answer, Body},
    runs::plan::{MAX_PHASE, MAX_TOTAL},
};

/// Paths of this feature.
pub fn router() -> Router<App> {
    Router::new().route("/accounts/timesetting", get(read).post(create).put(change).delete(remove))
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
    Ok(Answer::new(super::create_plan(&app, caller.account, plan).await?))
}

async fn change(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<PlanView>> {
    let mut fields = body.fields();
    let change = Change {
        total_time: fields.int("total_time", 0, MAX_TOTAL),
        work_time: fields.int("work_time", 0, MAX_PHASE),
        break_time: fields.int("break_time", 0, MAX_PHASE),
    };
    fields.finish()?;
    Ok(Answer::new(super::change_plan(&app, caller.account, change).await?))
}

async fn remove(State(app): State<App>, caller: Caller) -> Result<Answer<PlanView>> {
    Ok(Answer::new(super::remove_plan(&app, caller.account).await?))
}
