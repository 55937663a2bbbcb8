//! Delivers what is marked in table `host_profile`: many hosts are read at once, somebody decides, and what was decided is
//! written together with the commands that follow from it. A row that was changed in between is left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query, Value};
use sea_orm::{ConnectionTrait, QueryOrder, QuerySelect};

use crate::enqueue::{self, Channel, Enqueue, Enqueued, Request};
use crate::host_profile::{self, Column, Entity, HELD, PENDING, REMOVE, UNSENT};
use crate::queue_entry::{self, CANCELLED, NOT_NOW, SENT};
use crate::turn::{beside_its_index, given, in_sizes, values};
use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, Writer, command, enrollment};

/// A host that something is to be sent to, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// What it shall have and lose.
    pub rows: Vec<host_profile::Model>,
    /// Its channels that may be sent commands.
    pub channels: Vec<enrollment::Model>,
    /// Commands for its profiles that have not ended, by their names.
    pub under_way: HashMap<String, Pending>,
}

/// A command that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its queue entry.
    pub entry_id: i64,
    /// Its channel.
    pub enrollment_id: i64,
    /// Whether its device has it, or may have it.
    pub is_with_device: bool,
}

/// What was decided for many hosts.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// What is sent.
    pub sent: Vec<Sent>,
    /// What is held: (row, why).
    pub held: Vec<(Row, &'static str)>,
    /// Removals that are nothing to do.
    pub dropped: Vec<Row>,
    /// What the device has under the name of another profile, whose row goes: (row, the other profile).
    pub adopted: Vec<(Row, i64)>,
    /// Queue entries that are taken back, each with its host.
    pub taken_back: Vec<(i64, i64)>,
    /// The commands, by their names.
    pub commands: BTreeMap<String, Command>,
    /// When commands stop being worth doing.
    pub expires_at: i64,
    /// When this was decided.
    pub now: i64,
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The host.
    pub host_id: i64,
    /// The profile.
    pub profile_id: i64,
    /// See [`host_profile::Model::token`].
    pub token: String,
    /// See [`host_profile::Model::operation`].
    pub operation: i16,
}

/// A row that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which one.
    pub row: Row,
    /// The command that does it.
    pub command_uuid: String,
    /// The channel that the command is to be queued for; `None` when it waits there already.
    pub channel: Option<Channel>,
    /// The queue entry of the command where it waits already.
    pub joins: Option<i64>,
}

/// A command for many hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// See [`command::Model::request_type`].
    pub request_type: &'static str,
    /// What is handed out, or what that is made of then.
    pub body: Vec<u8>,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// The entries of each command.
    pub queued: Vec<(String, Enqueued)>,
    /// The entries that were taken back: (host, channel, entry).
    pub taken_back: Vec<(i64, i64, i64)>,
    /// Rows that were written.
    pub rows: u64,
}

/// Reads hosts with everything that is needed to decide.
///
/// # Errors
/// The database does not answer.
pub async fn read(reader: &Reader, hosts: Vec<i64>) -> Result<BTreeMap<i64, Candidate>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = BTreeMap::<i64, Candidate>::new();
            let rows = Entity::find().filter(Column::HostId.is_in(hosts.iter().copied()));
            for row in rows.order_by_asc(Column::ProfileId).all(&database).await? {
                found.entry(row.host_id).or_default().rows.push(row);
            }
            let channels = enrollment::Entity::find()
                .filter(enrollment::Column::HostId.is_in(hosts.iter().copied()))
                .filter(enrollment::Column::Enabled.eq(true));
            for channel in channels.order_by_asc(enrollment::Column::Id).all(&database).await? {
                found.entry(channel.host_id).or_default().channels.push(channel);
            }
            let named = found.values().flat_map(|host| &host.rows).filter_map(|row| row.command_uuid.clone());
            let named: BTreeSet<String> = named.collect();
            for some in named.into_iter().collect::<Vec<_>>().chunks(500) {
                let pending = queue_entry::Entity::find()
                    .select_only()
                    .columns([queue_entry::Column::HostId, queue_entry::Column::Id])
                    .columns([queue_entry::Column::EnrollmentId])
                    .columns([queue_entry::Column::State, queue_entry::Column::Attempts])
                    .column(command::Column::Uuid)
                    .join(sea_orm::JoinType::InnerJoin, queue_entry::to_command())
                    .filter(command::Column::Uuid.is_in(some.iter()))
                    .filter(queue_entry::Column::HostId.is_in(hosts.iter().copied()))
                    .filter(queue_entry::pending());
                for (host, entry_id, enrollment_id, state, attempts, uuid) in
                    pending.into_tuple::<(i64, i64, i64, i16, i16, String)>().all(&database).await?
                {
                    let is_with_device = state == SENT || (state == NOT_NOW && attempts > 0);
                    let pending = Pending { entry_id, enrollment_id, is_with_device };
                    found.entry(host).or_default().under_way.insert(uuid, pending);
                }
            }
            Ok(found)
        })
        .await
}

