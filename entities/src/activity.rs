//! Tables `activity` and `activity_host`: what was done, for people to read, in Fleet's words. Each row is written in the
//! transaction of what it tells. What must be proved to auditors stands in [`crate::audit`] as well; `chronicle` writes
//! both.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition, QueryOrder, QuerySelect, QueryTrait};
use serde_json::{Value, json};

use crate::audit::{self, Event};
use crate::turn::in_sizes;
use crate::vault::Vault;
use crate::webhook_event::{self, NewEvent};
use crate::{Reader, StoreError, Transaction, Writer, user, webhook};

/// The topic of webhooks: `protocol::webhook::Topic::Activity`.
const TOPIC: &str = "activity.created";
/// Hosts that an activity names for their own feeds; what is about more of them stands in none.
const MOST_HOSTS: usize = 1000;
/// Rows that are forgotten in one transaction.
const STEP: u64 = 1000;

/// A row of `activity`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "activity")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// When it happened.
    pub created_at: i64,
    /// Fleet's name for what happened, for example `created_team`; where Fleet has none, one like Fleet's.
    pub kind: String,
    /// Who did it, if that is a person who has a row.
    pub actor_id: Option<i64>,
    /// What they are called; `None` for the server itself and for devices.
    pub actor_name: Option<String>,
    /// Their email address.
    pub actor_email: Option<String>,
    /// More about it (JSON); never a secret.
    pub details: String,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `activity_host`.
pub mod about {
    use sea_orm::entity::prelude::*;

    /// A row of `activity_host`: this activity stands in the feed of this host.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "activity_host")]
    pub struct Model {
        /// The host.
        #[sea_orm(primary_key, auto_increment = false)]
        pub host_id: i64,
        /// The activity.
        #[sea_orm(primary_key, auto_increment = false)]
        pub activity_id: i64,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Something that was done.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    /// See [`Model::kind`].
    pub kind: &'static str,
    /// See [`Model::details`].
    pub details: Value,
    /// The hosts in whose feeds it stands.
    pub hosts: Vec<i64>,
}

/// Which activities are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this kind; empty for all.
    pub kind: String,
    /// Those of people whose name or email address contains this; empty for all.
    pub actor: String,
    /// Those since then.
    pub since: Option<i64>,
    /// Those until then.
    pub until: Option<i64>,
    /// Those in the feed of this host.
    pub host: Option<i64>,
}

impl Activity {
    /// Something that is about no host.
    pub(crate) fn new(kind: &'static str, details: Value) -> Self {
        Self { kind, details, hosts: Vec::new() }
    }

    /// The same in the feeds of these hosts.
    pub(crate) fn about(self, hosts: Vec<i64>) -> Self {
        Self { hosts, ..self }
    }
}

/// Writes what an admin did: for auditors and for people.
pub(crate) async fn chronicle(
    transaction: &Transaction,
    vault: &Vault,
    event: Event,
    activities: Vec<Activity>,
) -> Result<(), StoreError> {
    let (by, at) = (event.actor.clone(), event.at);
    audit::record(transaction, vault, event).await?;
    record(transaction, vault, Some(&by), at, activities).await
}

/// Writes what was done; `None` for what nobody did but a device or the server itself.
pub(crate) async fn record(
    transaction: &Transaction,
    vault: &Vault,
    by: Option<&str>,
    at: i64,
    activities: Vec<Activity>,
) -> Result<(), StoreError> {
    record_all(transaction, vault, activities.into_iter().map(|activity| (by, at, activity)).collect()).await
}

/// Writes what several people did.
pub(crate) async fn record_all(
    transaction: &Transaction,
    vault: &Vault,
    said: Vec<(Option<&str>, i64, Activity)>,
) -> Result<(), StoreError> {
    if said.is_empty() {
        return Ok(());
    }
    let webhooks = webhook::who_wants_activities(transaction, TOPIC).await?;
    let (mut people, mut new) = (HashMap::new(), Vec::with_capacity(said.len()));
    for (by, at, activity) in &said {
        let actor = actor(transaction, *by, &mut people).await?;
        new.push(ActiveModel {
            id: ActiveValue::NotSet,
            created_at: Set(*at),
            kind: Set(activity.kind.to_owned()),
            actor_id: Set(actor.as_ref().map(|person| person.id)),
            actor_name: Set(actor.as_ref().map(|person| person.name.clone()).or_else(|| by.map(str::to_owned))),
            actor_email: Set(actor.map(|person| person.email)),
            details: Set(activity.details.to_string()),
        });
    }
    let mut rows = Vec::with_capacity(new.len());
    for some in in_sizes(&new) {
        rows.extend(Entity::insert_many(some.to_vec()).exec_with_returning(transaction).await?);
    }
    // Rows get their numbers in the order in which they are given, and come back in any.
    rows.sort_unstable_by_key(|row| row.id);
    let (mut told, mut feeds) = (Vec::new(), Vec::new());
    for (row, (_, _, Activity { details, mut hosts, .. })) in rows.iter().zip(said) {
        if !webhooks.is_empty() {
            told.push(event_of(row, details, webhooks.clone()));
        }
        if hosts.len() <= MOST_HOSTS {
            hosts.sort_unstable();
            hosts.dedup();
            feeds.extend(hosts.into_iter().map(|host_id| about::Model { host_id, activity_id: row.id }));
        }
    }
    for some in in_sizes(&feeds) {
        let feeds = some.iter().map(|feed| about::ActiveModel::from(feed.clone()).reset_all());
        about::Entity::insert_many(feeds).exec_without_returning(transaction).await?;
    }
    webhook_event::seal_all(vault, &mut told)?;
    webhook_event::insert(transaction, &told).await
}

