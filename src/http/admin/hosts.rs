//! Hosts: list them, find one, look at one.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use actors::ask::Refusal;
use actors::host::observe::Observe;
use actors::inspector::Refetch;
use entities::host_search::{self, OrderKey, Search};
use entities::{Reader, agent_report, enrollment, host, orphan_result, team};
use protocol::apple::channel::ChannelKind;
use protocol::apple::lock::Standing;
use protocol::ids::HostId;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use super::host_filter::{FilterQuery, SOLUTION};
use super::{end_users, host_lock, labels, profiles, reach, silence};
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;

/// What Fleet shows where something never happened.
const NEVER: &str = "2000-01-01T00:00:00Z";
/// A host counts as online when it was seen in this time.
pub(super) const ONLINE: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// Hosts that one request may name.
pub(super) const MAX_IDS: usize = 10_000;

/// Which hosts to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListQuery {
    #[serde(flatten)]
    filter: FilterQuery,
    #[serde(default)]
    order_key: String,
    #[serde(default)]
    order_direction: String,
    #[serde(flatten)]
    paging: Paging,
}

/// `GET …/hosts`
pub async fn list(admin: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let (offset, limit) = query.paging.window(100)?;
    let search = Search {
        filter: reach::within(&admin, query.filter.filter(edge.front.clock.now())?)?,
        order: order_key(&query.order_key)?,
        descending: match query.order_direction.as_str() {
            "" | "asc" => false,
            "desc" => true,
            _ => return Err(ApiError::invalid("order_direction", "must be asc or desc")),
        },
        offset,
        limit,
    };
    let hosts = host_search::list(&edge.front.reader, search).await?;
    let channels = enrollment::list_of_hosts(&edge.front.reader, hosts.iter().map(|host| host.id).collect()).await?;
    let mut by_host: HashMap<i64, Vec<enrollment::Model>> = HashMap::with_capacity(hosts.len());
    for channel in channels {
        by_host.entry(channel.host_id).or_default().push(channel);
    }
    let teams = team_names(&edge.front.reader, &hosts).await?;
    let channels_of = |host: &host::Model| by_host.get(&host.id).map_or(&[][..], Vec::as_slice);
    let both: Vec<_> = hosts.iter().map(|host| (host, channels_of(host))).collect();
    let silent = silence::since(&edge.front.reader, &both).await?;
    let standings = host_lock::standings(&edge.front.reader, &hosts).await?;
    let facts = |host: &host::Model| Facts::of(host, &silent, &standings);
    let shown: Vec<Value> =
        both.iter().map(|(host, channels)| show(&edge, host, channels, &teams, facts(host))).collect();
    Ok(HttpResponse::Ok().json(json!({ "hosts": shown })))
}

/// `GET …/labels/{id}/hosts`
pub async fn list_of_label(
    admin: Asking,
    id: Path<(String, i64)>,
    mut query: Query<ListQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    query.filter.label_id = Some(id.into_inner().1);
    list(admin, query, edge).await
}

/// `GET …/hosts/count`
pub async fn count(admin: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let filter = reach::within(&admin, query.into_inner().filter.filter(edge.front.clock.now())?)?;
    let count = host_search::count(&edge.front.reader, filter).await?;
    Ok(HttpResponse::Ok().json(json!({ "count": count })))
}

/// `GET …/hosts/{id}`
pub async fn by_id(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    detail(&edge, reach::host(&admin, &edge, id.into_inner().1).await?).await
}

