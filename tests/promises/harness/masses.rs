//! Hosts by the thousand: rows as they are when each of them enrolled long ago and has a command waiting. No device belongs
//! to them; APNs does not know their tokens.

use super::database::{Kind, Store};
use super::site::{TOPIC, now};

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masses {
    /// Hosts.
    pub(crate) hosts: u64,
    /// Those of them that are to be woken now; the others tomorrow.
    pub(crate) due: u64,
}

impl Masses {
    /// Writes the rows; `command` is the `CommandUUID` of a command that is there already. No server may run.
    pub(crate) async fn settle(self, store: &Store, kind: Kind, command: &str) {
        let (now, Self { hosts, due }) = (now().millis(), self);
        let (week, tomorrow) = (now + 7 * DAY, now + DAY);
        let numbers =
            format!("WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {hosts}) ");
        let token = match kind {
            Kind::Sqlite => "CAST(uuid AS BLOB)",
            Kind::Postgres => "convert_to(uuid, 'UTF8')",
        };
        let statements = [
            format!(
                "INSERT INTO host (uuid, serial, platform, hardware_model, computer_name, os_version, build_version, \
                 mdm_status, wake_at, created_at, updated_at) {numbers} SELECT 'ROW-' || i, 'SERIAL' || i, 'darwin', \
                 'Mac15,3', 'Row ' || i, '15.1', '24B83', 1, CASE WHEN i <= {due} THEN {now} ELSE {tomorrow} + i END, \
                 {now}, {now} FROM numbers"
            ),
            format!(
                "INSERT INTO enrollment (host_id, external_id, kind, generation, enabled, topic, push_token, push_magic, \
                 token_updated_at, token_update_tally, awaiting_configuration, authenticated_at, enrolled_at) \
                 SELECT id, uuid, 0, 1, TRUE, '{TOPIC}', {token}, 'magic', {now}, 1, FALSE, {now}, {now} \
                 FROM host WHERE uuid LIKE 'ROW-%'"
            ),
            format!(
                "INSERT INTO queue_entry (host_id, enrollment_id, command_id, generation, priority, state, attempts, \
                 not_now_tally, no_blind_resend, created_at, expires_at, changed_at) SELECT host_id, id, \
                 (SELECT id FROM command WHERE uuid = '{command}'), 1, 0, 0, 0, 0, FALSE, {now}, {week}, {now} \
                 FROM enrollment WHERE external_id LIKE 'ROW-%'"
            ),
        ];
        for statement in statements {
            let written = store.execute(&statement).await;
            assert_eq!(written, hosts, "{statement}");
        }
    }
}
