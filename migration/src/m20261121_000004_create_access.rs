//! Who may ask: API tokens, enroll secrets, and answers kept so that a repeated request is not done twice.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, bytes, id, small, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(api_token()).await?;
        manager.create_index(unique("api_token_hash", "api_token", &["hash"])).await?;
        manager.create_index(unique("api_token_name", "api_token", &["name"])).await?;
        manager.create_table(enroll_secret()).await?;
        manager.create_table(idempotency()).await?;
        manager.create_index(plain("idempotency_age", "idempotency", &["created_at"])).await
    }
}

fn api_token() -> TableCreateStatement {
    Table::create()
        .table("api_token")
        .col(id())
        .col(text("name"))
        .col(bytes("hash"))
        .col(big("created_at"))
        .col(big_null("expires_at"))
        .col(big_null("last_used_at"))
        .take()
}

/// What a person shows to be given an enrollment profile, sealed.
fn enroll_secret() -> TableCreateStatement {
    Table::create()
        .table("enroll_secret")
        .col(ColumnDef::new("id").big_integer().not_null().primary_key())
        .col(bytes("secret"))
        .col(big("created_at"))
        .take()
}

fn idempotency() -> TableCreateStatement {
    Table::create()
        .table("idempotency")
        .col(text("principal"))
        .col(text("key"))
        .col(small("status"))
        .col(bytes("answer"))
        .col(big("created_at"))
        .primary_key(Index::create().col("principal").col("key"))
        .take()
}
