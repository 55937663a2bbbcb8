//! The admin API, described: an OpenAPI 3.1 document, a page to read in a browser, and docs/API.md, all made from the table of
//! routes, the table of permissions, and the types that handlers read.
//!
//! Never here: what a handler does. Start with [`document`].

mod operations;
mod text;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use self::operations::{OPERATIONS, Operation};
use super::admin::permission::Permission;
use super::{ROUTES, Route, Who};

/// How every request can be refused: status, why.
const REFUSALS: [(u16, &str); 11] = [
    (400, "The request cannot be read"),
    (401, "No token, or one that does not work"),
    (403, "The role or the token's scopes do not allow it"),
    (404, "What it names is not there"),
    (405, "The path has other methods"),
    (409, "It conflicts with what is there"),
    (412, "A host that it names is not managed"),
    (413, "It is too long"),
    (415, "The command in it cannot be read"),
    (422, "A parameter is wrong: errors says which"),
    (429, "Too many tries: wait for Retry-After"),
];

/// `GET /api/openapi.json`
pub async fn openapi() -> HttpResponse {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    HttpResponse::Ok().json(&*DOCUMENT)
}

/// `GET /api/docs`
pub async fn page() -> HttpResponse {
    static PAGE: LazyLock<String> = LazyLock::new(|| text::page(&document()));
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"))
        .body(PAGE.as_str())
}

/// The admin API as an OpenAPI 3.1 document.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let (mut generator, mut paths) = (settings.into_generator(), Map::new());
    for (subject, operations) in OPERATIONS {
        for operation in *operations {
            let Some(route) = operation.route() else { continue };
            let path = paths.entry(format!("/api/v1/fleet{}", bare(operation.path))).or_insert_with(|| json!({}));
            if let Some(methods) = path.as_object_mut() {
                let described = operation.describe(subject, route.who, &mut generator);
                methods.insert(operation.method.to_lowercase(), described);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rookery admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Fleet's paths, parameters and shapes; what is ours is listed beside them. /api/latest/fleet and \
                            /api/2022-04/fleet are the same as /api/v1/fleet.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Refusal": refusal() },
        },
        "paths": paths,
    })
}

/// The same as Markdown, for docs/API.md.
pub fn markdown() -> String {
    text::markdown(&document())
}

impl Operation {
    fn route(&self) -> Option<&'static Route> {
        let path = |route: &Route| route.path.strip_prefix("{base}") == Some(self.path);
        ROUTES.iter().find(|route| path(route) && route.methods.split(' ').any(|method| method == self.method))
    }

    fn describe(&self, subject: &str, who: Who, generator: &mut SchemaGenerator) -> Value {
        let mut parameters = path_parameters(self.path);
        if let Some(schema) = self.query {
            parameters.extend(query_parameters(&schema(generator).to_value()));
        }
        let mut described = json!({
            "summary": self.does,
            "tags": [subject],
            "operationId": operation_id(self.method, self.path),
            "parameters": parameters,
            "responses": self.responses(),
        });
        let Some(object) = described.as_object_mut() else { return described };
        if let Some(schema) = self.body {
            let content = json!({ "application/json": { "schema": schema(generator).to_value() } });
            object.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
        match who {
            Who::Admin(permission) => object.insert("x-permission".into(), permission.as_str().into()),
            _ => object.insert("security".into(), json!([])),
        };
        described
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        for status in self.answers {
            let content = match self.gives {
                // 204 says nothing, whatever other answers of the route say (RFC 9110, 15.3.5).
                _ if *status == 204 => json!({}),
                "" => json!({}),
                "application/json" | "application/scim+json" => {
                    json!({ self.gives: { "schema": { "type": "object" } } })
                }
                other => json!({ other: { "schema": { "type": "string" } } }),
            };
            responses.insert(status.to_string(), json!({ "description": done(*status), "content": content }));
        }
        for (status, why) in REFUSALS {
            let mut content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } });
            if self.path.starts_with("/scim/") {
                content["application/scim+json"] = json!({ "schema": { "type": "object" } });
            }
            responses.insert(status.to_string(), json!({ "description": why, "content": content }));
        }
        responses.into()
    }
}

