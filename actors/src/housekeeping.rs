//! Forgets what nobody needs any more, in the background: answers kept for repeated requests, used challenges, reports that
//! belonged to no command.

use std::time::Duration;

use actix::prelude::*;
use entities::{StoreError, Writer, idempotency, orphan_result, scep};

use crate::clock::Clock;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often old rows are looked for.
const EVERY: Duration = Duration::from_secs(600);
/// How long a repeated admin request is recognised.
const ANSWERS: Duration = Duration::from_secs(86_400);
/// How long a challenge that has ended, and an answered SCEP request, are remembered.
const CHALLENGES: Duration = Duration::from_secs(7 * 86_400);
/// How long reports without a command are kept.
const ORPHANS: Duration = Duration::from_secs(30 * 86_400);

/// The actor.
pub struct Housekeeping {
    guard: Guard,
    writer: Writer,
    clock: Clock,
}

impl Housekeeping {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        Self { guard, writer: parts.writer.clone(), clock: parts.clock.clone() }.start().recipient()
    }

    fn tidy(&mut self, context: &mut Context<Self>) {
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        let writer = self.writer.clone();
        let tidying = async move {
            let answers = idempotency::forget_before(&writer, now.minus(ANSWERS).millis()).await?;
            let challenges = scep::forget_before(&writer, now.minus(CHALLENGES).millis()).await?;
            let orphans = orphan_result::forget_before(&writer, now.minus(ORPHANS).millis()).await?;
            Ok::<_, StoreError>((answers, challenges, orphans))
        };
        context.spawn(tidying.into_actor(self).map(|tidied, _, _| match tidied {
            Ok((0, 0, 0)) => {}
            Ok((answers, challenges, orphans)) => tracing::info!(answers, challenges, orphans, "forgot old rows"),
            Err(error) => tracing::warn!("old rows cannot be forgotten: {error}"),
        }));
    }
}

impl Actor for Housekeeping {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(EVERY, Self::tidy);
    }
}

impl Handler<Stop> for Housekeeping {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}
