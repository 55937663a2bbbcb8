//! Agents that are no MDM, and when a host's management last spoke: a host may go on speaking through one of them alone.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big_null, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("host").add_column(big_null("mdm_seen_at")).take()).await?;
        // Until now nothing but MDM spoke.
        manager.get_connection().execute_unprepared("UPDATE host SET mdm_seen_at = last_seen_at").await?;
        manager.create_table(agent()).await?;
        manager.create_index(unique("agent_orbit_key", "agent", &["orbit_key_hash"])).await?;
        manager.create_index(unique("agent_osquery_key", "agent", &["osquery_key_hash"])).await?;
        manager.create_index(plain("agent_identifier", "agent", &["identifier"])).await
    }
}

fn agent() -> TableCreateStatement {
    Table::create()
        .table("agent")
        .col(ColumnDef::new("host_id").big_integer().not_null().primary_key())
        .col(ColumnDef::new("orbit_key_hash").blob().null())
        .col(ColumnDef::new("osquery_key_hash").blob().null())
        .col(text("identifier"))
        .col(big_null("orbit_enrolled_at"))
        .col(big_null("osquery_enrolled_at"))
        .foreign_key(ForeignKey::create().from("agent", "host_id").to("host", "id"))
        .take()
}
