//! `solgik serve`: the service itself, until SIGTERM or Ctrl-C.

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{admin, app::App, clock::Clock, config::Config, server};

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let address = config.server.listen;
    // Before anything else: an address in use is the likeliest mistake, and the quickest to tell.
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    let admin = admin::listen(&config).await?;
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
        tell_manager(NotifyState::Stopping);
        stopper.cancel();
    });
    tracing::info!(instance = &*app.hub.instance(), "serving on http://{address}");
    let gone = CancellationToken::new();
    // Figures are told to the last moment: how it ends is worth seeing.
    let figures = async {
        match admin {
            Some(admin) => admin::run(app.clone(), admin, gone.clone()).await,
            None => Ok(()),
        }
    };
    let service = async {
        let served = server::run(app.clone(), listener, stop).await;
        gone.cancel();
        served
    };
    // Whoever connects from now on is accepted: the address is ours.
    tell_manager(NotifyState::Ready);
    let (served, told) = tokio::join!(service, figures);
    signals.abort();
    served.and(told)
}

/// Tells systemd, if it is systemd that started this (`Type=notify`).
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
