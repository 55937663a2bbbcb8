//! orbit, Fleet's companion of osquery: what it is to do, the token of its host's desktop, and what it asks for in vain, because this
//! server runs no scripts, installs no software and keeps no recovery keys. It is told so; it tries again when it is started anew.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::agents::Remembered;
use actors::host::agent_wakes::AgentWakes;
use actors::inspector::{NewDeviceToken, UsedBy};
use actors::registrar::EnrollAgent;
use entities::agent::Kind;
use protocol::agent::orbit::{device_token, device_user, names_ability};
use protocol::agent::orbit_enrollment;
use protocol::ids::HostId;
use serde_json::json;

use super::{DEADLINE, MAX_BYTES, enroll, read, recognize, recognize_key, refused};
use crate::http::device::windows_enroll::DISCOVERY_PATH;
use crate::http::edge::DeviceEdge;
use crate::http::error::{AgentError, AgentFault};

/// What an orbit says that starts a management session when it is told to.
const STARTS_SESSIONS: &str = "windows_mdm_sync";
/// What this server can do for orbit, which asks for nothing else.
const CAPABILITIES: (&str, &str) = ("X-Fleet-Capabilities", "orbit_endpoints,token_rotation,end_user_email");

/// `HEAD /api/fleet/orbit/ping`, `HEAD /api/fleet/device/ping`: is there a server, and what can it do?
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().insert_header(CAPABILITIES).finish()
}

/// `POST /api/fleet/orbit/enroll`
pub async fn begin(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let said = orbit_enrollment(&read(&edge, payload, Kind::Orbit, MAX_BYTES).await?).map_err(bad_request)?;
    let key = enroll(&edge, EnrollAgent { kind: Kind::Orbit, said }).await?;
    Ok(HttpResponse::Ok().insert_header(CAPABILITIES).json(json!({ "orbit_node_key": key })))
}

/// `POST /api/fleet/orbit/config`: every agent asks every 30 s, which costs no query once it is known.
pub async fn config(
    request: HttpRequest,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let host = recognize(&edge, payload, Kind::Orbit).await?;
    let mut notifications = json!({});
    let server_url = &edge.front.authority_config.server_url;
    if edge.windows.enabled && host.may_enroll(server_url, edge.front.clock.now()) {
        notifications["needs_programmatic_windows_mdm_enrollment"] = true.into();
        notifications["windows_mdm_discovery_endpoint"] = format!("{server_url}{DISCOVERY_PATH}").into();
    }
    let mut abilities = request.headers().get_all(CAPABILITIES.0).filter_map(|value| value.to_str().ok());
    let starts_sessions = abilities.any(|names| names_ability(names, STARTS_SESSIONS));
    if wakes(&edge, &host, starts_sessions).await? {
        notifications["windows_mdm_sync_request"] = true.into();
    }
    Ok(HttpResponse::Ok().insert_header(CAPABILITIES).json(json!({ "notifications": notifications })))
}

/// Whether an agent is to start a management session of its device. Whether it can is noted where that is new.
async fn wakes(edge: &DeviceEdge, host: &Remembered, starts_sessions: bool) -> Result<bool, AgentError> {
    let Some(device) = &host.known.windows else { return Ok(false) };
    if device.agent_wakes != starts_sessions {
        let said = AgentWakes { enrollment: device.enrollment_id, can: starts_sessions };
        edge.front.hosts.ask(HostId(host.known.host_id), said, DEADLINE).await.map_err(refused(Kind::Orbit))?;
    }
    Ok(starts_sessions && device.has_work)
}

/// `POST /api/fleet/orbit/device_token`
pub async fn new_token(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let said = device_token(&read(&edge, payload, Kind::Orbit, MAX_BYTES).await?).map_err(bad_request)?;
    let host = HostId(recognize_key(&edge, &said.node_key, Kind::Orbit).await?.known.host_id);
    let set = edge.front.inspector.ask(NewDeviceToken { host, token: said.token }, DEADLINE).await;
    set.map_err(refused(Kind::Orbit))?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `PUT /api/fleet/orbit/device_mapping`
pub async fn used_by(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    let said = device_user(&read(&edge, payload, Kind::Orbit, MAX_BYTES).await?).map_err(bad_request)?;
    let host = HostId(recognize_key(&edge, &said.node_key, Kind::Orbit).await?.known.host_id);
    let noted = edge.front.inspector.ask(UsedBy { host, email: said.email }, DEADLINE).await;
    noted.map_err(refused(Kind::Orbit))?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST /api/fleet/orbit/scripts/{request|result}`
pub async fn scripts(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    in_vain(payload, &edge, "this server runs no scripts").await
}

/// `POST /api/fleet/orbit/software_install/{details|package|result}`
pub async fn software(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    in_vain(payload, &edge, "this server installs no software through agents").await
}

/// `POST /api/fleet/orbit/{disk_encryption_key|luks_data}`
pub async fn recovery_keys(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    in_vain(payload, &edge, "this server did not ask for a recovery key, and does not keep it").await
}

/// `POST /api/fleet/orbit/setup_experience/init`: there is none, so that orbit goes on.
pub async fn setup(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    recognize(&edge, payload, Kind::Orbit).await?;
    Ok(HttpResponse::Ok().json(json!({ "result": { "enabled": false } })))
}

/// `POST /api/fleet/orbit/setup_experience/status`: nothing is left to wait for.
pub async fn setup_status(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, AgentError> {
    recognize(&edge, payload, Kind::Orbit).await?;
    let nothing = json!({ "script": null, "software": [], "configuration_profiles": [], "org_logo_url": "" });
    Ok(HttpResponse::Ok().json(json!({ "setup_experience_results": nothing })))
}

async fn in_vain(payload: Payload, edge: &DeviceEdge, why: &'static str) -> Result<HttpResponse, AgentError> {
    recognize(edge, payload, Kind::Orbit).await?;
    Err(AgentError { kind: Kind::Orbit, fault: AgentFault::NotHere(why) })
}

fn bad_request(why: impl ToString) -> AgentError {
    AgentError::bad_request(Kind::Orbit, why)
}
