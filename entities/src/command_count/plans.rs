//! How the databases count a command of many hosts: in an index, whatever else the table holds.

use sea_orm::{ConnectionTrait, Database};

use super::*;
use crate::fresh::{by_index_alone, on_each};

const HOSTS: u32 = 5000;
const OTHERS: u32 = 20_000;

async fn plans(url: &str) {
    migration::run(url).await.unwrap();
    let database = Database::connect(url).await.unwrap();
    let numbers =
        |many: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})");
    let empty = if url.starts_with("sqlite") { "x''" } else { "''::bytea" };
    let entry = "INSERT INTO queue_entry (host_id, enrollment_id, command_id, generation, priority, state, attempts, \
                 not_now_tally, no_blind_resend, created_at, expires_at, changed_at)";
    for statement in [
        format!(
            "{} INSERT INTO host (id, platform, hardware_model, computer_name, os_version, build_version, mdm_status, \
             created_at, updated_at) SELECT i, 'darwin', '', '', '', '', 1, 0, 0 FROM n",
            numbers(HOSTS)
        ),
        format!(
            "{} INSERT INTO enrollment (id, host_id, external_id, kind, generation, enabled, token_update_tally, \
             awaiting_configuration) SELECT i, i, 'channel-' || i, 0, 1, true, 1, false FROM n",
            numbers(HOSTS)
        ),
        format!(
            "{} INSERT INTO command (id, uuid, request_type, body, created_at) \
             SELECT i, 'command-' || i, 'SecurityInfo', {empty}, 0 FROM n",
            numbers(OTHERS)
        ),
        format!(
            "{} {entry} SELECT i, i, 1, 1, 0, CASE WHEN i % 5 = 0 THEN 0 ELSE 10 END, 0, 0, false, 0, 1, 0 FROM n",
            numbers(HOSTS)
        ),
        format!("{} {entry} SELECT 1, 1, i, 1, 0, 10, 0, 0, false, 0, 1, 0 FROM n WHERE i > 1", numbers(OTHERS)),
        if url.starts_with("sqlite") { "ANALYZE" } else { "VACUUM ANALYZE" }.to_owned(),
    ] {
        database.execute_unprepared(&statement).await.unwrap();
    }
    by_index_alone(&database, &first_pending(1, None), "queue_entry").await;
    by_index_alone(&database, &first_pending(7, Some(1)), "queue_entry").await;
    // Small enough to be counted in any order; the index must be enough.
    by_index_alone(&database, &counted(7), "queue_entry_command_state").await;
    let (reader, _writer) = crate::store::open_beside(url, crate::vault::Vault::known().unwrap(), 0).await.unwrap();
    let mut counts = by_state(&reader, 1).await.unwrap();
    counts.sort_unstable();
    assert_eq!(counts, [(0, i64::from(HOSTS / 5)), (10, i64::from(HOSTS - HOSTS / 5))]);
    assert!(is_pending(&reader, 1, None).await.unwrap() && is_pending(&reader, 1, Some(5)).await.unwrap());
    assert!(!is_pending(&reader, 1, Some(6)).await.unwrap() && !is_pending(&reader, 7, None).await.unwrap());
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_command_of_many_hosts_is_counted_in_an_index() {
    on_each("counts", plans).await;
}
