//! The operator's doors: figures of this instance on a listener of their own, and what staff may see and do.
//!
//! Promises that figures are not reachable at the public address, that one which can't be had right now keeps the others
//! from nobody, and that no label names a person. Staff sees and sends away connections wherever they are.

pub mod routes;

use anyhow::Context;
use axum::{Router, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    clock,
    config::Config,
    error::{Error, Result},
    outbox, runs,
    telemetry::process::Process,
};

/// The media type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The operator's listener. Somebody who starts a second instance to look at it has not asked for a second listener: a
/// default address that is taken is told and gone without. One that was asked for has to be free.
pub async fn listen(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.admin.listen else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if !config.admin_is_set => {
            tracing::warn!(
                %error,
                "no metrics: {address} is taken, perhaps by another instance; SOLGIK__ADMIN__LISTEN chooses another \
                 address, or none if it is empty"
            );
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("listening on {address} (admin.listen)")),
    }
}

/// Answers on `listener` until `stop`.
pub async fn run(app: App, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let router = Router::new().route(
        "/metrics",
        get(async move || Ok::<_, Error>(([(header::CONTENT_TYPE, TEXT)], figures(&app).await?).into_response())),
    );
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.context("serving figures")
}

/// Everything that is measured, as it stands now.
async fn figures(app: &App) -> Result<String> {
    let metrics = &app.metrics;
    look_at_connections(app);
    let (running, waiting) = app.auth.passwords().load();
    metrics.hashes_running.set(count(running));
    metrics.hashes_waiting.set(count(waiting));
    metrics.draining.set(i64::from(app.drain.is_cancelled()));
    metrics.tasks.set(count(tokio::runtime::Handle::current().metrics().num_alive_tasks()));
    let (open, idle) = app.db.connections();
    metrics.database_connections.set(i64::from(open));
    metrics.database_idle.set(count(idle));
    let answers = look_at_rows(app).await;
    if let Err(error) = &answers {
        tracing::warn!(%error, "figures of the database are not to be had");
    }
    metrics.database_up.set(i64::from(answers.is_ok()));
    metrics.broker_up.set(i64::from(app.hub.broker().check().await.is_ok()));
    metrics.broker_lease_age.set(app.hub.broker().lease_age().as_secs_f64());
    if let Some(process) = Process::now() {
        metrics.look_at(&process);
    }
    Ok(metrics.text()?)
}

fn look_at_connections(app: &App) {
    let (registry, metrics) = (app.hub.registry(), &app.metrics);
    let (mut frames, mut bytes, mut longest) = (0, 0, 0);
    for outlet in registry.all() {
        let queued = outlet.queued();
        frames += queued.0;
        bytes += queued.1;
        longest = longest.max(queued.0);
    }
    metrics.connections.set(count(registry.len()));
    metrics.users.set(count(registry.accounts()));
    metrics.queue_frames.set(count(frames));
    metrics.queue_bytes.set(count(bytes));
    metrics.queue_longest.set(count(longest));
}

async fn look_at_rows(app: &App) -> Result<()> {
    let (now, metrics) = (app.clock.now(), &app.metrics);
    let backlog = outbox::backlog(&*app.db).await?;
    let age = backlog.oldest.map_or(0.0, |oldest| clock::until(oldest, now).as_secs_f64());
    metrics.outbox_events.set(count(backlog.events));
    metrics.outbox_age.set(age);
    metrics.outbox_letters.set(count(backlog.letters));
    metrics.settle_backlog.set(count(runs::count_due(&*app.db, now).await?));
    Ok(())
}

fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
