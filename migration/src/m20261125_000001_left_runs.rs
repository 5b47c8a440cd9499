//! Open-ended runs are looked after while they are paused, too: those that are paused already get their turn.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let due =
            "UPDATE run SET due_at = paused_at WHERE ended_at IS NULL AND paused_at IS NOT NULL AND total_time = 0";
        manager.get_connection().execute_unprepared(due).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let never = "UPDATE run SET due_at = NULL WHERE ended_at IS NULL AND paused_at IS NOT NULL";
        manager.get_connection().execute_unprepared(never).await.map(|_| ())
    }
}
