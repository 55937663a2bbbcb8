//! What requests say about people, and how answers show them, in Fleet's shapes. Also the rule for whom a team's admin may
//! look after: those who are in no other team and have no global role.

use std::collections::HashMap;

use entities::role::Role;
use entities::user::{Roles, User};
use entities::{Reader, team};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::permission::Extent;
use crate::http::error::ApiError;

/// The longest name.
const MAX_NAME: usize = 255;
/// Teams that one person has roles in at most.
const MAX_TEAMS: usize = 1000;

/// A role in a team, as requests name it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TeamRole {
    id: i64,
    role: String,
}

/// The roles that a request gives somebody.
///
/// # Errors
/// 422: a role that does not exist, a team twice, or both kinds at once, which Fleet does not know either.
pub(super) fn roles(global: Option<&str>, teams: Option<&[TeamRole]>) -> Result<Roles, ApiError> {
    let parse = |name: &str| {
        let names = "use admin, maintainer, observer, observer_plus or gitops";
        Role::parse(name).ok_or_else(|| ApiError::invalid("role", names))
    };
    let everywhere = global.filter(|name| !name.is_empty()).map(parse).transpose()?;
    let mut of_teams = Vec::new();
    for TeamRole { id, role } in teams.unwrap_or_default() {
        if of_teams.iter().any(|(team, _)| team == id) || of_teams.len() == MAX_TEAMS {
            return Err(ApiError::invalid("teams", format!("at most {MAX_TEAMS} teams, each once")));
        }
        of_teams.push((*id, parse(role)?));
    }
    match (everywhere, of_teams.is_empty()) {
        (None, true) => Err(ApiError::invalid("global_role", "give a global_role, or roles in teams")),
        (Some(_), false) => Err(ApiError::invalid("teams", "a global_role and roles in teams exclude each other")),
        _ => Ok(Roles { everywhere, teams: of_teams }),
    }
}

/// A name that a person can have.
///
/// # Errors
/// 422: empty or too long.
pub(super) fn name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name", format!("1 to {MAX_NAME} printable characters")));
    }
    Ok(name.to_owned())
}

/// An email address that a person can have.
///
/// # Errors
/// 422: it is none.
pub(in crate::http) fn email(address: &str) -> Result<String, ApiError> {
    let address = address.trim();
    let sound = address.split_once('@').is_some_and(|(local, domain)| {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]@".contains(&byte);
        !local.is_empty() && !domain.is_empty() && local.bytes().all(plain) && domain.bytes().all(plain)
    });
    if !sound || address.len() > 254 {
        return Err(ApiError::invalid("email", "this is no email address"));
    }
    Ok(address.to_owned())
}

/// Demands that the admin may look after somebody with these roles.
///
/// # Errors
/// 403.
pub(super) fn demand(admin: &Admin, roles: &Roles) -> Result<(), ApiError> {
    match admin.extent()? {
        Extent::All => Ok(()),
        // A global role cannot be weighed within a team: asking for hosts of no team refuses it.
        Extent::Teams(_) if roles.everywhere.is_some() || roles.teams.is_empty() => admin.demand(None),
        Extent::Teams(_) => roles.teams.iter().try_for_each(|(team, _)| admin.demand(Some(*team))),
    }
}

/// The names of all teams.
///
/// # Errors
/// The database does not answer.
pub(super) async fn team_names(reader: &Reader) -> Result<HashMap<i64, String>, ApiError> {
    Ok(team::list(reader).await?.into_iter().map(|team| (team.id, team.name)).collect())
}

/// A user, as Fleet shows them.
pub(super) fn show(User { row, roles }: &User, names: &HashMap<i64, String>) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "email": row.email,
        "global_role": roles.everywhere.map(Role::as_str),
        "teams": show_teams(roles, names),
        "api_only": row.api_only,
        "sso_enabled": row.sso_enabled,
        "mfa_enabled": false,
        "force_password_reset": row.force_password_reset,
        "disabled": row.disabled,
        "gravatar_url": "",
        "created_at": Timestamp::from_millis(row.created_at).to_rfc3339(),
        "updated_at": Timestamp::from_millis(row.updated_at).to_rfc3339(),
    })
}

/// Roles in teams, as Fleet shows them.
pub(super) fn show_teams(roles: &Roles, names: &HashMap<i64, String>) -> Vec<Value> {
    let show = |(id, role): &(i64, Role)| json!({ "id": id, "name": names.get(id), "role": role.as_str() });
    roles.teams.iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_would_be_more_than_one() {
        for sound in ["ada@example.com", "a.b+c@x"] {
            assert!(email(sound).is_ok(), "{sound}");
        }
        for broken in ["", "ada", "@x", "a@", "a@b@c", "a@b, c@d", "a b@c", "a@b\r\nBcc: c@d", "Ada <ada@x>", "ädä@x"]
        {
            assert!(email(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_person_has_one_kind_of_role() {
        let team = |id, role: &str| TeamRole { id, role: role.into() };
        assert!(roles(None, None).is_err() && roles(Some("king"), None).is_err());
        assert!(roles(Some("admin"), Some(&[team(1, "observer")])).is_err());
        assert!(roles(None, Some(&[team(1, "observer"), team(1, "admin")])).is_err());
        let both = roles(None, Some(&[team(1, "observer"), team(2, "admin")])).unwrap();
        assert_eq!(both.teams, [(1, Role::Observer), (2, Role::Admin)]);
    }
}
