//! How many hosts there are, of which kind. Everything by team, platform and status comes from counts that the database
//! keeps; nobody looks at all hosts.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use entities::host;
use entities::host_search::{self, Filter, Tally};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Asking};
use super::host_filter::{MISSING, NEW, SOLUTION};
use super::hosts::ONLINE;
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// Which hosts to count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SummaryQuery {
    team_id: Option<i64>,
    #[serde(default)]
    platform: String,
}

/// `GET …/hosts/summary/mdm`
pub async fn mdm(admin: Asking, query: Query<SummaryQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let meant = meant(&admin, &query)?;
    let tallies = tallies(&meant, &edge).await?;
    let of = |status: i16| -> i64 {
        tallies.iter().filter(|tally| tally.mdm_status == status).map(|tally| tally.hosts).sum()
    };
    let enrolled = of(host::ON_MANUAL) + of(host::ON_AUTOMATIC) + of(host::ON_PERSONAL);
    let server_url = &edge.front.authority_config.server_url;
    let solution = json!({ "id": SOLUTION.0, "name": SOLUTION.1, "server_url": server_url, "hosts_count": enrolled });
    Ok(HttpResponse::Ok().json(json!({
        "counts_updated_at": edge.front.clock.now().to_rfc3339(),
        "mobile_device_management_enrollment_status": {
            "enrolled_manual_hosts_count": of(host::ON_MANUAL),
            "enrolled_automated_hosts_count": of(host::ON_AUTOMATIC),
            "enrolled_personal_hosts_count": of(host::ON_PERSONAL),
            "pending_hosts_count": of(host::PENDING),
            "unenrolled_hosts_count": of(host::OFF),
            "hosts_count": tallies.iter().map(|tally| tally.hosts).sum::<i64>(),
        },
        "mobile_device_management_solution": if enrolled > 0 { vec![solution] } else { Vec::new() },
    })))
}

/// `GET …/host_summary`
pub async fn all(admin: Asking, query: Query<SummaryQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let meant = meant(&admin, &query)?;
    let tallies = tallies(&meant, &edge).await?;
    let mut platforms: BTreeMap<&str, i64> = BTreeMap::new();
    for tally in &tallies {
        *platforms.entry(&tally.platform).or_default() += tally.hosts;
    }
    let total: i64 = platforms.values().sum();
    let now = edge.front.clock.now();
    let count = async |filter: Filter| -> Result<i64, ApiError> {
        Ok(i64::try_from(host_search::count(&edge.front.reader, filter).await?).unwrap_or(i64::MAX))
    };
    let online = count(Filter { seen_since: Some(now.minus(ONLINE).millis()), ..meant.clone() }).await?;
    let missing = count(Filter { unseen_since: Some(now.minus(MISSING).millis()), ..meant.clone() }).await?;
    let new = count(Filter { created_since: Some(now.minus(NEW).millis()), ..meant.clone() }).await?;
    let platforms: Vec<Value> =
        platforms.into_iter().map(|(platform, hosts)| json!({ "platform": platform, "hosts_count": hosts })).collect();
    Ok(HttpResponse::Ok().json(json!({
        "team_id": query.team_id,
        "totals_hosts_count": total,
        "online_count": online,
        "offline_count": total - online,
        "mia_count": missing,
        "missing_30_days_count": missing,
        "new_count": new,
        "platforms": platforms,
    })))
}

fn meant(admin: &Admin, query: &SummaryQuery) -> Result<Filter, ApiError> {
    let platforms = Some(query.platform.clone()).filter(|platform| !platform.is_empty()).into_iter().collect();
    reach::within(admin, Filter { team: query.team_id, platforms, ..Filter::default() })
}

async fn tallies(meant: &Filter, edge: &AdminEdge) -> Result<Vec<Tally>, ApiError> {
    let mut tallies = host_search::tally(&edge.front.reader, meant.team).await?;
    tallies.retain(|tally| meant.means(tally));
    Ok(tallies)
}
