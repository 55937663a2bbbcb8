//! Accounts at an identity provider whose owners enrolled devices, and which host is whose.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(account()).await?;
        manager.create_index(unique("idp_account_email", "idp_account", &["folded_email"])).await?;
        manager.create_table(link()).await?;
        manager.create_index(plain("host_idp_account_owner", "host_idp_account", &["account_uuid"])).await?;
        for table in ["scep_challenge", "identity"] {
            manager.alter_table(Table::alter().table(table).add_column(text_null("account_uuid")).take()).await?;
        }
        Ok(())
    }
}

fn account() -> TableCreateStatement {
    Table::create()
        .table("idp_account")
        .col(text("uuid").primary_key())
        .col(text("user_name"))
        .col(text("email"))
        .col(text("folded_email"))
        .col(text("full_name"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn link() -> TableCreateStatement {
    Table::create()
        .table("host_idp_account")
        .col(big("host_id").primary_key())
        .col(text("account_uuid"))
        .col(big("linked_at"))
        .take()
}
