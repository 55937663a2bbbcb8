//! What each request gets: the headers are checked, then the session, then the call.

use bytes::Bytes;
use hyper::HeaderMap;
use protocol::apple::dep::{MAX_DEVICES, SESSION_HEADER, VERSION_HEADER};
use protocol::percent::percent_decoded;
use protocol::time::Timestamp;
use serde_json::{Map, Value, json};

use super::cursor::Cursor;
use super::oauth::{Authorization, Rejected, no_token};
use super::organization::Wanted;
use super::profiles::{self, Means};
use super::sessions::Checked;
use super::{Rule, State};

/// Devices on a page, when the request does not say.
const DEFAULT_LIMIT: usize = 100;

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// None when it was too long.
    pub(super) body: Option<Bytes>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// A status and Apple's word for it.
type Refused = (u16, &'static str);

impl Reply {
    pub(super) fn refused(status: u16, code: &str) -> Self {
        Self {
            status,
            body: code.as_bytes().to_vec(),
            headers: vec![("content-type", "text/plain;charset=UTF8".into())],
        }
    }

    fn json(value: &Value) -> Self {
        let headers = vec![("content-type", "application/json;charset=UTF8".to_owned())];
        Self { status: 200, body: value.to_string().into_bytes(), headers }
    }
}

impl Call {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The body as an object.
    fn object(&self) -> Result<Map<String, Value>, Refused> {
        let body = self.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        body.ok_or((400, "MALFORMED_REQUEST_BODY"))
    }
}

impl State {
    /// Answers as Apple does.
    pub(super) fn answer(&mut self, call: &Call, now: Timestamp) -> Reply {
        let answered = self.checked(call, now);
        answered.unwrap_or_else(|(status, code)| {
            if code == "MALFORMED_REQUEST_BODY" || code == "DEVICE_ID_REQUIRED" {
                self.find(Rule::Body, format!("{}: {code}", call.name()));
            }
            Reply::refused(status, code)
        })
    }

    fn checked(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refused> {
        if call.header("user-agent").is_none() {
            self.find(Rule::Header, format!("{} without User-Agent", call.name()));
            return Err((400, "USER_AGENT_MISSING"));
        }
        if call.path == "/session" && call.method == "GET" {
            return self.open_session(call, now);
        }
        let (owner, new_session) = self.session(call, now)?;
        if !self.organizations[owner].terms_signed {
            return Err((403, "T_C_NOT_SIGNED"));
        }
        let version = call.header(VERSION_HEADER).and_then(|version| version.parse().ok());
        let Some(version) = version else {
            self.find(Rule::Header, format!("{} without {VERSION_HEADER}", call.name()));
            return Err((400, "PROTOCOL_VERSION_REQUIRED"));
        };
        let is_json = |kind: &str| kind.to_ascii_lowercase().starts_with("application/json");
        if call.method != "GET" && !call.header("content-type").is_some_and(is_json) {
            self.find(Rule::Header, format!("{} without Content-Type: application/json", call.name()));
            return Err((400, "MALFORMED_REQUEST_BODY"));
        }
        let mut reply = self.dispatch(call, owner, (version, now))?;
        reply.headers.extend(new_session.map(|session| (SESSION_HEADER, session)));
        Ok(reply)
    }

    fn open_session(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Refused> {
        let url = format!("https://{}/session", call.header("host").unwrap_or_default().to_ascii_lowercase());
        let opened = self.authenticate(call.header("authorization").unwrap_or_default(), &url, now);
        match opened {
            Ok(owner) if !self.organizations[owner].terms_signed => Err((403, "T_C_NOT_SIGNED")),
            Ok(owner) => {
                let expires_at = now.plus(self.session_life);
                let session = self.organizations[owner].sessions.open(expires_at, &mut self.chance);
                Ok(Reply::json(&json!({"auth_session_token": session})))
            }
            Err(Rejected { status, code, is_fault }) => {
                if is_fault {
                    self.find(Rule::OAuth, code);
                }
                Err((status, code))
            }
        }
    }

    /// The organization that a request claims to be of.
    pub(super) fn caller(&self, call: &Call) -> Option<usize> {
        let session = call.header(SESSION_HEADER).unwrap_or_default();
        let owns = |owner: &super::Organization| owner.sessions.has(session);
        let consumer = || {
            let authorization = Authorization::parse(call.header("authorization")?).ok()?;
            let is_its = |owner: &super::Organization| {
                owner.token.as_ref().is_some_and(|token| token.consumer_key == authorization.consumer_key())
            };
            self.organizations.iter().position(is_its)
        };
        self.organizations.iter().position(owns).or_else(consumer)
    }

    fn authenticate(&mut self, header: &str, url: &str, now: Timestamp) -> Result<usize, Rejected> {
        let authorization = Authorization::parse(header)?;
        let owns = |token: &super::token::Token| token.consumer_key == authorization.consumer_key();
        let owner = self.organizations.iter().position(|owner| owner.token.as_ref().is_some_and(owns));
        let owner = owner.ok_or(no_token("oauth_problem=consumer_key_unknown"))?;
        let organization = &mut self.organizations[owner];
        let Some(token) = &organization.token else { return Err(no_token("oauth_problem=consumer_key_unknown")) };
        authorization.check(url, token, &mut organization.nonces, now)?;
        Ok(owner)
    }

    /// Whose session it is, and which takes its place.
    fn session(&mut self, call: &Call, now: Timestamp) -> Result<(usize, Option<String>), Refused> {
        let Some(name) = call.header(SESSION_HEADER) else {
            self.find(Rule::Header, format!("{} without {SESSION_HEADER}", call.name()));
            return Err((401, "UNAUTHORIZED"));
        };
        let owner = self.organizations.iter().position(|owner| owner.sessions.has(name)).ok_or((403, "FORBIDDEN"))?;
        let (time, most) = ((now, self.session_life), self.calls_per_session);
        match self.organizations[owner].sessions.check(name, time, most, &mut self.chance) {
            Checked::Good(new) => Ok((owner, new)),
            Checked::Unknown => Err((403, "FORBIDDEN")),
            Checked::Expired => Err((401, "UNAUTHORIZED")),
            Checked::Replaced => {
                self.find(Rule::Session, format!("{} with a session that was replaced", call.name()));
                Err((401, "UNAUTHORIZED"))
            }
        }
    }

    fn dispatch(&mut self, call: &Call, owner: usize, (version, now): (u32, Timestamp)) -> Result<Reply, Refused> {
        let answer = match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/account") => self.organizations[owner].account(),
            ("POST", "/server/devices") => self.fetch(call, owner, (version, now))?,
            ("POST", "/devices/sync") => self.changes(call, owner, (version, now))?,
            ("POST", "/devices") => self.details(&serials(&call.object()?)?, owner, version),
            ("POST", "/profile") => self.define(&call.object()?, owner, now)?,
            ("GET", "/profile") => self.profile(call, owner)?,
            ("POST" | "PUT", "/profile/devices") => self.assign(&call.object()?, owner, now)?,
            ("DELETE", "/profile/devices") => self.assign_to(None, &serials(&call.object()?)?, owner, now),
            _ => {
                self.find(Rule::Path, call.name());
                return Err((404, "NOT_FOUND"));
            }
        };
        Ok(Reply::json(&answer))
    }

    fn fetch(&mut self, call: &Call, owner: usize, (version, now): (u32, Timestamp)) -> Result<Value, Refused> {
        let body = call.object()?;
        let wanted = Wanted { limit: limit(&body)?, version, now };
        let cursor = match body.get("cursor").and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Some(self.cursor(text, owner, now)?),
            _ => None,
        };
        if cursor.is_some_and(|cursor| cursor.device.is_none()) {
            return Err((400, "EXHAUSTED_CURSOR"));
        }
        Ok(self.organizations[owner].fetch(cursor, wanted))
    }

    fn changes(&mut self, call: &Call, owner: usize, (version, now): (u32, Timestamp)) -> Result<Value, Refused> {
        let body = call.object()?;
        let wanted = Wanted { limit: limit(&body)?, version, now };
        let text = body.get("cursor").and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(text) = text else {
            self.find(Rule::Cursor, format!("{} without a cursor", call.name()));
            return Err((400, "CURSOR_REQUIRED"));
        };
        let cursor = self.cursor(text, owner, now)?;
        if cursor.device.is_some() {
            self.find(Rule::Cursor, "changes are asked for before all devices were fetched");
            return Err((400, "INVALID_CURSOR"));
        }
        Ok(self.organizations[owner].changes(cursor, wanted, &mut self.chance))
    }

    /// Reads a cursor; one that was refused before should not have come again.
    fn cursor(&mut self, text: &str, owner: usize, now: Timestamp) -> Result<Cursor, Refused> {
        let organization = &mut self.organizations[owner];
        let refused = match Cursor::decode(text, &organization.secret) {
            None => "INVALID_CURSOR",
            Some(cursor) if cursor.is_expired(now) => "EXPIRED_CURSOR",
            Some(cursor) => return Ok(cursor),
        };
        if !organization.refused_cursors.insert(text.to_owned()) {
            self.find(Rule::Cursor, format!("{refused}, once more"));
        }
        Err((400, refused))
    }

    fn details(&self, serials: &[String], owner: usize, version: u32) -> Value {
        let organization = &self.organizations[owner];
        let detail = |serial: &String| {
            let mut entries = Map::new();
            let word = match organization.find(serial) {
                Some(number) => {
                    entries = organization.devices[number].to_json(version);
                    "SUCCESS"
                }
                None => "NOT_ACCESSIBLE",
            };
            entries.insert("response_status".into(), json!(word));
            (serial.clone(), Value::Object(entries))
        };
        json!({"devices": serials.iter().map(detail).collect::<Map<_, _>>()})
    }

    fn define(&mut self, profile: &Map<String, Value>, owner: usize, now: Timestamp) -> Result<Value, Refused> {
        if let Some(code) = profiles::fault(profile) {
            return Err((400, code));
        }
        let serials = if profile.contains_key("devices") { serials_or_none(profile)? } else { Vec::new() };
        let uuid = self.organizations[owner].define(profile, &mut self.chance);
        Ok(self.assign_to(Some(&uuid), &serials, owner, now))
    }

    fn profile(&self, call: &Call, owner: usize) -> Result<Value, Refused> {
        let mut pairs = call.query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, uuid) = pairs.find(|(name, _)| *name == "profile_uuid").ok_or((400, "PROFILE_UUID_REQUIRED"))?;
        let uuid = String::from_utf8_lossy(&percent_decoded(uuid.as_bytes())).into_owned();
        let mut profile = self.organizations[owner].profiles.get(&uuid).cloned().ok_or((404, "NOT_FOUND"))?;
        profile["profile_uuid"] = json!(uuid);
        Ok(profile)
    }

    fn assign(&mut self, body: &Map<String, Value>, owner: usize, now: Timestamp) -> Result<Value, Refused> {
        let uuid = body.get("profile_uuid").and_then(Value::as_str).ok_or((400, "PROFILE_UUID_REQUIRED"))?;
        let serials = serials(body)?;
        if !self.organizations[owner].profiles.contains_key(uuid) {
            return Err((404, "PROFILE_NOT_FOUND"));
        }
        Ok(self.assign_to(Some(uuid), &serials, owner, now))
    }

    fn assign_to(&mut self, uuid: Option<&str>, serials: &[String], owner: usize, now: Timestamp) -> Value {
        let mut means = Means { refused: &self.refused, chance: &mut self.chance, now };
        self.organizations[owner].assign(uuid, serials, &mut means)
    }
}

