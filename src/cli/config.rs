//! `solgik config`: whether the settings are good, without starting anything.

use clap::Subcommand;

use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read every layer, check it and print what results; secrets are left out
    Check,
}

#[allow(clippy::print_stdout, reason = "the answer of a command")]
pub(super) fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Check => println!("{config:#?}"),
    }
    Ok(())
}
