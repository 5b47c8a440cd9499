//! Names are found by their runs of one, two and three characters.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The runs of each line of a name, of rows that can be found. A line feed is written into the text as it is.
const FILL: [&str; 2] = [
    "WITH RECURSIVE place (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM place
            WHERE at < (SELECT MAX(length(search_name)) FROM account)),
        run (length) AS (SELECT 1 UNION ALL SELECT length + 1 FROM run WHERE length < 3)
    INSERT INTO account_gram (gram, id)
    SELECT DISTINCT substr(search_name, at, length), account.id FROM account
        JOIN place ON at <= length(search_name) CROSS JOIN run
    WHERE deleted_at IS NULL AND at + length - 1 <= length(search_name)
        AND substr(search_name, at, length) NOT LIKE '%\n%'",
    "WITH RECURSIVE place (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM place
            WHERE at < (SELECT MAX(length(search_name)) FROM room)),
        run (length) AS (SELECT 1 UNION ALL SELECT length + 1 FROM run WHERE length < 3)
    INSERT INTO room_gram (gram, id)
    SELECT DISTINCT substr(search_name, at, length), room.id FROM room
        JOIN place ON at <= length(search_name) CROSS JOIN run
    WHERE closed_at IS NULL AND at + length - 1 <= length(search_name)
        AND substr(search_name, at, length) NOT LIKE '%\n%'",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["account_gram", "room_gram"] {
            // Without a foreign key: rows are never deleted, and it would be looked up for every run.
            manager
                .create_table(
                    Table::create()
                        .table(table)
                        .col(string("gram"))
                        .col(big_integer("id"))
                        .primary_key(Index::create().col("gram").col("id"))
                        .take(),
                )
                .await?;
        }
        for fill in FILL {
            manager.get_connection().execute_unprepared(fill).await?;
        }
        // The list by name.
        let by_name = "CREATE INDEX ix_account_search_name ON account (search_name, id) WHERE deleted_at IS NULL";
        manager.get_connection().execute_unprepared(by_name).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP INDEX ix_account_search_name").await?;
        for table in ["account_gram", "room_gram"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}
