//! Enrolling: the probe, discovery, the certificate policy, and the request for a certificate, as MS-MDE2 has them.

use hyper::Method;
use hyper::header::USER_AGENT;
use openssl::base64::{decode_block, encode_block};
use openssl::pkey::{PKey, Private};
use protocol::pki::Signer;
use protocol::windows::xml::{Element, Writer};

use super::{Enrollment, Fate, OK, Pc, PcError, Token, soap_request};
use crate::sim::log::Fault;
use crate::sim::windows::judge::Judge;
use crate::sim::windows::provisioning::{self, Facts, Provisioned};
use crate::sim::windows::request::certification_request;
use crate::sim::windows::soap::{
    self, Ask, DISCOVERY, ENROLLMENT, Outcome, POLICY, SECURITY, TRUST, element_at, nil, security_token, text_at,
};
use crate::sim::windows::tree::Tree;
use crate::sim::wire::Request;

/// The standard path of discovery.
pub const DISCOVERY_PATH: &str = "/EnrollmentServer/Discovery.svc";
const TOKEN_TYPE: &str = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentToken";
const DOCUMENT_TYPE: &str =
    "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentProvisionDoc";

/// Where enrolling goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// `OnPremise`, `Federated` or `Certificate`.
    pub auth_policy: String,
    /// The login page, when it is `Federated`.
    pub login_url: Option<String>,
    /// The policy service, where there is one.
    pub policy_url: Option<String>,
    /// The enrollment service.
    pub enrollment_url: String,
}

/// What is asked for in a request for a certificate.
pub(super) struct Wanted<'a> {
    /// `Issue` or `Renew`.
    pub(super) request_type: &'a str,
    /// The type of `content`.
    pub(super) content_type: String,
    pub(super) content: &'a [u8],
    pub(super) token: &'a Token,
}