/// `GET …/hosts/identifier/{identifier}`
pub async fn by_identifier(
    admin: Asking,
    name: Path<(String, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    detail(&edge, reach::host_called(&admin, &edge, name.into_inner().1).await?).await
}

/// `GET …/hosts/{id}/mdm`
pub async fn mdm(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let found = reach::host(&admin, &edge, id.into_inner().1).await?;
    let status = mdm_status(found.mdm_status);
    let server_url = &edge.front.authority_config.server_url;
    Ok(HttpResponse::Ok()
        .json(json!({ "enrollment_status": status, "server_url": server_url, "name": SOLUTION.1, "id": SOLUTION.0 })))
}

/// `POST …/hosts/{id}/refetch`: its agent is asked for details when it comes next, for whoever may see the host.
pub async fn refetch(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = HostId(reach::host(&admin, &edge, id.into_inner().1).await?.id);
    match edge.front.inspector.ask(Refetch { host }, DEADLINE).await {
        Ok(()) => Ok(HttpResponse::Ok().json(json!({}))),
        Err(Refusal::NotFound(_)) => {
            Err(ApiError::invalid("id", "this host has no agent that could be asked: only agents tell details"))
        }
        Err(other) => Err(other.into()),
    }
}

/// `GET …/hosts/{id}/actor`: what its actor holds in memory, for operators; ours. Starts the actor if it has none.
pub async fn actor(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let state = edge.front.hosts.ask(HostId(host.id), Observe, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(state))
}

/// `GET …/hosts/{id}/orphan_results`: reports that belonged to no pending command; ours.
pub async fn orphans(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let mut shown = Vec::new();
    for channel in enrollment::list_of_host(&edge.front.reader, host.id).await? {
        for orphan in orphan_result::list(&edge.front.reader, channel.id, 100).await? {
            shown.push(json!({
                "enrollment_id": channel.external_id,
                "command_uuid": orphan.command_uuid,
                "status": orphan.status,
                "reason": if orphan.reason == orphan_result::LATE { "late" } else { "unknown" },
                "received_at": Timestamp::from_millis(orphan.received_at).to_rfc3339(),
            }));
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "orphan_results": shown })))
}

async fn detail(edge: &AdminEdge, host: host::Model) -> Result<HttpResponse, ApiError> {
    let channels = enrollment::list_of_host(&edge.front.reader, host.id).await?;
    let teams = team_names(&edge.front.reader, std::slice::from_ref(&host)).await?;
    let silent = silence::since(&edge.front.reader, &[(&host, &channels)]).await?;
    let standings = host_lock::standings(&edge.front.reader, std::slice::from_ref(&host)).await?;
    let mut shown = show(edge, &host, &channels, &teams, Facts::of(&host, &silent, &standings));
    let labels = labels::of_host(&edge.front.reader, host.id).await?;
    let agent = agent_report::of_host(&edge.front.reader, host.id).await?;
    let (orbit, osquery) = agent.map(|agent| (agent.orbit_version, agent.osquery_version)).unwrap_or_default();
    let enrollments: Vec<Value> = channels.iter().map(show_channel).collect();
    if let Some(object) = shown.as_object_mut() {
        object.insert("enrollments".into(), enrollments.into());
        object.insert("end_users".into(), end_users::of_host(&edge.front.reader, host.id).await?.into());
        object.insert("labels".into(), labels.into());
        object.insert("osquery_version".into(), osquery.into());
        object.insert("orbit_version".into(), Some(orbit).filter(|version| !version.is_empty()).into());
        if let Some(mdm) = object.get_mut("mdm").and_then(Value::as_object_mut) {
            mdm.insert("profiles".into(), profiles::shown_of_host(&edge.front.reader, host.id).await?.into());
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "host": shown })))
}

pub(super) fn not_found() -> ApiError {
    ApiError::not_found("Host was not found in the datastore")
}

/// The names of the teams that these hosts are in.
pub(super) async fn team_names(reader: &Reader, hosts: &[host::Model]) -> Result<HashMap<i64, String>, ApiError> {
    if hosts.iter().all(|host| host.team_id.is_none()) {
        return Ok(HashMap::new());
    }
    Ok(team::list(reader).await?.into_iter().map(|team| (team.id, team.name)).collect())
}

/// The name of a host's team.
pub(super) fn team_name<'t>(host: &host::Model, teams: &'t HashMap<i64, String>) -> Option<&'t str> {
    host.team_id.and_then(|id| teams.get(&id)).map(String::as_str)
}

