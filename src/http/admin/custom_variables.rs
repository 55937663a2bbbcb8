//! Secrets that profiles name: set, list, delete them. Nobody reads a value back.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use actors::profiles::admin::{DeleteSecret, SetSecrets};
use entities::secret_variable::{self, Deleted, Known, Secret};
use protocol::time::Timestamp;
use protocol::variables::is_secret_name;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::auth::Asking;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Secrets of one request at most.
const MAX_SECRETS: usize = 1_000;
/// The longest value, in bytes.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// What may stand before a name, as in a profile.
const PREFIXES: [&str; 2] = ["FLEET_SECRET_", "ROOKERY_SECRET_"];

/// Secrets that are to be set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Spec {
    secrets: Vec<Named>,
    /// Only checks them.
    #[serde(default)]
    dry_run: bool,
}

/// A secret: its name, with or without `FLEET_SECRET_`, and its value.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Named {
    pub(in crate::http) name: String,
    pub(in crate::http) value: String,
}

/// `PUT …/spec/secret_variables`: sets all of these; others stay.
pub async fn apply(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Spec { secrets, dry_run } = read_json(&edge.budget, payload).await?;
    let secrets = checked(secrets)?;
    if !dry_run && !secrets.is_empty() {
        edge.front.profiles.ask(SetSecrets { secrets, asked_by: admin.name.clone() }, DEADLINE).await?;
    }
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `GET …/custom_variables`
pub async fn list(edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let known = secret_variable::list(&edge.front.reader).await?;
    let shown: Vec<Value> = known.iter().map(show).collect();
    let meta = json!({ "has_next_results": false, "has_previous_results": false });
    Ok(HttpResponse::Ok().json(json!({ "custom_variables": shown, "count": shown.len(), "meta": meta })))
}

/// `POST …/custom_variables`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let secrets = checked(vec![read_json(&edge.budget, payload).await?])?;
    let name = secrets.first().map(|secret| secret.name.clone()).unwrap_or_default();
    if by_name(&edge, &name).await?.is_some() {
        return Err(ApiError::conflict(format!(
            "There is a secret {name} already: PUT spec/secret_variables changes it"
        )));
    }
    edge.front.profiles.ask(SetSecrets { secrets, asked_by: admin.name.clone() }, DEADLINE).await?;
    let made = by_name(&edge, &name).await?.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({ "id": made.id, "name": made.name })))
}

/// `DELETE …/custom_variables/{id}`
pub async fn delete(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let delete = DeleteSecret { id: id.into_inner().1, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(delete, DEADLINE).await? {
        Deleted::Done => Ok(HttpResponse::Ok().json(json!({}))),
        Deleted::NotFound => Err(unknown()),
        Deleted::Used(profiles) => {
            Err(ApiError::conflict(format!("These profiles name the secret: {}", profiles.join(", "))))
        }
    }
}

/// Checks secrets that are to be set.
///
/// # Errors
/// 422: a name or a value that cannot be one. No error has a value in it.
pub(in crate::http) fn checked(secrets: Vec<Named>) -> Result<Vec<Secret>, ApiError> {
    if secrets.len() > MAX_SECRETS {
        return Err(ApiError::invalid("secrets", format!("at most {MAX_SECRETS} secrets at once")));
    }
    let mut checked: Vec<Secret> = Vec::with_capacity(secrets.len());
    for Named { name, value } in secrets {
        let value = Zeroizing::new(value);
        let bare = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
        if !is_secret_name(bare) {
            return Err(ApiError::invalid("name", "a secret's name has 1 to 255 letters A-Z, digits and underscores"));
        }
        if value.is_empty() || value.len() > MAX_VALUE_BYTES {
            return Err(ApiError::invalid(bare, format!("a secret's value has 1 to {MAX_VALUE_BYTES} bytes")));
        }
        if checked.iter().any(|other| other.name == bare) {
            return Err(ApiError::invalid(bare, "stands there twice"));
        }
        checked.push(Secret { name: bare.to_owned(), value });
    }
    Ok(checked)
}

async fn by_name(edge: &AdminEdge, name: &str) -> Result<Option<Known>, ApiError> {
    Ok(secret_variable::list(&edge.front.reader).await?.into_iter().find(|known| known.name == name))
}

fn show(known: &Known) -> Value {
    json!({
        "id": known.id,
        "name": known.name,
        "updated_at": Timestamp::from_millis(known.updated_at).to_rfc3339(),
    })
}

fn unknown() -> ApiError {
    ApiError::not_found("Custom variable was not found in the datastore")
}
