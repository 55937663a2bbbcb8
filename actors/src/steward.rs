//! Keeps what admins order hosts by: teams, labels, and which hosts are in them or are there at all. Each change is one transaction;
//! hosts that are at work are told afterwards.

use std::future::Future;
use std::time::Duration;

use actix::prelude::*;
use entities::host_removal::{self, Removal};
use entities::label::change::{Changed, Save};
use entities::movers::{Movers, Step};
use entities::team::{self, Naming};
use entities::{Writer, label};
use protocol::ids::HostId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Hosts;
use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::host::deleted::Deleted;
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How long somebody waits who wants many hosts changed; what is left goes on without them.
const PATIENCE: Duration = Duration::from_secs(5);

/// The actor.
pub struct Steward {
    guard: Guard,
    writer: Writer,
    clock: Clock,
    hosts: Hosts,
}

/// Makes a team, or calls one something else.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<team::Model>")]
pub struct SaveTeam {
    /// Which one; `None` for a new one.
    pub id: Option<i64>,
    /// What it is called.
    pub naming: Naming,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a team; its hosts are in none then.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<team::Model>")]
pub struct DeleteTeam {
    /// Which one.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Makes a label, or changes one.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<label::Model>")]
pub struct SaveLabel {
    /// What it is to be.
    pub save: Save,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a label.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<label::Model>")]
pub struct DeleteLabel {
    /// Which one.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Gives a host manual labels, or takes them away.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct LabelHost {
    /// The host.
    pub host: HostId,
    /// The names of the labels.
    pub names: Vec<String>,
    /// Whether they are given.
    pub give: bool,
    /// Who wants it.
    pub asked_by: String,
}

/// How far a change of many hosts has come. It is made in steps, each whole in itself; whoever asks for it again after a server
/// stopped in the midst of it changes what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// It is done, for so many hosts.
    Done(usize),
    /// It takes long, and goes on.
    GoesOn,
}

/// Moves hosts to a team, or to none; those that are there already are left out.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Walked>")]
pub struct Transfer {
    /// Where to.
    pub team_id: Option<i64>,
    /// Which hosts.
    pub movers: Movers,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes hosts.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Walked>")]
pub struct DeleteHosts {
    /// Which hosts.
    pub whom: Movers,
    /// Who wants it.
    pub asked_by: String,
}

impl Steward {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let (writer, clock, hosts) = (parts.writer.clone(), parts.clock.clone(), parts.hosts.clone());
        let address = Self { guard, writer, clock, hosts }.start();
        parts.steward.publish(address.clone(), gauge);
        address.recipient()
    }

    /// The moment of a turn.
    fn turn(&mut self) -> i64 {
        crate::fault::point("steward.turn");
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        now.millis()
    }
}

impl Actor for Steward {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

singleton!(Steward);

impl Handler<SaveTeam> for Steward {
    type Result = ResponseActFuture<Self, Answer<team::Model>>;

    fn handle(&mut self, save: SaveTeam, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let saving = async move {
            let SaveTeam { id, naming, asked_by } = save;
            let saved = match id {
                None => team::create(&writer, naming, asked_by, now).await.map(Some),
                Some(id) => team::rename(&writer, id, naming, asked_by, now).await,
            };
            saved.map_err(one_name_each)?.ok_or(Refusal::NotFound("team"))
        };
        Box::pin(saving.into_actor(self))
    }
}

impl Handler<DeleteTeam> for Steward {
    type Result = ResponseActFuture<Self, Answer<team::Model>>;

    fn handle(&mut self, delete: DeleteTeam, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let deleting = async move {
            team::delete(&writer, delete.id, delete.asked_by, now).await?.ok_or(Refusal::NotFound("team"))
        };
        Box::pin(deleting.into_actor(self))
    }
}

impl Handler<Transfer> for Steward {
    type Result = ResponseActFuture<Self, Answer<Walked>>;

    fn handle(&mut self, transfer: Transfer, context: &mut Self::Context) -> Self::Result {
        let (writer, at) = (self.writer.clone(), self.turn());
        let Transfer { team_id, movers, asked_by: by } = transfer;
        let transfer = team::Transfer { team_id, movers, by, at };
        let walking = walk(move |after| {
            let (writer, transfer) = (writer.clone(), transfer.clone());
            async move { team::transfer_some(&writer, transfer, after).await?.ok_or(Refusal::NotFound("team")) }
        });
        self.wait_for(walking, context)
    }
}

impl Handler<DeleteHosts> for Steward {
    type Result = ResponseActFuture<Self, Answer<Walked>>;

