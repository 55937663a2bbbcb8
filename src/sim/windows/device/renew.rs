//! Renewing the certificate (ROBO): the new request is signed with the old key.

use protocol::pki::Signer;
use protocol::pki::signature::sign_attached;

use super::enroll::Wanted;
use super::{Pc, PcError, Token};
use crate::sim::windows::provisioning;
use crate::sim::windows::request::certification_request;
use crate::sim::windows::soap::ENROLLMENT;

impl Pc {
    /// Whether the server told it to renew its certificate now.
    pub const fn renewal_is_due(&self) -> bool {
        self.renewal_is_due
    }

    pub(super) const fn wants_renewal(&mut self) {
        self.renewal_is_due = true;
    }

    /// Gets another certificate for a new key, in the name of the present one, and uses it from now on.
    ///
    /// # Errors
    /// There is no enrollment, or the server refuses. What is wrong with the document is a finding.
    pub async fn renew(&mut self, discovery_url: &str) -> Result<(), PcError> {
        let present = self.enrollment.as_ref().ok_or(PcError::Missing("enrollment"))?.identity.clone();
        self.renew_as(discovery_url, &present).await
    }

    /// The same, signed by somebody else: a server must refuse.
    ///
    /// # Errors
    /// See [`renew`](Self::renew).
    pub async fn renew_as(&mut self, discovery_url: &str, signer: &Signer) -> Result<(), PcError> {
        let before = self.enrollment.clone().ok_or(PcError::Missing("enrollment"))?;
        self.wire.set_identity(Some(signer.clone()));
        let renewed = self.try_renewal(discovery_url, signer).await;
        match renewed {
            Ok((key, document)) => {
                let certificate = self.read_document(&key, |facts, judge| {
                    provisioning::renewed(&document, facts, &before.provisioned, judge)
                })?;
                let identity = Signer::new(certificate.clone(), key).map_err(|error| PcError::local(&error))?;
                if let Some(enrollment) = &mut self.enrollment {
                    enrollment.provisioned.certificate = certificate;
                    enrollment.identity = identity;
                }
                self.renewal_is_due = false;
                self.wear();
                Ok(())
            }
            Err(error) => {
                self.wear();
                Err(error)
            }
        }
    }

    async fn try_renewal(
        &mut self,
        discovery_url: &str,
        signer: &Signer,
    ) -> Result<(openssl::pkey::PKey<openssl::pkey::Private>, Vec<u8>), PcError> {
        let found = self.discover(discovery_url).await?;
        let key = self.options.keys.take().await?;
        let request = certification_request(&key, &self.model).map_err(|error| PcError::local(&error))?;
        let signed = sign_attached(&request, signer, &[]).map_err(|error| PcError::local(&error))?;
        let content_type = format!("{ENROLLMENT}#PKCS7");
        let wanted = Wanted { request_type: "Renew", content_type, content: &signed, token: &Token::None };
        let document = self.request_document(&found.enrollment_url, &wanted).await?;
        Ok((key, document))
    }
}
