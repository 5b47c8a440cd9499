//! Sending everybody away, gently: batch by batch, each with its own moment to come back.

use std::time::Duration;

use crate::{
    app::App,
    realtime::{CloseReason, outlet::Closing},
};

/// Time between two batches.
const STEP: Duration = Duration::from_millis(100);

/// Clients come back somewhere within this, so that they don't all knock at once.
const RETURN_MS: std::ops::Range<u32> = 500..5000;

/// How long closing sockets may take once everybody was told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What a client is told that has to come back to another instance, or to this one's next life.
pub(super) fn goodbye() -> Closing {
    Closing { reason: CloseReason::Draining, reconnect_ms: Some(rand::random_range(RETURN_MS)) }
}

/// Refuses whoever is new and sends away whoever is here. Presence is held: they come back, here or elsewhere.
pub async fn run(app: &App) {
    app.drain.cancel();
    // The other instances hear of it, too.
    app.hub.drain_wanted().cancel();
    let steps = (app.config.server.drain.as_millis() / STEP.as_millis()).max(1);
    let everybody = app.hub.registry().all();
    let batch = everybody.len().div_ceil(usize::try_from(steps).unwrap_or(1)).max(1);
    tracing::info!(connections = everybody.len(), "draining");
    for outlets in everybody.chunks(batch) {
        for outlet in outlets {
            outlet.close(goodbye());
        }
        tokio::time::sleep(STEP).await;
    }
    app.tasks.close();
    if tokio::time::timeout(LAST_WORDS, app.tasks.wait()).await.is_err() {
        tracing::info!(connections = app.hub.registry().len(), "some did not say goodbye");
    }
}
