//! People, how they sign in, who is invited, and mail that waits to be sent.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, bytes, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [user(), user_team(), session(), invite(), password_reset(), mail(), command_policy()] {
            manager.create_table(table).await?;
        }
        for index in [
            unique("user_email", "user", &["email"]),
            plain("user_team_team", "user_team", &["team_id"]),
            unique("session_hash", "session", &["hash"]),
            plain("session_user", "session", &["user_id"]),
            unique("invite_hash", "invite", &["hash"]),
            unique("invite_email", "invite", &["email"]),
            plain("password_reset_user", "password_reset", &["user_id"]),
            plain("mail_due", "mail", &["due_at"]),
        ] {
            manager.create_index(index).await?;
        }
        for column in [big_null("user_id"), text_null("scopes")] {
            manager.alter_table(Table::alter().table("api_token").add_column(column).take()).await?;
        }
        manager.create_index(plain("api_token_user", "api_token", &["user_id"])).await
    }
}

fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().default(false).take()
}

fn user() -> TableCreateStatement {
    Table::create()
        .table("user")
        .col(id())
        .col(text("email"))
        .col(text("name"))
        .col(text_null("password_hash"))
        .col(text_null("global_role"))
        .col(flag("api_only"))
        .col(flag("sso_enabled"))
        .col(flag("force_password_reset"))
        .col(flag("disabled"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

/// What somebody may do within a team.
fn user_team() -> TableCreateStatement {
    Table::create()
        .table("user_team")
        .col(big("user_id"))
        .col(big("team_id"))
        .col(text("role"))
        .primary_key(Index::create().col("user_id").col("team_id"))
        .take()
}

fn session() -> TableCreateStatement {
    Table::create()
        .table("session")
        .col(id())
        .col(big("user_id"))
        .col(bytes("hash"))
        .col(big("created_at"))
        .col(big("last_used_at"))
        .col(big("expires_at"))
        .take()
}

fn invite() -> TableCreateStatement {
    Table::create()
        .table("invite")
        .col(id())
        .col(text("email"))
        .col(text("name"))
        .col(text("roles"))
        .col(flag("sso_enabled"))
        .col(bytes("hash"))
        .col(text("invited_by"))
        .col(big("created_at"))
        .col(big("expires_at"))
        .take()
}

fn password_reset() -> TableCreateStatement {
    Table::create()
        .table("password_reset")
        .col(ColumnDef::new("hash").blob().not_null().primary_key())
        .col(big("user_id"))
        .col(big("expires_at"))
        .take()
}

/// Mail that waits to be sent, sealed.
fn mail() -> TableCreateStatement {
    Table::create()
        .table("mail")
        .col(ColumnDef::new("id").text().not_null().primary_key())
        .col(text("recipient"))
        .col(text("subject"))
        .col(bytes("body"))
        .col(small("attempts"))
        .col(big("due_at"))
        .col(big("expires_at"))
        .take()
}

/// Which roles may send a command type; types that are not here may be sent by all who may send commands.
fn command_policy() -> TableCreateStatement {
    Table::create()
        .table("command_policy")
        .col(ColumnDef::new("request_type").text().not_null().primary_key())
        .col(text("roles"))
        .take()
}
