//! Three accounts beside each other: what clients asked for and were promised, what devices did, what the rows say.
//!
//! It is the judge of P-02, and of every other promise that includes "and nothing is lost meanwhile". It must be asked
//! when nothing is under way any more.

use std::collections::{BTreeMap, BTreeSet};

use rookery::sim::fleet::Truth;
use rookery::sim::log::CommandTruth;

use super::admin::{Asked, Row};

/// What the comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Reckoning {
    /// Requests for commands.
    asked: u64,
    /// Those with a 2xx.
    accepted: u64,
    /// Commands without a 2xx that are there all the same, for all their channels.
    complete: u64,
    /// Commands without a 2xx that left no trace.
    absent: u64,
    /// Commands of one channel each that are recorded as done.
    recorded: u64,
    /// Of these: done more than once, after a report had been cut off.
    again: u64,
    /// What must not be.
    pub(crate) broken: Vec<String>,
}

/// What there is to compare, by command and channel.
struct Accounts<'a> {
    rows: BTreeMap<(&'a str, &'a str), Vec<&'a str>>,
    devices: BTreeMap<(&'a str, &'a str), &'a CommandTruth>,
    /// Commands that left a trace anywhere.
    seen: BTreeSet<&'a str>,
}

/// Compares. Commands that nobody of `asked` asked for are the server's own: they are judged for repetition alone.
pub(crate) fn reckon(asked: &[Asked], rows: &[Row], truth: &Truth) -> Reckoning {
    let accounts = Accounts::of(rows, truth);
    let mut reckoning = Reckoning::default();
    for asked in asked {
        reckoning.asked += 1;
        reckoning.accepted += u64::from(asked.accepted);
        let there = accounts.seen.contains(asked.uuid.as_str());
        reckoning.complete += u64::from(there && !asked.accepted);
        reckoning.absent += u64::from(!there && !asked.accepted);
        if asked.accepted || there {
            asked.channels.iter().for_each(|channel| reckoning.judge(&accounts, asked, channel));
        }
    }
    let meant: BTreeMap<&str, &Asked> = asked.iter().map(|asked| (asked.uuid.as_str(), asked)).collect();
    let is_stray = |uuid: &str, channel: &str| meant.get(uuid).is_some_and(|asked| !asked.channels.contains(channel));
    for (uuid, channel) in accounts.rows.keys().filter(|(uuid, channel)| is_stray(uuid, channel)) {
        reckoning.broken.push(format!("{uuid} has a row for {channel}, which it was not for"));
    }
    for ((uuid, channel), done) in &accounts.devices {
        if is_stray(uuid, channel) {
            reckoning.broken.push(format!("{uuid} was handed to {channel}, which it was not for"));
        }
        reckoning.judge_repetition(uuid, channel, done);
    }
    reckoning
}

impl<'a> Accounts<'a> {
    fn of(rows: &'a [Row], truth: &'a Truth) -> Self {
        let mut accounts = Self { rows: BTreeMap::new(), devices: BTreeMap::new(), seen: BTreeSet::new() };
        for row in rows {
            accounts.rows.entry((&row.uuid, &row.channel)).or_default().push(&row.status);
            accounts.seen.insert(&row.uuid);
        }
        for (channel, uuid, done) in truth.commands() {
            accounts.devices.insert((uuid, channel), done);
            accounts.seen.insert(uuid);
        }
        accounts
    }
}

impl Reckoning {
    /// For the verdict.
    pub(crate) fn figures(&self) -> Vec<String> {
        vec![
            format!("commands {} with a 2xx of {} asked for", self.accepted, self.asked),
            format!("without a 2xx {} complete and {} absent", self.complete, self.absent),
            format!("recorded once {}", self.recorded),
            format!("done again after a cut {}", self.again),
        ]
    }

    /// A command that was promised, or that exists anyhow, on one of its channels: done, confirmed, recorded, once.
    fn judge(&mut self, accounts: &Accounts<'_>, asked: &Asked, channel: &str) {
        let key = (asked.uuid.as_str(), channel);
        let promised = if asked.accepted { "accepted" } else { "not accepted but there" };
        let who = format!("{} for {channel} ({promised})", asked.uuid);
        let said = accounts.devices.get(&key).and_then(|done| done.final_status());
        let executed = accounts.devices.get(&key).map_or(0, |done| done.executed);
        match accounts.rows.get(&key).map(Vec::as_slice) {
            None => self.broken.push(format!("{who} has no row; the device said {said:?}")),
            Some([recorded]) if Some(*recorded) == said => {
                self.recorded += 1;
                if executed == 0 && *recorded == "Acknowledged" {
                    self.broken.push(format!("{who} was acknowledged and never done"));
                }
            }
            Some([recorded]) => self.broken.push(format!("{who} is {recorded} in its row; the device said {said:?}")),
            Some(many) => self.broken.push(format!("{who} has {} rows: {many:?}", many.len())),
        }
    }

