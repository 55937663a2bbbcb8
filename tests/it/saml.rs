//! Sign-in at a real SAML 2.0 provider (Auth0's samlp) as a process of its own, where `ROOKERY_TEST_NODE_MODULES` names the folder of its
//! packages; and what becomes of its responses when somebody changes them on their way.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{Method, StatusCode, Url};
use rookery::config::Settings;
use rookery::sim::apple::device::DeviceOptions;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::people::done;
use crate::process::enroll;
use crate::sso::{Browser, URL, here, person};
use crate::world::{SECRET, World, assert_sound, on_each_store_with};

/// The provider.
struct IdentityProvider {
    child: Child,
    folder: PathBuf,
}

/// What it sends a browser back with.
#[derive(Clone)]
struct Form {
    action: String,
    response: String,
    state: String,
}

impl IdentityProvider {
    /// Starts it; `None` where there are no packages for it.
    async fn open() -> Option<Self> {
        let Ok(modules) = std::env::var("ROOKERY_TEST_NODE_MODULES") else {
            println!("left out: sign-in by SAML (ROOKERY_TEST_NODE_MODULES is not set)");
            return None;
        };
        let folder = std::env::temp_dir().join(format!("rookery-saml-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/saml_provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([&modules, folder.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port: u16 = lines.find_map(|line| line.unwrap().trim().parse().ok()).unwrap();
        let metadata = reqwest::get(format!("http://127.0.0.1:{port}/metadata")).await.unwrap().bytes().await.unwrap();
        std::fs::write(folder.join("metadata.xml"), metadata).unwrap();
        Some(Self { child, folder })
    }

    fn set(&self, settings: &mut Settings) {
        settings.admin.url = URL.into();
        settings.saml.metadata = self.folder.join("metadata.xml");
        settings.saml.name = "Example SAML".into();
        settings.end_user_authentication.saml_metadata = self.folder.join("metadata.xml");
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What stands behind a text, up to a quotation mark.
fn quoted(page: &str, before: &str) -> String {
    let rest = page.split_once(before).unwrap_or_else(|| unreachable!("{before}: {page}")).1;
    rest.split('"').next().unwrap().replace("&#x2F;", "/").replace("&amp;", "&")
}

/// Goes to the provider, with these parameters besides, and takes its form.
async fn at_provider(browser: &mut Browser, url: &str, parameters: &[(&str, &str)]) -> Form {
    let mut url = Url::parse(url).unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    let answer = browser.send(Method::GET, url.as_str()).await;
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    let page = answer.text().await.unwrap();
    let value = |name: &str| quoted(page.split_once(&format!("name=\"{name}\"")).unwrap().1, "value=\"");
    Form { action: quoted(&page, "action=\""), response: value("SAMLResponse"), state: value("RelayState") }
}

/// Begins to enroll a device, and comes back from the provider with its form.
async fn enrolling(world: &World, browser: &mut Browser, parameters: &[(&str, &str)]) -> Form {
    let sent = browser.send(Method::GET, &world.app.device_url(&format!("/mdm/sso?enroll_secret={SECRET}"))).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
    let form = at_provider(browser, &url, parameters).await;
    assert_eq!(form.action, world.app.device_url("/mdm/sso/callback"));
    form
}

async fn post(browser: &mut Browser, form: &Form) -> reqwest::Response {
    browser.post(&form.action, &[("SAMLResponse", &form.response), ("RelayState", &form.state)]).await
}

/// Comes back with a response that somebody has changed; how it is answered.
async fn tampered(world: &World, change: impl Fn(&str) -> String) -> StatusCode {
    let mut browser = Browser::new(world);
    let mut form = enrolling(world, &mut browser, &[("user", "ada@example.com"), ("sign", "both")]).await;
    let before = String::from_utf8(STANDARD.decode(&form.response).unwrap()).unwrap();
    let after = change(&before);
    assert_ne!(before, after, "nothing was changed");
    form.response = STANDARD.encode(after);
    post(&mut browser, &form).await.status()
}

#[actix::test]
async fn admins_sign_in_by_saml() {
    let Some(provider) = IdentityProvider::open().await else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            person(world, "ada@example.com").await;
            let shown = crate::people::ask(world, None, Method::GET, "/sso", Value::Null).await;
            assert_eq!(shown.json["settings"], json!({ "idp_name": "Example SAML", "sso_enabled": true }));
            let mut browser = Browser::new(world);
            let described = browser.send(Method::GET, &here(world, "/login/saml/metadata")).await.text().await.unwrap();
            assert!(described.contains(&format!("entityID=\"{URL}/login/saml/metadata\"")), "{described}");
            for sign in ["assertion", "response", "both"] {
                let sent = browser.send(Method::GET, &here(world, "/login/saml")).await;
                let cookie = sent.headers()[SET_COOKIE].to_str().unwrap().to_owned();
                for part in ["__Secure-rookery_saml=", "HttpOnly", "Secure", "SameSite=None", "Path=/login/saml"] {
                    assert!(cookie.contains(part), "{part}: {cookie}");
                }
                let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
                let mut form = at_provider(&mut browser, &url, &[("user", "ada@example.com"), ("sign", sign)]).await;
                form.action = here(world, form.action.strip_prefix(URL).unwrap());
                let answer = post(&mut browser, &form).await;
                assert_eq!(answer.status(), StatusCode::OK, "{sign}");
                let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                let key = body["token"].as_str().unwrap();
                let me = done(world, key, Method::GET, "/me", Value::Null).await;
                assert_eq!(me["user"]["email"], "ada@example.com");
                assert_eq!(post(&mut browser, &form).await.status(), StatusCode::UNAUTHORIZED, "the same again");
            }
            let sent = browser.send(Method::GET, &here(world, "/login/saml")).await;
            let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
            let mut form = at_provider(&mut browser, &url, &[("user", "stranger@example.com")]).await;
            form.action = here(world, form.action.strip_prefix(URL).unwrap());
            assert_eq!(post(&mut browser, &form).await.status(), StatusCode::UNAUTHORIZED, "nobody here is called so");
        },
    )
    .await;
}

#[actix::test]
async fn people_enroll_their_devices_by_saml() {
    let Some(provider) = IdentityProvider::open().await else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            let mut browser = Browser::new(world);
            let form = enrolling(world, &mut browser, &[("user", "ada@example.com")]).await;
            let on = post(&mut browser, &form).await;
            assert_eq!(on.status(), StatusCode::SEE_OTHER, "{}", on.text().await.unwrap());
            let url = world.app.device_url(on.headers()[LOCATION].to_str().unwrap());
            let mut mac = world.device(Family::Mac, 1, DeviceOptions::default());
            enroll(&mut mac, &url).await;
            let owner = &world.host(&mac).await["end_users"][0];
            assert_eq!(owner["idp_username"], "ada@example.com");
            assert_eq!(owner["idp_full_name"], "Name of ada@example.com");
            assert_sound(&mac);
        },
    )
    .await;
}

