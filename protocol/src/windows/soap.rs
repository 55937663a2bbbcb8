//! SOAP envelopes of enrollment: what each request must have, and how answers and faults are wrapped.
//!
//! Requests may come in SOAP 1.1 or 1.2. Answers are SOAP 1.1, which every client reads; faults are SOAP 1.2 with status
//! 500, which is how Windows shows their text. Start with [`Request::read`].

use std::fmt;

use super::base64_text;
use super::xml::{self, Attributes, Element, Writer};

/// SOAP 1.1.
pub const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// SOAP 1.2.
pub const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// WS-Addressing.
pub const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
/// WS-Security.
pub const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
/// Timestamps of WS-Security.
pub const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
/// Certificates by WSTEP.
pub const ENROLLMENT: &str = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment";
/// The encoding of every `BinarySecurityToken`.
pub const BASE64: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd#base64binary";
/// The content type of requests and answers.
pub const CONTENT_TYPE: &str = "application/soap+xml; charset=utf-8";
/// The largest request, in bytes.
pub const MAX_BYTES: usize = 512 * 1024;

/// The `ValueType` of a token of an identity provider.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const DIAGNOSTICS: &str = "http://schemas.microsoft.com/2004/09/ServiceModel/Diagnostics";
const DISPATCHER: &str = "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher";
/// The longest `MessageID`, which is said back.
const MAX_ID_CHARS: usize = 256;

/// A request whose header is whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// What an answer relates to.
    pub message_id: String,
    /// What the sender wants.
    pub action: String,
    /// What the sender shows to be let in.
    pub credential: Credential,
    /// The one message.
    pub body: Element,
}

/// What stands in the security header. Its contents are in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// A name and a password. The password is not read.
    Password,
    /// A token of this server or of an agent, decoded.
    Token(Vec<u8>),
    /// A signed token (JWT) of an identity provider, decoded.
    Jwt(Vec<u8>),
}

/// Why a message is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoapError {
    /// Not XML as it is read here.
    #[error("{0}")]
    Xml(#[from] xml::XmlError),
    /// Something that every message must have is missing, or comes twice.
    #[error("the message is not a SOAP request with {0}")]
    Missing(&'static str),
    /// The message is not the one that is sent here.
    #[error("this is not where a {0} message goes")]
    Other(&'static str),
    /// A field of the message is missing or cannot be read.
    #[error("{0}")]
    Field(&'static str),
}

impl Request {
    /// Reads a request of at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// See [`SoapError`].
    pub fn read(bytes: &[u8]) -> Result<Self, SoapError> {
        let root = xml::parse(bytes, MAX_BYTES)?.root;
        let soap = [SOAP_12, SOAP_11].into_iter().find(|soap| root.is(soap, "Envelope"));
        let soap = soap.ok_or(SoapError::Missing("an Envelope"))?;
        let header = root.child(soap, "Header").ok_or(SoapError::Missing("a Header"))?;
        let field = |name: &'static str| {
            let text = header.child_text(ADDRESSING, name).filter(|text| text.chars().count() <= MAX_ID_CHARS * 8);
            text.map(str::to_owned).ok_or(SoapError::Missing(name))
        };
        let message_id = field("MessageID").map(|id| id.chars().take(MAX_ID_CHARS).collect())?;
        let action = field("Action")?;
        field("To")?;
        let reply_to = header.child(ADDRESSING, "ReplyTo").ok_or(SoapError::Missing("ReplyTo"))?;
        let replies_somewhere =
            reply_to.child_text(ADDRESSING, "Address").is_some() || !reply_to.text.trim().is_empty();
        if !replies_somewhere {
            return Err(SoapError::Missing("ReplyTo"));
        }
        let credential = header.child(SECURITY, "Security").map_or(Ok(Credential::None), Credential::read)?;
        let mut bodies = root.children.into_iter().filter(|child| child.is(soap, "Body"));
        let body = bodies.next().filter(|_| bodies.next().is_none()).ok_or(SoapError::Missing("one Body"))?;
        let mut messages = body.children.into_iter();
        let body = messages.next().filter(|_| messages.next().is_none()).ok_or(SoapError::Missing("one message"))?;
        Ok(Self { message_id, action, credential, body })
    }

    /// The message, if it is the one with this name.
    ///
    /// # Errors
    /// It is another one.
    pub fn expect(&self, namespace: &str, name: &'static str) -> Result<&Element, SoapError> {
        if self.body.is(namespace, name) { Ok(&self.body) } else { Err(SoapError::Other(name)) }
    }
}

impl Credential {
    fn read(security: &Element) -> Result<Self, SoapError> {
        if let Some(token) = security.child(SECURITY, "BinarySecurityToken") {
            let value = base64_text(&token.text).ok_or(SoapError::Field("the BinarySecurityToken is not base64"))?;
            return Ok(match token.attribute("ValueType") {
                _ if value.is_empty() => Self::None,
                Some(kind) if kind.eq_ignore_ascii_case(JWT) => Self::Jwt(value),
                _ => Self::Token(value),
            });
        }
        let named = security.child(SECURITY, "UsernameToken");
        // A renewal may come with a name and an empty password.
        let password = named.and_then(|named| named.child_text(SECURITY, "Password"));
        Ok(if password.is_some() { Self::Password } else { Self::None })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Password => "a password",
            Self::Token(_) => "a token",
            Self::Jwt(_) => "a JWT",
        })
    }
}

