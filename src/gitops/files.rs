//! From YAML files and the files that they name to one request. All that is wrong with a file is found before anything is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use protocol::variables::Escape;
use serde_json::{Map, Value, json};

use super::environment::{LookUp, expand};
use super::file_keys::{self, Keys};
use super::profile_files;

/// The largest YAML file, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// What begins the names that the server puts in; in YAML itself secrets are the environment's.
const OF_HOSTS: [&str; 2] = ["FLEET_VAR_", "ROOKERY_VAR_"];
/// Fleet's name for hosts of no team.
const NO_TEAM: &str = "no team";
/// What is set for a team's updates.
const UPDATES: [&str; 4] = ["macos_updates", "ios_updates", "ipados_updates", "windows_updates"];
/// What happens while devices are set up; Fleet has had two names for it.
const SETUP: [&str; 2] = ["macos_setup", "setup_experience"];
/// Where profiles stand under `controls`, and what they are called there; Fleet has had two names for each.
const PROFILES: [(&str, &str); 5] = [
    ("macos_settings", "custom_settings"),
    ("macos_settings", "configuration_profiles"),
    ("apple_settings", "configuration_profiles"),
    ("windows_settings", "custom_settings"),
    ("windows_settings", "configuration_profiles"),
];

/// What the files say.
#[derive(Debug)]
pub(super) struct Collected {
    /// The request, without how it is to be done.
    pub(super) request: Value,
    /// What Rookery does not do: the file, and the key.
    pub(super) unsupported: Vec<(String, String)>,
}

/// What is collected so far.
#[derive(Default)]
struct Collection {
    labels: Option<Vec<Value>>,
    teams: Vec<Value>,
    secrets: BTreeMap<String, String>,
    unsupported: Vec<(String, String)>,
}

/// Reads all files.
///
/// # Errors
/// A file cannot be read, or says what cannot be understood.
pub(super) fn collect(files: &[PathBuf], look_up: LookUp<'_>) -> anyhow::Result<Collected> {
    let mut collection = Collection::default();
    let mut teams = BTreeSet::new();
    for file in files {
        let place = file.display().to_string();
        let team = collection.take_file(file, look_up).with_context(|| place.clone())?;
        let name = team["name"].as_str().map(str::to_lowercase);
        let shown = name.clone().unwrap_or_else(|| "hosts of no team".to_owned());
        ensure!(teams.insert(name), "{place}: another file is about {shown}, too");
        collection.teams.push(team);
    }
    let Collection { labels, teams, secrets, unsupported } = collection;
    let secrets: Vec<Value> =
        secrets.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let request = json!({ "custom_variables": secrets, "labels": labels, "teams": teams });
    Ok(Collected { request, unsupported })
}

impl Collection {
    /// Takes what a file says; returns its team.
    fn take_file(&mut self, file: &Path, look_up: LookUp<'_>) -> anyhow::Result<Value> {
        let mut keys = Keys::of(read_yaml(file, look_up)?)?;
        let mut team = Map::new();
        let organization = keys.take_present("org_settings");
        let settings = [keys.take("team_settings"), keys.take("settings")].into_iter().flatten().next();
        if let Some(name) = keys.take_text("name")? {
            ensure!(organization.is_none(), "org_settings belong to default.yml, which has no name");
            let is_none = name.trim().to_lowercase() == NO_TEAM;
            team.extend((!is_none).then(|| ("name".to_owned(), name.into())));
        } else {
            ensure!(organization.is_some(), "it needs a name (of a team), or org_settings (default.yml)");
        }
        if let Some(description) = keys.take_text("description")? {
            team.insert("description".to_owned(), description.into());
        }
        if let Some(labels) = keys.take_present("labels") {
            let labels = labels_of(labels, file, look_up)?;
            self.labels.get_or_insert_default().extend(labels);
        }
        let mut settings = Keys::of(organization.or(settings).unwrap_or_default())?;
        if let Some(secrets) = settings.take("secrets") {
            team.insert("secrets".to_owned(), secrets);
        }
        let controls = keys.take("controls").unwrap_or_default();
        self.take_controls(Keys::of(controls)?, file, look_up, &mut team)?;
        let place = file.display().to_string();
        let unsupported = settings.into_rest("settings.", None)?.into_iter();
        let unsupported = unsupported.chain(keys.into_rest("", Some(&file_keys::OTHERS))?);
        self.unsupported.extend(unsupported.map(|key| (place.clone(), key)));
        Ok(team.into())
    }

