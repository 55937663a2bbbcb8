//! What was done, for people to read.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::plain;
use crate::{big, big_null, id, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(activity()).await?;
        manager.create_index(plain("activity_age", "activity", &["created_at"])).await?;
        manager.create_index(plain("activity_kind", "activity", &["kind", "id"])).await?;
        manager.create_table(activity_host()).await?;
        manager.create_index(plain("activity_host_activity", "activity_host", &["activity_id"])).await
    }
}

fn activity() -> TableCreateStatement {
    Table::create()
        .table("activity")
        .col(id())
        .col(big("created_at"))
        .col(text("kind"))
        .col(big_null("actor_id"))
        .col(text_null("actor_name"))
        .col(text_null("actor_email"))
        .col(text("details"))
        .take()
}

/// Which activities stand in the feed of which host.
fn activity_host() -> TableCreateStatement {
    Table::create()
        .table("activity_host")
        .col(big("host_id"))
        .col(big("activity_id"))
        .primary_key(Index::create().col("host_id").col("activity_id"))
        .take()
}
