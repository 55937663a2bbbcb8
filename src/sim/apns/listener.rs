//! Connections: TLS, HTTP/2, and one answer for each request.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::error::ErrorStack;
use openssl::ssl::{AlpnError, Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion, select_next_proto};
use openssl::x509::X509;
use protocol::apple::push::is_topic;
use protocol::pki::{Certificate, Signer};
use protocol::time::Timestamp;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

use super::faults::Fault;
use super::registry::Wake;
use super::rules::{self, Refusal, Sender};
use super::{Observation, Outcome, PushService, lock};

/// More of a body than this is not read.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The streams that a connection may have open at once, as at Apple's.
const MAX_STREAMS: u32 = 1000;

/// What a request tells its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    GoAway,
    Reset,
}

/// One connection, as its requests see it.
struct Connection {
    service: PushService,
    sender: Sender,
    requests: AtomicU32,
    orders: UnboundedSender<Order>,
}

pub(super) fn context(certificate: &Signer) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_certificate(&*X509::from_der(certificate.certificate().der())?)?;
    context.set_private_key(certificate.key())?;
    // Who the client is decides what it is told, not whether it may speak.
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    context.set_alpn_select_callback(|_, offered| select_next_proto(b"\x02h2", offered).ok_or(AlpnError::ALERT_FATAL));
    // Sessions are not resumed: a resumed one would not show its certificate again.
    context.set_session_cache_mode(openssl::ssl::SslSessionCacheMode::OFF);
    context.set_options(openssl::ssl::SslOptions::NO_TICKET);
    Ok(context.build())
}

/// Takes connections until it is aborted, and them with it.
pub(super) async fn accept(service: PushService, listener: TcpListener, context: SslContext) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let (service, context) = (service.clone(), context.clone());
        connections.spawn(async move {
            if let Err(error) = connection(service, tcp, &context).await {
                tracing::debug!("a connection to the simulated APNs failed: {error}");
            }
        });
    }
}

async fn connection(service: PushService, tcp: TcpStream, context: &SslContext) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // A second handle to the socket, to cut the connection with once hyper owns the first.
    let tcp = tcp.into_std()?;
    let cutter = TcpStream::from_std(tcp.try_clone()?)?;
    let mut stream = SslStream::new(Ssl::new(context)?, TcpStream::from_std(tcp)?)?;
    Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
    let sender = sender(&service, &stream);
    service.0.tally.connections.fetch_add(1, Relaxed);
    let (orders, mut inbox) = unbounded_channel();
    let connection = Arc::new(Connection { service, sender, requests: AtomicU32::new(0), orders });
    let answering = service_fn(move |request| answer(connection.clone(), request));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.max_concurrent_streams(MAX_STREAMS);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answering));
    loop {
        tokio::select! {
            ended = serving.as_mut() => return ended.map_err(io::Error::other),
            Some(order) = inbox.recv() => match order {
                Order::GoAway => serving.as_mut().graceful_shutdown(),
                Order::Reset => return cutter.set_zero_linger(),
            },
        }
    }
}

fn sender(service: &PushService, stream: &SslStream<TcpStream>) -> Sender {
    let Some(peer) = stream.ssl().peer_certificate() else { return Sender::Nobody };
    let certificate = peer.to_der().ok().and_then(|der| Certificate::parse(&der).ok());
    let config = &service.0.config;
    let usable = |certificate: &Certificate| {
        let issued = config.issuers.iter().any(|issuer| certificate.is_issued_by(issuer));
        (issued || config.issuers.is_empty()) && certificate.is_valid_at(config.clock.now())
    };
    let topic = certificate.filter(usable).and_then(|certificate| certificate.subject_user_id().map(str::to_owned));
    topic.filter(|topic| is_topic(topic)).map_or(Sender::Unusable, Sender::Topic)
}

async fn answer(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let service = &connection.service;
    connection.count();
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map(|body| body.to_bytes());
    // Whatever is too long to be read is too long in any case.
    let body = body.unwrap_or_else(|_| Bytes::from(vec![b' '; MAX_BODY_BYTES]));
    let observation = connection.observation(&head);
    let fault = lock(&service.0.faults).next(observation.token.as_deref());
    match fault {
        Some(Fault::Reset) => connection.order(Order::Reset),
        Some(Fault::BlackHole) => {}
        Some(Fault::Answer { status, reason, retry_after, timestamp }) => {
            let since = timestamp.or_else(|| (status == 410).then(|| service.now()));
            let outcome = Outcome::Refused(reason.clone());
            let observation = Observation { status, outcome, ..observation };
            let mut response = respond(&observation, content(&reason, since));
            if let Some(after) = retry_after {
                response.headers_mut().insert("retry-after", after.as_secs().into());
            }
            service.observe(observation);
            return Ok(response);
        }
        Some(Fault::GoAway) => {
            connection.order(Order::GoAway);
            return Ok(decide(&connection, &head, &body, observation));
        }
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            return Ok(decide(&connection, &head, &body, observation));
        }
        None => return Ok(decide(&connection, &head, &body, observation)),
    }
    service.observe(observation);
    std::future::pending().await
}

/// Answers as Apple does, and wakes the device.
fn decide(connection: &Connection, head: &Parts, body: &[u8], mut observation: Observation) -> Response<Full<Bytes>> {
    let service = &connection.service;
    let taken: Result<(Outcome, Option<Wake>), Refusal> = rules::judge(head, body, &connection.sender)
        .and_then(|push| lock(&service.0.registry).take(push, service.now()));
    let (status, outcome, wake, body) = match taken {
        Ok((outcome, wake)) => (200, outcome, wake, Bytes::new()),
        Err(refusal) => {
            let body = content(refusal.reason, refusal.since);
            (refusal.status, Outcome::Refused(refusal.reason.to_owned()), None, body)
        }
    };
    observation.status = status;
    observation.outcome = outcome;
    let response = respond(&observation, body);
    service.observe(observation);
    if let Some(wake) = wake {
        wake();
    }
    response
}

fn content(reason: &str, since: Option<Timestamp>) -> Bytes {
    let document = match since {
        Some(since) => json!({"reason": reason, "timestamp": since.millis()}),
        None => json!({"reason": reason}),
    };
    document.to_string().into()
}

fn respond(observation: &Observation, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = observation.status.try_into().unwrap_or_default();
    if let Ok(id) = observation.apns_id.parse() {
        response.headers_mut().insert("apns-id", id);
    }
    response
}

impl Connection {
    /// Counts a request; the last one that the connection may have tells it to end.
    fn count(&self) {
        self.service.0.tally.requests.fetch_add(1, Relaxed);
        if self.requests.fetch_add(1, Relaxed) + 1 >= self.service.0.requests_per_connection.load(Relaxed) {
            self.order(Order::GoAway);
        }
    }

    fn observation(&self, head: &Parts) -> Observation {
        let id = head.headers.get("apns-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        Observation {
            at: self.service.now(),
            token: rules::token(head.uri.path()),
            topic: self.sender.topic().map(str::to_owned),
            apns_id: id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            status: 0,
            outcome: Outcome::Unanswered,
        }
    }

    fn order(&self, order: Order) {
        // A connection that has ended needs no orders.
        let _ = self.orders.send(order);
    }
}
