//! What we ask the identity provider: its metadata, its keys, and an id token for a code. Each answer is bounded in size and
//! time; redirects are not followed, and nothing of an answer goes into an error.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::token::Keys;
use super::{OidcConfig, OidcError, is_sound};
use protocol::percent::percent_encoded;

/// How long a request may take, from the name to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long metadata and keys are believed.
const BELIEVED: Duration = Duration::from_secs(3600);
/// Keys are not asked for again within this time, whatever keys tokens name.
const QUIET: Duration = Duration::from_secs(60);

/// The provider, as it is reached.
pub(super) struct Remote {
    client: Client,
    issuer: String,
    redirect_uri: String,
    authorization: String,
    metadata: Mutex<Option<(Arc<Metadata>, Instant)>>,
    keys: KnownKeys,
}

/// Keys that were asked for, for a while.
#[derive(Default)]
pub(in crate::http) struct KnownKeys(Mutex<Option<(Arc<Keys>, Instant)>>);

/// What the provider says of itself (Discovery 1.0, 3).
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

/// What the token endpoint answers (Core 1.0, 3.1.3.3), as far as it is read.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

impl Remote {
    /// # Errors
    /// The root certificate is none.
    pub(super) fn new(config: &OidcConfig) -> Result<Self, String> {
        let client = client(config.root_certificate.as_deref()).map_err(|error| format!("oidc: {error}"))?;
        // RFC 6749, 2.3.1: both are encoded before they become Basic authentication.
        let (id, secret) = (percent_encoded(&config.client_id), percent_encoded(&config.client_secret));
        Ok(Self {
            client,
            issuer: config.issuer.clone(),
            redirect_uri: config.redirect_uri.clone(),
            authorization: format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))),
            metadata: Mutex::default(),
            keys: KnownKeys::default(),
        })
    }

    /// What the provider says of itself.
    ///
    /// # Errors
    /// It does not answer, it is another one, or it names addresses that are not safe.
    pub(super) async fn metadata(&self, now: Instant) -> Result<Arc<Metadata>, OidcError> {
        let mut known = self.metadata.lock().await;
        if let Some((metadata, since)) = known.as_ref()
            && now.duration_since(*since) < BELIEVED
        {
            return Ok(metadata.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Metadata = ask(self.client.get(url), "metadata").await?;
        let is_plain = self.issuer.starts_with("http://");
        if found.issuer != self.issuer {
            return Err(OidcError::Away("its metadata is another issuer's: oidc.issuer must be the same text".into()));
        }
        for url in [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri] {
            if !is_sound(url, is_plain) {
                return Err(OidcError::Away("its metadata names an address that is not https://".into()));
            }
        }
        let found = Arc::new(found);
        *known = Some((found.clone(), now));
        Ok(found)
    }

    /// The provider's keys.
    ///
    /// # Errors
    /// The provider does not answer.
    pub(super) async fn keys(&self, now: Instant, is_one_unknown: bool) -> Result<Arc<Keys>, OidcError> {
        let request = async || Ok(self.client.get(&self.metadata(now).await?.jwks_uri));
        self.keys.get(now, is_one_unknown, request).await
    }

    /// The id token that a code stands for.
    ///
    /// # Errors
    /// The provider does not know the code, or does not answer.
    pub(super) async fn exchange(&self, code: &str, verifier: &str) -> Result<String, OidcError> {
        let metadata = self.metadata(Instant::now()).await?;
        let (code, redirect_uri) = (percent_encoded(code), percent_encoded(&self.redirect_uri));
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}&code_verifier={}",
            percent_encoded(verifier)
        );
        let request = self
            .client
            .post(&metadata.token_endpoint)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let Tokens { id_token } = ask(request, "token").await?;
        Ok(id_token)
    }
}

impl KnownKeys {
    /// The keys that are believed, or those that the answer to a request holds. If a token names one that is not among those we
    /// know, they are asked for anew, at most once in [`QUIET`].
    ///
    /// # Errors
    /// There is no answer, or none with keys.
    pub(in crate::http) async fn get(
        &self,
        now: Instant,
        is_one_unknown: bool,
        request: impl AsyncFnOnce() -> Result<RequestBuilder, OidcError>,
    ) -> Result<Arc<Keys>, OidcError> {
        let mut known = self.0.lock().await;
        if let Some((keys, since)) = known.as_ref()
            && now.duration_since(*since) < if is_one_unknown { QUIET } else { BELIEVED }
        {
            return Ok(keys.clone());
        }
        let found = read(request().await?, "keys").await?;
        let found = Keys::parse(&found).ok_or_else(|| OidcError::Away("its keys cannot be read".into()))?;
        let found = Arc::new(found);
        *known = Some((found.clone(), now));
        Ok(found)
    }
}

/// How identity providers are reached.
///
/// # Errors
/// The root certificate is none.
pub(in crate::http) fn client(root_certificate: Option<&str>) -> Result<Client, String> {
    let mut client = Client::builder()
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // A connection lives on the worker that opened it; sign-ins are too seldom for keeping one.
        .pool_max_idle_per_host(0)
        .user_agent("Rookery");
    if let Some(root) = root_certificate {
        let root = Certificate::from_pem(root.as_bytes());
        client = client.tls_certs_merge([root.map_err(|error| format!("root_certificate: {error}"))?]);
    }
    client.build().map_err(|error| error.to_string())
}

async fn ask<T: DeserializeOwned>(request: RequestBuilder, what: &str) -> Result<T, OidcError> {
    let answer = read(request, what).await?;
    serde_json::from_slice(&answer).map_err(|_| OidcError::Away(format!("its {what} cannot be read")))
}

/// An error with what caused it: a name that is not known, a certificate that is not trusted.
fn causes(error: &reqwest::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

async fn read(request: RequestBuilder, what: &str) -> Result<Vec<u8>, OidcError> {
    let away = |error: reqwest::Error| OidcError::Away(format!("its {what}: {}", causes(&error.without_url())));
    let mut response = request.header(ACCEPT, "application/json").send().await.map_err(away)?;
    match response.status() {
        StatusCode::OK => {}
        // RFC 6749, 5.2: the code is over, belongs to somebody else, or never was; or the client's secret is wrong.
        status @ (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) => {
            return Err(OidcError::Refused(format!(
                "the identity provider answers {status} when asked for its {what}"
            )));
        }
        status => return Err(OidcError::Away(format!("it answers {status} when asked for its {what}"))),
    }
    let mut answer = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(away)? {
        if answer.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(OidcError::Away(format!("its {what} has more than {MAX_ANSWER_BYTES} bytes")));
        }
        answer.extend_from_slice(&piece);
    }
    Ok(answer)
}
