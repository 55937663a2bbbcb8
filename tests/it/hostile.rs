//! What strangers send: every device route, with everything that is wrong. No answer may un-enroll a device, nothing may
//! panic, and the server must go on.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rookery::http::{ROUTES, Who};
use serde_json::json;

use crate::app::App;
use crate::world::{SECRET, on_each_store};

/// The paths of enrolled devices, with their methods.
fn device_routes() -> Vec<(&'static str, &'static str)> {
    let of_devices = ROUTES.iter().filter(|route| route.who == Who::EnrolledDevice);
    let routes: Vec<_> = of_devices.map(|route| (route.path, route.methods)).collect();
    assert!(routes.len() >= 7, "the list of routes is the one that is served");
    routes
}

/// Whether an enrolled device may be answered so. 408 is actix-web's own, for a head that does not come.
fn is_harmless(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 400 | 404 | 408 | 410 | 413 | 429) || status.is_server_error()
}

fn nested(levels: usize) -> Vec<u8> {
    format!("<plist version=\"1.0\">{}{}</plist>", "<array>".repeat(levels), "</array>".repeat(levels)).into_bytes()
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let doctype = "<!DOCTYPE plist [<!ENTITY a \"aaaa\">]>";
    vec![
        ("nothing", vec![]),
        ("no plist", b"{}".to_vec()),
        ("half a plist", b"<plist version=\"1.0\"><dict><key>UDID".to_vec()),
        ("a binary plist", b"bplist00\xd1\x01\x02SudidAx".to_vec()),
        ("a plist with an entity", format!("{doctype}<plist><string>&a;</string></plist>").into_bytes()),
        ("10 levels", nested(10)),
        ("1 000 levels", nested(1000)),
        ("100 000 levels", nested(100_000)),
        ("600 000 levels", nested(600_000)),
        ("bytes that are no text", (0..=255).collect()),
        ("zeros", vec![0; 100_000]),
    ]
}

