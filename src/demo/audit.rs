//! The reckoning: what the devices know they did, beside what the server's rows say, for every command that was accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::admin::Rows;
use crate::sim::fleet::Truth;
use crate::sim::report::{Latency, Progress};

/// The demo in a few numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Devices.
    pub(super) hosts: u64,
    /// Devices that are completely enrolled.
    pub(super) enrolled: u64,
    /// Commands, each counted for each channel it was for.
    pub(super) commands: Commands,
    /// How often devices answered `NotNow`.
    pub(super) not_now_answers: u64,
    /// Pushes that woke a device.
    pub(super) pushes: u64,
    /// Accepted commands whose end the server does not know as the device does.
    pub(super) lost: u64,
    /// Commands that a device did more than once.
    pub(super) executed_twice: u64,
    /// What devices found wrong with the server.
    pub(super) findings: Vec<String>,
    /// Replies that were lost on purpose, reports that were sent twice or late on purpose.
    pub(super) mischief: u64,
    /// How long a poll took.
    pub(super) poll: Latency,
    /// How long a report took.
    pub(super) report: Latency,
    /// How long a whole enrollment took.
    pub(super) enrollment: Latency,
    /// How long the demo ran.
    pub(super) seconds: f64,
}

/// Where commands ended.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Commands {
    /// Accepted.
    pub(super) queued: u64,
    /// Done.
    pub(super) acknowledged: u64,
    /// Failed on the device.
    pub(super) error: u64,
    /// Their time ended.
    pub(super) expired: u64,
    /// Ended otherwise: cancelled, superseded, parked.
    pub(super) other: u64,
    /// Not ended.
    pub(super) unfinished: u64,
}

impl Summary {
    /// Whether everything that was promised was kept.
    pub(super) fn is_sound(&self) -> bool {
        self.enrolled == self.hosts
            && self.commands.queued > 0
            && self.commands.unfinished == 0
            && self.lost == 0
            && self.executed_twice == 0
            && self.findings.is_empty()
    }
}

/// Compares everything that was accepted with rows and truth.
pub(super) fn compare(
    hosts: u32,
    progress: &Progress,
    truth: &Truth,
    meant: &BTreeMap<String, BTreeSet<String>>,
    rows: &Rows,
) -> Summary {
    let finals: HashMap<(&str, &str), Option<&str>> =
        truth.commands().map(|(channel, uuid, command)| ((uuid, channel), command.final_status())).collect();
    let mut summary = Summary {
        hosts: hosts.into(),
        enrolled: progress.enrolled,
        not_now_answers: progress.not_now,
        executed_twice: truth.counts().executed_again,
        findings: truth.findings.iter().map(|(device, finding)| format!("{device}: {finding:?}")).collect(),
        mischief: progress.lost_replies + progress.duplicates + progress.late_reports,
        poll: progress.poll,
        report: progress.report,
        enrollment: progress.enroll,
        ..Summary::default()
    };
    for (uuid, channels) in meant {
        for channel in channels {
            let row = rows.get(&(uuid.clone(), channel.clone())).map(String::as_str);
            let device = finals.get(&(uuid.as_str(), channel.as_str())).copied().flatten();
            summary.commands.count(row);
            summary.lost += u64::from(is_lost(row, device));
        }
    }
    summary
}

impl Commands {
    fn count(&mut self, status: Option<&str>) {
        self.queued += 1;
        let counter = match status {
            Some("Acknowledged") => &mut self.acknowledged,
            Some("Error" | "CommandFormatError") => &mut self.error,
            Some("Expired") => &mut self.expired,
            Some("Cancelled" | "Superseded" | "Parked") => &mut self.other,
            _ => &mut self.unfinished,
        };
        *counter += 1;
    }
}

/// A promise was broken when the row is gone, when the device's confirmed word is not in it, or when it holds a word that
/// the device never gave.
fn is_lost(row: Option<&str>, device: Option<&str>) -> bool {
    match (row, device) {
        (None, _) => true,
        (Some(row @ ("Acknowledged" | "Error" | "CommandFormatError")), device) => device != Some(row),
        (Some(_), device) => device.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agreement_counts_as_kept() {
        assert!(!is_lost(Some("Acknowledged"), Some("Acknowledged")));
        assert!(!is_lost(Some("Error"), Some("Error")));
        assert!(!is_lost(Some("Pending"), None), "unfinished is another count");
        assert!(is_lost(None, None), "the row is gone");
        assert!(is_lost(Some("Pending"), Some("Acknowledged")), "the server forgot");
        assert!(is_lost(Some("Acknowledged"), None), "the server made it up");
        assert!(is_lost(Some("Error"), Some("Acknowledged")));
        assert!(is_lost(Some("Superseded"), Some("Acknowledged")));
    }
}
