//! NanoMDM's API: enqueue, push, push certificates. Its tools and scripts work unchanged, with an API token as password.

use std::collections::{BTreeMap, HashMap};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actors::apns::{PushNow, Upload};
use actors::dispatcher::{Dispatched, Target};
use actors::host::channel::PushTarget;
use entities::{enrollment, push_certificate};
use openssl::pkey::PKey;
use protocol::apple::command::Command;
use protocol::apple::push::Feedback;
use protocol::ids::{CommandUuid, HostId};
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::auth::{Admin, Asking};
use super::command_run::{MAX_COMMAND_BYTES, dispatch};
use super::device_command::DeviceCommand;
use super::reach;
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::NanoError;

/// Enrollment ids in one request at most.
const MAX_IDS: usize = 10_000;

/// `?nopush=1`
#[derive(Debug, Default, Deserialize)]
pub struct EnqueueQuery {
    #[serde(default)]
    nopush: String,
}

/// `?topic=`
#[derive(Debug, Deserialize)]
pub struct TopicQuery {
    topic: String,
}

/// `?new_topic=1`, ours: allows a certificate of another topic than the known ones.
#[derive(Debug, Default, Deserialize)]
pub struct UploadQuery {
    #[serde(default)]
    new_topic: String,
}

/// What became of one id.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    push_result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_error: Option<String>,
}

/// `GET /version`
pub async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

