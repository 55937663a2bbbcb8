//! The desktop of a host (Fleet Desktop): whoever sits there sees what is known of it, may ask for it to be read anew, and for its profiles to be sent again. The token in
//! the address, which its orbit made, is all that it shows.

use std::time::{Duration, Instant};

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::inspector::Refetch;
use entities::agent::Kind;
use entities::{agent_token, host};
use openssl::sha::sha256;
use protocol::agent::orbit::is_device_token;
use protocol::ids::HostId;
use serde_json::json;

use super::{DEADLINE, MAX_BYTES, read, refused};
use crate::http::admin::hosts::{mdm_status, moment};
use crate::http::admin::{end_users, profiles};
use crate::http::edge::DeviceEdge;
use crate::http::error::{AgentError, AgentFault};

/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(3600);
/// What people read who want to know what the agent does.
const TRANSPARENCY: &str = "This device is managed by your organization. Its agent tells the management server: the model, \
    serial number and name of the device, the version of its operating system and of the agent itself, which management it is \
    enrolled in, and which configuration profiles are installed. It reads no files, no messages and no browsing history.\n";

/// The host of the token in a request's address.
async fn host_of(request: &HttpRequest, token: &str, edge: &DeviceEdge) -> Result<host::Model, AgentError> {
    let since = edge.front.clock.now().minus(LIFE).millis();
    let found = match is_device_token(token) {
        true => agent_token::host_of(&edge.front.reader, sha256(token.as_bytes()).to_vec(), since).await,
        false => Ok(None),
    };
    let found = found.map_err(|error| refused(Kind::Orbit)(error.into()))?;
    // Only what fails is counted: many desktops may share an address, and a token cannot be guessed in any time.
    let fault = || match edge.agents.limiter.count(request, None, Instant::now()) {
        Ok(()) => AgentFault::Unknown("authentication error: this device token is not known, or has ended"),
        Err(after) => AgentFault::TooOften(after),
    };
    found.ok_or_else(|| AgentError { kind: Kind::Orbit, fault: fault() })
}

/// `GET …/device/{token}`
pub async fn show(
    request: HttpRequest,
    token: Path<(String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let host = host_of(&request, &token.1, &edge).await?;
    let server_url = &edge.front.authority_config.server_url;
    let is_managed = !matches!(host.mdm_status, host::OFF | host::PENDING);
    let shown = json!({
        "id": host.id,
        "uuid": host.uuid.clone().unwrap_or_default(),
        "hardware_serial": host.serial.clone().unwrap_or_default(),
        "hardware_model": host.hardware_model,
        "hostname": host.computer_name,
        "computer_name": host.computer_name,
        "display_name": host.display_name(),
        "platform": host.platform,
        "os_version": host.os_version,
        "seen_time": moment(host.last_seen_at),
        "mdm": {
            "enrollment_status": mdm_status(host.mdm_status),
            "server_url": is_managed.then_some(server_url),
        },
    });
    Ok(HttpResponse::Ok().json(json!({
        "host": shown,
        "license": { "tier": "premium" },
        "org_logo_url": "",
        "global_config": { "mdm": { "enabled_and_configured": true } },
        "self_service": false,
    })))
}

/// `GET …/device/{token}/desktop`: what its menu shows.
pub async fn summary(
    request: HttpRequest,
    token: Path<(String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    host_of(&request, &token.1, &edge).await?;
    let organization = &edge.front.authority_config.organization;
    Ok(HttpResponse::Ok().json(json!({
        "failing_policies_count": 0,
        "self_service": false,
        "notifications": { "needs_mdm_migration": false, "renew_enrollment_profile": false },
        "config": {
            "org_info": { "org_name": organization, "org_logo_url": "", "org_logo_url_light_background": "", "contact_url": "" },
            "mdm": { "macos_migration": { "mode": "" } },
        },
    })))
}

/// `HEAD …/device/{token}/ping`: is the token good?
pub async fn ping(
    request: HttpRequest,
    token: Path<(String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    host_of(&request, &token.1, &edge).await?;
    Ok(super::orbit::ping().await)
}

/// `POST …/device/{token}/refetch`
pub async fn refetch(
    request: HttpRequest,
    token: Path<(String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let host = HostId(host_of(&request, &token.1, &edge).await?.id);
    edge.front.inspector.ask(Refetch { host }, DEADLINE).await.map_err(refused(Kind::Orbit))?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST …/device/{token}/configuration_profiles/{uuid}/resend`
pub async fn resend(
    request: HttpRequest,
    names: Path<(String, String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let (_, token, uuid) = names.into_inner();
    let host = host_of(&request, &token, &edge).await?;
    let sent = profiles::resend_own(&edge.front, &host, uuid).await;
    sent.map_err(|error| AgentError { kind: Kind::Orbit, fault: error.into() })
}

/// `GET …/device/{token}/device_mapping`: who uses the host.
pub async fn users(
    request: HttpRequest,
    token: Path<(String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let host = host_of(&request, &token.1, &edge).await?;
    let users = end_users::emails(&edge.front.reader, host.id).await;
    let users = users.map_err(|error| refused(Kind::Orbit)(error.into()))?;
    Ok(HttpResponse::Ok().json(json!({ "host_id": host.id, "device_mapping": users })))
}

/// `GET …/device/{token}/transparency`
pub async fn transparency(
    request: HttpRequest,
    token: Path<(String, String)>,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    host_of(&request, &token.1, &edge).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(TRANSPARENCY))
}

/// `POST …/device/{token}/debug/errors`: what went wrong on the desktop. Taken, and not kept.
pub async fn errors(
    request: HttpRequest,
    token: Path<(String, String)>,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, AgentError> {
    let host = host_of(&request, &token.1, &edge).await?;
    let said = read(&edge, payload, Kind::Orbit, MAX_BYTES).await?;
    tracing::info!(host.id = host.id, bytes = said.len(), "the desktop of a host reports an error");
    Ok(HttpResponse::Ok().json(json!({})))
}
