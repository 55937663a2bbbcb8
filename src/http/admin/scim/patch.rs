//! Changes, as SCIM writes them (RFC 7644, 3.5.2): operations on what is kept. Providers differ in how they write the same: with a path or
//! without, with dots or without, and in which case.

use entities::scim_group::Wish;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::groups::Member;
use super::{ENTERPRISE, kept};
use crate::http::error::ScimError;

/// Operations of one request at most.
const MOST: usize = 1000;

/// A request to change something.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct Patch {
    #[serde(rename = "Operations", alias = "operations")]
    operations: Vec<Operation>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Operation {
    op: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    value: Value,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Put,
    Add,
    Remove,
}

impl Patch {
    /// What is done to which path, one attribute each; a path is in lower case.
    fn steps(self) -> Result<Vec<(Verb, String, Value)>, ScimError> {
        if self.operations.len() > MOST {
            return Err(ScimError::invalid("tooMany", format!("at most {MOST} operations at once")));
        }
        let mut steps = Vec::new();
        for Operation { op, path, value } in self.operations {
            let verb = match op.to_ascii_lowercase().as_str() {
                "replace" => Verb::Put,
                "add" => Verb::Add,
                "remove" => Verb::Remove,
                _ => return Err(ScimError::invalid("invalidSyntax", "op is add, remove or replace")),
            };
            match (path.filter(|path| !path.is_empty()), value) {
                (Some(path), value) => steps.push((verb, path, value)),
                (None, Value::Object(attributes)) if verb != Verb::Remove => {
                    steps.extend(attributes.into_iter().map(|(name, value)| (verb, name, value)));
                }
                (None, _) => {
                    return Err(ScimError::invalid("noTarget", "an operation has neither a path nor attributes"));
                }
            }
        }
        Ok(steps)
    }
}

/// A person after these changes. What is not kept is passed over.
pub(super) fn patched(mut document: Value, patch: Patch) -> Result<Value, ScimError> {
    for (verb, path, value) in patch.steps()? {
        let value = if verb == Verb::Remove { Value::Null } else { value };
        let department = format!("{}:department", ENTERPRISE.to_ascii_lowercase());
        match path.to_ascii_lowercase().as_str() {
            "active" => document["active"] = value,
            "username" => document["userName"] = value,
            "externalid" => document["externalId"] = value,
            "displayname" => document["displayName"] = value,
            "name.givenname" => document["name"]["givenName"] = value,
            "name.familyname" => document["name"]["familyName"] = value,
            "name" => merge(&mut document["name"], value),
            "emails" => document["emails"] = if value.is_null() { json!([]) } else { value },
            path if path == department => document[ENTERPRISE]["department"] = value,
            path if path.eq_ignore_ascii_case(ENTERPRISE) => merge(&mut document[ENTERPRISE], value),
            path if path.starts_with("emails[") && path.ends_with("].value") => put_email(&mut document, path, value),
            _ => {}
        }
    }
    Ok(document)
}

/// Puts attributes into a complex one; nothing takes all of them away.
fn merge(into: &mut Value, value: Value) {
    match (into.as_object_mut(), value) {
        (Some(known), Value::Object(said)) => known.extend(said),
        (Some(known), Value::Null) => known.clear(),
        _ => {}
    }
}

/// The address of one kind: `emails[type eq "work"].value`.
fn put_email(document: &mut Value, path: &str, value: Value) {
    let kind = path.split('"').nth(1).unwrap_or_default().to_owned();
    let Some(emails) = document["emails"].as_array_mut() else { return };
    let known =
        emails.iter().position(|email| email["type"].as_str().is_some_and(|one| one.eq_ignore_ascii_case(&kind)));
    match (known, value.is_null()) {
        (Some(index), true) => drop(emails.remove(index)),
        (Some(index), false) => emails[index]["value"] = value,
        (None, true) => {}
        (None, false) => emails.push(json!({ "value": value, "type": kind, "primary": emails.is_empty() })),
    }
}

