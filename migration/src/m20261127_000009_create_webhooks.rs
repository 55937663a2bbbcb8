//! Webhooks, their keys, the events that they are told of, and who has not been told yet.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, bytes, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(webhook()).await?;
        manager.create_index(unique("webhook_name", "webhook", &["name"])).await?;
        manager.create_table(webhook_key()).await?;
        let once = &["webhook_id", "key_id"];
        manager.create_index(unique("webhook_key_once", "webhook_key", once)).await?;
        manager.create_table(webhook_event()).await?;
        manager.create_table(webhook_delivery()).await?;
        let line = &["webhook_id", "state", "id"];
        manager.create_index(plain("webhook_delivery_line", "webhook_delivery", line)).await?;
        let host = &["webhook_id", "host_id", "state", "id"];
        manager.create_index(plain("webhook_delivery_host", "webhook_delivery", host)).await?;
        manager.create_index(plain("webhook_delivery_age", "webhook_delivery", &["state", "since"])).await?;
        manager.create_index(plain("webhook_delivery_event", "webhook_delivery", &["event_id"])).await
    }
}

fn webhook() -> TableCreateStatement {
    Table::create()
        .table("webhook")
        .col(id())
        .col(text("uuid"))
        .col(text("name"))
        .col(bytes("url"))
        .col(small("form"))
        .col(text("topics"))
        .col(ColumnDef::new("idle").boolean().not_null())
        .col(ColumnDef::new("enabled").boolean().not_null())
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn webhook_key() -> TableCreateStatement {
    Table::create()
        .table("webhook_key")
        .col(id())
        .col(big("webhook_id"))
        .col(text("key_id"))
        .col(bytes("secret"))
        .col(big("created_at"))
        .foreign_key(ForeignKey::create().from("webhook_key", "webhook_id").to("webhook", "id"))
        .take()
}

fn webhook_event() -> TableCreateStatement {
    Table::create()
        .table("webhook_event")
        .col(ColumnDef::new("id").text().not_null().primary_key())
        .col(big("host_id"))
        .col(text("topic"))
        .col(ColumnDef::new("tally").integer().null())
        .col(big("created_at"))
        .col(bytes("payload"))
        .take()
}

/// It points to its webhook without a foreign key: a host's turn must not fail because a webhook is deleted meanwhile.
fn webhook_delivery() -> TableCreateStatement {
    Table::create()
        .table("webhook_delivery")
        .col(id())
        .col(big("webhook_id"))
        .col(text("event_id"))
        .col(big("host_id"))
        .col(small("state"))
        .col(ColumnDef::new("attempts").integer().not_null().default(0))
        .col(ColumnDef::new("refusals").integer().not_null().default(0))
        .col(big("since"))
        .col(big("due_at"))
        .col(text_null("error"))
        .take()
}
