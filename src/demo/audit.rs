//! The reckoning: what the devices know they did, beside what the server's rows say, for every command that was accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::admin::Rows;
use super::fleets::PerPlatform;
use super::profiles::Standing;
use super::purchase::Bought;
use crate::sim::fleet::Truth;
use crate::sim::log::CommandTruth;
use crate::sim::report::{Latency, Progress};

/// The demo in a few numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Devices.
    pub(super) hosts: u64,
    /// Devices that are completely enrolled.
    pub(super) enrolled: u64,
    /// The same and more of each platform.
    pub(super) platforms: PerPlatform<Share>,
    /// Commands, each counted for each channel it was for.
    pub(super) commands: Commands,
    /// How many hosts have what they shall have.
    pub(super) profiles: Standing,
    /// How far the devices came that were bought.
    pub(super) bought: Bought,
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

/// What one platform's devices are of all of them.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Share {
    /// Devices.
    pub(super) hosts: u64,
    /// Devices that are completely enrolled.
    pub(super) enrolled: u64,
    /// Commands, each counted for each channel it was for.
    pub(super) commands: Commands,
    /// Accepted commands whose end the server does not know as the device does.
    pub(super) lost: u64,
    /// Commands that a device did more than once.
    pub(super) executed_twice: u64,
    /// How much devices found wrong with the server.
    pub(super) faults: u64,
    /// Sessions that devices began.
    pub(super) sessions: u64,
    /// How long the first message of a session took.
    pub(super) poll: Latency,
    /// How long a message with reports took.
    pub(super) report: Latency,
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
            && self.profiles.is_settled()
            && self.bought.is_complete()
            && (self.platforms.windows.hosts == 0 || self.platforms.windows.commands.queued > 0)
    }
}

/// Compares everything that was accepted with rows and truth.
pub(super) fn compare(
    counts: &PerPlatform<u64>,
    progress: &PerPlatform<Progress>,
    truth: &PerPlatform<Truth>,
    meant: &BTreeMap<String, BTreeSet<String>>,
    rows: &Rows,
) -> Summary {
    let (apple, windows) = (&progress.apple, &progress.windows);
    let mischief = |progress: &Progress| progress.lost_replies + progress.duplicates + progress.late_reports;
    let findings = truth.apple.findings.iter().chain(&truth.windows.findings);
    let mut summary = Summary {
        hosts: counts.apple + counts.windows,
        enrolled: progress.enrolled(),
        platforms: PerPlatform {
            apple: share(counts.apple, apple, &truth.apple),
            windows: share(counts.windows, windows, &truth.windows),
        },
        not_now_answers: apple.not_now,
        findings: findings.map(|(device, finding)| format!("{device}: {finding:?}")).collect(),
        mischief: mischief(apple) + mischief(windows),
        poll: apple.poll,
        report: apple.report,
        enrollment: apple.enroll,
        ..Summary::default()
    };
    let of_apple = apple_words(&truth.apple);
    for (uuid, channels) in meant {
        for channel in channels {
            let row = rows.get(&(uuid.clone(), channel.clone())).map(String::as_str);
            let pc = truth.windows.devices.get(channel);
            let device = match pc {
                Some(pc) => pc.channels.get(channel).and_then(|commands| word_of_pc(commands, uuid)),
                None => of_apple.get(&(uuid.as_str(), channel.as_str())).copied().flatten(),
            };
            let platforms = &mut summary.platforms;
            let share = if pc.is_some() { &mut platforms.windows } else { &mut platforms.apple };
            let lost = u64::from(is_lost(row, device));
            for commands in [&mut share.commands, &mut summary.commands] {
                commands.count(row);
            }
            share.lost += lost;
            summary.lost += lost;
        }
    }
    summary.executed_twice = summary.platforms.apple.executed_twice + summary.platforms.windows.executed_twice;
    summary
}

fn share(hosts: u64, progress: &Progress, truth: &Truth) -> Share {
    Share {
        hosts,
        enrolled: progress.enrolled,
        executed_twice: truth.counts().executed_again,
        faults: truth.findings.len() as u64,
        sessions: progress.polls,
        poll: progress.poll,
        report: progress.report,
        ..Share::default()
    }
}

/// The last word on each command, by its name and channel.
fn apple_words(truth: &Truth) -> HashMap<(&str, &str), Option<&str>> {
    truth.commands().map(|(channel, uuid, command)| ((uuid, channel), command.final_status())).collect()
}

/// What a PC's statuses say of a command as a whole, in the server's words. Its parts are named after it; an `Add` of what is
/// there already is done again as a `Replace`, whose status counts.
fn word_of_pc(commands: &BTreeMap<String, CommandTruth>, uuid: &str) -> Option<&'static str> {
    let is_part = |id: &str| id.strip_prefix(uuid).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let parts = commands.iter().filter(|(id, _)| is_part(id));
    let codes: Option<Vec<(&str, &str)>> =
        parts.map(|(_, command)| Some((command.request_type.as_str(), command.final_status()?))).collect();
    let codes = codes.filter(|codes| !codes.is_empty())?;
    let is_replaced = |(verb, code): &&(&str, &str)| *verb == "Add" && *code == "418";
    if codes.len() == 1 && codes.iter().any(|code| is_replaced(&code)) {
        return None;
    }
    let good = |(verb, code): &(&str, &str)| match *code {
        "214" | "215" | "216" => false,
        "404" => *verb == "Delete",
        code => code.starts_with('2'),
    };
    let all_good = codes.iter().filter(|code| !is_replaced(code)).all(good);
    Some(if all_good { "Acknowledged" } else { "Error" })
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
    use crate::sim::log::Reported;

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
    fn pc(commands: &[(&str, &str, &str)]) -> BTreeMap<String, CommandTruth> {
        let told = |verb: &str, code: &str| CommandTruth {
            request_type: verb.into(),
            handed_out: 1,
            executed: 1,
            reports: vec![Reported { status: code.into(), confirmed: true }],
        };
        commands.iter().map(|(id, verb, code)| ((*id).to_owned(), told(verb, code))).collect()
    }

    #[test]
    fn the_statuses_of_a_pc_are_one_word() {
        let word = |commands: &[(&str, &str, &str)]| word_of_pc(&pc(commands), "a");
        assert_eq!(word(&[("a", "Get", "200")]), Some("Acknowledged"));
        assert_eq!(word(&[("a", "Get", "404")]), Some("Error"));
        assert_eq!(word(&[("a", "Delete", "404")]), Some("Acknowledged"));
        assert_eq!(word(&[("a", "Atomic", "507")]), Some("Error"));
        assert_eq!(word(&[("a", "Add", "418"), ("a.r0", "Replace", "200")]), Some("Acknowledged"));
        assert_eq!(word(&[("a", "Add", "418"), ("a.r0", "Replace", "500")]), Some("Error"));
        assert_eq!(word(&[("a", "Add", "418")]), None, "the Replace is still to come");
        assert_eq!(word(&[("b", "Get", "200")]), None);
        assert_eq!(word(&[("a", "Add", "200"), ("a.1", "Exec", "500"), ("ab", "Get", "500")]), Some("Error"));
    }
}
