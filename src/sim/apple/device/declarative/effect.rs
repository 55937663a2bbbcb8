//! What declarations do on a device: which are valid, which are in effect, and why others are not.
//!
//! A device knows a few types of configurations and looks closely at those; it judges predicates of one comparison. The
//! codes of the reasons are Apple's.

use std::collections::{BTreeMap, BTreeSet};

use protocol::apple::check_in::DeclarationKind;
use serde_json::{Map, Value as Json, json};

use super::{Declaration, Declarations};

pub(super) const SUBSCRIPTIONS: &str = "com.apple.configuration.management.status-subscriptions";

/// The types of configurations that these devices know.
pub(super) const CONFIGURATIONS: &[&str] = &[
    SUBSCRIPTIONS,
    "com.apple.configuration.account.mail",
    "com.apple.configuration.legacy",
    "com.apple.configuration.passcode.settings",
    "com.apple.configuration.softwareupdate.enforcement.specific",
    "com.apple.configuration.softwareupdate.settings",
];

/// The types of assets that these devices know.
pub(super) const ASSETS: &[&str] =
    &["com.apple.asset.credential.userpassword", "com.apple.asset.data", "com.apple.asset.useridentity"];

/// What a passcode's settings may say (Apple, "PasscodeSettings").
const PASSCODE_KEYS: &[&str] = &[
    "RequirePasscode",
    "RequireAlphanumericPasscode",
    "RequireComplexPasscode",
    "MinimumLength",
    "MinimumComplexCharacters",
    "MaximumFailedAttempts",
    "FailedAttemptsResetInMinutes",
    "MaximumGracePeriodInMinutes",
    "MaximumInactivityInMinutes",
    "MaximumPasscodeAgeInDays",
    "PasscodeReuseLimit",
    "ChangeAtNextAuth",
    "CustomRegex",
];

/// How one declaration is doing.
pub(super) struct Effect {
    pub(super) active: bool,
    pub(super) validity: &'static str,
    pub(super) reason: Option<Json>,
}

/// How all of them are doing. `status` tells the value of a status item, for predicates.
pub(super) fn effects<'a>(
    declarations: &'a Declarations,
    status: &dyn Fn(&str) -> Option<Json>,
) -> BTreeMap<&'a (DeclarationKind, String), Effect> {
    let activated = activated(declarations, status);
    let used: BTreeSet<String> = of_kind(declarations, DeclarationKind::Configuration)
        .filter(|one| activated.contains(&one.identifier))
        .flat_map(|one| references(&Json::Object(one.payload.clone())))
        .collect();
    let effect = |(kind, identifier): &(DeclarationKind, String), one: &Declaration| match kind {
        DeclarationKind::Activation => activation(declarations, one, status),
        DeclarationKind::Asset if !used.contains(identifier) => {
            Effect::idle("unknown", "Info.NotReferencedByConfiguration")
        }
        DeclarationKind::Asset if !ASSETS.contains(&one.r#type.as_str()) => {
            Effect::invalid("Error.InvalidPayload", json!({}))
        }
        DeclarationKind::Asset => Effect::active(),
        DeclarationKind::Configuration => configuration(declarations, one, activated.contains(identifier)),
        // Apple: management declarations are never active.
        DeclarationKind::Management => Effect { active: false, ..Effect::active() },
    };
    declarations.held.iter().map(|(key, one)| (key, effect(key, one))).collect()
}

/// The configurations that an activation puts into effect, valid or not.
pub(super) fn activated(declarations: &Declarations, status: &dyn Fn(&str) -> Option<Json>) -> BTreeSet<String> {
    let activations = of_kind(declarations, DeclarationKind::Activation);
    let apply = activations.filter(|one| matches!(predicate(one, status), Some(true)));
    apply.flat_map(configurations_of).collect()
}

impl Effect {
    fn active() -> Self {
        Self { active: true, validity: "valid", reason: None }
    }

    fn idle(validity: &'static str, code: &str) -> Self {
        Self { active: false, validity, reason: Some(json!({"code": code, "description": "It is not in effect."})) }
    }

    fn invalid(code: &str, details: Json) -> Self {
        let description = "It cannot be used on this device.";
        let reason = json!({"code": code, "description": description, "details": details});
        Self { active: false, validity: "invalid", reason: Some(reason) }
    }
}

