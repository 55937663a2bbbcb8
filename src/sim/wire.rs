//! HTTPS as one device speaks it: HTTP/1.1 on one connection that is kept open, and the ways in which it can go wrong.
//!
//! The server must be named by a certificate of the trust anchors. Redirects are not followed, replies are bounded in
//! size and time. A request is repeated once, at once, when the connection that was kept open turns out to have ended;
//! otherwise never. It runs on every tokio runtime, also on the single thread of an actix arbiter.
//!
//! Start with [`Wire::send`].

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Uri, Version};
use protocol::pki::Signer;
use tokio::time::timeout;

mod connection;
mod outgoing;
mod statuses;
mod trust;

use connection::{Open, Origin};
use outgoing::Outgoing;
pub use statuses::Statuses;
pub use trust::{Trust, TrustError};

/// The connection of one device to its server.
#[derive(Debug)]
pub struct Wire {
    /// How it behaves.
    pub options: WireOptions,
    trust: Trust,
    identity: Option<Signer>,
    open: Option<Open>,
    connections: u64,
}

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct WireOptions {
    /// How long one exchange may take, connecting included.
    pub deadline: Duration,
    /// The largest reply that is read, in bytes.
    pub max_reply_bytes: usize,
    /// Where to connect to, whatever the URL says; the server must have the certificate of the URL's host all the same.
    pub reach: Option<Reach>,
    /// Where the status of every reply is counted, also of replies that are then dropped.
    pub statuses: Option<Statuses>,
}

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// TLS to this address.
    Tls(SocketAddr),
    /// Plain HTTP to this address, as a proxy that ends TLS forwards it.
    Plain(SocketAddr),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute URL, `https` or, where it says so, `http`.
    pub url: String,
    /// The headers; `Host` and `Content-Length` are added.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Bytes,
    /// How it is sent.
    pub manner: Manner,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As a sound device sends it.
    #[default]
    Proper,
    /// The body in pieces, with a pause before each.
    Slow {
        /// Bytes of a piece, at least 1.
        piece: usize,
        /// The pause.
        pause: Duration,
    },
    /// On a new connection that is dropped as soon as everything was written: the server may still be at work.
    DropAfterSending,
    /// The connection is dropped when the reply has begun to arrive: the server has done its work.
    DropBeforeReading,
}

/// A reply.
#[derive(Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    version: Version,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The URL is not an absolute one with `https` or `http`. Another one is needed.
    #[error("{0:?} is not an absolute https or http URL")]
    Url(String),
    /// A header cannot be written.
    #[error("the header {0} has a value that cannot be written")]
    Header(HeaderName),
    /// The server's certificate is not to be trusted, or TLS cannot be set up here. Trying again does not help.
    #[error("the server's certificate is not trusted: {0}")]
    Tls(String),
    /// There is no connection. To be tried again.
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    /// The connection ended before the reply. To be tried again; the server may have seen the request.
    #[error("the connection ended before the reply: {0}")]
    Broken(String),
    /// The reply did not come in time. To be tried again; the server may have seen the request.
    #[error("no reply within {0:?}")]
    Late(Duration),
    /// The reply is larger than what is read.
    #[error("the reply is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection was dropped on purpose ([`Manner`]). The server may have seen the request.
    #[error("the reply was lost on purpose")]
    ReplyLost,
}

/// What a reply to a device has to keep to and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// No `Content-Length`.
    #[error("the reply has no Content-Length")]
    NoLength,
    /// Chunked.
    #[error("the reply is chunked")]
    Chunked,
    /// Compressed.
    #[error("the reply is compressed")]
    Compressed,
    /// A redirect.
    #[error("the reply is a redirect")]
    Redirect,
    /// Not HTTP/1.1.
    #[error("the reply is not HTTP/1.1")]
    Version,
}

impl Default for WireOptions {
    /// Thirty seconds, 32 MiB, where the URL leads, not counted.
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), max_reply_bytes: 32 << 20, reach: None, statuses: None }
    }
}

impl Wire {
    /// A connection that is not open yet.
    pub fn new(trust: Trust, options: WireOptions) -> Self {
        Self { options, trust, identity: None, open: None, connections: 0 }
    }

    /// Whom it trusts.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Trusts someone else from the next connection on, and ends the present one if that makes a difference.
    pub fn set_trust(&mut self, trust: Trust) {
        if trust.anchors() != self.trust.anchors() {
            self.disconnect();
        }
        self.trust = trust;
    }

    /// Shows this certificate (or none) to the server from the next connection on, and ends the present one if that
    /// makes a difference.
    pub fn set_identity(&mut self, identity: Option<Signer>) {
        let certificate = |signer: &Option<Signer>| signer.as_ref().map(|signer| signer.certificate().fingerprint());
        if certificate(&identity) != certificate(&self.identity) {
            self.disconnect();
        }
        self.identity = identity;
    }

    /// Ends the connection; the next request opens another one.
    pub fn disconnect(&mut self) {
        self.open = None;
    }

