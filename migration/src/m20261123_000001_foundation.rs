//! Accounts, sessions, product keys, rooms, friends, plans and the outbox.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{foreign_key, id};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Children before their parents, so that foreign keys allow the drop.
const TABLES: [&str; 10] = [
    "outbox",
    "plan",
    "friend_request",
    "friendship",
    "membership",
    "room",
    "product_key",
    "password_reset",
    "session",
    "account",
];

fn account(table: &str, column: &'static str) -> ForeignKeyCreateStatement {
    foreign_key(table, column, "account")
}

fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("ix_{table}_{}", columns.join("_"))).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("account")
                    .col(id())
                    .col(string_null("email"))
                    .col(string_null("email_key").unique_key())
                    .col(string_null("password_hash"))
                    .col(string("last_name"))
                    .col(string("first_name"))
                    .col(string("search_name"))
                    .col(small_integer("gender"))
                    .col(string("birth_date"))
                    .col(string_null("image"))
                    .col(boolean("staff"))
                    .col(boolean("hidden"))
                    .col(integer("epoch"))
                    .col(big_integer_null("seen_at"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("deleted_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("session")
                    .col(id())
                    .col(big_integer("account_id"))
                    .col(integer("epoch"))
                    .col(big_integer("created_at"))
                    .col(big_integer("expires_at"))
                    .foreign_key(&mut account("session", "account_id"))
                    .take(),
            )
            .await?;
        manager.create_index(index("session", &["account_id"])).await?;
        manager.create_index(index("session", &["expires_at"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("password_reset")
                    .col(big_integer("account_id").primary_key())
                    .col(string("token_hash"))
                    .col(big_integer("expires_at"))
                    .foreign_key(&mut account("password_reset", "account_id"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("product_key")
                    .col(id())
                    .col(string("key_hash").unique_key())
                    .col(big_integer_null("account_id").unique_key())
                    .col(big_integer("created_at"))
                    .col(big_integer_null("registered_at"))
                    .foreign_key(&mut account("product_key", "account_id"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("room")
                    .col(id())
                    .col(string("name"))
                    .col(string("search_name"))
                    .col(string("description"))
                    .col(string_null("password_hash"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("closed_at"))
                    .take(),
            )
            .await?;
        // Lists show open rooms only; closed ones are kept for good and must not slow them down.
        manager.create_index(index("room", &["closed_at", "id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("membership")
                    .col(big_integer("account_id").primary_key())
                    .col(big_integer("room_id"))
                    .col(string_null("goal"))
                    .col(big_integer("entered_at"))
                    .foreign_key(&mut account("membership", "account_id"))
                    .foreign_key(&mut foreign_key("membership", "room_id", "room"))
                    .take(),
            )
            .await?;
        manager.create_index(index("membership", &["room_id", "entered_at"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("friendship")
                    .col(big_integer("low_id"))
                    .col(big_integer("high_id"))
                    .col(big_integer("created_at"))
                    .primary_key(Index::create().col("low_id").col("high_id"))
                    .foreign_key(&mut account("friendship", "low_id"))
                    .foreign_key(&mut account("friendship", "high_id"))
                    .take(),
            )
            .await?;
        manager.create_index(index("friendship", &["high_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("friend_request")
                    .col(big_integer("sender_id"))
                    .col(big_integer("receiver_id"))
                    .col(big_integer("created_at"))
                    .primary_key(Index::create().col("sender_id").col("receiver_id"))
                    .foreign_key(&mut account("friend_request", "sender_id"))
                    .foreign_key(&mut account("friend_request", "receiver_id"))
                    .take(),
            )
            .await?;
        manager.create_index(index("friend_request", &["receiver_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("plan")
                    .col(big_integer("account_id").primary_key())
                    .col(integer("total_time"))
                    .col(integer("work_time"))
                    .col(integer("break_time"))
                    .foreign_key(&mut account("plan", "account_id"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("outbox")
                    .col(id())
                    .col(string_null("channel"))
                    .col(text("body"))
                    .col(big_integer("at"))
                    .col(big_integer("due_at"))
                    .col(integer("attempts"))
                    .take(),
            )
            .await?;
        manager.create_index(index("outbox", &["channel", "id"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).if_exists().take()).await?;
        }
        Ok(())
    }
}
