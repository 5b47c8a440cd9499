//! `solgik ws-check URL`: which of the protocol's promises a running server keeps.
//!
//! Promises an exit code of 1 if one is broken.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::say;
use crate::client::check;

#[derive(Debug, Args)]
pub(super) struct WsCheck {
    /// http://host:port of the server; people sign up there, and are deleted at the end
    url: String,
    /// A token a line of three people who are there already, and are kept
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
}

pub(super) async fn run(command: WsCheck) -> anyhow::Result<()> {
    let tokens = match &command.tokens {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        None => String::new(),
    };
    let tokens: Vec<_> = tokens.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let verdicts = check::run(&command.url, &tokens).await?;
    verdicts.iter().try_for_each(say)?;
    let broken = verdicts.iter().filter(|verdict| verdict.is_broken()).count();
    ensure!(broken == 0, "{broken} of {} promises are broken", verdicts.len());
    Ok(())
}
