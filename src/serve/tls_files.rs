//! A self-made TLS certificate for a server that was given none: an authority in the data directory and a certificate for
//! this machine's names. Devices learn to trust the authority from their enrollment profile.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::{Certificate, ServerName, Signer};
use protocol::time::Timestamp;

use crate::http::tls::Files;

/// How long a self-made certificate is valid. Apple accepts no longer ones.
const VALIDITY: Duration = Duration::from_secs(397 * 86_400);
/// A certificate that ends sooner than this is replaced at the next start.
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 86_400);
/// How long the authority is valid, in years.
const CA_YEARS: u8 = 10;

/// A self-made certificate.
#[derive(Clone, Debug)]
pub struct SelfMade {
    /// The server's certificate and key.
    pub files: Files,
    /// The authority's certificate file.
    pub ca_file: PathBuf,
    /// The authority's certificate.
    pub ca: Certificate,
}

/// The self-made certificate for these names, made now unless there is a good one already.
///
/// # Errors
/// Files cannot be read or written.
pub(super) fn establish(directory: &Path, names: &[&str], now: Timestamp) -> anyhow::Result<SelfMade> {
    let directory = directory.join("tls");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let ca = authority(&directory, now)?;
    let files = Files { certificate: directory.join("server.pem"), private_key: directory.join("server.key") };
    let names: Vec<ServerName> = names.iter().map(|name| ServerName::parse(name)).collect::<Result<_, _>>()?;
    let known = std::fs::read(directory.join("names")).unwrap_or_default();
    let wanted = format!("{names:?}").into_bytes();
    if known != wanted || !lasts(&files.certificate, now) {
        let server = ca.issue_server(&names, now, VALIDITY)?;
        write(&files.certificate, &server, ca.certificate())?;
        write_key(&files.private_key, &server)?;
        std::fs::write(directory.join("names"), wanted)?;
    }
    Ok(SelfMade { files, ca_file: directory.join("ca.pem"), ca: ca.certificate().clone() })
}

fn authority(directory: &Path, now: Timestamp) -> anyhow::Result<Authority> {
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    if certificate.is_file() && key.is_file() {
        return Ok(Authority::from_pem(&std::fs::read(&certificate)?, &std::fs::read(&key)?)?);
    }
    let made = Authority::create("Rookery self-made TLS", now, CA_YEARS, AuthorityRole::IssuesOnly)?;
    write_key(&key, made.signer())?;
    std::fs::write(&certificate, made.certificate().to_pem()?)?;
    Ok(made)
}

fn lasts(file: &Path, now: Timestamp) -> bool {
    let certificate = std::fs::read(file).ok().and_then(|pem| Certificate::from_pem(&pem).ok());
    certificate.is_some_and(|certificate| certificate.not_after() > now.plus(RENEW_BEFORE))
}

fn write(file: &Path, server: &Signer, ca: &Certificate) -> anyhow::Result<()> {
    let chain = format!("{}{}", server.certificate().to_pem()?, ca.to_pem()?);
    Ok(std::fs::write(file, chain)?)
}

/// A private key is for its owner alone.
fn write_key(file: &Path, signer: &Signer) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(file)?.write_all(&signer.private_key_pem()?)?)
}
