//! A Windows device by hand: requests as an outside client writes them, and what it reads of the answers.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use protocol::pki::scep::client::certification_request;
use protocol::pki::{Certificate, NewKey, Signer};
use protocol::windows::xml::{Element, parse};
use reqwest::{Client, Identity, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::app::answer;
use crate::world::{SECRET, World};

pub(crate) const DISCOVER: &str = include_str!("../../protocol/tests/fixtures/windows/discover.xml");
pub(crate) const GET_POLICIES: &str = include_str!("../../protocol/tests/fixtures/windows/get_policies.xml");
pub(crate) const ISSUE: &str = include_str!("../../protocol/tests/fixtures/windows/issue.xml");
pub(crate) const RENEW: &str = include_str!("../../protocol/tests/fixtures/windows/renew.xml");

pub(crate) const DISCOVERY: &str = "/EnrollmentServer/Discovery.svc";
pub(crate) const POLICY: &str = "/api/mdm/microsoft/policy";
pub(crate) const ENROLL: &str = "/api/mdm/microsoft/enroll";

/// What fixtures show to be let in, and what they say of themselves.
const TOKEN: &str = "b25lLXRpbWUtdG9rZW4tOWYyYw==";
pub(crate) const DEVICE_ID: &str = "1F7C3A6E9B204D58A1E4C0FF5B6D7E80";
pub(crate) const HARDWARE_ID: &str = "8C41E0B7D2F3465A9B8C7D6E5F40312233445566778899AABBCCDDEEFF001122";
const OPAQUE: &str = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentUserToken";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// An answer.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

/// What a device was given.
pub(crate) struct Enrolled {
    pub(crate) document: Element,
    pub(crate) key: PKey<Private>,
}

/// A key, made once for all tests that need no two.
pub(crate) fn key() -> PKey<Private> {
    static KEY: LazyLock<PKey<Private>> = LazyLock::new(|| NewKey::Rsa2048.generate().unwrap());
    KEY.clone()
}

/// A certificate request as Windows names its devices.
pub(crate) fn csr(key: &PKey<Private>) -> Vec<u8> {
    certification_request(key, "F717C0F0-B201!4219DFB0", None).unwrap()
}

/// Base64 with white space, as Windows writes it.
pub(crate) fn broken_base64(bytes: &[u8]) -> String {
    let whole = STANDARD.encode(bytes);
    whole.as_bytes().chunks(64).map(|line| format!("{}\r\n  ", String::from_utf8_lossy(line))).collect()
}

/// A request with this token in its header.
pub(crate) fn with_token(request: &str, token: &[u8]) -> String {
    request.replace(TOKEN, &STANDARD.encode(token))
}

/// The same with a token of an identity provider.
pub(crate) fn with_jwt(request: &str, token: &str) -> String {
    with_token(request, token.as_bytes()).replacen(OPAQUE, JWT, 1)
}

/// A request to enroll with this token and this key.
pub(crate) fn issue(token: &[u8], key: &PKey<Private>) -> String {
    with_token(ISSUE, token).replace("{csr}", &broken_base64(&csr(key)))
}

/// The same with a token of an identity provider.
pub(crate) fn issue_with_jwt(token: &str, key: &PKey<Private>) -> String {
    with_jwt(ISSUE, token).replace("{csr}", &broken_base64(&csr(key)))
}

/// What an agent gives Windows to enroll with.
pub(crate) fn agent_token(node_key: &str) -> Vec<u8> {
    json!({ "type": 1, "payload": { "orbit_node_key": node_key } }).to_string().into_bytes()
}

pub(crate) async fn send(request: RequestBuilder) -> Said {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let headers = answer.headers().clone();
    let text = answer.text().await.unwrap();
    assert_eq!(headers["content-length"].to_str().unwrap(), text.len().to_string(), "devices need the length");
    assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("content-encoding"));
    assert_eq!(headers["content-type"], "application/soap+xml; charset=utf-8");
    Said { status, text }
}

/// Sends a message to the server of a world.
pub(crate) async fn post(world: &World, path: &str, body: impl Into<String>) -> Said {
    let request = world.app.client.post(world.app.device_url(path));
    let request = request.header("content-type", "application/soap+xml; charset=utf-8");
    send(request.header("accept-encoding", "gzip, deflate, br").body(body.into())).await
}

/// A token that an admin made.
pub(crate) async fn admin_token(world: &World, wish: Value) -> String {
    let made = world.app.post("/api/v1/fleet/windows_enrollment_tokens", &wish).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json);
    made.json["token"].as_str().unwrap().to_owned()
}

/// The node key of the agent on a PC that it makes known.
pub(crate) async fn agent(world: &World, serial: &str) -> String {
    let said = json!({
        "enroll_secret": SECRET, "hardware_serial": serial, "hardware_uuid": format!("UUID-{serial}"),
        "hostname": "pc", "platform": "windows", "platform_like": "windows", "osquery_identifier": serial,
        "computer_name": format!("PC {serial}"), "hardware_model": "Latitude 7440",
    });
    let request = world.app.client.post(world.app.device_url("/api/fleet/orbit/enroll")).body(said.to_string());
    let answer = answer(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    answer.json["orbit_node_key"].as_str().unwrap().to_owned()
}

/// Hosts as the API lists them.
pub(crate) async fn hosts(world: &World) -> Vec<Value> {
    let listed = world.app.get("/api/v1/fleet/hosts?per_page=1000&order_key=id").await;
    assert_eq!(listed.status, StatusCode::OK, "{}", listed.json);
    listed.json["hosts"].as_array().unwrap().clone()
}

/// A client that shows this certificate in its handshake.
pub(crate) fn showing(world: &World, signer: &Signer) -> Client {
    let certificate = X509::from_der(signer.certificate().der()).unwrap();
    let key = openssl::pkey::PKey::private_key_from_pem(&signer.private_key_pem().unwrap()).unwrap();
    let bag = Pkcs12::builder().name("device").pkey(&key).cert(&certificate).build2("").unwrap().to_der().unwrap();
    let ca = std::fs::read(world.app.running().addresses.ca_file.as_ref().unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()]).no_proxy();
    client.identity(Identity::from_pkcs12_der(&bag, "").unwrap()).build().unwrap()
}

