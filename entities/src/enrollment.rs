//! Table `enrollment`: one channel of a host, with a generation, a push token and a queue of its own.
//!
//! The writes are what check-in messages lead to; each is one transaction.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query};
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder, QuerySelect};
use zeroize::Zeroizing;

use crate::enrollment_secret::{self, NewSecret};
use crate::vault::Vault;
use crate::webhook_event::{self, NewEvent};
use crate::{
    Reader, StoreError, Transaction, Writer, host, host_admission, host_idp_account, host_lifecycle, identity,
};

/// A row of `enrollment`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enrollment")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The host.
    pub host_id: i64,
    /// The name that NanoMDM's tools use, for example `UDID` or `UDID:UserID`; unique.
    pub external_id: String,
    /// The kind of channel: the code of `protocol::apple::ChannelKind`.
    pub kind: i16,
    /// One more at each Authenticate that is not a renewal.
    pub generation: i32,
    /// Whether the device may be sent commands.
    pub enabled: bool,
    /// The APNs topic.
    pub topic: Option<String>,
    /// The APNs device token.
    pub push_token: Option<Vec<u8>>,
    /// What a push must say for the device to believe it.
    pub push_magic: Option<String>,
    /// When the token came.
    pub token_updated_at: Option<i64>,
    /// Since when APNs calls the token dead.
    pub push_dead_at: Option<i64>,
    /// How many TokenUpdates came in this generation; the first one makes the enrollment.
    pub token_update_tally: i32,
    /// Whether the device waits in Setup Assistant.
    pub awaiting_configuration: bool,
    /// Whether the device enrolled by itself, because its organization bought it so.
    pub automatic: bool,
    /// The login name of a user channel's user.
    pub user_short_name: Option<String>,
    /// The full name of a user channel's user.
    pub user_long_name: Option<String>,
    /// When the last Authenticate came.
    pub authenticated_at: Option<i64>,
    /// When the first TokenUpdate of this generation came.
    pub enrolled_at: Option<i64>,
    /// When the device checked out.
    pub ended_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "enrollment {} of host {}, generation {}", self.id, self.host_id, self.generation)
    }
}

/// What an Authenticate that is not a renewal changes: a new generation begins.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The host it was admitted to.
    pub host_id: i64,
    /// See [`Model::external_id`].
    pub external_id: String,
    /// See [`Model::kind`].
    pub kind: i16,
    /// The certificate that signed the message.
    pub fingerprint: Vec<u8>,
    /// What the device says about itself.
    pub description: host::Description,
    /// See [`Model::topic`].
    pub topic: String,
    /// When it came.
    pub at: i64,
    /// What webhooks are to be told.
    pub events: Vec<NewEvent>,
}

/// What a TokenUpdate changes.
#[derive(Clone)]
pub struct TokenUpdated {
    /// The host.
    pub host_id: i64,
    /// See [`Model::external_id`].
    pub external_id: String,
    /// See [`Model::kind`].
    pub kind: i16,
    /// The generation for a user channel that is new.
    pub generation: i32,
    /// See [`Model::topic`].
    pub topic: String,
    /// See [`Model::push_token`].
    pub push_token: Vec<u8>,
    /// See [`Model::push_magic`].
    pub push_magic: String,
    /// The unlock token; an absent one never overwrites a stored one.
    pub unlock_token: Option<Zeroizing<Vec<u8>>>,
    /// See [`Model::awaiting_configuration`].
    pub awaiting_configuration: bool,
    /// See [`Model::user_short_name`].
    pub user_short_name: Option<String>,
    /// See [`Model::user_long_name`].
    pub user_long_name: Option<String>,
    /// The host's status from now on, where the message turns management on.
    pub mdm_status: Option<i16>,
    /// When it came.
    pub at: i64,
    /// What webhooks are to be told, without the tally.
    pub events: Vec<NewEvent>,
}

/// What a CheckOut changes.
#[derive(Clone, Debug)]
pub struct CheckedOut {
    /// The host.
    pub host_id: i64,
    /// The channels that end.
    pub enrollments: Vec<i64>,
    /// Whether the host's management is off from now on.
    pub off: bool,
    /// When it came.
    pub at: i64,
    /// What webhooks are to be told.
    pub events: Vec<NewEvent>,
}

/// Those of these channels that may be sent commands.
pub(crate) async fn enabled_of(transaction: &Transaction, channels: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
    let mut enabled = BTreeSet::new();
    for some in channels.chunks(500) {
        let rows = Entity::find().select_only().column(Column::Id).filter(Column::Enabled.eq(true));
        let rows = rows.filter(Column::Id.is_in(some.iter().copied()));
        enabled.extend(rows.into_tuple::<i64>().all(transaction).await?);
    }
    Ok(enabled)
}

