//! Agents that are no MDM: orbit and osquery enroll here and fetch what they are to do. Their paths and shapes are Fleet's.
//!
//! Unlike enrolled Apple devices they may be told 401: they enroll again then, and nothing is lost.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::ask::Refusal;
use actors::host::agent_wakes::AgentWakes;
use actors::registrar::EnrollAgent;
use actors::seen::Through;
use entities::agent::{self, Kind};
use entities::windows_admission::may_enroll_itself;
use entities::{host, windows_host};
use openssl::sha::sha256;
use protocol::agent::{node_key, orbit_enrollment, osquery_enrollment};
use protocol::ids::HostId;
use serde_json::json;

use super::windows_enroll::DISCOVERY_PATH;
use crate::http::edge::DeviceEdge;
use crate::http::error::{AgentError, AgentFault};

/// How long an agent waits.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest message of an agent here, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// What an orbit says that starts a management session when it is told to.
const STARTS_SESSIONS: &str = "windows_mdm_sync";
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
pub async fn orbit_config(
    request: HttpRequest,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let host = recognize(&edge, payload, Kind::Orbit).await?;
    let mut notifications = json!({});
    let (id, is_windows, now) = (HostId(host.id), host.platform == "windows", edge.front.clock.now());
    let failed = |refusal| AgentError { kind: Kind::Orbit, fault: AgentFault::from(refusal) };
    let may = may_enroll_itself(&edge.front.reader, host, now.millis()).await;
    if may.map_err(|error| failed(error.into()))? && edge.windows.enabled {
        let address = format!("{}{DISCOVERY_PATH}", edge.front.authority_config.server_url);
        notifications["needs_programmatic_windows_mdm_enrollment"] = true.into();
        notifications["windows_mdm_discovery_endpoint"] = address.into();
    }
    let starts_sessions = request
        .headers()
        .get_all(CAPABILITIES.0)
        .any(|value| value.to_str().is_ok_and(|names| names.split(',').any(|name| name.trim() == STARTS_SESSIONS)));
    // Every agent asks every 30 s: those of other platforms cost nothing here.
    if is_windows && wakes(&edge, id, starts_sessions).await.map_err(failed)? {
        notifications["windows_mdm_sync_request"] = true.into();
    }
    Ok(HttpResponse::Ok().insert_header(CAPABILITIES).json(json!({ "notifications": notifications })))
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

/// Whether an agent is to start a management session of its device. Whether it can is noted where that is new.
async fn wakes(edge: &DeviceEdge, host: HostId, starts_sessions: bool) -> Result<bool, Refusal> {
    let Some(device) = windows_host::of_agent(&edge.front.reader, host.0).await? else { return Ok(false) };
    if device.agent_wakes != starts_sessions {
        let said = AgentWakes { enrollment: device.enrollment_id, can: starts_sessions };
        edge.front.hosts.ask(host, said, DEADLINE).await?;
    }
    Ok(starts_sessions && device.has_work)
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
async fn recognize(edge: &DeviceEdge, payload: Payload, kind: Kind) -> Result<host::Model, AgentError> {
    let key = node_key(&read(edge, payload, kind).await?).map_err(|error| AgentError::bad_request(kind, error))?;
    let found = agent::host_of_key(&edge.front.reader, kind, sha256(key.as_bytes()).to_vec()).await;
    let found = found.map_err(|error| AgentError { kind, fault: AgentFault::from(Refusal::from(error)) })?;
    let host = found.ok_or(AgentError { kind, fault: AgentFault::UnknownKey })?;
    edge.front.seen.note(HostId(host.id), edge.front.clock.now(), Through::Agent);
    Ok(host)
}
