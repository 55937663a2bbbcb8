//! The set of a host: what is assigned to it, and what the server adds so that it takes effect.
//!
//! A configuration does nothing before an activation names it. One that no assigned activation names gets an activation
//! of its own here. A host that has any declaration is also asked to report what its page shows. All of this follows from
//! what is assigned, in whatever order, so the same assignment always is the same set with the same token.
//!
//! Start with [`HostSet::of`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::subscriptions::{self, SUBSCRIPTIONS};
use super::{DeclarationError, DeclarationItem, DeclarationSet, MAX_NAME_BYTES, digest};
use crate::apple::check_in::DeclarationKind;

/// The type of the activations that name configurations.
pub const SIMPLE_ACTIVATION: &str = "com.apple.activation.simple";

/// A declaration that is assigned to a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Assigned {
    /// Its kind.
    pub kind: DeclarationKind,
    /// Its identifier and server token.
    pub item: DeclarationItem,
    /// The identifiers of the configurations that it names, if it is an activation.
    pub activates: BTreeSet<String>,
}

/// The declarations of a host: the assigned ones, and those that follow from them. The default is the empty set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSet {
    set: DeclarationSet,
    /// The declarations that are made here.
    generated: BTreeMap<(DeclarationKind, String), Generated>,
    /// The activations that name a configuration, by its identifier.
    activations: BTreeMap<String, Vec<DeclarationItem>>,
}

/// A declaration that is made here: its type and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Generated {
    r#type: &'static str,
    server_token: String,
    payload: Value,
}

impl HostSet {
    /// The set of a host of this platform (in the words of [`platform`](crate::apple::platform::platform)) with these
    /// declarations, whose order does not matter. Nothing assigned is the empty set.
    ///
    /// # Errors
    /// See [`DeclarationError`].
    pub fn of(assigned: &[Assigned], platform: &str) -> Result<Self, DeclarationError> {
        let mut host = Self::default();
        if assigned.is_empty() {
            return Ok(host);
        }
        let mut taken: BTreeSet<&str> = assigned.iter().map(|one| one.item.identifier.as_str()).collect();
        for one in assigned.iter().filter(|one| one.kind == DeclarationKind::Activation) {
            for configuration in &one.activates {
                host.activations.entry(configuration.clone()).or_default().push(one.item.clone());
            }
        }
        host.activations.values_mut().for_each(|items| items.sort_unstable());
        let subscriptions = host.subscribe(platform, &taken);
        taken.insert(&subscriptions.identifier);
        let configurations = assigned.iter().filter(|one| one.kind == DeclarationKind::Configuration);
        let configurations: BTreeSet<&DeclarationItem> =
            configurations.map(|one| &one.item).chain([&subscriptions]).collect();
        let idle = configurations.into_iter().filter(|item| !host.activations.contains_key(&item.identifier));
        let idle: Vec<&DeclarationItem> = idle.collect();
        idle.into_iter().for_each(|item| host.activate(item, &taken));
        let generated = host.generated.iter().map(|((kind, identifier), one)| {
            (*kind, DeclarationItem { identifier: identifier.clone(), server_token: one.server_token.clone() })
        });
        host.set = DeclarationSet::new(assigned.iter().map(|one| (one.kind, one.item.clone())).chain(generated))?;
        Ok(host)
    }

    /// The set as its documents name it.
    pub const fn declarations(&self) -> &DeclarationSet {
        &self.set
    }

    /// The declaration of the set with this name.
    pub fn item(&self, kind: DeclarationKind, identifier: &str) -> Option<&DeclarationItem> {
        self.set.of_kind(kind).iter().find(|item| item.identifier == identifier)
    }

    /// The document of a declaration that follows from others; `None` for those that are assigned.
    pub fn generated(&self, kind: DeclarationKind, identifier: &str) -> Option<Vec<u8>> {
        let one = self.generated.get(&(kind, identifier.to_owned()))?;
        let document = json!({
            "Type": one.r#type,
            "Identifier": identifier,
            "ServerToken": one.server_token,
            "Payload": one.payload,
        });
        Some(document.to_string().into_bytes())
    }

    /// The activations that name this configuration, sorted.
    pub fn activations_of(&self, configuration: &str) -> &[DeclarationItem] {
        self.activations.get(configuration).map_or(&[], Vec::as_slice)
    }

    /// Adds the subscription to what a host's page shows.
    fn subscribe(&mut self, platform: &str, taken: &BTreeSet<&str>) -> DeclarationItem {
        let items: Vec<Value> = subscriptions::baseline(platform).map(|name| json!({ "Name": name })).collect();
        let identifier = free_name("org.rookery.status-subscriptions".to_owned(), taken);
        let payload = json!({ "StatusItems": items });
        self.generate((DeclarationKind::Configuration, identifier), SUBSCRIPTIONS, payload, None)
    }

    /// Adds an activation of this configuration alone. Its token follows the configuration's, so that a device that holds
    /// an invalid one judges it again when the configuration changes.
    fn activate(&mut self, configuration: &DeclarationItem, taken: &BTreeSet<&str>) {
        let identifier = free_name(format!("{}.activation", configuration.identifier), taken);
        let payload = json!({ "StandardConfigurations": [configuration.identifier] });
        let follows = Some(configuration.server_token.as_str());
        let item = self.generate((DeclarationKind::Activation, identifier), SIMPLE_ACTIVATION, payload, follows);
        self.activations.entry(configuration.identifier.clone()).or_default().push(item);
    }

    fn generate(
        &mut self,
        name: (DeclarationKind, String),
        r#type: &'static str,
        payload: Value,
        follows: Option<&str>,
    ) -> DeclarationItem {
        let content = payload.to_string();
        let server_token = digest([r#type, &name.1, &content].into_iter().chain(follows));
        let item = DeclarationItem { identifier: name.1.clone(), server_token: server_token.clone() };
        self.generated.insert(name, Generated { r#type, server_token, payload });
        item
    }
}

/// This name, or one derived from it where it is too long or taken.
fn free_name(wish: String, taken: &BTreeSet<&str>) -> String {
    let is_free = |name: &String| name.len() <= MAX_NAME_BYTES && !taken.contains(name.as_str());
    if is_free(&wish) {
        return wish;
    }
    let mut name = wish;
    loop {
        name = format!("org.rookery.{}", &digest([name.as_str()])[..40]);
        if is_free(&name) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests;
