//! What a host has reported of itself over declarative management: what its page shows, how far it is with each
//! declaration, and everything else as it came. Ours; Fleet shows none of it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use entities::{declarative_status, enrollment};
use protocol::apple::check_in::DeclarationKind;
use protocol::apple::declarative::states::{DeclarationState, DeclarationStates, Validity};
use protocol::apple::declarative::status::Status;
use protocol::apple::declarative::vitals::{Capabilities, SoftwareUpdate, Vitals};
use protocol::time::Timestamp;
use serde_json::{Value, json};

use super::auth::Asking;
use super::{reach, silence};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// `GET …/hosts/{id}/declarative_status`
pub async fn status(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let channels = enrollment::list_of_host(&edge.front.reader, host.id).await?;
    let kept = match silence::device(&channels) {
        Some(device) => declarative_status::of_enrollment(&edge.front.reader, device.id).await?,
        None => None,
    };
    let (body, reported_at) = kept.unzip();
    let status = body.and_then(|body| Status::parse(&body, usize::MAX).ok()).unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "host_id": host.id,
        "reported_at": reported_at.map(|at| Timestamp::from_millis(at).to_rfc3339()),
        "vitals": Vitals::of(&status),
        "software_update": SoftwareUpdate::of(&status),
        "capabilities": Capabilities::of(&status),
        "declarations": DeclarationStates::of(&status).map(|states| show(&states)),
        "status": status,
    })))
}

fn show(states: &DeclarationStates) -> Vec<Value> {
    let of_kind = |kind: DeclarationKind| states.of_kind(kind).iter().map(move |state| show_one(kind, state));
    DeclarationKind::ALL.into_iter().flat_map(of_kind).collect()
}

fn show_one(kind: DeclarationKind, state: &DeclarationState) -> Value {
    let reasons = state
        .reasons
        .iter()
        .map(|reason| json!({ "code": reason.code, "description": reason.description, "details": reason.details }));
    json!({
        "kind": kind.as_str(),
        "identifier": state.item.identifier,
        "server_token": state.item.server_token,
        "active": state.active,
        "valid": match state.validity {
            Validity::Valid => "valid",
            Validity::Invalid => "invalid",
            Validity::Unknown => "unknown",
        },
        "reasons": reasons.collect::<Vec<_>>(),
    })
}
