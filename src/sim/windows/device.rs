//! One simulated PC, told by its owner what to do, one message at a time.
//!
//! What a server must not do becomes a finding in its [`DeviceLog`]. It never decides on its own when to speak, and waits
//! for nothing but answers. Each verb is a file: enrolling, renewing, talking, doing what the server says.
//!
//! Start with [`Pc::enroll`], then [`Pc::begin`] and [`Pc::turn`].

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use hyper::{Method, StatusCode};
use protocol::pki::Signer;

use super::model::Model;
use super::provisioning::Provisioned;
use super::quirks::Quirks;
use super::soap::SoapFault;
use super::syncml::Said;
use super::tree::Tree;
use crate::sim::clock::Clock;
use crate::sim::keys::{Keys, KeysError};
use crate::sim::log::{DeviceLog, Fault};
use crate::sim::random::Chance;
use crate::sim::wire::{FramingError, Manner, Reply, Request, Trust, Wire, WireError, WireOptions};

pub mod enroll;
mod obey;
mod renew;
mod session;
pub mod talk;

pub use super::soap::Token;
use session::Session;
pub use session::Turn;

/// What a PC calls itself while it enrolls.
const ENROLLING: &str = "ENROLLClient";
/// What a PC calls itself in its sessions.
const AGENT: &str = "MSFT OMA DM Client/1.2.0.1";

/// A simulated PC.
#[derive(Debug)]
pub struct Pc {
    /// What it is.
    pub model: Model,
    /// How it behaves. Changes take effect with the next message.
    pub options: PcOptions,
    /// Its nodes.
    pub tree: Tree,
    wire: Wire,
    chance: Chance,
    log: DeviceLog,
    enrollment: Option<Enrollment>,
    session: Option<Session>,
    sessions: u32,
    fate: Fate,
    /// What it has to tell in its next session.
    news: Vec<Said>,
    renewal_is_due: bool,
    manner: Manner,
}

/// What it holds of an enrollment.
#[derive(Clone, Debug)]
pub struct Enrollment {
    /// What the document gave, with what the server changed since.
    pub provisioned: Provisioned,
    /// Its certificate and key.
    pub identity: Signer,
}

/// What becomes of the PC when its session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    #[default]
    Stays,
    /// It starts anew.
    Reboots,
    /// It is wiped.
    Wiped,
    /// It leaves, and says so in one last session.
    Leaves,
    /// It left, or was wiped: nobody is there any more.
    Gone,
}

/// How it shows who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// A digest of a nonce, in every message after the challenge.
    #[default]
    Digest,
    /// Its certificate, in TLS.
    Certificate,
    /// Its certificate's signature over each message.
    Signature,
    /// Nothing but its name, as old clients did.
    Nothing,
}

