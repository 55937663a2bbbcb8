//! The pages that Windows opens for its users, in the hands of people who mean no good (V-05): whatever stands in an address or a
//! form, nothing of it runs, and nothing leads anywhere but back to Windows.

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use serde_json::json;

use crate::people::{done, team};
use crate::windows_client::*;
use crate::world::{SECRET, World, on_each_store};

const AUTH: &str = "/api/mdm/microsoft/auth";
const TERMS: &str = "/api/mdm/microsoft/tos";
const APP: &str = "ms-app://s-1-15-2-1-2-3";
const BROKER: &str = "ms-appx-web://Microsoft.AAD.BrokerPlugin";

/// What people try.
const PAYLOADS: [&str; 16] = [
    "<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//ms-app://x",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "https://evil.example/",
    "//evil.example/",
    "ms-app://x\"><script>alert(1)</script>",
    "ms-app://x' onmouseover='alert(1)",
    "ms-appx-web://x\"><svg onload=alert(1)>",
    "ms-app://x\r\nSet-Cookie: a=b",
    "ms-appx-web:x\r\nLocation: https://evil.example",
    "&#x3c;script&#x3e;alert(1)&#x3c;/script&#x3e;",
    "\u{0}<script>alert(1)</script>",
];

struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Shown {
    /// Nothing runs but what this server wrote itself.
    fn is_harmless(&self, tried: &str) {
        if !self.text.is_empty() {
            let policy = self.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
            assert!(policy.contains("base-uri 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
            assert_eq!(self.headers["x-content-type-options"], "nosniff");
            assert_eq!(self.headers["content-type"], "text/html; charset=utf-8");
        }
        assert_eq!(self.headers["cache-control"], "no-store");
        assert!(!self.headers.contains_key("set-cookie"), "{tried}");
        let own = self.text.replace("<script nonce=", "");
        for markup in ["<script", "<img", "<svg", "action=\"javascript", "href"] {
            assert!(!own.contains(markup), "{tried}: {markup} in {}", self.text);
        }
        let is_markup = tried.contains(['<', '"', '\'']);
        assert!(!(is_markup && own.contains(tried)), "{tried} as it came in {}", self.text);
        if let Some(location) = self.headers.get("location") {
            assert!(location.to_str().unwrap().to_lowercase().starts_with("ms-appx-web:"), "{tried}: {location:?}");
        }
    }
}

fn browser(world: &World) -> Client {
    let ca = std::fs::read(world.app.running().addresses.ca_file.as_ref().unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([Certificate::from_pem(&ca).unwrap()]).no_proxy();
    client.redirect(Policy::none()).build().unwrap()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("https://x/").unwrap();
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap().to_owned()
}

async fn get(browser: &Client, world: &World, path: &str, pairs: &[(&str, &str)]) -> Shown {
    shown(browser.get(format!("{}?{}", world.app.device_url(path), form(pairs)))).await
}

async fn submit(browser: &Client, world: &World, path: &str, pairs: &[(&str, &str)]) -> Shown {
    let request = browser.post(world.app.device_url(path)).header("content-type", "application/x-www-form-urlencoded");
    shown(request.body(form(pairs))).await
}

async fn shown(request: reqwest::RequestBuilder) -> Shown {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    Shown { status, headers, text: answer.text().await.unwrap() }
}

/// The value of an input of a page.
fn input(text: &str, name: &str) -> String {
    let rest = text.split(&format!("name={name} value=\"")).nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[actix::test]
async fn a_user_signs_in_on_the_page_and_their_device_enrolls() {
    on_each_store(async |world| {
        let browser = browser(world);
        let own = team(world, "Own").await;
        let secrets = json!({ "secrets": [{ "secret": "the-secret-of-one-team" }] });
        let path = format!("/teams/{own}/secrets");
        done(world, &world.app.token, reqwest::Method::PATCH, &path, secrets).await;
        let page = get(&browser, world, AUTH, &[("appru", APP), ("login_hint", "ana@example.test")]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        page.is_harmless("nothing");
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("form-action 'self'"));
        assert_eq!(input(&page.text, "appru"), APP);
        assert!(page.text.contains("value=\"ana@example.test\""), "{}", page.text);

        let said = [("appru", APP), ("email", "ana@example.test"), ("secret", "the-secret-of-one-team")];
        let end = submit(&browser, world, AUTH, &said).await;
        assert_eq!(end.status, StatusCode::OK, "{}", end.text);
        end.is_harmless("nothing");
        assert!(end.headers["content-security-policy"].to_str().unwrap().contains("form-action ms-app:"));
        assert!(
            end.text.contains(&format!("method=post action=\"{APP}\"")) && end.text.contains(".submit()"),
            "{}",
            end.text
        );
        let token = input(&end.text, "wresult");
        post(world, POLICY, with_token(GET_POLICIES, token.as_bytes())).await.body();
        let enrolled = post(world, ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key());
        assert_eq!(enrolled.parm(&["DMClient", "Provider", "Rookery"], "UPN").as_deref(), Some("ana@example.test"));
        assert_eq!(hosts(world).await[0]["team_id"], own, "the secret's team");
        post(world, ENROLL, issue(token.as_bytes(), &key())).await.fault();

        let late = input(&submit(&browser, world, AUTH, &said).await.text, "wresult");
        world.app.running().parts.clock.advance(std::time::Duration::from_secs(601));
        post(world, ENROLL, issue(late.as_bytes(), &key())).await.fault();
    })
    .await;
}

#[actix::test]
async fn whoever_guesses_is_told_to_wait() {
    on_each_store(async |world| {
        let browser = browser(world);
        let guess = |secret: &'static str| {
            let browser = browser.clone();
            async move {
                submit(&browser, world, AUTH, &[("appru", APP), ("email", "ana@example.test"), ("secret", secret)])
                    .await
            }
        };
        for _ in 0..10 {
            let refused = guess("a guess").await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
            refused.is_harmless("a guess");
            assert!(!refused.text.contains("wresult"));
        }
        let late = guess(SECRET).await;
        assert_eq!(late.status, StatusCode::TOO_MANY_REQUESTS, "{}", late.text);
        assert!(late.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
        for email in ["", "ana", "a@\u{7}b"] {
            let odd = submit(&browser, world, AUTH, &[("appru", APP), ("email", email), ("secret", SECRET)]).await;
            assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY, "{email}");
        }
    })
    .await;
}

#[actix::test]
async fn v05_nothing_that_stands_in_a_parameter_runs_or_leads_elsewhere() {
    on_each_store(async |world| {
        let browser = browser(world);
        for payload in PAYLOADS {
            let opened = get(&browser, world, AUTH, &[("appru", payload), ("login_hint", "x")]).await;
            assert_eq!(opened.status, StatusCode::BAD_REQUEST, "{payload}");
            assert!(!opened.text.contains("<form"), "{payload}");
            opened.is_harmless(payload);
            let hinted = get(&browser, world, AUTH, &[("appru", APP), ("login_hint", payload)]).await;
            assert_eq!(hinted.status, StatusCode::OK);
            hinted.is_harmless(payload);
            let other = get(&browser, world, AUTH, &[("appru", APP), (payload, payload)]).await;
            other.is_harmless(payload);
            for said in [
                [("appru", payload), ("email", "ana@example.test"), ("secret", SECRET)],
                [("appru", APP), ("email", payload), ("secret", "a guess")],
                [("appru", APP), ("email", "bob@example.test"), ("secret", payload)],
            ] {
                let said = submit(&browser, world, AUTH, &said).await;
                assert!(!said.text.contains("wresult"), "{payload}: {}", said.text);
                said.is_harmless(payload);
            }
            let terms = get(&browser, world, TERMS, &[("redirect_uri", payload), ("mode", payload)]).await;
            assert_eq!(terms.status, StatusCode::BAD_REQUEST, "{payload}");
            terms.is_harmless(payload);
            let decided = submit(&browser, world, TERMS, &[("redirect_uri", payload), ("accept", "true")]).await;
            assert_eq!(decided.status, StatusCode::BAD_REQUEST, "{payload}");
            decided.is_harmless(payload);
            submit(&browser, world, TERMS, &[("redirect_uri", BROKER), ("accept", payload)]).await.is_harmless(payload);
        }
        for broken in ["%zz", "appru=%ff", "appru", "appru=a&appru=ms-app://x", ""] {
            let opened = shown(browser.get(format!("{}?{broken}", world.app.device_url(AUTH)))).await;
            assert_eq!(opened.status, StatusCode::BAD_REQUEST, "{broken}");
            opened.is_harmless(broken);
            let terms = shown(browser.get(format!("{}?{broken}", world.app.device_url(TERMS)))).await;
            assert_eq!(terms.status, StatusCode::BAD_REQUEST, "{broken}");
        }
        let much = format!("appru={APP}&email={}", "a".repeat(64 * 1024));
        let too_much = shown(browser.post(world.app.device_url(AUTH)).body(much)).await;
        assert_eq!(too_much.status, StatusCode::BAD_REQUEST);
        too_much.is_harmless("much");
    })
    .await;
}
