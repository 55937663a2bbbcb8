//! TLS for the listeners: 1.2 and 1.3 with forward secrecy, a client certificate when one is offered, and a certificate
//! that can be replaced while the server runs.
//!
//! Client certificates are not judged here: whether one is ours is said by a row ([`super::identity`]). A handshake that
//! failed for an expired certificate would look to a device like a server that is gone.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslContext, SslFiletype, SslMethod, SslVerifyMode};

/// How often it is looked whether the certificate's files changed.
const LOOK: Duration = Duration::from_secs(30);

/// Cipher suites of TLS 1.2; all have forward secrecy, as Apple's App Transport Security asks.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                       ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/// The files of a server certificate (PEM; the certificate may be followed by its chain).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// The present certificate of a listener.
#[derive(Clone)]
pub struct Reloading {
    files: Files,
    current: Arc<RwLock<SslContext>>,
}

/// Makes the acceptor of a listener and what keeps its certificate fresh.
///
/// # Errors
/// The files cannot be read, or do not belong together.
pub fn acceptor(files: &Files, ask_for_client_certificate: bool) -> anyhow::Result<(SslAcceptorBuilder, Reloading)> {
    let mut builder = configured(files, ask_for_client_certificate)?;
    let current = Arc::new(RwLock::new(configured(files, ask_for_client_certificate)?.build().into_context()));
    let reloading = Reloading { files: files.clone(), current: current.clone() };
    // Called for every handshake, also without a server name.
    builder.set_servername_callback(move |ssl, _| {
        let context = current.read().unwrap_or_else(PoisonError::into_inner);
        ssl.set_ssl_context(&context).map_err(|_| openssl::ssl::SniError::ALERT_FATAL)
    });
    Ok((builder, reloading))
}

fn configured(files: &Files, ask_for_client_certificate: bool) -> anyhow::Result<SslAcceptorBuilder> {
    use anyhow::Context;
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_cipher_list(CIPHERS)?;
    builder.set_session_id_context(b"rookery")?;
    let place = |path: &Path| format!("cannot use {}", path.display());
    builder.set_certificate_chain_file(&files.certificate).with_context(|| place(&files.certificate))?;
    builder.set_private_key_file(&files.private_key, SslFiletype::PEM).with_context(|| place(&files.private_key))?;
    builder.check_private_key().context("the private key does not belong to the certificate")?;
    if ask_for_client_certificate {
        builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    }
    Ok(builder)
}

impl Reloading {
    /// Looks after the files for ever, and takes a changed certificate into use; one that cannot be used is reported and
    /// the old one stays.
    pub async fn keep(self, ask_for_client_certificate: bool) {
        let mut known = self.changed_at();
        loop {
            tokio::time::sleep(LOOK).await;
            let changed = self.changed_at();
            if changed == known {
                continue;
            }
            match self.reload(ask_for_client_certificate) {
                Ok(()) => {
                    known = changed;
                    tracing::info!(tls.certificate = %self.files.certificate.display(), "uses the new certificate");
                }
                Err(error) => tracing::error!("the new TLS certificate cannot be used, the old one stays: {error:#}"),
            }
        }
    }

    /// Reads the files again now.
    ///
    /// # Errors
    /// The files cannot be used; the old certificate stays.
    pub fn reload(&self, ask_for_client_certificate: bool) -> anyhow::Result<()> {
        let context = configured(&self.files, ask_for_client_certificate)?.build().into_context();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = context;
        Ok(())
    }

    fn changed_at(&self) -> [Option<SystemTime>; 2] {
        let of = |path: &Path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
        [of(&self.files.certificate), of(&self.files.private_key)]
    }
}

impl std::fmt::Debug for Reloading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Reloading({})", self.files.certificate.display())
    }
}
