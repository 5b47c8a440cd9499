//! `solgik demo`: an embedded server with a few people in it, for a first look.
//!
//! Promises that it leaves nothing behind, unless a folder or a database was given for it.

use anyhow::Context;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::say;
use crate::{
    app::App,
    client::demo::{self, VISITOR},
    clock::Clock,
    config::Config,
    server,
};

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How many come and go
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(2..=64))]
    students: u16,
}

pub(super) async fn run(command: Demo, mut config: Config, keeps_data: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the data")?;
    if !keeps_data {
        folder.path().clone_into(&mut config.data_dir);
    }
    // Who ends a demo doesn't want to wait.
    config.server.drain = std::time::Duration::from_secs(1);
    let listener = TcpListener::bind(config.server.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", config.server.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = App::build(config, Clock::default()).await?;
    let stop = CancellationToken::new();
    let people = async {
        say(format_args!("Open {url} and sign in as {} with the password: {}", VISITOR.0, VISITOR.1))?;
        say("Ctrl-C ends it.")?;
        let lived = demo::run(&url, usize::from(command.students), stop.clone()).await;
        // Without people there is nothing to see.
        stop.cancel();
        lived
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        stop.cancel();
    };
    let (served, lived, ()) = tokio::join!(server::run(app, listener, stop.clone()), people, end);
    served.and(lived)
}