/// What an answer's header says.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// What the answer is.
    pub action: &'a str,
    /// The request's [`Request::message_id`].
    pub relates_to: &'a str,
    /// A name for this exchange, for whoever reads the device's log.
    pub activity: &'a str,
    /// From when until when a security token in the answer counts, where there is one.
    pub lasts: Option<(&'a str, &'a str)>,
}

/// Wraps an answer.
pub fn answer(header: &Header<'_>, content: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new();
    let names: Attributes<'_> = &[("xmlns:s", SOAP_11), ("xmlns:a", ADDRESSING), ("xmlns:u", UTILITY)];
    writer.element("s:Envelope", names, |writer| {
        writer.element("s:Header", &[], |writer| {
            writer.leaf("a:Action", &[("s:mustUnderstand", "1")], header.action);
            let names = [("CorrelationId", header.activity), ("xmlns", DIAGNOSTICS)];
            writer.leaf("ActivityId", &names, header.activity);
            writer.leaf("a:RelatesTo", &[], header.relates_to);
            if let Some((created, expires)) = header.lasts {
                writer.element("o:Security", &[("s:mustUnderstand", "1"), ("xmlns:o", SECURITY)], |writer| {
                    writer.element("u:Timestamp", &[("u:Id", "_0")], |writer| {
                        writer.leaf("u:Created", &[], created);
                        writer.leaf("u:Expires", &[], expires);
                    });
                });
            }
        });
        writer.element("s:Body", &[], content);
    });
    writer.finish()
}

/// Why a request is refused, as Windows tells reasons apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The message cannot be read (0x80180001).
    MessageFormat,
    /// Whoever asks showed nothing that lets them in (0x80180002).
    Authentication,
    /// Whoever asks may not do this (0x80180003).
    Authorization,
    /// The certificate request is not one that is granted (0x80180004).
    CertificateRequest,
    /// What the device asks for is not offered (0x80180015).
    NotSupported,
    /// The certificate is not one that can be renewed (0x80180016).
    NotEligibleToRenew,
    /// Not now (0x80180017).
    InMaintenance,
}

/// A refusal, before it becomes XML.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// Why.
    pub kind: FaultKind,
    /// Why, for people.
    pub message: &'a str,
    /// What the answer would have been.
    pub action: &'a str,
    /// The request's [`Request::message_id`], where it could be read.
    pub relates_to: Option<&'a str>,
    /// A name by which an administrator finds this in the log.
    pub trace_id: &'a str,
}

impl FaultKind {
    /// The subcode, its namespace prefix, and the type in the detail.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::MessageFormat => ("s:MessageFormat", "InvalidEnrollmentData"),
            Self::Authentication => ("s:Authentication", "InvalidEnrollmentData"),
            Self::Authorization => ("s:Authorization", "InvalidEnrollmentData"),
            Self::CertificateRequest => ("s:CertificateRequest", "InvalidEnrollmentData"),
            Self::NotSupported => ("s:EnrollmentServer", "NotSupported"),
            Self::NotEligibleToRenew => ("s:Authorization", "NotEligibleToRenew"),
            Self::InMaintenance => ("a:InternalServiceFault", "InMaintenance"),
        }
    }
}

impl Fault<'_> {
    /// The envelope; it goes with status 500.
    pub fn to_xml(&self) -> String {
        let (subcode, error_type) = self.kind.words();
        let mut writer = Writer::new();
        writer.element("s:Envelope", &[("xmlns:s", SOAP_12), ("xmlns:a", ADDRESSING)], |writer| {
            writer.element("s:Header", &[], |writer| {
                writer.leaf("a:Action", &[("s:mustUnderstand", "1")], self.action);
                if let Some(id) = self.relates_to {
                    writer.leaf("a:RelatesTo", &[], id);
                }
            });
            writer.element("s:Body", &[], |writer| {
                writer.element("s:Fault", &[], |writer| {
                    writer.element("s:Code", &[], |writer| {
                        writer.leaf("s:Value", &[], "s:Receiver");
                        // Subcodes with this prefix are names of another namespace.
                        let names: Attributes<'_> =
                            if subcode.starts_with("a:") { &[("xmlns:a", DISPATCHER)] } else { &[] };
                        writer.element("s:Subcode", &[], |writer| writer.leaf("s:Value", names, subcode));
                    });
                    writer.element("s:Reason", &[], |writer| {
                        writer.leaf("s:Text", &[("xml:lang", "en-us")], self.message);
                    });
                    writer.element("s:Detail", &[], |writer| {
                        writer.element("DeviceEnrollmentServiceError", &[("xmlns", ENROLLMENT)], |writer| {
                            writer.leaf("ErrorType", &[], error_type);
                            writer.leaf("Message", &[], self.message);
                            writer.leaf("TraceId", &[], self.trace_id);
                        });
                    });
                });
            });
        });
        writer.finish()
    }
}

#[cfg(test)]
mod tests;
