//! Which hosts of a team a profile is for: the labels that requests name, and how they are shown.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use entities::profile_label::{EXCLUDE_ANY, INCLUDE_ALL, INCLUDE_ANY, Model, Named};
use serde_json::{Map, Value, json};

use crate::http::error::ApiError;

/// Labels of one profile at most.
const MAX_LABELS: usize = 100;

/// The ways to name labels, with Fleet's names for them.
pub(super) const MODES: [(&str, i16); 4] = [
    ("labels_include_all", INCLUDE_ALL),
    ("labels_include_any", INCLUDE_ANY),
    ("labels_exclude_any", EXCLUDE_ANY),
    // Fleet's first name for the first of them.
    ("labels", INCLUDE_ALL),
];

/// The labels that a request names, each with its mode.
///
/// # Errors
/// 400: modes that exclude each other; 422: too many, or one without a name.
pub(super) fn checked(named: impl IntoIterator<Item = (i16, String)>) -> Result<Vec<Named>, ApiError> {
    let named = named.into_iter().map(|(mode, name)| Named { name: name.trim().to_owned(), mode });
    let mut seen = BTreeSet::new();
    let labels: Vec<Named> = named.filter(|label| seen.insert((label.name.to_lowercase(), label.mode))).collect();
    if labels.len() > MAX_LABELS || labels.iter().any(|label| label.name.is_empty()) {
        return Err(ApiError::invalid("labels", format!("name at most {MAX_LABELS} labels, each with its name")));
    }
    let has = |mode| labels.iter().any(|label| label.mode == mode);
    if has(INCLUDE_ALL) && has(INCLUDE_ANY) {
        let reason = "use labels_include_all or labels_include_any, not both";
        return Err(ApiError::because(StatusCode::BAD_REQUEST, "labels", reason));
    }
    let both = labels.iter().find(|label| {
        let is_same = |other: &&Named| other.name.eq_ignore_ascii_case(&label.name) && other.mode != label.mode;
        labels.iter().any(|other| is_same(&other))
    });
    match both {
        Some(label) => Err(ApiError::invalid("labels", format!("{:?} is both included and excluded", label.name))),
        None => Ok(labels),
    }
}

/// Shows the labels of a profile; a mode without labels is left out.
pub(super) fn show(labels: &[Model]) -> Map<String, Value> {
    let mut shown = Map::new();
    for (key, mode) in &MODES[..3] {
        let of_mode: Vec<Value> = labels
            .iter()
            .filter(|label| label.mode == *mode)
            .map(|label| match label.label_id {
                Some(id) => json!({ "name": label.label_name, "id": id }),
                None => json!({ "name": label.label_name, "broken": true }),
            })
            .collect();
        if !of_mode.is_empty() {
            shown.insert((*key).to_owned(), of_mode.into());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_is_named_once_and_modes_have_to_fit() {
        let named = |some: &[(i16, &str)]| checked(some.iter().map(|(mode, name)| (*mode, (*name).to_owned())));
        assert_eq!(named(&[(INCLUDE_ALL, "a"), (INCLUDE_ALL, " A "), (EXCLUDE_ANY, "b")]).unwrap().len(), 2);
        assert_eq!(named(&[]).unwrap(), []);
        assert!(named(&[(INCLUDE_ALL, "a"), (INCLUDE_ANY, "b")]).is_err());
        assert!(named(&[(INCLUDE_ALL, "a"), (EXCLUDE_ANY, "A")]).is_err());
        assert!(named(&[(INCLUDE_ALL, " ")]).is_err());
        let many: Vec<(i16, String)> = (0..=MAX_LABELS).map(|number| (INCLUDE_ANY, number.to_string())).collect();
        assert!(checked(many).is_err());
    }
}
