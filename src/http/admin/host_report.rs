//! All hosts as a CSV file (RFC 4180), page by page from the database: its size costs no memory.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use entities::{host, host_search};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::auth::Asking;
use super::host_filter::FilterQuery;
use super::hosts::{mdm_status, moment, presence, team_name, team_names};
use super::reach;
use crate::http::csv::line;
use crate::http::download::download;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// Rows that are read at once.
const PAGE: u64 = 1000;

/// Which hosts, and what of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ReportQuery {
    #[serde(flatten)]
    filter: FilterQuery,
    #[serde(default)]
    format: String,
    /// Names of columns, separated by commas; all when empty.
    #[serde(default)]
    columns: String,
}

/// What a cell is made of.
struct Row<'r> {
    host: &'r host::Model,
    team: Option<&'r str>,
    now: Timestamp,
}

/// A column: its name, and what stands in it.
type Column = (&'static str, fn(&Row<'_>) -> String);

/// Every column there is.
const COLUMNS: [Column; 15] = [
    ("id", |row| row.host.id.to_string()),
    ("hostname", |row| row.host.computer_name.clone()),
    ("display_name", |row| row.host.display_name()),
    ("uuid", |row| row.host.uuid.clone().unwrap_or_default()),
    ("hardware_serial", |row| row.host.serial.clone().unwrap_or_default()),
    ("hardware_model", |row| row.host.hardware_model.clone()),
    ("platform", |row| row.host.platform.clone()),
    ("os_version", |row| row.host.os_version.clone()),
    ("build", |row| row.host.build_version.clone()),
    ("team_id", |row| row.host.team_id.map(|id| id.to_string()).unwrap_or_default()),
    ("team_name", |row| row.team.unwrap_or_default().to_owned()),
    ("status", |row| presence(row.host, row.now).to_owned()),
    ("seen_time", |row| moment(row.host.last_seen_at)),
    ("created_at", |row| moment(Some(row.host.created_at))),
    ("mdm.enrollment_status", |row| mdm_status(row.host.mdm_status).to_owned()),
];

/// `GET …/hosts/report`
pub async fn report(admin: Asking, query: Query<ReportQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ReportQuery { filter, format, columns } = query.into_inner();
    if !["", "csv"].contains(&format.as_str()) {
        return Err(ApiError::invalid("format", "only csv is there"));
    }
    let (columns, now) = (columns_of(&columns)?, edge.front.clock.now());
    let (reader, filter) = (edge.front.reader.clone(), reach::within(&admin, filter.filter(now)?)?);
    let head = line(columns.iter().map(|(name, _)| (*name).to_owned()));
    let name = format!("hosts-{}.csv", &now.to_rfc3339()[..10]);
    Ok(download(&name, "text/csv; charset=utf-8", head, move |after| {
        let (reader, filter, columns) = (reader.clone(), filter.clone(), columns.clone());
        async move {
            let hosts = host_search::list_after(&reader, filter, after, PAGE).await?;
            let teams: HashMap<i64, String> = team_names(&reader, &hosts).await?;
            let cells = |host: &host::Model| {
                let row = Row { host, team: team_name(host, &teams), now };
                line(columns.iter().map(|(_, cell)| cell(&row)))
            };
            let page = hosts.iter().map(cells).collect();
            Ok(hosts.last().map(|last| (page, last.id)))
        }
    }))
}

fn columns_of(names: &str) -> Result<Vec<Column>, ApiError> {
    if names.is_empty() {
        return Ok(COLUMNS.to_vec());
    }
    let find = |name: &str| {
        let known = COLUMNS.into_iter().find(|(known, _)| *known == name);
        let all = || COLUMNS.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| ApiError::invalid("columns", format!("there is no column {name:?}; there are {}", all())))
    };
    names.split(',').map(str::trim).map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_in_the_order_that_was_asked_for() {
        let names = |columns: &str| {
            columns_of(columns).map(|columns| columns.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        };
        assert_eq!(names("uuid, id").unwrap(), ["uuid", "id"]);
        assert_eq!(names("").unwrap().len(), COLUMNS.len());
        assert!(names("secret").is_err());
    }
}
