//! The setup experience: devices that wait in Setup Assistant are let go on when their profiles are there.
//!
//! A device that enrolled by itself waits until it is sent `DeviceConfigured`. That is queued once nothing more is open for it, or
//! after a time limit, so that no device waits for ever; or by an admin, where the team says so. Whatever happens to the server,
//! it is queued once: it is called after the enrollment.
//!
//! Never here: what a device shall have (`profiles`), and how commands travel.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::queue_entry::ACKNOWLEDGED;
use entities::setup_experience::{self, ACCOUNT, RELEASE, Waiting};
use entities::{Reader, StoreError, Writer, idp_account, queue_entry, team_setting};
use protocol::apple::command::Command;
use protocol::apple::plist::Dictionary;
use protocol::apple::request_types;
use protocol::ids::{CommandUuid, HostId};
use protocol::queue::State;
use protocol::time::Timestamp;

use crate::ask::Handle;
use crate::clock::Clock;
use crate::dispatcher::{Dispatch, Dispatcher, Target, TimeToLive};
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often it is looked who waits.
const TICK: Duration = Duration::from_secs(1);
/// Devices of one step.
const STEP: u64 = 200;
/// Who is said to have queued the command.
const BY: &str = "setup experience";
/// A device that so often says that it cannot go on does not wait; one that so often says nothing is left to an admin.
const MOST_TRIES: usize = 3;
/// How long it is waited for the dispatcher.
const DEADLINE: Duration = Duration::from_secs(10);

/// How patient devices are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupConfig {
    /// After this time a device goes on, whatever is still open.
    pub time_limit: Duration,
}

impl Default for SetupConfig {
    fn default() -> Self {
        Self { time_limit: Duration::from_secs(3600) }
    }
}

/// The actor.
pub struct SetupExperience {
    guard: Guard,
    desk: Arc<Desk>,
    is_busy: bool,
}

struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    dispatcher: Handle<Dispatcher>,
    config: Arc<SetupConfig>,
}

/// What is to be done about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing yet.
    Wait,
    /// Its owner's account is made.
    Account,
    /// It is let go on; whether that is because of the time limit.
    Release { is_late: bool },
    /// It has gone on.
    Done,
}

impl SetupExperience {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Arc::new(Desk {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            dispatcher: parts.dispatcher.clone(),
            config: parts.config.setup.clone(),
        });
        let address = Self { guard, desk, is_busy: false }.start();
        parts.setup.publish(address.clone(), gauge);
        address.recipient()
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_busy, true) {
            return;
        }
        crate::fault::point("setup_experience.look");
        self.guard.gauge().turn(self.desk.clock.now());
        let desk = self.desk.clone();
        let working = async move { desk.work().await };
        context.spawn(working.into_actor(self).map(|worked, setup, _| {
            setup.is_busy = false;
            if let Err(error) = worked {
                tracing::warn!("devices in Setup Assistant cannot be looked at: {error}");
            }
        }));
    }
}

impl Actor for SetupExperience {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(TICK, Self::look);
    }
}

singleton!(SetupExperience);

