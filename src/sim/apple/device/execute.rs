//! Doing what a command asks, and what comes of it.
//!
//! Every command type of Apple's schema is known; what a real device cannot do is answered with the error that a real
//! device gives. The answers are made up but of the documented shape. Never here: whether the device has time now
//! (`NotNow`), which its owner decides.
//!
//! Start with [`Device::execute`].

use std::fmt;

use protocol::apple::channel::ChannelKind;
use protocol::apple::command::Command;
use protocol::apple::fields::Fields;
use protocol::apple::plist::{Dictionary, Value};
use protocol::apple::report::{ErrorLink, Status};
use protocol::apple::request_types;

use super::{ChannelNo, Device, DeviceError, RenewalShape};
use crate::sim::apple::contents::{Contents, Power};
use crate::sim::apple::model::Model;
use crate::sim::random::Chance;

mod applications;
mod control;
mod information;
mod inventory;
mod profiles;

/// Answers that are kept, so that a command that comes again gets the same one.
const KEPT_ANSWERS: usize = 64;

/// What becomes of a command.
#[derive(Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// Why it failed, the nearest cause first.
    pub errors: Vec<ErrorLink>,
    /// The results, as they stand in the report.
    pub results: Dictionary,
}

/// Something that follows from a command and is done in a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The identity was renewed: `Authenticate`.
    Authenticate,
    /// The identity was renewed: `TokenUpdate`.
    UpdateToken(ChannelNo),
    /// The declarations have changed, or may have.
    Synchronize(ChannelNo),
    /// The enrollment profile was removed: `CheckOut`.
    CheckOut(ChannelNo),
}

/// A command in the device's hands.
struct Doing<'a> {
    model: &'a Model,
    contents: &'a mut Contents,
    chance: &'a mut Chance,
    channel: ChannelNo,
    kind: ChannelKind,
    request_type: &'a str,
    arguments: Fields<'a>,
    supervised: bool,
    awaits_configuration: bool,
    push_token: Option<&'a [u8]>,
    certificates: Vec<(Vec<u8>, bool)>,
}

/// Command types that Macs alone know.
const MAC_ONLY: &[&str] = &[
    "AccountConfiguration",
    "ActiveNSExtensions",
    "ContentCachingInformation",
    "DisableRemoteDesktop",
    "EnableRemoteDesktop",
    "InstallEnterpriseApplication",
    "LOMDeviceRequest",
    "LOMSetupRequest",
    "NSExtensionMappings",
    "RotateFileVaultKey",
    "ScheduleOSUpdateScan",
    "SetAutoAdminPassword",
    "SetFirmwarePassword",
    "SetRecoveryLock",
    "UnlockUserAccount",
    "VerifyFirmwarePassword",
    "VerifyRecoveryLock",
];

/// Command types that Macs do not know.
const MOBILE_ONLY: &[&str] = &[
    "ApplyRedemptionCode",
    "ClearPasscode",
    "ClearRestrictionsPassword",
    "DeviceLocation",
    "DisableLostMode",
    "EnableLostMode",
    "LogOutUser",
    "ManagedApplicationAttributes",
    "ManagedMediaList",
    "PlayLostModeSound",
    "RefreshCellularPlans",
    "RemoveMedia",
    "RequestUnlockToken",
    "Restrictions",
    "UserConfigured",
    "ValidateApplications",
];

/// Commands after which there may be nobody left to answer.
const POWER: &[&str] = &["EraseDevice", "RestartDevice", "ShutDownDevice"];

