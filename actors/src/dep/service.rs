//! Calls to Apple's device assignment service with one server token: the session behind them, and what a failure means.
//!
//! Each call is made once, twice when the session had ended. Never here: when to call again, and anything that is kept.

use std::time::Duration;

use protocol::apple::dep::answers::{
    self, Account, Answer as Answered, AnswerError, Assigned, DefinedProfile, DevicesPage, MAX_ANSWER_BYTES, Refusal,
};
use protocol::apple::dep::oauth::{SESSION_PATH, authorization};
use protocol::apple::dep::token::ServerToken;
use protocol::apple::dep::{CONTENT_TYPE, PROTOCOL_VERSION, SESSION_HEADER, VERSION_HEADER, requests};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response};
use tokio::sync::Mutex;

use super::DepConfig;
use crate::clock::Clock;
use crate::nonce::nonce;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Devices of a page: few enough that a page is a short transaction.
const PAGE: usize = 200;
/// What this server is called.
const USER_AGENT: &str = concat!("Rookery/", env!("CARGO_PKG_VERSION"));

/// The service, as the holder of one token reaches it.
pub(super) struct Service {
    client: Client,
    url: String,
    clock: Clock,
    token: ServerToken,
    session: Mutex<Option<HeaderValue>>,
}

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The service said so.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing came, or nothing that can be read: whether it was done is not known.
    #[error("{0}")]
    Broken(String),
}

impl From<AnswerError> for CallError {
    fn from(error: AnswerError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        let why = if error.is_timeout() { "it did not answer in time" } else { "the connection failed" };
        Self::Broken(format!("Apple's device assignment service cannot be reached: {why}"))
    }
}

/// Whether a page is one of all devices or one of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// All devices.
    All,
    /// Changes.
    Changes,
}

impl Service {
    /// The service with its settings, for a token.
    pub(super) fn new(config: &DepConfig, clock: Clock, token: ServerToken) -> Result<Self, CallError> {
        let mut client = Client::builder()
            .https_only(true)
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(USER_AGENT);
        if let Some(root) = &config.root_certificate {
            client = client.tls_certs_merge([reqwest::Certificate::from_pem(root.as_bytes())?]);
        }
        Ok(Self { client: client.build()?, url: config.url.clone(), clock, token, session: Mutex::default() })
    }

    pub(super) async fn account(&self) -> Result<Account, CallError> {
        Ok(Account::parse(&self.call(Method::GET, "/account", None).await?)?)
    }

    pub(super) async fn page(&self, of: Of, cursor: Option<&str>) -> Result<DevicesPage, CallError> {
        let path = match of {
            Of::All => "/server/devices",
            Of::Changes => "/devices/sync",
        };
        let body = requests::devices(cursor, PAGE);
        Ok(DevicesPage::parse(&self.call(Method::POST, path, Some(body)).await?)?)
    }

    pub(super) async fn define(&self, profile: Vec<u8>) -> Result<DefinedProfile, CallError> {
        Ok(DefinedProfile::parse(&self.call(Method::POST, "/profile", Some(profile)).await?)?)
    }

    pub(super) async fn assign(&self, profile_uuid: &str, serials: &[String]) -> Result<Assigned, CallError> {
        let body = requests::assignment(profile_uuid, serials);
        Ok(Assigned::parse(&self.call(Method::POST, "/profile/devices", Some(body)).await?)?)
    }

    /// One call, with a new session when the one that is known has ended.
    async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>, CallError> {
        // One at a time: the next call has to use the session that this one's answer brings.
        let mut session = self.session.lock().await;
        let is_new = session.is_none();
        let used = match session.take() {
            Some(known) => known,
            None => self.open().await?,
        };
        let request = || self.request(method.clone(), path, body.clone());
        match self.send(request().header(SESSION_HEADER, &used), &mut session, used).await {
            Err(CallError::Refused(Refusal::SessionEnded)) if !is_new => {
                let used = self.open().await?;
                self.send(request().header(SESSION_HEADER, &used), &mut session, used).await
            }
            done => done,
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header(VERSION_HEADER, PROTOCOL_VERSION);
        match body {
            Some(body) => request.header(CONTENT_TYPE_HEADER, CONTENT_TYPE).body(body),
            None => request,
        }
    }

    /// Sends a request that shows a session, and keeps the session for the next one unless it ended.
    async fn send(
        &self,
        request: RequestBuilder,
        session: &mut Option<HeaderValue>,
        used: HeaderValue,
    ) -> Result<Vec<u8>, CallError> {
        let response = request.send().await?;
        let new = response.headers().get(SESSION_HEADER).filter(|new| !new.is_empty()).cloned();
        let read = self.read(response, false).await;
        if !matches!(read, Err(CallError::Refused(Refusal::SessionEnded))) {
            let mut kept = new.unwrap_or(used);
            kept.set_sensitive(true);
            *session = Some(kept);
        }
        read
    }

    /// Asks for a session.
    async fn open(&self) -> Result<HeaderValue, CallError> {
        let broken = |why: &str| CallError::Broken(why.to_owned());
        let url = format!("{}{SESSION_PATH}", self.url);
        let once = nonce().map_err(|error| CallError::Broken(error.to_string()))?;
        let signed = authorization(&self.token, &url, self.clock.shown(), &once);
        let signed = signed.map_err(|_| broken("OpenSSL does not sign the request for a session"))?;
        let mut header = HeaderValue::from_str(&signed).map_err(|_| broken("the server token cannot be sent"))?;
        header.set_sensitive(true);
        let request = self.client.get(url).header(AUTHORIZATION, header).header(VERSION_HEADER, PROTOCOL_VERSION);
        let body = self.read(request.send().await?, true).await?;
        HeaderValue::from_str(&answers::session(&body)?)
            .map_err(|_| broken("the session of Apple's service cannot be sent"))
    }

    /// The body of an answer with status 200.
    async fn read(&self, mut response: Response, to_session: bool) -> Result<Vec<u8>, CallError> {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(CallError::Broken(
                    "the answer of Apple's device assignment service is too long".to_owned(),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        if status == 200 {
            return Ok(body);
        }
        let retry_after = retry_after.as_ref().and_then(|value| value.to_str().ok());
        let received_at = self.clock.now();
        Err(Refusal::of(&Answered { status, body: &body, retry_after, received_at, to_session }).into())
    }
}
