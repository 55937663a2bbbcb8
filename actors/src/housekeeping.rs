//! Forgets what nobody needs any more, in the background: answers kept for repeated requests, used challenges and tokens, sessions and invitations that have ended, reports that
//! belonged to no command, events that everyone was told of. Also the one who lets undeliverable events die.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::{
    Reader, StoreError, Writer, activity, idempotency, orphan_result, scep, session, webhook_backlog, webhook_event,
    windows_token,
};

use crate::clock::Clock;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use crate::webhooks::WebhooksConfig;

/// How often old rows are looked for.
const EVERY: Duration = Duration::from_secs(600);
/// How long a repeated admin request is recognised.
const ANSWERS: Duration = Duration::from_secs(86_400);
/// How long a challenge or a token that has ended, and an answered SCEP request, are remembered.
const CHALLENGES: Duration = Duration::from_secs(7 * 86_400);
/// How long reports without a command are kept.
const ORPHANS: Duration = Duration::from_secs(30 * 86_400);

/// Rest between two steps over many rows, so that devices never wait long for the writer.
const REST: Duration = Duration::from_millis(20);

/// The actor.
pub struct Housekeeping {
    guard: Guard,
    desk: Desk,
    is_busy: bool,
}

/// What a round of tidying needs.
#[derive(Clone)]
struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    webhooks: Arc<WebhooksConfig>,
    /// How long activities are kept; zero: for ever.
    keep_activities: Duration,
}

/// What a round of tidying did.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tidied {
    answers: u64,
    challenges: u64,
    tokens: u64,
    sessions: u64,
    orphans: u64,
    events: u64,
    died: u64,
    activities: u64,
}

impl Housekeeping {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let desk = Desk {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            webhooks: parts.config.webhooks.clone(),
            keep_activities: parts.config.keep_activities,
        };
        Self { guard, desk, is_busy: false }.start().recipient()
    }

    fn tidy(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_busy, true) {
            return;
        }
        self.guard.gauge().turn(self.desk.clock.now());
        let desk = self.desk.clone();
        let tidying = async move { desk.tidy().await };
        context.spawn(tidying.into_actor(self).map(|tidied, housekeeping, _| {
            housekeeping.is_busy = false;
            match tidied {
                Ok(tidied) if tidied == Tidied::default() => {}
                Ok(tidied) => tracing::info!("forgot old rows: {tidied:?}"),
                Err(error) => tracing::warn!("old rows cannot be forgotten: {error}"),
            }
        }));
    }
}

impl Desk {
    async fn tidy(&self) -> Result<Tidied, StoreError> {
        let (writer, now) = (&self.writer, self.clock.now());
        let mut tidied = Tidied {
            answers: idempotency::forget_before(writer, now.minus(ANSWERS).millis()).await?,
            challenges: scep::forget_before(writer, now.minus(CHALLENGES).millis()).await?,
            tokens: windows_token::forget_before(writer, now.minus(CHALLENGES).millis()).await?,
            sessions: session::forget_ended(writer, now.millis()).await?,
            orphans: orphan_result::forget_before(writer, now.minus(ORPHANS).millis()).await?,
            ..Tidied::default()
        };
        self.tidy_events(&mut tidied).await?;
        self.tidy_activities(&mut tidied).await?;
        Ok(tidied)
    }

    async fn tidy_activities(&self, tidied: &mut Tidied) -> Result<(), StoreError> {
        while !self.keep_activities.is_zero() {
            let moment = self.clock.now().minus(self.keep_activities).millis();
            let gone = activity::forget_before(&self.writer, moment).await?;
            if gone == 0 {
                break;
            }
            tidied.activities += gone;
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    /// There may be many: in steps.
    async fn tidy_events(&self, tidied: &mut Tidied) -> Result<(), StoreError> {
        let (reader, writer) = (&self.reader, &self.writer);
        while webhook_backlog::forget_gone(reader, writer).await? > 0 {
            tokio::time::sleep(REST).await;
        }
        loop {
            let now = self.clock.now();
            let (die, forget) = (now.minus(self.webhooks.max_age), now.minus(self.webhooks.keep_dead));
            let (died, gone) = webhook_backlog::age(writer, die.millis(), forget.millis(), now.millis()).await?;
            tidied.died += died;
            if died + gone == 0 {
                break;
            }
            tokio::time::sleep(REST).await;
        }
        let mut from = Some(String::new());
        while let Some(after) = from {
            let (gone, reached) = webhook_event::tidy(reader, writer, after).await?;
            (tidied.events, from) = (tidied.events + gone, reached);
            tokio::time::sleep(REST).await;
        }
        Ok(())
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