/// What a success says.
const fn done(status: u16) -> &'static str {
    match status {
        201 => "It is made",
        202 => "It waits for another admin",
        204 => "It is done, and there is nothing to say",
        _ => "It is done",
    }
}

/// How a refusal looks.
fn refusal() -> Value {
    json!({
        "type": "object",
        "required": ["message", "errors"],
        "properties": {
            "message": { "type": "string" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "name": { "type": "string" }, "reason": { "type": "string" } },
                },
            },
            "uuid": { "type": "string", "format": "uuid" },
        },
    })
}

/// A path without the patterns of its parameters: `/hosts/{id:[0-9]+}` is `/hosts/{id}`.
fn bare(path: &str) -> String {
    let parts = path.split('/').map(|part| match part.split_once(':') {
        Some((name, _)) if part.starts_with('{') => format!("{name}}}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

fn path_parameters(path: &str) -> Vec<Value> {
    let parameter = |part: &str| {
        let inner = part.strip_prefix('{')?.strip_suffix('}')?;
        let (name, schema) = match inner.split_once(':') {
            Some((name, "[0-9]+")) => (name, json!({ "type": "integer", "format": "int64", "minimum": 0 })),
            Some((name, pattern)) => (name, json!({ "type": "string", "pattern": format!("^{pattern}$") })),
            None => (inner, json!({ "type": "string", "minLength": 1 })),
        };
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    };
    path.split('/').filter_map(parameter).collect()
}

/// Each property of what a query is read into.
fn query_parameters(schema: &Value) -> Vec<Value> {
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let described = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "description": described.unwrap_or_default(), "schema": schema })
    };
    properties.iter().map(parameter).collect()
}

/// A name for generated clients: `GET /hosts/{id}/mdm` is `get_hosts_id_mdm`.
fn operation_id(method: &str, path: &str) -> String {
    let words = bare(path).replace(['{', '}'], "");
    let words: Vec<&str> = words.split('/').filter(|word| !word.is_empty()).collect();
    format!("{}_{}", method.to_lowercase(), words.join("_"))
}

/// The permissions as a table's rows, for people.
fn permissions() -> impl Iterator<Item = (&'static str, String)> {
    Permission::ALL.into_iter().map(|permission| {
        let (_, roles, name) = permission.rule();
        (name, roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_table(route: &Route, method: &str) -> bool {
        let mut all = OPERATIONS.iter().flat_map(|(_, operations)| *operations);
        all.any(|operation| route.path.strip_prefix("{base}") == Some(operation.path) && operation.method == method)
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        // What agents, and people who enroll a device, ask under the same base is no API for admins.
        let is_of_others = |route: &Route| matches!(route.who, Who::Agent | Who::Newcomer);
        let is_for_admins = |route: &&Route| route.path.starts_with("{base}") && !is_of_others(route);
        for route in ROUTES.iter().filter(is_for_admins) {
            for method in route.methods.split(' ') {
                assert!(in_table(route, method), "describe {method} {} in openapi/operations.rs", route.path);
            }
        }
        for operation in OPERATIONS.iter().flat_map(|(_, operations)| *operations) {
            assert!(operation.route().is_some(), "there is no route {} {}", operation.method, operation.path);
        }
    }

    #[test]
    fn paths_and_names_are_plain() {
        assert_eq!(bare("/hosts/{id:[0-9]+}/mdm"), "/hosts/{id}/mdm");
        assert_eq!(operation_id("GET", "/hosts/{id:[0-9]+}/mdm"), "get_hosts_id_mdm");
        let ids: Vec<String> = OPERATIONS
            .iter()
            .flat_map(|(_, operations)| *operations)
            .map(|operation| operation_id(operation.method, operation.path))
            .collect();
        let different: std::collections::HashSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }

    #[test]
    fn the_document_for_people_is_up_to_date() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/API.md");
        if std::env::var_os("ROOKERY_TEST_WRITE_API").is_some() {
            std::fs::write(file, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == markdown(),
            "ROOKERY_TEST_WRITE_API=1 cargo test --workspace openapi writes docs/API.md anew"
        );
    }
}