async fn send(app: &App, method: &Method, path: &str, body: Vec<u8>, headers: &[(&str, String)]) -> StatusCode {
    let mut request = app.client.request(method.clone(), app.device_url(path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.send().await.unwrap().status()
}

#[actix::test]
async fn no_body_and_no_header_on_any_device_route_can_harm() {
    let app = App::start();
    let signatures = ["".to_owned(), "AAAA".into(), "%%%".into(), "A".repeat(8000), "MIAGCSqGSIb3DQEHAqCAMIA=".into()];
    for (path, methods) in device_routes() {
        for method in methods.split(' ').map(|method| method.parse::<Method>().unwrap()) {
            for (what, body) in bodies() {
                let status = send(&app, &method, path, body, &[]).await;
                assert!(is_harmless(status), "{method} {path} with {what}: {status}");
            }
            for signature in &signatures {
                let headers = [("mdm-signature", signature.clone()), ("authorization", "Bearer x".into())];
                let status = send(&app, &method, path, b"<plist/>".to_vec(), &headers).await;
                assert!(is_harmless(status), "{method} {path} signed {signature:.9}: {status}");
            }
        }
        for method in [Method::GET, Method::DELETE, Method::OPTIONS, Method::PATCH, Method::HEAD] {
            let status = send(&app, &method, path, vec![], &[]).await;
            assert!(is_harmless(status), "{method} {path}: {status}");
        }
    }
    assert_eq!(app.ops("/readyz").await.status, StatusCode::OK);
}

#[actix::test]
async fn nothing_that_an_agent_says_can_harm() {
    on_each_store(async |world| {
        let app = &world.app;
        let routes = ROUTES.iter().filter(|route| route.who == Who::Agent && route.methods == "POST");
        let routes = routes.filter(|route| route.path.starts_with("/api/"));
        let paths: Vec<&str> = routes.map(|route| route.path).collect();
        assert!(paths.len() >= 6, "the list of routes is the one that is served");
        for path in paths {
            for (what, body) in bodies().into_iter().chain([("a large body", vec![b' '; 1024 * 1024])]) {
                let status = send(app, &Method::POST, path, body, &[]).await;
                assert!(matches!(status.as_u16(), 400 | 413), "{path} with {what}: {status}");
            }
            let status = send(app, &Method::GET, path, vec![], &[]).await;
            assert!(status.is_client_error(), "{path}: {status}");
        }
        // What a host is called gets into no statement but as a value.
        let odd = [
            "'\";--\u{0}x",
            "%_\\",
            "\u{202e}\u{1F480}",
            "Robert'); DROP TABLE host;--",
            &"x".repeat(255),
            &"ü".repeat(20_000),
        ];
        let mut made = 0;
        for (number, text) in odd.into_iter().enumerate() {
            let orbit = json!({
                "enroll_secret": SECRET, "hardware_serial": text, "hardware_uuid": text, "osquery_identifier": text,
                "computer_name": text, "hardware_model": text, "platform": text, "hostname": number,
            });
            let wrong_type = send(app, &Method::POST, "/api/fleet/orbit/enroll", orbit.to_string().into(), &[]).await;
            assert!(matches!(wrong_type.as_u16(), 400 | 413), "{text:.20}: {wrong_type}");
            let system =
                json!({ "hardware_serial": text, "uuid": text, "computer_name": text, "hardware_model": [text] });
            let osquery = json!({
                "enroll_secret": SECRET, "host_identifier": text,
                "host_details": { "system_info": system, "os_version": { "platform": text, "version": text }, text: 7 },
            });
            let status = send(app, &Method::POST, "/api/osquery/enroll", osquery.to_string().into(), &[]).await;
            assert!(matches!(status.as_u16(), 200 | 413), "{text:.20}: {status}");
            made += usize::from(status == StatusCode::OK);
        }
        let hosts = app.get("/api/v1/fleet/hosts").await.json["hosts"].as_array().unwrap().clone();
        assert_eq!((hosts.len(), made), (5, 5), "{hosts:?}");
        let found = app.get("/api/v1/fleet/hosts?query=DROP%20TABLE").await;
        assert_eq!(found.json["hosts"].as_array().unwrap().len(), 1, "{}", found.json);
        assert_eq!(app.ops("/readyz").await.status, StatusCode::OK);
    })
    .await;
}

#[actix::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let app = App::with(|settings| settings.device.max_body_mib = 1);
    for (path, _) in device_routes() {
        let status = send(&app, &Method::POST, path, vec![b' '; 3 * 1024 * 1024], &[]).await;
        assert!(matches!(status.as_u16(), 400 | 413), "{path}: {status}");
    }
    assert_eq!(app.ops("/readyz").await.status, StatusCode::OK);
}

#[actix::test]
async fn admin_routes_open_for_nobody_without_a_token() {
    let app = App::start();
    let base = app.running().addresses.admin_url.clone();
    for route in ROUTES.iter().filter(|route| matches!(route.who, Who::Admin(_))) {
        let path = route.path.replace("{base}", "/api/latest/fleet").replace("{id:[0-9]+}", "1");
        let path = path
            .replace("{delivery:[0-9]+}", "1")
            .replace("{token:[0-9]+}", "1")
            .replace("{identifier}", "x")
            .replace("{ids}", "x");
        for method in route.methods.split(' ').map(|method| method.parse::<Method>().unwrap()) {
            for token in [None, Some("Bearer wrong"), Some("Basic bmFubzp3cm9uZw==")] {
                let mut request = app.client.request(method.clone(), format!("{base}{path}"));
                if let Some(token) = token {
                    request = request.header("authorization", token);
                }
                let status = request.send().await.unwrap().status();
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} with {token:?}");
            }
        }
    }
}

#[actix::test]
async fn nothing_of_operators_and_admins_is_on_the_devices_listener() {
    let app = App::start();
    for path in
        ["/metrics", "/tree", "/healthz", "/readyz", "/version", "/v1/pushcert", "/api/v1/fleet/hosts", "/debug"]
    {
        let status = app.client.get(app.device_url(path)).send().await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[actix::test]
async fn a_body_that_never_ends_holds_nobody_up() {
    use tokio::io::AsyncWriteExt;
    let app = App::with(|settings| settings.device.plain = true);
    let address = app.running().addresses.device;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PUT /mdm HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n<plist").await.unwrap();
        slow.push(stream);
    }
    for _ in 0..50 {
        let url = format!("http://{address}/scep?operation=GetCACaps");
        assert_eq!(app.client.get(url).send().await.unwrap().status(), StatusCode::OK);
    }
    drop(slow);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(app.ops("/readyz").await.status, StatusCode::OK);
}
