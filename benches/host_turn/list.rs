//! Admins look through very many hosts: every page of a list, filtered and not, and counts.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Exchange;
use super::fleet::token;
use super::process::Server;
use super::rows::{Rows, size};

/// Hosts on a page.
const PAGE: usize = 100;
/// How often each page is asked for.
const TRIES: usize = 5;
/// Teams that the hosts are in, a tenth of them each; as many are in none.
const TEAMS: usize = 9;

/// What is asked for, and the condition that it is in SQL, for the plan.
const LISTS: [(&str, &str, &str); 5] = [
    ("all hosts", "", "ORDER BY id"),
    ("of a team", "&team_id=3", "AND team_id = 3 ORDER BY id"),
    (
        "of a team, enrolled manually",
        "&team_id=3&mdm_enrollment_status=manual",
        "AND team_id = 3 AND mdm_status = 1 ORDER BY id",
    ),
    (
        "of a team, enrolled in any way",
        "&team_id=3&mdm_enrollment_status=enrolled",
        "AND team_id = 3 AND mdm_status IN (1, 2, 3) ORDER BY id",
    ),
    ("all hosts, by name", "&order_key=display_name", "ORDER BY computer_name, id"),
];

/// Prints what pages and counts cost.
pub(crate) async fn measure() {
    let hosts = size("ROOKERY_BENCH_LIST", 100_000);
    if hosts == 0 {
        return;
    }
    let rows = Rows::with_hosts(hosts).await;
    rows.run("INSERT INTO team (id, name, folded_name, description, created_at) SELECT id, 'T' || id, 't' || id, '', 0 FROM host WHERE id < 10")
        .await;
    rows.run(&format!(
        "UPDATE host SET team_id = NULLIF(id % {}, 0), mdm_status = id % 5, last_seen_at = id",
        TEAMS + 1
    ))
    .await;
    rows.run("ANALYZE").await;
    let mut plans = Vec::new();
    for (_, _, sql) in LISTS {
        let select = format!("SELECT * FROM host WHERE deleted_at IS NULL {sql} LIMIT {PAGE} OFFSET 1000");
        plans.push(rows.plan(&select).await);
    }
    rows.close().await;
    let server = Server::start_on(rows.data.clone(), &[]);
    let (token, mut exchange) = (token(&server), Exchange::open(server.admin).await);
    println!(
        "\n| {hosts} hosts on SQLite, {PAGE} a page | pages | median of the slowest page, ms (target 50) | of all, ms | plan |"
    );
    println!("|---|---|---|---|---|");
    for ((what, query, _), plan) in LISTS.into_iter().zip(plans) {
        let (mut medians, mut page) = (Vec::new(), 0);
        loop {
            let path = format!("/api/v1/fleet/hosts?per_page={PAGE}&page={page}{query}");
            let (took, answer) = ask(&mut exchange, &token, &path).await;
            medians.push(took);
            page += 1;
            if answer["hosts"].as_array().is_none_or(|hosts| hosts.len() < PAGE) {
                break;
            }
        }
        medians.sort_unstable();
        let (slowest, middle) = (medians.last().copied().unwrap_or_default(), medians[medians.len() / 2]);
        println!("| {what} | {page} | {} | {} | {plan} |", millis(slowest), millis(middle));
    }
    for (what, path) in [
        ("counts by status", "/api/v1/fleet/hosts/summary/mdm"),
        ("count of a team by status", "/api/v1/fleet/hosts/count?team_id=3&mdm_enrollment_status=manual"),
    ] {
        let (took, _) = ask(&mut exchange, &token, path).await;
        println!("| {what} | | {} | | kept by triggers in host_tally |", millis(took));
    }
}

/// The median time of a request that is sent some times, and its last answer.
async fn ask(exchange: &mut Exchange, token: &str, path: &str) -> (Duration, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let (mut times, mut answer) = (Vec::with_capacity(TRIES), Vec::new());
    for _ in 0..TRIES {
        let begun = Instant::now();
        answer = exchange.send(request.as_bytes()).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (times[TRIES / 2], serde_json::from_slice(&answer).expect("JSON"))
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
