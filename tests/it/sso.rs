//! Sign-in at a real OpenID provider (panva's oidc-provider) as a process of its own, where `ROOKERY_TEST_NODE_MODULES` names
//! the folder of its packages.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};
use rookery::config::{EndUserSettings, OidcSettings, Settings};
use serde_json::{Value, json};

use crate::app::PATIENCE;
use crate::people::{ask, done};
use crate::world::{World, on_each_store, on_each_store_with};

pub(crate) const URL: &str = "https://rookery.example.com";
/// With characters that mean something in Basic authentication and in forms.
const SECRET: &str = "a secret: with + and % of 32 bytes or more";

/// The provider.
pub(crate) struct IdentityProvider {
    child: Child,
    port: u16,
}

impl IdentityProvider {
    fn open() -> Option<Self> {
        Self::sending_to("/login/oidc/callback")
    }

    /// Starts it for a client that people come back to on this path; `None` where there are no packages for it.
    pub(crate) fn sending_to(path: &str) -> Option<Self> {
        let Ok(modules) = std::env::var("ROOKERY_TEST_NODE_MODULES") else {
            println!("left out: sign-in at an identity provider (ROOKERY_TEST_NODE_MODULES is not set)");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oidc_provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([&modules, "rookery", SECRET, path])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.unwrap().trim().parse().ok()).unwrap();
        Some(Self { child, port })
    }

    fn set(&self, settings: &mut Settings) {
        settings.admin.url = URL.into();
        settings.oidc = OidcSettings {
            issuer: format!("http://127.0.0.1:{}", self.port),
            client_id: "rookery".into(),
            client_secret: SECRET.into(),
            name: "Example ID".into(),
            ..OidcSettings::default()
        };
    }