#[actix::test]
async fn a_response_counts_once_in_its_browser_and_for_its_request() {
    let Some(provider) = IdentityProvider::open().await else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            let ada = [("user", "ada@example.com")];
            let (mut browser, mut other) = (Browser::new(world), Browser::new(world));
            let form = enrolling(world, &mut browser, &ada).await;
            assert_eq!(post(&mut other, &form).await.status(), StatusCode::FORBIDDEN, "another browser");
            assert_eq!(post(&mut browser, &form).await.status(), StatusCode::FORBIDDEN, "and it is used up");
            let bound = browser.cookies.clone();
            let form = enrolling(world, &mut browser, &ada).await;
            assert_eq!(post(&mut browser, &form).await.status(), StatusCode::SEE_OTHER);
            browser.cookies = bound;
            assert_eq!(post(&mut browser, &form).await.status(), StatusCode::FORBIDDEN, "replayed");
            // The response of one sign-in in the place of another one's.
            let old = enrolling(world, &mut other, &ada).await;
            let mut new = enrolling(world, &mut browser, &ada).await;
            new.response = old.response.clone();
            assert_eq!(post(&mut browser, &new).await.status(), StatusCode::FORBIDDEN, "it answers another request");
            new.state = "made-up".into();
            assert_eq!(post(&mut browser, &new).await.status(), StatusCode::FORBIDDEN);
        },
    )
    .await;
}

