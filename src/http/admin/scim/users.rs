//! People, as SCIM has them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actors::profiles::scim::{DeletePerson, SavePerson};
use entities::scim_user::{self, Filter, Model, Saved, Wish};
use entities::{Reader, scim_group};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::patch::{Patch, patched};
use super::{ENTERPRISE, ListQuery, USER, answer, kept, named, needed, page};
use crate::http::admin::auth::{Admin, Asking};
use crate::http::edge::AdminEdge;
use crate::http::error::ScimError;
use crate::http::{DEADLINE, read_json};

/// Email addresses of one person at most.
const MAX_EMAILS: usize = 20;

/// A person, as far as they are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::http) struct Document {
    user_name: Option<String>,
    external_id: Option<String>,
    #[serde(deserialize_with = "truth")]
    active: Option<bool>,
    name: Option<Name>,
    display_name: Option<String>,
    emails: Vec<Email>,
    #[serde(rename = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")]
    enterprise: Option<Enterprise>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Name {
    given_name: Option<String>,
    family_name: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Email {
    value: Option<String>,
    r#type: Option<String>,
    #[serde(deserialize_with = "truth")]
    primary: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Enterprise {
    department: Option<String>,
}

/// Entra ID writes truth values as texts.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Bool(truth) => Ok(Some(truth)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        _ => Err(serde::de::Error::custom("this is neither true nor false")),
    }
}

/// `GET …/scim/Users`
pub async fn list(_: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ScimError> {
    let filter = match query.comparison()? {
        None => Filter::All,
        Some((name, value)) => match name.as_str() {
            "username" => Filter::UserName(value),
            "externalid" => Filter::ExternalId(value),
            "emails" | "emails.value" | "emails[type eq \"work\"].value" => Filter::Email(value),
            _ => return Err(ScimError::invalid("invalidFilter", "use userName, externalId or emails.value")),
        },
    };
    let (offset, limit) = query.window();
    let (found, total) = scim_user::list(&edge.front.reader, filter, offset, limit).await?;
    let mut shown = Vec::with_capacity(found.len());
    for row in &found {
        shown.push(show(&edge.front.reader, row).await?);
    }
    Ok(page(&query, total, shown))
}

/// `GET …/scim/Users/{id}`
pub async fn by_id(_: Asking, id: Path<(String, String)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ScimError> {
    let row = found(&edge.front.reader, named(id)?).await?;
    Ok(answer(StatusCode::OK, &show(&edge.front.reader, &row).await?))
}

/// `POST …/scim/Users`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ScimError> {
    let document: Document = read_json(&edge.budget, payload).await?;
    save(&admin, &edge, None, document.wish()?).await
}

/// `PUT …/scim/Users/{id}`
pub async fn replace(
    admin: Asking,
    id: Path<(String, String)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ScimError> {
    let document: Document = read_json(&edge.budget, payload).await?;
    save(&admin, &edge, Some(named(id)?), document.wish()?).await
}

/// `PATCH …/scim/Users/{id}`
pub async fn change(
    admin: Asking,
    id: Path<(String, String)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ScimError> {
    let patch: Patch = read_json(&edge.budget, payload).await?;
    let id = named(id)?;
    let row = found(&edge.front.reader, id.clone()).await?;
    let before = show(&edge.front.reader, &row).await?;
    let after: Document = serde_json::from_value(patched(before, patch)?)
        .map_err(|error| ScimError::invalid("invalidValue", error.to_string()))?;
    save(&admin, &edge, Some(id), after.wish()?).await
}

/// `DELETE …/scim/Users/{id}`
pub async fn delete(
    admin: Asking,
    id: Path<(String, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ScimError> {
    let delete = DeletePerson { id: named(id)?, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(delete, DEADLINE).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ScimError::not_found()),
    }
}

async fn save(admin: &Admin, edge: &AdminEdge, id: Option<String>, wish: Wish) -> Result<HttpResponse, ScimError> {
    let status = if id.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    let save = SavePerson { id, wish, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(save, DEADLINE).await? {
        Saved::Done(row) => Ok(answer(status, &show(&edge.front.reader, &row).await?)),
        Saved::Taken => Err(ScimError::taken("userName")),
        Saved::Gone => Err(ScimError::not_found()),
    }
}

async fn found(reader: &Reader, id: String) -> Result<Model, ScimError> {
    scim_user::by_id(reader, id).await?.ok_or_else(ScimError::not_found)
}

async fn show(reader: &Reader, row: &Model) -> Result<Value, ScimError> {
    let groups = scim_group::of_user(reader, row.id.clone()).await?;
    let groups: Vec<Value> =
        groups.into_iter().map(|group| json!({ "value": group.id, "display": group.display_name })).collect();
    let moment = |at| Timestamp::from_millis(at).to_rfc3339();
    Ok(json!({
        "schemas": [USER, ENTERPRISE],
        "id": row.id,
        "externalId": row.external_id,
        "userName": row.user_name,
        "name": { "givenName": row.given_name, "familyName": row.family_name },
        "displayName": row.display_name,
        "active": row.active,
        "emails": serde_json::from_str::<Value>(&row.emails).unwrap_or_else(|_| json!([])),
        ENTERPRISE: { "department": row.department },
        "groups": groups,
        "meta": {
            "resourceType": "User", "created": moment(row.created_at), "lastModified": moment(row.updated_at),
            "location": format!("Users/{}", row.id),
        },
    }))
}

impl Document {
    fn wish(self) -> Result<Wish, ScimError> {
        if self.emails.len() > MAX_EMAILS {
            return Err(ScimError::invalid(
                "invalidValue",
                format!("a person has at most {MAX_EMAILS} email addresses"),
            ));
        }
        let mut emails = Vec::with_capacity(self.emails.len());
        for email in self.emails {
            let value = needed(email.value, "the value of an email")?;
            emails.push((value, kept(email.r#type)?, email.primary.unwrap_or_default()));
        }
        let first = emails.iter().find(|(_, _, primary)| *primary).or(emails.first());
        let email = first.map(|(value, _, _)| value.clone()).unwrap_or_default();
        let shown: Vec<Value> = emails
            .into_iter()
            .map(|(value, kind, primary)| json!({ "value": value, "type": kind, "primary": primary }))
            .collect();
        let name = self.name.unwrap_or_default();
        Ok(Wish {
            user_name: needed(self.user_name, "userName")?,
            external_id: Some(kept(self.external_id)?).filter(|id| !id.is_empty()),
            active: self.active.unwrap_or(true),
            given_name: kept(name.given_name)?,
            family_name: kept(name.family_name)?,
            display_name: kept(self.display_name)?,
            department: kept(self.enterprise.unwrap_or_default().department)?,
            email,
            emails: Value::from(shown).to_string(),
        })
    }
}
