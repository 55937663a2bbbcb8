//! What a device's report says about its profiles; written in the turn that takes the report.

use entities::host_profile::report::{Outcome, Reported};
use entities::host_profile_list::Listed;
use entities::profile::{SYSTEM, USER};
use protocol::apple::channel::ChannelKind;
use protocol::apple::profile_report;
use protocol::profiles::{self, MAX_RETRIES_APPLE};
use protocol::queue::{Answer, Decision, Filing};

use super::Host;
use super::report::Report;

impl Host {
    /// What a final report says about profiles; nothing for all other commands.
    pub(super) fn about_profiles(
        &self,
        row: i64,
        report: &Report,
        decision: &Decision,
    ) -> (Vec<Reported>, Option<Box<Listed>>) {
        let Some(uuid) = report.command.as_ref().filter(|_| matches!(decision.filing, Filing::Result(_))) else {
            return (Vec::new(), None);
        };
        let body = &report.sender.original.body;
        let at = self.now().millis();
        if profiles::is_list(uuid) {
            let of_device = [ChannelKind::Device, ChannelKind::UserEnrollmentDevice];
            let told = profile_report::installed(body);
            let listed = Listed {
                host_id: self.id.0,
                enrollment_id: row,
                scope: if of_device.contains(&report.sender.channel.kind) { SYSTEM } else { USER },
                identifiers: told.as_ref().map(|told| told.identifiers.clone()),
                profiles: told.map(|told| told.json).unwrap_or_default(),
                max_retries: MAX_RETRIES_APPLE,
                at,
            };
            return (Vec::new(), Some(Box::new(listed)));
        }
        if !profiles::is_delivery(uuid) {
            return (Vec::new(), None);
        }
        let outcome = match report.answer {
            Answer::Acknowledged => Outcome::Done,
            _ => match profile_report::failure(body) {
                profile_report::Failure::NotThere => Outcome::Done,
                profile_report::Failure::Why(why) => Outcome::Failed(why),
            },
        };
        let verify_at = Some(self.now().plus(self.parts.config.verify_after).millis());
        let command_uuid = uuid.as_str().to_owned();
        let reported =
            Reported { host_id: self.id.0, command_uuid, outcome, max_retries: MAX_RETRIES_APPLE, verify_at, at };
        (vec![reported], None)
    }
}
