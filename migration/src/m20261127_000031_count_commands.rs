//! The entries of one command by where they stand, so that the batch is counted in an index alone, however many hosts it is
//! for.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::plain;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_index(plain("queue_entry_command_state", "queue_entry", &["command_id", "state"])).await?;
        manager.drop_index(Index::drop().name("queue_entry_command").table("queue_entry").to_owned()).await
    }
}