impl Pc {
    /// Enrolls: probe, discovery, policy, certificate. The enrollment before is forgotten.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn enroll(&mut self, discovery_url: &str, token: &Token) -> Result<(), PcError> {
        self.probe(discovery_url).await?;
        let found = self.discover(discovery_url).await?;
        if let Some(url) = &found.policy_url {
            self.ask_policy(url, token).await?;
        }
        self.request_enrollment(&found.enrollment_url, token).await
    }

    /// Asks whether anybody is there.
    ///
    /// # Errors
    /// See [`PcError`].
    pub async fn probe(&mut self, url: &str) -> Result<(), PcError> {
        let request = Request::new(Method::GET, url, "").with_header(USER_AGENT, "Windows Phone 8 Enrollment Client");
        let reply = self.send(request).await?;
        if reply.status != OK {
            self.log.find(Fault::Status, format!("the probe was answered with {}", reply.status));
            return Err(PcError::Refused { status: reply.status });
        }
        if !reply.body.is_empty() {
            self.log.find(Fault::Reply, "the answer to the probe is not empty");
        }
        Ok(())
    }

    /// Asks where to enroll.
    ///
    /// # Errors
    /// See [`PcError`]. What is missing in the answer is a finding, too.
    pub async fn discover(&mut self, url: &str) -> Result<Discovered, PcError> {
        let model = self.model.clone();
        let version = self.options.quirks.request_version;
        let action = format!("{DISCOVERY}/IDiscoveryService/Discover");
        let answered = format!("{action}Response");
        let answer = self.ask(url, &action, &answered, &Token::None, |out| {
            out.element("Discover", &[("xmlns", DISCOVERY)], |out| {
                out.element("request", &[], |out| {
                    out.leaf("EmailAddress", &[], &model.user);
                    out.leaf("RequestVersion", &[], version);
                    out.leaf("DeviceType", &[], "CIMClient_Windows");
                    out.leaf("ApplicationVersion", &[], model.os_version);
                    out.leaf("OSEdition", &[], &model.os_edition.to_string());
                    out.element("AuthPolicies", &[], |out| {
                        ["OnPremise", "Federated"].iter().for_each(|policy| out.leaf("AuthPolicy", &[], policy));
                    });
                });
            });
        });
        let (answer, mut judge) = answer.await?;
        judge.demand(answer.is(DISCOVERY, "DiscoverResponse"), || format!("discovery answers {}", answer.name));
        let result = answer.child(DISCOVERY, "DiscoverResult");
        let said = |name: &str| result.and_then(|result| result.child_text(DISCOVERY, name)).map(str::to_owned);
        let found = Discovered {
            auth_policy: said("AuthPolicy").unwrap_or_default(),
            login_url: said("AuthenticationServiceUrl"),
            policy_url: said("EnrollmentPolicyServiceUrl"),
            enrollment_url: said("EnrollmentServiceUrl").unwrap_or_default(),
        };
        judge_discovered(&found, &mut judge);
        self.conclude("discovery", judge)?;
        Ok(found)
    }

    /// Asks what a certificate has to be like.
    ///
    /// # Errors
    /// See [`PcError`]. What is missing in the answer is a finding, too.
    pub async fn ask_policy(&mut self, url: &str, token: &Token) -> Result<(), PcError> {
        let action = format!("{POLICY}/IPolicy/GetPolicies");
        let answered = format!("{action}Response");
        let answer = self.ask(url, &action, &answered, token, |out| {
            out.element("GetPolicies", &[("xmlns", POLICY)], |out| {
                out.element("client", &[], |out| {
                    nil(out, "lastUpdate");
                    nil(out, "preferredLanguage");
                });
                nil(out, "requestFilter");
            });
        });
        let (answer, mut judge) = answer.await?;
        judge_policy(&answer, &mut judge);
        self.conclude("the policy", judge)
    }

    /// Asks for a certificate and everything that comes with it.
    ///
    /// # Errors
    /// See [`PcError`]. What is wrong with the document is a finding, too.
    pub async fn request_enrollment(&mut self, url: &str, token: &Token) -> Result<(), PcError> {
        self.wire.set_identity(None);
        let key = self.options.keys.take().await?;
        let request = certification_request(&key, &self.model).map_err(|error| PcError::local(&error))?;
        let content_type = format!("{ENROLLMENT}#PKCS10");
        let wanted = Wanted { request_type: "Issue", content_type, content: &request, token };
        let document = self.request_document(url, &wanted).await?;
        let provisioned = self.read_document(&key, |facts, judge| provisioning::enrolled(&document, facts, judge))?;
        self.adopt(key, provisioned)
    }

    /// Sends a request for a certificate; the document that answers it.
    pub(super) async fn request_document(&mut self, url: &str, wanted: &Wanted<'_>) -> Result<Vec<u8>, PcError> {
        let items = self.context_items();
        let content = lines(&encode_block(wanted.content));
        let (ask, answered) = (format!("{ENROLLMENT}/RST/wstep"), format!("{ENROLLMENT}/RSTRC/wstep"));
        let answer = self.ask(url, &ask, &answered, wanted.token, |out| {
            out.element("wst:RequestSecurityToken", &[], |out| {
                out.leaf("wst:TokenType", &[], TOKEN_TYPE);
                out.leaf("wst:RequestType", &[], &format!("{TRUST}/{}", wanted.request_type));
                security_token(out, &wanted.content_type, &content);
                out.element("ac:AdditionalContext", &[], |out| {
                    for (name, value) in &items {
                        out.element("ac:ContextItem", &[("Name", name)], |out| out.leaf("ac:Value", &[], value));
                    }
                });
            });
        });
        let (answer, mut judge) = answer.await?;
        let document = judge_issued(&answer, &mut judge);
        self.conclude("the certificate", judge)?;
        document.map_err(PcError::Unacceptable)
    }

    /// Reads a provisioning document as `read` does; what is wrong with it is a finding.
    pub(super) fn read_document<T>(
        &self,
        key: &PKey<Private>,
        read: impl FnOnce(&Facts<'_>, &mut Judge) -> Result<T, String>,
    ) -> Result<T, PcError> {
        let spki = key.public_key_to_der().map_err(|error| PcError::local(&error))?;
        let store = if self.options.is_device { "System" } else { "User" };
        let facts = Facts { spki: &spki, now: self.options.clock.now(), store };
        let mut judge = Judge::default();
        let got = read(&facts, &mut judge);
        self.find_all(Fault::Provisioning, "the document", judge.breaches());
        got.map_err(|error| {
            self.log.find(Fault::Provisioning, error.clone());
            PcError::Unacceptable(error)
        })
    }

    fn adopt(&mut self, key: PKey<Private>, provisioned: Provisioned) -> Result<(), PcError> {
        let identity = Signer::new(provisioned.certificate.clone(), key).map_err(|error| PcError::local(&error))?;
        self.tree = Tree::of(&self.model);
        let provider = format!("./Device/Vendor/MSFT/DMClient/Provider/{}", provisioned.provider);
        self.tree.set(&format!("{provider}/EntDMID"), "chr", &provisioned.enrollment_id);
        let minutes = provisioned.poll.first.1.to_string();
        self.tree.set(&format!("{provider}/Poll/IntervalForFirstSetOfRetries"), "int", &minutes);
        self.log.enrolled_as(&provisioned.enrollment_id);
        self.enrollment = Some(Enrollment { provisioned, identity });
        (self.session, self.sessions, self.fate) = (None, 0, Fate::Stays);
        self.news.clear();
        self.wear();
        Ok(())
    }

    /// Sends a SOAP request and reads its answer; a fault of the server's is an error.
    pub(super) async fn ask(
        &mut self,
        url: &str,
        action: &str,
        answered: &str,
        token: &Token,
        body: impl FnOnce(&mut Writer),
    ) -> Result<(Element, Judge), PcError> {
        let message_id = format!("urn:uuid:{}", self.chance.uuid().to_lowercase());
        let ask = Ask { action, message_id: &message_id, to: url, token };
        let reply = self.send(soap_request(url, soap::envelope(&ask, body))).await?;
        let mut judge = Judge::default();
        match soap::read(&reply, &ask, answered, self.options.clock.now(), &mut judge) {
            Ok(Outcome::Body(body)) => Ok((body, judge)),
            Ok(Outcome::Fault(fault)) => {
                self.find_all(Fault::Soap, "a fault", judge.breaches());
                Err(fault.into())
            }
            Err(error) => {
                self.log.find(Fault::Soap, error.clone());
                Err(PcError::Unacceptable(error))
            }
        }
    }

    fn conclude(&self, what: &str, judge: Judge) -> Result<(), PcError> {
        let breaches = judge.breaches();
        let first = breaches.first().cloned();
        self.find_all(Fault::Soap, what, breaches);
        first.map_or(Ok(()), |breach| Err(PcError::Unacceptable(breach)))
    }

    /// What the PC says about itself when it asks for a certificate.
    fn context_items(&self) -> Vec<(&'static str, String)> {
        let (model, quirks) = (&self.model, &self.options.quirks);
        let kind = if self.options.is_device { "Device" } else { "Full" };
        let mut items = vec![
            ("UXInitiated", "true".to_owned()),
            ("HWDevID", model.hardware_id.clone()),
            ("Locale", "en-US".into()),
            ("TargetedUserLoggedIn", "true".into()),
            ("OSEdition", model.os_edition.to_string()),
            ("DeviceName", model.device_name.clone()),
            ("MAC", model.mac.clone()),
            ("DeviceID", model.device_id.clone()),
            ("EnrollmentType", kind.into()),
            ("DeviceType", "CIMClient_Windows".into()),
            ("OSVersion", model.os_version.into()),
            ("ApplicationVersion", model.os_version.into()),
            ("NotInOobe", "true".into()),
            ("RequestVersion", quirks.request_version.into()),
        ];
        if quirks.repeats_items {
            items.extend([("MAC", model.mac.replace("A4", "A6")), ("DeviceID", model.device_id.clone())]);
        }
        if quirks.padded {
            items.iter_mut().for_each(|(_, value)| *value = format!(" {value} "));
        }
        items
    }
}

