//! Webhooks: who is told of events; ours. A secret is in the answer that makes it, and in no other; nor is the query of an
//! address.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload, Query};
use actors::webhooks::admin::{AddKey, Change, Create, Decide, Delete, Made, RetireKey, Test, Wish};
use entities::webhook_backlog::{self, Count, Letters, Shown};
use entities::webhook_delivery::{DEAD, PENDING};
use entities::{webhook, webhook_key};
use protocol::time::Timestamp;
use protocol::webhook::{Form, Topic};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::auth::Asking;
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;

/// The largest request.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// A webhook that a path names.
type Id = Path<(String, i64)>;
/// A delivery that a path names.
type DeliveryId = Path<(String, i64, i64)>;

/// What an admin says about a webhook.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangeBody {
    name: Option<String>,
    url: Option<String>,
    topics: Option<Vec<String>>,
    idle: Option<bool>,
    enabled: Option<bool>,
}

/// The same about a new one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreateBody {
    name: String,
    url: String,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    form: Form,
    topics: Option<Vec<String>>,
    idle: Option<bool>,
    enabled: Option<bool>,
    secret: Option<String>,
}

/// A secret that an admin gives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http) struct SecretBody {
    secret: Option<String>,
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListQuery {
    #[serde(default)]
    state: String,
    #[serde(flatten)]
    paging: Paging,
}

/// `GET …/webhooks`
pub async fn list(edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(json!({ "webhooks": show_all(&edge, None).await? })))
}

/// `GET …/webhooks/{id}`
pub async fn get(id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let webhook = show_all(&edge, Some(id.into_inner().1)).await?.pop().ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({ "webhook": webhook })))
}

/// `POST …/webhooks`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let CreateBody { name, url, form, topics, idle, enabled, secret } = read(&edge, payload).await?;
    let topics = topics.map(|names| parse_topics(form, names)).transpose()?;
    let wish = Wish { name: Some(name), url: Some(url), topics, idle, enabled };
    let create = Create { wish, form, secret, by: admin.name.clone() };
    made(&edge, edge.front.webhooks.ask(create, DEADLINE).await?).await
}

/// `PATCH …/webhooks/{id}`
pub async fn change(admin: Asking, id: Id, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ChangeBody { name, url, topics, idle, enabled } = read(&edge, payload).await?;
    let id = id.into_inner().1;
    let row = webhook::by_id(&edge.front.reader, id).await?.ok_or_else(unknown)?;
    let topics = topics.map(|names| parse_topics(Form::from_code(row.form), names)).transpose()?;
    let wish = Wish { name, url, topics, idle, enabled };
    let change = Change { id, wish, by: admin.name.clone() };
    edge.front.webhooks.ask(change, DEADLINE).await?.then_some(()).ok_or_else(unknown)?;
    let webhook = show_all(&edge, Some(id)).await?.pop().ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({ "webhook": webhook })))
}

