//! The life of one device, told as plain asynchronous functions: it enrolls, and works sessions off with all that goes
//! wrong on the way. It never loses a report: what the server did not answer is sent again until it is.
//!
//! Start with [`Life::enroll`], then [`Life::session`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use protocol::apple::command::Command;
use protocol::apple::report::Status;
use protocol::ids::CommandUuid;
use tokio::time::{Instant, sleep};

use crate::sim::apple::contents::Power;
use crate::sim::apple::device::{Answer, ChannelNo, Device, DeviceError, Errand, User, UserKind};
use crate::sim::behaviour::Behaviour;
use crate::sim::fleet::World;
use crate::sim::random::Chance;
use crate::sim::report::{Histogram, count};
use crate::sim::wire::{Manner, WireError};

/// When a device that is nobody's is switched on again.
const ASKS_AGAIN: Duration = Duration::from_millis(200);

/// Commands that no device defers (Apple, "Handling NotNow status responses").
const NEVER_DEFERRED: &[&str] =
    &["ClearPasscode", "DeviceConfigured", "DeviceLock", "EraseDevice", "RestartDevice", "ShutDownDevice"];

/// Commands that an iPhone or iPad answers also when it is locked.
const NEVER_DEFERRED_ON_PHONES: &[&str] = &[
    "CertificateList",
    "DeviceInformation",
    "InstalledApplicationList",
    "ProfileList",
    "ProvisioningProfileList",
    "Restrictions",
];

/// A device with its character, and what it shares with the others.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) device: Device,
    pub(super) behaviour: Behaviour,
    pub(super) world: Arc<World>,
    stage: Stage,
    users: Vec<(UserKind, User)>,
    chance: Chance,
    locked_until: Option<Instant>,
    /// Reports that the device went away with.
    late: VecDeque<Unsent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Enrolled,
    /// Refused, switched off or erased for good.
    Ended,
}

/// A report that was not sent yet.
#[derive(Debug)]
struct Unsent {
    channel: ChannelNo,
    uuid: CommandUuid,
    answer: Answer,
}

/// When a channel comes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) channel: ChannelNo,
    pub(super) after: Duration,
}

impl Life {
    pub(super) fn new(
        device: Device,
        users: Vec<(UserKind, User)>,
        behaviour: Behaviour,
        world: Arc<World>,
        seed: u64,
    ) -> Self {
        let chance = Chance::new(seed, 2);
        Self { device, behaviour, world, stage: Stage::New, users, chance, locked_until: None, late: VecDeque::new() }
    }

    /// Enrolls the device and its users.
    pub(super) async fn enroll(&mut self) {
        let world = self.world.clone();
        let Ok(_turn) = world.ramp.acquire().await else { return };
        let began = Instant::now();
        match self.enroll_all().await {
            Ok(()) => {
                world.tally.enroll_times.record(began.elapsed());
                count(&world.tally.enrolled);
                self.stage = Stage::Enrolled;
            }
            Err(error) => {
                tracing::warn!(device.serial = self.device.model.serial_number, "cannot enroll: {error}");
                count(&world.tally.failed);
                self.stage = Stage::Ended;
            }
        }
    }

    async fn enroll_all(&mut self) -> Result<(), DeviceError> {
        self.obtain_profile_and_identity().await?;
        self.check_in(async |device| device.authenticate().await).await?;
        self.check_in(async |device| device.update_token(ChannelNo::DEVICE).await).await?;
        if self.device.model.is_mac() && !self.device.options.personal {
            let token = self.chance.bytes::<32>();
            self.check_in(async |device| device.set_bootstrap_token(Some(&token)).await).await?;
        }
        for (kind, user) in self.users.clone() {
            let channel = self.device.add_user(kind, &user)?;
            self.check_in(async |device| device.update_token(channel).await).await?;
        }
        Ok(())
    }

    /// A challenge may be used up when the reply was lost: profile and identity are one step.
    async fn obtain_profile_and_identity(&mut self) -> Result<(), DeviceError> {
        let world = self.world.clone();
        let purchase = world.purchase.as_ref().filter(|purchase| purchase.holds(&self.device.model.serial_number));
        let Some(purchase) = purchase else {
            let enrolling = async |device: &mut Device| {
                device.fetch_profile(&world.enroll_url).await?;
                device.obtain_identity().await
            };
            return self.persist(enrolling).await;
        };
        let setting_up = async |device: &mut Device| {
            let is_owned = device.fetch_own_profile(&purchase.service, &purchase.authority).await?;
            if is_owned { device.obtain_identity().await.map(|()| true) } else { Ok(false) }
        };
        while !self.persist(setting_up).await? {
            // Nobody has assigned it anything yet: its user waits, too.
            sleep(ASKS_AGAIN).await;
        }
        count(&world.tally.set_up);
        Ok(())
    }