fn judge_discovered(found: &Discovered, judge: &mut Judge) {
    let offered = matches!(found.auth_policy.as_str(), "OnPremise" | "Federated");
    judge.demand(offered, || format!("the policy {:?} was not offered", found.auth_policy));
    let federated = found.auth_policy == "Federated";
    judge.demand(!federated || found.login_url.is_some(), || "there is no login page".into());
    let urls = [Some(&found.enrollment_url), found.policy_url.as_ref(), found.login_url.as_ref()];
    for url in urls.iter().flatten() {
        judge.demand(url.starts_with("https://"), || format!("{url:?} is no https URL"));
    }
    let host = |url: &str| url.split('/').nth(2).map(str::to_owned);
    let same = found.policy_url.as_ref().is_none_or(|url| host(url) == host(&found.enrollment_url));
    judge.demand(same, || "policy and enrollment have different hosts".into());
}

fn judge_policy(answer: &Element, judge: &mut Judge) {
    judge.demand(answer.is(POLICY, "GetPoliciesResponse"), || format!("the policy is {}", answer.name));
    judge.order(answer, POLICY, &["response", "cAs", "oIDs"]);
    let attributes = element_at(answer, POLICY, &["response", "policies", "policy", "attributes"]);
    let said = |path: &[&str]| attributes.and_then(|found| text_at(found, POLICY, path));
    judge.says("policySchema", said(&["policySchema"]), "3");
    let number = |path: &[&str]| said(path).and_then(|text| text.parse::<u64>().ok());
    let bits = number(&["privateKeyAttributes", "minimalKeyLength"]);
    judge.demand(bits.is_some_and(|bits| bits >= 2048), || format!("minimalKeyLength is {bits:?}"));
    let life = number(&["certificateValidity", "validityPeriodSeconds"]);
    let renewal = number(&["certificateValidity", "renewalPeriodSeconds"]);
    judge.demand(life.is_some() && renewal < life, || format!("it lasts {life:?} and is renewed {renewal:?}"));
    judge.says("permission/enroll", said(&["permission", "enroll"]), "true");
    let reference = said(&["hashAlgorithmOIDReference"]);
    let oids = answer.child(POLICY, "oIDs").into_iter().flat_map(|oids| oids.children(POLICY, "oID"));
    let hash = oids.filter(|oid| reference.is_some() && oid.child_text(POLICY, "oIDReferenceID") == reference);
    let hash = hash.filter_map(|oid| oid.child_text(POLICY, "value")).next();
    judge.says("the hash algorithm", hash, "2.16.840.1.101.3.4.2.1");
}

