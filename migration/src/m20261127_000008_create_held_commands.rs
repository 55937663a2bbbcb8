//! Dangerous commands that wait for a second admin, and what makes the brakes quick.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::plain;
use crate::{big, big_null, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(held_command()).await?;
        manager.create_index(plain("held_command_state", "held_command", &["state", "command_id"])).await?;
        manager.create_index(plain("command_recent", "command", &["request_type", "created_at"])).await?;
        manager.create_index(held()).await
    }
}

fn held_command() -> TableCreateStatement {
    Table::create()
        .table("held_command")
        .col(ColumnDef::new("command_id").big_integer().not_null().primary_key())
        .col(text("asked_by"))
        .col(big("hosts"))
        .col(small("state"))
        .col(big("waits_until"))
        .col(big("time_to_live"))
        .col(text_null("decided_by"))
        .col(big_null("decided_at"))
        .foreign_key(ForeignKey::create().from("held_command", "command_id").to("command", "id"))
        .take()
}

/// Entries that are held; they are few.
fn held() -> IndexCreateStatement {
    Index::create()
        .name("queue_entry_held")
        .table("queue_entry")
        .col("command_id")
        .col("id")
        .and_where(Expr::col("state").lt(0))
        .take()
}