    /// How many connections were opened.
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// Sends a request and reads the reply.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn send(&mut self, request: &Request) -> Result<Reply, WireError> {
        let deadline = self.options.deadline;
        let result = timeout(deadline, self.exchange(request)).await.unwrap_or(Err(WireError::Late(deadline)));
        if result.is_err() {
            self.cut();
        }
        result
    }

    async fn exchange(&mut self, request: &Request) -> Result<Reply, WireError> {
        let (origin, target) = Origin::of(&request.url)?;
        if request.manner == Manner::DropAfterSending {
            self.cut();
            let head = head(request, &origin, &target)?;
            self.connections += 1;
            return connection::write_and_drop(&self.dial(&origin), &head, &request.body).await;
        }
        let kept = self.open.as_ref().is_some_and(|open| open.leads_to(&origin));
        let first = self.attempt(&origin, &target, request).await;
        match first {
            // Servers close idle connections, and a device notices only when it uses one.
            Err(WireError::Broken(_)) if kept => {
                self.cut();
                self.attempt(&origin, &target, request).await
            }
            other => other,
        }
    }

    async fn attempt(&mut self, origin: &Origin, target: &Uri, request: &Request) -> Result<Reply, WireError> {
        if !self.open.as_ref().is_some_and(|open| open.leads_to(origin) && open.is_usable()) {
            self.open = None;
            self.connections += 1;
            self.open = Some(Open::new(&self.dial(origin)).await?);
        }
        let Some(open) = self.open.as_mut() else { return Err(WireError::Broken("it never was one".into())) };
        let response = open.send(build(request, origin, target)?).await?;
        if let Some(statuses) = &self.options.statuses {
            statuses.count(&request.url, response.status().as_u16());
        }
        if request.manner == Manner::DropBeforeReading {
            return Err(WireError::ReplyLost);
        }
        let (parts, body) = response.into_parts();
        let limit = self.options.max_reply_bytes;
        let body =
            Limited::new(body, limit).collect().await.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => broken(&error),
                Err(_) => WireError::TooLarge(limit),
            })?;
        let (status, headers, version) = (parts.status.as_u16(), parts.headers, parts.version);
        Ok(Reply { status, headers, body: body.to_bytes(), version })
    }

    fn dial<'a>(&'a self, origin: &'a Origin) -> connection::Dial<'a> {
        connection::Dial { origin, reach: self.options.reach, trust: &self.trust, identity: self.identity.as_ref() }
    }

    /// Ends the connection at once, whatever is under way on it.
    fn cut(&mut self) {
        if let Some(open) = self.open.take() {
            open.cut();
        }
    }
}

impl Request {
    /// A request without headers, sent properly.
    pub fn new(method: Method, url: &str, body: impl Into<Bytes>) -> Self {
        Self { method, url: url.to_owned(), headers: Vec::new(), body: body.into(), manner: Manner::Proper }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Reply {
    /// The text of a header, when it is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        value.to_str().ok()
    }

    /// The media type of `Content-Type`, without its parameters.
    pub fn media_type(&self) -> Option<&str> {
        self.header("content-type").map(|value| value.split(';').next().unwrap_or_default().trim())
    }

    /// The wait that `Retry-After` asks for, in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    /// Checks what the server promises its devices: a length, nothing chunked, nothing compressed, no redirect.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn check_framing(&self) -> Result<(), FramingError> {
        let rules = [
            (self.version == Version::HTTP_11, FramingError::Version),
            (!(300..400).contains(&self.status), FramingError::Redirect),
            (!self.headers.contains_key(TRANSFER_ENCODING), FramingError::Chunked),
            (!self.headers.contains_key(CONTENT_ENCODING), FramingError::Compressed),
            (self.headers.contains_key(CONTENT_LENGTH), FramingError::NoLength),
        ];
        rules.into_iter().try_for_each(|(kept, error)| if kept { Ok(()) } else { Err(error) })
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies carry commands with their secrets.
        let length = self.body.len();
        formatter.debug_struct("Reply").field("status", &self.status).field("bytes", &length).finish_non_exhaustive()
    }
}

impl WireError {
    /// Whether the same request is worth sending again.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Broken(_) | Self::Late(_) | Self::ReplyLost)
    }
}

fn build(request: &Request, origin: &Origin, target: &Uri) -> Result<hyper::Request<Outgoing>, WireError> {
    let mut built = hyper::Request::new(Outgoing::new(request.body.clone(), request.manner));
    *built.method_mut() = request.method.clone();
    *built.uri_mut() = target.clone();
    let host = (HOST, origin.authority());
    for (name, value) in std::iter::once(&host).chain(&request.headers) {
        let value = HeaderValue::from_str(value).map_err(|_| WireError::Header(name.clone()))?;
        built.headers_mut().append(name, value);
    }
    Ok(built)
}

/// The head of a request as it is written on the wire.
fn head(request: &Request, origin: &Origin, target: &Uri) -> Result<Vec<u8>, WireError> {
    let built = build(request, origin, target)?;
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method).into_bytes();
    for (name, value) in built.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body.len()).as_bytes());
    Ok(head)
}

fn broken(error: &hyper::Error) -> WireError {
    use std::error::Error;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    WireError::Broken(format!("{error}{cause}"))
}

type Sender = http1::SendRequest<Outgoing>;

#[cfg(test)]
pub(in crate::sim) mod tests;
