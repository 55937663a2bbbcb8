//! Who speaks: the certificate behind a request.
//!
//! In this order: the `Mdm-Signature` header, which covers the body; the client certificate of the TLS connection; a header
//! that a trusted proxy sets from the client certificate it saw (RFC 9440, or nginx's escaped PEM). From anyone else that
//! header means nothing.

use std::any::Any;
use std::borrow::Cow;
use std::net::IpAddr;

use actix_tls::accept::openssl::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actors::ask::Refusal;
use actors::trust::{Trust, Vetted};
use protocol::pki::Fingerprint;
use protocol::pki::signature::header;
use protocol::time::Timestamp;

use protocol::percent::percent_decoded;

/// The longest client certificate header, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Which proxies may tell us what certificate they saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Their addresses.
    pub trusted: Vec<IpAddr>,
    /// The header they use.
    pub header: String,
}

/// The client certificate (DER) of a TLS connection.
#[derive(Clone, Debug)]
struct PeerCertificate(Vec<u8>);

/// Remembers the client certificate of a new connection, if there is one.
pub fn on_connect(connection: &dyn Any, extensions: &mut Extensions) {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
    if let Some(der) =
        tls.and_then(|tls| tls.ssl().peer_certificate()).and_then(|certificate| certificate.to_der().ok())
    {
        extensions.insert(PeerCertificate(der));
    }
}

/// Finds out who sent a request with this body.
///
/// # Errors
/// No certificate, a wrong signature, a certificate that is not ours; or the database is away.
pub async fn vet(
    request: &HttpRequest,
    body: &[u8],
    trust: &Trust,
    proxies: &Proxies,
    now: Timestamp,
) -> Result<Vetted, Refusal> {
    if let Some(value) = request.headers().get("mdm-signature") {
        let cms = header(value.as_bytes()).map_err(|error| Refusal::Invalid(format!("Mdm-Signature: {error}")))?;
        return trust.by_signature(&cms, body, now).await;
    }
    match certificate(request, proxies)? {
        Some(der) => trust.by_certificate(&der, now).await,
        None => Err(Refusal::Invalid("neither a client certificate nor an Mdm-Signature header came with this".into())),
    }
}

/// The certificate that the sender of a request showed in its TLS handshake, if any. Whose it is, and whether it still counts,
/// is not looked at.
///
/// # Errors
/// What a proxy says of it cannot be read.
pub fn shown(request: &HttpRequest, proxies: &Proxies) -> Result<Option<Fingerprint>, Refusal> {
    Ok(certificate(request, proxies)?.map(|der| Fingerprint::of(&der)))
}

fn certificate<'r>(request: &'r HttpRequest, proxies: &Proxies) -> Result<Option<Cow<'r, [u8]>>, Refusal> {
    match request.conn_data::<PeerCertificate>() {
        Some(peer) => Ok(Some(peer.0.as_slice().into())),
        None => Ok(from_proxy(request, proxies)?.map(Cow::Owned)),
    }
}

fn from_proxy(request: &HttpRequest, proxies: &Proxies) -> Result<Option<Vec<u8>>, Refusal> {
    let trusted = request.peer_addr().is_some_and(|peer| proxies.trusted.contains(&peer.ip().to_canonical()));
    let Some(value) = request.headers().get(proxies.header.as_str()).filter(|_| trusted) else { return Ok(None) };
    let bytes = value.as_bytes();
    if bytes.len() > MAX_HEADER_BYTES {
        return Err(Refusal::Invalid("the client certificate header is too long".into()));
    }
    let unreadable = || Refusal::Invalid("the proxy's client certificate header cannot be read".into());
    read_header(bytes).map(Some).ok_or_else(unreadable)
}

/// `:base64(DER):` (RFC 9440), or a percent-encoded PEM.
fn read_header(value: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    if let Some(inner) = value.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":")) {
        return base64::engine::general_purpose::STANDARD.decode(inner).ok();
    }
    let pem = percent_decoded(value);
    openssl::x509::X509::from_pem(&pem).ok()?.to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::pki::{NewKey, self_signed};

    #[test]
    fn both_forms_of_the_proxy_header_mean_the_same_certificate() {
        use base64::Engine;
        let key = NewKey::P256.generate().unwrap();
        let day = std::time::Duration::from_secs(86_400);
        let certificate = self_signed(key, "device", Timestamp::from_seconds(1_800_000_000), day).unwrap();
        let der = certificate.certificate().der();
        let rfc9440 = format!(":{}:", base64::engine::general_purpose::STANDARD.encode(der));
        assert_eq!(read_header(rfc9440.as_bytes()).as_deref(), Some(der));
        let pem = certificate.certificate().to_pem().unwrap();
        let nginx: String = pem
            .bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect();
        assert_eq!(read_header(nginx.as_bytes()).as_deref(), Some(der));
        for broken in ["", ":", "::x:", "%", "%4", "%zz", "-----BEGIN"] {
            assert_eq!(read_header(broken.as_bytes()).filter(|der| !der.is_empty()), None, "{broken}");
        }
    }
}
