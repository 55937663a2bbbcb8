//! For tests: a tiny MDM server for PCs. It speaks by templates of its own, and misbehaves as a test wants it to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use openssl::base64::{decode_block, encode_block};
use openssl::x509::X509Req;
use protocol::pki::Certificate;
use protocol::pki::signature::{header, verify};
use protocol::windows::xml::{Element, parse};

use super::device::talk::digest;
use super::device::{Pc, PcOptions, Token};
use super::model::{Model, upper_hex};
use super::soap::{ADDRESSING, AUTHORIZATION, ENROLLMENT, SECURITY, SOAP_12, TRUST};
use super::syncml::{METINF, SYNCML};
use crate::sim::apple::fake_mdm::keys;
use crate::sim::fixture::{Act, DAY, FakeServer, Seen, authority, now, reply, trust};

const MAX: usize = 1 << 20;
pub(in crate::sim) const SECRET: &str = "a-secret-of-the-client-for-digests";
/// What lets a PC enroll.
pub(in crate::sim) const TOKEN: &str = "let me in";
const NONCE: &[u8] = b"sixteen bytes...";

type Edit = Box<dyn Fn(&str, String) -> String + Send>;
type Hook = Box<dyn FnMut(&Seen) -> Option<Act> + Send>;

/// The server.
pub(in crate::sim) struct FakeMdm {
    server: FakeServer,
    state: Arc<Mutex<State>>,
}

/// What it knows and does.
#[derive(Default)]
pub(in crate::sim) struct State {
    /// Answers in its stead.
    pub(in crate::sim) hook: Option<Hook>,
    /// Changes what it says: `discovery`, `policy`, `enroll`, `document`, `fault` or `syncml`.
    pub(in crate::sim) edit: Option<Edit>,
    /// What it says in its next messages: the commands of each.
    pub(in crate::sim) orders: VecDeque<String>,
    /// What it heard: `CmdRef` and code.
    pub(in crate::sim) statuses: Vec<(String, u16)>,
    pub(in crate::sim) results: Vec<(String, String)>,
    /// `1224 com.microsoft/MDM/LoginStatus user`
    pub(in crate::sim) alerts: Vec<String>,
    /// The context items of the last request for a certificate.
    pub(in crate::sim) items: Vec<(String, String)>,
    /// The certificates that it issued.
    pub(in crate::sim) issued: Vec<Certificate>,
    /// Commands that each PC has not answered yet, by its DeviceID: `CmdID`, text, and whether this session has it.
    pub(in crate::sim) pending: HashMap<String, Vec<(String, String, bool)>>,
    /// The last message of each PC that was answered, and the answer.
    last: HashMap<String, (String, String)>,
    large: String,
}

impl FakeMdm {
    pub(in crate::sim) async fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        let server = FakeServer::start(move |seen| {
            let mut state = shared.lock().unwrap();
            let hooked = state.hook.as_mut().and_then(|hook| hook(seen));
            hooked.unwrap_or_else(|| state.answer(seen))
        })
        .await;
        Self { server, state }
    }

    pub(in crate::sim) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(in crate::sim) fn seen(&self) -> Vec<Seen> {
        self.server.seen()
    }

    pub(in crate::sim) fn discovery_url(&self) -> String {
        self.server.url(super::device::enroll::DISCOVERY_PATH)
    }

    pub(in crate::sim) fn edit(&self, edit: impl Fn(&str, String) -> String + Send + 'static) {
        self.state().edit = Some(Box::new(edit));
    }

    pub(in crate::sim) fn hook(&self, hook: impl FnMut(&Seen) -> Option<Act> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    pub(in crate::sim) fn order(&self, commands: &str) {
        self.state().orders.push_back(commands.to_owned());
    }

    /// A PC that has enrolled here.
    pub(in crate::sim) async fn enrolled(&self, options: PcOptions) -> Pc {
        let mut pc = pc(options);
        pc.enroll(&self.discovery_url(), &Token::User(TOKEN.into())).await.unwrap();
        pc
    }
}

