//! Agents that are no MDM: orbit and osquery enroll here and fetch what they are to do. Their paths and shapes are Fleet's.
//!
//! Unlike enrolled Apple devices they may be told 401: they enroll again then, and nothing is lost.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Payload};
use actors::registrar::EnrollAgent;
use actors::seen::Through;
use entities::agent::{self, Kind};
use openssl::sha::sha256;
use protocol::agent::{node_key, orbit_enrollment, osquery_enrollment};
use protocol::ids::HostId;
use serde_json::json;

use crate::http::edge::DeviceEdge;
use crate::http::error::{AgentError, AgentFault};

/// How long an agent waits.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest message of an agent here, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// What this server can do for orbit, which asks for nothing else.
const CAPABILITIES: (&str, &str) = ("X-Fleet-Capabilities", "orbit_endpoints");

/// `HEAD /api/fleet/orbit/ping`: orbit looks whether there is a server, and what it can do.
pub async fn orbit_ping() -> HttpResponse {
    HttpResponse::Ok().insert_header(CAPABILITIES).finish()
}

/// `POST /api/fleet/orbit/enroll`
pub async fn orbit_enroll(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let said = orbit_enrollment(&read(&edge, payload, Kind::Orbit).await?);
    let said = said.map_err(|error| AgentError::bad_request(Kind::Orbit, error))?;
    let key = enroll(&edge, EnrollAgent { kind: Kind::Orbit, said }).await?;
    Ok(HttpResponse::Ok().insert_header(CAPABILITIES).json(json!({ "orbit_node_key": key })))
}

/// `POST /api/fleet/orbit/config`: every agent asks every 30 s, which costs one read by an index.
pub async fn orbit_config(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    recognize(&edge, payload, Kind::Orbit).await?;
    Ok(HttpResponse::Ok().insert_header(CAPABILITIES).json(json!({ "notifications": {} })))
}

/// `POST /api/osquery/enroll`
pub async fn osquery_enroll(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let said = osquery_enrollment(&read(&edge, payload, Kind::Osquery).await?);
    let said = said.map_err(|error| AgentError::bad_request(Kind::Osquery, error))?;
    let key = enroll(&edge, EnrollAgent { kind: Kind::Osquery, said }).await?;
    Ok(HttpResponse::Ok().json(json!({ "node_key": key })))
}

/// `POST /api/osquery/config`
pub async fn osquery_config(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    recognize(&edge, payload, Kind::Osquery).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

async fn read(edge: &DeviceEdge, payload: Payload, kind: Kind) -> Result<Bytes, AgentError> {
    edge.budget.read(payload, MAX_BYTES).await.map_err(|error| AgentError { kind, fault: error.into() })
}

async fn enroll(edge: &DeviceEdge, enroll: EnrollAgent) -> Result<String, AgentError> {
    let kind = enroll.kind;
    let key = edge.front.registrar.ask(enroll, DEADLINE).await;
    key.map_err(|refusal| AgentError { kind, fault: AgentFault::from(refusal) })
}

/// The host of the key in a message; it was seen.
async fn recognize(edge: &DeviceEdge, payload: Payload, kind: Kind) -> Result<HostId, AgentError> {
    let key = node_key(&read(edge, payload, kind).await?).map_err(|error| AgentError::bad_request(kind, error))?;
    let found = agent::host_of_key(&edge.front.reader, kind, sha256(key.as_bytes()).to_vec()).await;
    let found =
        found.map_err(|error| AgentError { kind, fault: AgentFault::from(actors::ask::Refusal::from(error)) })?;
    let host = HostId(found.ok_or(AgentError { kind, fault: AgentFault::UnknownKey })?.id);
    edge.front.seen.note(host, edge.front.clock.now(), Through::Agent);
    Ok(host)
}
