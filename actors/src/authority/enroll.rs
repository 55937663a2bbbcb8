//! The enrollment profile: a signed configuration profile with a one-time challenge in it.

use actix::prelude::*;
use entities::audit::{self, Event};
use entities::{enroll_secret, push_certificate, scep as rows, team_setting};
use openssl::sha::sha256;
use protocol::apple::enrollment_profile::{
    AssignedAccount, EnrollmentMode, EnrollmentProfile, MdmPayload, ScepPayload, ServerCapability,
};
use protocol::apple::secret::Secret;
use protocol::pki::signature::sign_attached;

use super::reference::{self, Enrolls, Ownership, SignedIn};
use super::{Authority, AuthorityConfig, Desk, Keys};
use crate::ask::{Answer, Refusal};
use crate::nonce::nonce;

/// The identifier of every enrollment profile; a later profile with the same one renews the enrollment.
pub const PROFILE_IDENTIFIER: &str = "org.rookery.mdm.enrollment";
/// Where devices report and check in.
pub const MDM_PATH: &str = "/mdm/apple/mdm";
/// Where devices ask for certificates.
pub const SCEP_PATH: &str = "/mdm/apple/scep";

/// The refusal of an enroll secret that nobody knows.
pub const UNKNOWN_SECRET: &str = "this enroll secret is not known: ask your administrator for a new link";
/// The refusal of an enroll secret where people sign in first.
pub const SIGN_IN_FIRST: &str = "your organization wants you to sign in first: open /mdm/sso?enroll_secret=… on this server, with \
                                 the enroll secret that you have";

/// Asks for an enrollment profile.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Vec<u8>>")]
pub struct Invite {
    /// What entitles the one who asks.
    pub entitlement: Entitlement,
    /// The device it is for, where that is known: the certificate will work for no other.
    pub promised_serial: Option<String>,
    /// The same, by UUID.
    pub promised_uuid: Option<String>,
}

/// Why somebody may have an enrollment profile.
pub enum Entitlement {
    /// They know an enroll secret.
    EnrollSecret(String),
    /// They signed in at the identity provider, and this was made for them then (see `reference`).
    Reference(String),
    /// They are an admin, of this name.
    Admin(String),
}

/// Replaces the enroll secrets of a team, or those for hosts of none.
#[derive(Message)]
#[rtype(result = "Answer<()>")]
pub struct ReplaceSecrets {
    /// The team.
    pub team_id: Option<i64>,
    /// The secrets that work from now on.
    pub secrets: Vec<String>,
    /// Who wants it.
    pub asked_by: String,
}

/// Shows the enroll secrets of a team, or those for hosts of none; that somebody saw them stands in the audit log before they do.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Vec<enroll_secret::Opened>>")]
pub struct RevealSecrets {
    /// The team.
    pub team_id: Option<i64>,
    /// Who wants to see them.
    pub asked_by: String,
}

impl Handler<ReplaceSecrets> for Authority {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, replace: ReplaceSecrets, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, _| async move {
            let now = desk.clock.now().millis();
            Ok(enroll_secret::replace(&desk.writer, replace.team_id, replace.secrets, replace.asked_by, now).await?)
        })
    }
}

impl Handler<RevealSecrets> for Authority {
    type Result = ResponseActFuture<Self, Answer<Vec<enroll_secret::Opened>>>;

    fn handle(&mut self, reveal: RevealSecrets, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, _| async move {
            let (at, actor) = (desk.clock.now().millis(), reveal.asked_by);
            let action = "enroll_secrets.reveal";
            let event = Event {
                at,
                actor,
                action,
                target: reveal.team_id.map(|id| format!("team {id}")).unwrap_or_default(),
                detail: String::new(),
            };
            audit::write(&desk.writer, event).await?;
            Ok(enroll_secret::list(&desk.reader, reveal.team_id).await?)
        })
    }
}

impl Handler<Invite> for Authority {
    type Result = ResponseActFuture<Self, Answer<Vec<u8>>>;

    fn handle(&mut self, invite: Invite, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move { invite_device(&desk, keys, invite).await })
    }
}

async fn invite_device(desk: &Desk, keys: std::sync::Arc<Keys>, invite: Invite) -> Answer<Vec<u8>> {
    let mut to = Promise { serial: invite.promised_serial, uuid: invite.promised_uuid, ..Promise::default() };
    let by = match invite.entitlement {
        Entitlement::Admin(name) => name,
        Entitlement::EnrollSecret(secret) => {
            let (by, team_id) = of_secret(desk, &secret).await?;
            if team_setting::demands_sign_in(&desk.reader, team_id).await? {
                return Err(Refusal::Forbidden(SIGN_IN_FIRST));
            }
            to.team_id = team_id;
            by
        }
        Entitlement::Reference(reference) => {
            let SignedIn { account, enrolls } = reference::read(desk, &keys, &reference).await?;
            let Enrolls { team_id, serial, uuid, account_driven } = enrolls;
            let assigned = account_driven.map(|whose| assigned_account(whose, &account.email));
            // Only a device that the organization bought proves its serial number before somebody signs in.
            let automatic = serial.is_some();
            to = Promise { serial, uuid, team_id, account_uuid: Some(account.uuid), automatic, assigned };
            account.email
        }
    };
    signed_profile(desk, keys, to, by).await
}

