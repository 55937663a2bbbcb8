//! What agents report: when they last did, what they are, which management their host says it is in, who uses it; and the
//! tokens by which the desktop of a host is known.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::plain;
use crate::{big, big_null, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let said = |name: &'static str| text(name).default("").take();
        for column in [
            big_null("detail_at"),
            big_null("refetch_at"),
            said("orbit_version"),
            said("osquery_version"),
            said("user_email"),
            text_null("mdm_url"),
        ] {
            manager.alter_table(Table::alter().table("agent").add_column(column).take()).await?;
        }
        manager.create_table(agent_token()).await?;
        manager.create_index(plain("agent_token_host", "agent_token", &["host_id"])).await
    }
}

fn agent_token() -> TableCreateStatement {
    Table::create()
        .table("agent_token")
        .col(ColumnDef::new("token_hash").blob().not_null().primary_key())
        .col(big("host_id"))
        .col(big("created_at"))
        .foreign_key(ForeignKey::create().from("agent_token", "host_id").to("host", "id"))
        .take()
}