    fn take_controls(
        &mut self,
        mut controls: Keys,
        file: &Path,
        look_up: LookUp<'_>,
        team: &mut Map<String, Value>,
    ) -> anyhow::Result<()> {
        let mut mdm = Map::new();
        for name in UPDATES {
            if let Some(updates) = controls.take(name) {
                let (updates, unsupported) = file_keys::updates(name, updates)?;
                mdm.insert(name.to_owned(), updates);
                self.unsupported.extend(unsupported.into_iter().map(|key| (file.display().to_string(), key)));
            }
        }
        for name in SETUP {
            if let Some(setup) = controls.take(name) {
                ensure!(!mdm.contains_key(SETUP[0]), "controls: {} and {} are the same", SETUP[0], SETUP[1]);
                let (setup, unsupported) = file_keys::setup(name, setup)?;
                mdm.insert(SETUP[0].to_owned(), setup);
                self.unsupported.extend(unsupported.into_iter().map(|key| (file.display().to_string(), key)));
            }
        }
        let mut groups: BTreeMap<&str, Keys> = BTreeMap::new();
        let mut profiles = Vec::new();
        for (group, list) in PROFILES {
            if !groups.contains_key(group) {
                groups.insert(group, Keys::of(controls.take(group).unwrap_or_default())?);
            }
            let entries = groups.get_mut(group).and_then(|keys| keys.take(list)).unwrap_or_else(|| json!([]));
            let Value::Array(entries) = entries else { bail!("controls.{group}.{list} is no list") };
            for (index, entry) in entries.into_iter().enumerate() {
                let place = || format!("controls.{group}.{list}[{index}]");
                let is_windows = group == "windows_settings";
                let entry = profile_files::entry(entry, directory(file), is_windows, look_up).with_context(place)?;
                self.secrets.extend(entry.secrets);
                profiles.push(entry.request);
            }
        }
        let place = file.display().to_string();
        for (group, keys) in groups {
            let rest = keys.into_rest(&format!("controls.{group}."), Some(&file_keys::OTHER_GROUPED))?;
            self.unsupported.extend(rest.into_iter().map(|key| (place.clone(), key)));
        }
        let rest = controls.into_rest("controls.", Some(&file_keys::OTHER_CONTROLS))?;
        self.unsupported.extend(rest.into_iter().map(|key| (place.clone(), key)));
        team.insert("mdm".to_owned(), mdm.into());
        team.insert("profiles".to_owned(), profiles.into());
        Ok(())
    }
}

/// Labels as the request has them: from a list whose entries are labels, or name files with labels.
fn labels_of(list: Value, file: &Path, look_up: LookUp<'_>) -> anyhow::Result<Vec<Value>> {
    let entries = match list {
        Value::Null => Vec::new(),
        Value::Array(entries) => entries,
        _ => bail!("labels is no list"),
    };
    let mut labels = Vec::new();
    for entry in entries {
        match entry["path"].as_str() {
            None => labels.push(file_keys::label(entry)?),
            Some(path) => {
                let file = directory(file).join(path);
                let place = || file.display().to_string();
                let said = read_yaml(&file, look_up).with_context(place)?;
                let said = if said.is_array() { said } else { json!([said]) };
                let nested = said.as_array().into_iter().flatten().any(|label| label.get("path").is_some());
                ensure!(!nested, "{}: a file of labels names no other file", place());
                labels.extend(labels_of(said, &file, look_up).with_context(place)?);
            }
        }
    }
    Ok(labels)
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

fn read_yaml(file: &Path, look_up: LookUp<'_>) -> anyhow::Result<Value> {
    let bytes = read(file, MAX_FILE_BYTES)?;
    let text = str::from_utf8(&bytes).context("it is not UTF-8")?;
    let value: Value = serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("it is no YAML: {error}"))?;
    expanded(value, look_up)
}

/// Reads a file of at most so many bytes.
///
/// # Errors
/// It is larger, or cannot be read.
pub(super) fn read(file: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", file.display());
    let length = std::fs::metadata(file).with_context(cannot)?.len();
    ensure!(length <= most, "{} is larger than {most} bytes", file.display());
    std::fs::read(file).with_context(cannot)
}

/// Environment variables are put in after YAML was read, so that no value can be markup.
fn expanded(value: Value, look_up: LookUp<'_>) -> anyhow::Result<Value> {
    Ok(match value {
        Value::String(text) => expand(&text, look_up, &OF_HOSTS, Escape::None)?.into(),
        Value::Array(list) => list.into_iter().map(|value| expanded(value, look_up)).collect::<anyhow::Result<_>>()?,
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| Ok((key, expanded(value, look_up)?)));
            entries.collect::<anyhow::Result<Map<_, _>>>()?.into()
        }
        other => other,
    })
}

#[cfg(test)]
mod tests;
