//! Commands that wait for another one may need its success.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let needs_success = ColumnDef::new("needs_success").boolean().not_null().default(false).take();
        manager.alter_table(Table::alter().table("queue_entry").add_column(needs_success).take()).await
    }
}
