//! `solgik migrate`: the schema by hand; `serve` brings it up to date by itself.

use clap::Subcommand;
use migration::{Migrator, MigratorTrait};

use super::say;
use crate::{config::Config, db::Db};

#[derive(Debug, Subcommand)]
pub(super) enum Migrate {
    /// Apply every step that is missing
    Up,
    /// Undo steps, the newest first
    Down {
        /// How many
        #[arg(default_value_t = 1)]
        steps: u32,
    },
    /// Say which steps are applied
    Status,
}

pub(super) async fn run(command: Migrate, config: &Config) -> anyhow::Result<()> {
    let db = Db::open(config).await?;
    match command {
        Migrate::Up => Migrator::up(db.pool(), None).await?,
        Migrate::Down { steps } => Migrator::down(db.pool(), Some(steps)).await?,
        Migrate::Status => {}
    }
    for step in Migrator::get_migration_with_status(&*db).await? {
        say(format_args!("{} {}", step.status(), step.name()))?;
    }
    Ok(())
}
