//! A server for one test: free ports, a fresh database, short waits, an admin.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode};
use rookery::config::{Settings, Span};
use rookery::serve::{self, Ended, Running};
use serde_json::Value;

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with an admin's token.
pub(crate) struct App {
    pub(crate) running: Option<Running>,
    pub(crate) settings: Settings,
    pub(crate) token: String,
    pub(crate) client: Client,
    directory: PathBuf,
    expected: Cell<Ended>,
}

/// An answer: status and JSON, or null where the body is none.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) json: Value,
}

impl App {
    /// Starts a server with usual settings.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts a server with changed settings.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = std::env::temp_dir().join(format!("rookery-it-{}", uuid::Uuid::new_v4()));
        let mut settings = Settings { data_dir: directory.clone(), ..Settings::default() };
        settings.device.listen = "127.0.0.1:0".parse().unwrap();
        settings.admin.listen = "127.0.0.1:0".parse().unwrap();
        settings.ops.listen = "127.0.0.1:0".parse().unwrap();
        settings.apns.url = "https://localhost:1".into();
        settings.egress.allow = vec!["127.0.0.1".into()];
        settings.hosts.push_again = millis(300);
        settings.hosts.not_now = millis(300);
        settings.hosts.push_quiet = millis(50);
        settings.hosts.second_push = millis(300);
        settings.log.filter = std::env::var("ROOKERY_TEST_LOG").unwrap_or_else(|_| "off".into());
        change(&mut settings);
        rookery::telemetry::start(&settings.log).unwrap();
        let running = serve::start(settings.clone()).unwrap();
        let token = running.new_token("test").unwrap();
        let client = client(&running);
        let expected = Cell::new(Ended::Asked);
        Self { running: Some(running), settings, token, client, directory, expected }
    }

    /// Stops the server in order and starts it again on the same rows and ports.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Stops the server in order; the next one will have its ports.
    pub(crate) fn stop(&mut self) {
        let addresses = self.running().addresses.clone();
        assert_eq!(self.running.take().unwrap().stop().unwrap(), Ended::Asked);
        self.settings.device.listen = addresses.device;
        self.settings.admin.listen = addresses.admin;
        self.settings.ops.listen = addresses.ops;
    }

    /// Starts a server with the settings as they are now.
    pub(crate) fn start_again(&mut self) {
        self.running = Some(serve::start(self.settings.clone()).unwrap());
        self.client = client(self.running());
    }

    /// Says how the server is going to end, where that is not in order.
    pub(crate) fn expect(&self, ended: Ended) {
        self.expected.set(ended);
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn device_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.running().addresses.device.port())
    }

    /// A request of the admin.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.running().addresses.admin_url);
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.admin(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.admin(Method::POST, path).body(body.to_string())).await
    }

    /// The operators' listener.
    pub(crate) async fn ops(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.running().addresses.ops_url))).await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let ended = self.running.take().map(Running::stop);
        let _ = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            let as_expected = matches!(&ended, Some(Ok(ended)) if *ended == self.expected.get());
            assert!(as_expected, "the server ended otherwise than expected: {ended:?}");
        }
    }
}

/// Sends a request and reads its answer.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status();
    let json = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null);
    Answer { status, json }
}

/// Waits until something holds.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// The same for what has reasons to take longer.
pub(crate) async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let until = tokio::time::Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn millis(millis: u64) -> Span {
    Span(Duration::from_millis(millis))
}

/// A client that trusts the server's self-made authority alone.
fn client(running: &Running) -> Client {
    let ca = std::fs::read(running.addresses.ca_file.as_ref().unwrap()).unwrap();
    let ca = Certificate::from_pem(&ca).unwrap();
    Client::builder().tls_certs_only([ca]).no_proxy().timeout(PATIENCE).build().unwrap()
}
