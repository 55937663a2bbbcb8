//! The DEP syncer: what Apple's device assignment service knows of the organization's devices becomes expected hosts, and each
//! device is assigned the Setup Assistant profile of its host's team.
//!
//! Each server token has a child that plays rounds (`round`), one after the other, on the I/O runtime; the actor begins them,
//! sees them end, and leaves a token alone that Apple wants left alone. Admins manage tokens through it ([`admin`]).
//!
//! Never here: what a device does once it knows where to go, and any state of a sync that is not in rows.

pub mod admin;
mod notice;
mod round;
mod service;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::abm_token::{self, GOOD, REJECTED, Standing, TERMS_EXPIRED};
use entities::{Reader, Writer};
use protocol::apple::dep::answers::Refusal;
use protocol::apple::dep::profile::Additions;
use protocol::apple::dep::token::ServerToken;
use protocol::pki::Certificate;
use tokio::runtime::Handle as Io;

use crate::ask::Handle;
use crate::authority::AuthorityConfig;
use crate::clock::Clock;
use crate::mailer::{self, MailConfig, Mailer};
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use round::{Round, RoundError};
use service::{CallError, Service};

/// Where new devices come for their enrollment profile, at this server.
pub const ENROLL_PATH: &str = "/api/mdm/apple/enroll";
/// Where they come first when their people have to sign in.
pub const SIGN_IN_PATH: &str = "/mdm/sso";

/// How long a token rests that Apple does not take, or whose terms are not signed.
const REFUSED_RESTS: Duration = Duration::from_secs(10 * 60);
/// The first rest after a failure; it doubles each time.
const FIRST_REST: Duration = Duration::from_secs(15);
/// The longest rest after a failure.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);

/// How Apple's service is reached, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepConfig {
    /// The service's address.
    pub url: String,
    /// A root certificate (PEM) to trust beside the system's, for a simulated service.
    pub root_certificate: Option<String>,
    /// The time between two rounds of a token.
    pub sync_every: Duration,
}

impl Default for DepConfig {
    fn default() -> Self {
        let url = protocol::apple::dep::SERVICE_URL.to_owned();
        Self { url, root_certificate: None, sync_every: Duration::from_secs(60) }
    }
}

/// The actor.
pub struct DepSyncer {
    guard: Guard,
    desk: Arc<Desk>,
    children: HashMap<i64, Child>,
    /// Tokens that are being deleted.
    leaving: HashSet<i64>,
}

/// What one token's rounds have in common.
#[derive(Default)]
struct Child {
    /// Present while a round is played.
    round: Option<tokio::task::AbortHandle>,
    /// A round was asked for while another one was played.
    again: bool,
    /// The service, and the moment at which its token was uploaded.
    service: Option<(i64, Arc<Service>)>,
    /// Rounds that failed since one came to its end.
    failures: u32,
}

/// What a round needs.
struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    io: Io,
    config: Arc<DepConfig>,
    enroll_url: String,
    sign_in_url: String,
    anchors: Vec<Certificate>,
    mail: Arc<MailConfig>,
    mailer: Handle<Mailer>,
    people_url: String,
}

/// Begins a round of every token now rather than at the next tick.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Look;

/// What became of a round.
struct Ended {
    token_id: i64,
    outcome: Result<(), RoundError>,
}

impl Desk {
    fn new(parts: &Parts) -> Self {
        let AuthorityConfig { server_url, roots, .. } = &*parts.config.authority;
        Self {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            config: parts.config.dep.clone(),
            enroll_url: format!("{server_url}{ENROLL_PATH}"),
            sign_in_url: format!("{server_url}{SIGN_IN_PATH}"),
            anchors: roots.iter().filter_map(|root| Certificate::parse(root).ok()).collect(),
            mail: parts.config.mail.clone(),
            mailer: parts.mailer.clone(),
            people_url: server_url.clone(),
        }
    }

