//! Doors merged, layers around them, and the tasks that go on beside: `run(listener, stop)`.
//!
//! Promises that when it returns, no task of it is left.

use std::time::Duration;

use anyhow::Context as _;
use axum::{
    Router,
    http::{HeaderValue, Method, header},
    middleware,
    response::IntoResponse,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Layer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    normalize_path::NormalizePathLayer,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accounts, admin,
    app::App,
    auth,
    error::{Error, ErrorCode},
    friends,
    http::{Answer, accept, context, document, measure},
    mail, once, outbox, product_keys, rooms, study, tally, timer, web, ws,
};

/// How often rows and memory that nobody needs any more are removed.
const SWEEP: Duration = Duration::from_secs(60);

/// Every door. Paths are written without their trailing slash; [`run`] accepts both forms.
fn router(app: &App) -> Router {
    Router::from(doors())
        .merge(web::router())
        .fallback(async || Error::from(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || Error::from(ErrorCode::MethodNotAllowed))
        .with_state(app.clone())
        .layer(middleware::from_fn_with_state(app.clone(), once::layer))
        .layer(middleware::from_fn_with_state(app.metrics.clone(), measure::layer))
        .layer(CatchPanicLayer::custom(|_| Error::from(anyhow::anyhow!("a handler panicked")).into_response()))
        .layer(cors(app))
        .layer(middleware::from_fn_with_state(app.config.clone(), context::layer))
}

/// Every door that is described.
fn doors() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document::shared())
        .merge(accounts::routes::router())
        .merge(admin::routes::router())
        .merge(product_keys::routes::router())
        .merge(friends::routes::router())
        .merge(rooms::routes::router())
        .merge(study::routes::router())
        .merge(timer::routes::router())
        .merge(ws::routes::router())
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(version))
}

/// The document of the REST door, as `/docs/openapi.json` shows it.
pub fn openapi() -> anyhow::Result<impl std::fmt::Display> {
    let mut openapi = doors().into_openapi();
    once::describe(&mut openapi);
    document::finish(&openapi)
}

/// Whether the process lives.
#[utoipa::path(get, path = "/livez", tag = "service", security(()), responses((status = 200, body = String)))]
async fn alive() -> Answer<&'static str> {
    Answer::new("alive")
}

/// Which version this is.
#[utoipa::path(get, path = "/version", tag = "service", security(()), responses((status = 200, body = String)))]
async fn version() -> Answer<&'static str> {
    Answer::new(env!("CARGO_PKG_VERSION"))
}

/// Whether everything that an answer may need is there.
#[utoipa::path(
    get, path = "/readyz", tag = "service", security(()), responses((status = 200, body = String)),
    extensions(("x-errors" = json!("draining"))),
)]
async fn ready(axum::extract::State(app): axum::extract::State<App>) -> Result<Answer<&'static str>, Error> {
    if app.drain.is_cancelled() {
        return Err(ErrorCode::Draining.into());
    }
    for checked in [app.db.check().await, app.hub.broker().check().await] {
        checked.map_err(|error| {
            tracing::warn!(%error, "not ready");
            Error::from(ErrorCode::Unavailable)
        })?;
    }
    Ok(Answer::new("ready"))
}

fn cors(app: &App) -> CorsLayer {
    let origins = app.config.server.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT_LANGUAGE, once::HEADER])
        .expose_headers(["x-total-count", "link", "retry-after", "x-request-id"].map(header::HeaderName::from_static))
        .max_age(Duration::from_secs(3600))
}

/// Serves on `listener` until `stop`, then sends the clients away and waits for everything that is under way.
pub async fn run(app: App, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    // What an earlier life left unsaid is said before anybody listens: nobody hears it twice.
    match outbox::drain(&app.db, &app.hub).await {
        // Whoever finds the broker or the database away starts all the same; what is unsaid is said once it is back.
        Err(error) if error.code() == ErrorCode::Unavailable => {
            tracing::warn!(%error, "what was left unsaid waits");
        }
        drained => drained.map(|_| ()).context("relaying what was left unsaid")?,
    }
    let tasks = TaskTracker::new();
    let after = CancellationToken::new();
    // Whoever wonders why a process doesn't end looks for the name that is missing.
    let keep = |name, task: BoxFuture<'static, ()>| {
        tasks.spawn(task.inspect(move |()| tracing::debug!(name, "has ended")));
    };
    keep("broker", app.hub.clone().run(after.clone()).boxed());
    for index in 0..app.hub.registry().writers() {
        keep("writer", app.hub.clone().write(index, after.clone()).boxed());
    }
    keep("relay", outbox::relay(app.db.clone(), app.hub.clone(), app.clock.clone(), after.clone()).boxed());
    keep("mail", mail::deliver(app.clone(), after.clone()).boxed());
    keep("presence", ws::presence::watch(app.clone(), after.clone()).boxed());
    keep("sessions", ws::recheck::watch(app.clone(), after.clone()).boxed());
    keep("tally", tally::keep(app.db.clone(), after.clone()).boxed());
    keep("settling", timer::settle::sweep(app.clone(), after.clone()).boxed());
    keep("ticker", timer::ticker::run(app.clone(), after.clone()).boxed());
    keep("sweep", sweep(app.clone(), after.clone()).boxed());

    let service = NormalizePathLayer::trim_trailing_slash().layer(router(&app));
    let closed = CancellationToken::new();
    let server = accept::serve(listener, service, closed.clone());
    let drain = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.hub.drain_wanted().cancelled() => {}
        }
        ws::drain::run(&app).await;
        // Who wants no clients here may still want to look.
        stop.cancelled().await;
        closed.cancel();
    };
    tokio::join!(server, drain);
    tracing::debug!("no request is under way any more");
    after.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn sweep(app: App, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
        let now = app.clock.now();
        // What nobody asks for any more is let go of only by whoever asks for something else.
        app.pictures.run_pending_tasks();
        app.lobby.run_pending_tasks();
        app.auth.sweep();
        if let Err(error) = app.hub.sweep().await {
            tracing::warn!(%error, "sweeping the broker");
        }
        if let Err(error) = auth::sessions::remove_expired(&app.db, now).await {
            tracing::warn!(%error, "removing expired sessions");
        }
        if let Err(error) = once::remove_old(&app.db, now).await {
            tracing::warn!(%error, "removing old answers");
        }
    }
}
