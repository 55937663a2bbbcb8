//! Memory of hosts that are at rest: their actors are started, and nothing is due.

use std::time::{Duration, Instant};

use super::client::Exchange;
use super::fleet::token;
use super::process::Server;
use super::rows::{Rows, size};

/// Connections that start them.
const CONNECTIONS: usize = 32;

/// Prints what resident hosts cost.
pub(crate) async fn measure() {
    let hosts = size("ROOKERY_BENCH_HOSTS", 100_000);
    if hosts == 0 {
        return;
    }
    let rows = Rows::with_hosts(hosts).await;
    rows.close().await;
    let server = Server::start_on(rows.data.clone(), &[("ROOKERY_HOSTS__IDLE", "1d")]);
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
        "\n{hosts} resident idle hosts: {} MB in all (target 300 for 100,000), {} bytes each over the {} MB of an empty \
         server; started in {:.0} s",
        after / 1_000_000,
        after.saturating_sub(before) / hosts as u64,
        before / 1_000_000,
        started.as_secs_f64()
    );
}
