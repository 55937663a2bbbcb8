//! Configuration profiles and provisioning profiles: installed, listed, removed. A profile that replaces the enrollment
//! profile renews the identity.

use protocol::apple::command::Command;
use protocol::apple::enrollment_profile::{EnrollmentProfile, ServerCapability};
use protocol::apple::plist::{Dictionary, Value};
use protocol::apple::profile::{Payload, Profile};
use protocol::pki::Certificate;
use protocol::pki::signature::verify;

use super::super::profile::MAX_PROFILE_BYTES;
use super::super::{ChannelNo, Device, DeviceError, entries};
use super::{Answer, Doing, Errand};
use crate::sim::apple::contents::InstalledProfile;
use crate::sim::log::Fault;

impl Doing<'_> {
    pub(super) fn profiles(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "InstallProfile" => self.install_profile(),
            "RemoveProfile" => self.remove_profile(),
            "ProfileList" => {
                let own = self.contents.profiles.iter().filter(|installed| installed.channel == self.channel);
                Answer::acknowledged().with("ProfileList", Value::Array(own.map(listed).collect()))
            }
            "InstallProvisioningProfile" => {
                let content = self.arguments.data("ProvisioningProfile").ok().flatten().unwrap_or_default();
                let hash = openssl::sha::sha256(content);
                let uuid: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                self.contents.provisioning_profiles.push(uuid);
                Answer::acknowledged()
            }
            "ProvisioningProfileList" => {
                let profiles = self.contents.provisioning_profiles.iter().map(|uuid| {
                    Value::Dictionary(entries([("Name", "Provisioning".into()), ("UUID", uuid.as_str().into())]))
                });
                Answer::acknowledged().with("ProvisioningProfileList", Value::Array(profiles.collect()))
            }
            "RemoveProvisioningProfile" => {
                let uuid = self.text("UUID").unwrap_or_default().to_owned();
                let before = self.contents.provisioning_profiles.len();
                self.contents.provisioning_profiles.retain(|known| *known != uuid);
                if self.contents.provisioning_profiles.len() < before {
                    Answer::acknowledged()
                } else {
                    Answer::refused(12014, "The provisioning profile is not managed.")
                }
            }
            _ => return None,
        })
    }

    fn install_profile(&mut self) -> Answer {
        let Ok(Some(payload)) = self.arguments.data("Payload") else { return Answer::malformed() };
        match read(payload) {
            Ok((profile, signer)) => {
                let signer = signer.map(|signer| signer.der().to_vec());
                self.contents.install(InstalledProfile { channel: self.channel, profile, signer });
                Answer::acknowledged()
            }
            Err(why) => Answer::error(4000, "MCInstallationErrorDomain", &format!("The profile is not valid: {why}.")),
        }
    }

    fn remove_profile(&mut self) -> Answer {
        let identifier = self.text("Identifier").unwrap_or_default().to_owned();
        let channel = self.channel;
        let Some(installed) = self.contents.profile(channel, &identifier) else {
            return Answer::refused(12013, &format!("The profile “{identifier}” is not managed."));
        };
        if is_management(&installed.profile) {
            return Answer::acknowledged(); // and then everything goes with it, see [`Device::good_bye`]
        }
        self.contents.profiles.retain(|one| one.channel != channel || one.profile.identifier != identifier);
        Answer::acknowledged()
    }
}

/// Whether a profile is the one by which a device is managed.
fn is_management(profile: &Profile) -> bool {
    profile.payloads.iter().any(|payload| payload.payload_type == "com.apple.mdm")
}

impl Device {
    /// When the command takes the enrollment profile away: the device says good-bye once it has reported, if the profile
    /// wants that.
    pub(super) fn good_bye(&mut self, channel: ChannelNo, command: &Command) {
        let identifier = command.entries().get("Identifier").and_then(Value::as_string).unwrap_or_default();
        let taken = self.contents.profile(channel, identifier).is_some_and(|one| is_management(&one.profile));
        let polite = self.enrollment.profile.as_ref().is_some_and(|profile| profile.mdm.check_out_when_removed);
        if command.request_type() == "RemoveProfile" && taken && polite {
            self.add_errand(Errand::CheckOut(channel));
        }
    }

