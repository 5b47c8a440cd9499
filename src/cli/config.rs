//! `solgik config`: whether the settings are good, without starting anything.

use clap::Subcommand;

use super::say;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read every layer, check it and print what results; secrets are left out
    Check,
}

pub(super) fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Check => say(format_args!("{config:#?}")),
    }
}
