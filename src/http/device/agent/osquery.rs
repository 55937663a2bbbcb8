//! osquery: it enrolls, fetches its options, asks which queries it is to run, and writes what it found.

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use actors::inspector::{Inspected, WindowsQuery};
use actors::registrar::EnrollAgent;
use entities::agent::Kind;
use protocol::agent::answers::answers;
use protocol::agent::details::{HAS_MDM_BRIDGE, PREFIX, WINDOWS_PROFILES, of_platform};
use protocol::agent::{node_key, osquery_enrollment};
use protocol::ids::HostId;
use serde_json::{Map, Value, json};

use super::{DEADLINE, MAX_BYTES, enroll, read, recognize, recognize_key, refused};
use crate::http::edge::DeviceEdge;
use crate::http::error::AgentError;

/// The longest answer to queries, in bytes.
const MAX_ANSWERS: usize = 2 * 1024 * 1024;
/// The longest piece of a log, in bytes.
const MAX_LOG: usize = 5 * 1024 * 1024;

/// `POST /api/osquery/enroll`
pub async fn begin(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let said = osquery_enrollment(&read(&edge, payload, Kind::Osquery, MAX_BYTES).await?).map_err(bad_request)?;
    let key = enroll(&edge, EnrollAgent { kind: Kind::Osquery, said }).await?;
    Ok(HttpResponse::Ok().json(json!({ "node_key": key })))
}

/// `POST /api/osquery/config`: where to ask for queries, and how often. Nothing is scheduled.
pub async fn config(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    recognize(&edge, payload, Kind::Osquery).await?;
    let options = json!({
        "disable_distributed": false,
        "distributed_plugin": "tls",
        "distributed_interval": edge.agents.query_interval.as_secs(),
        "distributed_tls_max_attempts": 3,
        "distributed_tls_read_endpoint": "/api/osquery/distributed/read",
        "distributed_tls_write_endpoint": "/api/osquery/distributed/write",
        "logger_plugin": "tls",
        "logger_tls_endpoint": "/api/osquery/log",
        "pack_delimiter": "/",
    });
    Ok(HttpResponse::Ok().json(json!({ "options": options, "schedule": {} })))
}

/// `POST /api/osquery/distributed/read`: the queries that are due, each with its discovery query.
pub async fn queries(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let host = recognize(&edge, payload, Kind::Osquery).await?;
    let (mut queries, mut discovery) = (Map::new(), Map::new());
    if host.is_to_be_asked(edge.agents.detail_interval, edge.front.clock.now()) {
        for detail in of_platform(&host.known.platform) {
            let name = format!("{PREFIX}{}", detail.name);
            queries.insert(name.clone(), detail.query.into());
            discovery.insert(name, detail.discovery.into());
        }
        if host.known.windows.is_some() {
            let about = WindowsQuery { host: HostId(host.known.host_id) };
            let query = edge.front.inspector.ask(about, DEADLINE).await.map_err(refused(Kind::Osquery))?;
            let name = format!("{PREFIX}{WINDOWS_PROFILES}");
            discovery.extend(query.is_some().then(|| (name.clone(), HAS_MDM_BRIDGE.into())));
            queries.extend(query.map(|query| (name, query.into())));
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "queries": queries, "discovery": discovery })))
}

/// `POST /api/osquery/distributed/write`: details that are due are taken, others are not asked for and not looked at.
pub async fn found(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let body = read(&edge, payload, Kind::Osquery, MAX_ANSWERS).await?;
    let answers = answers(&body, PREFIX).map_err(bad_request)?;
    drop(body);
    let host = recognize_key(&edge, &answers.node_key, Kind::Osquery).await?;
    if !answers.is_empty() && host.lacks_details(edge.agents.detail_interval, edge.front.clock.now()) {
        let inspected = Inspected { host: HostId(host.known.host_id), answers };
        edge.front.inspector.ask(inspected, DEADLINE).await.map_err(refused(Kind::Osquery))?;
    }
    Ok(HttpResponse::Ok().json(Value::Object(Map::new())))
}

/// `POST /api/osquery/log`: taken, so that osquery does not send it again, and not kept: nothing is scheduled.
pub async fn log(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let key = node_key(&read(&edge, payload, Kind::Osquery, MAX_LOG).await?).map_err(bad_request)?;
    recognize_key(&edge, &key, Kind::Osquery).await?;
    Ok(HttpResponse::Ok().json(Value::Object(Map::new())))
}

fn bad_request(why: impl ToString) -> AgentError {
    AgentError::bad_request(Kind::Osquery, why)
}