impl super::Organization {
    fn account(&self) -> Value {
        let limit = json!({"default": DEFAULT_LIMIT, "maximum": MAX_DEVICES});
        json!({
            "server_name": format!("{} MDM", self.name),
            "server_uuid": self.server_uuid,
            "admin_id": "admin@example.com",
            "facilitator_id": "admin@example.com",
            "org_name": self.name,
            "org_email": "it@example.com",
            "org_phone": "+1 555 0100",
            "org_address": "1 Example Way",
            "org_id": self.server_uuid.replace('-', ""),
            "org_id_hash": self.secret.replace('-', "").to_lowercase(),
            "org_type": "org",
            "org_version": "v2",
            "urls": [
                {"uri": "/server/devices", "http_method": ["POST"], "limit": limit},
                {"uri": "/devices/sync", "http_method": ["POST"], "limit": limit},
                {"uri": "/profile/devices", "http_method": ["POST", "PUT", "DELETE"]},
            ],
        })
    }
}

fn limit(body: &Map<String, Value>) -> Result<usize, Refused> {
    let Some(limit) = body.get("limit") else { return Ok(DEFAULT_LIMIT) };
    let limit = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
    limit.filter(|limit| (1..=MAX_DEVICES).contains(limit)).ok_or((400, "MALFORMED_REQUEST_BODY"))
}

/// The devices that a request names, at least one.
fn serials(body: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let serials = serials_or_none(body)?;
    if serials.is_empty() { Err((400, "DEVICE_ID_REQUIRED")) } else { Ok(serials) }
}

fn serials_or_none(body: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    const MALFORMED: Refused = (400, "MALFORMED_REQUEST_BODY");
    let listed = body.get("devices").map_or(Ok(&[][..]), |list| list.as_array().map(Vec::as_slice).ok_or(MALFORMED))?;
    let serials: Option<Vec<String>> = listed.iter().map(|serial| serial.as_str().map(str::to_owned)).collect();
    serials.filter(|serials| serials.len() <= MAX_DEVICES).ok_or(MALFORMED)
}
