//! The enrollment profile: fetched, its signature checked, and read as a device reads it.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, USER_AGENT};
use protocol::apple::enrollment_profile::EnrollmentProfile;
use protocol::apple::profile::CONTENT_TYPE;
use protocol::pki::Certificate;
use protocol::pki::scep::client::read_ca_certificates;
use protocol::pki::signature::verify;

use super::{AGENT_BEFORE, Device, DeviceError};
use crate::sim::log::Fault;
use crate::sim::wire::Request;

/// The largest profile that is read, in bytes.
pub(super) const MAX_PROFILE_BYTES: usize = 4 << 20;

/// Whose enrollment profiles a device takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfileTrust {
    /// Signed by someone whom a trust anchor issued, or who is one.
    Anchored,
    /// Signed by someone whom a trust anchor or an authority in the message issued.
    #[default]
    Signed,
    /// Signed or not.
    Any,
}

impl Device {
    /// Fetches the enrollment profile and keeps it.
    ///
    /// # Errors
    /// There is no reply, the server refuses, or the profile is not one that a device takes (a finding).
    pub async fn fetch_profile(&mut self, url: &str) -> Result<EnrollmentProfile, DeviceError> {
        self.ask_for_profile(Request::new(Method::GET, url, Bytes::new())).await
    }

    /// Asks for the enrollment profile in this way, and keeps it.
    pub(super) async fn ask_for_profile(&mut self, request: Request) -> Result<EnrollmentProfile, DeviceError> {
        let request = request.with_header(USER_AGENT, AGENT_BEFORE).with_header(ACCEPT, "*/*");
        let reply = self.wire.send(&request).await?;
        match reply.status {
            200 => {}
            status @ (429 | 500..) => return Err(DeviceError::Busy { status, after: reply.retry_after() }),
            // Before it is enrolled, a device may be refused.
            status => return Err(DeviceError::Refused { status }),
        }
        if reply.media_type() != Some(CONTENT_TYPE) {
            return Err(self.refuse_profile("the enrollment profile has another content type"));
        }
        let profile = self.read_profile(&reply.body).map_err(|error| self.refuse_profile(&error))?;
        let trust = self.wire.trust().and(&profile.root_certificates);
        let trust = trust.map_err(|error| self.refuse_profile(&error.to_string()))?;
        self.wire.set_trust(trust);
        self.enrollment.profile = Some(profile.clone());
        Ok(profile)
    }

    /// Takes a profile that came another way.
    pub fn set_profile(&mut self, profile: EnrollmentProfile) {
        self.enrollment.profile = Some(profile);
    }

    /// Reads an enrollment profile and judges its signature.
    pub(super) fn read_profile(&self, body: &[u8]) -> Result<EnrollmentProfile, String> {
        let content = match verify(body, None) {
            Ok(verified) => {
                self.check_signer(&verified.signer, body)?;
                verified.content.unwrap_or_default()
            }
            Err(_) if self.options.profile_trust == ProfileTrust::Any => body.to_vec(),
            Err(error) => return Err(format!("the enrollment profile is not signed: {error}")),
        };
        EnrollmentProfile::parse(&content, MAX_PROFILE_BYTES).map_err(|error| error.to_string())
    }

    fn check_signer(&self, signer: &Certificate, message: &[u8]) -> Result<(), String> {
        let now = self.options.clock.now();
        if !signer.is_valid_at(now) {
            return Err("the certificate that signed the enrollment profile is not valid now".to_owned());
        }
        let enclosed = match self.options.profile_trust {
            ProfileTrust::Anchored => Vec::new(),
            ProfileTrust::Signed | ProfileTrust::Any => read_ca_certificates(message).unwrap_or_default(),
        };
        let mut issuers = self.wire.trust().anchors().iter().chain(enclosed.iter().filter(|one| one.is_authority()));
        let known = issuers.any(|issuer| issuer == signer || (issuer.is_authority() && signer.is_issued_by(issuer)));
        if known { Ok(()) } else { Err("the signer of the enrollment profile is nobody's".to_owned()) }
    }

    fn refuse_profile(&self, why: &str) -> DeviceError {
        self.log.find(Fault::Profile, why);
        DeviceError::Unacceptable(why.to_owned())
    }
}
