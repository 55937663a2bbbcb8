//! The device authority: promises certificates, issues them over SCEP, and writes the enrollment profiles that carry the
//! promises; enrolls Windows devices. The only actor with private keys.
//!
//! Cryptography runs on the I/O runtime's blocking threads; the actor itself only hands it out and counts it.

pub mod assigned;
pub mod enroll;
mod keys;
pub mod reference;
pub mod scep;
pub mod windows;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::{Reader, Writer, identity};
use protocol::pki::Certificate;
use protocol::time::Timestamp;
use tokio::runtime::Handle as Io;
use tokio::sync::Semaphore;

use crate::Hosts;
use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use crate::trust::Trust;
pub(crate) use keys::Keys;

/// Requests that may be worked on at once; each costs up to a few milliseconds of a core.
const AT_ONCE: usize = 32;

/// How devices get their identities.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// Who manages the devices, as people read it in the profile.
    pub organization: String,
    /// The address that devices use, for example `https://mdm.example.com`, without a slash at its end.
    pub server_url: String,
    /// How long an identity is valid.
    pub identity_validity: Duration,
    /// How long a challenge can be used.
    pub challenge_validity: Duration,
    /// A challenge that works again and again, for load tests and closed networks.
    pub static_challenge: Option<String>,
    /// Whether SHA-1 and single DES are accepted.
    pub allow_legacy: bool,
    /// Whether a key of its own opens SCEP requests, instead of the authority's.
    pub separate_ra: bool,
    /// How often Windows devices ask for work, in minutes.
    pub windows_poll_minutes: u32,
    /// The authorities whose devices are believed to be Apple's.
    pub device_authorities: Vec<Certificate>,
    /// Root certificates (DER) that profiles tell devices to trust, for a server with a self-made TLS certificate.
    pub roots: Vec<Vec<u8>>,
}

/// The actor.
pub struct Authority {
    guard: Guard,
    desk: Desk,
    trust: Trust,
}

/// What one request needs; clones go to the threads that work on it.
#[derive(Clone)]
pub(crate) struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    io: Io,
    hosts: Hosts,
    config: Arc<AuthorityConfig>,
    room: Arc<Semaphore>,
    keys: Option<Arc<Keys>>,
}

/// The certificates that `GetCACert` and profiles show.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Answer<protocol::pki::scep::CaCertificates>")]
pub struct GetCaCertificates;

impl Default for AuthorityConfig {
    fn default() -> Self {
        Self {
            organization: "Rookery".into(),
            server_url: String::new(),
            identity_validity: Duration::from_secs(365 * 86_400),
            challenge_validity: Duration::from_secs(3600),
            static_challenge: None,
            allow_legacy: false,
            separate_ra: false,
            windows_poll_minutes: 1,
            device_authorities: protocol::apple::dep::machine_info::apple_authorities(),
            roots: Vec::new(),
        }
    }
}

impl Authority {
    /// Starts the actor; it reads its keys, or makes them the first time.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Desk {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            hosts: parts.hosts.clone(),
            config: parts.config.authority.clone(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            keys: None,
        };
        let address = Self { guard, desk, trust: parts.trust.clone() }.start();
        parts.authority.publish(address.clone(), gauge);
        address.recipient()
    }

    /// Hands a request to the desk, and answers when it is done.
    fn hand_out<T, F>(&mut self, work: impl FnOnce(Desk, Arc<Keys>) -> F) -> ResponseActFuture<Self, Answer<T>>
    where
        T: 'static,
        F: Future<Output = Answer<T>> + 'static,
    {
        crate::fault::point("authority.request");
        self.guard.gauge().turn(self.desk.clock.now());
        let Some(keys) = self.desk.keys.clone() else {
            return Box::pin(actix::fut::ready(Err(Refusal::soon("the keys are not loaded yet"))));
        };
        Box::pin(work(self.desk.clone(), keys).into_actor(self))
    }
}

impl Desk {
    /// Runs expensive work on a thread that may block.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let _place = self.room.acquire().await.map_err(Refusal::soon)?;
        self.io.spawn_blocking(work).await.map_err(Refusal::soon)
    }
}

/// The row of a certificate that was just made; for a renewal, with the enrollment whose certificate it renews.
fn issued(certificate: &Certificate, renews: Option<i64>, now: Timestamp) -> identity::Model {
    identity::Model {
        fingerprint: certificate.fingerprint().as_bytes().to_vec(),
        serial: certificate.serial().to_owned(),
        certificate: certificate.der().to_vec(),
        not_before: certificate.not_before().millis(),
        not_after: certificate.not_after().millis(),
        state: identity::ISSUED,
        enrollment_id: renews,
        renewal: renews.is_some(),
        promised_serial: None,
        promised_uuid: None,
        team_id: None,
        automatic: false,
        account_uuid: None,
        issued_at: now.millis(),
        bound_at: None,
    }
}

impl Actor for Authority {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        let desk = self.desk.clone();
        let loading = async move { Keys::load(&desk).await };
        context.wait(loading.into_actor(self).map(|loaded, authority, context| match loaded {
            Ok(keys) => {
                authority.trust.set_authority(keys.ca.certificate().clone());
                authority.desk.keys = Some(Arc::new(keys));
            }
            Err(error) => {
                authority.guard.fail(format!("the keys cannot be loaded: {error}"));
                context.stop();
            }
        }));
    }
}

singleton!(Authority);

impl Handler<GetCaCertificates> for Authority {
    type Result = ResponseActFuture<Self, Answer<protocol::pki::scep::CaCertificates>>;

    fn handle(&mut self, _: GetCaCertificates, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|_, keys| async move { Ok(keys.ca_certificates()) })
    }
}