/// A PC; keys come from one pool, because tests make many.
pub(in crate::sim) fn pc(options: PcOptions) -> Pc {
    Pc::new(Model::new(1, 7), trust(), PcOptions { keys: keys(), ..options }, 7)
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Act {
        let host = format!("https://{}", seen.headers["host"]);
        if seen.method == "GET" {
            return reply(200, &[], "");
        }
        match seen.target.split('?').next().unwrap_or_default() {
            super::device::enroll::DISCOVERY_PATH => self.soap(seen, "discovery", &discovery(&host)),
            "/policy" => self.soap(seen, "policy", POLICY_ANSWER),
            "/enroll" => self.enroll(seen, &host),
            "/manage" => self.manage(seen, &host),
            _ => reply(404, &[], ""),
        }
    }

    fn edited(&self, what: &str, text: String) -> String {
        match &self.edit {
            Some(edit) => edit(what, text),
            None => text,
        }
    }

    fn soap(&self, seen: &Seen, what: &str, body: &str) -> Act {
        let request = parse(&seen.body, MAX).unwrap();
        let header = request.root.child(SOAP_12, "Header").unwrap();
        let (action, id) =
            (header.child_text(ADDRESSING, "Action").unwrap(), header.child_text(ADDRESSING, "MessageID").unwrap());
        let action = match action.strip_suffix("/RST/wstep") {
            Some(start) => format!("{start}/RSTRC/wstep"),
            None => format!("{action}Response"),
        };
        let (from, until) = (now().minus(DAY / 24).to_rfc3339(), now().plus(DAY / 24).to_rfc3339());
        let text = format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:a="{ADDRESSING}"><s:Header><a:Action s:mustUnderstand="1">{action}</a:Action><a:RelatesTo>{id}</a:RelatesTo><o:Security xmlns:o="{SECURITY}" xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><u:Timestamp><u:Created>{from}</u:Created><u:Expires>{until}</u:Expires></u:Timestamp></o:Security></s:Header><s:Body>{body}</s:Body></s:Envelope>"#
        );
        reply(200, &[("Content-Type", "application/soap+xml; charset=utf-8")], self.edited(what, text))
    }

    fn enroll(&mut self, seen: &Seen, host: &str) -> Act {
        let request = parse(&seen.body, MAX).unwrap();
        let root = &request.root;
        let body = root.child(SOAP_12, "Body").unwrap().child(TRUST, "RequestSecurityToken").unwrap();
        let context = body.child(AUTHORIZATION, "AdditionalContext").unwrap();
        let items = context.children(AUTHORIZATION, "ContextItem");
        let value = |item: &Element| item.child_text(AUTHORIZATION, "Value").unwrap_or_default().to_owned();
        self.items = items.map(|item| (item.attribute("Name").unwrap().to_owned(), value(item))).collect();
        let renews = body.child_text(TRUST, "RequestType").unwrap().ends_with("/Renew");
        let security = root.child(SOAP_12, "Header").unwrap().child(SECURITY, "Security");
        let token = security.and_then(|it| it.child_text(SECURITY, "BinarySecurityToken")).unwrap_or_default();
        if !renews && token != encode_block(TOKEN.as_bytes()) {
            let id = root.child(SOAP_12, "Header").unwrap().child_text(ADDRESSING, "MessageID").unwrap();
            let text = self.edited("fault", FAULT.replace("{id}", id));
            return reply(500, &[("Content-Type", "application/soap+xml; charset=utf-8")], text);
        }
        let base64: String = body.child_text(SECURITY, "BinarySecurityToken").unwrap().split_whitespace().collect();
        let mut der = decode_block(&base64).unwrap();
        if renews {
            let verified = verify(&der, None).unwrap();
            assert!(verified.signer.is_issued_by(authority().certificate()) && seen.client.is_some());
            der = verified.content.unwrap();
        }
        let request = X509Req::from_der(&der).unwrap();
        let key = request.public_key().unwrap();
        assert!(request.verify(&key).unwrap());
        let spki = key.public_key_to_der().unwrap();
        let id = format!("enrollment-{}", if renews { 1 } else { self.issued.len() + 1 });
        let issued = authority().issue_identity(&spki, &id, now(), DAY * 365).unwrap();
        let device = self.items.iter().find(|(name, _)| name == "DeviceID").unwrap().1.clone();
        let text =
            if renews { renewal_document(&issued) } else { document(&issued, &id, &format!("{host}/manage"), &device) };
        self.issued.push(issued);
        let encoded = encode_block(self.edited("document", text).as_bytes());
        let body = format!(
            r#"<RequestSecurityTokenResponseCollection xmlns="{TRUST}"><RequestSecurityTokenResponse><TokenType>http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentToken</TokenType><DispositionMessage xmlns="{ENROLLMENT}"/><RequestedSecurityToken><BinarySecurityToken xmlns="{SECURITY}" ValueType="http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentProvisionDoc" EncodingType="{SECURITY}#base64binary">{encoded}</BinarySecurityToken></RequestedSecurityToken><RequestID xmlns="{ENROLLMENT}">0</RequestID></RequestSecurityTokenResponse></RequestSecurityTokenResponseCollection>"#
        );
        self.soap(seen, "enroll", &body)
    }

    fn manage(&mut self, seen: &Seen, host: &str) -> Act {
        let document = parse(&seen.body, MAX).unwrap();
        let head = document.root.child(SYNCML, "SyncHdr").unwrap();
        let body = document.root.child(SYNCML, "SyncBody").unwrap();
        let said = |name: &str| head.child_text(SYNCML, name).unwrap().to_owned();
        let (session, message) = (said("SessionID"), said("MsgID"));
        let device = head.child(SYNCML, "Source").unwrap().child_text(SYNCML, "LocURI").unwrap().to_owned();
        let signature = seen.headers.get("mdm-signature");
        let signed = signature.is_some_and(|text| verify(&header(text.as_bytes()).unwrap(), Some(&seen.body)).is_ok());
        let digest = digest(&device, SECRET, NONCE).unwrap();
        let shown = head.child(SYNCML, "Cred").and_then(|cred| cred.child_text(SYNCML, "Data"));
        let status = match shown {
            _ if signed || seen.client.is_some() => 200,
            Some(text) if text == digest => 200,
            Some(_) => 401,
            None => 407,
        };
        let mut out = match status {
            200 => format!(
                "<Status><CmdID>1</CmdID><MsgRef>{message}</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Data>200</Data></Status>"
            ),
            code => format!(
                r#"<Status><CmdID>1</CmdID><MsgRef>{message}</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Chal><Meta><Format xmlns="{METINF}">b64</Format><Type xmlns="{METINF}">syncml:auth-md5</Type><NextNonce xmlns="{METINF}">{}</NextNonce></Meta></Chal><Data>{code}</Data></Status>"#,
                encode_block(NONCE)
            ),
        };
        let name = format!("{session} {message}");
        if status == 200 {
            let before = self.last.get(&device).filter(|(known, _)| *known == name && message != "1");
            let said = before.map(|(_, said)| said.clone());
            let said = said.unwrap_or_else(|| self.hear(body, &message) + &self.next(&device, body));
            self.last.insert(device.clone(), (name, said.clone()));
            out += &said;
        }
        let text = format!(
            r#"<SyncML xmlns="{SYNCML}"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>{session}</SessionID><MsgID>{message}</MsgID><Target><LocURI>{device}</LocURI></Target><Source><LocURI>{host}/manage</LocURI></Source></SyncHdr><SyncBody>{out}<Final/></SyncBody></SyncML>"#
        );
        let text = self.edited("syncml", text);
        reply(200, &[("Content-Type", "application/vnd.syncml.dm+xml")], text)
    }

    /// What waits for a PC, once in each session.
    fn next(&mut self, device: &str, body: &Element) -> String {
        let Some(pending) = self.pending.get_mut(device) else { return String::new() };
        let statuses = body.children(SYNCML, "Status").filter_map(|status| status.child_text(SYNCML, "CmdRef"));
        let ended: Vec<&str> = statuses.collect();
        pending.retain(|(id, _, _)| !ended.contains(&id.as_str()));
        if body.child(SYNCML, "Alert").is_some_and(|alert| alert.child_text(SYNCML, "Data") == Some("1201")) {
            pending.iter_mut().for_each(|(_, _, has_it)| *has_it = false);
        }
        let mut out = String::new();
        for (_, text, has_it) in pending.iter_mut().filter(|(_, _, has_it)| !has_it) {
            *has_it = true;
            out += text;
        }
        out
    }

    /// Takes what a known PC says; statuses and commands in return.
    fn hear(&mut self, body: &Element, message: &str) -> String {
        let mut out = String::new();
        let mut more = false;
        for (place, command) in body.children.iter().enumerate() {
            let said = |name: &str| command.child_text(SYNCML, name).unwrap_or_default().to_owned();
            let status = |code: u16| {
                let (id, name) = (said("CmdID"), &command.name);
                format!(
                    "<Status><CmdID>s{place}</CmdID><MsgRef>{message}</MsgRef><CmdRef>{id}</CmdRef><Cmd>{name}</Cmd><Data>{code}</Data></Status>"
                )
            };
            let item = command.child(SYNCML, "Item");
            let data =
                || item.and_then(|item| item.child(SYNCML, "Data")).map(|it| it.text.clone()).unwrap_or_default();
            match command.name.as_str() {
                "Status" => self.statuses.push((said("CmdRef"), said("Data").parse().unwrap())),
                "Alert" => {
                    let meta = item.and_then(|item| item.child(SYNCML, "Meta"));
                    let kind = meta.and_then(|meta| meta.child_text(METINF, "Type")).unwrap_or_default();
                    self.alerts.push(format!("{} {kind} {}", said("Data"), data().trim()).trim().to_owned());
                }
                "Replace" => out += &status(200),
                "Results" => {
                    self.large += &data();
                    more |= item.is_some_and(|item| item.child(SYNCML, "MoreData").is_some());
                    if more {
                        out += &status(213);
                    } else {
                        let whole = std::mem::take(&mut self.large);
                        self.results.push((said("CmdRef"), whole));
                    }
                }
                _ => {}
            }
        }
        if more {
            return out + "<Alert><CmdID>more</CmdID><Data>1222</Data></Alert>";
        }
        out + &self.orders.pop_front().unwrap_or_default()
    }
}

