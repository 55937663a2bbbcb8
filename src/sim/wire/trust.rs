//! Whom a device trusts: root certificates, and OpenSSL's settings made of them once for many connections.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509CheckFlags;
use protocol::pki::{Certificate, Signer};

/// The root certificates that a device trusts, and no others. Clones share everything.
#[derive(Clone)]
pub struct Trust {
    anchors: Arc<[Certificate]>,
    context: SslContext,
}

/// Why certificates are no trust anchors.
#[derive(Debug, thiserror::Error)]
#[error("a trust anchor cannot be used: {0}")]
pub struct TrustError(String);

impl Trust {
    /// Trusts these certificates (DER).
    ///
    /// # Errors
    /// One of them is none.
    pub fn new<D: AsRef<[u8]>>(anchors: impl IntoIterator<Item = D>) -> Result<Self, TrustError> {
        let anchors = anchors.into_iter().map(|der| Certificate::parse(der.as_ref()));
        let anchors: Arc<[Certificate]> = anchors.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
        let context = context(&anchors).map_err(|error| failed(&error))?;
        Ok(Self { anchors, context })
    }

    /// Trusts these certificates (DER) as well. Without a new one among them nothing is made anew.
    ///
    /// # Errors
    /// One of them is none.
    pub fn and(&self, more: &[Vec<u8>]) -> Result<Self, TrustError> {
        let known = |der: &[u8]| self.anchors.iter().any(|anchor| anchor.der() == der);
        if more.iter().all(|der| known(der)) {
            return Ok(self.clone());
        }
        Self::new(self.anchors.iter().map(Certificate::der).chain(more.iter().map(Vec::as_slice)))
    }

    /// The certificates.
    pub fn anchors(&self) -> &[Certificate] {
        &self.anchors
    }

    /// A TLS client for `host`, which the server's certificate has to name.
    pub(super) fn client(&self, host: &str, identity: Option<&Signer>) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let parameters = ssl.param_mut();
        parameters.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => parameters.set_ip(address)?,
            Err(_) => {
                parameters.set_host(host)?;
                ssl.set_hostname(host)?;
            }
        }
        if let Some(identity) = identity {
            ssl.set_certificate(&*X509::from_der(identity.certificate().der())?)?;
            ssl.set_private_key(identity.key())?;
        }
        Ok(ssl)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trust").field("anchors", &self.anchors).finish_non_exhaustive()
    }
}

fn failed(error: &dyn fmt::Display) -> TrustError {
    TrustError(error.to_string())
}

fn context(anchors: &[Certificate]) -> Result<SslContext, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for anchor in anchors {
        store.add_cert(X509::from_der(anchor.der())?)?;
    }
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_cert_store(store.build());
    context.set_verify(SslVerifyMode::PEER);
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_options(SslOptions::NO_COMPRESSION);
    // Thousands of devices live in one process: idle connections give their buffers back.
    context.set_mode(SslMode::RELEASE_BUFFERS | SslMode::AUTO_RETRY);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(context.build())
}
