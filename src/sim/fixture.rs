//! For tests: a certificate authority, a TLS server that answers as a test tells it, byte by byte if need be.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::{Certificate, ServerName, Signer};
use protocol::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

use super::wire::Trust;

pub(in crate::sim) const DAY: Duration = Duration::from_secs(86_400);

/// What a server saw.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Seen {
    pub(in crate::sim) method: String,
    pub(in crate::sim) target: String,
    pub(in crate::sim) headers: HashMap<String, String>,
    pub(in crate::sim) body: Vec<u8>,
    pub(in crate::sim) client: Option<Certificate>,
    /// The number of the connection, from 1.
    pub(in crate::sim) connection: usize,
}

/// What a server does.
#[derive(Clone, Debug)]
pub(in crate::sim) enum Act {
    /// Writes these bytes and keeps the connection.
    Write(Vec<u8>),
    /// Writes these bytes and ends the connection.
    WriteAndClose(Vec<u8>),
    /// Ends the connection.
    Close,
    /// Never answers.
    Hang,
}

/// A server; it ends with this value.
pub(in crate::sim) struct FakeServer {
    pub(in crate::sim) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

type Answering = Arc<dyn Fn(&Seen) -> Act + Send + Sync>;

impl FakeServer {
    /// A server that answers with `act`.
    pub(in crate::sim) async fn start(act: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, act): (_, Answering) = (seen.clone(), Arc::new(act));
        let context = server_context(server());
        let task = tokio::spawn(async move {
            for connection in 1.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let (log, act, ssl) = (log.clone(), act.clone(), Ssl::new(&context).unwrap());
                tokio::spawn(async move {
                    let mut stream = SslStream::new(ssl, tcp).unwrap();
                    if Pin::new(&mut stream).accept().await.is_ok() {
                        serve(stream, connection, &log, &act).await;
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    pub(in crate::sim) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub(in crate::sim) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: SslStream<tokio::net::TcpStream>,
    connection: usize,
    log: &Mutex<Vec<Seen>>,
    act: &Answering,
) {
    let client = stream.ssl().peer_certificate().map(|peer| Certificate::parse(&peer.to_der().unwrap()).unwrap());
    while let Some(mut seen) = read_request(&mut stream).await {
        seen.connection = connection;
        seen.client.clone_from(&client);
        log.lock().unwrap().push(seen.clone());
        match act(&seen) {
            Act::Write(bytes) => stream.write_all(&bytes).await.unwrap_or_default(),
            Act::WriteAndClose(bytes) => return stream.write_all(&bytes).await.unwrap_or_default(),
            Act::Close => return,
            Act::Hang => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut SslStream<tokio::net::TcpStream>) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<String, String> = lines.filter_map(pair).collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        stream.read_buf(&mut body).await.ok().filter(|count| *count > 0)?;
    }
    Some(Seen { method, target, headers, body, client: None, connection: 0 })
}

/// A proper reply.
pub(in crate::sim) fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Act {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} Something\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Act::Write(bytes)
}

pub(in crate::sim) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The authority that issues everything in tests.
pub(in crate::sim) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::create("Simulation CA", now(), 1, AuthorityRole::AnswersScep).unwrap())
}

/// The TLS identity of `localhost`.
pub(in crate::sim) fn server() -> &'static Signer {
    static SERVER: OnceLock<Signer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let names = [ServerName::Dns("localhost".into()), ServerName::Ip([127, 0, 0, 1].into())];
        authority().issue_server(&names, now(), DAY).unwrap()
    })
}

pub(in crate::sim) fn trust() -> Trust {
    Trust::new([authority().certificate().der()]).unwrap()
}

fn server_context(signer: &Signer) -> SslContext {
    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_certificate(&X509::from_der(signer.certificate().der()).unwrap()).unwrap();
    context.set_private_key(signer.key()).unwrap();
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    context.build()
}