/// Fleet's words for whether a host was seen lately.
pub(super) fn presence(host: &host::Model, now: Timestamp) -> &'static str {
    let seen = host.last_seen_at.is_some_and(|seen| now.since(Timestamp::from_millis(seen)) < ONLINE);
    if seen { "online" } else { "offline" }
}

/// What other tables know of a host.
struct Facts {
    silent_since: Option<i64>,
    standing: Standing,
}

impl Facts {
    fn of(host: &host::Model, silent: &HashMap<i64, i64>, standings: &HashMap<i64, Standing>) -> Self {
        let standing = standings.get(&host.id).copied().unwrap_or_default();
        Self { silent_since: silent.get(&host.id).copied(), standing }
    }
}

fn show(
    edge: &AdminEdge,
    host: &host::Model,
    channels: &[enrollment::Model],
    teams: &HashMap<i64, String>,
    facts: Facts,
) -> Value {
    let connected = silence::device(channels).is_some();
    json!({
        "id": host.id,
        "uuid": host.uuid.clone().unwrap_or_default(),
        "hardware_serial": host.serial.clone().unwrap_or_default(),
        "hardware_model": host.hardware_model,
        "hostname": host.computer_name,
        "computer_name": host.computer_name,
        "display_name": host.display_name(),
        "platform": host.platform,
        "os_version": host.os_version,
        "build": host.build_version,
        "team_id": host.team_id,
        "team_name": team_name(host, teams),
        "status": presence(host, edge.front.clock.now()),
        "seen_time": moment(host.last_seen_at),
        "created_at": moment(Some(host.created_at)),
        "updated_at": moment(Some(host.updated_at)),
        "detail_updated_at": moment(Some(host.updated_at)),
        "last_enrolled_at": moment(channels.iter().filter_map(|channel| channel.enrolled_at).max()),
        "mdm": {
            "enrollment_status": mdm_status(host.mdm_status),
            "server_url": if connected { Value::from(edge.front.authority_config.server_url.clone()) } else { Value::Null },
            "name": if connected { SOLUTION.1 } else { "" },
            "connected_to_fleet": connected,
            "unresponsive_since": facts.silent_since.map(|at| moment(Some(at))),
            "encryption_key_available": false,
            "dep_profile_error": false,
            "device_status": facts.standing.device_status(),
            "pending_action": facts.standing.pending_action(),
        },
    })
}

fn show_channel(channel: &enrollment::Model) -> Value {
    json!({
        "id": channel.external_id,
        "type": ChannelKind::from_code(channel.kind).map(ChannelKind::as_str),
        "enabled": channel.enabled,
        "generation": channel.generation,
        "topic": channel.topic,
        "user": channel.user_short_name,
        "token_update_tally": channel.token_update_tally,
        "push_token_dead": channel.push_dead_at.is_some(),
        "awaiting_configuration": channel.awaiting_configuration,
        "enrolled_at": channel.enrolled_at.map(|at| Timestamp::from_millis(at).to_rfc3339()),
        "ended_at": channel.ended_at.map(|at| Timestamp::from_millis(at).to_rfc3339()),
    })
}

pub(in crate::http) fn moment(at: Option<i64>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| Timestamp::from_millis(at).to_rfc3339())
}

/// Fleet's words for a host's management.
pub(in crate::http) fn mdm_status(status: i16) -> &'static str {
    match status {
        host::ON_MANUAL => "On (manual)",
        host::ON_AUTOMATIC => "On (automatic)",
        host::PENDING => "Pending",
        host::ON_PERSONAL => "On (personal)",
        _ => "Off",
    }
}

fn order_key(name: &str) -> Result<OrderKey, ApiError> {
    match name {
        "" | "id" => Ok(OrderKey::Id),
        "hostname" | "computer_name" | "display_name" => Ok(OrderKey::Name),
        "hardware_serial" => Ok(OrderKey::Serial),
        "seen_time" => Ok(OrderKey::LastSeen),
        _ => Err(ApiError::invalid("order_key", "use id, display_name, hardware_serial or seen_time")),
    }
}
