//! What really happened to one device: what it found wrong with the server, and what became of every command.
//!
//! The device writes, others read, also while the device is at work. Never here: judgement over many devices, which is
//! [`fleet`](crate::sim::fleet)'s.
//!
//! Start with [`DeviceLog`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Findings of one device that are kept: whoever finds more than these finds the same ones again.
const MAX_FINDINGS: usize = 100;

/// The log of one device; clones are the same log.
#[derive(Clone, Debug, Default)]
pub struct DeviceLog(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    findings: Vec<Finding>,
    truth: DeviceTruth,
    own: Option<String>,
}

/// Something that a server must not do, and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub fault: Fault,
    /// What happened.
    pub text: String,
}

/// The rules that a device watches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A 401 or 403 on a device route: a real device would have removed its management.
    Unenrolls,
    /// A status that the message does not deserve.
    Status,
    /// A reply without a length, chunked, compressed or redirected.
    Framing,
    /// The enrollment profile, or one that replaces it.
    Profile,
    /// A SCEP reply.
    Scep,
    /// A reply that is not a command document, or none that the device can use.
    Command,
    /// The same command twice in one session.
    HandedOutTwice,
    /// A command that does not belong on its channel.
    Channel,
    /// A declarative management reply.
    Declarative,
    /// The content of another reply.
    Reply,
    /// A SOAP answer of the enrollment of a Windows device.
    Soap,
    /// The provisioning document of a Windows device, or one that renews its certificate.
    Provisioning,
    /// A SyncML message.
    SyncMl,
    /// Commands for somebody who has not shown who they are, or a good proof that was refused.
    Authentication,
}

/// What became of every command of one device, by channel and the command's name on the wire (`CommandUUID`, `CmdID`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceTruth {
    /// By the channel's enrollment id.
    pub channels: BTreeMap<String, BTreeMap<String, CommandTruth>>,
}

/// What became of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommandTruth {
    /// Its type.
    pub request_type: String,
    /// How often the device received it.
    pub handed_out: u32,
    /// How often the device did it.
    pub executed: u32,
    /// What the device reported, and whether the server said 200 to it.
    pub reports: Vec<Reported>,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// The status.
    pub status: String,
    /// Whether the device saw a 200.
    pub confirmed: bool,
}

impl DeviceLog {
    /// Notes something that the server must not do.
    pub fn find(&self, fault: Fault, text: impl Into<String>) {
        let mut content = self.lock();
        if content.findings.len() < MAX_FINDINGS {
            content.findings.push(Finding { fault, text: text.into() });
        }
    }

    /// Notes what the server calls the device's own channel from now on.
    pub(super) fn enrolled_as(&self, channel: &str) {
        self.lock().own = Some(channel.to_owned());
    }

    /// What the server calls the device's own channel, where it is the server that gives it a name.
    pub fn own(&self) -> Option<String> {
        self.lock().own.clone()
    }

    /// What was found.
    pub fn findings(&self) -> Vec<Finding> {
        self.lock().findings.clone()
    }

    /// What became of the commands.
    pub fn truth(&self) -> DeviceTruth {
        self.lock().truth.clone()
    }

    /// What became of one command.
    pub fn command(&self, channel: &str, uuid: &str) -> Option<CommandTruth> {
        self.lock().truth.channels.get(channel)?.get(uuid).cloned()
    }

    /// Whether the device did the command.
    pub(super) fn was_executed(&self, channel: &str, uuid: &str) -> bool {
        let content = self.lock();
        let command = content.truth.channels.get(channel).and_then(|commands| commands.get(uuid));
        command.is_some_and(|command| command.executed > 0)
    }

    pub(super) fn handed_out(&self, channel: &str, uuid: &str, request_type: &str) {
        self.of(channel, uuid, |command| {
            request_type.clone_into(&mut command.request_type);
            command.handed_out += 1;
        });
    }

    pub(super) fn executed(&self, channel: &str, uuid: &str) {
        self.of(channel, uuid, |command| command.executed += 1);
    }

    pub(super) fn reported(&self, channel: &str, uuid: &str, status: &str, confirmed: bool) {
        let status = status.to_owned();
        self.of(channel, uuid, |command| command.reports.push(Reported { status, confirmed }));
    }

    fn of(&self, channel: &str, uuid: &str, change: impl FnOnce(&mut CommandTruth)) {
        let mut content = self.lock();
        let channels = &mut content.truth.channels;
        if !channels.contains_key(channel) {
            channels.insert(channel.to_owned(), BTreeMap::new());
        }
        let commands = channels.get_mut(channel).expect("it was inserted above");
        change(commands.entry(uuid.to_owned()).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // A log is only ever added to, so it is whole even if its writer panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommandTruth {
    /// The last final report that the server confirmed: anything but `NotNow`.
    pub fn final_status(&self) -> Option<&str> {
        let confirmed = self.reports.iter().rev().filter(|report| report.confirmed);
        confirmed.map(|report| report.status.as_str()).find(|status| *status != "NotNow")
    }
}
