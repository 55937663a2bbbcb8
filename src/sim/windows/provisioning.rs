//! The document that makes a PC a managed one (`wap-provisioningdoc`), read and judged by every rule that Windows has.
//!
//! Start with [`Provisioned`], then `enrolled` and `renewed`, which read it.

use openssl::base64::decode_block;
use protocol::pki::Certificate;
use protocol::time::Timestamp;
use protocol::windows::xml::Element;

use super::judge::Judge;
use super::model::upper_hex;
use super::poll::Poll;
use super::soap;

/// The least that a new certificate lasts from now on.
const LEAST_LIFE_DAYS: u64 = 360;

/// What the document gave.
#[derive(Clone)]
pub struct Provisioned {
    /// The PC's certificate.
    pub certificate: Certificate,
    /// Who issued it.
    pub root: Certificate,
    /// What the server calls itself.
    pub provider: String,
    /// Where sessions are held.
    pub address: String,
    /// The name and secret of the PC's digests, and the first nonce.
    pub credentials: (String, String, Vec<u8>),
    /// What the server calls the enrollment.
    pub enrollment_id: String,
    /// When to come.
    pub poll: Poll,
}

/// What the document is measured against.
pub(super) struct Facts<'a> {
    /// The public key (SPKI) that was asked for.
    pub(super) spki: &'a [u8],
    /// What time it is.
    pub(super) now: Timestamp,
    /// `User` or `System`.
    pub(super) store: &'a str,
}

/// Reads the document of a new enrollment.
pub(super) fn enrolled(bytes: &[u8], facts: &Facts<'_>, judge: &mut Judge) -> Result<Provisioned, String> {
    let document = soap::document(bytes)?;
    let root = start(&document.root, judge);
    let kinds: Vec<&str> = root.children.iter().map(|child| child.attribute("type").unwrap_or_default()).collect();
    judge.demand(kinds == ["CertificateStore", "CertificateStore", "APPLICATION", "DMClient"], || {
        format!("the document holds {kinds:?}")
    });
    let authority = at(root, &["CertificateStore", "Root", "System"]).ok_or("there is no root certificate")?;
    let authority = certificate(authority, judge)?;
    let own = own_certificate(root, facts, judge)?;
    judge.demand(own.is_issued_by(&authority), || "the certificate is not issued by the root that came with it".into());
    let renew = at(root, &["CertificateStore", "My", "WSTEP", "Renew"]);
    for (name, kind) in [("ROBOSupport", "boolean"), ("RenewPeriod", "integer"), ("RetryInterval", "integer")] {
        let parm = renew.and_then(|renew| parm(renew, name));
        judge.demand(parm.is_some(), || format!("{name} is missing"));
        judge.demand(parm.is_none_or(|it| it.attribute("datatype") == Some(kind)), || format!("{name} is no {kind}"));
    }
    let application = at(root, &["APPLICATION"]).ok_or("there is no APPLICATION")?;
    let provider = value(application, "PROVIDER-ID").unwrap_or_default().to_owned();
    let (address, credentials) = judge_application(application, &own, facts, judge)?;
    let client =
        at(root, &["DMClient", "Provider"]).and_then(|it| it.children.first()).ok_or("there is no provider")?;
    judge.says("the provider of DMClient", client.attribute("type"), &provider);
    let enrollment_id = value(client, "EntDMID").unwrap_or_default().to_owned();
    judge.demand(!enrollment_id.is_empty(), || "there is no EntDMID".into());
    let version = value(client, "SyncApplicationVersion").and_then(|text| text.parse::<f32>().ok());
    judge.demand(version.is_some_and(|version| version >= 2.0), || "SyncApplicationVersion is below 2.0".into());
    let poll = read_poll(client, judge);
    Ok(Provisioned { certificate: own, root: authority, provider, address, credentials, enrollment_id, poll })
}

/// Reads the document of a renewal: a certificate, and whose it is.
pub(super) fn renewed(
    bytes: &[u8],
    facts: &Facts<'_>,
    before: &Provisioned,
    judge: &mut Judge,
) -> Result<Certificate, String> {
    let document = soap::document(bytes)?;
    let root = start(&document.root, judge);
    let own = own_certificate(root, facts, judge)?;
    judge.demand(own.is_issued_by(&before.root), || "the new certificate is issued by somebody else".into());
    let application = at(root, &["APPLICATION"]).ok_or("there is no APPLICATION")?;
    judge.says("PROVIDER-ID", value(application, "PROVIDER-ID"), &before.provider);
    Ok(own)
}

fn start<'e>(root: &'e Element, judge: &mut Judge) -> &'e Element {
    judge.demand(root.is("", "wap-provisioningdoc"), || format!("the document is {}", root.name));
    judge.says("the document's version", root.attribute("version"), "1.1");
    root
}

fn own_certificate(root: &Element, facts: &Facts<'_>, judge: &mut Judge) -> Result<Certificate, String> {
    let store = at(root, &["CertificateStore", "My", facts.store]);
    let store = store.ok_or_else(|| format!("there is no certificate in My/{}", facts.store))?;
    let own = certificate(store, judge)?;
    let container = store.children.first().and_then(|entry| at(entry, &["PrivateKeyContainer"]));
    judge.demand(container.is_some(), || "there is no PrivateKeyContainer".into());
    judge.demand(own.spki() == facts.spki, || "the certificate is for another key".into());
    judge.demand(own.is_valid_at(facts.now), || "the certificate is not valid now".into());
    let left = own.not_after().since(facts.now).as_secs() / 86_400;
    judge.demand(left >= LEAST_LIFE_DAYS, || format!("the certificate lasts {left} days"));
    Ok(own)
}