    /// The same for people who enroll a device.
    pub(crate) fn set_for_end_users(&self, settings: &mut Settings) {
        settings.end_user_authentication = EndUserSettings {
            issuer: format!("http://127.0.0.1:{}", self.port),
            client_id: "rookery".into(),
            client_secret: SECRET.into(),
            name: "Example ID".into(),
            ..EndUserSettings::default()
        };
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser: keeps cookies, and goes where it is sent only when it is told to.
pub(crate) struct Browser {
    client: Client,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(world: &World) -> Self {
        let ca = std::fs::read(world.app.running().addresses.ca_file.as_ref().unwrap()).unwrap();
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
            .no_proxy()
            .redirect(Policy::none())
            .timeout(PATIENCE);
        Self { client: client.build().unwrap(), cookies: BTreeMap::new() }
    }

    pub(crate) async fn send(&mut self, method: Method, url: &str) -> Response {
        self.take(self.client.request(method, url)).await
    }

    /// The same with a header more.
    pub(crate) async fn send_with(&mut self, method: Method, url: &str, (name, value): (&str, &str)) -> Response {
        self.take(self.client.request(method, url).header(name, value)).await
    }

    /// Sends a form.
    #[cfg(feature = "saml")]
    pub(crate) async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Response {
        let form = Url::parse_with_params("https://form", fields).unwrap().query().unwrap().to_owned();
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        self.take(request.body(form)).await
    }

    async fn take(&mut self, request: RequestBuilder) -> Response {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for set in response.headers().get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
        response
    }

    /// Begins a sign-in; where the provider is.
    async fn begin(&mut self, world: &World) -> String {
        let response = self.send(Method::POST, &here(world, "/api/v1/fleet/sso")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        body["url"].as_str().unwrap().to_owned()
    }

    /// Signs in at the provider; the address that it sends the browser back to, on this machine.
    async fn sign_in(&mut self, world: &World, url: &str, email: &str) -> String {
        let back = self.sign_in_at(url, email, URL).await;
        here(world, back.strip_prefix(URL).unwrap())
    }

    /// Signs in at the provider; the address that it sends the browser back to, which begins so.
    pub(crate) async fn sign_in_at(&mut self, url: &str, email: &str, back: &str) -> String {
        let mut url = Url::parse(url).unwrap();
        url.query_pairs_mut().append_pair("login_hint", email);
        let mut hops = 0;
        loop {
            assert!(hops < 5, "the provider never sent the browser back: {url}");
            hops += 1;
            let response = self.send(Method::GET, url.as_str()).await;
            assert_eq!(response.status(), StatusCode::SEE_OTHER, "{url}");
            url = url.join(response.headers()[LOCATION].to_str().unwrap()).unwrap();
            if url.as_str().starts_with(back) {
                return url.into();
            }
        }
    }

    async fn come_back(&mut self, url: &str) -> (StatusCode, Value) {
        let response = self.send(Method::GET, url).await;
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    /// All of it.
    async fn whole(&mut self, world: &World, email: &str) -> (StatusCode, Value) {
        let url = self.begin(world).await;
        let back = self.sign_in(world, &url, email).await;
        self.come_back(&back).await
    }
}

pub(crate) fn here(world: &World, path: &str) -> String {
    format!("{}{path}", world.app.running().addresses.admin_url)
}

pub(crate) async fn person(world: &World, email: &str) -> i64 {
    let body = json!({ "name": "Ada", "email": email, "sso_enabled": true, "global_role": "maintainer" });
    let made = done(world, &world.app.token, Method::POST, "/users/admin", body).await;
    made["user"]["id"].as_i64().unwrap()
}

#[actix::test]
async fn people_sign_in_at_the_provider_and_each_session_is_a_new_one() {
    let Some(provider) = IdentityProvider::open() else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            person(world, "ada@example.com").await;
            let shown = ask(world, None, Method::GET, "/sso", Value::Null).await;
            assert_eq!(shown.json["settings"], json!({ "idp_name": "Example ID", "sso_enabled": true }));
            let mut browser = Browser::new(world);
            let (status, first) = browser.whole(world, "Ada@Example.com").await;
            assert_eq!(status, StatusCode::OK, "{first}");
            assert_eq!(first["user"]["email"], "ada@example.com");
            assert_eq!(first["user"]["global_role"], "maintainer");
            let key = first["token"].as_str().unwrap();
            let seen = done(world, key, Method::GET, "/me", Value::Null).await;
            assert_eq!(seen["user"]["email"], "ada@example.com");
            assert_eq!(browser.cookies["__Secure-rookery_sso"], "", "what bound the browser is over");

            // The same by a link, from the browser that is signed in at the provider already.
            let sent = browser.send(Method::GET, &here(world, "/login/oidc")).await;
            assert_eq!(sent.status(), StatusCode::SEE_OTHER);
            let cookie = sent.headers()[SET_COOKIE].to_str().unwrap().to_owned();
            for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/login/oidc", "Max-Age=600"] {
                assert!(cookie.contains(part), "{part}: {cookie}");
            }
            let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
            let back = browser.sign_in(world, &url, "ada@example.com").await;
            let (status, second) = browser.come_back(&back).await;
            assert_eq!(status, StatusCode::OK, "{second}");
            assert_ne!(first["token"], second["token"], "each session has a key of its own");
        },
    )
    .await;
}

#[actix::test]
async fn who_is_not_known_disabled_or_has_a_password_is_refused_with_the_same_words() {
    let Some(provider) = IdentityProvider::open() else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            let id = person(world, "disabled@example.com").await;
            let change = json!({ "disabled": true });
            done(world, &world.app.token, Method::PATCH, &format!("/users/{id}"), change).await;
            person(world, "unverified@example.com").await;
            let body = json!({
                "name": "P", "email": "password@example.com", "password": "a long enough passphrase",
                "global_role": "admin",
            });
            done(world, &world.app.token, Method::POST, "/users/admin", body).await;
            let robot = json!({ "name": "R", "email": "robot@example.com", "api_only": true, "global_role": "admin" });
            done(world, &world.app.token, Method::POST, "/users/admin", robot).await;
            let mut texts = Vec::new();
            for email in ["stranger", "disabled", "unverified", "password", "robot", "nobody"] {
                // What is no address is nobody at all: the provider refuses by itself.
                let hint = if email == "nobody" { email.to_owned() } else { format!("{email}@example.com") };
                let (status, refused) = Browser::new(world).whole(world, &hint).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{email}: {refused}");
                texts.push(refused["errors"].to_string());
            }
            texts.dedup();
            assert_eq!(texts.len(), 1, "{texts:?}");
            let users = done(world, &world.app.token, Method::GET, "/users", Value::Null).await;
            assert!(!users.to_string().contains("stranger"), "nobody is made by trying: {users}");
        },
    )
    .await;
}

