//! How the databases find what a webhook is to be told: by index alone, however much waits.

use sea_orm::{ConnectionTrait, Database};

use super::*;
use crate::fresh::{by_index_alone, on_each};

#[tokio::test]
async fn what_waits_is_found_by_index_alone() {
    on_each("deliveries", async |url: &str| {
        migration::run(url).await.unwrap();
        let database = Database::connect(url).await.unwrap();
        // A quiet webhook beside one that was not told anything for long.
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) \
                    INSERT INTO webhook_delivery (webhook_id, event_id, host_id, state, attempts, refusals, since, due_at) \
                    SELECT i / 29700, 'event-' || i, i % 1000, i % 2, 0, 0, i, i FROM n";
        for statement in [rows, "ANALYZE"] {
            database.execute_unprepared(statement).await.unwrap();
        }
        by_index_alone(&database, &waiting_rows(1, 100).limit(256), "webhook_delivery_line").await;
        by_index_alone(&database, &rows_of_host(0, 7).limit(1), "webhook_delivery_host").await;
        database.close().await.unwrap();
    })
    .await;
}
