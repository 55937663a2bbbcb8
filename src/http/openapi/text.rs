//! The description for people: a page of HTML without scripts, and Markdown.

use std::fmt::Write;

use serde_json::Value;

use super::permissions;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}code{font-size:.95em}\
                     summary{cursor:pointer;padding:.2rem 0}table{border-collapse:collapse}td,th{text-align:left;padding:.1rem 1rem .1rem 0;\
                     vertical-align:top}details>div{margin:.3rem 0 1rem 1.2rem}.m{display:inline-block;width:4.2rem;font-weight:600}";

/// One operation, as both forms show it.
struct Entry<'d> {
    method: String,
    path: &'d str,
    summary: &'d str,
    permission: &'d str,
    /// Name, where it stands, type, what it says.
    parameters: Vec<(String, &'static str, String, String)>,
}

/// The page.
pub(super) fn page(document: &Value) -> String {
    let mut body = String::new();
    for (subject, entries) in subjects(document) {
        let _ = write!(body, "<h2>{subject}</h2>");
        for entry in entries {
            let Entry { method, path, summary, permission, parameters } = entry;
            let _ = write!(
                body,
                "<details><summary><code><span class=m>{method}</span> {path}</code> {}</summary><div>",
                escaped(summary)
            );
            let _ = write!(
                body,
                "<p>Needs: <code>{}</code></p>",
                if permission.is_empty() { "nothing" } else { permission }
            );
            if !parameters.is_empty() {
                body.push_str("<table><tr><th>Parameter<th>In<th>Type<th>");
                for (name, place, kind, says) in parameters {
                    let _ = write!(
                        body,
                        "<tr><td><code>{name}</code><td>{place}<td>{}<td>{}",
                        escaped(&kind),
                        escaped(&says)
                    );
                }
                body.push_str("</table>");
            }
            body.push_str("</div></details>");
        }
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>Rookery admin \
         API</title><style>{STYLE}</style><h1>Rookery admin API</h1><p>{}</p><p>For programs: <a href=openapi.json>openapi.json</a> \
         (OpenAPI 3.1).</p>{body}</html>",
        escaped(document["info"]["description"].as_str().unwrap_or_default())
    )
}

/// The Markdown.
pub(super) fn markdown(document: &Value) -> String {
    let mut text = String::from(
        "# Admin API\n\nMade from the code: `ROOKERY_TEST_WRITE_API=1 cargo test --workspace openapi` writes it anew. A running server shows it at \
         `/api/docs`, and as OpenAPI 3.1 at\n`/api/openapi.json`. Every request carries `Authorization: Bearer <token>`. Refusals are \
         `{\"message\", \"errors\": [{\"name\", \"reason\"}], \"uuid\"}`.\n",
    );
    if let Some(about) = document["info"]["description"].as_str() {
        let _ = write!(text, "\n{about}\n");
    }
    for (subject, entries) in subjects(document) {
        let _ = write!(text, "\n## {subject}\n\n| | path | does | needs | parameters |\n|---|---|---|---|---|\n");
        for Entry { method, path, summary, permission, parameters } in entries {
            let names: Vec<String> = parameters
                .iter()
                .filter(|(_, place, ..)| *place != "path")
                .map(|(name, ..)| format!("`{name}`"))
                .collect();
            let needs = if permission.is_empty() { "nothing".to_owned() } else { format!("`{permission}`") };
            let _ = writeln!(text, "| {method} | `{path}` | {summary} | {needs} | {} |", names.join(", "));
        }
    }
    text.push_str("\n## Permissions\n\n| permission | roles that have it |\n|---|---|\n");
    for (name, roles) in permissions() {
        let _ = writeln!(text, "| `{name}` | {roles} |");
    }
    text
}

/// The operations by subject, in the order of the table.
fn subjects(document: &Value) -> Vec<(&str, Vec<Entry<'_>>)> {
    let mut subjects: Vec<(&str, Vec<Entry<'_>>)> = Vec::new();
    for (subject, _) in super::OPERATIONS {
        subjects.push((subject, Vec::new()));
    }
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, method, operation) in paths.flat_map(|(path, methods)| {
        methods.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    }) {
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        if let Some((_, entries)) = subjects.iter_mut().find(|(subject, _)| *subject == tag) {
            entries.push(Entry::of(method, path.strip_prefix("/api/v1/fleet").unwrap_or(path), operation));
        }
    }
    subjects
}

impl<'d> Entry<'d> {
    fn of(method: &str, path: &'d str, operation: &'d Value) -> Self {
        let mut parameters = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let place = if parameter["in"] == "path" { "path" } else { "query" };
            let says = parameter["description"].as_str().unwrap_or_default().to_owned();
            parameters.push((text(&parameter["name"]), place, kind(&parameter["schema"]), says));
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
        for (name, schema) in body.as_object().into_iter().flatten() {
            let says = schema["description"].as_str().unwrap_or_default().to_owned();
            parameters.push((name.clone(), "body", kind(schema), says));
        }
        let of = |key: &str| operation[key].as_str().unwrap_or_default();
        Self { method: method.to_uppercase(), path, summary: of("summary"), permission: of("x-permission"), parameters }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A schema's type in a word or two.
fn kind(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().map(text).filter(|kind| kind != "null").collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
