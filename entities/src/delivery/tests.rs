use sea_orm::Database;

use super::*;
use crate::fresh::on_each;
use crate::store;

/// A host with something that is to be sent, and with a command in this state.
fn rows_of(id: i64, state: i16) -> String {
    format!(
        "INSERT INTO host (id, platform, hardware_model, computer_name, os_version, build_version, mdm_status, created_at, \
            updated_at) VALUES ({id}, 'darwin', '', '', '', '', 1, 1, 1); \
         INSERT INTO enrollment (id, host_id, external_id, kind, generation, enabled, token_update_tally, \
            awaiting_configuration) VALUES ({id}, {id}, 'E{id}', 0, 1, TRUE, 1, FALSE); \
         INSERT INTO command (id, uuid, request_type, body, created_at) VALUES ({id}, 'C{id}', '', '', 1); \
         INSERT INTO queue_entry (id, host_id, enrollment_id, command_id, generation, priority, state, attempts, \
            not_now_tally, no_blind_resend, needs_success, created_at, expires_at, changed_at) \
            VALUES ({id}, {id}, {id}, {id}, 1, 0, {state}, 0, 0, FALSE, FALSE, 1, 9, 1); \
         INSERT INTO host_profile (host_id, profile_id, uuid, kind, identifier, name, scope, part, content_id, version, \
            operation, status, detail, retries, changed_at) \
            VALUES ({id}, 1, 'u', 1, 'i', 'n', 0, 0, 1, 'token', 0, {UNSENT}, '', 0, 1)"
    )
}

#[tokio::test]
async fn what_joins_a_command_that_went_out_meanwhile_is_decided_about_anew() {
    on_each("delivery_joined", async |url| {
        migration::run(url).await.unwrap();
        let (reader, writer) = store::open(url, Vault::known().unwrap(), 0).await.unwrap();
        let database = Database::connect(url).await.unwrap();
        for (id, state) in [(1, queue_entry::QUEUED), (2, SENT), (3, queue_entry::ACKNOWLEDGED), (4, CANCELLED)] {
            database.execute_unprepared(&rows_of(id, state)).await.unwrap();
        }
        let sent = |id: i64| Sent {
            row: Row { host_id: id, profile_id: 1, token: "token".into(), operation: host_profile::INSTALL },
            command_uuid: "command".into(),
            channel: None,
            joins: Some(id),
        };
        let delivery = Delivery { sent: (1..=5).map(sent).collect(), now: 2, ..Delivery::default() };
        assert_eq!(deliver(&writer, delivery).await.unwrap().rows, 1);
        let waiting = host_profile::hosts_to_serve(&reader, 0, 10).await.unwrap();
        assert_eq!(waiting, [2, 3, 4], "their devices may have asked before");
        database.close().await.unwrap();
    })
    .await;
}
