//! Groups, as SCIM has them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actors::profiles::scim::{DeleteGroup, SaveGroup};
use entities::scim_group::{self, Filter, Model, Saved, Wish};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::patch::{Patch, group_wish};
use super::{GROUP, ListQuery, answer, is_id, kept, named, needed, page};
use crate::http::admin::auth::{Admin, Asking};
use crate::http::edge::AdminEdge;
use crate::http::error::ScimError;
use crate::http::{DEADLINE, read_json};

/// A group, as far as it is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::http) struct Document {
    display_name: Option<String>,
    external_id: Option<String>,
    members: Vec<Member>,
}

/// Somebody who is in a group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Member {
    pub(super) value: String,
}

/// `GET …/scim/Groups`: without their members, which each one's own page has.
pub async fn list(_: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ScimError> {
    let filter = match query.comparison()? {
        None => Filter::All,
        Some((name, value)) => match name.as_str() {
            "displayname" => Filter::DisplayName(value),
            "externalid" => Filter::ExternalId(value),
            _ => return Err(ScimError::invalid("invalidFilter", "use displayName or externalId")),
        },
    };
    let (offset, limit) = query.window();
    let (found, total) = scim_group::list(&edge.front.reader, filter, offset, limit).await?;
    Ok(page(&query, total, found.iter().map(|row| show(row, None)).collect()))
}

/// `GET …/scim/Groups/{id}`
pub async fn by_id(_: Asking, id: Path<(String, String)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ScimError> {
    let found = scim_group::by_id(&edge.front.reader, named(id)?).await?;
    let (row, members) = found.ok_or_else(ScimError::not_found)?;
    Ok(answer(StatusCode::OK, &show(&row, Some(members))))
}

/// `POST …/scim/Groups`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ScimError> {
    let document: Document = read_json(&edge.budget, payload).await?;
    save(&admin, &edge, None, document.wish()?).await
}

/// `PUT …/scim/Groups/{id}`
pub async fn replace(
    admin: Asking,
    id: Path<(String, String)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ScimError> {
    let document: Document = read_json(&edge.budget, payload).await?;
    save(&admin, &edge, Some(named(id)?), document.wish()?).await
}

/// `PATCH …/scim/Groups/{id}`
pub async fn change(
    admin: Asking,
    id: Path<(String, String)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ScimError> {
    let patch: Patch = read_json(&edge.budget, payload).await?;
    save(&admin, &edge, Some(named(id)?), group_wish(patch)?).await
}

/// `DELETE …/scim/Groups/{id}`
pub async fn delete(
    admin: Asking,
    id: Path<(String, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ScimError> {
    let delete = DeleteGroup { id: named(id)?, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(delete, DEADLINE).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ScimError::not_found()),
    }
}

async fn save(admin: &Admin, edge: &AdminEdge, id: Option<String>, wish: Wish) -> Result<HttpResponse, ScimError> {
    if !wish.members.iter().flatten().chain(&wish.join).all(|id| is_id(id)) {
        return Err(no_member());
    }
    let status = if id.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    let save = SaveGroup { id, wish, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(save, DEADLINE).await? {
        Saved::Done(row, members) => Ok(answer(status, &show(&row, Some(members)))),
        Saved::Taken => Err(ScimError::taken("displayName")),
        Saved::Gone => Err(ScimError::not_found()),
        Saved::NoSuchMember => Err(no_member()),
    }
}

fn no_member() -> ScimError {
    ScimError::invalid("invalidValue", "somebody who is to be a member is not here")
}

fn show(row: &Model, members: Option<Vec<String>>) -> Value {
    let moment = |at| Timestamp::from_millis(at).to_rfc3339();
    let mut shown = json!({
        "schemas": [GROUP],
        "id": row.id,
        "externalId": row.external_id,
        "displayName": row.display_name,
        "meta": {
            "resourceType": "Group", "created": moment(row.created_at), "lastModified": moment(row.updated_at),
            "location": format!("Groups/{}", row.id),
        },
    });
    if let Some(members) = members {
        shown["members"] = members.into_iter().map(|id| json!({ "value": id })).collect();
    }
    shown
}

impl Document {
    fn wish(self) -> Result<Wish, ScimError> {
        Ok(Wish {
            display_name: Some(needed(self.display_name, "displayName")?),
            external_id: Some(kept(self.external_id)?).filter(|id| !id.is_empty()),
            members: Some(self.members.into_iter().map(|member| member.value).collect()),
            join: Vec::new(),
            leave: Vec::new(),
        })
    }
}
