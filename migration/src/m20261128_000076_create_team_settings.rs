//! Settings of teams, by name.

use sea_orm_migration::prelude::*;

use crate::{big, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("team_setting")
            .col(big("team_id"))
            .col(text("name"))
            .col(text("value"))
            .primary_key(Index::create().col("team_id").col("name"))
            .take();
        manager.create_table(table).await
    }
}
