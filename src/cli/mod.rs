//! The command line: one file a subcommand.

mod backup;
mod config;
mod demo;
mod document;
mod healthcheck;
mod keys;
mod ledger;
mod loadtest;
mod migrate;
mod seed;
mod serve;
mod user;
mod ws_check;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{Config, Flags};

/// A realtime study-room service.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (this is the default)
    Serve,
    /// Change the database's schema
    #[command(subcommand)]
    Migrate(migrate::Migrate),
    /// Make, import, list and revoke product keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Check what the ledger comes to
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Write the embedded database to a file, also beside a running server
    Backup(backup::Backup),
    /// Exit with 0 if the server on this machine is ready, else with 1
    Healthcheck,
    /// Make, change and delete accounts
    #[command(subcommand)]
    User(user::Command),
    /// Put a server under load and verify what it does meanwhile
    Loadtest(Box<loadtest::Loadtest>),
    /// Print the document of the REST door (OpenAPI 3.1)
    Openapi,
    /// Print the document of the socket (AsyncAPI 3.0)
    Asyncapi,
    /// Try the protocol's promises on a running server
    WsCheck(ws_check::WsCheck),
    /// Serve with a few people who come, study and leave
    Demo(demo::Demo),
    /// Look at the settings
    #[command(subcommand)]
    Config(config::Command),
}

#[allow(clippy::print_stderr, reason = "the last word of a command that failed")]
/// Carries out the command; its failure is one line and a non-zero exit.
pub fn run(cli: Cli) -> ExitCode {
    match try_run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("solgik: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One line of a command's answer. Whoever listens may have heard enough: that is an error like any other, no panic.
fn say(line: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn try_run(cli: Cli) -> anyhow::Result<()> {
    let config = Config::load(&cli.flags, std::env::vars())?;
    let _telling = crate::telemetry::init(&config.log)?;
    let keeps_data = cli.flags.data.is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(config).await,
            Command::Migrate(command) => migrate::run(command, &config).await,
            Command::Keys(command) => keys::run(command, config).await,
            Command::Ledger(command) => ledger::run(command, config).await,
            Command::Backup(backup) => backup::run(backup, &config).await,
            Command::Healthcheck => healthcheck::run(&config).await,
            Command::User(command) => user::run(command, config).await,
            Command::Loadtest(command) => loadtest::run(*command),
            Command::WsCheck(command) => ws_check::run(command).await,
            Command::Demo(command) => demo::run(command, config, keeps_data).await,
            Command::Openapi => document::openapi(),
            Command::Asyncapi => document::asyncapi(),
            Command::Config(command) => config::run(command, &config),
        }
    })
}
