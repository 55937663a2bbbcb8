//! SOAP as a PC speaks it while it enrolls: writes requests, and judges answers and faults whole.
//!
//! Never here: what the bodies mean. Start with [`envelope`], then [`read`].

use openssl::base64::encode_block;
use protocol::time::Timestamp;
use protocol::windows::xml::{Document, Element, Writer, parse};

use super::judge::Judge;
use crate::sim::wire::Reply;

/// SOAP 1.1, which successful answers are written in: some clients take nothing else for the last of them.
pub(super) const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// SOAP 1.2, which requests and faults are written in.
pub(super) const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";
pub(super) const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
pub(super) const DISCOVERY: &str = "http://schemas.microsoft.com/windows/management/2012/01/enrollment";
pub(super) const POLICY: &str = "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy";
pub(super) const ENROLLMENT: &str = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment";
pub(super) const TRUST: &str = "http://docs.oasis-open.org/ws-sx/ws-trust/200512";
pub(super) const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
pub(super) const AUTHORIZATION: &str = "http://schemas.xmlsoap.org/ws/2006/12/authorization";
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
const CONTENT_TYPE: &str = "application/soap+xml";
/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// What shows who a PC belongs to.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// What the login page, the agent or an admin gave: text that means something to the server alone.
    User(String),
    /// What Entra gave.
    Jwt(String),
    /// None at all.
    None,
}

/// Who a request is for.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) action: &'a str,
    pub(super) message_id: &'a str,
    pub(super) to: &'a str,
    pub(super) token: &'a Token,
}

/// What a server says when it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{subcode} {error_type}: {message}")]
pub struct SoapFault {
    /// For example `s:Authentication`.
    pub subcode: String,
    /// For example `InvalidEnrollmentData`; may be empty.
    pub error_type: String,
    /// For people.
    pub message: String,
    /// What support looks for.
    pub trace: String,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The one element of the body.
    Body(Element),
    /// A refusal.
    Fault(SoapFault),
}

/// Writes a request.
pub(super) fn envelope(ask: &Ask<'_>, body: impl FnOnce(&mut Writer)) -> String {
    let mut out = Writer::new();
    let names = [
        ("xmlns:s", SOAP_12),
        ("xmlns:a", ADDRESSING),
        ("xmlns:wsse", SECURITY),
        ("xmlns:wst", TRUST),
        ("xmlns:ac", AUTHORIZATION),
    ];
    out.element("s:Envelope", &names, |out| {
        out.element("s:Header", &[], |out| {
            out.leaf("a:Action", &[("s:mustUnderstand", "1")], ask.action);
            out.leaf("a:MessageID", &[], ask.message_id);
            out.element("a:ReplyTo", &[], |out| out.leaf("a:Address", &[], &format!("{ADDRESSING}/anonymous")));
            out.leaf("a:To", &[("s:mustUnderstand", "1")], ask.to);
            let (kind, token) = match ask.token {
                Token::None => return,
                Token::User(token) => (
                    "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentUserToken",
                    token,
                ),
                Token::Jwt(token) => ("urn:ietf:params:oauth:token-type:jwt", token),
            };
            out.element("wsse:Security", &[("s:mustUnderstand", "1")], |out| {
                security_token(out, kind, &encode_block(token.as_bytes()));
            });
        });
        out.element("s:Body", &[], body);
    });
    out.finish()
}

/// A `wsse:BinarySecurityToken`.
pub(super) fn security_token(out: &mut Writer, kind: &str, base64: &str) {
    let encoding = format!("{SECURITY}#base64binary");
    out.leaf("wsse:BinarySecurityToken", &[("ValueType", kind), ("EncodingType", &encoding)], base64);
}

/// An element that says that it has no value.
pub(super) fn nil(out: &mut Writer, name: &str) {
    out.empty(name, &[("xmlns:xsi", INSTANCE), ("xsi:nil", "true")]);
}