impl Desk {
    async fn work(&self) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let waiting = setup_experience::waiting(&self.reader, after, STEP).await?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = last.enrollment_id;
            let teams = waiting.iter().map(|device| device.team_id).collect();
            let settings = team_setting::of_teams(&self.reader, teams).await?;
            for device in &waiting {
                let of_team = settings.get(&device.team_id);
                let manually =
                    of_team.and_then(|set| set.get(team_setting::RELEASE_MANUALLY)?.as_bool()).unwrap_or(false);
                match next(device, manually, self.clock.now(), self.config.time_limit) {
                    Step::Wait => {}
                    Step::Account => self.tell(device, ACCOUNT).await,
                    Step::Release { is_late } => {
                        if is_late {
                            let open = device.open_profiles;
                            tracing::warn!(host.id = device.host_id, "is let go on although {open} profiles are open");
                        }
                        self.tell(device, RELEASE).await;
                    }
                    Step::Done => {
                        tracing::info!(host.id = device.host_id, "goes on from Setup Assistant");
                        setup_experience::released(&self.writer, device.enrollment_id, device.generation).await?;
                    }
                }
            }
        }
    }

    /// Queues a command of Setup Assistant.
    async fn tell(&self, device: &Waiting, request_type: &'static str) {
        let Some(command) = command(device, request_type) else { return };
        let facts = request_types::facts(request_type);
        let dispatch = Dispatch {
            uuid: command.uuid().clone(),
            request_type: request_type.to_owned(),
            body: command.to_xml().into(),
            asked_by: BY.to_owned(),
            priority: 0,
            no_blind_resend: facts.no_blind_resend,
            time_to_live: TimeToLive::Usual(facts.time_to_live),
            after: None,
            push: true,
            channels: vec![Target { host: HostId(device.host_id), enrollment: device.enrollment_id }],
            answers: None,
            action: None,
        };
        if let Err(refusal) = self.dispatcher.ask(dispatch, DEADLINE).await {
            tracing::warn!(host.id = device.host_id, "cannot be sent {request_type} now: {refusal}");
        }
    }
}

/// The command, named after the enrollment and how often it was queued: a second one of the same name is refused.
fn command(device: &Waiting, request_type: &str) -> Option<Command> {
    let (what, times) = match request_type {
        ACCOUNT => ("account-configuration", device.accounts.len() + 1),
        _ => ("device-configured", device.releases.len() + 1),
    };
    let name = format!("{what}-{}-{}-{times}", device.enrollment_id, device.generation);
    let arguments = device.owner.as_ref().filter(|_| request_type == ACCOUNT).map(account).unwrap_or_default();
    Command::new(CommandUuid::parse(&name)?, request_type, arguments).ok()
}

/// The account that the owner of a Mac is given: the names are the provider's, and nobody can change them in Setup Assistant.
fn account(owner: &idp_account::Model) -> Dictionary {
    let short = owner.user_name.split('@').next().unwrap_or_default();
    let short: String = short.chars().filter(|one| one.is_ascii_alphanumeric() || "._-".contains(*one)).collect();
    let mut entries = Dictionary::new();
    if !short.is_empty() {
        entries.insert("LockPrimaryAccountInfo".to_owned(), true.into());
        entries.insert("PrimaryAccountUserName".to_owned(), short.to_lowercase().into());
    }
    if !owner.full_name.is_empty() {
        entries.insert("PrimaryAccountFullName".to_owned(), owner.full_name.as_str().into());
    }
    entries
}

fn next(device: &Waiting, manually: bool, now: Timestamp, time_limit: Duration) -> Step {
    let errors = device.releases.iter().filter(|state| is_error(**state)).count();
    if device.releases.contains(&ACKNOWLEDGED) || errors >= MOST_TRIES {
        return Step::Done;
    }
    if device.owner.is_some() && device.accounts.is_empty() {
        return Step::Account;
    }
    let is_under_way = |state: &i16| *state < queue_entry::TERMINAL;
    let is_taken_back = device.releases.contains(&queue_entry::CANCELLED);
    if manually || is_taken_back || device.releases.len() >= MOST_TRIES || device.releases.iter().any(is_under_way) {
        return Step::Wait;
    }
    let is_late = now.since(Timestamp::from_millis(device.since)) >= time_limit;
    let is_open = device.is_unmarked || device.open_profiles > 0 || device.accounts.iter().any(is_under_way);
    match !is_open {
        true => Step::Release { is_late: false },
        false if is_late => Step::Release { is_late },
        false => Step::Wait,
    }
}