/// What a group is to be after these changes.
pub(super) fn group_wish(patch: Patch) -> Result<Wish, ScimError> {
    let mut wish = Wish::default();
    for (verb, path, value) in patch.steps()? {
        let lower = path.to_ascii_lowercase();
        match (verb, lower.as_str()) {
            (Verb::Put | Verb::Add, "displayname") => wish.display_name = Some(text(value)?),
            (Verb::Put | Verb::Add, "externalid") => wish.external_id = Some(text(value)?),
            (Verb::Put, "members") => {
                wish.members = Some(members(value)?);
                (wish.join, wish.leave) = (Vec::new(), Vec::new());
            }
            (Verb::Add, "members") => join(&mut wish, members(value)?),
            (Verb::Remove, "members") if value.is_null() => {
                wish.members = Some(Vec::new());
                (wish.join, wish.leave) = (Vec::new(), Vec::new());
            }
            (Verb::Remove, "members") => leave(&mut wish, members(value)?),
            (Verb::Remove, lower) if lower.starts_with("members[value eq ") => {
                let id = path.split('"').nth(1).unwrap_or_default().to_owned();
                leave(&mut wish, vec![id]);
            }
            _ => {}
        }
    }
    Ok(wish)
}

/// The last word counts.
fn join(wish: &mut Wish, members: Vec<String>) {
    wish.leave.retain(|one| !members.contains(one));
    wish.join.extend(members);
}

fn leave(wish: &mut Wish, members: Vec<String>) {
    wish.join.retain(|one| !members.contains(one));
    wish.leave.extend(members);
}

/// Members as a list, or one alone.
fn members(value: Value) -> Result<Vec<String>, ScimError> {
    let list = if value.is_array() { value } else { json!([value]) };
    let members: Vec<Member> =
        serde_json::from_value(list).map_err(|error| ScimError::invalid("invalidValue", error.to_string()))?;
    Ok(members.into_iter().map(|member| member.value).collect())
}

fn text(value: Value) -> Result<String, ScimError> {
    let text = value.as_str().map(str::to_owned).filter(|text| !text.trim().is_empty());
    kept(Some(text.ok_or_else(|| ScimError::invalid("invalidValue", "a text is needed"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(operations: Value) -> Patch {
        serde_json::from_value(json!({ "Operations": operations })).unwrap()
    }

    #[test]
    fn providers_write_the_same_change_in_several_ways() {
        let person =
            || json!({ "userName": "ada", "active": true, "name": { "givenName": "A" }, "emails": [], ENTERPRISE: {} });
        let after = |operations: Value| patched(person(), patch(operations)).unwrap();
        for operations in [
            json!([{ "op": "Replace", "path": "active", "value": "False" }]),
            json!([{ "op": "replace", "value": { "active": "False" } }]),
        ] {
            assert_eq!(after(operations)["active"], "False");
        }
        for operations in [
            json!([{ "op": "add", "path": "name.familyName", "value": "L" }]),
            json!([{ "op": "add", "value": { "name.familyName": "L" } }]),
            json!([{ "op": "replace", "path": "name", "value": { "familyName": "L" } }]),
        ] {
            assert_eq!(after(operations)["name"], json!({ "givenName": "A", "familyName": "L" }));
        }
        let department = format!("{ENTERPRISE}:department");
        let set = after(json!([{ "op": "add", "path": department, "value": "R&D" }]));
        assert_eq!(set[ENTERPRISE]["department"], "R&D");
        let mail = json!([{ "op": "add", "path": "emails[type eq \"work\"].value", "value": "a@x" }]);
        assert_eq!(after(mail)["emails"], json!([{ "value": "a@x", "type": "work", "primary": true }]));
        assert_eq!(after(json!([{ "op": "add", "path": "title", "value": "Dr" }])), person(), "not kept");
        assert!(patched(person(), patch(json!([{ "op": "move", "path": "active" }]))).is_err());
        assert!(patched(person(), patch(json!([{ "op": "remove" }]))).is_err());
    }

    #[test]
    fn the_last_word_on_a_member_counts() {
        let wish = group_wish(patch(json!([
            { "op": "add", "path": "members", "value": [{ "value": "a" }, { "value": "b" }] },
            { "op": "remove", "path": "members[value eq \"a\"]" },
            { "op": "remove", "path": "members", "value": [{ "value": "c" }] },
            { "op": "add", "path": "members", "value": { "value": "c" } },
            { "op": "replace", "value": { "displayName": "Staff", "id": "x" } },
        ])))
        .unwrap();
        assert_eq!((wish.join, wish.leave), (vec!["b".to_owned(), "c".into()], vec!["a".to_owned()]));
        assert_eq!((wish.members, wish.display_name.as_deref()), (None, Some("Staff")));
        let none = group_wish(patch(json!([{ "op": "remove", "path": "members" }]))).unwrap();
        assert_eq!(none.members, Some(Vec::new()));
        assert!(group_wish(patch(json!([{ "op": "replace", "path": "displayName", "value": 3 }]))).is_err());
    }
}