/// Judges the reply to a request; `Err` when nothing can be read of it.
pub(super) fn read(
    reply: &Reply,
    ask: &Ask<'_>,
    action: &str,
    now: Timestamp,
    judge: &mut Judge,
) -> Result<Outcome, String> {
    let document = parse(&reply.body, MAX_BYTES).map_err(|error| format!("status {}: {error}", reply.status))?;
    judge.says("the media type", reply.media_type(), CONTENT_TYPE);
    let refused = reply.status != 200;
    judge.demand(matches!(reply.status, 200 | 500), || format!("a SOAP answer with the status {}", reply.status));
    let root = &document.root;
    let soap = if refused { SOAP_12 } else { SOAP_11 };
    judge.demand(root.is(soap, "Envelope"), || format!("the envelope is {} of {}", root.name, root.namespace));
    judge.order(root, soap, &["Header", "Body"]);
    let body = root.child(soap, "Body").ok_or("the answer has no body in its namespace")?;
    judge.demand(body.children.len() == 1, || format!("the body holds {} elements", body.children.len()));
    let header = root.child(soap, "Header");
    let related = header.and_then(|header| header.child_text(ADDRESSING, "RelatesTo"));
    judge.says("RelatesTo", related, ask.message_id);
    let answered = header.and_then(|header| header.child_text(ADDRESSING, "Action"));
    judge.demand(answered.is_some(), || "there is no Action".into());
    let content = body.children.first().ok_or("the body is empty")?;
    if refused {
        return Ok(Outcome::Fault(fault(content, judge)));
    }
    judge.says("Action", answered, action);
    if action.starts_with(ENROLLMENT) && action.ends_with("/wstep") {
        judge_timestamp(header, now, judge);
    }
    Ok(Outcome::Body(content.clone()))
}

/// The answer with a certificate says when it is good, which includes the present.
fn judge_timestamp(header: Option<&Element>, now: Timestamp, judge: &mut Judge) {
    let stamp = header.and_then(|header| header.child(SECURITY, "Security")?.child(UTILITY, "Timestamp"));
    let at = |name: &str| stamp.and_then(|it| it.child_text(UTILITY, name)).and_then(Timestamp::parse_rfc3339);
    let (created, expires) = (at("Created"), at("Expires"));
    let holds = created.is_some_and(|created| created <= now) && expires.is_some_and(|expires| now <= expires);
    judge.demand(holds, || "the answer's Timestamp does not include the present".into());
}

/// A fault in the words of the specification, which are CamelCase.
fn fault(found: &Element, judge: &mut Judge) -> SoapFault {
    judge.demand(found.is(SOAP_12, "Fault"), || format!("a failure holds {} of {}", found.name, found.namespace));
    judge.order(found, SOAP_12, &["Code", "Reason", "Detail"]);
    let code = found.child(SOAP_12, "Code");
    let value = code.and_then(|code| code.child_text(SOAP_12, "Value"));
    judge.demand(matches!(value, Some("s:Receiver" | "s:Sender")), || format!("the fault's code is {value:?}"));
    let subcode = code.and_then(|code| code.child(SOAP_12, "Subcode")?.child_text(SOAP_12, "Value"));
    judge.demand(subcode.is_some_and(|code| code.contains(':')), || format!("the fault's subcode is {subcode:?}"));
    let reason = found.child(SOAP_12, "Reason").and_then(|reason| reason.child(SOAP_12, "Text"));
    judge.demand(reason.is_some_and(|text| text.attribute("lang").is_some()), || "the reason has no language".into());
    let detail = found.child(SOAP_12, "Detail").and_then(|it| it.child(ENROLLMENT, "DeviceEnrollmentServiceError"));
    if let Some(detail) = detail {
        judge.order(detail, ENROLLMENT, &["ErrorType", "Message", "TraceId"]);
    }
    let said =
        |name: &str| detail.and_then(|detail| detail.child_text(ENROLLMENT, name)).unwrap_or_default().to_owned();
    SoapFault {
        subcode: subcode.unwrap_or_default().to_owned(),
        error_type: said("ErrorType"),
        message: reason.map(|reason| reason.text.trim().to_owned()).unwrap_or_default(),
        trace: said("TraceId"),
    }
}

/// The text of an element below `parent`, by its path in one namespace.
pub(super) fn text_at<'e>(parent: &'e Element, namespace: &str, path: &[&str]) -> Option<&'e str> {
    element_at(parent, namespace, path).map(|found| found.text.trim())
}

/// An element below `parent`, by its path in one namespace.
pub(super) fn element_at<'e>(parent: &'e Element, namespace: &str, path: &[&str]) -> Option<&'e Element> {
    path.iter().try_fold(parent, |found, name| found.child(namespace, name))
}

/// Reads a document that stands in an answer.
pub(super) fn document(bytes: &[u8]) -> Result<Document<'_>, String> {
    parse(bytes, MAX_BYTES).map_err(|error| error.to_string())
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::User(_) => "Token::User(…)",
            Self::Jwt(_) => "Token::Jwt(…)",
            Self::None => "Token::None",
        })
    }
}
