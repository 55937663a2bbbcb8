//! Labels: make, change and delete them, see their hosts, give them to hosts.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use actors::steward::{DeleteLabel, LabelHost, SaveLabel};
use entities::label::change::Save;
use entities::label::{self, BUILT_IN, Counted, DYNAMIC, Rule, Vital};
use entities::{Reader, host};
use protocol::ids::HostId;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Asking};
use super::hosts::MAX_IDS;
use super::naming::{self, MAX_DESCRIPTION};
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Labels that one request gives or takes.
const MAX_LABELS: usize = 100;

/// What a label is to be; what is absent stays, or is empty.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wish {
    name: Option<String>,
    description: Option<String>,
    /// The rule of a dynamic label.
    criteria: Option<Criteria>,
    /// The hosts of a manual label by UUID, serial number or name.
    hosts: Option<Vec<String>>,
    /// The same by number.
    host_ids: Option<Vec<i64>>,
}

/// A rule, as requests show it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Criteria {
    vital: String,
    value: String,
}

/// Names of labels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Names {
    labels: Vec<String>,
}

/// `GET …/labels`
pub async fn list(edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let labels = label::counted(&edge.front.reader, None).await?;
    Ok(HttpResponse::Ok().json(json!({ "labels": labels.iter().map(show).collect::<Vec<_>>() })))
}

/// `GET …/labels/summary`
pub async fn summary(edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let labels: Vec<Value> = label::list(&edge.front.reader).await?.iter().map(show_short).collect();
    Ok(HttpResponse::Ok().json(json!({ "labels": labels })))
}

/// `GET …/labels/{id}`
pub async fn by_id(id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    answer(&edge.front.reader, id.into_inner().1).await
}

/// `POST …/labels`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let wish: Wish = read_json(&edge.budget, payload).await?;
    let save = wish.into_save(&edge.front.reader, None).await?;
    let saved = edge.front.steward.ask(SaveLabel { save, asked_by: admin.name.clone() }, DEADLINE).await?;
    answer(&edge.front.reader, saved.id).await
}

/// `PATCH …/labels/{id}`
pub async fn change(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let wish: Wish = read_json(&edge.budget, payload).await?;
    let known = label::by_id(&edge.front.reader, id.into_inner().1).await?.ok_or_else(unknown)?;
    let save = wish.into_save(&edge.front.reader, Some(known)).await?;
    let saved = edge.front.steward.ask(SaveLabel { save, asked_by: admin.name.clone() }, DEADLINE).await?;
    answer(&edge.front.reader, saved.id).await
}

