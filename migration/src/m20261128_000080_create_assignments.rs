//! Apple's device assignment: the key pair that server tokens are made for, the tokens, what Apple says of each device, and the
//! Setup Assistant profiles.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, bytes, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(abm_token()).await?;
        manager.create_index(unique("abm_token_server", "abm_token", &["server_uuid"])).await?;
        manager.create_table(dep_device()).await?;
        manager.create_index(plain("dep_device_token", "dep_device", &["token_id", "serial"])).await?;
        manager.create_table(setup_assistant()).await?;
        manager.create_table(setup_assistant_definition()).await
    }
}

fn abm_token() -> TableCreateStatement {
    Table::create()
        .table("abm_token")
        .col(id())
        .col(text("server_uuid"))
        .col(text("server_name"))
        .col(text("organization"))
        .col(text("apple_id"))
        .col(bytes("token"))
        .col(big("expires_at"))
        .col(big_null("macos_team_id"))
        .col(big_null("ios_team_id"))
        .col(big_null("ipados_team_id"))
        .col(small("state"))
        .col(big("round"))
        .col(text_null("cursor"))
        .col(small("restarts"))
        .col(big_null("rests_until"))
        .col(small("standing"))
        .col(text("fault"))
        .col(big_null("synced_at"))
        .col(small("warned_days"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn dep_device() -> TableCreateStatement {
    Table::create()
        .table("dep_device")
        .col(ColumnDef::new("serial").text().not_null().primary_key())
        .col(big("token_id"))
        .col(text("model"))
        .col(text("description"))
        .col(text("color"))
        .col(text("asset_tag"))
        .col(text("device_family"))
        .col(text("platform"))
        .col(text("os"))
        .col(small("profile_status"))
        .col(text_null("profile_uuid"))
        .col(big_null("profile_assigned_at"))
        .col(big_null("profile_pushed_at"))
        .col(big_null("assigned_at"))
        .col(text("assigned_by"))
        .col(big_null("migration_deadline"))
        .col(big_null("op_at"))
        .col(big("round"))
        .col(small("response"))
        .col(big_null("responded_at"))
        .col(big_null("rests_until"))
        .col(big_null("removed_at"))
        .take()
}

fn setup_assistant() -> TableCreateStatement {
    Table::create()
        .table("setup_assistant")
        .col(ColumnDef::new("team_id").big_integer().not_null().primary_key())
        .col(text("name"))
        .col(text("profile"))
        .col(big("updated_at"))
        .take()
}

/// What a team's profile is called at the service of each token, and which version of it that is.
fn setup_assistant_definition() -> TableCreateStatement {
    Table::create()
        .table("setup_assistant_definition")
        .col(big("team_id"))
        .col(big("token_id"))
        .col(text_null("profile_uuid"))
        .col(text("digest"))
        .col(big("defined_at"))
        .col(text("fault"))
        .col(big_null("rests_until"))
        .primary_key(Index::create().col("team_id").col("token_id"))
        .take()
}
