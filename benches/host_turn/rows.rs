//! Rows of a server that is not running, written straight into its SQLite file: hosts by the hundred thousand cannot all enroll
//! first.

use std::path::PathBuf;

use protocol::apple::channel::{Channel, ChannelKind, EnrollmentId};
use protocol::pki::Fingerprint;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use super::process::Server;

/// A data directory with the tables of a fresh server; removed when dropped.
pub(crate) struct Rows {
    pub(crate) data: PathBuf,
    database: DatabaseConnection,
}

impl Rows {
    /// Makes the tables, and `hosts` enrolled hosts, numbered from 1.
    pub(crate) async fn with_hosts(hosts: usize) -> Self {
        let data = std::env::temp_dir().join(format!("rookery-bench-{}", uuid::Uuid::new_v4()));
        drop(Server::start_on(data.clone(), &[])); // makes the tables
        let url = format!("sqlite:{}", data.join("rookery.sqlite").display());
        let rows = Self { data, database: Database::connect(url).await.expect("the database") };
        rows.run("PRAGMA synchronous = OFF").await;
        let host = "INSERT INTO host (id, uuid, serial, platform, hardware_model, computer_name, os_version, build_version, \
                    mdm_status, created_at, updated_at) SELECT i, printf('00000000-0000-4000-8000-%012d', i), \
                    printf('S%011d', i), 'darwin', 'Mac15,3', 'Mac ' || i, '15.1', '24B83', 1, 0, 0 FROM n";
        let enrollment = "INSERT INTO enrollment (id, host_id, external_id, kind, generation, enabled, topic, push_token, \
                          push_magic, token_updated_at, token_update_tally, awaiting_configuration) SELECT i, i, \
                          printf('00000000-0000-4000-8000-%012d', i), 0, 1, true, 'com.apple.mgmt.External.bench', \
                          randomblob(32), printf('%036d', i), 1, 1, false FROM n";
        let identity = "INSERT INTO identity (fingerprint, serial, certificate, not_before, not_after, state, enrollment_id, \
                        renewal, issued_at) SELECT CAST(printf('%032d', i) AS BLOB), printf('%032x', i), randomblob(900), 0, \
                        4102444800000, 1, i, false, 0 FROM n";
        for insert in [host, enrollment, identity] {
            rows.insert(insert, hosts).await;
        }
        rows
    }

    /// Gives every host but the first `each` commands that ended.
    pub(crate) async fn with_history(hosts: usize, each: usize) -> Self {
        let rows = Self::with_hosts(hosts).await;
        let command = "INSERT INTO command (id, uuid, request_type, body, created_at) SELECT i, printf('past-%d', i), \
                       'ProfileList', randomblob(300), 0 FROM n";
        rows.insert(command, each).await;
        let past = "INSERT INTO queue_entry (host_id, enrollment_id, command_id, generation, priority, state, attempts, \
                    not_now_tally, no_blind_resend, created_at, expires_at, changed_at) SELECT h.id, h.id, n.i, 1, 0, 10, 0, 0, \
                    false, 0, 4102444800000, 0 FROM n, (SELECT id FROM host WHERE id > 1) AS h";
        rows.insert(past, each).await;
        rows.run("ANALYZE").await;
        rows
    }

    /// Runs an insert whose `n(i)` counts from 1.
    async fn insert(&self, insert: &str, count: usize) {
        let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
        self.run(&format!("{numbers} {insert}")).await;
    }

    /// How SQLite goes about a query.
    pub(crate) async fn plan(&self, sql: &str) -> String {
        let statement = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = self.database.query_all_raw(statement).await.expect("a plan");
        let details = rows.iter().map(|row| row.try_get::<String>("", "detail").expect("a detail"));
        details.collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.database.execute_unprepared(sql).await.expect("rows");
    }

    /// Lets go of the file, so that a server can take it.
    pub(crate) async fn close(&self) {
        self.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
        self.database.clone().close().await.expect("the database closes");
    }

    /// How a host's device names itself, and the certificate that it proves.
    pub(crate) fn sender(host: usize) -> (Channel, Fingerprint) {
        let id = EnrollmentId::parse(&format!("00000000-0000-4000-8000-{host:012}")).expect("a name");
        let channel = Channel { kind: ChannelKind::Device, id: id.clone(), device_id: id, user: None };
        let fingerprint = format!("{host:032}").into_bytes().try_into().expect("32 bytes");
        (channel, Fingerprint::from_bytes(fingerprint))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// The size of a measurement, unless the environment says otherwise.
pub(crate) fn size(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