    /// Whether it has to enroll before it can do anything else.
    pub(super) fn wants_to_enroll(&self) -> bool {
        self.stage == Stage::New
    }

    /// Works one session of a channel off, and what follows from it. Says when channels come by themselves.
    pub(super) async fn session(&mut self, channel: ChannelNo) -> Vec<Due> {
        if self.stage != Stage::Enrolled {
            return Vec::new();
        }
        let waited = self.device.options.awaits_configuration;
        let worked = self.try_session(channel).await;
        if waited && !self.device.options.awaits_configuration {
            count(&self.world.tally.released);
        }
        match worked {
            Ok(due) => due,
            Err(error) => {
                // The device's log has it as a finding; a real device waits for the next push, too.
                tracing::debug!(device.serial = self.device.model.serial_number, "a session failed: {error}");
                Vec::new()
            }
        }
    }

    async fn try_session(&mut self, channel: ChannelNo) -> Result<Vec<Due>, DeviceError> {
        if self.chance.happens(self.behaviour.changes_token) {
            self.check_in(async |device| device.renew_token(channel).await).await?;
            count(&self.world.tally.token_updates);
        }
        let (mut hand, mut lost) = (VecDeque::new(), false);
        // A device that still owes a report sends it before it asks for more.
        match self.late_report(channel) {
            Some(unsent) => lost = self.report(&unsent, &mut hand).await?,
            None => hand.extend(self.poll(channel).await?),
        }
        loop {
            if self.device.contents().power != Power::On || self.device.contents().screen_pin.is_some() {
                break;
            }
            if let Some(command) = hand.pop_front() {
                let Some(answer) = self.answer(channel, &command).await? else { break };
                let unsent = Unsent { channel, uuid: command.uuid().clone(), answer };
                if unsent.answer.status != Status::NotNow && self.chance.happens(self.behaviour.is_late) {
                    count(&self.world.tally.late_reports);
                    self.late.push_back(unsent);
                    return Ok(vec![Due { channel, after: self.chance.around(self.behaviour.rests_for) }]);
                }
                lost |= self.report(&unsent, &mut hand).await?;
            } else if let Some(unsent) = self.late_report(channel) {
                lost |= self.report(&unsent, &mut hand).await?;
            } else if std::mem::take(&mut lost) {
                // The lost reply may have held a command: a device that reconnects asks again.
                hand.extend(self.poll(channel).await?);
            } else {
                break;
            }
        }
        while let Some(errand) = self.device.errand() {
            self.run(errand).await?;
        }
        self.after_power(channel).await
    }

    fn late_report(&mut self, channel: ChannelNo) -> Option<Unsent> {
        let index = self.late.iter().position(|unsent| unsent.channel == channel)?;
        self.late.remove(index)
    }

    async fn poll(&mut self, channel: ChannelNo) -> Result<Option<Command>, DeviceError> {
        count(&self.world.tally.polls);
        let world = self.world.clone();
        let polled = self.timed(&world.tally.poll_times, async |device| device.poll(channel).await).await?;
        Ok(self.received(polled))
    }

    /// What becomes of a command: `None` when it leaves nobody to answer.
    async fn answer(&mut self, channel: ChannelNo, command: &Command) -> Result<Option<Answer>, DeviceError> {
        if !self.is_locked() && self.chance.happens(self.behaviour.locks) {
            self.locked_until = Some(Instant::now() + self.chance.around(self.behaviour.locked_for));
        }
        if self.is_locked() && self.can_defer(command.request_type()) {
            return Ok(Some(Answer::not_now()));
        }
        sleep(self.chance.around(self.behaviour.works_for)).await;
        if self.chance.happens(self.behaviour.errs) {
            return self.device.fail(channel, command).map(Some);
        }
        let answer = self.persist(async |device| device.execute(channel, command).await).await?;
        while let Some(errand) = self.device.errand_before_report() {
            self.run(errand).await?;
        }
        Ok(answer)
    }

