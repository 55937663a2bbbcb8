//! What operators reach, on a listener of its own: is it alive, is it ready, what runs, and figures for Prometheus.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use actix_web::HttpResponse;
use actix_web::web::Data;
use actors::supervisor::Health;
use protocol::time::Timestamp;
use serde_json::json;

use super::edge::OpsEdge;

/// `GET /healthz`: the process answers.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// `GET /readyz`: the database answers and stores, the tree runs, and the server is not about to stop.
pub async fn readyz(edge: Data<OpsEdge>) -> HttpResponse {
    let now = edge.front.clock.now();
    let broken: Vec<String> = edge
        .board
        .snapshot(now)
        .into_iter()
        .filter(|node| node.health != Health::Running)
        .map(|node| format!("{} is {:?}", node.path, node.health))
        .collect();
    let unread = edge.front.reader.ping().await.err().map(|error| error.to_string());
    let unwritten = edge.front.written.failing.load(Relaxed).then(|| "nothing can be stored".to_owned());
    let database = unread.or(unwritten);
    let stopping = edge.stopping.load(Relaxed);
    let ready = broken.is_empty() && database.is_none() && !stopping;
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({ "ready": ready, "stopping": stopping, "database": database, "broken": broken }))
}

/// `GET /tree`: the supervision tree as it lives.
pub async fn tree(edge: Data<OpsEdge>) -> HttpResponse {
    let now = edge.front.clock.now();
    HttpResponse::Ok().json(json!({
        "nodes": edge.board.snapshot(now),
        "hosts": edge.front.hosts.census(),
        "uptime_ms": now.since(edge.since).as_millis() as u64,
    }))
}

/// `GET /metrics`: figures in Prometheus' text format.
pub async fn metrics(edge: Data<OpsEdge>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(render(&edge))
}

fn render(edge: &OpsEdge) -> String {
    let now = edge.front.clock.now();
    let (census, writer, pushes) = (edge.front.hosts.census(), &edge.front.written, &edge.front.pushes);
    let mut page = Page::default();
    page.one("rookery_uptime_seconds", "gauge", "Seconds since the server started", now.since(edge.since).as_secs());
    page.one("rookery_hosts_resident", "gauge", "Hosts that have an actor now", census.resident);
    page.one("rookery_hosts_quarantined", "gauge", "Hosts that are left alone", census.quarantined.len());
    page.one("rookery_host_actors_started_total", "counter", "Host actors started", census.started);
    page.one("rookery_host_actors_retired_total", "counter", "Host actors retired", census.retired);
    page.one("rookery_host_actors_crashed_total", "counter", "Host actors that panicked", census.crashed);
    page.one("rookery_store_commits_total", "counter", "Committed transactions", writer.commits.load(Relaxed));
    page.one("rookery_store_pieces_total", "counter", "Turns and jobs in them", writer.pieces.load(Relaxed));
    page.one("rookery_store_failures_total", "counter", "Turns and jobs not stored", writer.failures.load(Relaxed));
    let failing = u8::from(writer.failing.load(Relaxed));
    page.one("rookery_store_failing", "gauge", "Whether nothing could be stored the last time", failing);
    let vault = edge.front.reader.vault();
    page.one("rookery_vault_refused_total", "counter", "Stored secrets that did not open", vault.refused());
    page.one("rookery_vault_resealed_total", "counter", "Secrets sealed anew with another key", vault.resealed());
    page.one("rookery_watching", "gauge", "Requests that wait for hosts or watch them", edge.front.feed.watching());
    page.one("rookery_pushes_sent_total", "counter", "Pushes that APNs took", pushes.sent.load(Relaxed));
    page.one("rookery_pushes_failed_total", "counter", "Pushes that APNs did not take", pushes.failed.load(Relaxed));
    let events = &edge.front.deliveries;
    let oldest = Some(events.oldest.load(Relaxed)).filter(|oldest| *oldest > 0);
    let age = oldest.map_or(0, |oldest| now.since(Timestamp::from_millis(oldest)).as_secs());
    page.one("rookery_webhook_pending", "gauge", "Events that wait for a webhook", events.pending.load(Relaxed));
    page.one("rookery_webhook_dead", "gauge", "Dead letters of webhooks", events.dead.load(Relaxed));
    page.one("rookery_webhook_oldest_seconds", "gauge", "Age of the oldest event that waits", age);
    page.one("rookery_webhook_delivered_total", "counter", "Events delivered", events.delivered.load(Relaxed));
    page.one("rookery_webhook_failed_total", "counter", "Deliveries that failed", events.failed.load(Relaxed));
    page.profiles(&edge.front.profiled);
    let nodes = edge.board.snapshot(now);
    page.head("rookery_node_restarts_total", "counter", "Restarts of a node of the tree");
    for node in &nodes {
        page.line(&format!("rookery_node_restarts_total{{path=\"{}\"}}", node.path), node.restarts);
    }
    page.head("rookery_node_up", "gauge", "Whether a node of the tree runs");
    for node in &nodes {
        page.line(&format!("rookery_node_up{{path=\"{}\"}}", node.path), u8::from(node.health == Health::Running));
    }
    page.text
}

/// A page of figures.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn profiles(&mut self, done: &actors::profiles::Tally) {
        let mut one = |name: &str, help: &str, value: &std::sync::atomic::AtomicU64| {
            self.one(&format!("rookery_profiles_{name}_total"), "counter", help, value.load(Relaxed));
        };
        one("hosts", "Hosts whose profiles were looked at because something about them changed", &done.hosts);
        one("marked", "Profiles of hosts that were found to differ", &done.marked);
        one("delivered", "Profiles of hosts that were sent, held or dropped", &done.delivered);
        one("commands", "Commands queued for profiles, counted for every host", &done.commands);
        one("asked", "Hosts that were asked which profiles they have", &done.asked);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{name} {value}");
    }
}
