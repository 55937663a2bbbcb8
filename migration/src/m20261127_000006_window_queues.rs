//! The pending entries of one channel in the order in which they are tried, so that a window of them is read without
//! sorting the rest.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("queue_entry_pending").table("queue_entry").to_owned()).await?;
        manager.create_index(pending()).await
    }
}

/// Finished entries are not in it and never slow a channel down, however many there are.
fn pending() -> IndexCreateStatement {
    Index::create()
        .name("queue_entry_pending")
        .table("queue_entry")
        .col("enrollment_id")
        .col(("priority", IndexOrder::Desc))
        .col("id")
        .and_where(Expr::col("state").lt(10))
        .take()
}
