//! A Windows device enrolls: its token is used up, its host is found or made, and its enrollment begins, in one transaction.
//!
//! Which host it is never follows from what the device says of itself. A token that names a host enrolls that host; somebody
//! of an identity provider who enrolled the same device before gets the same host; everybody else gets a new one.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition, ConnectionTrait, QueryOrder, QuerySelect};
use zeroize::Zeroizing;

use crate::agent;
use crate::audit::{self, Event};
use crate::enrollment_secret::{DM_CREDENTIALS, NewSecret};
use crate::host::{self, Description, OFF, ON_AUTOMATIC, ON_MANUAL, PENDING};
use crate::vault::Vault;
use crate::windows_enrollment::{self, DEVICE};
use crate::{
    Reader, StoreError, Transaction, Writer, enrollment, enrollment_secret, host_admission, host_lifecycle, identity,
    windows_host, windows_token,
};

/// Enrollments that are looked at because they claim to be the same device.
const MOST_CLAIMS: u64 = 100;
/// A device that has been silent for so long since it enrolled, in milliseconds, never got its certificate.
pub const UNHEARD: i64 = 600_000;

/// What entitles a device to enroll. Tokens and keys are hashed (SHA-256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Title {
    /// A token of this server.
    Token(Vec<u8>),
    /// The key of the agent on a host that may enroll itself.
    Agent(Vec<u8>),
    /// A token of an identity provider, which was verified.
    Directory {
        /// Its hash.
        hash: Vec<u8>,
        /// When it ends.
        expires_at: i64,
        /// The user.
        upn: String,
        /// The user, as one whom no other provider knows by this name.
        owner: String,
    },
}

/// A device that enrolls.
#[derive(Clone)]
pub struct Admission {
    /// What entitles it.
    pub title: Title,
    /// The name of its enrollment, which nobody else has.
    pub external_id: String,
    /// What it says of itself; `enrollment_id`, `upn` and `owner` follow from the title.
    pub said: windows_enrollment::Model,
    /// Its certificate, not bound yet.
    pub identity: identity::Model,
    /// See [`DM_CREDENTIALS`].
    pub credentials: Zeroizing<Vec<u8>>,
}

/// A device that enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its host.
    pub host_id: i64,
    /// Its user, where known.
    pub upn: Option<String>,
    /// Other hosts whose devices said to be the same one, and that were left alone.
    pub claimed: Vec<i64>,
}

/// What a title leads to.
#[derive(Default)]
struct Ticket {
    host_id: Option<i64>,
    team_id: Option<i64>,
    upn: Option<String>,
    owner: Option<String>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "admission of enrollment {}", self.external_id)
    }
}

/// Whether a title would be accepted now. It is judged again when it is used.
///
/// # Errors
/// The database does not answer.
pub async fn is_entitled(reader: &Reader, title: &Title, now: i64) -> Result<bool, StoreError> {
    match title {
        Title::Token(hash) => Ok(windows_token::usable(reader, hash.clone(), now).await?.is_some()),
        Title::Agent(key) => {
            let host = agent::host_of_key(reader, agent::Kind::Orbit, key.clone()).await?;
            match host {
                Some(host) => may_enroll_itself(reader, host, now).await,
                None => Ok(false),
            }
        }
        Title::Directory { hash, .. } => Ok(!windows_token::was_used(reader, hash.clone()).await?),
    }
}

/// Whether the agent on a host may enroll it: its management is off, or its device never got our answer.
async fn may_enroll_itself(reader: &Reader, host: host::Model, now: i64) -> Result<bool, StoreError> {
    if host.platform != "windows" || is_off(&host) || was_heard_lately(&host, now) {
        return Ok(host.platform == "windows" && is_off(&host));
    }
    reader.run(move |database| async move { never_spoke(&database, &host, now).await }).await
}

pub(crate) fn is_off(host: &host::Model) -> bool {
    matches!(host.mdm_status, OFF | PENDING)
}

fn was_heard_lately(host: &host::Model, now: i64) -> bool {
    host.mdm_seen_at.is_some_and(|seen| now.saturating_sub(seen) < UNHEARD)
}

/// Whether a device has been silent ever since it enrolled: the answer with its certificate was lost.
async fn never_spoke(database: &impl ConnectionTrait, host: &host::Model, now: i64) -> Result<bool, StoreError> {
    let since = silent_since(database, host).await?;
    Ok(since.is_some_and(|since| now.saturating_sub(since) >= UNHEARD))
}

