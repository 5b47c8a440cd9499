//! The schema, one reversible step a file, embedded in the binary and applied at start.
//!
//! A step is never edited once it has been applied anywhere, and never imports `entity`: rows change, history doesn't.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{MigrationName, MigrationStatus, MigratorTrait, seaql_migrations as applied};

mod m20261123_000001_foundation;
mod m20261123_000002_time;
mod m20261125_000001_left_runs;
mod m20261125_000002_grams;
mod m20261125_000003_headcount;
mod m20261125_000004_answers;
mod m20261126_000001_open_rooms;
mod table;

/// Every step in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_foundation::Migration),
            Box::new(m20261123_000002_time::Migration),
            Box::new(m20261125_000001_left_runs::Migration),
            Box::new(m20261125_000002_grams::Migration),
            Box::new(m20261125_000003_headcount::Migration),
            Box::new(m20261125_000004_answers::Migration),
            Box::new(m20261126_000001_open_rooms::Migration),
        ]
    }
}
