//! What admins do with profiles and secrets. Each change is one transaction; then what follows from it is marked, before the
//! admin is answered: whoever looks next sees what is pending.

use std::time::Duration;

use actix::prelude::*;
use entities::StoreError;
use entities::desired::{self, Applied, Desired, Refused};
use entities::profile::Model;
use entities::profile::change::{self, By, Draft, Resent, Saved};
use entities::profile::rollout::{self, Rollout};
use entities::profile::set::{self, Plan};
use entities::secret_variable::{self, Deleted, Secret};
use entities::team_setting::{self, Change};
use protocol::ids::HostId;
use tokio::time::timeout;

use super::{Look, ProfileManager};
use crate::ask::{Answer, Refusal};

/// How long an admin waits until what follows is marked; it goes on without them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stores a new profile.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Saved>")]
pub struct Upload {
    /// The profile, checked.
    pub draft: Draft,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a profile.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Model>")]
pub struct Delete {
    /// Which one.
    pub uuid: String,
    /// Who wants it.
    pub asked_by: String,
}

/// Replaces all profiles of a team, or says what that would change.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Result<Plan, Saved>>")]
pub struct ReplaceSet {
    /// The team; 0 for hosts that are in none.
    pub team_id: i64,
    /// What it has from now on, checked.
    pub drafts: Vec<Draft>,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Who wants it.
    pub asked_by: String,
}

/// Makes the server have a whole set of files, or says what that would change.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Result<Applied, Refused>>")]
pub struct ApplyFiles {
    /// What it is to have, checked.
    pub desired: Desired,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Who wants it.
    pub asked_by: String,
}

/// Widens, narrows, stops or resumes a roll-out.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Model>")]
pub struct RollOut {
    /// Which profile.
    pub uuid: String,
    /// How far.
    pub rollout: Rollout,
    /// Who wants it.
    pub asked_by: String,
}

/// Sends a profile to a host again.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Resent>")]
pub struct Resend {
    /// The host.
    pub host: HostId,
    /// Which profile.
    pub uuid: String,
    /// Who wants it.
    pub asked_by: String,
}

/// Sends a profile again to all hosts on which it failed; the answer is how many.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<u64>")]
pub struct ResendFailed {
    /// Which profile.
    pub uuid: String,
    /// Who wants it.
    pub asked_by: String,
}

/// Sets secrets; the answer is how many values changed.
#[derive(Clone, Message)]
#[rtype(result = "Answer<u64>")]
pub struct SetSecrets {
    /// The secrets.
    pub secrets: Vec<Secret>,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a secret.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Deleted>")]
pub struct DeleteSecret {
    /// Which one.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Changes what is set for a team, or for hosts of none, where profiles of the server's own follow from it.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Result<(), Saved>>")]
pub struct SaveSettings {
    /// The team; 0 for hosts that are in none.
    pub team_id: i64,
    /// What is to be something else.
    pub changes: Vec<Change>,
    /// Who wants it.
    pub asked_by: String,
}

impl ProfileManager {
    /// Makes a change, marks what follows, and lets the delivery begin.
    pub(super) fn change<T: 'static>(
        &mut self,
        asked_by: String,
        change: impl AsyncFnOnce(entities::Writer, By) -> Result<T, StoreError> + 'static,
    ) -> ResponseActFuture<Self, Answer<T>> {
        crate::fault::point("profiles.change");
        let now = self.desk.clock.now();
        self.guard.gauge().turn(now);
        let (desk, by) = (self.desk.clone(), By { name: asked_by, at: now.millis() });
        let changing = async move {
            let changed = change(desk.writer.clone(), by).await?;
            if let Ok(Err(error)) = timeout(PATIENCE, desk.mark()).await {
                tracing::warn!("what follows from a change of profiles is marked later: {error}");
            }
            Ok::<T, Refusal>(changed)
        };
        Box::pin(changing.into_actor(self).map(|changed, _, context| {
            context.notify(Look);
            changed
        }))
    }
}

impl Handler<Upload> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Saved>>;

    fn handle(&mut self, upload: Upload, _: &mut Self::Context) -> Self::Result {
        self.change(upload.asked_by, async move |writer, by| change::create(&writer, upload.draft, by).await)
    }
}

impl Handler<Delete> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Model>>;

    fn handle(&mut self, delete: Delete, _: &mut Self::Context) -> Self::Result {
        let deleted =
            self.change(delete.asked_by, async move |writer, by| change::delete(&writer, delete.uuid, by).await);
        found(deleted)
    }
}

impl Handler<ReplaceSet> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Result<Plan, Saved>>>;

    fn handle(&mut self, wish: ReplaceSet, _: &mut Self::Context) -> Self::Result {
        self.change(wish.asked_by, async move |writer, by| {
            set::replace(&writer, wish.team_id, wish.drafts, wish.dry_run, by).await
        })
    }
}

impl Handler<ApplyFiles> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Result<Applied, Refused>>>;

    fn handle(&mut self, wish: ApplyFiles, _: &mut Self::Context) -> Self::Result {
        self.change(wish.asked_by, async move |writer, by| {
            desired::apply(&writer, wish.desired, wish.dry_run, by).await
        })
    }
}

impl Handler<SaveSettings> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Result<(), Saved>>>;

    fn handle(&mut self, wish: SaveSettings, _: &mut Self::Context) -> Self::Result {
        self.change(wish.asked_by, async move |writer, by| {
            team_setting::save(&writer, wish.team_id, wish.changes, by).await
        })
    }
}

impl Handler<RollOut> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Model>>;

    fn handle(&mut self, wish: RollOut, _: &mut Self::Context) -> Self::Result {
        found(self.change(wish.asked_by, async move |writer, by| {
            rollout::roll_out(&writer, wish.uuid, wish.rollout, by).await
        }))
    }
}

impl Handler<Resend> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Resent>>;

    fn handle(&mut self, wish: Resend, _: &mut Self::Context) -> Self::Result {
        self.change(wish.asked_by, async move |writer, by| change::resend(&writer, wish.host.0, wish.uuid, by).await)
    }
}

impl Handler<ResendFailed> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<u64>>;

    fn handle(&mut self, wish: ResendFailed, _: &mut Self::Context) -> Self::Result {
        found(self.change(wish.asked_by, async move |writer, by| change::resend_failed(&writer, wish.uuid, by).await))
    }
}

impl Handler<SetSecrets> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<u64>>;

    fn handle(&mut self, wish: SetSecrets, _: &mut Self::Context) -> Self::Result {
        self.change(wish.asked_by, async move |writer, by| secret_variable::set(&writer, wish.secrets, by).await)
    }
}

impl Handler<DeleteSecret> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<Deleted>>;

    fn handle(&mut self, wish: DeleteSecret, _: &mut Self::Context) -> Self::Result {
        self.change(wish.asked_by, async move |writer, by| {
            secret_variable::delete(&writer, wish.id, by.name, by.at).await
        })
    }
}

/// What is not there is refused.
fn found<T: 'static>(
    answer: ResponseActFuture<ProfileManager, Answer<Option<T>>>,
) -> ResponseActFuture<ProfileManager, Answer<T>> {
    Box::pin(answer.map(|answer, _, _| answer?.ok_or(Refusal::NotFound("profile"))))
}
