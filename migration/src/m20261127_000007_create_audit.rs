//! Who did what, as a chain of rows that only grows.

use sea_orm_migration::prelude::*;

use crate::{big, bytes, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(audit()).await?;
        manager.create_table(audit_head()).await
    }
}

fn audit() -> TableCreateStatement {
    Table::create()
        .table("audit")
        .col(ColumnDef::new("id").big_integer().not_null().primary_key())
        .col(big("at"))
        .col(text("actor"))
        .col(text("action"))
        .col(text("target"))
        .col(text("detail"))
        .col(bytes("hash"))
        .take()
}

/// The end of the chain, sealed: rows at the end cannot be taken away unseen.
fn audit_head() -> TableCreateStatement {
    Table::create()
        .table("audit_head")
        .col(ColumnDef::new("id").big_integer().not_null().primary_key())
        .col(big("last"))
        .col(bytes("hash"))
        .take()
}
