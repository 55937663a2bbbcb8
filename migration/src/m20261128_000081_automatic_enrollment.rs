//! Whether a device enrolls by itself, because its organization bought it so: from the challenge to the enrollment.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["scep_challenge", "identity", "enrollment"] {
            let column = ColumnDef::new("automatic").boolean().not_null().default(false).take();
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        // Devices in Setup Assistant are few, and looked for every second.
        let waiting = Index::create()
            .name("enrollment_waiting")
            .table("enrollment")
            .col("id")
            .and_where(Expr::col("awaiting_configuration").eq(true))
            .take();
        manager.create_index(waiting).await
    }
}
