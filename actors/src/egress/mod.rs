//! The way out: requests to addresses that an admin chose (webhooks now; Apple's stores later), held
//! away from what only this machine or its network may reach.
//!
//! HTTPS only, except to addresses that the settings allow by name of their network. Names are resolved here, every
//! address is checked, and what was checked is what is connected to, so a name that changes its mind gets nowhere. No
//! redirects, no proxy of the environment, no user info in URLs, 10 s for all of it, and never a word of an answer's body
//! to anyone. Never here: connections to Apple's own services, whose addresses are settings.
//!
//! Start with [`Egress::post`]; [`address`] says who is refused.

pub mod address;
mod resolver;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::retry_after::retry_after;
use protocol::time::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Url};

use address::{Network, is_public};
use resolver::Checked;
pub use resolver::{Looking, Lookup, SystemLookup};

/// How long a request may take, from the name to the end of the answer.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read; the rest is left.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The longest URL.
const MAX_URL_BYTES: usize = 2048;
/// Idle connections that are kept to one host.
const KEPT: usize = 4;

/// Where requests may go.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    /// Networks that may be reached although they are not public, and without TLS.
    pub allow: Vec<Network>,
    /// A root certificate (PEM) to trust beside the system's.
    pub root_certificate: Option<String>,
}

/// The way out. Clones share connections.
#[derive(Clone)]
pub struct Egress {
    secure: Client,
    plain: Client,
    rules: Arc<Rules>,
}

/// Who may be reached.
pub(crate) struct Rules {
    allow: Vec<Network>,
    lookup: Arc<dyn Lookup>,
}

/// What came back; its body was left unread or thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why there is no reply. The text names neither the URL nor what the other side said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The URL, or an address that its name stands for, may not be reached.
    #[error("{0}")]
    Refused(String),
    /// No connection, or one that ended too early.
    #[error("no connection, or it broke")]
    Unreachable,
    /// No answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Late,
}

impl Egress {
    /// A way out with these rules.
    ///
    /// # Errors
    /// The root certificate cannot be read.
    pub fn new(config: &EgressConfig, lookup: Arc<dyn Lookup>) -> Result<Self, String> {
        let rules = Arc::new(Rules { allow: config.allow.clone(), lookup });
        let root = config.root_certificate.as_ref().map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()));
        let root = root.transpose().map_err(|error| format!("egress.root_certificate: {error}"))?;
        let client = |is_plain: bool| {
            let mut client = Client::builder()
                .https_only(!is_plain)
                .timeout(DEADLINE)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(KEPT)
                .user_agent("Rookery")
                .dns_resolver(Arc::new(Checked { rules: rules.clone(), is_plain }));
            if let Some(root) = root.clone() {
                client = client.tls_certs_merge([root]);
            }
            client.build().map_err(|error| error.to_string())
        };
        Ok(Self { secure: client(false)?, plain: client(true)?, rules: rules.clone() })
    }

    /// Reads a URL, and refuses what can be refused without asking anyone.
    ///
    /// # Errors
    /// [`EgressError::Refused`], with what is wrong.
    pub fn check(&self, url: &str) -> Result<Url, EgressError> {
        self.rules.check(url)
    }

    /// The same for a URL that somebody enters now: its name is resolved, too. A name that nobody knows yet passes.
    ///
    /// # Errors
    /// [`EgressError::Refused`], with what is wrong.
    pub async fn check_name(&self, url: &str) -> Result<Url, EgressError> {
        let url = self.rules.check(url)?;
        let name = url.host_str().unwrap_or_default();
        if literal(name).is_none()
            && let Ok(addresses) = self.rules.lookup.lookup(name.to_owned()).await
        {
            self.rules.check_all(&addresses, url.scheme() == "http").map_err(EgressError::Refused)?;
        }
        Ok(url)
    }

    /// Sends a body.
    ///
    /// # Errors
    /// See [`EgressError`].
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Bytes, now: Timestamp) -> Result<Reply, EgressError> {
        let url = self.rules.check(url)?;
        let client = if url.scheme() == "http" { &self.plain } else { &self.secure };
        let mut response = client.post(url).headers(headers).body(body).send().await.map_err(EgressError::of)?;
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let reply =
            Reply { status: response.status().as_u16(), retry_after: asked.and_then(|text| retry_after(text, now)) };
        // Read to its end, so that the connection can be used again; a longer answer costs its connection.
        let mut left = MAX_ANSWER_BYTES;
        while let Ok(Some(chunk)) = response.chunk().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
        Ok(reply)
    }
}

impl Rules {
    fn check(&self, url: &str) -> Result<Url, EgressError> {
        let refused = |why: &str| EgressError::Refused(why.to_owned());
        if url.len() > MAX_URL_BYTES || url.contains(|one: char| one.is_control() || one.is_whitespace()) {
            return Err(refused("the URL is too long, or holds spaces: write https://host/path"));
        }
        let url = Url::parse(url).map_err(|_| refused("this is no URL: write https://host/path"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("the URL must begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("a URL with a user or password is not accepted: put a token into its query"));
        }
        let name = url.host_str().filter(|name| !name.is_empty()).ok_or_else(|| refused("the URL names no host"))?;
        if let Some(address) = literal(name) {
            self.check_all(&[address], url.scheme() == "http").map_err(EgressError::Refused)?;
        }
        Ok(url)
    }

    /// Refuses as a whole what stands for one address that may not be reached.
    fn check_all(&self, addresses: &[IpAddr], is_plain: bool) -> Result<(), String> {
        let allowed = |address: IpAddr| self.allow.iter().any(|network| network.holds(address));
        if addresses.is_empty() {
            return Err("the host's name stands for no address".into());
        }
        for address in addresses.iter().copied().filter(|address| !allowed(*address)) {
            if !is_public(address) {
                return Err(format!(
                    "{address} is not a public address: name its network in egress.allow if it is meant"
                ));
            }
            if is_plain {
                return Err("http:// is for networks in egress.allow only: use https://".into());
            }
        }
        Ok(())
    }
}

impl EgressError {
    fn of(error: reqwest::Error) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            if let Some(resolver::Forbidden(why)) = cause.downcast_ref() {
                return Self::Refused(why.clone());
            }
            source = cause.source();
        }
        if error.is_timeout() { Self::Late } else { Self::Unreachable }
    }
}

/// The address that a URL's host is written as. Numbers in other systems were read as addresses by the URL's parser.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Egress(allow: {:?})", self.rules.allow)
    }
}