/// When a host's device enrolled, if it has been silent ever since.
pub(crate) async fn silent_since(
    database: &impl ConnectionTrait,
    host: &host::Model,
) -> Result<Option<i64>, StoreError> {
    use enrollment::{Column, Entity};
    let live = Entity::find().filter(Column::HostId.eq(host.id)).filter(Column::Kind.eq(windows_host::KIND));
    let live = live.filter(Column::EndedAt.is_null()).order_by_desc(Column::Id).one(database).await?;
    let since = live.and_then(|live| live.enrolled_at);
    Ok(since.filter(|since| host.mdm_seen_at.is_none_or(|seen| seen < *since)))
}

/// Enrolls a device; `None` when its title is worth nothing any more.
///
/// # Errors
/// See [`StoreError`].
pub async fn admit(writer: &Writer, admission: Admission) -> Result<Option<Admitted>, StoreError> {
    let input = (writer.vault().clone(), admission);
    writer.run(input, |transaction, (vault, admission)| Box::pin(admit_in(transaction, vault, admission))).await
}

async fn admit_in(
    transaction: &Transaction,
    vault: Vault,
    admission: Admission,
) -> Result<Option<Admitted>, StoreError> {
    let at = admission.said.created_at;
    let Some(ticket) = take_up(transaction, &admission.title, at).await? else { return Ok(None) };
    let Ticket { team_id, upn, owner, .. } = &ticket;
    let said = windows_enrollment::Model { upn: upn.clone(), owner: owner.clone(), ..admission.said };
    let known = host_of(transaction, &ticket, &said).await?;
    let claimed = claimed_by_others(transaction, &said, known).await?;
    let host_id = settle_host(transaction, known, &said).await?;
    if let Some(team) = team_id {
        host::join_team(transaction, host_id, *team).await?;
    }
    let mut channels = host_lifecycle::reset(transaction, host_id, windows_host::KIND, None, at).await?;
    let channel = enrollment::Entity::insert(channel(host_id, admission.external_id, at));
    let channel = channel.exec_with_returning(transaction).await?;
    channels.push(channel.id);
    let fingerprint = admission.identity.fingerprint.clone();
    let event = Event {
        at,
        actor: "windows enrollment".into(),
        action: "certificate.issue",
        target: admission.identity.serial.clone(),
        detail: format!("first certificate of enrollment {}", channel.id),
    };
    identity::Entity::insert(identity::ActiveModel::from(admission.identity))
        .exec_without_returning(transaction)
        .await?;
    identity::bind(transaction, &fingerprint, channel.id, &channels, at).await?;
    let status = match admission.title {
        Title::Directory { .. } if said.enrollment_type == DEVICE => ON_AUTOMATIC,
        _ => ON_MANUAL,
    };
    let row = windows_enrollment::Model { enrollment_id: channel.id, ..said };
    windows_enrollment::Entity::insert(windows_enrollment::ActiveModel::from(row))
        .exec_without_returning(transaction)
        .await?;
    let (value, generation) = (admission.credentials, channel.generation);
    let secret = NewSecret { enrollment_id: channel.id, kind: DM_CREDENTIALS, generation, value, created_at: at };
    enrollment_secret::insert(transaction, &vault, secret).await?;
    host_lifecycle::turn_on(transaction, &vault, &channel, status, at).await?;
    audit::record(transaction, &vault, event).await?;
    Ok(Some(Admitted { host_id, upn: ticket.upn, claimed }))
}

/// Uses a title up.
async fn take_up(transaction: &Transaction, title: &Title, at: i64) -> Result<Option<Ticket>, StoreError> {
    match title {
        Title::Token(hash) => {
            let token = windows_token::consume(transaction, hash.clone(), at).await?;
            Ok(token.map(|token| Ticket {
                host_id: token.host_id,
                team_id: token.team_id,
                upn: token.upn,
                owner: token.owner,
            }))
        }
        Title::Agent(key) => {
            let host = agent::host_of(transaction, agent::Kind::Orbit, key.clone()).await?;
            let Some(host) = host.filter(|host| host.platform == "windows") else { return Ok(None) };
            let may = is_off(&host) || never_spoke(transaction, &host, at).await?;
            Ok(may.then(|| Ticket { host_id: Some(host.id), ..Ticket::default() }))
        }
        Title::Directory { hash, expires_at, upn, owner } => {
            let used = windows_token::Model {
                hash: hash.clone(),
                host_id: None,
                upn: Some(upn.clone()),
                owner: Some(owner.clone()),
                team_id: None,
                created_by: "identity provider".into(),
                created_at: at,
                expires_at: *expires_at,
                used_at: Some(at),
            };
            let ticket = Ticket { upn: Some(upn.clone()), owner: Some(owner.clone()), ..Ticket::default() };
            Ok(windows_token::note(transaction, used).await?.then_some(ticket))
        }
    }
}