    /// When the command installs a profile in place of the enrollment profile: renews the identity as it says. `None`
    /// when it is any other command.
    pub(super) async fn renewed_by(
        &mut self,
        channel: ChannelNo,
        command: &Command,
    ) -> Result<Option<Answer>, DeviceError> {
        let Some(Value::Data(payload)) = command.entries().get("Payload") else { return Ok(None) };
        if command.request_type() != "InstallProfile" || channel != ChannelNo::DEVICE {
            return Ok(None);
        }
        if !read(payload).is_ok_and(|(profile, _)| is_management(&profile)) {
            return Ok(None);
        }
        let failed = |why: &str| Answer::error(4001, "MCInstallationErrorDomain", why);
        let present = self.enrollment.profile.clone().ok_or(DeviceError::Missing("profile"))?;
        let replacement = match self.read_profile(payload) {
            Ok(replacement) => replacement,
            Err(why) => {
                self.log.find(Fault::Profile, format!("a renewal: {why}"));
                return Ok(Some(failed(&why)));
            }
        };
        if let Some(why) = forbidden_change(&present, &replacement) {
            self.log.find(Fault::Profile, why);
            return Ok(Some(Answer::refused(12009, why)));
        }
        if replacement.scep.uuid != present.scep.uuid {
            match self.request_identity(&replacement, false).await {
                Err(error) if error.is_passing().is_none() => return Ok(Some(failed(&error.to_string()))),
                other => other?,
            }
        }
        if let Ok((profile, signer)) = read(payload) {
            let signer = signer.map(|signer| signer.der().to_vec());
            self.contents.install(InstalledProfile { channel, profile, signer });
        }
        self.enrollment.profile = Some(replacement);
        self.add_renewal_errands();
        Ok(Some(Answer::acknowledged()))
    }
}

/// Reads a profile, signed or not; its signature has to be right, whoever made it.
fn read(bytes: &[u8]) -> Result<(Profile, Option<Certificate>), String> {
    match verify(bytes, None) {
        Ok(verified) => {
            let content = verified.content.unwrap_or_default();
            let profile = Profile::parse(&content, MAX_PROFILE_BYTES).map_err(|error| error.to_string())?;
            Ok((profile, Some(verified.signer)))
        }
        // DER begins with a SEQUENCE, a property list never does.
        Err(error) if bytes.first() == Some(&0x30) => Err(error.to_string()),
        Err(_) => Ok((Profile::parse(bytes, MAX_PROFILE_BYTES).map_err(|error| error.to_string())?, None)),
    }
}

/// What a profile that replaces the enrollment profile must not change (Apple, "MDM").
fn forbidden_change(present: &EnrollmentProfile, new: &EnrollmentProfile) -> Option<&'static str> {
    let (old, mdm) = (&present.mdm, &new.mdm);
    let users = ServerCapability::PerUserConnections;
    let rights = |rights: Option<u16>| rights.unwrap_or_default();
    let rules = [
        (present.identifier != new.identifier, "a renewal has another PayloadIdentifier: a second enrollment"),
        (old.topic != mdm.topic, "a renewal changes the Topic"),
        (old.server_url != mdm.server_url, "a renewal changes the ServerURL"),
        (old.effective_check_in_url() != mdm.effective_check_in_url(), "a renewal changes the CheckInURL"),
        (rights(mdm.access_rights) & !rights(old.access_rights) != 0, "a renewal adds access rights"),
        (
            old.server_capabilities.contains(&users) != mdm.server_capabilities.contains(&users),
            "a renewal adds or removes per-user connections",
        ),
        (old.account != mdm.account, "a renewal changes the account"),
    ];
    rules.into_iter().find(|(broken, _)| *broken).map(|(_, why)| why)
}

fn listed(installed: &InstalledProfile) -> Value {
    let profile = &installed.profile;
    let text = |key: &str| profile.others.get(key).and_then(Value::as_string).unwrap_or_default().to_owned();
    let signers = installed.signer.iter().map(|der| Value::Data(der.clone())).collect();
    Value::Dictionary(entries([
        ("PayloadUUID", profile.uuid.as_str().into()),
        ("PayloadIdentifier", profile.identifier.as_str().into()),
        ("PayloadVersion", 1.into()),
        ("PayloadDisplayName", text("PayloadDisplayName").into()),
        ("PayloadOrganization", text("PayloadOrganization").into()),
        ("PayloadDescription", text("PayloadDescription").into()),
        ("PayloadRemovalDisallowed", false.into()),
        ("HasRemovalPasscode", false.into()),
        ("IsEncrypted", false.into()),
        ("IsManaged", true.into()),
        ("SignerCertificates", Value::Array(signers)),
        ("PayloadContent", Value::Array(profile.payloads.iter().map(listed_payload).collect())),
    ]))
}

fn listed_payload(payload: &Payload) -> Value {
    let mut listed: Dictionary = entries([
        ("PayloadType", payload.payload_type.as_str().into()),
        ("PayloadVersion", 1.into()),
        ("PayloadIdentifier", payload.identifier.as_str().into()),
        ("PayloadUUID", payload.uuid.as_str().into()),
    ]);
    for key in ["PayloadDisplayName", "PayloadDescription", "PayloadOrganization"] {
        if let Some(text) = payload.settings.get(key) {
            listed.insert(key.to_owned(), text.clone());
        }
    }
    Value::Dictionary(listed)
}