impl Device {
    /// Does what a command asks. `None` when it leaves nobody to answer
    /// ([`answers_power_commands`](super::DeviceOptions::answers_power_commands)).
    ///
    /// # Errors
    /// A message that belongs to the command failed for now (the certificate of a renewal); the command is not done.
    pub async fn execute(&mut self, channel: ChannelNo, command: &Command) -> Result<Option<Answer>, DeviceError> {
        let uuid = command.uuid().as_str();
        let state = self.channel(channel)?;
        if self.options.dedup && state.done.iter().any(|(known, _)| known == uuid) {
            return Ok(state.done.iter().find(|(known, _)| known == uuid).map(|(_, answer)| answer.clone()));
        }
        let id = state.id.clone();
        if self.options.dedup && self.log.was_executed(&id, command.uuid().as_str()) {
            return Ok(Some(Answer::acknowledged()));
        }
        self.good_bye(channel, command);
        let answer = match self.renewed_by(channel, command).await? {
            Some(answer) => answer,
            None => self.obey(channel, command)?,
        };
        self.log.executed(&id, command.uuid().as_str());
        if command.request_type() == "DeclarativeManagement" && answer.status == Status::Acknowledged {
            self.told_of_declarations(channel, command)?;
        }
        if POWER.contains(&command.request_type()) && !self.options.answers_power_commands {
            return Ok(None);
        }
        self.keep(channel, command, &answer)?;
        Ok(Some(answer))
    }

    /// Keeps an answer for the case that the command comes again.
    fn keep(&mut self, channel: ChannelNo, command: &Command, answer: &Answer) -> Result<(), DeviceError> {
        let state = self.channel_mut(channel)?;
        state.done.push_back((command.uuid().as_str().to_owned(), answer.clone()));
        if state.done.len() > KEPT_ANSWERS {
            state.done.pop_front();
        }
        Ok(())
    }

    /// Fails at a command for no reason that the server could know.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn fail(&mut self, channel: ChannelNo, command: &Command) -> Result<Answer, DeviceError> {
        let answer = Answer::refused(12010, "An internal inconsistency was found.");
        self.keep(channel, command, &answer)?;
        Ok(answer)
    }

    /// Strikes an errand off without running it.
    pub fn strike_off(&mut self, errand: Errand) {
        self.errands.retain(|other| *other != errand);
    }

    /// Is on again after a restart.
    pub const fn power_on(&mut self) {
        self.contents.power = Power::On;
    }

    /// Is erased: its management is gone, and nobody is told.
    pub fn leave(&mut self) {
        for channel in self.channels() {
            let _ = self.drop_token(channel);
        }
        self.errands.clear();
        self.contents.removed_management(ChannelNo::DEVICE);
        self.wire.disconnect();
    }

    /// Enters a PIN at a locked Mac. `false`: it is another one, or the Mac is not locked.
    pub fn enter_pin(&mut self, pin: &str) -> bool {
        let right = self.contents.screen_pin.as_deref() == Some(pin);
        if right {
            self.contents.screen_pin = None;
        }
        right
    }

    /// Whether it can speak to anyone: one that was erased is managed no more, and nothing runs on a locked Mac.
    pub(super) fn can_speak(&self) -> bool {
        self.contents.power != Power::Erased && self.contents.screen_pin.is_none()
    }

    /// The oldest errand that is to be run before the command is reported, if there is one.
    pub fn errand_before_report(&self) -> Option<Errand> {
        self.errands.iter().copied().find(|errand| !matches!(errand, Errand::Synchronize(_) | Errand::CheckOut(_)))
    }

    /// The oldest errand.
    pub fn errand(&self) -> Option<Errand> {
        self.errands.front().copied()
    }

    /// Adds an errand, unless it is there already.
    pub(super) fn add_errand(&mut self, errand: Errand) {
        if !self.errands.contains(&errand) {
            self.errands.push_back(errand);
        }
    }

    /// After a renewal: what the device says of it.
    pub(super) fn add_renewal_errands(&mut self) {
        if self.options.renewal == RenewalShape::Authenticate {
            self.add_errand(Errand::Authenticate);
        }
        if self.options.renewal != RenewalShape::Silent {
            self.add_errand(Errand::UpdateToken(ChannelNo::DEVICE));
        }
    }

    fn obey(&mut self, channel: ChannelNo, command: &Command) -> Result<Answer, DeviceError> {
        let request_type = command.request_type();
        let facts = request_types::facts(request_type);
        let known = !facts.request_type.is_empty() && facts.allows(self.channel(channel)?.kind);
        let foreign = if self.model.is_mac() { MOBILE_ONLY } else { MAC_ONLY };
        if !known || foreign.contains(&request_type) {
            return Ok(Answer::invalid_request_type(request_type));
        }
        if command.check().is_err() {
            return Ok(Answer::malformed());
        }
        let certificates = self.certificates();
        let state = self.channels.get(channel.0).ok_or(DeviceError::Missing("such channel"))?;
        let mut doing = Doing {
            model: &self.model,
            contents: &mut self.contents,
            chance: &mut self.chance,
            channel,
            kind: state.kind,
            request_type,
            arguments: Fields::new(command.entries()),
            supervised: self.options.supervised,
            awaits_configuration: self.options.awaits_configuration,
            push_token: state.token.as_deref(),
            certificates,
        };
        let answer = doing.answer();
        self.options.awaits_configuration = doing.awaits_configuration;
        Ok(answer)
    }

    /// The certificates on the device, and whether each is an identity.
    fn certificates(&self) -> Vec<(Vec<u8>, bool)> {
        let identity = self.enrollment.identity.iter().map(|identity| (identity.certificate(), true));
        let others = self.enrollment.authorities.iter().chain(self.wire.trust().anchors());
        let mut certificates: Vec<(Vec<u8>, bool)> = Vec::new();
        for (certificate, own) in identity.chain(others.map(|other| (other, false))) {
            if !certificates.iter().any(|(der, _)| der == certificate.der()) {
                certificates.push((certificate.der().to_vec(), own));
            }
        }
        certificates
    }
}

