//! Windows devices enroll (MS-MDE2): whoever has a title gets a certificate of ours, a password and the address of management;
//! and they renew their certificates.
//!
//! Nothing of a request gets into a certificate but its key. A certificate leaves only after its row was stored and the
//! title used up, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::windows_admission::{self, Admission, Title};
use entities::{enrollment, identity, windows_enrollment, windows_token};
use openssl::rand::rand_bytes;
use openssl::sha::sha256;
use protocol::apple::channel::ChannelKind;
use protocol::ids::HostId;
use protocol::pki::scep::proven_rsa_key;
use protocol::pki::signature::verify;
use protocol::pki::{Certificate, Fingerprint};
use protocol::time::Timestamp;
use protocol::windows::enrollment::Said;
use protocol::windows::provisioning::{Document, renewed};
use protocol::windows::syncml::credentials::credentials;

use super::enroll::{Entitlement, of_secret};
use super::reference::{self, SignedIn};
use super::{Authority, Desk, Keys, issued};
use crate::ask::{Answer, Refusal};
use crate::host::enrolled_anew::EnrolledAnew;
use crate::nonce::nonce;
use crate::trust::has_not_ended;

/// Where devices hold their sessions.
pub const MANAGEMENT_PATH: &str = "/api/mdm/microsoft/management";
/// The refusal of a device whose token is worth nothing.
pub const NOT_ENTITLED: &str = "The enrollment token is not valid, was used before, or is over.";
/// The refusal of a device whose certificate is not one that can be renewed.
pub const NOT_RENEWABLE: &str = "The certificate cannot be renewed: enroll again.";

/// Certificates are valid from this long before they are made, because clocks of PCs run slow.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Makes a token that lets one device enroll; it is shown once.
#[derive(Debug, Message)]
#[rtype(result = "Answer<String>")]
pub struct MakeToken {
    /// Why whoever asks may have it. An enroll secret leads to its own team.
    pub entitlement: Entitlement,
    /// The host that it enrolls, where that is certain.
    pub host_id: Option<i64>,
    /// The user whose device it is, where known.
    pub upn: Option<String>,
    /// The team that the host joins.
    pub team_id: Option<i64>,
    /// For how long it works.
    pub lasts: Duration,
}

/// Asks whether a title lets a device enroll.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct CheckTitle(pub Title);

/// Enrolls a device; the answer is its provisioning document.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<String>")]
pub struct EnrollWindows {
    /// What entitles it.
    pub title: Title,
    /// Its certificate request (PKCS #10).
    pub csr: Vec<u8>,
    /// What it says of itself.
    pub said: Said,
}

/// Renews a certificate; the answer is a provisioning document.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<String>")]
pub struct RenewWindows {
    /// The certificate request, signed by the present certificate (CMS).
    pub cms: Vec<u8>,
    /// What the device calls itself, where it says it.
    pub device_id: Option<String>,
    /// The certificate that it showed in its TLS handshake, where it did.
    pub shown: Option<Fingerprint>,
}

impl Handler<MakeToken> for Authority {
    type Result = ResponseActFuture<Self, Answer<String>>;

    fn handle(&mut self, make: MakeToken, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move {
            let (by, team_id) = match make.entitlement {
                Entitlement::Admin(name) => (name, make.team_id),
                Entitlement::EnrollSecret(secret) => of_secret(&desk, &secret).await?,
                Entitlement::Reference(reference) => {
                    let SignedIn { account, enrolls } = reference::read(&desk, &keys, &reference).await?;
                    (account.email, enrolls.team_id)
                }
            };
            let (token, now) = (nonce()?, desk.clock.now());
            let row = windows_token::Model {
                hash: sha256(token.as_bytes()).to_vec(),
                host_id: make.host_id,
                upn: make.upn,
                owner: None,
                team_id,
                created_by: by,
                created_at: now.millis(),
                expires_at: now.plus(make.lasts).millis(),
                used_at: None,
            };
            match windows_token::make(&desk.writer, row).await? {
                true => Ok(token),
                false => Err(Refusal::NotFound("host or team")),
            }
        })
    }
}

impl Handler<CheckTitle> for Authority {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, CheckTitle(title): CheckTitle, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, _| async move { check(&desk, &title).await })
    }
}

impl Handler<EnrollWindows> for Authority {
    type Result = ResponseActFuture<Self, Answer<String>>;

    fn handle(&mut self, enroll: EnrollWindows, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move { admit(&desk, &keys, enroll).await })
    }
}

impl Handler<RenewWindows> for Authority {
    type Result = ResponseActFuture<Self, Answer<String>>;

    fn handle(&mut self, renew: RenewWindows, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move { renew_certificate(&desk, &keys, renew).await })
    }
}

async fn check(desk: &Desk, title: &Title) -> Answer<()> {
    match windows_admission::is_entitled(&desk.reader, title, desk.clock.now().millis()).await? {
        true => Ok(()),
        false => Err(Refusal::Forbidden(NOT_ENTITLED)),
    }
}

