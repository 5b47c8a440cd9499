//! `solgik ledger`: whether totals are what the ledger comes to, also while a server runs on the same database.
//!
//! Promises that `verify` changes nothing and that `rebuild` changes no line of the ledger.

use std::io::{self, Write};

use clap::Subcommand;

use crate::{config::Config, db::Db, study::audit};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print every total that is not what the ledger comes to, a line each; exit with 1 if there is any
    Verify,
    /// Make every total what the ledger comes to
    Rebuild,
}

pub(super) async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let db = Db::connect(&config).await?;
    match command {
        Command::Verify => verify(&db).await,
        Command::Rebuild => Ok(audit::rebuild(&db).await?),
    }
}

async fn verify(db: &Db) -> anyhow::Result<()> {
    let differences = audit::verify(db).await?;
    let mut out = io::stdout().lock();
    for difference in &differences {
        writeln!(out, "{difference}")?;
    }
    out.flush()?;
    anyhow::ensure!(differences.is_empty(), "{} totals differ from the ledger", differences.len());
    Ok(())
}