    /// No blind repetition: a command comes again only after `NotNow`, or after a report on it that was cut off.
    fn judge_repetition(&mut self, uuid: &str, channel: &str, done: &CommandTruth) {
        let cut = done.reports.iter().filter(|report| !report.confirmed).count();
        let put_off = done.reports.iter().filter(|report| report.confirmed && report.status == "NotNow").count();
        if done.executed > 1 && cut > 0 {
            self.again += 1;
        } else if done.executed > 1 {
            self.broken.push(format!("{uuid} was done {} times by {channel}, no report was cut off", done.executed));
        }
        if done.handed_out as usize > 1 + cut + put_off {
            let times = done.handed_out;
            self.broken.push(format!("{uuid} was handed out {times} times to {channel}: {cut} cuts, {put_off} NotNow"));
        }
    }
}

#[cfg(test)]
mod tests {
    use rookery::sim::log::{DeviceTruth, Reported};

    use super::*;

    fn asked(uuid: &str, channels: &[&str], accepted: bool) -> Asked {
        Asked { uuid: uuid.into(), channels: channels.iter().map(|&channel| channel.into()).collect(), accepted }
    }

    fn row(uuid: &str, channel: &str, status: &str) -> Row {
        Row { uuid: uuid.into(), channel: channel.into(), status: status.into() }
    }

    /// Channel, CommandUUID, how often it was done, and each report of it: its status, and whether it was confirmed.
    type Done<'a> = (&'a str, &'a str, u32, &'a [(&'a str, bool)]);

    /// A truth in which `channel` did `uuid` so often, and said so.
    fn truth(done: &[Done<'_>]) -> Truth {
        let mut truth = Truth::default();
        for (channel, uuid, times, reports) in done {
            let reports = reports.iter();
            let reports =
                reports.map(|(status, confirmed)| Reported { status: (*status).into(), confirmed: *confirmed });
            let command = CommandTruth {
                request_type: "ProfileList".into(),
                handed_out: *times,
                executed: *times,
                reports: reports.collect(),
            };
            let device: &mut DeviceTruth = truth.devices.entry((*channel).into()).or_default();
            device.channels.entry((*channel).into()).or_default().insert((*uuid).into(), command);
        }
        truth
    }

    const DONE: &[(&str, bool)] = &[("Acknowledged", true)];
    const CUT: &[(&str, bool)] = &[("Acknowledged", false), ("Acknowledged", true)];

    fn broken(asked: &[Asked], rows: &[Row], truth: &Truth) -> usize {
        reckon(asked, rows, truth).broken.len()
    }

    #[test]
    fn what_was_promised_and_done_and_recorded_once_is_sound() {
        let asked = [asked("one", &["a", "b"], true), asked("lost", &["a"], false), asked("kept", &["b"], false)];
        let rows = [row("one", "a", "Acknowledged"), row("one", "b", "Acknowledged"), row("kept", "b", "Acknowledged")];
        let truth = truth(&[("a", "one", 1, CUT), ("b", "one", 2, CUT), ("b", "kept", 1, DONE), ("a", "own", 1, DONE)]);
        let reckoning = reckon(&asked, &rows, &truth);
        assert_eq!(reckoning.broken, Vec::<String>::new());
        let Reckoning { accepted, complete, absent, recorded, again, .. } = reckoning;
        assert_eq!((accepted, complete, absent, recorded, again), (1, 1, 1, 3, 1));
    }

    #[test]
    fn every_kind_of_loss_and_repetition_is_found() {
        let one = [asked("one", &["a"], true)];
        let done = truth(&[("a", "one", 1, DONE)]);
        let acknowledged = [row("one", "a", "Acknowledged")];
        assert_eq!(broken(&one, &acknowledged, &done), 0);
        assert_eq!(broken(&one, &[], &done), 1, "the row is gone");
        assert_eq!(broken(&one, &[], &Truth::default()), 1, "everything is gone");
        assert_eq!(broken(&one, &[row("one", "a", "Pending")], &done), 1, "the server forgot");
        assert_eq!(broken(&one, &acknowledged, &Truth::default()), 1, "the server made it up");
        assert_eq!(broken(&one, &[acknowledged.clone(), acknowledged.clone()].concat(), &done), 1, "recorded twice");
        assert_eq!(broken(&one, &acknowledged, &truth(&[("a", "one", 2, DONE)])), 2, "done twice, without a cut");
        let half = [asked("half", &["a", "b"], false)];
        assert_eq!(broken(&half, &[row("half", "a", "Acknowledged")], &truth(&[("a", "half", 1, DONE)])), 1, "half");
        let stray = truth(&[("a", "one", 1, DONE), ("b", "one", 1, DONE)]);
        assert_eq!(broken(&one, &acknowledged, &stray), 1, "a wrong host");
        let rows = [acknowledged[0].clone(), row("one", "b", "Pending")];
        assert_eq!(broken(&one, &rows, &done), 1, "a row for a wrong host");
        assert_eq!(broken(&one, &acknowledged, &truth(&[("a", "one", 0, DONE)])), 1, "acknowledged and never done");
    }
}
