//! Which roles may send which commands; ours. What no rule names, everyone may send who may send commands.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actors::people::SetPolicy;
use entities::command_policy::{self, Rule};
use entities::role::Role;
use entities::target;
use protocol::danger::Danger;
use protocol::ids::HostId;
use protocol::windows::loc_uri::canonical;
use protocol::windows::syncml;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Asking};
use super::device_command::DeviceCommand;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Rules at most.
const MOST: usize = 500;
/// The longest command type: a LocURI may be long.
const MAX_TYPE: usize = 255;

/// All rules.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Policy {
    rules: Vec<RuleBody>,
}

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RuleBody {
    request_type: String,
    roles: Vec<String>,
}

/// `GET …/commands/policy`
pub async fn get(edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let rules = command_policy::list(&edge.front.reader).await?;
    let show = |rule: &command_policy::Model| -> Value {
        let roles: Vec<_> = rule.roles().into_iter().map(Role::as_str).collect();
        json!({ "request_type": rule.request_type, "roles": roles })
    };
    Ok(HttpResponse::Ok().json(json!({ "rules": rules.iter().map(show).collect::<Vec<_>>() })))
}

/// `PUT …/commands/policy`: replaces all rules.
pub async fn replace(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Policy { rules } = read_json(&edge.budget, payload).await?;
    if rules.len() > MOST {
        return Err(ApiError::invalid("rules", format!("at most {MOST}")));
    }
    let mut read: Vec<Rule> = Vec::with_capacity(rules.len());
    for RuleBody { request_type, roles } in rules {
        let roles: Option<Vec<Role>> = roles.iter().map(|name| Role::parse(name)).collect();
        let roles = roles
            .ok_or_else(|| ApiError::invalid("roles", "use admin, maintainer, observer, observer_plus or gitops"))?;
        let sound = !request_type.is_empty() && request_type.len() <= MAX_TYPE;
        if !sound || read.iter().any(|rule| rule.request_type == request_type) {
            return Err(ApiError::invalid("request_type", format!("each once, of 1 to {MAX_TYPE} characters")));
        }
        read.push(Rule { request_type, roles });
    }
    edge.front.people.ask(SetPolicy { rules: read, asked_by: admin.name.clone() }, DEADLINE).await?;
    get(edge).await
}

/// Demands that the admin may send this command to these hosts. A rule about a node counts wherever the command speaks of it; one
/// about EraseDevice or RemoveProfile also counts for what does the same to Windows hosts.
///
/// # Errors
/// 403: a rule says otherwise.
pub(super) async fn demand(
    admin: &Admin,
    edge: &AdminEdge,
    command: &DeviceCommand,
    hosts: impl IntoIterator<Item = HostId>,
) -> Result<(), ApiError> {
    let reader = &edge.front.reader;
    let rules = match command {
        DeviceCommand::Apple(command) => Vec::from_iter(command_policy::of(reader, command.request_type()).await?),
        DeviceCommand::Windows(command) => {
            let mut rules = command_policy::list(reader).await?;
            rules.retain(|rule| is_about(&rule.request_type, command));
            rules
        }
    };
    if rules.is_empty() {
        return Ok(());
    }
    let teams = match admin.role_in(None) {
        Some(_) => vec![None],
        None => target::teams_of_hosts(reader, hosts.into_iter().map(|host| host.0).collect()).await?,
    };
    for rule in rules {
        let roles = rule.roles();
        if teams.iter().all(|team| admin.role_in(*team).is_some_and(|role| roles.contains(&role))) {
            continue;
        }
        let names = roles.into_iter().map(Role::as_str).collect::<Vec<_>>().join(", ");
        let reason = format!("{} may be sent by these roles alone: {names} (GET …/commands/policy)", rule.request_type);
        return Err(ApiError::because(StatusCode::FORBIDDEN, "command", reason));
    }
    Ok(())
}

/// Whether a rule is about a Windows command: it names one of its nodes, or what it does.
fn is_about(rule: &str, command: &syncml::Command) -> bool {
    let class = Danger::of(command.request_type()).map(Danger::request_type);
    class == Some(rule) || command.targets().any(|target| canonical(target) == canonical(rule))
}
