//! One simulated Apple device, told by its owner what to do, one message at a time.
//!
//! It is as strict as a real one: what a server must not do becomes a finding in its [`DeviceLog`]. It never decides on
//! its own when to speak, waits for nothing but replies, and repeats nothing. Each verb is a file: enrolling, check-in
//! messages, sessions of commands, doing what a command asks, declarative management.
//!
//! Start with [`Device::enroll`], then [`Device::poll`], [`Device::execute`] and [`Device::report`].

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use openssl::base64::encode_block;
use protocol::apple::enrollment_profile::EnrollmentProfile;
use protocol::apple::plist::{Dictionary, Value, to_xml};
use protocol::pki::signature::{sign_attached, sign_detached};
use protocol::pki::{Certificate, Signer};

use super::contents::Contents;
use super::model::Model;
use super::scep::ScepError;
use crate::sim::clock::Clock;
use crate::sim::keys::{Keys, KeysError};
use crate::sim::log::{DeviceLog, Fault};
use crate::sim::random::Chance;
use crate::sim::wire::{FramingError, Manner, Reply, Request, Trust, Wire, WireError, WireOptions};

mod channel;
mod check_in;
mod declarative;
mod enroll;
mod execute;
mod profile;
mod session;
mod setup_assistant;

pub use channel::{ChannelNo, OnPush, PushTarget, User, UserKind};
use channel::{ChannelState, Pushes};
pub use execute::{Answer, Errand};
pub use profile::ProfileTrust;

/// What an enrolled device calls itself.
pub const AGENT: &str = "MDM/1.0";

/// What a device calls itself before it is enrolled.
pub const AGENT_BEFORE: &str = "DeviceManagementClient/1.0";

const SIGNATURE: HeaderName = HeaderName::from_static("mdm-signature");

/// A simulated device.
#[derive(Debug)]
pub struct Device {
    /// What it is.
    pub model: Model,
    /// How it behaves. Changes take effect with the next message.
    pub options: DeviceOptions,
    wire: Wire,
    chance: Chance,
    log: DeviceLog,
    enrollment: Enrollment,
    channels: Vec<ChannelState>,
    contents: Contents,
    errands: VecDeque<Errand>,
    pushes: Option<Pushes>,
    /// How a message is sent, after so many others.
    manner: (u32, Manner),
}

/// What it holds of an enrollment so far.
#[derive(Debug, Default)]
struct Enrollment {
    profile: Option<EnrollmentProfile>,
    identity: Option<Signer>,
    authorities: Vec<Certificate>,
}

/// How a device behaves.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// How its connection behaves.
    pub wire: WireOptions,
    /// What time it is there.
    pub clock: Clock,
    /// Where its keys come from.
    pub keys: Keys,
    /// Whether it belongs to its user: it then sends an `EnrollmentID` and nothing that identifies it.
    pub personal: bool,
    /// Whether it is supervised.
    pub supervised: bool,
    /// Whether it waits in Setup Assistant for `DeviceConfigured`.
    pub awaits_configuration: bool,
    /// Whose enrollment profiles it takes.
    pub profile_trust: ProfileTrust,
    /// How it signs its messages.
    pub signature: SignatureForm,
    /// Whether it shows its identity to servers that ask for a client certificate.
    pub client_certificate: bool,
    /// Headers that every message has besides the usual ones, for example those of a proxy.
    pub headers: Vec<(HeaderName, String)>,
    /// Whether its messages have a `Content-Type`. Some clients leave it out.
    pub content_type: bool,
    /// The method of its messages: devices use PUT, some other clients POST.
    pub method: Method,
    /// Whether it does a command once only, however often it is handed out.
    pub dedup: bool,
    /// Whether it answers `EraseDevice`, `RestartDevice` and `ShutDownDevice` before it obeys.
    pub answers_power_commands: bool,
    /// What it says after its identity was renewed.
    pub renewal: RenewalShape,
}