/// Judges an answer with a certificate; the document in it.
fn judge_issued(answer: &Element, judge: &mut Judge) -> Result<Vec<u8>, String> {
    let collection = answer.is(TRUST, "RequestSecurityTokenResponseCollection");
    judge.demand(collection, || format!("the answer is {} of {}", answer.name, answer.namespace));
    let response = answer.child(TRUST, "RequestSecurityTokenResponse").ok_or("there is no response")?;
    judge.says("TokenType", response.child_text(TRUST, "TokenType"), TOKEN_TYPE);
    judge.demand(response.child(ENROLLMENT, "DispositionMessage").is_some(), || "no DispositionMessage".into());
    judge.says("RequestID", response.child_text(ENROLLMENT, "RequestID"), "0");
    let token = element_at(response, TRUST, &["RequestedSecurityToken"]);
    let token = token.and_then(|token| token.child(SECURITY, "BinarySecurityToken")).ok_or("there is no token")?;
    judge.says("ValueType", token.attribute("ValueType"), DOCUMENT_TYPE);
    judge.says("EncodingType", token.attribute("EncodingType"), &format!("{SECURITY}#base64binary"));
    let text = token.text.as_str();
    judge.demand(!text.contains(char::is_whitespace), || "white space in the document's base64".into());
    decode_block(text).map_err(|_| "the document is no base64".into())
}

/// Base64 in lines, as Windows sends it.
fn lines(base64: &str) -> String {
    let mut lines = String::new();
    for (place, character) in base64.chars().enumerate() {
        if place > 0 && place % 76 == 0 {
            lines.push_str("\r\n");
        }
        lines.push(character);
    }
    lines
}
