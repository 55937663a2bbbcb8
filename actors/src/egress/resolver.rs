//! Names become addresses here, and each is checked before anything connects to it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Rules;

/// The addresses of a name, some time.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows names.
pub trait Lookup: Send + Sync {
    /// The addresses that a name stands for now.
    fn lookup(&self, name: String) -> Looking;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

/// A resolver that names only addresses which may be reached.
pub(super) struct Checked {
    pub(super) rules: Arc<Rules>,
    /// For requests without TLS.
    pub(super) is_plain: bool,
}

/// A name stands for an address that may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Forbidden(pub(super) String);

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> Looking {
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
            let addresses = asked.await.map_err(io::Error::other)??;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, is_plain) = (self.rules.clone(), self.is_plain);
        Box::pin(async move {
            let addresses = rules.lookup.lookup(name.as_str().to_owned()).await?;
            rules.check_all(&addresses, is_plain).map_err(Forbidden)?;
            let checked: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(checked)
        })
    }
}