fn discovery(host: &str) -> String {
    format!(
        r#"<DiscoverResponse xmlns="http://schemas.microsoft.com/windows/management/2012/01/enrollment"><DiscoverResult><AuthPolicy>OnPremise</AuthPolicy><EnrollmentVersion>4.0</EnrollmentVersion><EnrollmentPolicyServiceUrl>{host}/policy</EnrollmentPolicyServiceUrl><EnrollmentServiceUrl>{host}/enroll</EnrollmentServiceUrl></DiscoverResult></DiscoverResponse>"#
    )
}

/// The document of a new enrollment.
pub(in crate::sim) fn document(certificate: &Certificate, id: &str, address: &str, device: &str) -> String {
    let (root, own) = (authority().certificate().der(), certificate.der());
    let thumbprint = |der: &[u8]| upper_hex(&openssl::sha::sha1(der));
    let nonce = encode_block(NONCE);
    format!(
        r#"<wap-provisioningdoc version="1.1"><characteristic type="CertificateStore"><characteristic type="Root"><characteristic type="System"><characteristic type="{}"><parm name="EncodedCertificate" value="{}"/></characteristic></characteristic></characteristic></characteristic><characteristic type="CertificateStore"><characteristic type="My"><characteristic type="User"><characteristic type="{}"><parm name="EncodedCertificate" value="{}"/><characteristic type="PrivateKeyContainer"/></characteristic></characteristic><characteristic type="WSTEP"><characteristic type="Renew"><parm name="ROBOSupport" value="true" datatype="boolean"/><parm name="RenewPeriod" value="60" datatype="integer"/><parm name="RetryInterval" value="4" datatype="integer"/></characteristic></characteristic></characteristic></characteristic><characteristic type="APPLICATION"><parm name="APPID" value="w7"/><parm name="PROVIDER-ID" value="Fake"/><parm name="NAME" value="Fake MDM"/><parm name="ADDR" value="{address}"/><parm name="CONNRETRYFREQ" value="6"/><parm name="INITIALBACKOFFTIME" value="30000"/><parm name="MAXBACKOFFTIME" value="120000"/><parm name="BACKCOMPATRETRYDISABLED"/><parm name="DEFAULTENCODING" value="application/vnd.syncml.dm+xml"/><parm name="SSLCLIENTCERTSEARCHCRITERIA" value="Subject=CN%3d{id}&amp;Stores=My%5CUser"/><characteristic type="APPAUTH"><parm name="AAUTHLEVEL" value="CLIENT"/><parm name="AAUTHTYPE" value="DIGEST"/><parm name="AAUTHSECRET" value="a-secret-of-the-server"/><parm name="AAUTHDATA" value="{nonce}"/></characteristic><characteristic type="APPAUTH"><parm name="AAUTHLEVEL" value="APPSRV"/><parm name="AAUTHTYPE" value="DIGEST"/><parm name="AAUTHNAME" value="{device}"/><parm name="AAUTHSECRET" value="{SECRET}"/><parm name="AAUTHDATA" value="{nonce}"/></characteristic></characteristic><characteristic type="DMClient"><characteristic type="Provider"><characteristic type="Fake"><parm name="EntDMID" value="{id}" datatype="string"/><parm name="SyncApplicationVersion" value="5.0" datatype="string"/><characteristic type="Poll"><parm name="NumberOfFirstRetries" value="0" datatype="integer"/><parm name="IntervalForFirstSetOfRetries" value="1" datatype="integer"/></characteristic></characteristic></characteristic></characteristic></wap-provisioningdoc>"#,
        thumbprint(root),
        encode_block(root),
        thumbprint(own),
        encode_block(own),
    )
}

