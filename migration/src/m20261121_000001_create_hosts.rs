//! Hosts, their enrollments, and what devices entrust to us.

use sea_orm_migration::prelude::*;

use crate::{big, big_null, bytes, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(ownership()).await?;
        manager.create_table(host()).await?;
        manager.create_index(unique("host_serial", "host", &["serial"])).await?;
        manager.create_index(unique("host_uuid", "host", &["uuid"])).await?;
        manager.create_index(waking()).await?;
        manager.create_table(enrollment()).await?;
        manager.create_index(unique("enrollment_external_id", "enrollment", &["external_id"])).await?;
        manager.create_index(plain("enrollment_host", "enrollment", &["host_id"])).await?;
        manager.create_table(enrollment_secret()).await?;
        manager.create_index(plain("enrollment_secret_of", "enrollment_secret", &["enrollment_id", "kind"])).await?;
        manager.create_table(declarative_status()).await
    }
}

/// Who may write: each start of a server raises the epoch, and every transaction compares it.
fn ownership() -> TableCreateStatement {
    Table::create().table("ownership").col(id()).col(big("epoch")).col(big("since")).col(big("trials")).take()
}

fn host() -> TableCreateStatement {
    Table::create()
        .table("host")
        .col(id())
        .col(text_null("uuid"))
        .col(text_null("serial"))
        .col(text("platform"))
        .col(text("hardware_model"))
        .col(text("computer_name"))
        .col(text("os_version"))
        .col(text("build_version"))
        .col(small("mdm_status"))
        .col(big_null("team_id"))
        .col(big_null("wake_at"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .col(big_null("last_seen_at"))
        .take()
}

/// The wheel reads the hosts that are due next; most hosts are never due.
fn waking() -> IndexCreateStatement {
    Index::create()
        .name("host_waking")
        .table("host")
        .col("wake_at")
        .col("id")
        .and_where(Expr::col("wake_at").is_not_null())
        .take()
}

fn enrollment() -> TableCreateStatement {
    Table::create()
        .table("enrollment")
        .col(id())
        .col(big("host_id"))
        .col(text("external_id"))
        .col(small("kind"))
        .col(ColumnDef::new("generation").integer().not_null())
        .col(ColumnDef::new("enabled").boolean().not_null())
        .col(text_null("topic"))
        .col(ColumnDef::new("push_token").blob().null())
        .col(text_null("push_magic"))
        .col(big_null("token_updated_at"))
        .col(big_null("push_dead_at"))
        .col(ColumnDef::new("token_update_tally").integer().not_null())
        .col(ColumnDef::new("awaiting_configuration").boolean().not_null())
        .col(text_null("user_short_name"))
        .col(text_null("user_long_name"))
        .col(big_null("authenticated_at"))
        .col(big_null("enrolled_at"))
        .col(big_null("ended_at"))
        .foreign_key(ForeignKey::create().from("enrollment", "host_id").to("host", "id"))
        .take()
}

/// Unlock and bootstrap tokens, apart from the tables that lists read; older ones are kept.
fn enrollment_secret() -> TableCreateStatement {
    Table::create()
        .table("enrollment_secret")
        .col(id())
        .col(big("enrollment_id"))
        .col(small("kind"))
        .col(ColumnDef::new("generation").integer().not_null())
        .col(bytes("value"))
        .col(big("created_at"))
        .foreign_key(ForeignKey::create().from("enrollment_secret", "enrollment_id").to("enrollment", "id"))
        .take()
}

/// The last declarative status report of each enrollment, as it came.
fn declarative_status() -> TableCreateStatement {
    Table::create()
        .table("declarative_status")
        .col(ColumnDef::new("enrollment_id").big_integer().not_null().primary_key())
        .col(bytes("body"))
        .col(big("received_at"))
        .foreign_key(ForeignKey::create().from("declarative_status", "enrollment_id").to("enrollment", "id"))
        .take()
}

pub(crate) fn plain(name: &str, table: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table.to_owned()).take();
    for column in columns {
        index.col(*column);
    }
    index
}

pub(crate) fn unique(name: &str, table: &str, columns: &[&'static str]) -> IndexCreateStatement {
    plain(name, table, columns).unique().take()
}
