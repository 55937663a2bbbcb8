//! Memory of hosts that are at rest: their actors are started, and nothing is due.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database};

use super::client::Exchange;
use super::fleet::token;
use super::process::Server;

/// Hosts that are started, unless `ROOKERY_BENCH_HOSTS` says otherwise.
const HOSTS: usize = 100_000;
/// Connections that start them.
const CONNECTIONS: usize = 32;

/// Prints what resident hosts cost.
pub(crate) async fn measure() {
    let hosts = std::env::var("ROOKERY_BENCH_HOSTS").ok().and_then(|text| text.parse().ok()).unwrap_or(HOSTS);
    if hosts == 0 {
        return;
    }
    let data = std::env::temp_dir().join(format!("rookery-bench-{}", uuid::Uuid::new_v4()));
    drop(Server::start_on(data.clone(), &[])); // makes the tables
    fill(&data, hosts).await;
    let server = Server::start_on(data.clone(), &[("ROOKERY_HOSTS__IDLE", "1d")]);
    let token = token(&server);
    let (before, begun) = (server.memory(), Instant::now());
    let starters: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let (address, token) = (server.admin, token.clone());
            tokio::spawn(async move {
                let mut exchange = Exchange::open(address).await;
                for host in (first..hosts).step_by(CONNECTIONS) {
                    let request = format!(
                        "GET /api/v1/fleet/hosts/{}/actor HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n",
                        host + 1
                    );
                    exchange.send(request.as_bytes()).await;
                }
            })
        })
        .collect();
    for starter in starters {
        starter.await.expect("a starter");
    }
    let started = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = server.memory();
    println!(
        "\n{hosts} resident idle hosts: {} MB in all, {} bytes each over the {} MB of an empty server; started in {:.0} s",
        after / 1_000_000,
        after.saturating_sub(before) / hosts as u64,
        before / 1_000_000,
        started.as_secs_f64()
    );
    drop(server);
    let _ = std::fs::remove_dir_all(data);
}

/// Writes enrolled hosts straight into the rows of a server that is not running.
async fn fill(data: &std::path::Path, hosts: usize) {
    let url = format!("sqlite:{}", data.join("rookery.sqlite").display());
    let database = Database::connect(url).await.expect("the database");
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {hosts})");
    let host = "INSERT INTO host (id, uuid, serial, platform, hardware_model, computer_name, os_version, build_version, \
                mdm_status, created_at, updated_at) SELECT i, printf('00000000-0000-4000-8000-%012d', i), \
                printf('S%011d', i), 'darwin', 'Mac15,3', 'Mac ' || i, '15.1', '24B83', 1, 0, 0 FROM n";
    let enrollment = "INSERT INTO enrollment (host_id, external_id, kind, generation, enabled, topic, push_token, push_magic, \
                      token_updated_at, token_update_tally, awaiting_configuration) SELECT i, \
                      printf('00000000-0000-4000-8000-%012d', i), 0, 1, true, 'com.apple.mgmt.External.bench', randomblob(32), \
                      printf('%036d', i), 1, 1, false FROM n";
    let identity = "INSERT INTO identity (fingerprint, serial, certificate, not_before, not_after, state, enrollment_id, renewal, \
                    issued_at) SELECT randomblob(32), printf('%032x', i), randomblob(900), 0, 4102444800000, 1, i, false, 0 FROM n";
    for insert in [host, enrollment, identity] {
        database.execute_unprepared(&format!("{numbers} {insert}")).await.expect("rows");
    }
    database.close().await.expect("the database closes");
}