/// `DELETE …/labels/id/{id}`
pub async fn delete(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let delete = DeleteLabel { id: id.into_inner().1, asked_by: admin.name.clone() };
    edge.front.steward.ask(delete, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST …/hosts/{id}/labels`
pub async fn give(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    label_host(&edge, &admin, id.into_inner().1, payload, true).await
}

/// `DELETE …/hosts/{id}/labels`
pub async fn take(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    label_host(&edge, &admin, id.into_inner().1, payload, false).await
}

/// The labels of a host, as its detail shows them.
pub(super) async fn of_host(reader: &Reader, host_id: i64) -> Result<Vec<Value>, ApiError> {
    Ok(label::of_host(reader, host_id).await?.iter().map(show_short).collect())
}

async fn label_host(
    edge: &AdminEdge,
    admin: &Admin,
    id: i64,
    payload: Payload,
    give: bool,
) -> Result<HttpResponse, ApiError> {
    let Names { labels: names } = read_json(&edge.budget, payload).await?;
    let host = reach::host(admin, edge, id).await?;
    if names.is_empty() || names.len() > MAX_LABELS {
        return Err(ApiError::invalid("labels", format!("name 1 to {MAX_LABELS} labels")));
    }
    let wish = LabelHost { host: HostId(host.id), names, give, asked_by: admin.name.clone() };
    edge.front.steward.ask(wish, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

impl Wish {
    /// What is to be stored, for a new label or in place of a known one.
    pub(super) async fn into_save(self, reader: &Reader, known: Option<label::Model>) -> Result<Save, ApiError> {
        let mut rule = self.criteria.map(Criteria::into_rule).transpose()?;
        let (mut name, mut description) = (self.name, self.description);
        if let Some(known) = &known {
            rule = rule.or_else(|| known.rule());
            name = name.or_else(|| Some(known.name.clone()));
            description = description.or_else(|| Some(known.description.clone()));
        }
        let name = name.ok_or_else(|| ApiError::invalid("name", "missing required argument"))?;
        let (name, description) = naming::checked(&name, description.unwrap_or_default())?;
        let hosts = hosts(reader, self.hosts, self.host_ids).await?;
        if rule.is_some() && hosts.is_some() {
            return Err(ApiError::invalid("criteria", "a label has a rule or hosts, not both"));
        }
        Ok(Save { id: known.map(|label| label.id), name, description, rule, hosts })
    }
}

impl Criteria {
    fn into_rule(self) -> Result<Rule, ApiError> {
        let vital = Vital::parse(&self.vital).filter(|vital| *vital != Vital::All);
        let names = "use platform, hardware_model, os_version, build or computer_name";
        let vital = vital.ok_or_else(|| ApiError::invalid("criteria.vital", names))?;
        if self.value.is_empty() || self.value.chars().count() > MAX_DESCRIPTION {
            let reason = format!("1 to {MAX_DESCRIPTION} characters; * at the end stands for any rest");
            return Err(ApiError::invalid("criteria.value", reason));
        }
        Ok(Rule { vital, pattern: self.value })
    }
}

/// The hosts that a manual label is to have; `None` when nothing was said of them.
async fn hosts(
    reader: &Reader,
    names: Option<Vec<String>>,
    ids: Option<Vec<i64>>,
) -> Result<Option<Vec<i64>>, ApiError> {
    if names.is_none() && ids.is_none() {
        return Ok(None);
    }
    let (names, mut hosts) = (names.unwrap_or_default(), ids.unwrap_or_default());
    if names.len() + hosts.len() > MAX_IDS {
        return Err(ApiError::invalid("hosts", format!("at most {MAX_IDS} hosts")));
    }
    let found = host::ids_by_identifiers(reader, names.clone()).await?;
    for name in names {
        let id = found.get(&name).ok_or_else(|| ApiError::invalid("hosts", format!("there is no host {name:?}")))?;
        hosts.push(*id);
    }
    Ok(Some(hosts))
}

async fn answer(reader: &Reader, id: i64) -> Result<HttpResponse, ApiError> {
    let found = label::counted(reader, Some(id)).await?;
    let label = found.first().ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({ "label": show(label) })))
}

fn unknown() -> ApiError {
    ApiError::not_found("Label was not found in the datastore")
}

fn show_short(label: &label::Model) -> Value {
    json!({
        "id": label.id,
        "name": label.name,
        "description": label.description,
        "label_type": if label.kind == BUILT_IN { "builtin" } else { "regular" },
    })
}

fn show(Counted { label, hosts }: &Counted) -> Value {
    let dynamic = label.kind == BUILT_IN || label.kind == DYNAMIC;
    json!({
        "id": label.id,
        "name": label.name,
        "display_text": label.name,
        "description": label.description,
        "label_type": if label.kind == BUILT_IN { "builtin" } else { "regular" },
        "label_membership_type": if dynamic { "dynamic" } else { "manual" },
        "criteria": label.rule().map(|rule| json!({ "vital": rule.vital.name(), "value": rule.pattern })),
        "count": hosts,
        "host_count": hosts,
        "created_at": Timestamp::from_millis(label.created_at).to_rfc3339(),
        "updated_at": Timestamp::from_millis(label.updated_at).to_rfc3339(),
    })
}