/// The host that a title leads to, if there is one already.
async fn host_of(
    transaction: &Transaction,
    ticket: &Ticket,
    said: &windows_enrollment::Model,
) -> Result<Option<i64>, StoreError> {
    use windows_enrollment::{Column, Entity};
    if ticket.host_id.is_some() {
        return Ok(ticket.host_id);
    }
    let Some(owner) = &ticket.owner else { return Ok(None) };
    let own = Entity::find().filter(Column::Owner.eq(owner.as_str())).filter(same_device(said));
    let Some(own) = own.order_by_desc(Column::EnrollmentId).one(transaction).await? else { return Ok(None) };
    let channel = enrollment::Entity::find_by_id(own.enrollment_id).one(transaction).await?;
    Ok(channel.map(|channel| channel.host_id))
}

/// Other hosts whose present enrollments say that they are the same device.
async fn claimed_by_others(
    transaction: &Transaction,
    said: &windows_enrollment::Model,
    own: Option<i64>,
) -> Result<Vec<i64>, StoreError> {
    use windows_enrollment::{Column, Entity};
    let same = Entity::find().filter(same_device(said)).order_by_desc(Column::EnrollmentId);
    let same = same.limit(MOST_CLAIMS).all(transaction).await?;
    let same: Vec<i64> = same.into_iter().map(|row| row.enrollment_id).collect();
    let live = enrollment::Entity::find()
        .filter(enrollment::Column::Id.is_in(same))
        .filter(enrollment::Column::EndedAt.is_null())
        .all(transaction)
        .await?;
    let mut hosts: Vec<i64> = live.into_iter().map(|row| row.host_id).filter(|host| Some(*host) != own).collect();
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts)
}

fn same_device(said: &windows_enrollment::Model) -> Condition {
    use windows_enrollment::Column;
    let same = Condition::any().add(Column::DeviceId.eq(said.device_id.as_str()));
    match &said.hardware_id {
        None => same,
        Some(hardware) => same.add(Column::HardwareId.eq(hardware.as_str())),
    }
}

/// The row of the host, as it is to be.
async fn settle_host(
    transaction: &Transaction,
    known: Option<i64>,
    said: &windows_enrollment::Model,
) -> Result<i64, StoreError> {
    let mut description = Description {
        uuid: said.device_id.clone(),
        platform: "windows".into(),
        computer_name: said.device_name.clone(),
        os_version: said.os_version.clone().unwrap_or_default(),
        ..Description::default()
    };
    let Some(id) = known else {
        return Ok(host_admission::make(transaction, &description, OFF, said.created_at).await?.id);
    };
    let row = host::Entity::find_by_id(id).one(transaction).await?;
    let row = row.ok_or_else(|| StoreError::Conflict(format!("host {id} is gone")))?;
    // What it does not say here, others said.
    for (said, known) in [
        (&mut description.computer_name, row.computer_name),
        (&mut description.os_version, row.os_version),
        (&mut description.hardware_model, row.hardware_model),
        (&mut description.build_version, row.build_version),
    ] {
        if said.is_empty() {
            *said = known;
        }
    }
    description.uuid = row.uuid.unwrap_or(description.uuid);
    host_admission::describe(transaction, id, &description, said.created_at).await?;
    Ok(id)
}

fn channel(host_id: i64, external_id: String, at: i64) -> enrollment::ActiveModel {
    enrollment::ActiveModel {
        id: ActiveValue::NotSet,
        host_id: Set(host_id),
        external_id: Set(external_id),
        kind: Set(windows_host::KIND),
        generation: Set(0),
        enabled: Set(true),
        // Its first message of this kind would make an enrollment; this one is one from the beginning.
        token_update_tally: Set(1),
        awaiting_configuration: Set(false),
        automatic: Set(false),
        authenticated_at: Set(Some(at)),
        enrolled_at: Set(Some(at)),
        ..Default::default()
    }
}
