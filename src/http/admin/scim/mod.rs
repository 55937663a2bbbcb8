//! SCIM 2.0 (RFC 7643, RFC 7644): identity providers keep people and groups here, so that profiles can name what is known of the
//! owner of a host. Attributes that are not kept are not refused, as providers send many.
//!
//! Never here: who may sign in. Whoever is kept here is no user of this server.

pub mod groups;
mod patch;
pub mod users;

pub(in crate::http) use patch::Patch;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use crate::http::error::ScimError;

/// The schema of people.
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of what employers know of them.
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// The schema of groups.
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// Resources of one page at most, and where nobody says how many.
const MOST: u64 = 1000;
const USUAL: u64 = 100;
/// The longest text of one attribute, in bytes.
const MAX_TEXT: usize = 1024;

/// Which part of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// One comparison, for example `userName eq "ada@example.com"`.
    #[serde(default)]
    filter: String,
    /// Counted from 1.
    #[serde(default)]
    start_index: Option<u64>,
    #[serde(default)]
    count: Option<u64>,
}

impl ListQuery {
    /// Rows to skip, and rows to return.
    fn window(&self) -> (u64, u64) {
        let offset = self.start_index.unwrap_or(1).max(1) - 1;
        (offset.min(i64::MAX.unsigned_abs()), self.count.unwrap_or(USUAL).min(MOST))
    }

    /// The attribute, in lower case, and the value that the filter compares it with; `None` for no filter.
    fn comparison(&self) -> Result<Option<(String, String)>, ScimError> {
        let filter = self.filter.trim();
        if filter.is_empty() {
            return Ok(None);
        }
        let wrong = || ScimError::invalid("invalidFilter", "a filter is one comparison: attribute eq \"value\"");
        let lower = filter.to_ascii_lowercase();
        let at = lower.rfind(" eq ").ok_or_else(wrong)?;
        let value: String = serde_json::from_str(filter[at + 4..].trim()).map_err(|_| wrong())?;
        if value.len() > MAX_TEXT || value.contains(char::is_control) {
            return Err(wrong());
        }
        Ok(Some((lower[..at].trim().to_owned(), value)))
    }
}

/// A part of a list.
fn page(query: &ListQuery, total: u64, resources: Vec<Value>) -> HttpResponse {
    answer(
        StatusCode::OK,
        &json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total,
            "startIndex": query.window().0 + 1,
            "itemsPerPage": resources.len(),
            "Resources": resources,
        }),
    )
}

fn answer(status: StatusCode, body: &Value) -> HttpResponse {
    HttpResponse::build(status).content_type("application/scim+json").json(body)
}

/// The row that a path names; what is none of our names is not there.
fn named(path: Path<(String, String)>) -> Result<String, ScimError> {
    let id = path.into_inner().1;
    if is_id(&id) { Ok(id) } else { Err(ScimError::not_found()) }
}

/// Whether a row could be called so.
fn is_id(id: &str) -> bool {
    id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A text that is kept.
fn kept(text: Option<String>) -> Result<String, ScimError> {
    let text = text.unwrap_or_default().trim().to_owned();
    if text.len() > MAX_TEXT || text.contains(char::is_control) {
        return Err(ScimError::invalid("invalidValue", "a text is too long, or holds what no text holds"));
    }
    Ok(text)
}

/// A text that is needed.
fn needed(text: Option<String>, name: &str) -> Result<String, ScimError> {
    let text = kept(text)?;
    if text.is_empty() {
        return Err(ScimError::invalid("invalidValue", format!("{name} is needed")));
    }
    Ok(text)
}

/// `GET …/scim/ServiceProviderConfig`
pub async fn config(_: Asking) -> HttpResponse {
    let (yes, no) = (json!({ "supported": true }), json!({ "supported": false }));
    let said = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": yes,
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": no,
        "sort": no,
        "etag": no,
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "API token",
            "description": "An API token with the scope scim",
            "primary": true,
        }],
    });
    answer(StatusCode::OK, &said)
}

/// `GET …/scim/ResourceTypes`
pub async fn resource_types(_: Asking) -> HttpResponse {
    let of = |name: &str, schema: &str, extensions: Value| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name, "name": name, "endpoint": format!("/{name}s"), "schema": schema, "schemaExtensions": extensions,
        })
    };
    let extension = json!([{ "schema": ENTERPRISE, "required": false }]);
    let all = vec![of("User", USER, extension), of("Group", GROUP, json!([]))];
    page(&ListQuery::default(), 2, all)
}

/// `GET …/scim/Schemas`
pub async fn schemas(_: Asking) -> HttpResponse {
    let text = |name: &str, is_needed: bool| {
        json!({
            "name": name, "type": "string", "multiValued": false, "required": is_needed, "caseExact": false,
            "mutability": "readWrite", "returned": "default", "uniqueness": if is_needed { "server" } else { "none" },
        })
    };
    let list = |name: &str, parts: Vec<Value>| json!({ "name": name, "type": "complex", "multiValued": true, "required": false, "subAttributes": parts });
    let of = |id: &str, name: &str, attributes: Vec<Value>| {
        let schemas = ["urn:ietf:params:scim:schemas:core:2.0:Schema"];
        json!({ "schemas": schemas, "id": id, "name": name, "attributes": attributes })
    };
    let name = json!({
        "name": "name", "type": "complex", "multiValued": false, "required": false,
        "subAttributes": [text("givenName", false), text("familyName", false)],
    });
    let active = json!({ "name": "active", "type": "boolean", "multiValued": false, "required": false });
    let emails = list("emails", vec![text("value", false), text("type", false)]);
    let user = vec![text("userName", true), name, text("displayName", false), active, emails];
    let members = list("members", vec![text("value", false)]);
    let all = vec![
        of(USER, "User", user),
        of(ENTERPRISE, "EnterpriseUser", vec![text("department", false)]),
        of(GROUP, "Group", vec![text("displayName", true), members]),
    ];
    page(&ListQuery::default(), 3, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_comparison() {
        let of = |filter: &str| ListQuery { filter: filter.into(), ..ListQuery::default() }.comparison();
        let pair = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("userName eq \"Ada\""), pair("username", "Ada"));
        assert_eq!(
            of("emails[type eq \"work\"].value EQ \"a \\\"b\\\"\""),
            pair("emails[type eq \"work\"].value", "a \"b\"")
        );
        for wrong in ["userName", "userName eq", "userName eq Ada", "userName sw \"a\"", "userName eq \"a\" or x"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
