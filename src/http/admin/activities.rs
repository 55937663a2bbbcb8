//! What was done: lists of activities, the feed of a host, and all of them as a file.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use entities::activity::{self, Filter, Model};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use super::reach;
use crate::http::csv::line;
use crate::http::download::download;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;

/// Rows that are read at once for a file.
const PAGE: u64 = 1000;

/// Which activities are wanted, and in which order.
#[derive(Debug, Default, Deserialize, JsonSchema)]
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

/// Which activities are wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::http) struct FilterQuery {
    query: String,
    activity_type: String,
    start_created_at: String,
    end_created_at: String,
}

/// Which activities are wanted, as which file.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ExportQuery {
    #[serde(flatten)]
    filter: FilterQuery,
    #[serde(default)]
    format: String,
}

/// What a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A JSON object in each line.
    Ndjson,
    /// Comma-separated values; the details are a cell of JSON.
    Csv,
}

/// `GET …/activities`
pub async fn list(_: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    page(&edge, query.into_inner(), None).await
}

/// `GET …/hosts/{id}/activities`
pub async fn of_host(
    admin: Asking,
    id: Path<(String, i64)>,
    query: Query<ListQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    page(&edge, query.into_inner(), Some(host.id)).await
}

/// `GET …/activities/export`: all that are meant, oldest first, as a file; ours.
pub async fn export(_: Asking, query: Query<ExportQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ExportQuery { filter, format } = query.into_inner();
    let (format, content_type, suffix) = match format.as_str() {
        "" | "ndjson" => (Format::Ndjson, "application/x-ndjson", "ndjson"),
        "csv" => (Format::Csv, "text/csv; charset=utf-8", "csv"),
        _ => return Err(ApiError::invalid("format", "use ndjson or csv")),
    };
    let head = match format {
        Format::Ndjson => String::new(),
        Format::Csv => line(COLUMNS.iter().map(|name| (*name).to_owned())),
    };
    let (reader, filter) = (edge.front.reader.clone(), filter.filter(None)?);
    let name = format!("activities-{}.{suffix}", &edge.front.clock.now().to_rfc3339()[..10]);
    Ok(download(&name, content_type, head, move |after| {
        let (reader, filter) = (reader.clone(), filter.clone());
        async move {
            let rows = activity::list_after(&reader, filter, after, PAGE).await?;
            let page = rows.iter().map(|row| format.write(row)).collect();
            Ok(rows.last().map(|last| (page, last.id)))
        }
    }))
}

async fn page(edge: &AdminEdge, query: ListQuery, host: Option<i64>) -> Result<HttpResponse, ApiError> {
    let ListQuery { filter, order_key, order_direction, paging } = query;
    let (offset, limit) = paging.window(20)?;
    if !["", "id", "created_at"].contains(&order_key.as_str()) {
        return Err(ApiError::invalid("order_key", "use id or created_at"));
    }
    let oldest_first = match order_direction.as_str() {
        "" | "desc" => false,
        "asc" => true,
        _ => return Err(ApiError::invalid("order_direction", "must be asc or desc")),
    };
    // One more than is shown tells whether there is a next page, without counting all.
    let mut rows =
        activity::list(&edge.front.reader, filter.filter(host)?, oldest_first, offset, limit.saturating_add(1)).await?;
    let has_next_results = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let activities: Vec<Value> = rows.iter().map(show).collect();
    let meta = json!({ "has_next_results": has_next_results, "has_previous_results": offset > 0 });
    Ok(HttpResponse::Ok().json(json!({ "activities": activities, "meta": meta })))
}

impl FilterQuery {
    fn filter(self, host: Option<i64>) -> Result<Filter, ApiError> {
        Ok(Filter {
            kind: self.activity_type,
            actor: self.query,
            since: moment("start_created_at", &self.start_created_at)?,
            until: moment("end_created_at", &self.end_created_at)?,
            host,
        })
    }
}

fn moment(name: &str, text: &str) -> Result<Option<i64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let read =
        Timestamp::parse_rfc3339(text).ok_or_else(|| ApiError::invalid(name, "use a time like 2026-11-27T12:00:00Z"));
    Ok(Some(read?.millis()))
}

/// An activity in Fleet's envelope.
fn show(row: &Model) -> Value {
    json!({
        "id": row.id,
        "created_at": Timestamp::from_millis(row.created_at).to_rfc3339(),
        "actor_full_name": row.actor_name,
        "actor_id": row.actor_id,
        "actor_gravatar": Value::Null,
        "actor_email": row.actor_email,
        "type": row.kind,
        "fleet_initiated": row.actor_name.is_none(),
        "details": serde_json::from_str::<Value>(&row.details).unwrap_or_default(),
    })
}

/// The columns of a file.
const COLUMNS: [&str; 7] = ["id", "created_at", "actor_full_name", "actor_id", "actor_email", "type", "details"];

impl Format {
    fn write(self, row: &Model) -> String {
        let shown = show(row);
        if self == Self::Ndjson {
            return format!("{shown}\n");
        }
        let cell = |name: &&str| match &shown[*name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        line(COLUMNS.iter().map(cell))
    }
}
