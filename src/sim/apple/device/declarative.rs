//! Declarative management: the device learns that its set of declarations changed, fetches what is new, drops what is
//! gone, and reports its status, as Apple describes it.
//!
//! Start with [`Device::synchronize`].

use std::collections::BTreeMap;

use protocol::apple::check_in::DeclarationKind;
use protocol::apple::command::Command;
use protocol::apple::declarative::{DeclarationItem, DeclarationSet, MAX_NAME_BYTES};
use protocol::apple::plist::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::session::arguments;
use super::{ChannelNo, Destination, Device, DeviceError, Errand};
use crate::sim::log::Fault;
use crate::sim::wire::Reply;

mod effect;
mod status;

/// What a channel holds of its declarations.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    /// The token of the set that it holds.
    token: Option<String>,
    /// The token that a command told of.
    told: Option<String>,
    held: BTreeMap<(DeclarationKind, String), Declaration>,
    /// Whether it has told the server what it can do.
    introduced: bool,
    /// Whether the server has not heard of the last change yet.
    owes_status: bool,
}

/// A declaration (Apple, "DeclarationBase").
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Declaration {
    r#type: String,
    identifier: String,
    server_token: String,
    payload: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tokens {
    sync_tokens: SyncTokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SyncTokens {
    declarations_token: String,
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Items {
    declarations: Lists,
    declarations_token: String,
}

/// All four lists are required, also when they are empty.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Lists {
    activations: Vec<DeclarationItem>,
    assets: Vec<DeclarationItem>,
    configurations: Vec<DeclarationItem>,
    management: Vec<DeclarationItem>,
}

impl Device {
    /// Sends a declarative management request. The reply has the status 200 or 404.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn declarative(
        &mut self,
        channel: ChannelNo,
        endpoint: &str,
        data: Option<Vec<u8>>,
    ) -> Result<Reply, DeviceError> {
        let mut message = self.message("DeclarativeManagement", channel)?;
        message.remove("Topic");
        message.insert("Endpoint".to_owned(), endpoint.into());
        if let Some(data) = data {
            message.insert("Data".to_owned(), Value::Data(data));
        }
        self.tell(Destination::CheckIn, message, &[404]).await
    }

    /// Brings the declarations of a channel up to date, and reports its status when anything changed.
    ///
    /// # Errors
    /// See [`DeviceError`]. A document that a device does not take is a finding.
    pub async fn synchronize(&mut self, channel: ChannelNo) -> Result<(), DeviceError> {
        let told = self.channel_mut(channel)?.declarations.told.take();
        let token = match told {
            Some(token) => token,
            None => self.declarations_token(channel).await?,
        };
        let known = &self.channel(channel)?.declarations;
        if known.token.as_ref() == Some(&token) {
            return if known.owes_status { self.send_status(channel, false).await } else { Ok(()) };
        }
        let items = self.declaration_items(channel).await?;
        if items.declarations_token != token {
            // The set may have changed meanwhile; but then the token has, too.
            let now = self.declarations_token(channel).await?;
            if now != items.declarations_token {
                self.log.find(Fault::Declarative, "tokens and declaration-items have different tokens");
            }
        }
        let set = DeclarationSet::new(items.declarations.all()).map_err(|error| self.doubt(&error.to_string()))?;
        // Until everything is there, it holds a part of two sets.
        self.channel_mut(channel)?.declarations.token = None;
        self.fetch_changed(channel, &set).await?;
        let declarations = &mut self.channel_mut(channel)?.declarations;
        let listed = |kind: DeclarationKind, name: &str| set.of_kind(kind).iter().any(|item| item.identifier == name);
        declarations.held.retain(|(kind, identifier), _| listed(*kind, identifier));
        declarations.token = Some(items.declarations_token);
        declarations.owes_status = true;
        self.send_status(channel, false).await
    }

    /// Reports the status of a channel: everything, or what has to be reported anyway.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn send_status(&mut self, channel: ChannelNo, full: bool) -> Result<(), DeviceError> {
        let document = self.status(channel, full)?;
        let reply = self.declarative(channel, "status", Some(document)).await?;
        if reply.status != 200 {
            self.log.find(Fault::Status, format!("a status report was answered with {}", reply.status));
            return Err(DeviceError::Refused { status: reply.status });
        }
        if !reply.body.is_empty() {
            self.log.find(Fault::Reply, "the reply to a status report is not empty");
        }
        let declarations = &mut self.channel_mut(channel)?.declarations;
        (declarations.introduced, declarations.owes_status) = (true, false);
        Ok(())
    }

    /// The declarations that a channel holds: kind, identifier and server token.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn declarations(&self, channel: ChannelNo) -> Result<Vec<(DeclarationKind, String, String)>, DeviceError> {
        let held = &self.channel(channel)?.declarations.held;
        let row = |((kind, name), one): (&(DeclarationKind, String), &Declaration)| {
            (*kind, name.clone(), one.server_token.clone())
        };
        Ok(held.iter().map(row).collect())
    }

    /// A command told that the declarations changed.
    pub(super) fn told_of_declarations(&mut self, channel: ChannelNo, command: &Command) -> Result<(), DeviceError> {
        let told = match arguments(command).data("Data") {
            Ok(None) => None,
            Ok(Some(data)) => match serde_json::from_slice::<Tokens>(data) {
                Ok(tokens) => Some(tokens.sync_tokens.declarations_token),
                Err(error) => {
                    self.log.find(Fault::Declarative, format!("Data of the command is no tokens document: {error}"));
                    None
                }
            },
            Err(error) => {
                self.log.find(Fault::Declarative, error.to_string());
                None
            }
        };
        self.channel_mut(channel)?.declarations.told = told;
        self.add_errand(Errand::Synchronize(channel));
        Ok(())
    }

    async fn declarations_token(&mut self, channel: ChannelNo) -> Result<String, DeviceError> {
        let reply = self.declarative(channel, "tokens", None).await?;
        let tokens: Tokens = self.document(&reply, "tokens")?;
        if protocol::time::Timestamp::parse_rfc3339(&tokens.sync_tokens.timestamp).is_none() {
            return Err(self.doubt("the Timestamp of the tokens is not one"));
        }
        Ok(tokens.sync_tokens.declarations_token)
    }

    async fn declaration_items(&mut self, channel: ChannelNo) -> Result<Items, DeviceError> {
        let reply = self.declarative(channel, "declaration-items", None).await?;
        self.document(&reply, "declaration-items")
    }

    /// Fetches every declaration that is new or has another server token.
    async fn fetch_changed(&mut self, channel: ChannelNo, set: &DeclarationSet) -> Result<(), DeviceError> {
        for (kind, item) in set.iter() {
            let key = (kind, item.identifier.clone());
            let held = self.channel(channel)?.declarations.held.get(&key);
            if held.is_some_and(|held| held.server_token == item.server_token) {
                continue;
            }
            let endpoint = format!("declaration/{}/{}", kind.as_str(), item.identifier);
            let reply = self.declarative(channel, &endpoint, None).await?;
            if reply.status == 404 {
                // It may have been taken away a moment ago; but then the list says so, too.
                let now = self.declaration_items(channel).await?;
                if now.declarations.all().any(|(_, listed)| listed == *item) {
                    self.log.find(Fault::Declarative, format!("{endpoint} is listed, and answered with 404"));
                }
                continue;
            }
            let declaration: Declaration = self.document(&reply, &endpoint)?;
            let fits = declaration.identifier == item.identifier
                && declaration.server_token.len() <= MAX_NAME_BYTES
                && declaration.r#type.starts_with(&format!("com.apple.{}.", kind.as_str()));
            if !fits {
                return Err(self.doubt(&format!("{endpoint} is answered with another declaration")));
            }
            self.channel_mut(channel)?.declarations.held.insert(key, declaration);
        }
        Ok(())
    }

    fn document<T: DeserializeOwned>(&self, reply: &Reply, what: &str) -> Result<T, DeviceError> {
        if reply.status != 200 {
            return Err(self.doubt(&format!("{what} is answered with {}", reply.status)));
        }
        serde_json::from_slice(&reply.body).map_err(|error| self.doubt(&format!("{what}: {error}")))
    }

    fn doubt(&self, why: &str) -> DeviceError {
        self.log.find(Fault::Declarative, why);
        DeviceError::Unacceptable(why.to_owned())
    }
}

impl Lists {
    fn all(&self) -> impl Iterator<Item = (DeclarationKind, DeclarationItem)> {
        let lists = [&self.activations, &self.assets, &self.configurations, &self.management];
        let of = |(kind, list): (DeclarationKind, &Vec<DeclarationItem>)| {
            list.clone().into_iter().map(move |item| (kind, item))
        };
        DeclarationKind::ALL.into_iter().zip(lists).flat_map(of).collect::<Vec<_>>().into_iter()
    }
}
