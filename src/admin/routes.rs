//! The REST door of operators: who is connected here, and sending them away.

use axum::extract::{Path, State};
use entity::AccountId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accounts,
    app::App,
    auth::Caller,
    error::{ErrorCode, Result},
    http::{Answer, PathId},
    people,
    realtime::{
        CloseReason,
        outlet::{Closing, Outlet},
    },
};

/// Whoever is sent away comes back after so long: soon, and not before the socket is gone.
const RETURN_MS: u64 = 500;

/// Paths of this door.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(instances))
        .routes(routes!(drain))
        .routes(routes!(connections, disconnect))
        .routes(routes!(end_sessions))
}

#[derive(Debug, Serialize, ToSchema)]
struct InstanceView {
    id: String,
    version: &'static str,
    connections: usize,
    users: usize,
    draining: bool,
}

impl InstanceView {
    fn new(app: &App) -> Self {
        Self {
            id: app.hub.instance().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            connections: app.hub.registry().len(),
            users: app.hub.registry().accounts(),
            draining: app.drain.is_cancelled() || app.hub.drain_wanted().is_cancelled(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct ConnectionView {
    id: u64,
    instance: String,
    session: i64,
    age_secs: u64,
    queue_frames: usize,
    queue_bytes: usize,
    /// Null before the first heartbeat.
    #[schema(required)]
    round_trip_ms: Option<f64>,
}

impl ConnectionView {
    fn new(app: &App, outlet: &Outlet) -> Self {
        let (queue_frames, queue_bytes) = outlet.queued();
        Self {
            id: outlet.id,
            instance: app.hub.instance().to_string(),
            session: outlet.session.0,
            age_secs: outlet.age().as_secs(),
            queue_frames,
            queue_bytes,
            round_trip_ms: outlet.round_trip().map(|took| took.as_secs_f64() * 1000.0),
        }
    }
}

/// This instance.
#[utoipa::path(
    get, path = "/admin/instances", tag = "operators", responses((status = 200, body = [InstanceView])),
    extensions(("x-errors" = json!("staff_only"))),
)]
async fn instances(State(app): State<App>, caller: Caller) -> Result<Answer<[InstanceView; 1]>> {
    caller.require_staff()?;
    Ok(Answer::new([InstanceView::new(&app)]))
}

/// Takes nobody in and sends everybody away, and goes on answering.
#[utoipa::path(
    post, path = "/admin/instances/{id}/drain", tag = "operators",
    params(("id" = String, Path, description = "Which instance")),
    responses((status = 200, body = InstanceView)),
    extensions(("x-errors" = json!("staff_only not_found"))),
)]
async fn drain(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Answer<InstanceView>> {
    caller.require_staff()?;
    if *id != *app.hub.instance() {
        return Err(ErrorCode::NotFound.into());
    }
    tracing::info!(by = %caller.account, "an operator drains this instance");
    app.hub.drain_wanted().cancel();
    Ok(Answer::new(InstanceView::new(&app)))
}

/// A user's sockets here.
#[utoipa::path(
    get, path = "/admin/users/{id}/connections", tag = "operators", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, body = [ConnectionView])),
    extensions(("x-errors" = json!("staff_only account_not_found"))),
)]
async fn connections(
    State(app): State<App>,
    caller: Caller,
    PathId(user): PathId<AccountId>,
) -> Result<Answer<Vec<ConnectionView>>> {
    caller.require_staff()?;
    people::get(&*app.db, user).await?;
    let outlets = app.hub.registry().of(user);
    Ok(Answer::new(outlets.iter().map(|outlet| ConnectionView::new(&app, outlet)).collect()))
}

/// Sends a user's sockets here away, to come back.
#[utoipa::path(
    delete, path = "/admin/users/{id}/connections", tag = "operators", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, body = [ConnectionView])),
    extensions(("x-errors" = json!("staff_only account_not_found"))),
)]
async fn disconnect(
    State(app): State<App>,
    caller: Caller,
    PathId(user): PathId<AccountId>,
) -> Result<Answer<Vec<ConnectionView>>> {
    caller.require_staff()?;
    people::get(&*app.db, user).await?;
    tracing::info!(by = %caller.account, %user, "an operator sends connections away");
    let outlets = app.hub.registry().of(user);
    let views = outlets.iter().map(|outlet| ConnectionView::new(&app, outlet)).collect();
    for outlet in outlets {
        outlet.close(Closing { reason: CloseReason::Draining, reconnect_ms: Some(RETURN_MS) });
    }
    Ok(Answer::new(views))
}

/// Signs a user out everywhere.
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions", tag = "operators", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)), responses((status = 200)),
    extensions(("x-errors" = json!("staff_only account_not_found"))),
)]
async fn end_sessions(State(app): State<App>, caller: Caller, PathId(user): PathId<AccountId>) -> Result<Answer<()>> {
    caller.require_staff()?;
    tracing::info!(by = %caller.account, %user, "an operator ends sessions");
    accounts::end_sessions(&app, user).await?;
    Ok(Answer::new(()))
}
