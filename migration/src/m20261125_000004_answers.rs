//! Answers are kept for requests that are sent again.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::foreign_key;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("answer")
                    .col(big_integer("account_id"))
                    .col(string("key"))
                    .col(string("fingerprint"))
                    .col(small_integer_null("status"))
                    .col(string_null("media_type"))
                    .col(text_null("body"))
                    .col(big_integer("created_at"))
                    .primary_key(Index::create().col("account_id").col("key"))
                    .foreign_key(&mut foreign_key("answer", "account_id", "account"))
                    .take(),
            )
            .await?;
        manager
            .create_index(Index::create().name("ix_answer_created_at").table("answer").col("created_at").take())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("answer").take()).await
    }
}