/// An enrollment profile with a challenge for this device.
pub(super) async fn signed_profile(
    desk: &Desk,
    keys: std::sync::Arc<Keys>,
    to: Promise,
    by: String,
) -> Answer<Vec<u8>> {
    let certificates = push_certificate::list(&desk.reader).await?;
    let newest = certificates.iter().max_by_key(|certificate| certificate.updated_at);
    let Some(topic) = newest.map(|certificate| certificate.topic.clone()) else {
        return Err(Refusal::Conflict("there is no push certificate yet: upload one with PUT /v1/pushcert".into()));
    };
    let address = mdm_url(&desk.config, to.account_uuid.as_deref());
    let mut mdm = MdmPayload::new(&topic, &address);
    mdm.account = to.assigned.clone();
    let challenge = promise(desk, to, by).await?;
    let profile = profile(desk, &keys, mdm, challenge)?;
    desk.work(move || sign_attached(&profile, &keys.profiles, &keys.chain())).await?.map_err(Refusal::soon)
}

/// Who acts with an enroll secret, and the team that it leads to.
pub(super) async fn of_secret(desk: &Desk, secret: &str) -> Answer<(String, Option<i64>)> {
    let known = enroll_secret::find(&desk.reader, secret).await?;
    let known = known.ok_or(Refusal::Forbidden(UNKNOWN_SECRET))?;
    Ok(("whoever has an enroll secret".into(), known.team_id))
}

/// Whom a challenge is for, as far as that is known, and the team that it leads to.
#[derive(Default)]
pub(super) struct Promise {
    pub(super) serial: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) team_id: Option<i64>,
    /// Whether the device proved to be one that the organization bought.
    pub(super) automatic: bool,
    /// The account of whom it belongs to, at an identity provider.
    pub(super) account_uuid: Option<String>,
    /// What the profile says of the account, where the device enrolls with it.
    pub(super) assigned: Option<AssignedAccount>,
}

/// The address at which a device is managed: it ends in the account of its owner, where it has one, and is the same in every
/// profile that renews its enrollment. The account is no secret and proves nothing; whose a device is, its first certificate says.
pub(crate) fn mdm_url(config: &AuthorityConfig, account: Option<&str>) -> String {
    let address = format!("{}{MDM_PATH}", config.server_url);
    account.map_or_else(|| address.clone(), |account| format!("{address}?enroll_reference={account}"))
}

/// What a device must find in the profile that is enrolled with an account.
fn assigned_account(whose: Ownership, email: &str) -> AssignedAccount {
    let mode = match whose {
        Ownership::Personal => EnrollmentMode::Byod,
        Ownership::Company => EnrollmentMode::Adde,
    };
    AssignedAccount { mode, managed_apple_id: email.to_owned() }
}

/// Makes a challenge; only its hash is stored.
async fn promise(desk: &Desk, to: Promise, by: String) -> Answer<String> {
    let challenge = nonce()?;
    let now = desk.clock.now();
    let row = rows::Model {
        hash: sha256(challenge.as_bytes()).to_vec(),
        promised_serial: to.serial,
        promised_uuid: to.uuid,
        team_id: to.team_id,
        automatic: to.automatic,
        account_uuid: to.account_uuid,
        renews_enrollment_id: None,
        created_at: now.millis(),
        expires_at: now.plus(desk.config.challenge_validity).millis(),
        used_at: None,
    };
    rows::promise(&desk.writer, row, by).await?;
    Ok(challenge)
}

fn profile(desk: &Desk, keys: &Keys, mut mdm: MdmPayload, challenge: String) -> Answer<Vec<u8>> {
    let config = &desk.config;
    let mut scep = ScepPayload::new(&format!("{}{SCEP_PATH}", config.server_url));
    scep.name = Some("rookery".into());
    scep.subject = vec![("O".into(), config.organization.clone()), ("CN".into(), "%HardwareUUID%".into())];
    scep.challenge = Some(Secret::new(challenge));
    scep.ca_fingerprint = Some(keys.ca.certificate().fingerprint().as_bytes().to_vec());
    mdm.server_capabilities = vec![ServerCapability::PerUserConnections, ServerCapability::BootstrapToken];
    let identity = uuid::Uuid::new_v4().to_string();
    let mut profile = EnrollmentProfile::new(PROFILE_IDENTIFIER, &identity, scep, mdm);
    profile.display_name = format!("{} device management", config.organization);
    profile.organization = Some(config.organization.clone());
    profile.root_certificates.clone_from(&config.roots);
    profile.to_xml().map_err(|error| Refusal::Conflict(format!("the enrollment profile cannot be made: {error}")))
}

impl std::fmt::Debug for Entitlement {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EnrollSecret(_) => out.write_str("an enroll secret"),
            Self::Reference(_) => out.write_str("a sign-in"),
            Self::Admin(name) => write!(out, "the admin {name}"),
        }
    }
}
