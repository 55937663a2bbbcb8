//! The names of the root keys that values may be sealed with.

use sea_orm_migration::prelude::*;

use crate::{big, big_null, bytes};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(vault_key()).await
    }
}

/// Each key with a known text under it, by which a wrong key is found before it does harm.
fn vault_key() -> TableCreateStatement {
    Table::create()
        .table("vault_key")
        .col(ColumnDef::new("id").text().not_null().primary_key())
        .col(bytes("canary"))
        .col(big("created_at"))
        .col(big_null("retired_at"))
        .take()
}