/// `DELETE …/webhooks/{id}`
pub async fn delete(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let delete = Delete { id: id.into_inner().1, by: admin.name.clone() };
    edge.front.webhooks.ask(delete, DEADLINE).await?.then_some(()).ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST …/webhooks/{id}/secret`: a second key; both sign until the older one is retired.
pub async fn rotate(admin: Asking, id: Id, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let SecretBody { secret } = read(&edge, payload).await?;
    let add = AddKey { id: id.into_inner().1, secret, by: admin.name.clone() };
    made(&edge, edge.front.webhooks.ask(add, DEADLINE).await?.ok_or_else(unknown)?).await
}

/// `DELETE …/webhooks/{id}/secret`: the older of two keys signs no more.
pub async fn retire(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let retire = RetireKey { id: id.into_inner().1, by: admin.name.clone() };
    let key_id = edge.front.webhooks.ask(retire, DEADLINE).await?.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({ "retired_key_id": key_id })))
}

/// `POST …/webhooks/{id}/test`
pub async fn test(id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let sent = edge.front.webhooks.ask(Test { id: id.into_inner().1 }, 2 * DEADLINE).await?.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(match sent {
        Ok(status) => json!({ "delivered": (200..300).contains(&status), "status": status }),
        Err(reason) => json!({ "delivered": false, "reason": reason }),
    }))
}

/// `GET …/webhooks/{id}/deliveries?state=pending|dead`
pub async fn deliveries(id: Id, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let state = match query.state.as_str() {
        "" | "pending" => PENDING,
        "dead" => DEAD,
        _ => return Err(ApiError::invalid("state", "must be pending or dead")),
    };
    let (id, (offset, limit)) = (id.into_inner().1, query.paging.window(100)?);
    let reader = &edge.front.reader;
    webhook::by_id(reader, id).await?.ok_or_else(unknown)?;
    let count = rows_of(&webhook_backlog::counts(reader).await?, id, state);
    let rows = webhook_backlog::list(reader, id, state, offset, limit).await?;
    let meta = query.paging.meta(offset, limit, rows.len(), count);
    let shown: Vec<Value> = rows.into_iter().map(show_delivery).collect();
    Ok(HttpResponse::Ok().json(json!({ "deliveries": shown, "count": count, "meta": meta })))
}

/// `POST …/webhooks/{id}/deliveries/replay`: all dead letters wait again.
pub async fn replay_all(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    decide(&edge, admin, Letters { webhook: id.into_inner().1, only: None }, true).await
}

/// `POST …/webhooks/{id}/deliveries/{delivery}/replay`
pub async fn replay_one(admin: Asking, id: DeliveryId, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let (_, webhook, delivery) = id.into_inner();
    decide(&edge, admin, Letters { webhook, only: Some(delivery) }, true).await
}

/// `DELETE …/webhooks/{id}/deliveries`: all dead letters go.
pub async fn drop_all(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    decide(&edge, admin, Letters { webhook: id.into_inner().1, only: None }, false).await
}

/// `DELETE …/webhooks/{id}/deliveries/{delivery}`
pub async fn drop_one(admin: Asking, id: DeliveryId, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let (_, webhook, delivery) = id.into_inner();
    decide(&edge, admin, Letters { webhook, only: Some(delivery) }, false).await
}

async fn decide(edge: &AdminEdge, admin: Asking, letters: Letters, again: bool) -> Result<HttpResponse, ApiError> {
    webhook::by_id(&edge.front.reader, letters.webhook).await?.ok_or_else(unknown)?;
    let count = edge.front.webhooks.ask(Decide { letters, again, by: admin.name.clone() }, DEADLINE).await?;
    if letters.only.is_some() && count == 0 {
        return Err(ApiError::not_found("No dead letter has this number: list them with ?state=dead"));
    }
    Ok(HttpResponse::Ok().json(json!({ if again { "replayed" } else { "dropped" }: count })))
}

/// A new key with its secret, which is shown this once.
async fn made(edge: &AdminEdge, made: Made) -> Result<HttpResponse, ApiError> {
    let webhook = show_all(edge, Some(made.id)).await?.pop().ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({ "webhook": webhook, "key_id": made.key_id, "secret": made.secret })))
}

async fn show_all(edge: &AdminEdge, only: Option<i64>) -> Result<Vec<Value>, ApiError> {
    let reader = &edge.front.reader;
    let rows = match only {
        Some(id) => webhook::by_id(reader, id).await?.into_iter().collect(),
        None => webhook::list(reader).await?,
    };
    let (keys, counts) = (webhook_key::list(reader).await?, webhook_backlog::counts(reader).await?);
    let show = |row: &webhook::Model| {
        let url = row.open_url(reader.vault()).map_or_else(|_| "cannot be read".to_owned(), |url| shown(&url));
        let mine = keys.iter().filter(|key| key.webhook_id == row.id);
        let keys: Vec<Value> =
            mine.map(|key| json!({ "key_id": key.key_id, "created_at": moment(key.created_at) })).collect();
        json!({
            "id": row.id,
            "name": row.name,
            "url": url,
            "form": Form::from_code(row.form).as_str(),
            "topics": row.topics.split(',').filter(|topic| !topic.is_empty()).collect::<Vec<_>>(),
            "idle": row.idle,
            "enabled": row.enabled,
            "keys": keys,
            "pending": rows_of(&counts, row.id, PENDING),
            "dead": rows_of(&counts, row.id, DEAD),
            "created_at": moment(row.created_at),
            "updated_at": moment(row.updated_at),
        })
    };
    Ok(rows.iter().map(show).collect())
}

fn show_delivery(row: Shown) -> Value {
    json!({
        "id": row.id,
        "event_id": row.event_id,
        "topic": row.topic,
        "host_id": row.host_id,
        "created_at": moment(row.created_at),
        "attempts": row.attempts,
        "since": moment(row.since),
        "next_attempt_at": moment(row.due_at),
        "error": row.error,
    })
}

fn rows_of(counts: &[Count], webhook: i64, state: i16) -> i64 {
    counts.iter().find(|count| count.webhook_id == webhook && count.state == state).map_or(0, |count| count.rows)
}

fn moment(millis: i64) -> String {
    Timestamp::from_millis(millis).to_rfc3339()
}

/// An address without its query, which may hold a password.
fn shown(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((address, _)) => format!("{address}?…"),
        None => url.to_owned(),
    }
}

fn parse_topics(form: Form, names: Vec<String>) -> Result<Vec<Topic>, ApiError> {
    let told = || Topic::ALL.into_iter().filter(|topic| form.tells(*topic));
    let parse = |name: &String| told().find(|topic| topic.as_str() == name);
    names.iter().map(parse).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let known: Vec<&str> = told().map(Topic::as_str).collect();
        ApiError::invalid("topics", format!("use some of {}", known.join(", ")))
    })
}

async fn read<T: DeserializeOwned>(edge: &AdminEdge, payload: Payload) -> Result<T, ApiError> {
    let body = crate::http::read_admin(&edge.budget, payload, MAX_REQUEST_BYTES).await?;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn unknown() -> ApiError {
    ApiError::not_found("No webhook has this number")
}
