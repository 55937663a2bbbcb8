//! A webhook's receiver: a real HTTP server on loopback that writes down what comes, and answers as a test wants.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The status that it was answered with.
    pub(crate) status: u16,
}

/// An answer: a status, after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) after: Duration,
    /// For how many seconds it asks to be left alone.
    pub(crate) rest: Option<u64>,
}

type Answering = Arc<dyn Fn(&Delivery) -> Reply + Send + Sync>;

/// The receiver; it ends with this value.
pub(crate) struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Delivery>>>,
    answering: Arc<Mutex<Answering>>,
    runtime: Option<Runtime>,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self { status, after: Duration::ZERO, rest: None }
    }
}

impl Receiver {
    /// A receiver that takes everything.
    pub(crate) fn start() -> Self {
        Self::at(0)
    }

    /// The same on a port.
    pub(crate) fn at(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (got, answering) = (Arc::<Mutex<Vec<Delivery>>>::default(), Arc::new(Mutex::new(taking())));
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (noted, answers) = (got.clone(), answering.clone());
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (noted, answers) = (noted.clone(), answers.clone());
                tokio::spawn(async move {
                    let serve = service_fn(move |request| serve(request, noted.clone(), answers.clone()));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), serve).await;
                });
            }
        });
        Self { port, got, answering, runtime: Some(runtime) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events?token={QUERY_TOKEN}", self.port)
    }

    /// Answers so from now on.
    pub(crate) fn answer<R: Into<Reply>>(&self, answer: impl Fn(&Delivery) -> R + Send + Sync + 'static) {
        *self.answering.lock().unwrap() = Arc::new(move |delivery| answer(delivery).into());
    }

    /// Everything that came, in order of its coming.
    pub(crate) fn all(&self) -> Vec<Delivery> {
        self.got.lock().unwrap().clone()
    }

    /// What was taken, each event once, in order.
    pub(crate) fn taken(&self) -> Vec<Delivery> {
        let mut known = std::collections::HashSet::new();
        let taken = self.all().into_iter().filter(|one| one.status == 200);
        taken.filter(|one| known.insert(one.event())).collect()
    }
}

/// A password in the receiver's address.
pub(crate) const QUERY_TOKEN: &str = "canary-in-the-receivers-address";

fn taking() -> Answering {
    Arc::new(|_| Reply::from(200))
}

async fn serve(
    request: Request<Incoming>,
    noted: Arc<Mutex<Vec<Delivery>>>,
    answers: Arc<Mutex<Answering>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    let mut delivery = Delivery { headers, body: body.to_bytes().to_vec(), status: 0 };
    let answer = answers.lock().unwrap().clone();
    let reply = answer(&delivery);
    delivery.status = reply.status;
    tokio::time::sleep(reply.after).await;
    noted.lock().unwrap().push(delivery);
    let words = Full::from(Bytes::from_static(b"canary-word-of-the-receiver"));
    let mut response = Response::builder().status(reply.status);
    if let Some(seconds) = reply.rest {
        response = response.header("retry-after", seconds);
    }
    Ok(response.body(words).unwrap())
}

impl Delivery {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The event's name.
    pub(crate) fn event(&self) -> String {
        self.headers["rookery-event-id"].clone()
    }

    /// What it is about, in either form.
    pub(crate) fn topic(&self) -> String {
        let json = self.json();
        json["topic"].as_str().or(json["type"].as_str()).unwrap().to_owned()
    }

    /// The channel that it is about, in either form.
    pub(crate) fn channel(&self) -> String {
        let json = self.json();
        let ids =
            ["acknowledge_event", "checkin_event"].map(|kind| json[kind]["ids"]["id"].as_str().map(str::to_owned));
        let ours = json["host"]["enrollment_id"].as_str().map(str::to_owned);
        ids.into_iter().flatten().next().or(ours).unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}
