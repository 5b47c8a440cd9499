//! Sockets whose session has ended without a word reaching this instance.
//!
//! Promises that a socket outlives its session by less than a minute, whatever becomes of the words that instances send
//! each other: a part of the sockets is looked up in the database every few seconds. An instance alone hears every word, and
//! looks at nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    auth::sessions,
    error::Result,
    realtime::{
        CloseReason,
        broker::Which,
        outlet::{Closing, Outlet},
    },
};

/// Time between two looks.
const TICK: Duration = Duration::from_secs(5);

/// So many looks see every socket once.
const PARTS: u64 = 9;

/// Sessions that one query looks up.
const BATCH: usize = 500;

/// Looks until `stop`.
pub async fn watch(app: App, stop: CancellationToken) {
    if app.is_alone() {
        return stop.cancelled().await;
    }
    let mut part = 0;
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        part = (part + 1) % PARTS;
        if let Err(error) = look(&app, |outlet| outlet.id % PARTS == part).await {
            tracing::debug!(%error, "sessions can't be looked up");
        }
    }
}

async fn look(app: &App, due: impl Fn(&Outlet) -> bool) -> Result<()> {
    let outlets = app.hub.registry().those(due);
    for outlets in outlets.chunks(BATCH) {
        let ids = outlets.iter().map(|outlet| outlet.session);
        let alive = sessions::alive(&*app.db, ids, app.clock.now()).await?;
        for outlet in outlets.iter().filter(|outlet| !alive.contains(&outlet.session)) {
            app.auth.forget(outlet.account, Which::One(outlet.session));
            outlet.close(Closing { reason: CloseReason::SessionEnded, reconnect_ms: None });
        }
    }
    Ok(())
}