fn activation(declarations: &Declarations, one: &Declaration, status: &dyn Fn(&str) -> Option<Json>) -> Effect {
    let has = |name: &String| declarations.held.contains_key(&(DeclarationKind::Configuration, name.clone()));
    let missing: Vec<String> = configurations_of(one).filter(|name| !has(name)).collect();
    match predicate(one, status) {
        _ if !missing.is_empty() => {
            Effect::invalid("Error.MissingConfigurations", json!({"ConfigurationIdentifiers": missing}))
        }
        None => Effect::invalid("Error.UnableToParsePredicate", json!({"Predicate": one.payload.get("Predicate")})),
        Some(false) => Effect::idle("valid", "Info.Predicate"),
        Some(true) => Effect::active(),
    }
}

fn configuration(declarations: &Declarations, one: &Declaration, is_activated: bool) -> Effect {
    let is_held = |name: &String| declarations.held.contains_key(&(DeclarationKind::Asset, name.clone()));
    let missing: Vec<String> =
        references(&Json::Object(one.payload.clone())).into_iter().filter(|name| !is_held(name)).collect();
    if !CONFIGURATIONS.contains(&one.r#type.as_str()) {
        return Effect::invalid("Error.ConfigurationNotSupported", json!({}));
    }
    if !missing.is_empty() {
        return Effect::invalid("Error.MissingAssets", json!({"AssetIdentifiers": missing}));
    }
    match one.r#type.as_str() {
        "com.apple.configuration.passcode.settings" => passcode(&one.payload),
        "com.apple.configuration.softwareupdate.enforcement.specific" => update(&one.payload),
        _ => None,
    }
    .unwrap_or_else(|| {
        if is_activated { Effect::active() } else { Effect::idle("valid", "Info.NotReferencedByActivation") }
    })
}

/// What is wrong with a passcode's settings.
fn passcode(payload: &Map<String, Json>) -> Option<Effect> {
    let unknown: Vec<&String> = payload.keys().filter(|key| !PASSCODE_KEYS.contains(&key.as_str())).collect();
    if !unknown.is_empty() {
        return Some(Effect::invalid("Error.UnknownPayloadKeys", json!({"UnknownPayloadKeys": unknown})));
    }
    let length = payload.get("MinimumLength")?;
    let fits = length.as_u64().is_some_and(|length| length <= 16);
    (!fits).then(|| Effect::invalid("Error.ConfigurationIsInvalid", json!({"Error": "MinimumLength is 0 to 16."})))
}

/// What is wrong with an enforced update.
fn update(payload: &Map<String, Json>) -> Option<Effect> {
    let text = |key: &str| payload.get(key).and_then(Json::as_str).unwrap_or_default();
    let version = text("TargetOSVersion");
    let is_version = !version.is_empty() && version.split('.').all(|part| part.parse::<u16>().is_ok());
    let at = text("TargetLocalDateTime");
    let is_local = at.len() == 19 && protocol::time::Timestamp::parse_rfc3339(&format!("{at}Z")).is_some();
    (!is_version || !is_local).then(|| Effect::invalid("Error.ConfigurationIsInvalid", json!({"Error": "no update"})))
}

/// Whether an activation applies; `None` when its predicate cannot be read.
fn predicate(activation: &Declaration, status: &dyn Fn(&str) -> Option<Json>) -> Option<bool> {
    let Some(text) = activation.payload.get("Predicate").and_then(Json::as_str) else { return Some(true) };
    let text = text.trim();
    let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    match text {
        "TRUEPREDICATE" => return Some(true),
        "FALSEPREDICATE" => return Some(false),
        _ => {}
    }
    let (item, rest) = text.strip_prefix("@status(")?.split_once(')')?;
    let (operator, value) = rest.trim_start().split_at_checked(2)?;
    let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let equal = status(item).is_some_and(|known| known.as_str() == Some(value));
    match operator {
        "==" => Some(equal),
        "!=" => Some(!equal),
        _ => None,
    }
}

/// The assets that a payload refers to, wherever in it.
fn references(value: &Json) -> Vec<String> {
    match value {
        Json::Object(entries) => entries
            .iter()
            .flat_map(|(key, value)| match value {
                Json::String(name) if key.ends_with("AssetReference") => vec![name.clone()],
                value => references(value),
            })
            .collect(),
        Json::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn configurations_of(activation: &Declaration) -> impl Iterator<Item = String> + '_ {
    let list = activation.payload.get("StandardConfigurations").and_then(Json::as_array);
    list.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned)
}

fn of_kind(declarations: &Declarations, kind: DeclarationKind) -> impl Iterator<Item = &Declaration> {
    declarations.held.iter().filter(move |((held, _), _)| *held == kind).map(|(_, one)| one)
}
