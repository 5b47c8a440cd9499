//! `solgik backup FILE`: the embedded database as it stands, beside a running server.
//!
//! Promises one moment of the database, whole or not at all: the file has its name only once it is on the disk, and an
//! existing one is never touched. PostgreSQL has tools of its own for this, and they are better.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::Args;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::say;
use crate::{
    config::Config,
    db::{self, Db},
};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where to; it must not exist
    file: PathBuf,
}

pub(super) async fn run(backup: Backup, config: &Config) -> anyhow::Result<()> {
    let db = Db::open(config).await?;
    ensure!(!db::is_postgres(&*db), "this is for the embedded database; use pg_dump");
    let file = backup.file;
    ensure!(!file.exists(), "{} exists", file.display());
    let mut part = file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let made = make(&db, &part, &file).await.with_context(|| format!("writing {}", file.display()));
    if made.is_err() {
        // What is left of a failure is in the way of the next try; there may be nothing.
        let _ = fs::remove_file(&part);
    }
    made?;
    say(format_args!(
        "{} is whole. Keep the secret with it: tokens and product keys are nothing without.",
        file.display()
    ))
}

async fn make(db: &Db, part: &Path, file: &Path) -> anyhow::Result<()> {
    // It holds what only the service may know. SQLite writes into an empty file, and leaves its mode as it is.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    let name = part.to_str().context("the name is not UTF-8")?;
    db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [name.into()])).await?;
    created.sync_all()?;
    // Not a renaming: that would replace a file that has come meanwhile.
    fs::hard_link(part, file)?;
    fs::remove_file(part)?;
    Ok(())
}
