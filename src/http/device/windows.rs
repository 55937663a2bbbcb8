//! Management sessions of Windows devices (OMA-DM): one POST, one SyncML message, one answer.
//!
//! Parse, find out who may be speaking, ask that host's actor. A client certificate or a signature names the host; without one a
//! digest has to prove the name that the message gives itself. Until then nothing is looked up and nothing is stored: a message
//! without any proof costs one hash. Whatever query stands behind the path means nothing.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::ask::Refusal;
use actors::host::prove::Presented;
use actors::host::session::{Manage, Managed};
use protocol::ids::HostId;
use protocol::windows::session::challenge;
use protocol::windows::syncml::{CONTENT_TYPE, Message};

use crate::http::edge::DeviceEdge;
use crate::http::error::DeviceError;
use crate::http::identity;

/// How long a device waits for its host's actor before it is told to come back.
const DEADLINE: Duration = Duration::from_secs(8);

/// Takes in a message of a management session.
pub async fn management(
    request: HttpRequest,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, DeviceError> {
    let body = edge.budget.read(payload, edge.max_body_bytes).await?;
    let message = Message::parse(&body, edge.max_body_bytes)
        .map_err(|error| DeviceError::BadRequest(format!("this is no SyncML message: {error}")))?;
    if let Some(answer) = by_certificate(&request, &edge, &message, &body).await? {
        return Ok(syncml(answer));
    }
    if let Some(answer) = by_digest(&edge, &message, &body).await? {
        return Ok(syncml(answer));
    }
    let nonce = edge.front.digests.nonce(&message.header.source, edge.front.clock.now())?;
    Ok(syncml(challenge(&message.header, &nonce)))
}

/// The answer for a device with a certificate of ours; one that is not, or is another device's, proves nothing.
async fn by_certificate(
    request: &HttpRequest,
    edge: &DeviceEdge,
    message: &Message,
    body: &Bytes,
) -> Result<Option<Bytes>, DeviceError> {
    let now = edge.front.clock.now();
    match identity::vet(request, body, &edge.front.trust, &edge.proxies, now).await {
        Ok(vetted) => match vetted.host {
            Some(host) => ask(edge, host, Presented::Certificate(vetted.fingerprint), message, body).await,
            None => Ok(None),
        },
        Err(refusal @ (Refusal::TryAgain { .. } | Refusal::Quarantined { .. })) => Err(refusal.into()),
        Err(_) => Ok(None),
    }
}

/// The answer for a device that knows its password.
async fn by_digest(edge: &DeviceEdge, message: &Message, body: &Bytes) -> Result<Option<Bytes>, DeviceError> {
    let Some(digest) = &message.header.digest else { return Ok(None) };
    let device = &message.header.source;
    let mut tried: Vec<HostId> = Vec::new();
    for anew in [false, true] {
        // Several hosts may be known under one name, and a new one may have come since they were read.
        for host in edge.front.digests.hosts(device, anew).await?.iter() {
            if tried.contains(host) {
                continue;
            }
            tried.push(*host);
            let answer = ask(edge, *host, Presented::Digest(digest.clone()), message, body).await?;
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }
    Ok(None)
}

async fn ask(
    edge: &DeviceEdge,
    host: HostId,
    presented: Presented,
    message: &Message,
    body: &Bytes,
) -> Result<Option<Bytes>, DeviceError> {
    let manage = Manage { presented, message: message.clone(), body: body.clone() };
    Ok(match edge.front.hosts.ask(host, manage, DEADLINE).await? {
        Managed::Answer(answer) => Some(answer),
        Managed::Unproven => None,
    })
}

fn syncml(body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(body.into())
}