/// The channels of a host.
///
/// # Errors
/// The database does not answer.
pub async fn list_of_host(reader: &Reader, host_id: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let channels = Entity::find().filter(Column::HostId.eq(host_id)).order_by_asc(Column::Id);
            Ok(channels.all(&database).await?)
        })
        .await
}

/// The condition that a host has a channel that we may send to.
pub(crate) fn is_connected() -> Expr {
    let live = Query::select()
        .expr(Expr::val(1))
        .from(Entity)
        .and_where(Expr::col((Entity, Column::HostId)).equals((host::Entity, host::Column::Id)))
        .and_where(Expr::col((Entity, Column::Enabled)).eq(true))
        .to_owned();
    Expr::exists(live)
}

/// The channels of many hosts.
///
/// # Errors
/// The database does not answer.
pub async fn list_of_hosts(reader: &Reader, host_ids: Vec<i64>) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = Vec::with_capacity(host_ids.len());
            for some in host_ids.chunks(1000) {
                let some = Column::HostId.is_in(some.iter().copied());
                found.extend(Entity::find().filter(some).order_by_asc(Column::Id).all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// The channel with this row number.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}

/// The channels with these NanoMDM names, in no particular order.
///
/// # Errors
/// The database does not answer.
pub async fn list_by_external_ids(reader: &Reader, ids: Vec<String>) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = Vec::with_capacity(ids.len());
            for some in ids.chunks(1000) {
                found.extend(Entity::find().filter(Column::ExternalId.is_in(some)).all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// Begins a new generation: commands of the old one end, user channels fall silent, the presented certificate becomes
/// the only one of its host. Returns the new row.
///
/// # Errors
/// [`StoreError::Conflict`] when the certificate is bound elsewhere; otherwise see [`StoreError`].
pub async fn authenticate(writer: &Writer, mut message: Authenticated) -> Result<Model, StoreError> {
    webhook_event::seal_all(writer.vault(), &mut message.events)?;
    writer.run(message, |transaction, message| Box::pin(authenticate_in(transaction, message))).await
}

async fn authenticate_in(transaction: &Transaction, message: Authenticated) -> Result<Model, StoreError> {
    let known = Entity::find().filter(Column::ExternalId.eq(message.external_id.as_str())).one(transaction).await?;
    let device = match known {
        Some(row) => row,
        None => Entity::insert(new_row(&message)).exec_with_returning(transaction).await?,
    };
    let enrollment_id = device.id;
    let identity = identity::read(transaction, &message.fingerprint).await?;
    let automatic = identity.as_ref().is_some_and(|identity| identity.automatic);
    let (host_id, goes_on) = (message.host_id, Some(enrollment_id));
    let channels = host_lifecycle::reset(transaction, host_id, device.kind, goes_on, message.at).await?;
    Entity::update_many()
        .col_expr(Column::Topic, message.topic.clone().into())
        .col_expr(Column::AuthenticatedAt, message.at.into())
        .col_expr(Column::EndedAt, Expr::value(None::<i64>))
        .col_expr(Column::PushToken, Expr::value(None::<Vec<u8>>))
        .col_expr(Column::AwaitingConfiguration, false.into())
        .col_expr(Column::Automatic, automatic.into())
        .filter(Column::Id.eq(enrollment_id))
        .exec(transaction)
        .await?;
    identity::bind(transaction, &message.fingerprint, enrollment_id, &channels, message.at).await?;
    host_admission::describe(transaction, message.host_id, &message.description, message.at).await?;
    webhook_event::insert(transaction, &message.events).await?;
    let (team, account) = identity.map(|row| (row.team_id, row.account_uuid)).unwrap_or_default();
    if let Some(team) = team {
        host::join_team(transaction, message.host_id, team).await?;
    }
    host_idp_account::link(transaction, message.host_id, account, message.at).await?;
    read(transaction, enrollment_id).await
}

fn new_row(message: &Authenticated) -> ActiveModel {
    ActiveModel {
        id: ActiveValue::NotSet,
        host_id: Set(message.host_id),
        external_id: Set(message.external_id.clone()),
        kind: Set(message.kind),
        generation: Set(0),
        enabled: Set(false),
        token_update_tally: Set(0),
        awaiting_configuration: Set(false),
        automatic: Set(false),
        authenticated_at: Set(Some(message.at)),
        ..Default::default()
    }
}

/// Takes in a push token; the first one of a generation makes the enrollment. A user channel that is new gets its row
/// here. Returns the new row.
///
/// # Errors
/// See [`StoreError`].
pub async fn token_update(writer: &Writer, mut message: TokenUpdated) -> Result<Model, StoreError> {
    webhook_event::seal_all(writer.vault(), &mut message.events)?;
    let input = (writer.vault().clone(), message);
    writer
        .run(input, |transaction, (vault, mut message)| {
            Box::pin(async move {
                let mut events = std::mem::take(&mut message.events);
                let row = token_update_in(transaction, &vault, message).await?;
                events.iter_mut().for_each(|event| event.tally = Some(row.token_update_tally));
                webhook_event::insert(transaction, &events).await?;
                Ok(row)
            })
        })
        .await
}

async fn token_update_in(transaction: &Transaction, vault: &Vault, message: TokenUpdated) -> Result<Model, StoreError> {
    let known = Entity::find().filter(Column::ExternalId.eq(message.external_id.as_str())).one(transaction).await?;
    let first = known.as_ref().is_none_or(|row| row.token_update_tally == 0 || !row.enabled);
    let row = ActiveModel {
        id: known.as_ref().map_or(ActiveValue::NotSet, |row| Set(row.id)),
        host_id: Set(message.host_id),
        external_id: Set(message.external_id.clone()),
        kind: Set(message.kind),
        generation: Set(known.as_ref().map_or(message.generation, |row| row.generation)),
        enabled: Set(true),
        topic: Set(Some(message.topic)),
        push_token: Set(Some(message.push_token)),
        push_magic: Set(Some(message.push_magic)),
        token_updated_at: Set(Some(message.at)),
        push_dead_at: Set(None),
        token_update_tally: Set(known.as_ref().map_or(0, |row| row.token_update_tally).saturating_add(1)),
        awaiting_configuration: Set(message.awaiting_configuration),
        user_short_name: Set(message.user_short_name),
        user_long_name: Set(message.user_long_name),
        enrolled_at: if first { Set(Some(message.at)) } else { ActiveValue::NotSet },
        ended_at: Set(None),
        ..Default::default()
    };
    let id = match known {
        Some(known) => {
            Entity::update_many().set(row).filter(Column::Id.eq(known.id)).exec(transaction).await?;
            known.id
        }
        None => Entity::insert(row).exec(transaction).await?.last_insert_id,
    };
    let model = read(transaction, id).await?;
    if let Some(value) = message.unlock_token {
        let kind = enrollment_secret::UNLOCK_TOKEN;
        let (generation, created_at) = (model.generation, message.at);
        let secret = NewSecret { enrollment_id: id, kind, generation, value, created_at };
        enrollment_secret::insert(transaction, vault, secret).await?;
    }
    let by_itself = |status| if model.automatic && status == host::ON_MANUAL { host::ON_AUTOMATIC } else { status };
    if let Some(status) = message.mdm_status.map(by_itself) {
        host_lifecycle::turn_on(transaction, vault, &model, status, message.at).await?;
    }
    Ok(model)
}

/// Ends channels: nothing more is sent to them, and what was pending is superseded.
///
/// # Errors
/// See [`StoreError`].
pub async fn check_out(writer: &Writer, mut message: CheckedOut) -> Result<(), StoreError> {
    webhook_event::seal_all(writer.vault(), &mut message.events)?;
    let input = (writer.vault().clone(), message);
    writer
        .run(input, |transaction, (vault, CheckedOut { host_id, enrollments, off, at, events })| {
            Box::pin(async move {
                host_lifecycle::turn_off(transaction, &vault, host_id, &enrollments, off, at).await?;
                webhook_event::insert(transaction, &events).await
            })
        })
        .await
}

/// Records that APNs calls the token dead that came at a moment. `false`: the channel has another one by now.
///
/// # Errors
/// See [`StoreError`].
pub async fn mark_push_dead(
    writer: &Writer,
    enrollment_id: i64,
    token_since: i64,
    now: i64,
) -> Result<bool, StoreError> {
    writer
        .run((enrollment_id, token_since, now), |transaction, (enrollment_id, token_since, now)| {
            Box::pin(async move {
                // A clock that was set back must not let the token die before it came.
                let dead_at = Ord::max(now, token_since.saturating_add(1));
                let done = Entity::update_many()
                    .col_expr(Column::PushDeadAt, dead_at.into())
                    .filter(Column::Id.eq(enrollment_id))
                    .filter(Column::TokenUpdatedAt.eq(token_since))
                    .exec(transaction)
                    .await?;
                Ok(done.rows_affected == 1)
            })
        })
        .await
}

async fn read(transaction: &Transaction, id: i64) -> Result<Model, StoreError> {
    let row = Entity::find_by_id(id).one(transaction).await?;
    row.ok_or_else(|| StoreError::Conflict(format!("enrollment {id} is gone")))
}