/// Writes what was decided, and queues the commands.
///
/// # Errors
/// See [`StoreError`].
pub async fn deliver(writer: &Writer, delivery: Delivery) -> Result<Delivered, StoreError> {
    writer
        .run((writer.vault().clone(), delivery), |transaction, (vault, delivery)| {
            Box::pin(async move { delivery.write(transaction, &vault).await })
        })
        .await
}

impl Delivery {
    async fn write(mut self, transaction: &Transaction, vault: &Vault) -> Result<Delivered, StoreError> {
        let taken_back = self.take_back(transaction).await?;
        // A host whose device got a command just now is decided about anew.
        let wanted: BTreeSet<i64> = self.taken_back.iter().map(|(_, entry)| *entry).collect();
        let done: BTreeSet<i64> = taken_back.iter().map(|(_, _, entry)| *entry).collect();
        let missed = |(host, entry): &(i64, i64)| (wanted.contains(entry) && !done.contains(entry)).then_some(*host);
        let late: BTreeSet<i64> = self.taken_back.iter().filter_map(missed).collect();
        self.sent.retain(|sent| !late.contains(&sent.row.host_id));
        self.held.retain(|(row, _)| !late.contains(&row.host_id));
        self.dropped.retain(|row| !late.contains(&row.host_id));
        self.adopted.retain(|(row, _)| !late.contains(&row.host_id));
        let waiting = self.waiting(transaction).await?;
        self.sent.retain(|sent| sent.joins.is_none_or(|entry| waiting.contains(&entry)));
        let named: Vec<i64> = self.sent.iter().filter_map(|sent| sent.channel).map(|to| to.enrollment_id).collect();
        let enabled = enrollment::enabled_of(transaction, &named).await?;
        self.sent.retain(|sent| sent.channel.is_none_or(|channel| enabled.contains(&channel.enrollment_id)));
        let mut rows = self.drop(transaction).await? + self.adopt(transaction).await? + self.hold(transaction).await?;
        let sent = self.send(transaction).await?;
        rows += sent.len() as u64;
        let queued = self.queue(transaction, vault, &sent).await?;
        Ok(Delivered { queued, taken_back, rows })
    }

