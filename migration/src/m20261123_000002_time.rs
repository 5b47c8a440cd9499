//! Runs, their pauses, the ledger and its caches.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{foreign_key, id};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Children before their parents, so that foreign keys allow the drop.
const TABLES: [&str; 7] = ["tally_change", "tally", "score", "day_total", "segment", "pause", "run"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("run")
                    .col(id())
                    .col(big_integer("account_id"))
                    .col(integer("total_time"))
                    .col(integer("work_time"))
                    .col(integer("break_time"))
                    .col(big_integer("started_at"))
                    .col(big_integer_null("paused_at"))
                    .col(big_integer_null("ended_at"))
                    .col(string_null("end_reason"))
                    .col(big_integer("settled_to"))
                    .col(big_integer_null("due_at"))
                    .col(big_integer("seen_at"))
                    .col(string_null("last_command"))
                    .foreign_key(&mut foreign_key("run", "account_id", "account"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("pause")
                    .col(big_integer("run_id"))
                    .col(big_integer("from_at"))
                    .col(big_integer("to_at"))
                    .primary_key(Index::create().col("run_id").col("from_at"))
                    .foreign_key(&mut foreign_key("pause", "run_id", "run"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("segment")
                    .col(id())
                    .col(big_integer("run_id"))
                    .col(big_integer("account_id"))
                    .col(big_integer_null("room_id"))
                    .col(big_integer("phase"))
                    .col(small_integer("kind"))
                    .col(small_integer("source"))
                    .col(big_integer("from_at"))
                    .col(big_integer("to_at"))
                    .col(integer("day"))
                    .col(integer("points"))
                    .foreign_key(&mut foreign_key("segment", "run_id", "run"))
                    .foreign_key(&mut foreign_key("segment", "account_id", "account"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("day_total")
                    .col(big_integer("account_id"))
                    .col(integer("day"))
                    .col(big_integer("work_ms"))
                    .col(integer("points"))
                    .primary_key(Index::create().col("account_id").col("day"))
                    .foreign_key(&mut foreign_key("day_total", "account_id", "account"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("score")
                    .col(small_integer("period"))
                    .col(integer("first_day"))
                    .col(big_integer("account_id"))
                    .col(big_integer("points"))
                    .col(boolean("listed"))
                    .primary_key(Index::create().col("period").col("first_day").col("account_id"))
                    .foreign_key(&mut foreign_key("score", "account_id", "account"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("tally")
                    .col(small_integer("period"))
                    .col(integer("first_day"))
                    .col(integer("bucket"))
                    .col(big_integer("accounts"))
                    .primary_key(Index::create().col("period").col("first_day").col("bucket"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("tally_change")
                    .col(id())
                    .col(small_integer("period"))
                    .col(integer("first_day"))
                    .col(integer("bucket"))
                    .col(big_integer("change"))
                    .take(),
            )
            .await?;
        manager
            .alter_table(Table::alter().table("account").add_column(boolean("share_study").default(true)).take())
            .await?;
        for index in [
            // The database itself says that an account has at most one open run.
            "CREATE UNIQUE INDEX ux_run_open ON run (account_id) WHERE ended_at IS NULL",
            "CREATE INDEX ix_run_due_at ON run (due_at) WHERE due_at IS NOT NULL",
            // The same stretch is written once, whoever writes it.
            "CREATE UNIQUE INDEX ux_segment_once ON segment (run_id, from_at, source)",
            "CREATE INDEX ix_segment_account_id ON segment (account_id, from_at)",
            // A board's page is read in its order; ties stand by account.
            "CREATE INDEX ix_score_board ON score (period, first_day, points DESC, account_id) WHERE listed AND points > 0",
            // Who may stand on a board is counted without reading the accounts, and listed by id.
            "CREATE INDEX ix_account_listed ON account (id) WHERE NOT hidden AND deleted_at IS NULL",
            // Hiding touches what one account has on all boards.
            "CREATE INDEX ix_score_account_id ON score (account_id)",
        ] {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).if_exists().take()).await?;
        }
        manager.alter_table(Table::alter().table("account").drop_column("share_study").take()).await
    }
}