/// How a device signs its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureForm {
    /// Detached, with attributes, when the profile's `SignMessage` asks for it.
    #[default]
    AsProfile,
    /// Detached, with or without signed attributes, whatever the profile says.
    Detached {
        /// Whether there are signed attributes.
        attributes: bool,
    },
    /// With the body inside.
    Attached,
    /// Not at all.
    None,
}

/// What a device says after its identity was renewed; all of it happens in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewalShape {
    /// `Authenticate` and `TokenUpdate`.
    Authenticate,
    /// `TokenUpdate`.
    #[default]
    TokenUpdate,
    /// Nothing: its next message is simply signed with the new certificate.
    Silent,
}

/// Which address of the server a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `CheckInURL`.
    CheckIn,
    /// `ServerURL`.
    Command,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no reply; see [`WireError::is_passing`].
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server cannot answer now (429 or 5xx). The same message is to be sent again.
    #[error("the server answers {status}: later")]
    Busy {
        /// The status code.
        status: u16,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
    /// The server refuses the message. It is not to be sent again.
    #[error("the server answers {status}")]
    Refused {
        /// The status code.
        status: u16,
    },
    /// The reply is not framed as devices need it.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The reply, a profile or a command is not what a device takes.
    #[error("{0}")]
    Unacceptable(String),
    /// There is no certificate to be had.
    #[error(transparent)]
    Scep(#[from] ScepError),
    /// There is no key to be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Something that comes before is missing, for example the profile or the identity.
    #[error("there is no {0} yet")]
    Missing(&'static str),
    /// The message cannot be made here.
    #[error("the message cannot be made: {0}")]
    Local(String),
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            clock: Clock::default(),
            keys: Keys::default(),
            personal: false,
            supervised: true,
            awaits_configuration: false,
            profile_trust: ProfileTrust::default(),
            signature: SignatureForm::default(),
            client_certificate: true,
            headers: Vec::new(),
            content_type: true,
            method: Method::PUT,
            dedup: true,
            answers_power_commands: true,
            renewal: RenewalShape::default(),
        }
    }
}

impl Device {
    /// A device out of the box that trusts `trust`; `seed` decides everything that is left to chance.
    pub fn new(model: Model, trust: Trust, options: DeviceOptions, seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let contents = Contents::of(&model, &mut chance);
        let channels = vec![ChannelState::of_device(&model, options.personal)];
        let wire = Wire::new(trust, options.wire.clone());
        let enrollment = Enrollment::default();
        let (log, errands, manner) = (DeviceLog::default(), VecDeque::new(), (0, Manner::Proper));
        Self { model, options, wire, chance, log, enrollment, channels, contents, errands, pushes: None, manner }
    }

    /// What happened to it so far.
    pub const fn log(&self) -> &DeviceLog {
        &self.log
    }

    /// What is on it.
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Its connection.
    pub const fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// The enrollment profile, once it is there.
    pub const fn profile(&self) -> Option<&EnrollmentProfile> {
        self.enrollment.profile.as_ref()
    }

    /// The identity, once it is there.
    pub const fn identity(&self) -> Option<&Signer> {
        self.enrollment.identity.as_ref()
    }

    /// Takes another identity, for example a stolen one.
    pub fn set_identity(&mut self, identity: Option<Signer>) {
        self.wire.set_identity(identity.clone().filter(|_| self.options.client_certificate));
        self.enrollment.identity = identity;
    }

    /// Sends the next message in this manner, and those after it properly again.
    pub const fn once(&mut self, manner: Manner) {
        self.once_after(0, manner);
    }

    /// The same with a later message, after so many others.
    pub const fn once_after(&mut self, others: u32, manner: Manner) {
        self.manner = (others, manner);
    }