#[actix::test]
async fn what_a_provider_says_to_somebody_else_or_too_late_or_weakly_is_refused() {
    let Some(provider) = IdentityProvider::open().await else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            for (name, value) in [
                ("audience", "https://other.example.com"),
                ("destination", "https://other.example.com/acs"),
                ("recipient", "https://other.example.com/acs"),
                ("from", "https://evil.example.com/saml"),
                ("hash", "sha1"),
                ("lifetime", "-1"),
                ("sign", "none"),
                ("status", "urn:oasis:names:tc:SAML:2.0:status:Responder"),
            ] {
                let mut browser = Browser::new(world);
                let form = enrolling(world, &mut browser, &[("user", "ada@example.com"), (name, value)]).await;
                assert_eq!(post(&mut browser, &form).await.status(), StatusCode::FORBIDDEN, "{name}={value}");
            }
        },
    )
    .await;
}

/// A response in its parts: what stands before its assertion, the assertion, and what stands behind it.
fn parts(response: &str) -> (&str, &str, &str) {
    let (start, end) = (response.find("<saml:Assertion").unwrap(), response.find("</saml:Assertion>").unwrap());
    let end = end + "</saml:Assertion>".len();
    (&response[..start], &response[start..end], &response[end..])
}

/// The signature of an assertion, as it stands in it.
fn signature(assertion: &str) -> &str {
    let (start, end) = (assertion.find("<Signature").unwrap(), assertion.find("</Signature>").unwrap());
    &assertion[start..end + "</Signature>".len()]
}

/// Another person's assertion, without a signature and with an ID of its own.
fn evil(assertion: &str) -> String {
    let id = quoted(assertion, "ID=\"");
    assertion.replace(signature(assertion), "").replace("ada@example.com", "root@example.com").replace(&id, "_evil")
}

