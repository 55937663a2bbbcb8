//! Whether what a request names is within the reach of whoever asks: hosts, the hosts of a command, teams. Handlers come by
//! hosts through here alone, so that none forgets to look.

use entities::host_search::Filter;
use entities::movers::Movers;
use entities::{host, target};

use super::auth::Admin;
use super::host_filter::Filters;
use super::hosts::not_found;
use super::permission::{Extent, Permission};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The host with this row number.
///
/// # Errors
/// 404: there is none; 403: it is in another team.
pub(super) async fn host(admin: &Admin, edge: &AdminEdge, id: i64) -> Result<host::Model, ApiError> {
    found(admin, host::by_id(&edge.front.reader, id).await?)
}

/// The host with this UUID, serial number or name.
///
/// # Errors
/// As for [`host`].
pub(super) async fn host_called(admin: &Admin, edge: &AdminEdge, name: String) -> Result<host::Model, ApiError> {
    found(admin, host::by_identifier(&edge.front.reader, name).await?)
}

/// Demands that all of these hosts are within reach; those that do not exist are nobody's.
///
/// # Errors
/// 403.
pub(super) async fn hosts(admin: &Admin, edge: &AdminEdge, ids: &[i64]) -> Result<(), ApiError> {
    if admin.extent()? == Extent::All {
        return Ok(());
    }
    all(admin, target::teams_of_hosts(&edge.front.reader, ids.to_vec()).await?)
}

/// Demands that all hosts of a command are within reach. A command that does not exist has none.
///
/// # Errors
/// 403.
pub(super) async fn command(admin: &Admin, edge: &AdminEdge, uuid: &str) -> Result<(), ApiError> {
    command_for(admin, edge, uuid, admin.needs()).await
}

/// The same for something else than what the route does.
///
/// # Errors
/// 403.
pub(super) async fn command_for(
    admin: &Admin,
    edge: &AdminEdge,
    uuid: &str,
    permission: Permission,
) -> Result<(), ApiError> {
    let extent = admin.extent_of(permission)?;
    if extent == Extent::All {
        return Ok(());
    }
    let teams = target::teams_of_command(&edge.front.reader, uuid.to_owned()).await?;
    if teams.into_iter().all(|team| extent.holds(team)) { Ok(()) } else { Err(ApiError::forbidden(permission)) }
}

/// Demands that these teams are within reach; `None` stands for hosts of no team.
///
/// # Errors
/// 403.
pub(super) fn all(admin: &Admin, teams: Vec<Option<i64>>) -> Result<(), ApiError> {
    teams.into_iter().try_for_each(|team| admin.demand(team))
}

/// The same filter, and nothing beyond reach.
///
/// # Errors
/// 403: it asks for a team that is not within reach.
pub(super) fn within(admin: &Admin, filter: Filter) -> Result<Filter, ApiError> {
    if let Some(team) = filter.team {
        admin.demand(Some(team).filter(|id| *id != 0))?;
    }
    Ok(Filter { teams: teams(admin)?, ..filter })
}

/// The hosts that filters mean as of now, and none beyond reach.
///
/// # Errors
/// As for [`within`], and a filter that means nothing.
pub(super) fn movers(admin: &Admin, edge: &AdminEdge, filters: Filters) -> Result<Movers, ApiError> {
    let now = edge.front.clock.now();
    Ok(Movers::Filter { filter: within(admin, filters.0.filter(now)?)?, asked_at: now.millis() })
}

/// The teams within reach; `None` for all.
///
/// # Errors
/// 403: there is none.
pub(super) fn teams(admin: &Admin) -> Result<Option<Vec<i64>>, ApiError> {
    Ok(match admin.extent()? {
        Extent::All => None,
        Extent::Teams(teams) => Some(teams),
    })
}

fn found(admin: &Admin, host: Option<host::Model>) -> Result<host::Model, ApiError> {
    let host = host.ok_or_else(not_found)?;
    admin.demand(host.team_id)?;
    Ok(host)
}
