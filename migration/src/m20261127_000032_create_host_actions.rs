//! What was last done to lock, unlock or erase each host, and the PIN that unlocks it.

use sea_orm_migration::prelude::*;

use crate::{big_null, bytes};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("host_action")
            .col(ColumnDef::new("host_id").big_integer().not_null().primary_key())
            .col(big_null("lock_entry"))
            .col(big_null("unlock_entry"))
            .col(big_null("wipe_entry"))
            .col(bytes("pin"))
            .col(big_null("pin_shown_at"))
            .take();
        manager.create_table(table).await
    }
}