#[actix::test]
async fn who_is_not_known_becomes_an_observer_where_the_settings_say_so() {
    let Some(provider) = IdentityProvider::open() else { return };
    let change = |settings: &mut Settings| {
        provider.set(settings);
        settings.oidc.new_users = true;
    };
    on_each_store_with(change, async |world| {
        let (status, made) = Browser::new(world).whole(world, "stranger@example.com").await;
        assert_eq!(status, StatusCode::OK, "{made}");
        assert_eq!(made["user"]["global_role"], "observer");
        assert_eq!(made["user"]["sso_enabled"], true);
        assert_eq!(made["user"]["name"], "Name of stranger@example.com");
        let key = made["token"].as_str().unwrap();
        done(world, key, Method::GET, "/hosts", Value::Null).await;
        let refused = ask(world, Some(key), Method::POST, "/labels", json!({ "name": "x" })).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let (status, again) = Browser::new(world).whole(world, "stranger@example.com").await;
        assert_eq!((status, &again["user"]["id"]), (StatusCode::OK, &made["user"]["id"]), "the same user: {again}");
    })
    .await;
}

#[actix::test]
async fn a_return_counts_once_in_the_browser_that_began_and_as_it_came() {
    let Some(provider) = IdentityProvider::open() else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            person(world, "ada@example.com").await;
            let mut browser = Browser::new(world);
            let url = browser.begin(world).await;
            let back = browser.sign_in(world, &url, "ada@example.com").await;
            let bound = browser.cookies.clone();
            assert_eq!(browser.come_back(&back).await.0, StatusCode::OK);
            browser.cookies = bound;
            assert_eq!(browser.come_back(&back).await.0, StatusCode::UNAUTHORIZED, "replayed");

            // Somebody is made to finish what another one began: session fixation.
            let mut attacker = Browser::new(world);
            let url = attacker.begin(world).await;
            let back = attacker.sign_in(world, &url, "ada@example.com").await;
            let mut victim = Browser::new(world);
            assert_eq!(victim.come_back(&back).await.0, StatusCode::UNAUTHORIZED, "no cookie");
            assert_eq!(attacker.come_back(&back).await.0, StatusCode::UNAUTHORIZED, "and it is used up");
            victim.begin(world).await;
            let url = attacker.begin(world).await;
            let back = attacker.sign_in(world, &url, "ada@example.com").await;
            assert_eq!(victim.come_back(&back).await.0, StatusCode::UNAUTHORIZED, "another one's cookie");

            let changed = [
                ("state", Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
                ("state", None),
                ("code", Some("made-up")),
                ("code", None),
                ("iss", Some("https://login.example.com")),
            ];
            for (name, value) in changed {
                let url = browser.begin(world).await;
                let back = Url::parse(&browser.sign_in(world, &url, "ada@example.com").await).unwrap();
                let kept: Vec<(String, String)> =
                    back.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
                let mut back = back;
                back.query_pairs_mut().clear().extend_pairs(kept);
                if let Some(value) = value {
                    back.query_pairs_mut().append_pair(name, value);
                }
                let (status, refused) = browser.come_back(back.as_str()).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{name} is {value:?}: {refused}");
            }
        },
    )
    .await;
}

#[actix::test]
async fn without_a_provider_it_says_so_and_one_that_is_away_is_no_bug_of_ours() {
    on_each_store(async |world| {
        let shown = ask(world, None, Method::GET, "/sso", Value::Null).await;
        assert_eq!(shown.json["settings"], json!({ "idp_name": "", "sso_enabled": false }));
        let refused = ask(world, None, Method::POST, "/sso", Value::Null).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.json);
        for path in ["/login/oidc", "/login/oidc/callback?state=x&code=y"] {
            let (status, refused) = Browser::new(world).come_back(&here(world, path)).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
        }
    })
    .await;
    let away = |settings: &mut Settings| {
        settings.admin.url = URL.into();
        settings.oidc = OidcSettings {
            issuer: "http://127.0.0.1:1".into(),
            client_id: "rookery".into(),
            client_secret: SECRET.into(),
            ..OidcSettings::default()
        };
    };
    on_each_store_with(away, async |world| {
        let refused = ask(world, None, Method::POST, "/sso", Value::Null).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.json);
    })
    .await;
}
