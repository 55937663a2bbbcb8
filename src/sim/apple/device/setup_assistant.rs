//! A device is switched on for the first time: Apple tells it whose it is, it proves which one it is, and enrolls by itself.

use std::time::Duration;

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use protocol::apple::dep::machine_info;
use protocol::apple::plist;
use protocol::pki::Signer;
use protocol::pki::authority::Authority;
use protocol::pki::signature::sign_attached;

use super::{ChannelNo, Device, DeviceError, entries};
use crate::sim::abm::AssignmentService;
use crate::sim::wire::{Request, Trust};

/// How long an identity of Apple's lasts.
const IDENTITY_LASTS: Duration = Duration::from_secs(365 * 86_400);

impl Device {
    /// Enrolls as Setup Assistant does, where Apple says that it belongs to somebody, and waits for `DeviceConfigured`. `apple`
    /// gave the device its identity. False when it is nobody's.
    ///
    /// # Errors
    /// See [`DeviceError`]; Setup Assistant can be begun again then.
    pub async fn set_up(&mut self, service: &AssignmentService, apple: &Authority) -> Result<bool, DeviceError> {
        if !self.fetch_own_profile(service, apple).await? {
            return Ok(false);
        }
        self.obtain_identity().await?;
        self.authenticate().await?;
        self.update_token(ChannelNo::DEVICE).await?;
        Ok(true)
    }

    /// Fetches the enrollment profile from where Apple says, and keeps it. False when the device is nobody's.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn fetch_own_profile(
        &mut self,
        service: &AssignmentService,
        apple: &Authority,
    ) -> Result<bool, DeviceError> {
        let Some(setup) = service.set_up(&self.model.serial_number) else { return Ok(false) };
        if !setup.anchor_certs.is_empty() {
            let trust = Trust::new(&setup.anchor_certs).map_err(|error| DeviceError::Local(error.to_string()))?;
            self.wire_mut().set_trust(trust);
        }
        if setup.configuration_web_url.is_some() {
            return Err(DeviceError::Missing("person who signs in"));
        }
        self.options.awaits_configuration =
            setup.profile.get("await_device_configured").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let identity = self.apples_identity(apple).await?;
        let said = self.machine_info(&identity)?;
        let request = Request::new(Method::POST, &setup.url, said);
        self.ask_for_profile(request.with_header(CONTENT_TYPE, machine_info::CONTENT_TYPE)).await?;
        Ok(true)
    }

    /// An identity as each of Apple's devices has one.
    ///
    /// # Errors
    /// There is no key to be had.
    pub async fn apples_identity(&self, apple: &Authority) -> Result<Signer, DeviceError> {
        let local = |error: String| DeviceError::Local(error);
        let key = self.options.keys.take().await?;
        let spki = key.public_key_to_der().map_err(|error| local(error.to_string()))?;
        let now = self.options.clock.now();
        let certificate = apple.issue_identity(&spki, &self.model.udid, now, IDENTITY_LASTS);
        let certificate = certificate.map_err(|error| local(error.to_string()))?;
        Signer::new(certificate, key).map_err(|error| local(error.to_string()))
    }

    /// What the device says of itself, signed by an identity.
    ///
    /// # Errors
    /// OpenSSL does not sign.
    pub fn machine_info(&self, identity: &Signer) -> Result<Vec<u8>, DeviceError> {
        let model = &self.model;
        let said = entries([
            ("UDID", model.udid.as_str().into()),
            ("SERIAL", model.serial_number.as_str().into()),
            ("PRODUCT", model.product_name.into()),
            ("VERSION", model.build_version.into()),
            ("OS_VERSION", model.os_version.into()),
            ("LANGUAGE", "en".into()),
            ("MDM_CAN_REQUEST_SOFTWARE_UPDATE", true.into()),
        ]);
        let content = plist::to_xml(&plist::Value::Dictionary(said));
        sign_attached(&content, identity, &[]).map_err(|error| DeviceError::Local(error.to_string()))
    }
}
