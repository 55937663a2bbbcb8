//! How the databases find a channel's queue: by index alone, whatever else the table holds.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend};

use super::*;
use crate::fresh::{by_index_alone, on_each};

const HISTORY: u32 = 20_000;
const PENDING: u32 = 2000;

/// A database that holds a long history and a long queue of one channel.
async fn filled(url: &str) -> DatabaseConnection {
    migration::run(url).await.unwrap();
    let database = Database::connect(url).await.unwrap();
    let all = HISTORY + PENDING;
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {all})");
    let host = "INSERT INTO host (id, platform, hardware_model, computer_name, os_version, build_version, mdm_status, \
                created_at, updated_at) VALUES (1, 'darwin', '', '', '', '', 1, 0, 0)"
        .to_owned();
    let enrollment =
        "INSERT INTO enrollment (id, host_id, external_id, kind, generation, enabled, token_update_tally, \
                      awaiting_configuration) VALUES (1, 1, 'channel', 0, 1, true, 1, false)"
            .to_owned();
    let empty = if database.get_database_backend() == DbBackend::Sqlite { "x''" } else { "''::bytea" };
    let command = format!(
        "{numbers} INSERT INTO command (uuid, request_type, body, created_at) \
         SELECT 'command-' || i, 'SecurityInfo', {empty}, 0 FROM n"
    );
    let entry = format!(
        "{numbers} INSERT INTO queue_entry (host_id, enrollment_id, command_id, generation, priority, state, attempts, \
         not_now_tally, no_blind_resend, created_at, expires_at, changed_at) \
         SELECT 1, 1, i, 1, i % 3, CASE WHEN i > {HISTORY} THEN 0 ELSE 10 END, 0, 0, false, 0, 1, 0 FROM n"
    );
    for statement in [host, enrollment, command, entry, "ANALYZE".to_owned()] {
        database.execute_unprepared(&statement).await.unwrap();
    }
    database
}

async fn plans(url: &str) {
    let database = filled(url).await;
    by_index_alone(&database, &first(1, 1, 257), "queue_entry_pending").await;
    by_index_alone(&database, &one(1, "command-7"), "queue_entry").await;
    let (reader, _writer) = crate::store::open_beside(url, crate::vault::Vault::known().unwrap(), 0).await.unwrap();
    let window = of_channel(&reader, 1, 1, 256).await.unwrap();
    assert_eq!((window.rows.len(), window.more), (256, true));
    let places: Vec<_> = window.rows.iter().map(|row| (std::cmp::Reverse(row.priority), row.id)).collect();
    assert!(places.is_sorted() && window.rows.iter().all(|row| row.state == 0));
    let whole = of_channel(&reader, 1, 1, u64::from(PENDING)).await.unwrap();
    assert_eq!((whole.rows.len(), whole.more), (PENDING as usize, false));
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_channels_queue_is_found_by_index_alone() {
    on_each("queues", plans).await;
}
