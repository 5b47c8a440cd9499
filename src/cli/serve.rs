//! `solgik serve`: the service itself, until SIGTERM or Ctrl-C.

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{app::App, clock::Clock, config::Config, server};

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let address = config.server.listen;
    // Before anything else: an address in use is the likeliest mistake, and the quickest to tell.
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    let app = App::build(config, Clock::default()).await?;
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopper = stop.clone();
    let signals = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopper.cancel();
    });
    tracing::info!(instance = app.hub.instance(), "serving on http://{address}");
    let served = server::run(app, listener, stop).await;
    signals.abort();
    served
}