impl Doing<'_> {
    fn answer(&mut self) -> Answer {
        let groups =
            [Self::information, Self::inventory, Self::profiles, Self::applications, Self::media, Self::control];
        let first = groups.into_iter().find_map(|group| group(self));
        // What remains changes nothing that anybody could ask for.
        first.or_else(|| self.locks()).or_else(|| self.updates()).unwrap_or_else(Answer::acknowledged)
    }

    /// The text of an argument; one of another type counts as absent.
    fn text(&self, key: &'static str) -> Option<&str> {
        self.arguments.string(key).ok().flatten().filter(|text| !text.is_empty())
    }

    /// The texts in an argument.
    fn texts(&self, key: &'static str) -> Vec<&str> {
        let values = self.arguments.array(key).ok().flatten().unwrap_or_default();
        values.iter().filter_map(Value::as_string).collect()
    }

    fn is_true(&self, key: &'static str) -> bool {
        matches!(self.arguments.boolean(key), Ok(Some(true)))
    }

    /// Whether it belongs to its user, who is told about by nothing.
    const fn is_personal(&self) -> bool {
        matches!(self.kind, ChannelKind::UserEnrollmentDevice | ChannelKind::UserEnrollment)
    }

    fn power(&mut self, power: Power) -> Answer {
        self.contents.power = power;
        Answer::acknowledged()
    }
}

impl Answer {
    /// Done, without results.
    pub fn acknowledged() -> Self {
        Self { status: Status::Acknowledged, errors: Vec::new(), results: Dictionary::new() }
    }

    /// Not now.
    pub fn not_now() -> Self {
        Self { status: Status::NotNow, ..Self::acknowledged() }
    }

    /// Failed for this reason.
    pub fn error(code: i64, domain: &str, description: &str) -> Self {
        let link = ErrorLink {
            code,
            domain: domain.to_owned(),
            localized_description: description.to_owned(),
            us_english_description: Some(description.to_owned()),
        };
        Self { status: Status::Error, errors: vec![link], ..Self::acknowledged() }
    }

    /// The same answer with one more result.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.results.insert(key.to_owned(), value.into());
        self
    }

    /// Failed for a reason of the management itself (`MCMDMErrorDomain`).
    fn refused(code: i64, description: &str) -> Self {
        Self::error(code, "MCMDMErrorDomain", description)
    }

    fn invalid_request_type(request_type: &str) -> Self {
        Self::refused(12021, &format!("“{request_type}” is not a valid request type."))
    }

    fn malformed() -> Self {
        Self { status: Status::CommandFormatError, ..Self::refused(12008, "The request is malformed.") }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Results can be keys and passwords.
        formatter
            .debug_struct("Answer")
            .field("status", &self.status)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
