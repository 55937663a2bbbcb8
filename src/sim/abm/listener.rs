//! Connections: TLS, HTTP/1.1, and one answer for each request, unless the script has it otherwise.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVersion};
use openssl::x509::X509;
use protocol::pki::Signer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

use super::calls::{Call, Reply};
use super::faults::Fault;
use super::{AssignmentService, Rule};

/// More of a body than this is not read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed, as scripted")]
struct Closed;

pub(super) fn context(certificate: &Signer) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_certificate(&*X509::from_der(certificate.certificate().der())?)?;
    context.set_private_key(certificate.key())?;
    Ok(context.build())
}

/// Takes connections until it is aborted, and them with it.
pub(super) async fn accept(service: AssignmentService, listener: TcpListener, context: SslContext) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let (service, context) = (service.clone(), context.clone());
        connections.spawn(async move {
            if let Err(error) = connection(service, tcp, &context).await {
                tracing::debug!("a connection to the simulated device assignment service failed: {error}");
            }
        });
    }
}

async fn connection(service: AssignmentService, tcp: TcpStream, context: &SslContext) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = SslStream::new(Ssl::new(context)?, tcp)?;
    Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
    let answering = service_fn(move |request| answer(service.clone(), request));
    http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await.map_err(io::Error::other)
}

async fn answer(service: AssignmentService, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let call = Call {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: Limited::new(body, MAX_BODY_BYTES).collect().await.map(|body| body.to_bytes()).ok(),
    };
    let fault = service.noted(&call);
    match &fault {
        Some(Fault::ClosedBefore) => return Err(Closed),
        Some(Fault::Answer { status, code, retry_after }) => {
            return Ok(respond(service.scripted(&call, (*status, code), *retry_after)));
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Truncated | Fault::ClosedAfter) | None => {}
    }
    let now = service.now();
    let mut reply = service.state().answer(&call, now);
    match fault {
        Some(Fault::ClosedAfter) => return Err(Closed),
        Some(Fault::Truncated) => reply.body.truncate(reply.body.len() / 2),
        _ => {}
    }
    Ok(respond(reply))
}

fn respond(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status.try_into().unwrap_or_default();
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (hyper::header::HeaderName::from_bytes(name.as_bytes()), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

impl AssignmentService {
    /// Counts a call, whether it comes too early, and what goes wrong with it.
    fn noted(&self, call: &Call) -> Option<Fault> {
        let now = self.now();
        let mut state = self.state();
        let state = &mut *state;
        let name = format!("{} {}", call.method, call.path);
        if state.quiet_until.get(&state.caller(call)).is_some_and(|until| now < *until) {
            state.find(Rule::Haste, format!("{name} before Retry-After"));
        }
        *state.calls.entry(name).or_default() += 1;
        state.faults.next(&call.path, &mut state.chance)
    }

    fn scripted(&self, call: &Call, (status, code): (u16, &str), retry_after: Option<Duration>) -> Reply {
        let mut reply = Reply::refused(status, code);
        if let Some(after) = retry_after {
            let until = self.now().plus(after);
            let mut state = self.state();
            let caller = state.caller(call);
            state.quiet_until.insert(caller, until);
            reply.headers.push(("retry-after", after.as_secs().to_string()));
        }
        reply
    }
}
