//! How many open rooms there are is kept by blocks of ids.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // 18 is a number that no period has.
        let fill = "INSERT INTO tally (period, first_day, bucket, accounts)
            SELECT 18, 0, id / 1024, COUNT(*) FROM room WHERE closed_at IS NULL GROUP BY id / 1024";
        manager.get_connection().execute_unprepared(fill).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["tally_change", "tally"] {
            let forget = format!("DELETE FROM {table} WHERE period = 18");
            manager.get_connection().execute_unprepared(&forget).await?;
        }
        Ok(())
    }
}
