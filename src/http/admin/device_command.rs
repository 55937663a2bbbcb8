//! A command for hosts of either kind, as the doors that commands come by handle it.

use std::time::Duration;

use protocol::apple::channel::ChannelKind;
use protocol::apple::request_types;
use protocol::ids::CommandUuid;
use protocol::{apple, windows};

/// How long a Windows command stays worth doing, and one that erases the device.
const WINDOWS_LIFE: Duration = Duration::from_secs(7 * 86_400);
const WIPE_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// A command.
#[derive(Clone, Debug)]
pub(super) enum DeviceCommand {
    /// A property list.
    Apple(apple::command::Command),
    /// SyncML.
    Windows(windows::syncml::Command),
}

impl DeviceCommand {
    /// What devices call it.
    pub(super) const fn uuid(&self) -> &CommandUuid {
        match self {
            Self::Apple(command) => command.uuid(),
            Self::Windows(command) => command.uuid(),
        }
    }

    /// Apple's `RequestType`, or the node that a Windows command is about.
    pub(super) fn request_type(&self) -> &str {
        match self {
            Self::Apple(command) => command.request_type(),
            Self::Windows(command) => command.request_type(),
        }
    }

    /// The text as devices get it.
    pub(super) fn body(&self) -> Vec<u8> {
        match self {
            Self::Apple(command) => command.to_xml(),
            Self::Windows(command) => command.body().into_bytes(),
        }
    }

    /// Whether doing it twice is dangerous.
    pub(super) fn no_blind_resend(&self) -> bool {
        match self {
            Self::Apple(command) => request_types::facts(command.request_type()).no_blind_resend,
            Self::Windows(command) => command.no_blind_resend(),
        }
    }

    /// How long it stays worth doing.
    pub(super) fn time_to_live(&self) -> Duration {
        match self {
            Self::Apple(command) => request_types::facts(command.request_type()).time_to_live,
            Self::Windows(command) if command.erases() => WIPE_LIFE,
            Self::Windows(_) => WINDOWS_LIFE,
        }
    }

    /// Whether a channel of this kind takes it.
    pub(super) fn is_for(&self, kind: i16) -> bool {
        match (self, ChannelKind::from_code(kind)) {
            (Self::Windows(_), kind) => kind == Some(ChannelKind::Windows),
            (Self::Apple(_), None) => true,
            (Self::Apple(command), Some(kind)) => request_types::facts(command.request_type()).allows(kind),
        }
    }
}

impl From<apple::command::Command> for DeviceCommand {
    fn from(command: apple::command::Command) -> Self {
        Self::Apple(command)
    }
}

impl From<windows::syncml::Command> for DeviceCommand {
    fn from(command: windows::syncml::Command) -> Self {
        Self::Windows(command)
    }
}
