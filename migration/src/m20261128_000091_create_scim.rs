//! People and groups as an identity provider keeps them here (SCIM 2.0).

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(user()).await?;
        manager.create_index(unique("scim_user_name", "scim_user", &["folded_user_name"])).await?;
        manager.create_index(plain("scim_user_email", "scim_user", &["folded_email"])).await?;
        manager.create_table(group()).await?;
        manager.create_index(unique("scim_group_name", "scim_group", &["folded_name"])).await?;
        manager.create_table(member()).await?;
        manager.create_index(plain("scim_member_user", "scim_member", &["user_id"])).await
    }
}

fn user() -> TableCreateStatement {
    Table::create()
        .table("scim_user")
        .col(text("id").primary_key())
        .col(text("user_name"))
        .col(text("folded_user_name"))
        .col(text_null("external_id"))
        .col(ColumnDef::new("active").boolean().not_null())
        .col(text("given_name"))
        .col(text("family_name"))
        .col(text("display_name"))
        .col(text("department"))
        .col(text("folded_email"))
        .col(text("emails"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn group() -> TableCreateStatement {
    Table::create()
        .table("scim_group")
        .col(text("id").primary_key())
        .col(text("display_name"))
        .col(text("folded_name"))
        .col(text_null("external_id"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn member() -> TableCreateStatement {
    Table::create()
        .table("scim_member")
        .col(text("group_id"))
        .col(text("user_id"))
        .primary_key(Index::create().col("group_id").col("user_id"))
        .take()
}