    /// What the server adds to the profile of a team whose people sign in first, or do not.
    fn additions(&self, signs_in: bool) -> Additions<'_> {
        let configuration_web_url = signs_in.then_some(self.sign_in_url.as_str());
        Additions { url: &self.enroll_url, configuration_web_url, anchor_certs: &self.anchors, ..Additions::default() }
    }

    fn service(&self, token: &abm_token::Model) -> Result<Service, RoundError> {
        let json = token.open(self.reader.vault())?;
        let token = ServerToken::from_json(&json).map_err(|error| CallError::Broken(error.to_string()))?;
        Ok(Service::new(&self.config, self.clock.clone(), token)?)
    }

    /// Notes what a failed round means for its token.
    async fn conclude(
        &self,
        (token_id, uploaded_at): (i64, i64),
        error: &CallError,
        failures: u32,
    ) -> Result<(), entities::StoreError> {
        let backed_off = FIRST_REST.saturating_mul(1 << failures.min(10)).min(LONGEST_REST);
        let (standing, rest) = match error {
            CallError::Refused(Refusal::TermsNotSigned) => (TERMS_EXPIRED, REFUSED_RESTS),
            CallError::Refused(Refusal::TokenRejected(_) | Refusal::SessionEnded) => (REJECTED, REFUSED_RESTS),
            CallError::Refused(Refusal::Throttled(after) | Refusal::Unavailable { retry_after: after, .. }) => {
                (GOOD, after.unwrap_or(backed_off))
            }
            CallError::Refused(_) | CallError::Broken(_) => (GOOD, backed_off),
        };
        // What is said of a token that was renewed meanwhile does not concern the new one.
        let token = abm_token::by_id(&self.reader, token_id).await?.filter(|token| token.updated_at == uploaded_at);
        let Some(token) = token else { return Ok(()) };
        tracing::warn!(abm_token.id = token_id, "devices cannot be synced now: {error}");
        let now = self.clock.now();
        let letters = match standing {
            // A service that is away says nothing of the token.
            GOOD => Vec::new(),
            _ => self.letters(&notice::refused(&token, standing, &self.people_url)).await?,
        };
        let standing = if standing == GOOD { token.standing } else { standing };
        let (fault, rests_until) = (error.to_string(), Some(now.plus(rest).millis()));
        let standing = Standing { standing, fault, rests_until, letters, at: now.millis() };
        abm_token::stand(&self.writer, token_id, standing).await?;
        self.mailer.tell(mailer::Look);
        Ok(())
    }
}

impl DepSyncer {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Arc::new(Desk::new(parts));
        let address = Self { guard, desk, children: HashMap::new(), leaving: HashSet::new() }.start();
        parts.dep.publish(address.clone(), gauge);
        address.recipient()
    }

    /// Begins the rounds that are due. Somebody who `asks` for them gets another one where one is played.
    fn look(&mut self, asks: bool, context: &mut Context<Self>) {
        crate::fault::point("dep.look");
        self.guard.gauge().turn(self.desk.clock.now());
        let desk = self.desk.clone();
        let looking = async move {
            let tokens = abm_token::list(&desk.reader).await?;
            desk.warn(&tokens).await?;
            Ok::<_, entities::StoreError>(tokens)
        };
        context.spawn(looking.into_actor(self).map(move |looked, syncer, context| match looked {
            Ok(tokens) => {
                syncer.children.retain(|id, child| child.round.is_some() || tokens.iter().any(|token| token.id == *id));
                tokens.iter().for_each(|token| syncer.begin(token, asks, context));
            }
            Err(error) => tracing::warn!("server tokens cannot be looked at: {error}"),
        }));
    }

    /// Begins a round of a token, unless one is played or the token rests.
    fn begin(&mut self, token: &abm_token::Model, asks: bool, context: &mut Context<Self>) {
        if self.leaving.contains(&token.id) {
            return;
        }
        let child = self.children.entry(token.id).or_default();
        if child.round.is_some() {
            child.again |= asks;
            return;
        }
        child.again = false;
        if token.rests_until.is_some_and(|until| until > self.desk.clock.now().millis()) {
            return;
        }
        let service = match &child.service {
            Some((uploaded_at, service)) if *uploaded_at == token.updated_at => service.clone(),
            _ => match self.desk.service(token) {
                Ok(service) => Arc::new(service),
                Err(error) => return tracing::error!(abm_token.id = token.id, "this server token: {error}"),
            },
        };
        child.service = Some((token.updated_at, service.clone()));
        let (desk, token_id, uploaded_at, failures) = (self.desk.clone(), token.id, token.updated_at, child.failures);
        let playing = self.desk.io.spawn(async move {
            let outcome = Round { desk: &desk, service: &service, token_id }.play().await;
            if let Err(RoundError::Call(error)) = &outcome {
                desk.conclude((token_id, uploaded_at), error, failures).await?;
            }
            outcome
        });
        child.round = Some(playing.abort_handle());
        context.spawn(playing.into_actor(self).map(move |ended, syncer, context| {
            let outcome = match ended {
                Ok(outcome) => outcome,
                Err(gone) if gone.is_cancelled() => Err(RoundError::Elsewhere),
                Err(gone) => Err(CallError::Broken(format!("a round broke: {gone}")).into()),
            };
            syncer.ended(Ended { token_id, outcome }, context);
        }));
    }

    fn ended(&mut self, ended: Ended, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(&ended.token_id) else { return };
        child.round = None;
        match ended.outcome {
            Ok(()) => child.failures = 0,
            Err(RoundError::Elsewhere) => {}
            Err(RoundError::Call(_)) => child.failures = child.failures.saturating_add(1),
            Err(RoundError::Store(error)) => {
                tracing::warn!(abm_token.id = ended.token_id, "devices cannot be synced now: {error}");
            }
        }
        if std::mem::take(&mut child.again) {
            context.notify(Look);
        }
    }
}

impl Actor for DepSyncer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(self.desk.config.sync_every, |syncer, context| syncer.look(false, context));
        context.notify(Look);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // A successor begins rounds of its own.
        self.children.values().filter_map(|child| child.round.as_ref()).for_each(tokio::task::AbortHandle::abort);
    }
}

singleton!(DepSyncer);

impl Handler<Look> for DepSyncer {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        self.look(true, context);
    }
}
