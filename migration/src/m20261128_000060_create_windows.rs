//! Windows devices: what an enrollment tells of its device, and the tokens that let a device enroll.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::plain;
use crate::{big, big_null, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(windows_enrollment()).await?;
        manager.create_index(plain("windows_enrollment_device", "windows_enrollment", &["device_id"])).await?;
        manager.create_index(plain("windows_enrollment_hardware", "windows_enrollment", &["hardware_id"])).await?;
        manager.create_table(windows_token()).await?;
        manager.create_index(plain("windows_token_expires", "windows_token", &["expires_at"])).await
    }
}

fn windows_enrollment() -> TableCreateStatement {
    Table::create()
        .table("windows_enrollment")
        .col(ColumnDef::new("enrollment_id").big_integer().not_null().primary_key())
        .col(text("device_id"))
        .col(text_null("hardware_id"))
        .col(text("device_name"))
        .col(small("enrollment_type"))
        .col(text_null("upn"))
        .col(text_null("owner"))
        .col(text_null("os_edition"))
        .col(text_null("os_version"))
        .col(text_null("application_version"))
        .col(text_null("request_version"))
        .col(text_null("locale"))
        .col(ColumnDef::new("not_in_oobe").boolean().null())
        .col(big_null("linked_at"))
        .col(ColumnDef::new("poll_minutes").integer().not_null())
        .col(ColumnDef::new("agent_wakes").boolean().not_null())
        .col(big("created_at"))
        .foreign_key(ForeignKey::create().from("windows_enrollment", "enrollment_id").to("enrollment", "id"))
        .take()
}

fn windows_token() -> TableCreateStatement {
    Table::create()
        .table("windows_token")
        .col(ColumnDef::new("hash").blob().not_null().primary_key())
        .col(big_null("host_id"))
        .col(text_null("upn"))
        .col(text_null("owner"))
        .col(big_null("team_id"))
        .col(text("created_by"))
        .col(big("created_at"))
        .col(big("expires_at"))
        .col(big_null("used_at"))
        .take()
}
