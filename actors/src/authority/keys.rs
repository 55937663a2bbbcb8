//! The authority's key pairs: kept in rows, made the first time they are needed.

use std::time::Duration;

use entities::Reader;
use entities::authority::{self, DEVICE_CA, KeyPair, Model, PROFILE_SIGNER, SCEP_RA};
use protocol::pki::authority::{Authority as Ca, AuthorityRole};
use protocol::pki::scep::{CaCertificates, ca_certificates};
use protocol::pki::{Certificate, Signer};

use super::Desk;
use super::reference::ReferenceKey;
use crate::ask::{Answer, Refusal};

/// How long the authority is valid, in years.
const CA_YEARS: u8 = 20;
/// How long the keys beside it are valid.
const SIDE_KEYS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The key pairs in memory.
pub(crate) struct Keys {
    /// Issues identities.
    pub(crate) ca: Ca,
    /// Opens SCEP requests and signs replies; absent when the authority does it itself.
    pub(crate) ra: Option<Signer>,
    /// Signs profiles.
    pub(crate) profiles: Signer,
    /// Signs references of people who enroll a device.
    pub(super) references: ReferenceKey,
}

impl Keys {
    pub(super) async fn load(desk: &Desk) -> Answer<Self> {
        let now = desk.clock.now();
        let role = if desk.config.separate_ra { AuthorityRole::IssuesOnly } else { AuthorityRole::AnswersScep };
        let name = format!("{} device CA", desk.config.organization);
        let row = establish(desk, DEVICE_CA, move || {
            let ca = Ca::create(&name, now, CA_YEARS, role).map_err(Refusal::soon)?;
            Ok(ca.signer().clone())
        })
        .await?;
        let private_key = row.open(desk.reader.vault())?;
        let ca = Ca::from_pem(row.certificate.as_bytes(), &private_key).map_err(Refusal::soon)?;
        let issuer = ca.clone();
        let ra = match desk.config.separate_ra {
            true => {
                let make = move || issuer.issue_ra("SCEP RA", now, SIDE_KEYS).map_err(Refusal::soon);
                Some(signer(&desk.reader, &establish(desk, SCEP_RA, make).await?)?)
            }
            false => None,
        };
        let issuer = ca.clone();
        let make = move || issuer.issue_ra("Profile signing", now, SIDE_KEYS).map_err(Refusal::soon);
        let row = establish(desk, PROFILE_SIGNER, make).await?;
        let references = ReferenceKey::derive(&row.open(desk.reader.vault())?)?;
        Ok(Self { ca, ra, profiles: signer(&desk.reader, &row)?, references })
    }

    /// Who opens requests and signs replies.
    pub(crate) fn recipient(&self) -> &Signer {
        self.ra.as_ref().unwrap_or(self.ca.signer())
    }

    pub(super) fn ca_certificates(&self) -> CaCertificates {
        ca_certificates(self.ca.certificate(), self.ra.as_ref().map(Signer::certificate))
    }

    /// The chain that stands beside a profile's signature.
    pub(super) fn chain(&self) -> [Certificate; 1] {
        [self.ca.certificate().clone()]
    }
}

/// The stored key pair of that name, which is made and stored first if there is none.
async fn establish(
    desk: &Desk,
    name: &'static str,
    make: impl FnOnce() -> Answer<Signer> + Send + 'static,
) -> Answer<Model> {
    if let Some(row) = authority::by_name(&desk.reader, name).await? {
        return Ok(row);
    }
    tracing::info!(authority.name = name, "makes a new key pair");
    let made = desk.work(make).await??;
    let pair = KeyPair {
        name,
        certificate: made.certificate().to_pem().map_err(Refusal::soon)?,
        private_key: made.private_key_pem().map_err(Refusal::soon)?.into(),
        created_at: desk.clock.now().millis(),
    };
    Ok(authority::establish(&desk.writer, pair).await?)
}

fn signer(reader: &Reader, row: &Model) -> Answer<Signer> {
    Signer::from_pem(row.certificate.as_bytes(), &row.open(reader.vault())?).map_err(Refusal::soon)
}