/// The one certificate of a store, named after its SHA-1.
fn certificate(store: &Element, judge: &mut Judge) -> Result<Certificate, String> {
    let entry = store.children.first().ok_or("a certificate store is empty")?;
    judge.demand(store.children.len() == 1, || format!("a store holds {} certificates", store.children.len()));
    let der = value(entry, "EncodedCertificate").and_then(|text| decode_block(text).ok()).unwrap_or_default();
    let thumbprint = upper_hex(&openssl::sha::sha1(&der));
    judge.says("a certificate's thumbprint", entry.attribute("type"), &thumbprint);
    Certificate::parse(&der).map_err(|error| error.to_string())
}

type Credentials = (String, String, Vec<u8>);

fn judge_application(
    application: &Element,
    own: &Certificate,
    facts: &Facts<'_>,
    judge: &mut Judge,
) -> Result<(String, Credentials), String> {
    judge.says("APPID", value(application, "APPID"), "w7");
    let parms = application.children.iter().flat_map(|child| std::iter::once(child).chain(&child.children));
    for name in parms.filter(|parm| parm.name == "parm").filter_map(|parm| parm.attribute("name")) {
        judge.demand(name.chars().all(|one| !one.is_ascii_lowercase()), || format!("{name} is not upper case"));
    }
    let provider = value(application, "PROVIDER-ID").unwrap_or_default();
    let plain = !provider.is_empty() && provider.chars().all(|one| one.is_ascii_alphanumeric() || "-._".contains(one));
    judge.demand(plain, || format!("the provider is called {provider:?}"));
    for name in ["NAME", "CONNRETRYFREQ", "INITIALBACKOFFTIME", "MAXBACKOFFTIME"] {
        judge.demand(value(application, name).is_some_and(|text| !text.is_empty()), || format!("{name} is missing"));
    }
    judge.says("DEFAULTENCODING", value(application, "DEFAULTENCODING"), "application/vnd.syncml.dm+xml");
    let bare = parm(application, "BACKCOMPATRETRYDISABLED").is_some_and(|it| it.attribute("value").is_none());
    judge.demand(bare, || "BACKCOMPATRETRYDISABLED has a value, or is missing".into());
    if let Some(criteria) = value(application, "SSLCLIENTCERTSEARCHCRITERIA") {
        let subject = own.subject_common_name().unwrap_or_default().to_lowercase();
        let wanted = format!("subject=cn%3d{subject}&stores=my%5c{}", facts.store.to_lowercase());
        judge.demand(criteria.to_lowercase() == wanted, || format!("{criteria:?} does not find the certificate"));
    }
    let address = value(application, "ADDR").unwrap_or_default().to_owned();
    judge.demand(address.starts_with("https://"), || format!("ADDR is {address:?}"));
    let blocks = application.children.iter().filter(|it| it.attribute("type") == Some("APPAUTH"));
    let block = |level: &str| blocks.clone().find(|block| value(block, "AAUTHLEVEL") == Some(level));
    let server = block("CLIENT").ok_or("there is no APPAUTH for the server")?;
    judge.says("AAUTHTYPE of the server", value(server, "AAUTHTYPE"), "DIGEST");
    judge.demand(value(server, "AAUTHSECRET").is_some(), || "the server has no AAUTHSECRET".into());
    let client = block("APPSRV").ok_or("there is no APPAUTH for the client")?;
    judge.says("AAUTHTYPE of the client", value(client, "AAUTHTYPE"), "DIGEST");
    let said = |name: &str| value(client, name).unwrap_or_default().to_owned();
    let nonce = decode_block(&said("AAUTHDATA")).unwrap_or_default();
    for (name, there) in [
        ("AAUTHNAME", !said("AAUTHNAME").is_empty()),
        ("AAUTHSECRET", said("AAUTHSECRET").len() >= 16),
        ("AAUTHDATA", !nonce.is_empty()),
    ] {
        judge.demand(there, || format!("{name} of the client is missing or too short"));
    }
    Ok((address, (said("AAUTHNAME"), said("AAUTHSECRET"), nonce)))
}

fn read_poll(client: &Element, judge: &mut Judge) -> Poll {
    let mut poll = Poll::default();
    let node = at(client, &["Poll"]);
    judge.demand(node.is_some(), || "there is no poll schedule".into());
    for parm in node.iter().flat_map(|node| &node.children) {
        let name = parm.attribute("name").unwrap_or_default();
        let number = parm.attribute("value").and_then(|text| text.parse().ok());
        let known = number.is_some_and(|number| poll.set(name, number));
        let is_flag = matches!(name, "AllUsersPollOnFirstLogin" | "PollOnLogin");
        let kind = if is_flag { "boolean" } else { "integer" };
        judge.demand(known || is_flag, || format!("the poll schedule holds {name}"));
        judge.says(&format!("the type of {name}"), parm.attribute("datatype"), kind);
    }
    if node.is_some() {
        poll.judge(judge);
    }
    poll
}

/// A characteristic by its path; of several with one name, the first that leads on.
fn at<'e>(parent: &'e Element, path: &[&str]) -> Option<&'e Element> {
    let Some((first, rest)) = path.split_first() else { return Some(parent) };
    let named = parent.children.iter().filter(|it| it.name == "characteristic" && it.attribute("type") == Some(first));
    named.filter_map(|child| at(child, rest)).next()
}

fn parm<'e>(parent: &'e Element, name: &str) -> Option<&'e Element> {
    parent.children.iter().find(|child| child.name == "parm" && child.attribute("name") == Some(name))
}

fn value<'e>(parent: &'e Element, name: &str) -> Option<&'e str> {
    parm(parent, name)?.attribute("value")
}

impl std::fmt::Debug for Provisioned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Provisioned");
        shown.field("enrollment_id", &self.enrollment_id).field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