/// Signature wrapping, by the numbers that SAML Raider gives its attacks.
type Attack = (&'static str, fn(&str) -> String);

const WRAPPINGS: [Attack; 12] = [
    ("XSW1", |response| {
        // The signed response inside the signature of another one.
        let bare = response.replace("ada@example.com", "root@example.com").replacen("ID=\"_", "ID=\"_evil", 1);
        let inside = format!("<Object>{}</Object></Signature>", response);
        bare.replacen("</Signature>", &inside, 1)
    }),
    ("XSW2", |response| {
        let bare = response.replace("ada@example.com", "root@example.com").replacen("ID=\"_", "ID=\"_evil", 1);
        bare.replacen("<Signature", &format!("{response}<Signature"), 1)
    }),
    ("XSW3", |response| {
        let (before, assertion, after) = parts(response);
        format!("{before}{}{assertion}{after}", evil(assertion))
    }),
    ("XSW4", |response| {
        let (before, assertion, after) = parts(response);
        let wrapping = evil(assertion).replace("</saml:Assertion>", &format!("{assertion}</saml:Assertion>"));
        format!("{before}{wrapping}{after}")
    }),
    ("XSW5", |response| {
        let (before, assertion, after) = parts(response);
        let forged = assertion.replace("ada@example.com", "root@example.com").replacen("ID=\"_", "ID=\"_evil", 1);
        format!("{before}{forged}{}{after}", assertion.replace(signature(assertion), ""))
    }),
    ("XSW6", |response| {
        let (before, assertion, after) = parts(response);
        let bare = assertion.replace(signature(assertion), "");
        let forged = assertion.replace("ada@example.com", "root@example.com").replacen("ID=\"_", "ID=\"_evil", 1);
        format!("{before}{}{after}", forged.replacen("</Signature>", &format!("{bare}</Signature>"), 1))
    }),
    ("XSW7", |response| {
        let (before, assertion, after) = parts(response);
        format!("{before}<Extensions>{}</Extensions>{assertion}{after}", evil(assertion))
    }),
    ("XSW8", |response| {
        let (before, assertion, after) = parts(response);
        let bare = assertion.replace(signature(assertion), "");
        let forged = assertion.replace("ada@example.com", "root@example.com").replacen("ID=\"_", "ID=\"_evil", 1);
        let object = format!("<Object>{bare}</Object></Signature>");
        format!("{before}{}{after}", forged.replacen("</Signature>", &object, 1))
    }),
    ("two with one ID", |response| {
        let (before, assertion, after) = parts(response);
        format!("{before}{assertion}{}{after}", assertion.replace("ada@example.com", "root@example.com"))
    }),
    ("two signatures", |response| {
        let (before, assertion, after) = parts(response);
        let twice = assertion.replacen(signature(assertion), &signature(assertion).repeat(2), 1);
        format!("{before}{twice}{after}")
    }),
    ("a signature beside what it is about", |response| {
        let (before, assertion, after) = parts(response);
        let beside = signature(assertion);
        format!("{before}{}{beside}{after}", assertion.replacen(beside, "", 1).replace("ada@", "root@"))
    }),
    ("the signed copy inside an unsigned response", |response| {
        let (before, assertion, after) = parts(response);
        let bare = evil(assertion);
        format!(
            "{before}{}{after}",
            bare.replace("<saml:Subject>", &format!("<saml:Advice>{assertion}</saml:Advice><saml:Subject>"))
        )
    }),
];

const OTHERS: [Attack; 9] = [
    ("another person", |response| response.replace("ada@example.com", "root@example.com")),
    ("a comment in the name", |response| response.replace("ada@example.com", "ada@example.com<!---->.evil.com")),
    ("a comment that splits the name", |response| response.replace("ada@", "a<!-- -->da@")),
    ("canonicalization with comments", |response| response.replace("exc-c14n#\"", "exc-c14n#WithComments\"")),
    ("XSLT", |response| {
        let transform = "<Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"><xsl:stylesheet version=\"1.0\" \
                         xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"/></Transform></Transforms>";
        response.replace("</Transforms>", transform)
    }),
    ("XPath", |response| {
        let transform = "<Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><XPath>true()</XPath></Transform>\
                         </Transforms>";
        response.replace("</Transforms>", transform)
    }),
    ("a document type", |response| format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{response}")),
    ("no signature at all", |response| {
        let (before, assertion, after) = parts(response);
        let (before, assertion) = (before.replace(signature(before), ""), assertion.replace(signature(assertion), ""));
        format!("{before}{assertion}{after}")
    }),
    ("a later end", |response| {
        let end = quoted(response, "NotOnOrAfter=\"");
        response.replace(&end, "2099-01-01T00:00:00.000Z")
    }),
];

#[actix::test]
async fn responses_that_somebody_rearranged_are_refused() {
    let Some(provider) = IdentityProvider::open().await else { return };
    on_each_store_with(
        |settings| provider.set(settings),
        async |world| {
            let untouched = tampered(world, |response| format!("{response}\n")).await;
            assert_eq!(untouched, StatusCode::SEE_OTHER, "white space behind it changes nothing");
            for (name, attack) in WRAPPINGS.iter().chain(&OTHERS) {
                assert_eq!(tampered(world, attack).await, StatusCode::FORBIDDEN, "{name}");
                // Where the response's own signature is taken away, the assertion's alone must do.
                let alone = |response: &str| {
                    let changed = attack(response);
                    let (before, _, _) = parts(response);
                    if before.contains("<Signature") { changed.replacen(signature(before), "", 1) } else { changed }
                };
                assert_eq!(tampered(world, alone).await, StatusCode::FORBIDDEN, "{name}, the response unsigned");
            }
            let none = Form {
                action: world.app.device_url("/mdm/sso/callback"),
                response: String::new(),
                state: String::new(),
            };
            assert_eq!(post(&mut Browser::new(world), &none).await.status(), StatusCode::FORBIDDEN);
        },
    )
    .await;
}
