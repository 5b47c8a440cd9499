//! How many people there are, and who has points, is kept by blocks of ids.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Under numbers that no period has: 8 to 11, who has points in which window; 16, who lives; 17, who is listed.
const FILL: [&str; 3] = [
    "INSERT INTO tally (period, first_day, bucket, accounts)
        SELECT period + 8, first_day, account_id / 1024, COUNT(*) FROM score WHERE listed AND points > 0
        GROUP BY period, first_day, account_id / 1024",
    "INSERT INTO tally (period, first_day, bucket, accounts)
        SELECT 16, 0, id / 1024, COUNT(*) FROM account WHERE deleted_at IS NULL GROUP BY id / 1024",
    "INSERT INTO tally (period, first_day, bucket, accounts)
        SELECT 17, 0, id / 1024, COUNT(*) FROM account WHERE deleted_at IS NULL AND NOT hidden GROUP BY id / 1024",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for fill in FILL {
            manager.get_connection().execute_unprepared(fill).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["tally_change", "tally"] {
            let forget = format!("DELETE FROM {table} WHERE period >= 8");
            manager.get_connection().execute_unprepared(&forget).await?;
        }
        Ok(())
    }
}