async fn admit(desk: &Desk, keys: &Arc<Keys>, enroll: EnrollWindows) -> Answer<String> {
    // Whoever has no title costs no signature.
    check(desk, &enroll.title).await?;
    let EnrollWindows { title, csr, said } = enroll;
    let (external_id, now) = (uuid::Uuid::new_v4().to_string(), desk.clock.now());
    let certificate = issue(desk, keys, csr, &external_id, now).await?;
    let (password, server_password) = (nonce()?, nonce()?);
    let proof = credentials(&said.device_id, &password).ok_or_else(|| Refusal::soon("OpenSSL has no MD5"))?;
    let admission = Admission {
        title,
        external_id: external_id.clone(),
        said: row_of(&said, desk.config.windows_poll_minutes, now),
        identity: issued(&certificate, None, now),
        credentials: proof.to_vec().into(),
    };
    let admitted = windows_admission::admit(&desk.writer, admission).await?;
    let admitted = admitted.ok_or(Refusal::Forbidden(NOT_ENTITLED))?;
    desk.hosts.insist(HostId(admitted.host_id), EnrolledAnew);
    tracing::info!(host.id = admitted.host_id, enrollment = external_id, "a Windows device enrolled");
    if !admitted.claimed.is_empty() {
        let others = &admitted.claimed;
        tracing::warn!(host.id = admitted.host_id, ?others, "it says that it is the device of other hosts: they stay");
    }
    let (server_nonce, device_nonce) = (random()?, random()?);
    let document = Document {
        authority: keys.ca.certificate(),
        certificate: &certificate,
        enrollment: &external_id,
        is_device: said.is_device,
        address: &format!("{}{MANAGEMENT_PATH}", desk.config.server_url),
        organization: &desk.config.organization,
        user: &said.device_id,
        password: &password,
        server_password: &server_password,
        nonces: [&server_nonce, &device_nonce],
        device_name: &said.device_name,
        upn: admitted.upn.as_deref(),
        poll_minutes: desk.config.windows_poll_minutes,
    };
    Ok(document.to_xml())
}

/// A certificate for the key of a request that is signed by it. The subject is ours to choose.
async fn issue(desk: &Desk, keys: &Arc<Keys>, csr: Vec<u8>, name: &str, now: Timestamp) -> Answer<Certificate> {
    let (keys, name, validity) = (keys.clone(), name.to_owned(), desk.config.identity_validity);
    let issuing = desk.work(move || {
        let key = proven_rsa_key(&csr).map_err(|error| Refusal::Invalid(error.to_string()))?;
        keys.ca.issue_backdated(&key, &name, now, BACKDATED, validity).map_err(Refusal::soon)
    });
    issuing.await?
}

/// The signer decides: its certificate must be a live one of an enrollment that goes on.
async fn renew_certificate(desk: &Desk, keys: &Arc<Keys>, renew: RenewWindows) -> Answer<String> {
    let now = desk.clock.now();
    let verified = desk.work(move || verify(&renew.cms, None)).await?;
    let verified = verified.map_err(|error| refused(&error.to_string()))?;
    let signer = verified.signer.fingerprint();
    if renew.shown.is_some_and(|shown| shown != signer) {
        return Err(refused("another certificate was shown in the handshake"));
    }
    let row = identity::by_fingerprint(&desk.reader, signer.as_bytes().to_vec()).await?;
    let row = row.filter(|row| row.state == identity::BOUND || row.state == identity::ISSUED && row.renewal);
    let enrollment_id = row.and_then(|row| row.enrollment_id).ok_or_else(|| refused("the signer is not a live one"))?;
    has_not_ended(verified.signer.not_after(), now).map_err(|why| refused(&why.to_string()))?;
    let channel = enrollment::by_id(&desk.reader, enrollment_id).await?;
    let channel = channel.filter(|channel| channel.enabled && channel.kind == ChannelKind::Windows.code());
    let channel = channel.ok_or_else(|| refused("its enrollment has ended, or is none of Windows"))?;
    let said = windows_enrollment::by_id(&desk.reader, enrollment_id).await?;
    let said = said.ok_or_else(|| refused("its enrollment is none of Windows"))?;
    if renew.device_id.is_some_and(|device_id| device_id != said.device_id) {
        return Err(refused("the request names another device"));
    }
    let csr = verified.content.unwrap_or_default();
    let certificate = issue(desk, keys, csr, &channel.external_id, now).await?;
    let row = issued(&certificate, Some(enrollment_id), now);
    if !identity::renew(&desk.writer, row, "windows enrollment").await? {
        return Err(refused("its enrollment ended just now"));
    }
    tracing::info!(host.id = channel.host_id, "a Windows device renews its certificate");
    Ok(renewed(&certificate, said.enrollment_type == windows_enrollment::DEVICE))
}

/// The reason is for the log.
fn refused(why: &str) -> Refusal {
    tracing::warn!("refused to renew a certificate of Windows: {why}");
    Refusal::Forbidden(NOT_RENEWABLE)
}

fn row_of(said: &Said, poll_minutes: u32, now: Timestamp) -> windows_enrollment::Model {
    windows_enrollment::Model {
        agent_wakes: false,
        enrollment_id: 0,
        device_id: said.device_id.clone(),
        hardware_id: said.hardware_id.clone(),
        device_name: said.device_name.clone(),
        enrollment_type: if said.is_device { windows_enrollment::DEVICE } else { windows_enrollment::FULL },
        upn: None,
        owner: None,
        os_edition: said.os_edition.clone(),
        os_version: said.os_version.clone(),
        application_version: said.application_version.clone(),
        request_version: said.request_version.clone(),
        locale: said.locale.clone(),
        not_in_oobe: said.not_in_oobe,
        linked_at: None,
        poll_minutes: i32::try_from(poll_minutes).unwrap_or(i32::MAX),
        created_at: now.millis(),
    }
}

/// A nonce of a digest.
fn random() -> Answer<[u8; 16]> {
    let mut random = [0; 16];
    rand_bytes(&mut random).map_err(Refusal::soon)?;
    Ok(random)
}
