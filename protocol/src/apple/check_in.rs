//! Check-in messages: what a device says about itself, as opposed to what it answers to commands.
//!
//! Keys and their meaning: Apple, "Check-in" (the pages of the single messages). Optional means "some platform omits it";
//! unknown entries are ignored. Never here: what follows from a message. Replies with content are in [`reply`].
//!
//! Start with [`CheckIn`]; bytes become one in [`Message::parse`](super::message::Message::parse).

use super::channel::Channel;
use super::fields::{FieldError, Fields};
use super::message::MessageError;
use super::plist::Dictionary;
use super::secret::Secret;

pub mod reply;

/// The longest push token that is accepted, in bytes. Apple's are 32 and "may grow".
pub const MAX_TOKEN_BYTES: usize = 1024;

/// A check-in message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckIn {
    /// Who sent it.
    pub channel: Channel,
    /// What it says.
    pub kind: CheckInKind,
}

/// What a check-in message says; the variants are its `MessageType`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckInKind {
    /// A device begins to enroll, or has renewed its identity.
    Authenticate(Box<Authenticate>),
    /// A channel can be pushed to from now on. The first one completes the enrollment.
    TokenUpdate(Box<TokenUpdate>),
    /// A channel leaves. Sent once, without retries.
    CheckOut {
        /// The push topic.
        topic: String,
    },
    /// A user of a Mac logs in. The second message of the exchange carries the answer to the digest challenge.
    UserAuthenticate {
        /// The answer to the challenge; absent in the first message.
        digest_response: Option<Secret<String>>,
    },
    /// A device escrows its bootstrap token, or, with `None`, removes it.
    SetBootstrapToken(Option<Secret<Vec<u8>>>),
    /// A device asks for its escrowed bootstrap token.
    GetBootstrapToken {
        /// The device waits in Setup Assistant.
        awaiting_configuration: bool,
    },
    /// A device asks for a token of a service.
    GetToken(GetToken),
    /// A declarative management request.
    DeclarativeManagement(Endpoint),
    /// A device asks how to return to service.
    ReturnToService,
}

/// The facts of an `Authenticate` message. Personal devices send none that identify them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticate {
    /// The push topic.
    pub topic: String,
    /// The name a user gave the device.
    pub device_name: Option<String>,
    /// The model as the operating system names it, for example `Mac15,3`.
    pub model: Option<String>,
    /// The model as people name it, for example `MacBook Pro`.
    pub model_name: Option<String>,
    /// The hardware identifier, for example `iPhone15,2`.
    pub product_name: Option<String>,
    /// The serial number.
    pub serial_number: Option<String>,
    /// The operating system's version, for example `18.1`.
    pub os_version: Option<String>,
    /// The operating system's build, for example `22B83`.
    pub build_version: Option<String>,
    /// The mobile equipment identity.
    pub imei: Option<String>,
    /// The mobile equipment identifier of CDMA devices.
    pub meid: Option<String>,
    /// The challenge of the enrollment profile, sent by old systems only.
    pub challenge: Option<Secret<String>>,
}

/// The facts of a `TokenUpdate` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUpdate {
    /// The push topic.
    pub topic: String,
    /// The push token, 1 to [`MAX_TOKEN_BYTES`] bytes.
    pub token: Secret<Vec<u8>>,
    /// The text that a push has to carry, or the device ignores it.
    pub push_magic: Secret<String>,
    /// What clears the passcode. Absent means "unchanged", never "gone".
    pub unlock_token: Option<Secret<Vec<u8>>>,
    /// The sender waits in Setup Assistant for `DeviceConfigured` or, on a user channel, `UserConfigured`.
    pub awaiting_configuration: bool,
    /// The user of this channel is not at the Mac's screen.
    pub not_on_console: bool,
}

/// The facts of a `GetToken` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetToken {
    /// The service.
    pub service: TokenService,
    /// Parameters of [`TokenService::WatchPairing`].
    pub security_token: Option<Secret<String>>,
    /// The phone that pairs with a watch.
    pub phone_udid: Option<String>,
    /// The watch that pairs with a phone.
    pub watch_udid: Option<String>,
}

/// The service of a `GetToken` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenService {
    /// `com.apple.maid`: a Managed Apple Account.
    Maid,
    /// `com.apple.watch.pairing`: a watch that enrolls through its phone.
    WatchPairing,
    /// A service that this server does not know; the device expects 400.
    Other(String),
}

/// What a declarative management request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `tokens`: the token of the whole set.
    Tokens,
    /// `declaration-items`: the list of declarations.
    DeclarationItems,
    /// `status`: a status report, as JSON.
    Status {
        /// The report, not yet read.
        data: Vec<u8>,
    },
    /// `declaration/{kind}/{identifier}`: one declaration.
    Declaration {
        /// The kind in the path.
        kind: DeclarationKind,
        /// The declaration's identifier.
        identifier: String,
    },
}

/// The kinds of declarations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeclarationKind {
    /// What makes configurations take effect.
    Activation,
    /// Data that configurations refer to.
    Asset,
    /// Settings.
    Configuration,
    /// What concerns the management itself.
    Management,
}

