//! The REST door of operators: who is connected here, and sending them away.

use axum::{
    Router,
    extract::{Path, State},
    routing::{delete, get, post},
};
use entity::AccountId;
use serde::Serialize;

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
pub fn router() -> Router<App> {
    Router::new()
        .route("/admin/instances", get(instances))
        .route("/admin/instances/{id}/drain", post(drain))
        .route("/admin/users/{id}/connections", get(connections).delete(disconnect))
        .route("/admin/users/{id}/sessions", delete(end_sessions))
}

#[derive(Debug, Serialize)]
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

#[derive(Debug, Serialize)]
struct ConnectionView {
    instance: String,
    #[serde(flatten)]
    connection: ConnectionInfo,
}

async fn instances(State(app): State<App>, caller: Caller) -> Result<Answer<Vec<InstanceView>>> {
    caller.require_staff()?;
    Ok(Answer::new(app.hub.broker().instances().await?.into_iter().map(InstanceView::from).collect()))
}

async fn drain(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Answer<InstanceView>> {
    caller.require_staff()?;
    let broker = app.hub.broker();
    let found = broker.instances().await?.into_iter().find(|instance| instance.id == id);
    let found = found.ok_or(ErrorCode::NotFound)?;
    tracing::info!(by = %caller.account, instance = id, "an operator drains an instance");
    broker.tell(Control::Drained { instance: id }).await?;
    Ok(Answer::new(InstanceView { draining: true, ..found.into() }))
}

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

async fn end_sessions(State(app): State<App>, caller: Caller, PathId(user): PathId<AccountId>) -> Result<Answer<()>> {
    caller.require_staff()?;
    tracing::info!(by = %caller.account, %user, "an operator ends sessions");
    accounts::end_sessions(&app, user).await?;
    Ok(Answer::new(()))
}