    async fn take_back(&self, transaction: &Transaction) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        let mut done = Vec::new();
        for some in self.taken_back.chunks(500) {
            use queue_entry::Column as Of;
            let update = Query::update()
                .table(queue_entry::Entity)
                .value(Of::State, CANCELLED)
                .value(Of::ChangedAt, self.now)
                .and_where(Of::Id.is_in(some.iter().map(|(_, entry)| *entry)))
                .cond_where(queue_entry::is_with_us())
                .returning(Query::returning().columns([Of::HostId, Of::EnrollmentId, Of::Id]))
                .to_owned();
            for row in transaction.query_all(&update).await? {
                done.push((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?));
            }
        }
        Ok(done)
    }

    /// The joined commands that still wait. Nobody would report the others for what joins them: it is decided about anew.
    async fn waiting(&self, transaction: &Transaction) -> Result<BTreeSet<i64>, StoreError> {
        let joined: BTreeSet<i64> = self.sent.iter().filter_map(|sent| sent.joins).collect();
        let mut waiting = BTreeSet::new();
        for some in joined.into_iter().collect::<Vec<_>>().chunks(500) {
            let rows = queue_entry::Entity::find().select_only().column(queue_entry::Column::Id);
            let rows = rows.filter(queue_entry::Column::Id.is_in(some.iter().copied()));
            waiting.extend(rows.filter(queue_entry::is_with_us()).into_tuple::<i64>().all(transaction).await?);
        }
        Ok(waiting)
    }

    async fn drop(&self, transaction: &Transaction) -> Result<u64, StoreError> {
        let mut gone = 0;
        for row in &self.dropped {
            let drop = Entity::delete_many().filter(row.condition()).filter(Column::Operation.eq(REMOVE));
            gone += drop.exec(transaction).await?.rows_affected;
        }
        Ok(gone)
    }

    async fn adopt(&self, transaction: &Transaction) -> Result<u64, StoreError> {
        let mut adopted = 0;
        for (row, other) in &self.adopted {
            let gone = Entity::find_by_id((row.host_id, *other)).one(transaction).await?;
            let Some(gone) = gone.filter(|gone| gone.operation == REMOVE && gone.token == row.token) else { continue };
            let moved = Entity::update_many()
                .col_expr(Column::Status, host_profile::VERIFYING.into())
                .col_expr(Column::HadContentId, Expr::col(Column::ContentId))
                .col_expr(Column::AcknowledgedAt, Expr::value(gone.acknowledged_at))
                .col_expr(
                    Column::VerifyAt,
                    Expr::value((gone.kind == crate::profile::MOBILECONFIG).then_some(self.now)),
                )
                .col_expr(Column::Detail, "".into())
                .col_expr(Column::ChangedAt, self.now.into())
                .filter(row.condition());
            if moved.exec(transaction).await?.rows_affected == 1 {
                Entity::delete_by_id((row.host_id, *other)).exec(transaction).await?;
                adopted += 1;
            }
        }
        Ok(adopted)
    }

    async fn hold(&self, transaction: &Transaction) -> Result<u64, StoreError> {
        let mut held = 0;
        for (row, why) in &self.held {
            let hold = Entity::update_many()
                .col_expr(Column::Status, HELD.into())
                .col_expr(Column::Detail, (*why).into())
                .col_expr(Column::ChangedAt, self.now.into())
                .filter(row.condition());
            held += hold.exec(transaction).await?.rows_affected;
        }
        Ok(held)
    }

    /// Marks rows as sent; returns those that still were as they had been read.
    async fn send(&self, transaction: &Transaction) -> Result<BTreeSet<(i64, i64)>, StoreError> {
        let mut sent = BTreeSet::new();
        for some in in_sizes(&self.sent) {
            let new = some.iter().map(|sent| -> Vec<Value> {
                let row = &sent.row;
                let command = sent.command_uuid.as_str();
                vec![
                    row.host_id.into(),
                    row.profile_id.into(),
                    row.token.as_str().into(),
                    row.operation.into(),
                    command.into(),
                ]
            });
            let of = |column: Column| Expr::col((Entity, column));
            let update = Query::update()
                .table(Entity)
                .value(Column::Status, PENDING)
                .value(Column::CommandUuid, given("column5"))
                .value(Column::SentContentId, of(Column::ContentId))
                .value(Column::ChangedAt, self.now)
                .from(values(new))
                .and_where(of(Column::HostId).eq(given("column1")))
                .and_where(of(Column::ProfileId).eq(given("column2")))
                .and_where(of(Column::Token).eq(given("column3")))
                .and_where(of(Column::Operation).eq(given("column4")))
                .and_where(beside_its_index("host_profile", "status").eq(UNSENT))
                .returning(Query::returning().exprs([of(Column::HostId), of(Column::ProfileId)]))
                .to_owned();
            for row in transaction.query_all(&update).await? {
                sent.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
            }
        }
        Ok(sent)
    }

    async fn queue(
        &self,
        transaction: &Transaction,
        vault: &Vault,
        sent: &BTreeSet<(i64, i64)>,
    ) -> Result<Vec<(String, Enqueued)>, StoreError> {
        let mut channels = BTreeMap::<&str, BTreeMap<i64, Channel>>::new();
        for one in self.sent.iter().filter(|one| sent.contains(&(one.row.host_id, one.row.profile_id))) {
            if let Some(channel) = one.channel {
                channels.entry(&one.command_uuid).or_default().insert(channel.enrollment_id, channel);
            }
        }
        let mut requests = Vec::with_capacity(channels.len());
        for (uuid, channels) in channels {
            let Some(command) = self.commands.get(uuid) else { continue };
            let asked = Enqueue {
                uuid: uuid.to_owned(),
                request_type: command.request_type.to_owned(),
                body: command.body.clone(),
                created_by: None,
                priority: 0,
                no_blind_resend: false,
                expires_at: self.expires_at,
                expires_as_asked: false,
                after: None,
                channels: channels.into_values().collect(),
                brake: None,
                answers: None,
                action: None,
                now: self.now,
            };
            requests.push(Request::seal(vault, asked)?);
        }
        let made = enqueue::apply(transaction, vault, &requests.iter().collect::<Vec<_>>()).await?;
        Ok(requests.iter().map(|request| request.uuid().to_owned()).zip(made).collect())
    }
}

impl Row {
    /// The row of the table, as long as it is as it was read.
    fn condition(&self) -> sea_orm::Condition {
        sea_orm::Condition::all()
            .add(Column::HostId.eq(self.host_id))
            .add(Column::ProfileId.eq(self.profile_id))
            .add(Column::Token.eq(&self.token))
            .add(Column::Operation.eq(self.operation))
            .add(Column::Status.eq(UNSENT))
    }
}

#[cfg(test)]
mod tests;
