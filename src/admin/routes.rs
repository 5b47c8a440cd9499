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
    realtime::broker::{ConnectionInfo, Control, InstanceInfo},
};

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
    version: String,
    connections: usize,
    users: usize,
    draining: bool,
}

impl From<InstanceInfo> for InstanceView {
    fn from(info: InstanceInfo) -> Self {
        let InstanceInfo { id, version, connections, users, draining } = info;
        Self { id, version, connections, users, draining }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct ConnectionView {
    instance: String,
    #[serde(flatten)]
    connection: ConnectionInfo,
}

/// All instances.
#[utoipa::path(
    get, path = "/admin/instances", tag = "operators", responses((status = 200, body = [InstanceView])),
    extensions(("x-errors" = json!("staff_only"))),
)]
async fn instances(State(app): State<App>, caller: Caller) -> Result<Answer<Vec<InstanceView>>> {
    caller.require_staff()?;
    Ok(Answer::new(app.hub.broker().instances().await?.into_iter().map(InstanceView::from).collect()))
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
    let broker = app.hub.broker();
    let found = broker.instances().await?.into_iter().find(|instance| instance.id == id);
    let found = found.ok_or(ErrorCode::NotFound)?;
    tracing::info!(by = %caller.account, instance = id, "an operator drains an instance");
    broker.tell(Control::Drained { instance: id }).await?;
    Ok(Answer::new(InstanceView { draining: true, ..found.into() }))
}

/// A user's sockets, wherever they are.
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
    views(&app, user).await
}

async fn views(app: &App, user: AccountId) -> Result<Answer<Vec<ConnectionView>>> {
    let found = app.hub.broker().connections(user).await?.into_iter();
    Ok(Answer::new(found.map(|(instance, connection)| ConnectionView { instance, connection }).collect()))
}

/// Sends a user's sockets away, to come back.
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
    let views = views(&app, user).await?;
    app.hub.broker().tell(Control::SentAway { account: user }).await?;
    Ok(views)
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
