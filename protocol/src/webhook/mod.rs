//! Webhooks: what others are told of devices, in which words, signed how, and in which order it goes out.
//!
//! Three forms: NanoMDM's (which is MicroMDM's), key by key, so that what was written for these works with this server;
//! Fleet's, which tells of activities alone; and a small envelope of our own, which can tell of everything. Never here: who is told (actors and rows know), sockets.
//!
//! Start with [`Event`]; [`lines`] holds the rules of delivery, [`signature`] what proves that an event is ours.

pub mod activity;
mod form;
pub mod lines;
pub mod signature;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::apple::channel::{Channel, ChannelKind};

pub use form::{Form, Stamp, test_document};

/// What an event is about. The names are NanoMDM's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// A device begins to enroll, or has renewed its identity.
    #[serde(rename = "mdm.Authenticate")]
    Authenticate,
    /// A channel can be pushed to.
    #[serde(rename = "mdm.TokenUpdate")]
    TokenUpdate,
    /// A channel leaves.
    #[serde(rename = "mdm.CheckOut")]
    CheckOut,
    /// A user of a Mac logs in.
    #[serde(rename = "mdm.UserAuthenticate")]
    UserAuthenticate,
    /// A device entrusts its bootstrap token to us.
    #[serde(rename = "mdm.SetBootstrapToken")]
    SetBootstrapToken,
    /// A device asks for its bootstrap token.
    #[serde(rename = "mdm.GetBootstrapToken")]
    GetBootstrapToken,
    /// A device asks for a token of a service.
    #[serde(rename = "mdm.GetToken")]
    GetToken,
    /// A declarative management request.
    #[serde(rename = "mdm.DeclarativeManagement")]
    DeclarativeManagement,
    /// A device reports on a command, or asks for one.
    #[serde(rename = "mdm.Connect")]
    Connect,
    /// A command has ended, by its device's word or by ours. Only our own form tells it.
    #[serde(rename = "command.ended")]
    CommandEnded,
    /// Somebody did something, as the activity log has it. Our own form tells it, and Fleet's tells nothing else.
    #[serde(rename = "activity.created")]
    Activity,
}

/// Which events a webhook wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u32);

/// The bit of [`Interest`] for requests that only ask for a command.
const IDLE: u32 = 1 << 31;

/// Something that happened, as it is kept until everyone was told: everything but what its rows say.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    pub topic: Topic,
    /// Which channel.
    pub channel: Names,
    /// The status of a report, or how a command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_uuid: Option<String>,
    /// The query of the address that the device used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub url_params: BTreeMap<String, String>,
    /// The device's message as it came, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_payload: Option<String>,
}

/// A channel by all its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// NanoMDM's name of it.
    pub id: String,
    /// NanoMDM's name of its kind.
    pub kind: String,
    /// The device channel's name.
    pub device_id: String,
    /// Whether the device's name is an `EnrollmentID`, which hides the UDID.
    pub is_hidden: bool,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 11] = [
        Self::Authenticate,
        Self::TokenUpdate,
        Self::CheckOut,
        Self::UserAuthenticate,
        Self::SetBootstrapToken,
        Self::GetBootstrapToken,
        Self::GetToken,
        Self::DeclarativeManagement,
        Self::Connect,
        Self::CommandEnded,
        Self::Activity,
    ];

    /// The topic's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "mdm.Authenticate",
            Self::TokenUpdate => "mdm.TokenUpdate",
            Self::CheckOut => "mdm.CheckOut",
            Self::UserAuthenticate => "mdm.UserAuthenticate",
            Self::SetBootstrapToken => "mdm.SetBootstrapToken",
            Self::GetBootstrapToken => "mdm.GetBootstrapToken",
            Self::GetToken => "mdm.GetToken",
            Self::DeclarativeManagement => "mdm.DeclarativeManagement",
            Self::Connect => "mdm.Connect",
            Self::CommandEnded => "command.ended",
            Self::Activity => "activity.created",
        }
    }

    /// Reads a topic's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Interest {
    /// What a webhook of this form wants: these topics, or, where none is named, all that its form can tell.
    pub fn of(form: Form, topics: &[Topic], idle: bool) -> Self {
        let told: Vec<Topic> = match topics {
            [] => Topic::ALL.into_iter().filter(|topic| form.tells_unasked(*topic)).collect(),
            named => named.iter().copied().filter(|topic| form.tells(*topic)).collect(),
        };
        let bits = told.iter().fold(0, |bits, topic| bits | topic.bit());
        Self(if idle && bits & Topic::Connect.bit() != 0 { bits | IDLE } else { bits })
    }

    /// Everything that this or that one wants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether an event is wanted; `idle` for a request that only asks for a command.
    pub const fn wants(self, topic: Topic, idle: bool) -> bool {
        self.0 & if idle { IDLE } else { topic.bit() } != 0
    }

    /// The interest as a number that one atomic can hold.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The interest that a number stands for.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl Event {
    /// An event of a channel that tells nothing more yet.
    pub fn new(topic: Topic, channel: &Channel) -> Self {
        Self {
            topic,
            channel: Names::of(channel),
            status: None,
            command_uuid: None,
            url_params: BTreeMap::new(),
            raw_payload: None,
        }
    }

    /// The same with the message as it came.
    #[must_use]
    pub fn with_payload(self, raw: &[u8]) -> Self {
        Self { raw_payload: Some(STANDARD.encode(raw)), ..self }
    }

    /// The event as it is kept.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an event that was kept; `None` when it is none.
    pub fn decode(kept: &[u8]) -> Option<Self> {
        serde_json::from_slice(kept).ok()
    }
}

impl Names {
    fn of(channel: &Channel) -> Self {
        Self {
            id: channel.id.as_str().to_owned(),
            kind: channel.kind.as_str().to_owned(),
            device_id: channel.device_id.as_str().to_owned(),
            is_hidden: channel.kind.of_device() == ChannelKind::UserEnrollmentDevice,
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {}", self.topic.as_str(), self.channel.id)
    }
}