    /// Sends a report until it is answered; true when a reply was lost on the way.
    async fn report(&mut self, unsent: &Unsent, hand: &mut VecDeque<Command>) -> Result<bool, DeviceError> {
        let world = self.world.clone();
        let lost = self.chance.happens(self.behaviour.loses_replies);
        if lost {
            let manner = [Manner::DropAfterSending, Manner::DropBeforeReading];
            self.device.once(*self.chance.pick(&manner));
        }
        let times = 1 + u32::from(self.chance.happens(self.behaviour.repeats));
        for time in 0..times {
            if time > 0 {
                count(&world.tally.duplicates);
            }
            let Unsent { channel, uuid, answer } = unsent;
            let attempt = async |device: &mut Device| device.report(*channel, uuid, answer).await;
            let next = self.timed(&world.tally.report_times, attempt).await?;
            hand.extend(self.received(next));
        }
        count(match unsent.answer.status {
            Status::Acknowledged => &world.tally.acknowledged,
            Status::NotNow => &world.tally.not_now,
            _ => &world.tally.errors,
        });
        Ok(lost)
    }

    async fn run(&mut self, errand: Errand) -> Result<(), DeviceError> {
        let done = self.check_in(async |device| device.run(errand).await).await;
        if done.is_err() {
            self.device.strike_off(errand);
        }
        done
    }

    /// After a session: a device that was switched off or erased, or that comes again by itself.
    async fn after_power(&mut self, channel: ChannelNo) -> Result<Vec<Due>, DeviceError> {
        match self.device.contents().power {
            Power::On => {
                if let Some(pin) = self.device.contents().screen_pin.clone() {
                    // Its user got the PIN from the people who locked it.
                    self.device.wire_mut().disconnect();
                    sleep(self.chance.around(self.behaviour.rests_for)).await;
                    self.device.enter_pin(&pin);
                    return Ok(vec![Due { channel, after: Duration::ZERO }]);
                }
            }
            Power::Off => {
                self.device.switch_pushes(false);
                self.stage = Stage::Ended;
                return Ok(Vec::new());
            }
            Power::Erased => {
                self.device.leave();
                self.late.clear();
                count(&self.world.tally.erased);
                self.stage = if self.behaviour.enrolls_again { Stage::New } else { Stage::Ended };
                return Ok(Vec::new());
            }
            Power::Restarting => {
                self.device.wire_mut().disconnect();
                sleep(self.chance.around(self.behaviour.rests_for)).await;
                self.device.power_on();
                return Ok(vec![Due { channel, after: Duration::ZERO }]);
            }
        }
        // Apple: it polls by itself only if NotNow was its last word.
        let deferred = self.device.last_status(channel)? == Some(&Status::NotNow);
        let after = self.locked_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        Ok(if deferred { vec![Due { channel, after }] } else { Vec::new() })
    }

    fn received(&self, command: Option<Command>) -> Option<Command> {
        if command.is_some() {
            count(&self.world.tally.commands);
        }
        command
    }

    fn is_locked(&self) -> bool {
        self.locked_until.is_some_and(|until| until > Instant::now())
    }

    fn can_defer(&self, request_type: &str) -> bool {
        let answered = !self.device.model.is_mac() && NEVER_DEFERRED_ON_PHONES.contains(&request_type);
        !answered && !NEVER_DEFERRED.contains(&request_type)
    }

    async fn check_in<T>(
        &mut self,
        attempt: impl AsyncFnMut(&mut Device) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let world = self.world.clone();
        self.timed(&world.tally.check_in_times, attempt).await
    }

    /// Does something until it is answered, and measures the attempts that were.
    async fn timed<T>(
        &mut self,
        times: &Histogram,
        mut attempt: impl AsyncFnMut(&mut Device) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        self.persist(async |device| {
            let began = Instant::now();
            let result = attempt(device).await;
            if result.is_ok() {
                times.record(began.elapsed());
            }
            result
        })
        .await
    }

    /// Tries until it works, or until trying does not help.
    async fn persist<T>(
        &mut self,
        mut attempt: impl AsyncFnMut(&mut Device) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let tally = &self.world.tally;
        let mut wait = self.behaviour.rests_for;
        loop {
            let error = match attempt(&mut self.device).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let counter: Option<&AtomicU64> = match &error {
                DeviceError::Wire(WireError::ReplyLost) => Some(&tally.lost_replies),
                DeviceError::Busy { .. } => Some(&tally.busy),
                _ => None,
            };
            counter.into_iter().for_each(count);
            let Some(asked) = error.is_passing() else {
                count(&tally.refused);
                return Err(error);
            };
            count(&tally.retries);
            sleep(asked.unwrap_or_else(|| self.chance.around(wait)).min(self.behaviour.rests_at_most)).await;
            wait = (wait * 2).min(self.behaviour.rests_at_most);
        }
    }
}
