//! What really happened to every command, as the devices saw it, and how that deviates from what was meant to happen.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Member;
use crate::sim::log::{CommandTruth, DeviceTruth, Fault, Finding};

/// What the devices of a fleet saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Truth {
    /// By the enrollment id of the device, or its serial number while it has none.
    pub devices: BTreeMap<String, DeviceTruth>,
    /// What devices found wrong with the server, with the enrollment id of the device.
    pub findings: Vec<(String, Finding)>,
}

/// A truth in a few numbers. A command counts once for each channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TruthCounts {
    /// Commands that were received at least once.
    pub commands: u64,
    /// How often commands were received.
    pub handed_out: u64,
    /// How often commands were done.
    pub executed: u64,
    /// Commands that were done more than once.
    pub executed_again: u64,
    /// Commands whose final report was confirmed by the server.
    pub confirmed: u64,
    /// Findings by their fault.
    pub findings: BTreeMap<Fault, u64>,
}

/// A command that did not do what it was meant to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Deviation {
    /// A channel received a command that was for others.
    Stray {
        /// The command.
        uuid: String,
        /// The channel.
        channel: String,
    },
    /// A channel never reported a final status of its command, or the report was not confirmed.
    Unfinished {
        /// The command.
        uuid: String,
        /// The channel.
        channel: String,
    },
    /// A channel did a command more than once.
    Again {
        /// The command.
        uuid: String,
        /// The channel.
        channel: String,
    },
}

impl Truth {
    pub(super) fn of(members: &[Member]) -> Self {
        let mut truth = Self::default();
        for member in members {
            let name = member.own().unwrap_or_else(|| member.serial_number.clone());
            let findings = member.log.findings().into_iter().map(|finding| (name.clone(), finding));
            truth.findings.extend(findings);
            truth.devices.insert(name, member.log.truth());
        }
        truth
    }

    /// Every command of every channel: channel, `CommandUUID`, what became of it.
    pub fn commands(&self) -> impl Iterator<Item = (&str, &str, &CommandTruth)> {
        let channels = self.devices.values().flat_map(|device| &device.channels);
        channels.flat_map(|(channel, commands)| {
            commands.iter().map(move |(uuid, command)| (channel.as_str(), uuid.as_str(), command))
        })
    }

    /// The numbers.
    pub fn counts(&self) -> TruthCounts {
        let mut counts = TruthCounts::default();
        for (_, _, command) in self.commands() {
            counts.commands += 1;
            counts.handed_out += u64::from(command.handed_out);
            counts.executed += u64::from(command.executed);
            counts.executed_again += u64::from(command.executed > 1);
            counts.confirmed += u64::from(command.final_status().is_some());
        }
        for (_, finding) in &self.findings {
            *counts.findings.entry(finding.fault).or_default() += 1;
        }
        counts
    }

    /// Compares with what was meant to happen: for each `CommandUUID` the channels that it was for. Commands that are
    /// not among them are the server's own and are not judged, except that nothing is done twice.
    pub fn deviations(&self, meant: &BTreeMap<String, BTreeSet<String>>) -> Vec<Deviation> {
        let mut deviations = Vec::new();
        let mut finished = BTreeSet::new();
        for (channel, uuid, command) in self.commands() {
            let named = || (uuid.to_owned(), channel.to_owned());
            if meant.get(uuid).is_some_and(|channels| !channels.contains(channel)) {
                let (uuid, channel) = named();
                deviations.push(Deviation::Stray { uuid, channel });
            }
            if command.executed > 1 {
                let (uuid, channel) = named();
                deviations.push(Deviation::Again { uuid, channel });
            }
            if command.final_status().is_some() {
                finished.insert((uuid, channel));
            }
        }
        for (uuid, channels) in meant {
            let open = channels.iter().filter(|channel| !finished.contains(&(uuid.as_str(), channel.as_str())));
            deviations
                .extend(open.map(|channel| Deviation::Unfinished { uuid: uuid.clone(), channel: channel.clone() }));
        }
        deviations
    }
}
