//! Commands, the queues they stand in, and what devices answered.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, bytes, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(command()).await?;
        manager.create_index(unique("command_uuid", "command", &["uuid"])).await?;
        manager.create_table(queue_entry()).await?;
        let once = &["enrollment_id", "command_id"];
        manager.create_index(unique("queue_entry_once", "queue_entry", once)).await?;
        manager.create_index(plain("queue_entry_command", "queue_entry", &["command_id"])).await?;
        manager.create_index(plain("queue_entry_host", "queue_entry", &["host_id", "id"])).await?;
        manager.create_index(pending()).await?;
        manager.create_table(command_result()).await?;
        manager.create_table(orphan_result()).await?;
        let same = &["enrollment_id", "command_uuid", "status"];
        manager.create_index(unique("orphan_result_same", "orphan_result", same)).await?;
        manager.create_index(plain("orphan_result_age", "orphan_result", &["received_at"])).await
    }
}

/// A command's text, stored once for all its hosts.
fn command() -> TableCreateStatement {
    Table::create()
        .table("command")
        .col(id())
        .col(text("uuid"))
        .col(text("request_type"))
        .col(bytes("body"))
        .col(text_null("created_by"))
        .col(big("created_at"))
        .take()
}

fn queue_entry() -> TableCreateStatement {
    Table::create()
        .table("queue_entry")
        .col(id())
        .col(big("host_id"))
        .col(big("enrollment_id"))
        .col(big("command_id"))
        .col(ColumnDef::new("generation").integer().not_null())
        .col(small("priority"))
        .col(small("state"))
        .col(small("attempts"))
        .col(ColumnDef::new("not_now_tally").integer().not_null().default(0))
        .col(ColumnDef::new("no_blind_resend").boolean().not_null())
        .col(big_null("after_id"))
        .col(big("created_at"))
        .col(big("expires_at"))
        .col(big_null("sent_at"))
        .col(big("changed_at"))
        .foreign_key(ForeignKey::create().from("queue_entry", "enrollment_id").to("enrollment", "id"))
        .foreign_key(ForeignKey::create().from("queue_entry", "command_id").to("command", "id"))
        .take()
}

/// A host reads its pending entries only; finished ones never slow it down, however many there are.
fn pending() -> IndexCreateStatement {
    Index::create()
        .name("queue_entry_pending")
        .table("queue_entry")
        .col("host_id")
        .col("id")
        .and_where(Expr::col("state").lt(10))
        .take()
}

fn command_result() -> TableCreateStatement {
    Table::create()
        .table("command_result")
        .col(ColumnDef::new("entry_id").big_integer().not_null().primary_key())
        .col(text("status"))
        .col(bytes("body"))
        .col(big("received_at"))
        .foreign_key(ForeignKey::create().from("command_result", "entry_id").to("queue_entry", "id"))
        .take()
}

/// Reports that belong to no pending command: kept for a while, never acted upon.
fn orphan_result() -> TableCreateStatement {
    Table::create()
        .table("orphan_result")
        .col(id())
        .col(big("enrollment_id"))
        .col(text("command_uuid"))
        .col(text("status"))
        .col(small("reason"))
        .col(bytes("body"))
        .col(big("received_at"))
        .foreign_key(ForeignKey::create().from("orphan_result", "enrollment_id").to("enrollment", "id"))
        .take()
}