impl CheckIn {
    /// Reads the check-in message of this type with these entries.
    pub(super) fn read(message_type: &str, entries: &Dictionary) -> Result<Self, MessageError> {
        let fields = Fields::new(entries);
        let kind = match message_type {
            "Authenticate" => CheckInKind::Authenticate(Box::new(Authenticate::read(fields)?)),
            "TokenUpdate" => CheckInKind::TokenUpdate(Box::new(TokenUpdate::read(fields)?)),
            "CheckOut" => CheckInKind::CheckOut { topic: topic(fields)? },
            "UserAuthenticate" => CheckInKind::UserAuthenticate {
                digest_response: fields.owned_string("DigestResponse")?.map(Secret::new),
            },
            "SetBootstrapToken" => CheckInKind::SetBootstrapToken(secret_data(fields, "BootstrapToken")?),
            "GetBootstrapToken" => {
                let awaiting_configuration = fields.boolean("AwaitingConfiguration")?.unwrap_or(false);
                CheckInKind::GetBootstrapToken { awaiting_configuration }
            }
            "GetToken" => CheckInKind::GetToken(GetToken::read(fields)?),
            "DeclarativeManagement" => CheckInKind::DeclarativeManagement(Endpoint::read(fields)?),
            "ReturnToService" => CheckInKind::ReturnToService,
            unknown => return Err(MessageError::unknown_type(unknown)),
        };
        Ok(Self { channel: Channel::of(entries)?, kind })
    }
}

impl Authenticate {
    fn read(fields: Fields<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            topic: topic(fields)?,
            device_name: fields.label("DeviceName")?,
            model: fields.label("Model")?,
            model_name: fields.label("ModelName")?,
            product_name: fields.label("ProductName")?,
            serial_number: fields.id("SerialNumber")?.map(str::to_owned),
            os_version: fields.label("OSVersion")?,
            build_version: fields.label("BuildVersion")?,
            imei: fields.id("IMEI")?.map(str::to_owned),
            meid: fields.id("MEID")?.map(str::to_owned),
            challenge: fields.owned_string("Challenge")?.map(Secret::new),
        })
    }
}

impl TokenUpdate {
    fn read(fields: Fields<'_>) -> Result<Self, FieldError> {
        let token = fields.required_data("Token")?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(FieldError::TooLong { key: "Token", max: MAX_TOKEN_BYTES });
        }
        Ok(Self {
            topic: topic(fields)?,
            token: Secret::new(token.to_vec()),
            push_magic: Secret::new(fields.id("PushMagic")?.ok_or(FieldError::Missing("PushMagic"))?.to_owned()),
            unlock_token: secret_data(fields, "UnlockToken")?,
            awaiting_configuration: fields.boolean("AwaitingConfiguration")?.unwrap_or(false),
            not_on_console: fields.boolean("NotOnConsole")?.unwrap_or(false),
        })
    }
}

impl GetToken {
    fn read(fields: Fields<'_>) -> Result<Self, FieldError> {
        let service = match fields.id("TokenServiceType")?.ok_or(FieldError::Missing("TokenServiceType"))? {
            "com.apple.maid" => TokenService::Maid,
            "com.apple.watch.pairing" => TokenService::WatchPairing,
            other => TokenService::Other(other.to_owned()),
        };
        let no_parameters = Dictionary::new();
        let parameters = fields.dictionary("TokenParameters")?.unwrap_or(Fields::new(&no_parameters));
        Ok(Self {
            service,
            security_token: parameters.owned_string("SecurityToken")?.map(Secret::new),
            phone_udid: parameters.id("PhoneUDID")?.map(str::to_owned),
            watch_udid: parameters.id("WatchUDID")?.map(str::to_owned),
        })
    }
}

impl Endpoint {
    fn read(fields: Fields<'_>) -> Result<Self, MessageError> {
        let path = fields.id("Endpoint")?.ok_or(FieldError::Missing("Endpoint"))?;
        match path {
            "tokens" => Ok(Self::Tokens),
            "declaration-items" => Ok(Self::DeclarationItems),
            "status" => Ok(Self::Status { data: fields.required_data("Data")?.to_vec() }),
            _ => Self::declaration(path).ok_or(MessageError::UnknownEndpoint),
        }
    }

    fn declaration(path: &str) -> Option<Self> {
        let (kind, identifier) = path.strip_prefix("declaration/")?.split_once('/')?;
        let kind = DeclarationKind::parse(kind)?;
        (!identifier.is_empty()).then(|| Self::Declaration { kind, identifier: identifier.to_owned() })
    }
}

impl DeclarationKind {
    /// All kinds, in the order of the declaration items document.
    pub const ALL: [Self; 4] = [Self::Activation, Self::Asset, Self::Configuration, Self::Management];

    /// The kind as the path of a request writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Asset => "asset",
            Self::Configuration => "configuration",
            Self::Management => "management",
        }
    }

    /// Reads the kind as the path of a request writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

fn topic(fields: Fields<'_>) -> Result<String, FieldError> {
    fields.id("Topic")?.map(str::to_owned).ok_or(FieldError::Missing("Topic"))
}

/// The bytes of `key`; absent and empty are the same.
fn secret_data(fields: Fields<'_>, key: &'static str) -> Result<Option<Secret<Vec<u8>>>, FieldError> {
    Ok(fields.data(key)?.filter(|data| !data.is_empty()).map(|data| Secret::new(data.to_vec())))
}

#[cfg(test)]
mod tests;
