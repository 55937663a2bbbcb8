//! How rows change shape: one file per change, applied in order at every start.
//!
//! Never here: queries, rules, any other crate of ours. A change that could break a running node goes in three steps,
//! each a release of its own: expand (add), backfill, contract (remove).
//!
//! Times are `BIGINT` milliseconds since the Unix epoch, so that both databases compare them alike.

use sea_orm_migration::prelude::*;

mod m20261121_000001_create_hosts;
mod m20261121_000002_create_commands;
mod m20261121_000003_create_identities;
mod m20261121_000004_create_access;
mod m20261127_000005_create_vault;
mod m20261127_000006_window_queues;
mod m20261127_000007_create_audit;
mod m20261127_000008_create_held_commands;
mod m20261127_000009_create_webhooks;
mod m20261127_000020_create_teams;
mod m20261127_000021_create_labels;
mod m20261127_000030_order_commands;
mod m20261127_000031_count_commands;
mod m20261127_000032_create_host_actions;
mod m20261127_000040_create_agents;
mod m20261127_000041_create_activities;
mod m20261127_000050_create_people;
mod m20261128_000060_create_windows;
mod m20261128_000070_create_profiles;
mod m20261128_000075_agent_reports;
mod m20261128_000076_create_team_settings;
mod m20261128_000080_create_assignments;
mod m20261128_000081_automatic_enrollment;
mod m20261128_000090_create_idp_accounts;
mod m20261128_000091_create_scim;

/// Applies every change that a database does not have yet.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_hosts::Migration),
            Box::new(m20261121_000002_create_commands::Migration),
            Box::new(m20261121_000003_create_identities::Migration),
            Box::new(m20261121_000004_create_access::Migration),
            Box::new(m20261127_000005_create_vault::Migration),
            Box::new(m20261127_000006_window_queues::Migration),
            Box::new(m20261127_000007_create_audit::Migration),
            Box::new(m20261127_000008_create_held_commands::Migration),
            Box::new(m20261127_000009_create_webhooks::Migration),
            Box::new(m20261127_000020_create_teams::Migration),
            Box::new(m20261127_000021_create_labels::Migration),
            Box::new(m20261127_000030_order_commands::Migration),
            Box::new(m20261127_000031_count_commands::Migration),
            Box::new(m20261127_000032_create_host_actions::Migration),
            Box::new(m20261127_000040_create_agents::Migration),
            Box::new(m20261127_000041_create_activities::Migration),
            Box::new(m20261127_000050_create_people::Migration),
            Box::new(m20261128_000060_create_windows::Migration),
            Box::new(m20261128_000070_create_profiles::Migration),
            Box::new(m20261128_000075_agent_reports::Migration),
            Box::new(m20261128_000076_create_team_settings::Migration),
            Box::new(m20261128_000080_create_assignments::Migration),
            Box::new(m20261128_000081_automatic_enrollment::Migration),
            Box::new(m20261128_000090_create_idp_accounts::Migration),
            Box::new(m20261128_000091_create_scim::Migration),
        ]
    }
}

/// Brings the database behind `url` up to date.
///
/// # Errors
/// The database cannot be reached, or refuses a change.
pub async fn run(url: &str) -> Result<(), DbErr> {
    let mut options = sea_orm_migration::sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let database = sea_orm_migration::sea_orm::Database::connect(options).await?;
    Migrator::up(&database, None).await?;
    database.close().await
}

/// A required column of 64-bit integers.
fn big(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A column of 64-bit integers that may be empty.
fn big_null(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

/// A required column of text.
fn text(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

/// A column of text that may be empty.
fn text_null(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

/// A required column of bytes.
fn bytes(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().take()
}

/// A required small number, for states and kinds.
fn small(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).small_integer().not_null().default(0).take()
}

/// The primary key that the database counts up.
fn id() -> ColumnDef {
    ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key().take()
}
