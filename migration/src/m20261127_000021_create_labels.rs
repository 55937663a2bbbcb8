//! Labels: groups of hosts that overlap, as teams do not.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(label()).await?;
        manager.create_index(unique("label_folded_name", "label", &["folded_name"])).await?;
        manager.create_table(label_host()).await?;
        manager.create_index(plain("label_host_host", "label_host", &["host_id"])).await?;
        for (name, vital, pattern) in BUILT_IN {
            let insert = format!(
                "INSERT INTO label (name, folded_name, description, kind, vital, pattern, created_at, updated_at) \
                 VALUES ('{name}', '{}', '', 0, '{vital}', '{pattern}', 0, 0)",
                name.to_lowercase()
            );
            manager.get_connection().execute_unprepared(&insert).await?;
        }
        let members = "INSERT INTO label_host (label_id, host_id) SELECT label.id, host.id FROM label, host \
                       WHERE label.vital = 'all' OR label.vital = 'platform' AND label.pattern = host.platform";
        manager.get_connection().execute_unprepared(members).await?;
        Ok(())
    }
}

/// What every server has, with Fleet's names.
const BUILT_IN: [(&str, &str, &str); 6] = [
    ("All Hosts", "all", ""),
    ("macOS", "platform", "darwin"),
    ("iOS", "platform", "ios"),
    ("iPadOS", "platform", "ipados"),
    ("MS Windows", "platform", "windows"),
    ("All Linux", "platform", "linux"),
];

fn label() -> TableCreateStatement {
    Table::create()
        .table("label")
        .col(id())
        .col(text("name"))
        .col(text("folded_name"))
        .col(text("description"))
        .col(small("kind"))
        .col(text_null("vital"))
        .col(text_null("pattern"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn label_host() -> TableCreateStatement {
    Table::create()
        .table("label_host")
        .col(big("label_id"))
        .col(big("host_id"))
        .primary_key(Index::create().col("label_id").col("host_id"))
        .take()
}