/// The person whom the audit log calls so: by an email address, as no token that belongs to nobody is called.
async fn actor<'p>(
    transaction: &Transaction,
    by: Option<&'p str>,
    known: &mut HashMap<&'p str, Option<user::Model>>,
) -> Result<Option<user::Model>, StoreError> {
    let Some(email) = by.filter(|name| name.contains('@')) else { return Ok(None) };
    if let Some(person) = known.get(email) {
        return Ok(person.clone());
    }
    let person = user::Entity::find().filter(user::Column::Email.eq(email)).one(transaction).await?;
    known.insert(email, person.clone());
    Ok(person)
}

/// What webhooks are told: `protocol::webhook::activity` reads it. Activities have a line of their own, which is no host's.
fn event_of(row: &Model, details: Value, webhooks: Vec<i64>) -> NewEvent {
    let payload = json!({
        "actor_full_name": row.actor_name,
        "actor_id": row.actor_id,
        "actor_email": row.actor_email,
        "type": row.kind,
        "details": details,
    });
    NewEvent {
        id: format!("activity-{}", row.id),
        host_id: 0,
        topic: TOPIC,
        tally: None,
        created_at: row.created_at,
        payload: payload.to_string().into_bytes(),
        webhooks,
    }
}

/// A page of activities, the newest first or the oldest.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    reader: &Reader,
    filter: Filter,
    oldest_first: bool,
    offset: u64,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(filter.condition());
            let rows = if oldest_first { rows.order_by_asc(Column::Id) } else { rows.order_by_desc(Column::Id) };
            Ok(rows.offset(offset).limit(limit).all(&database).await?)
        })
        .await
}

/// The activities after one, oldest first: for walks through all of them.
///
/// # Errors
/// The database does not answer.
pub async fn list_after(reader: &Reader, filter: Filter, id: i64, limit: u64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(filter.condition()).filter(Column::Id.gt(id)).order_by_asc(Column::Id);
            Ok(rows.limit(limit).all(&database).await?)
        })
        .await
}

/// Forgets some activities that are older than a moment. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_before(writer: &Writer, moment: i64) -> Result<u64, StoreError> {
    writer
        .run(moment, |transaction, moment| {
            Box::pin(async move {
                let old = Entity::find().select_only().column(Column::Id).filter(Column::CreatedAt.lt(moment));
                let old = old.order_by_asc(Column::CreatedAt).limit(STEP).into_tuple::<i64>().all(transaction).await?;
                let of_old = about::Column::ActivityId.is_in(old.iter().copied());
                about::Entity::delete_many().filter(of_old).exec(transaction).await?;
                let done = Entity::delete_many().filter(Column::Id.is_in(old)).exec(transaction).await?;
                Ok(done.rows_affected)
            })
        })
        .await
}

/// One host turns out to be another one, in whose feed its activities stand from now on.
pub(crate) async fn hand_over(transaction: &Transaction, from: i64, to: i64) -> Result<(), StoreError> {
    let of_both = about::Entity::find().select_only().column(about::Column::ActivityId);
    let of_both = of_both.filter(about::Column::HostId.eq(to)).into_tuple::<i64>().all(transaction).await?;
    let twice = about::Column::HostId.eq(from).and(about::Column::ActivityId.is_in(of_both));
    about::Entity::delete_many().filter(twice).exec(transaction).await?;
    about::Entity::update_many()
        .col_expr(about::Column::HostId, to.into())
        .filter(about::Column::HostId.eq(from))
        .exec(transaction)
        .await?;
    Ok(())
}

impl Filter {
    fn condition(&self) -> Condition {
        let mut all = Condition::all();
        if !self.kind.is_empty() {
            all = all.add(Column::Kind.eq(self.kind.as_str()));
        }
        if !self.actor.is_empty() {
            let text = self.actor.as_str();
            let named = Condition::any().add(Column::ActorName.contains(text));
            all = all.add(named.add(Column::ActorEmail.contains(text)));
        }
        let in_feed = |host: i64| {
            let feed = about::Entity::find().select_only().column(about::Column::ActivityId);
            Column::Id.in_subquery(feed.filter(about::Column::HostId.eq(host)).into_query())
        };
        all.add_option(self.since.map(|since| Column::CreatedAt.gte(since)))
            .add_option(self.until.map(|until| Column::CreatedAt.lte(until)))
            .add_option(self.host.map(in_feed))
    }
}

#[cfg(test)]
mod tests;
