//! Check-in and command endpoint of enrolled Apple devices: PUT or POST, one door for both kinds of messages.
//!
//! Parse, ask the host's actor, answer. The body decides what a message is; its `Content-Type` is not looked at.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::host::authenticate::{self, describe};
use actors::host::check_in::{CheckOut, GetBootstrapToken, SetBootstrapToken, Vouch};
use actors::host::declarative::{Declarative, Declared};
use actors::host::report::Report;
use actors::host::token_update::TokenUpdate;
use actors::host::{Original, Sender};
use actors::registrar::Admit;
use actors::trust::Vetted;
use protocol::apple;
use protocol::apple::check_in::reply::ReturnToService;
use protocol::apple::check_in::{CheckInKind, reply};
use protocol::apple::message::Message;
use protocol::apple::report::Status;
use protocol::ids::HostId;
use protocol::queue;
use protocol::webhook::Topic;

use crate::http::edge::DeviceEdge;
use crate::http::error::DeviceError;
use crate::http::identity;

/// How long a device waits for its host's actor before it is told to come back.
const DEADLINE: Duration = Duration::from_secs(8);
/// The longest query that is kept for webhooks.
const MAX_QUERY_BYTES: usize = 2048;

/// Takes in a message of a device.
pub async fn mdm(request: HttpRequest, payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, DeviceError> {
    let body = edge.budget.read(payload, edge.max_body_bytes).await?;
    let now = edge.front.clock.now();
    let vetted = identity::vet(&request, &body, &edge.front.trust, &edge.proxies, now).await?;
    let message = Message::parse(&body, edge.max_body_bytes)?;
    let original = Original { body, query: query(&request) };
    match message {
        Message::Report(said) => report(&edge, vetted, said, original).await,
        Message::CheckIn(said) => check_in(&edge, vetted, said, original).await,
    }
}

/// The query of the address that a device was given, if there is one that is not too long to be kept.
fn query(request: &HttpRequest) -> Option<Box<str>> {
    let query = request.query_string();
    (!query.is_empty() && query.len() <= MAX_QUERY_BYTES).then(|| query.into())
}

/// Anything but PUT and POST.
pub async fn wrong_method() -> Result<HttpResponse, DeviceError> {
    Err(DeviceError::BadRequest("devices use PUT or POST here".into()))
}

async fn report(
    edge: &DeviceEdge,
    vetted: Vetted,
    said: apple::report::Report,
    original: Original,
) -> Result<HttpResponse, DeviceError> {
    let report = Report {
        answer: match said.status {
            Status::Idle => queue::Answer::Idle,
            Status::Acknowledged => queue::Answer::Acknowledged,
            Status::CommandFormatError => queue::Answer::FormatError,
            Status::NotNow => queue::Answer::NotNow,
            Status::Error | Status::Other(_) => queue::Answer::Error,
        },
        status: said.status.as_str().to_owned(),
        command: said.command_uuid,
        sender: Sender { channel: said.channel, fingerprint: vetted.fingerprint, original },
    };
    let next = edge.front.hosts.ask(bound(vetted)?, report, DEADLINE).await?;
    Ok(next.map_or_else(empty, |command| document("application/xml", command)))
}

async fn check_in(
    edge: &DeviceEdge,
    vetted: Vetted,
    said: apple::check_in::CheckIn,
    original: Original,
) -> Result<HttpResponse, DeviceError> {
    let sender = Sender { channel: said.channel, fingerprint: vetted.fingerprint, original };
    let hosts = &edge.front.hosts;
    match said.kind {
        CheckInKind::Authenticate(message) => return authenticate(edge, vetted, sender, message).await,
        CheckInKind::TokenUpdate(message) => {
            hosts.ask(bound(vetted)?, TokenUpdate { sender, message }, DEADLINE).await?;
        }
        CheckInKind::CheckOut { .. } => hosts.ask(bound(vetted)?, CheckOut { sender }, DEADLINE).await?,
        CheckInKind::SetBootstrapToken(token) => {
            let token = token.map(apple::secret::Secret::into_inner);
            hosts.ask(bound(vetted)?, SetBootstrapToken { sender, token }, DEADLINE).await?;
        }
        CheckInKind::GetBootstrapToken { .. } => {
            let token = hosts.ask(bound(vetted)?, GetBootstrapToken { sender }, DEADLINE).await?;
            return Ok(token.map_or_else(empty, |token| document("application/xml", reply::bootstrap_token(&token))));
        }
        CheckInKind::DeclarativeManagement(endpoint) => return declarative(edge, vetted, sender, endpoint).await,
        CheckInKind::UserAuthenticate { digest_response } => {
            let vouch = Vouch { sender, topic: Some(Topic::UserAuthenticate) };
            hosts.ask(bound(vetted)?, vouch, DEADLINE).await?;
            if !edge.manage_network_users {
                return Err(DeviceError::UserNotManaged);
            }
            if digest_response.is_none() {
                return Ok(document("application/xml", reply::digest_challenge("")));
            }
        }
        CheckInKind::GetToken(_) => {
            hosts.ask(bound(vetted)?, Vouch { sender, topic: Some(Topic::GetToken) }, DEADLINE).await?;
            return Err(DeviceError::BadRequest("this server offers no such token".into()));
        }
        CheckInKind::ReturnToService => {
            hosts.ask(bound(vetted)?, Vouch { sender, topic: None }, DEADLINE).await?;
            return Ok(document("application/xml", reply::return_to_service(ReturnToService::default())));
        }
    }
    Ok(empty())
}

/// A device that is not known yet gets its row first; then its actor decides.
async fn authenticate(
    edge: &DeviceEdge,
    vetted: Vetted,
    sender: Sender,
    message: Box<apple::check_in::Authenticate>,
) -> Result<HttpResponse, DeviceError> {
    if sender.channel.kind.is_user() {
        return Err(DeviceError::BadRequest("Authenticate is for device channels".into()));
    }
    let host = match vetted.host {
        Some(host) => host,
        None => {
            let (description, enrollment) = (describe(&sender, &message), sender.channel.id.clone());
            let admit = Admit { description, enrollment, fingerprint: sender.fingerprint };
            edge.front.registrar.ask(admit, DEADLINE).await?
        }
    };
    edge.front.hosts.ask(host, authenticate::Authenticate { sender, message }, DEADLINE).await?;
    Ok(empty())
}

async fn declarative(
    edge: &DeviceEdge,
    vetted: Vetted,
    sender: Sender,
    endpoint: apple::check_in::Endpoint,
) -> Result<HttpResponse, DeviceError> {
    match edge.front.hosts.ask(bound(vetted)?, Declarative { sender, endpoint }, DEADLINE).await? {
        Declared::Document(json) => Ok(document("application/json", json)),
        Declared::Taken => Ok(empty()),
        Declared::NotAssigned => Err(DeviceError::NotAssigned),
    }
}

/// The host of a certificate that a device has begun to enroll with.
fn bound(vetted: Vetted) -> Result<HostId, DeviceError> {
    vetted.host.ok_or_else(|| DeviceError::BadRequest("Authenticate comes first".into()))
}

/// 200 with nothing: there is nothing to do.
fn empty() -> HttpResponse {
    HttpResponse::Ok().finish()
}

fn document(content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type(content_type).body(body.into())
}
