//! The life of one PC, told as plain asynchronous functions: it enrolls, and works sessions off with all that goes wrong on
//! the way. A message that got no answer is sent again; an answer that was lost ends its session, and another one begins.
//!
//! Start with [`Life::step`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::sim::behaviour::Behaviour;
use crate::sim::fleet::World;
use crate::sim::random::Chance;
use crate::sim::report::{Histogram, count};
use crate::sim::windows::device::{Fate, Pc, PcError, Token, Turn};
use crate::sim::wire::{Manner, WireError};

/// A PC with its character, and what it shares with the others.
#[derive(Debug)]
pub(super) struct Life {
    pc: Pc,
    token: Token,
    behaviour: Behaviour,
    world: Arc<World>,
    stage: Stage,
    chance: Chance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Enrolled,
    /// Refused, wiped, or gone by itself.
    Ended,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    Answered(Turn),
    /// Its answer was lost, and the session with it.
    Lost,
}

impl Life {
    pub(super) fn new(pc: Pc, token: Token, behaviour: Behaviour, world: Arc<World>, seed: u64) -> Self {
        Self { pc, token, behaviour, world, stage: Stage::New, chance: Chance::new(seed, 4) }
    }

    /// Enrolls, or works a session off. Says when the PC does something again; a PC that has gone never does.
    pub(super) async fn step(&mut self) -> Option<Duration> {
        match self.stage {
            Stage::New => self.enroll().await,
            Stage::Enrolled => self.session().await,
            Stage::Ended => return None,
        }
        (self.stage == Stage::Enrolled).then(|| self.rest())
    }

    async fn enroll(&mut self) {
        let world = self.world.clone();
        let Ok(_turn) = world.ramp.acquire().await else { return };
        let began = Instant::now();
        let token = self.token.clone();
        match self.persist(async |pc| pc.enroll(&world.enroll_url, &token).await).await {
            Ok(()) => {
                world.tally.enroll_times.record(began.elapsed());
                count(&world.tally.enrolled);
                self.stage = Stage::Enrolled;
            }
            Err(error) => {
                tracing::warn!(device.serial = self.pc.model.serial_number, "cannot enroll: {error}");
                count(&world.tally.failed);
                self.stage = Stage::Ended;
            }
        }
    }

    /// When the next session begins.
    fn rest(&mut self) -> Duration {
        if self.pc.fate() != Fate::Stays {
            return Duration::from_millis(1);
        }
        let poll = self.pc.enrollment().map(|enrollment| enrollment.provisioned.poll).unwrap_or_default();
        self.chance.around(self.world.minute * poll.wait(self.pc.sessions()))
    }

    async fn session(&mut self) {
        if let Err(error) = self.try_session().await {
            // The PC's log has it as a finding; a real one comes again at its next time, too.
            tracing::debug!(device.serial = self.pc.model.serial_number, "a session failed: {error}");
        }
        match self.pc.fate() {
            Fate::Reboots => {
                sleep(self.chance.around(self.behaviour.rests_for)).await;
                self.pc.boots();
            }
            Fate::Gone => {
                count(&self.world.tally.erased);
                self.stage = Stage::Ended;
            }
            Fate::Stays | Fate::Wiped | Fate::Leaves => {}
        }
    }

    async fn try_session(&mut self) -> Result<(), PcError> {
        if self.pc.renewal_is_due() {
            let url = self.world.enroll_url.clone();
            self.persist(async |pc| pc.renew(&url).await).await?;
        }
        let mut is_first = true;
        self.pc.begin()?;
        count(&self.world.tally.polls);
        loop {
            let world = self.world.clone();
            let times = if is_first { &world.tally.poll_times } else { &world.tally.report_times };
            match self.exchange(times).await? {
                Exchange::Answered(Turn::Ends) => return Ok(()),
                Exchange::Answered(Turn::GoesOn) => is_first = false,
                Exchange::Lost => {
                    // The commands of the lost answer come again in another session.
                    sleep(self.chance.around(self.behaviour.rests_for)).await;
                    self.pc.begin()?;
                    is_first = true;
                    continue;
                }
            }
            let (good, bad) = self.pc.about_to_say();
            count_many(&world.tally.commands, good + bad);
            count_many(&world.tally.acknowledged, good);
            count_many(&world.tally.errors, bad);
            sleep(self.chance.around(self.behaviour.works_for)).await;
        }
    }

    /// Sends one message until it is answered.
    async fn exchange(&mut self, times: &Histogram) -> Result<Exchange, PcError> {
        if self.chance.happens(self.behaviour.loses_replies) {
            if self.chance.happens(0.5) {
                self.persist(async |pc| pc.turn_and_lose().await).await?;
                count(&self.world.tally.lost_replies);
                return Ok(Exchange::Lost);
            }
            self.pc.once(Manner::DropAfterSending);
        } else if self.chance.happens(self.behaviour.repeats) {
            // The answer is lost, the session is not: the same message comes once more.
            self.persist(async |pc| pc.hear_and_forget().await).await?;
            count(&self.world.tally.duplicates);
        }
        let turn = self.persist(async |pc| {
            let began = Instant::now();
            let turn = pc.turn().await;
            if turn.is_ok() {
                times.record(began.elapsed());
            }
            turn
        });
        turn.await.map(Exchange::Answered)
    }

    /// Tries until it works, or until trying does not help.
    async fn persist<T>(&mut self, mut attempt: impl AsyncFnMut(&mut Pc) -> Result<T, PcError>) -> Result<T, PcError> {
        let mut wait = self.behaviour.rests_for;
        loop {
            let error = match attempt(&mut self.pc).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let tally = &self.world.tally;
            match &error {
                PcError::Wire(WireError::ReplyLost) => count(&tally.lost_replies),
                PcError::Busy { .. } => count(&tally.busy),
                _ => {}
            }
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

fn count_many(counter: &std::sync::atomic::AtomicU64, many: u64) {
    counter.fetch_add(many, std::sync::atomic::Ordering::Relaxed);
}
