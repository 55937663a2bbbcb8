//! A server with very many hosts starts again.

use std::time::Instant;

use super::process::Server;
use super::rows::{Rows, size};

/// Prints how soon it is ready, and how much memory it takes.
pub(crate) async fn measure() {
    let hosts = size("ROOKERY_BENCH_RESTART", 1_000_000);
    if hosts == 0 {
        return;
    }
    let rows = Rows::with_hosts(hosts).await;
    rows.close().await;
    let begun = Instant::now();
    let server = Server::start_on(rows.data.clone(), &[]);
    println!(
        "\nrestart with {hosts} enrolled hosts: ready in {:.2} s (target 5), {} MB (target 1000)",
        begun.elapsed().as_secs_f64(),
        server.memory() / 1_000_000
    );
}