/// What the server answers to the first message of a session of a device with this certificate.
pub(crate) async fn session(world: &World, signer: &Signer) -> String {
    let address = world.app.device_url("/api/mdm/microsoft/management");
    let alert = format!(
        "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1</SessionID>\
         <MsgID>1</MsgID><Target><LocURI>{address}</LocURI></Target><Source><LocURI>{DEVICE_ID}</LocURI></Source></SyncHdr>\
         <SyncBody><Alert><CmdID>2</CmdID><Data>1201</Data></Alert><Final/></SyncBody></SyncML>"
    );
    showing(world, signer).post(address).body(alert).send().await.unwrap().text().await.unwrap()
}

impl Said {
    /// The body of an envelope.
    pub(crate) fn body(&self) -> Element {
        let mut root = parse(self.text.as_bytes(), 1 << 20).unwrap().root;
        assert_eq!(root.name, "Envelope");
        let mut body = root.children.pop().unwrap();
        assert_eq!((body.name.as_str(), body.children.len()), ("Body", 1));
        body.children.pop().unwrap()
    }

    /// The subcode, type and text of a fault.
    pub(crate) fn fault(&self) -> (String, String, String) {
        assert_eq!(self.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", self.text);
        let fault = self.body();
        assert_eq!((fault.name.as_str(), &*fault.namespace), ("Fault", "http://www.w3.org/2003/05/soap-envelope"));
        let at = |path: &[&str]| find(&fault, path).text.clone();
        let detail = find(&fault, &["Detail", "DeviceEnrollmentServiceError"]);
        let said = find(detail, &["Message"]).text.clone();
        assert_eq!(at(&["Code", "Value"]), "s:Receiver");
        assert_eq!(at(&["Reason", "Text"]), said);
        assert!(find(detail, &["TraceId"]).text.len() >= 8);
        (at(&["Code", "Subcode", "Value"]), find(detail, &["ErrorType"]).text.clone(), said)
    }

    /// What a device that enrolled with this key was given.
    pub(crate) fn enrolled(&self, key: &PKey<Private>) -> Enrolled {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        let answer = self.body();
        assert_eq!(answer.name, "RequestSecurityTokenResponseCollection");
        let path = ["RequestSecurityTokenResponse", "RequestedSecurityToken", "BinarySecurityToken"];
        let xml = STANDARD.decode(&find(&answer, &path).text).unwrap();
        Enrolled { document: parse(&xml, 1 << 20).unwrap().root, key: key.clone() }
    }
}

impl Enrolled {
    /// The value of a parameter below characteristics of these types.
    pub(crate) fn parm(&self, path: &[&str], name: &str) -> Option<String> {
        let mut here = vec![&self.document];
        for kind in path {
            let below = here.iter().flat_map(|element| &element.children);
            here = below.filter(|child| *kind == "*" || child.attribute("type") == Some(kind)).collect();
        }
        let mut parms = here.iter().flat_map(|element| &element.children).filter(|child| child.name == "parm");
        Some(parms.find(|parm| parm.attribute("name") == Some(name))?.attribute("value")?.to_owned())
    }

    /// The device's certificate.
    pub(crate) fn certificate(&self) -> Certificate {
        let of = |store| self.parm(&["CertificateStore", "My", store, "*"], "EncodedCertificate");
        Certificate::parse(&STANDARD.decode(of("User").or(of("System")).unwrap()).unwrap()).unwrap()
    }

    /// What the device proves itself by.
    pub(crate) fn signer(&self) -> Signer {
        Signer::new(self.certificate(), self.key.clone()).unwrap()
    }

    /// The password by which it proves itself otherwise, and the server's.
    pub(crate) fn passwords(&self) -> [String; 2] {
        let application = self.document.children.iter().find(|child| child.attribute("type") == Some("APPLICATION"));
        let below = |level: &str| {
            let mut proofs =
                application.unwrap().children.iter().filter(|child| child.attribute("type") == Some("APPAUTH"));
            let value = |proof: &Element, name: &str| {
                let parm = proof.children.iter().find(|parm| parm.attribute("name") == Some(name));
                parm.and_then(|parm| parm.attribute("value")).unwrap().to_owned()
            };
            value(proofs.find(|proof| value(proof, "AAUTHLEVEL") == level).unwrap(), "AAUTHSECRET")
        };
        ["APPSRV", "CLIENT"].map(below)
    }

    /// The name that the server gave the enrollment.
    pub(crate) fn name(&self) -> String {
        self.parm(&["DMClient", "Provider", "Rookery"], "EntDMID").unwrap()
    }
}

/// The element at a path of names.
pub(crate) fn find<'e>(element: &'e Element, path: &[&str]) -> &'e Element {
    path.iter().fold(element, |element, name| {
        let found = element.children.iter().find(|child| child.name == *name);
        found.unwrap_or_else(|| unreachable!("there is no {name} in {element:?}"))
    })
}