/// `PUT /v1/enqueue/{ids}`
pub async fn enqueue(
    admin: Asking,
    ids: Path<String>,
    query: Query<EnqueueQuery>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, NanoError> {
    let body = edge.budget.read(payload, MAX_COMMAND_BYTES).await;
    let body = body.map_err(|error| NanoError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let fresh = CommandUuid::from(uuid::Uuid::new_v4());
    let command: DeviceCommand = Command::parse(&body, MAX_COMMAND_BYTES, fresh)
        .map_err(|error| NanoError::new(StatusCode::BAD_REQUEST, error.to_string()))?
        .into();
    let no_push = query.nopush == "1";
    let (mut channels, mut outcomes) = find(&admin, &edge, &ids).await?;
    for (id, _) in channels.extract_if(|_, channel| !command.is_for(channel.kind)) {
        let command_error = Some(format!("{} is not for this kind of channel", command.request_type()));
        outcomes.insert(id, Outcome { command_error, ..Outcome::default() });
    }
    let target = |channel: &enrollment::Model| Target { host: HostId(channel.host_id), enrollment: channel.id };
    let targets: Vec<Target> = channels.values().map(target).collect();
    let mut held = false;
    if !targets.is_empty() {
        let mut dispatch = dispatch(&admin, &edge, &command, 0, targets, None).await?;
        dispatch.push = !no_push;
        held = edge.front.dispatcher.ask(dispatch, DEADLINE).await? == Dispatched::Held;
    }
    for id in channels.into_keys() {
        let push_result = (!no_push && !held).then(|| "scheduled".to_owned());
        outcomes.insert(id, Outcome { push_result, ..Outcome::default() });
    }
    let status = status_of(&outcomes);
    let mut answer = json!({
        "status": outcomes,
        "command_uuid": command.uuid().as_str(),
        "request_type": command.request_type(),
    });
    if let Some(answer) = answer.as_object_mut() {
        answer.extend(no_push.then(|| ("no_push".into(), true.into())));
        answer.extend(held.then(|| ("held".into(), true.into()))); // ours: it waits for a second admin
    }
    Ok(HttpResponse::build(status).json(answer))
}

/// `GET|PUT /v1/push/{ids}`
pub async fn push(admin: Asking, ids: Path<String>, edge: Data<AdminEdge>) -> Result<HttpResponse, NanoError> {
    let (channels, mut outcomes) = find(&admin, &edge, &ids).await?;
    for (id, channel) in channels {
        let outcome = match PushTarget::of(&channel) {
            Some(target) => push_one(&edge, target).await,
            None => Outcome { push_error: Some("the channel has no push token".into()), ..Outcome::default() },
        };
        outcomes.insert(id, outcome);
    }
    Ok(HttpResponse::build(status_of(&outcomes)).json(json!({ "status": outcomes })))
}

/// `PUT /v1/pushcert`
pub async fn upload(
    admin: Asking,
    query: Query<UploadQuery>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, NanoError> {
    let body = edge.budget.read(payload, 256 * 1024).await;
    let body = body.map_err(|error| NanoError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let (certificate, private_key) = split_pem(&body)?;
    let upload =
        Upload { certificate, private_key, may_be_new_topic: query.new_topic == "1", asked_by: admin.name.clone() };
    let (topic, not_after) = edge.front.apns.ask(upload, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({ "topic": topic, "not_after": not_after.to_rfc3339() })))
}

/// `GET /v1/pushcert?topic=`
pub async fn certificate(query: Query<TopicQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, NanoError> {
    let found = push_certificate::by_topic(&edge.front.reader, query.into_inner().topic).await?;
    let missing = || NanoError::new(StatusCode::NOT_FOUND, "there is no push certificate for this topic");
    let row = found.ok_or_else(missing)?;
    let not_after = Timestamp::from_millis(row.not_after).to_rfc3339();
    Ok(HttpResponse::Ok().json(json!({ "topic": row.topic, "not_after": not_after })))
}

/// The channels that take commands, and what is wrong with the other ids.
async fn find(
    admin: &Admin,
    edge: &AdminEdge,
    ids: &str,
) -> Result<(HashMap<String, enrollment::Model>, BTreeMap<String, Outcome>), NanoError> {
    let ids: Vec<String> = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if ids.is_empty() || ids.len() > MAX_IDS {
        return Err(NanoError::new(StatusCode::BAD_REQUEST, format!("name 1 to {MAX_IDS} enrollment ids")));
    }
    let known = enrollment::list_by_external_ids(&edge.front.reader, ids.clone()).await?;
    reach::hosts(admin, edge, &known.iter().map(|row| row.host_id).collect::<Vec<_>>()).await?;
    let on: HashMap<String, enrollment::Model> =
        known.into_iter().filter(|row| row.enabled).map(|row| (row.external_id.clone(), row)).collect();
    let refused = |id: &String| {
        let command_error = Some("this id is not enrolled".to_owned());
        (id.clone(), Outcome { command_error, ..Outcome::default() })
    };
    let outcomes = ids.iter().filter(|id| !on.contains_key(*id)).map(refused).collect();
    Ok((on, outcomes))
}

async fn push_one(edge: &AdminEdge, target: PushTarget) -> Outcome {
    let nothing = Outcome::default();
    match edge.front.apns.ask(PushNow { target }, DEADLINE).await {
        Ok(Feedback::Sent { apns_id }) => Outcome { push_result: Some(apns_id.unwrap_or_default()), ..nothing },
        Ok(Feedback::TokenDead { .. }) => Outcome { push_error: Some("the push token is dead".into()), ..nothing },
        Ok(Feedback::Rejected { reason } | Feedback::TopicRejected { reason }) => {
            Outcome { push_error: Some(reason), ..nothing }
        }
        Ok(Feedback::BackOff { .. }) => Outcome { push_error: Some("APNs asks to wait".into()), ..nothing },
        Ok(Feedback::Unavailable { .. }) => Outcome { push_error: Some("APNs does not answer".into()), ..nothing },
        Err(refusal) => Outcome { push_error: Some(refusal.to_string()), ..nothing },
    }
}

/// NanoMDM's statuses: 200 for all, 207 for some, 500 for none.
fn status_of(outcomes: &BTreeMap<String, Outcome>) -> StatusCode {
    let failed = |outcome: &&Outcome| outcome.push_error.is_some() || outcome.command_error.is_some();
    match outcomes.values().filter(failed).count() {
        0 => StatusCode::OK,
        all if all == outcomes.len() => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::MULTI_STATUS,
    }
}

/// Certificates and one unencrypted key, in any order.
fn split_pem(body: &[u8]) -> Result<(String, String), NanoError> {
    let unusable = |why: &str| NanoError::new(StatusCode::BAD_REQUEST, why);
    let text = std::str::from_utf8(body).map_err(|_| unusable("send PEM text: the certificate and its private key"))?;
    let key = PKey::private_key_from_pem(body)
        .map_err(|_| unusable("no unencrypted private key (PEM) came with the certificate"))?;
    let private_key = key.private_key_to_pem_pkcs8().map_err(|_| unusable("the private key cannot be used"))?;
    let certificates: String = text
        .split_inclusive("-----END CERTIFICATE-----")
        .filter_map(|part| part.find("-----BEGIN CERTIFICATE-----").map(|start| format!("{}\n", &part[start..])))
        .collect();
    if certificates.is_empty() {
        return Err(unusable("no certificate (PEM) came with the private key"));
    }
    Ok((certificates, String::from_utf8_lossy(&private_key).into_owned()))
}