fn is_error(state: i16) -> bool {
    [State::Error, State::FormatError].iter().any(|error| error.code() == state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const LIMIT: Duration = Duration::from_secs(60);

    fn waiting() -> Waiting {
        let (open_profiles, is_unmarked, releases) = (0, false, Vec::new());
        Waiting {
            enrollment_id: 7,
            generation: 2,
            host_id: 3,
            since: NOW,
            team_id: 0,
            open_profiles,
            is_unmarked,
            owner: None,
            accounts: Vec::new(),
            releases,
        }
    }

    fn step(device: &Waiting, manually: bool, after: Duration) -> Step {
        next(device, manually, Timestamp::from_millis(NOW).plus(after), LIMIT)
    }

    #[test]
    fn a_device_goes_on_when_nothing_is_open_or_when_its_time_is_over() {
        let ready = Step::Release { is_late: false };
        assert_eq!(step(&waiting(), false, Duration::ZERO), ready);
        for open in [Waiting { open_profiles: 1, ..waiting() }, Waiting { is_unmarked: true, ..waiting() }] {
            assert_eq!(step(&open, false, LIMIT - Duration::from_millis(1)), Step::Wait);
            assert_eq!(step(&open, false, LIMIT), Step::Release { is_late: true });
            assert_eq!(step(&open, true, LIMIT), Step::Wait, "an admin lets it go on");
        }
        assert_eq!(step(&waiting(), true, LIMIT), Step::Wait);
    }

    #[test]
    fn it_is_told_once_and_again_when_that_came_to_nothing() {
        let told = |states: &[i16]| Waiting { releases: states.to_vec(), ..waiting() };
        for under_way in [queue_entry::HELD, queue_entry::QUEUED, queue_entry::SENT, queue_entry::NOT_NOW] {
            assert_eq!(step(&told(&[under_way]), false, LIMIT), Step::Wait);
        }
        assert_eq!(step(&told(&[ACKNOWLEDGED]), false, LIMIT), Step::Done);
        assert_eq!(step(&told(&[ACKNOWLEDGED]), true, LIMIT), Step::Done, "whoever told it");
        let error = State::Error.code();
        assert_eq!(step(&told(&[error, error]), false, LIMIT), Step::Release { is_late: false });
        assert_eq!(step(&told(&[error; MOST_TRIES]), false, LIMIT), Step::Done);
        assert_eq!(step(&told(&[queue_entry::EXPIRED; MOST_TRIES]), false, LIMIT), Step::Wait);
        assert_eq!(step(&told(&[queue_entry::CANCELLED]), false, LIMIT), Step::Wait, "an admin said no");
        let again = told(&[queue_entry::EXPIRED]);
        assert_eq!(step(&again, false, LIMIT), Step::Release { is_late: false });
        assert_eq!(command(&again, RELEASE).unwrap().uuid().as_str(), "device-configured-7-2-2");
    }

    #[test]
    fn the_owners_account_comes_before() {
        let owner = idp_account::Model {
            uuid: "u".into(),
            user_name: "Ada.L@example.com".into(),
            email: "Ada.L@example.com".into(),
            folded_email: "ada.l@example.com".into(),
            full_name: "Ada L".into(),
            created_at: NOW,
            updated_at: NOW,
        };
        let owned = |accounts: &[i16]| Waiting { owner: Some(owner.clone()), accounts: accounts.to_vec(), ..waiting() };
        assert_eq!(step(&owned(&[]), false, Duration::ZERO), Step::Account);
        assert_eq!(step(&owned(&[]), true, Duration::ZERO), Step::Account);
        assert_eq!(step(&owned(&[queue_entry::NOT_NOW]), false, Duration::ZERO), Step::Wait);
        let told = owned(&[ACKNOWLEDGED]);
        assert_eq!(step(&told, false, Duration::ZERO), Step::Release { is_late: false });
        let text = String::from_utf8(command(&owned(&[]), ACCOUNT).unwrap().to_xml()).unwrap();
        assert!(text.contains("<string>ada.l</string>") && text.contains("<string>Ada L</string>"), "{text}");
    }
}