/// How a PC behaves.
#[derive(Clone, Debug)]
pub struct PcOptions {
    /// How its connection behaves.
    pub wire: WireOptions,
    /// What time it is there.
    pub clock: Clock,
    /// Where its keys come from.
    pub keys: Keys,
    /// What no specification says.
    pub quirks: Quirks,
    /// How it shows who it is.
    pub proof: Proof,
    /// Whether it belongs to an organization: `Device`, with its certificate in My/System. Otherwise `Full`.
    pub is_device: bool,
    /// The longest value that it sends in one piece.
    pub max_piece: usize,
    /// How probable it is that an order fails, from 0 to 1.
    pub errs: f64,
    /// Whether it does an order once only, however often it is handed out.
    pub dedup: bool,
    /// Headers that every message has besides the usual ones.
    pub headers: Vec<(HeaderName, String)>,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum PcError {
    /// There is no reply; see [`WireError::is_passing`].
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server cannot answer now. The same message is to be sent again.
    #[error("the server answers {status}: later")]
    Busy {
        /// The status code.
        status: u16,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
    /// The server refuses the message, by HTTP's status or by that of the header.
    #[error("the server answers {status}")]
    Refused {
        /// The status code.
        status: u16,
    },
    /// The server refuses to enroll the PC.
    #[error("the server refuses: {0}")]
    Fault(#[from] SoapFault),
    /// The reply is not framed as devices need it.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The reply is not what a PC takes.
    #[error("{0}")]
    Unacceptable(String),
    /// There is no key to be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Something that comes before is missing.
    #[error("there is no {0} yet")]
    Missing(&'static str),
    /// The message cannot be made here.
    #[error("the message cannot be made: {0}")]
    Local(String),
}

impl Default for PcOptions {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            clock: Clock::default(),
            keys: Keys::default(),
            quirks: Quirks::none(),
            proof: Proof::default(),
            is_device: false,
            max_piece: 4096,
            errs: 0.0,
            dedup: true,
            headers: Vec::new(),
        }
    }
}

impl Pc {
    /// A PC out of the box that trusts `trust`; `seed` decides everything that is left to chance.
    pub fn new(model: Model, trust: Trust, options: PcOptions, seed: u64) -> Self {
        let wire = Wire::new(trust, options.wire.clone());
        Self {
            tree: Tree::of(&model),
            model,
            options,
            wire,
            chance: Chance::new(seed, 3),
            log: DeviceLog::default(),
            enrollment: None,
            session: None,
            sessions: 0,
            fate: Fate::Stays,
            news: Vec::new(),
            renewal_is_due: false,
            manner: Manner::Proper,
        }
    }

    /// What happened to it so far.
    pub const fn log(&self) -> &DeviceLog {
        &self.log
    }

    /// Its connection.
    pub const fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// What it holds of its enrollment, once it has one.
    pub const fn enrollment(&self) -> Option<&Enrollment> {
        self.enrollment.as_ref()
    }

    /// The same, to be changed: tests make it wrong.
    pub const fn enrollment_mut(&mut self) -> Option<&mut Enrollment> {
        self.enrollment.as_mut()
    }

    /// What becomes of it when its session ends.
    pub const fn fate(&self) -> Fate {
        self.fate
    }

    /// Starts again after a [`Fate::Reboots`].
    pub fn boots(&mut self) {
        self.wire.disconnect();
        self.fate = Fate::Stays;
        self.session = None;
    }

    /// How many sessions it has begun.
    pub const fn sessions(&self) -> u32 {
        self.sessions
    }

    /// Sends the next message in this manner, and those after it properly again.
    pub const fn once(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// Sends a request and judges its framing.
    async fn send(&mut self, mut request: Request) -> Result<Reply, PcError> {
        request.manner = std::mem::take(&mut self.manner);
        request.headers.extend(self.options.headers.iter().cloned());
        let reply = self.wire.send(&request).await?;
        if let Err(error) = reply.check_framing() {
            self.log.find(Fault::Framing, format!("{error} (status {})", reply.status));
            return Err(error.into());
        }
        if matches!(reply.status, 429 | 502..=504) {
            return Err(PcError::Busy { status: reply.status, after: reply.retry_after() });
        }
        Ok(reply)
    }

    fn find_all(&self, fault: Fault, what: &str, breaches: Vec<String>) {
        for breach in breaches {
            self.log.find(fault, format!("{what}: {breach}"));
        }
    }
}

impl PcError {
    fn local(error: &dyn std::fmt::Display) -> Self {
        Self::Local(error.to_string())
    }

    /// Whether trying the same again may help, and how long the server asks to wait before.
    pub const fn is_passing(&self) -> Option<Option<Duration>> {
        match self {
            Self::Busy { after, .. } => Some(*after),
            Self::Wire(error) if error.is_passing() => Some(None),
            _ => None,
        }
    }
}

/// A request of a PC that enrolls.
fn soap_request(url: &str, body: String) -> Request {
    Request::new(Method::POST, url, body)
        .with_header(USER_AGENT, ENROLLING)
        .with_header(CONTENT_TYPE, "application/soap+xml; charset=utf-8")
}

const OK: u16 = StatusCode::OK.as_u16();

#[cfg(test)]
mod tests;