fn renewal_document(certificate: &Certificate) -> String {
    let thumbprint = upper_hex(&openssl::sha::sha1(certificate.der()));
    let encoded = encode_block(certificate.der());
    format!(
        r#"<wap-provisioningdoc version="1.1"><characteristic type="CertificateStore"><characteristic type="My"><characteristic type="User"><characteristic type="{thumbprint}"><parm name="EncodedCertificate" value="{encoded}"/><characteristic type="PrivateKeyContainer"/></characteristic></characteristic></characteristic></characteristic><characteristic type="APPLICATION"><parm name="PROVIDER-ID" value="Fake"/></characteristic></wap-provisioningdoc>"#
    )
}

const POLICY_ANSWER: &str = r#"<GetPoliciesResponse xmlns="http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy"><response><policyID/><policies><policy><policyOIDReference>0</policyOIDReference><attributes><commonName>Fake</commonName><policySchema>3</policySchema><certificateValidity><validityPeriodSeconds>31536000</validityPeriodSeconds><renewalPeriodSeconds>5184000</renewalPeriodSeconds></certificateValidity><permission><enroll>true</enroll><autoEnroll>false</autoEnroll></permission><privateKeyAttributes><minimalKeyLength>2048</minimalKeyLength></privateKeyAttributes><hashAlgorithmOIDReference>0</hashAlgorithmOIDReference></attributes></policy></policies></response><cAs/><oIDs><oID><value>2.16.840.1.101.3.4.2.1</value><group>1</group><oIDReferenceID>0</oIDReferenceID><defaultName>szOID_NIST_sha256</defaultName></oID></oIDs></GetPoliciesResponse>"#;

const FAULT: &str = r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action s:mustUnderstand="1">http://schemas.microsoft.com/windows/pki/2009/01/enrollment/RSTRC/wstep</a:Action><a:RelatesTo>{id}</a:RelatesTo></s:Header><s:Body><s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>s:Authentication</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-us">The token is not valid.</s:Text></s:Reason><s:Detail><DeviceEnrollmentServiceError xmlns="http://schemas.microsoft.com/windows/pki/2009/01/enrollment"><ErrorType>InvalidEnrollmentData</ErrorType><Message>The token is not valid.</Message><TraceId>4f7c</TraceId></DeviceEnrollmentServiceError></s:Detail></s:Fault></s:Body></s:Envelope>"#;
