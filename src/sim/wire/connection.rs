//! One open connection: where it leads, how it is opened, and how it ends.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::client::conn::http1;
use hyper::{Response, Uri};
use hyper_util::rt::TokioIo;
use openssl::x509::X509VerifyResult;
use protocol::pki::Signer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_openssl::SslStream;

use super::outgoing::Outgoing;
use super::trust::Trust;
use super::{Reach, Reply, Sender, WireError, broken};

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

/// Everything that opening a connection takes.
pub(super) struct Dial<'a> {
    pub(super) origin: &'a Origin,
    pub(super) reach: Option<Reach>,
    pub(super) trust: &'a Trust,
    pub(super) identity: Option<&'a Signer>,
}

/// An open connection. Dropped, it ends in good order.
pub(super) struct Open {
    origin: Origin,
    sender: Sender,
    driver: AbortHandle,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Origin {
    /// The origin of a URL, and the target that is asked for there.
    pub(super) fn of(url: &str) -> Result<(Self, Uri), WireError> {
        let wrong = || WireError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).parse().map_err(|_| wrong())?;
        Ok((Self { tls, host, port }, target))
    }

    /// What the header `Host` says.
    pub(super) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl Dial<'_> {
    async fn open(&self) -> Result<Transport, WireError> {
        let tls = match self.reach {
            Some(Reach::Tls(_)) => true,
            Some(Reach::Plain(_)) => false,
            None => self.origin.tls,
        };
        let tcp = match self.reach {
            Some(Reach::Tls(address) | Reach::Plain(address)) => TcpStream::connect(address).await,
            None => TcpStream::connect((self.origin.host.trim_matches(['[', ']']), self.origin.port)).await,
        };
        let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)).map_err(WireError::Connect)?;
        if !tls {
            return Ok(Transport::Plain(tcp));
        }
        let ssl = self.trust.client(&self.origin.host, self.identity);
        let ssl = ssl.map_err(|error| WireError::Tls(error.to_string()))?;
        let mut stream = SslStream::new(ssl, tcp).map_err(|error| WireError::Tls(error.to_string()))?;
        match Pin::new(&mut stream).connect().await {
            Ok(()) => Ok(Transport::Tls(Box::new(stream))),
            // A server that goes away during the handshake is not one that cannot be trusted.
            Err(error) if stream.ssl().verify_result() == X509VerifyResult::OK => {
                Err(WireError::Connect(error.into_io_error().unwrap_or_else(io::Error::other)))
            }
            Err(_) => Err(WireError::Tls(stream.ssl().verify_result().error_string().to_owned())),
        }
    }
}

impl Open {
    pub(super) async fn new(dial: &Dial<'_>) -> Result<Self, WireError> {
        let transport = dial.open().await?;
        let handshake = http1::handshake::<_, Outgoing>(TokioIo::new(transport)).await;
        let (sender, connection) = handshake.map_err(|error| broken(&error))?;
        // How the connection ended is told by the request that was under way.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { origin: dial.origin.clone(), sender, driver })
    }

    pub(super) fn leads_to(&self, origin: &Origin) -> bool {
        self.origin == *origin
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn send(
        &mut self,
        request: hyper::Request<Outgoing>,
    ) -> Result<Response<hyper::body::Incoming>, WireError> {
        self.sender.ready().await.map_err(|error| broken(&error))?;
        self.sender.send_request(request).await.map_err(|error| broken(&error))
    }

    /// Ends the connection at once.
    pub(super) fn cut(self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Open").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Writes a request to a new connection and drops it.
pub(super) async fn write_and_drop(dial: &Dial<'_>, head: &[u8], body: &[u8]) -> Result<Reply, WireError> {
    let mut transport = dial.open().await?;
    let written = async {
        transport.write_all(head).await?;
        transport.write_all(body).await?;
        transport.flush().await
    };
    written.await.map_err(|error: io::Error| WireError::Broken(error.to_string()))?;
    // What has come meanwhile (TLS session tickets) is read: a socket closed with unread bytes takes back what it sent.
    let mut scratch = [0; 4096];
    poll_fn(|context| {
        let _ = Pin::new(&mut transport).poll_read(context, &mut ReadBuf::new(&mut scratch));
        Poll::Ready(())
    })
    .await;
    Err(WireError::ReplyLost)
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
