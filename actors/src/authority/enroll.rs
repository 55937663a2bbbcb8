//! The enrollment profile: a signed configuration profile with a one-time challenge in it.

use actix::prelude::*;
use entities::audit::{self, Event};
use entities::{enroll_secret, push_certificate, scep as rows};
use openssl::rand::rand_bytes;
use openssl::sha::sha256;
use protocol::apple::enrollment_profile::{EnrollmentProfile, MdmPayload, ScepPayload, ServerCapability};
use protocol::apple::secret::Secret;
use protocol::pki::signature::sign_attached;

use super::{Authority, Desk, Keys};
use crate::ask::{Answer, Refusal};

/// The identifier of every enrollment profile; a later profile with the same one renews the enrollment.
pub const PROFILE_IDENTIFIER: &str = "org.rookery.mdm.enrollment";
/// Where devices report and check in.
pub const MDM_PATH: &str = "/mdm/apple/mdm";
/// Where devices ask for certificates.
pub const SCEP_PATH: &str = "/mdm/apple/scep";

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
    /// They are an admin, of this name.
    Admin(String),
}

/// Replaces all enroll secrets.
#[derive(Message)]
#[rtype(result = "Answer<()>")]
pub struct ReplaceSecrets {
    /// The secrets that work from now on.
    pub secrets: Vec<String>,
    /// Who wants it.
    pub asked_by: String,
}

/// Shows all enroll secrets; that somebody saw them stands in the audit log before they do.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Vec<enroll_secret::Opened>>")]
pub struct RevealSecrets {
    /// Who wants to see them.
    pub asked_by: String,
}

impl Handler<ReplaceSecrets> for Authority {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, replace: ReplaceSecrets, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, _| async move {
            let now = desk.clock.now().millis();
            Ok(enroll_secret::replace(&desk.writer, replace.secrets, replace.asked_by, now).await?)
        })
    }
}

impl Handler<RevealSecrets> for Authority {
    type Result = ResponseActFuture<Self, Answer<Vec<enroll_secret::Opened>>>;

    fn handle(&mut self, reveal: RevealSecrets, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, _| async move {
            let (at, actor) = (desk.clock.now().millis(), reveal.asked_by);
            let action = "enroll_secrets.reveal";
            let event = Event { at, actor, action, target: String::new(), detail: String::new() };
            audit::write(&desk.writer, event).await?;
            Ok(enroll_secret::list(&desk.reader).await?)
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
    let by = match invite.entitlement {
        Entitlement::Admin(name) => name,
        Entitlement::EnrollSecret(secret) if enroll_secret::is_known(&desk.reader, &secret).await? => {
            "whoever has an enroll secret".into()
        }
        Entitlement::EnrollSecret(_) => {
            return Err(Refusal::Forbidden("this enroll secret is not known: ask your administrator for a new link"));
        }
    };
    let certificates = push_certificate::list(&desk.reader).await?;
    let newest = certificates.iter().max_by_key(|certificate| certificate.updated_at);
    let Some(topic) = newest.map(|certificate| certificate.topic.clone()) else {
        return Err(Refusal::Conflict("there is no push certificate yet: upload one with PUT /v1/pushcert".into()));
    };
    let challenge = promise(desk, invite.promised_serial, invite.promised_uuid, by).await?;
    let profile = profile(desk, &keys, &topic, challenge)?;
    desk.work(move || sign_attached(&profile, &keys.profiles, &keys.chain())).await?.map_err(Refusal::soon)
}

/// Makes a challenge; only its hash is stored.
async fn promise(desk: &Desk, serial: Option<String>, uuid: Option<String>, by: String) -> Answer<String> {
    let mut random = [0; 24];
    rand_bytes(&mut random).map_err(Refusal::soon)?;
    let challenge = random.iter().fold(String::with_capacity(48), |text, byte| text + &format!("{byte:02x}"));
    let now = desk.clock.now();
    let row = rows::Model {
        hash: sha256(challenge.as_bytes()).to_vec(),
        promised_serial: serial,
        promised_uuid: uuid,
        renews_enrollment_id: None,
        created_at: now.millis(),
        expires_at: now.plus(desk.config.challenge_validity).millis(),
        used_at: None,
    };
    rows::promise(&desk.writer, row, by).await?;
    Ok(challenge)
}

fn profile(desk: &Desk, keys: &Keys, topic: &str, challenge: String) -> Answer<Vec<u8>> {
    let config = &desk.config;
    let mut scep = ScepPayload::new(&format!("{}{SCEP_PATH}", config.server_url));
    scep.name = Some("rookery".into());
    scep.subject = vec![("O".into(), config.organization.clone()), ("CN".into(), "%HardwareUUID%".into())];
    scep.challenge = Some(Secret::new(challenge));
    scep.ca_fingerprint = Some(keys.ca.certificate().fingerprint().as_bytes().to_vec());
    let mut mdm = MdmPayload::new(topic, &format!("{}{MDM_PATH}", config.server_url));
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
            Self::Admin(name) => write!(out, "the admin {name}"),
        }
    }
}
