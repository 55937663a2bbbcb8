//! The files of profiles: read, checked as far as a client can, and made entries of the request.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::upload::{MAX_UPLOAD_BYTES, UploadKind, sniff};
use protocol::variables::{Escape, Variable, find};
use serde_json::{Map, Value};

use super::environment::{LookUp, expand};
use super::file_keys::Keys;
use super::files::read;

/// What begins the names that the server puts in.
const OF_SERVER: [&str; 4] = ["FLEET_VAR_", "ROOKERY_VAR_", "FLEET_SECRET_", "ROOKERY_SECRET_"];
/// What an entry says besides its path, as the request has it.
const WAYS: [&str; 6] = [
    "labels",
    "labels_include_all",
    "labels_include_any",
    "labels_exclude_any",
    "rollout_percent",
    "rollout_max_failures",
];

/// One profile.
pub(super) struct Entry {
    pub(super) request: Value,
    /// The secrets that it names and the environment has.
    pub(super) secrets: BTreeMap<String, String>,
}

/// Reads the file that an entry names, relative to the directory of the YAML file.
///
/// # Errors
/// It cannot be read, is nothing for these devices, or names a variable that is not set.
pub(super) fn entry(value: Value, directory: &Path, is_windows: bool, look_up: LookUp<'_>) -> anyhow::Result<Entry> {
    let mut keys = Keys::of(value)?;
    let path = keys.take_text("path")?.context("it has no path")?;
    let file = directory.join(&path);
    let bytes = read(&file, MAX_UPLOAD_BYTES as u64)?;
    let kind = sniff(&bytes, file.file_name().and_then(|name| name.to_str()));
    let fits = matches!(
        (kind, is_windows),
        (Some(UploadKind::WindowsProfile), true)
            | (Some(UploadKind::AppleProfile | UploadKind::AppleDeclaration), false)
    );
    let wanted = if is_windows { ".xml" } else { ".mobileconfig or .json" };
    ensure!(fits, "{path} is not a {wanted} file, as these devices need");
    let escape = match kind {
        Some(UploadKind::AppleDeclaration) => Escape::Json,
        Some(UploadKind::AppleProfile) => Escape::Xml,
        _ => Escape::Markup,
    };
    let mut secrets = BTreeMap::new();
    let contents = match str::from_utf8(&bytes) {
        // A signed or binary profile is as it is.
        Err(_) => bytes,
        Ok(text) => {
            let text = expand(text, look_up, &OF_SERVER, escape).with_context(|| path.clone())?;
            secrets = secrets_of(&text, look_up).with_context(|| path.clone())?;
            text.into_bytes()
        }
    };
    let mut request = Map::new();
    if kind != Some(UploadKind::AppleProfile) {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        request.insert("name".to_owned(), stem.into());
    }
    request.insert("contents".to_owned(), STANDARD.encode(contents).into());
    for way in WAYS {
        request.extend(keys.take(way).map(|said| (way.to_owned(), said)));
    }
    keys.into_rest("", Some(&[]))?;
    Ok(Entry { request: request.into(), secrets })
}

/// The secrets that a text names, with their values in the environment; those that it does not have the server may.
fn secrets_of(text: &str, look_up: LookUp<'_>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut secrets = BTreeMap::new();
    for found in find(text)? {
        let Variable::Secret(name) = found.variable else { continue };
        let values = ["FLEET_SECRET_", "ROOKERY_SECRET_"].into_iter();
        let value = values.filter_map(|prefix| look_up(&format!("{prefix}{name}"))).next();
        secrets.extend(value.map(|value| (name, value)));
    }
    Ok(secrets)
}