    fn handle(&mut self, delete: DeleteHosts, context: &mut Self::Context) -> Self::Result {
        let (writer, hosts, at) = (self.writer.clone(), self.hosts.clone(), self.turn());
        let removal = Removal { whom: delete.whom, by: delete.asked_by, at };
        let walking = walk(move |after| {
            let (writer, hosts, removal) = (writer.clone(), hosts.clone(), removal.clone());
            async move {
                let step = host_removal::delete_some(&writer, removal, after).await?;
                for host in &step.hosts {
                    hosts.insist(HostId(*host), Deleted);
                }
                Ok(step)
            }
        });
        self.wait_for(walking, context)
    }
}

impl Steward {
    /// Lets a walk go on whether or not anybody waits for its end.
    fn wait_for(
        &mut self,
        walking: impl Future<Output = Answer<usize>> + 'static,
        context: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Answer<Walked>> {
        let (done, outcome) = oneshot::channel();
        context.spawn(walking.into_actor(self).map(|walked, _, _| match done.send(walked) {
            Ok(()) => {}
            Err(Ok(hosts)) => tracing::info!(hosts, "a change of many hosts is done"),
            Err(Err(error)) => tracing::error!("a change of many hosts has stopped; ask for it again: {error}"),
        }));
        let waiting = async move {
            match timeout(PATIENCE, outcome).await {
                Ok(Ok(walked)) => walked.map(Walked::Done),
                Ok(Err(_)) => Err(Refusal::soon("the steward stopped")),
                Err(_) => Ok(Walked::GoesOn),
            }
        };
        Box::pin(waiting.into_actor(self))
    }
}

/// Takes steps until there is nothing left. Returns for how many hosts.
async fn walk<F: Future<Output = Answer<Step>>>(step: impl Fn(i64) -> F) -> Answer<usize> {
    let (mut hosts, mut next) = (0, Some(i64::MIN));
    while let Some(after) = next {
        let taken = step(after).await?;
        (hosts, next) = (hosts + taken.hosts.len(), taken.next);
    }
    Ok(hosts)
}

impl Handler<SaveLabel> for Steward {
    type Result = ResponseActFuture<Self, Answer<label::Model>>;

    fn handle(&mut self, save: SaveLabel, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let saving = async move {
            let saved = label::change::save(&writer, save.save, save.asked_by, now).await;
            done(saved.map_err(one_name_each)?)
        };
        Box::pin(saving.into_actor(self))
    }
}

impl Handler<DeleteLabel> for Steward {
    type Result = ResponseActFuture<Self, Answer<label::Model>>;

    fn handle(&mut self, delete: DeleteLabel, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let deleting = async move { done(label::change::delete(&writer, delete.id, delete.asked_by, now).await?) };
        Box::pin(deleting.into_actor(self))
    }
}

impl Handler<LabelHost> for Steward {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, wish: LabelHost, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let labelling = async move {
            let LabelHost { host, names, give, asked_by } = wish;
            match label::change::label_host(&writer, host.0, names, give, asked_by, now).await?.as_slice() {
                [] => Ok(()),
                unknown => Err(Refusal::Invalid(format!("there are no manual labels called {}", unknown.join(", ")))),
            }
        };
        Box::pin(labelling.into_actor(self))
    }
}

/// The only thing that two teams, or two labels, cannot share.
fn one_name_each(error: entities::StoreError) -> Refusal {
    match error {
        entities::StoreError::Conflict(_) => Refusal::Conflict("this name is taken: choose another one".into()),
        other => other.into(),
    }
}

fn done(changed: Changed) -> Answer<label::Model> {
    match changed {
        Changed::Done(label) => Ok(label),
        Changed::NotFound => Err(Refusal::NotFound("label")),
        Changed::BuiltIn => Err(Refusal::Invalid("built-in labels stay as they are".into())),
        Changed::OtherKind => {
            Err(Refusal::Invalid("a label with a rule has no hosts of its own, and one without gets no rule".into()))
        }
    }
}