    /// Signs any bytes and sends them. Only framing, 401 and 403 are judged.
    ///
    /// # Errors
    /// There is no profile or no reply, or its framing is wrong.
    pub async fn send(&mut self, to: Destination, body: impl Into<Bytes>) -> Result<Reply, DeviceError> {
        let request = self.request(to, body.into())?;
        let reply = self.wire.send(&request).await?;
        if let Err(error) = reply.check_framing() {
            self.log.find(Fault::Framing, format!("{error} (status {})", reply.status));
            return Err(error.into());
        }
        if matches!(reply.status, 401 | 403) {
            self.log.find(Fault::Unenrolls, format!("a device route answered {}", reply.status));
        }
        Ok(reply)
    }

    /// Sends a message and judges the status: 200, or one of `expected`.
    async fn tell(&mut self, to: Destination, message: Dictionary, expected: &[u16]) -> Result<Reply, DeviceError> {
        let what = ["MessageType", "Status"].into_iter().find_map(|key| message.get(key)?.as_string());
        let what = what.unwrap_or_default().to_owned();
        let reply = self.send(to, to_xml(&Value::Dictionary(message))).await?;
        match reply.status {
            200 => Ok(reply),
            status if expected.contains(&status) => Ok(reply),
            status @ (429 | 500..) => Err(DeviceError::Busy { status, after: reply.retry_after() }),
            status => {
                if !matches!(status, 401 | 403) {
                    self.log.find(Fault::Status, format!("{what} was answered with {status}"));
                }
                Err(DeviceError::Refused { status })
            }
        }
    }

    fn request(&mut self, to: Destination, body: Bytes) -> Result<Request, DeviceError> {
        let mdm = &self.enrollment.profile.as_ref().ok_or(DeviceError::Missing("profile"))?.mdm;
        let (url, content_type) = match to {
            Destination::CheckIn => (mdm.effective_check_in_url(), "application/x-apple-aspen-mdm-checkin"),
            Destination::Command => (mdm.server_url.as_str(), "application/x-apple-aspen-mdm; charset=UTF-8"),
        };
        let url = url.to_owned();
        let signature = self.sign(&body, mdm.sign_message)?;
        let mut request = Request::new(self.options.method.clone(), &url, body).with_header(USER_AGENT, AGENT);
        match &mut self.manner {
            (0, manner) => request.manner = std::mem::take(manner),
            (others, _) => *others -= 1,
        }
        if self.options.content_type {
            request = request.with_header(CONTENT_TYPE, content_type);
        }
        request.headers.extend(signature.map(|der| (SIGNATURE, encode_block(&der))));
        request.headers.extend(self.options.headers.iter().cloned());
        Ok(request)
    }

    fn sign(&self, body: &[u8], asked_for: bool) -> Result<Option<Vec<u8>>, DeviceError> {
        let form = match self.options.signature {
            SignatureForm::AsProfile if asked_for => SignatureForm::Detached { attributes: true },
            SignatureForm::AsProfile => SignatureForm::None,
            other => other,
        };
        let identity = self.enrollment.identity.as_ref().ok_or(DeviceError::Missing("identity"));
        let signed = match form {
            SignatureForm::Detached { attributes } => sign_detached(body, identity?, attributes),
            SignatureForm::Attached => sign_attached(body, identity?, &[]),
            _ => return Ok(None),
        };
        signed.map(Some).map_err(|error| DeviceError::local(&error))
    }
}

impl DeviceError {
    fn local(error: &dyn fmt::Display) -> Self {
        Self::Local(error.to_string())
    }

    /// Whether trying the same again may help, and how long the server asks to wait before.
    pub const fn is_passing(&self) -> Option<Option<Duration>> {
        match self {
            Self::Busy { after, .. } | Self::Scep(ScepError::Status { status: 429 | 500.., after, .. }) => Some(*after),
            Self::Wire(error) | Self::Scep(ScepError::Wire(error)) if error.is_passing() => Some(None),
            _ => None,
        }
    }
}

/// A dictionary of these entries.
fn entries<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests;
