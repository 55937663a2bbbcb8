//! Changes of labels and of the hosts that have them.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ActiveValue, ActiveValue::Set, ConnectionTrait, QuerySelect, QueryTrait};
use serde_json::json;

use super::{BUILT_IN, Column, DYNAMIC, Entity, MANUAL, Model, Rule, member};
use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::profile::change::By;
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, host, profile_label};

/// Rows that one statement names.
const AT_ONCE: usize = 500;

/// What a label is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// Which one; `None` for a new one.
    pub id: Option<i64>,
    /// See [`Model::name`].
    pub name: String,
    /// See [`Model::description`].
    pub description: String,
    /// The rule of a dynamic label; `None` for a manual one.
    pub rule: Option<Rule>,
    /// The hosts that a manual label has from now on; `None`: as before.
    pub hosts: Option<Vec<i64>>,
}

impl Save {
    /// See [`Model::kind`].
    fn kind(&self) -> i16 {
        if self.rule.is_some() { DYNAMIC } else { MANUAL }
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done(Model),
    /// There is no such label.
    NotFound,
    /// Every server has it as it is.
    BuiltIn,
    /// A dynamic label stays one, and so does a manual one; the hosts of a dynamic one are its rule's.
    OtherKind,
}

/// Makes a label, or changes one.
///
/// # Errors
/// [`StoreError::Conflict`] when another one has the name; otherwise see [`StoreError`].
pub async fn save(writer: &Writer, save: Save, by: String, now: i64) -> Result<Changed, StoreError> {
    let input = (writer.vault().clone(), save, By { name: by, at: now });
    writer
        .run(input, |transaction, (vault, save, by)| {
            Box::pin(async move { save_in(transaction, &vault, save, &by).await })
        })
        .await
}

/// The same within somebody else's transaction.
pub(crate) async fn save_in(
    transaction: &Transaction,
    vault: &Vault,
    save: Save,
    by: &By,
) -> Result<Changed, StoreError> {
    let kind = save.kind();
    if let Some(id) = save.id {
        match Entity::find_by_id(id).one(transaction).await? {
            None => return Ok(Changed::NotFound),
            Some(label) if label.kind == BUILT_IN => return Ok(Changed::BuiltIn),
            Some(label) if label.kind != kind => return Ok(Changed::OtherKind),
            Some(_) => {}
        }
    }
    let row = super::ActiveModel {
        id: save.id.map_or(ActiveValue::NotSet, Set),
        folded_name: Set(save.name.to_lowercase()),
        name: Set(save.name),
        description: Set(save.description),
        kind: Set(kind),
        vital: Set(save.rule.as_ref().map(|rule| rule.vital.name().to_owned())),
        pattern: Set(save.rule.as_ref().map(|rule| rule.pattern.clone())),
        created_at: save.id.map_or(Set(by.at), |_| ActiveValue::NotSet),
        updated_at: Set(by.at),
    };
    let label = match save.id {
        None => Entity::insert(row).exec_with_returning(transaction).await?,
        Some(_) => Entity::update(row).exec(transaction).await?,
    };
    match (&save.rule, &save.hosts) {
        (Some(rule), _) => look_at_all(transaction, label.id, rule).await?,
        (None, Some(hosts)) => replace_hosts(transaction, label.id, hosts).await?,
        (None, None) => {}
    }
    let (action, kind) = match save.id {
        Some(_) => ("label.change", "edited_label"),
        None => ("label.create", "created_label"),
    };
    record(transaction, vault, (action, kind), &label, by).await?;
    Ok(Changed::Done(label))
}

/// Whether a label is already what it is to be.
pub(crate) async fn is_as(transaction: &Transaction, label: &Model, save: &Save) -> Result<bool, StoreError> {
    let same = label.name == save.name && label.description == save.description;
    if !same || label.kind != save.kind() || label.rule() != save.rule {
        return Ok(false);
    }
    let Some(wanted) = &save.hosts else { return Ok(true) };
    let wanted: BTreeSet<i64> = wanted.iter().copied().collect();
    Ok(wanted == members_of(transaction, label.id).await?)
}

/// Deletes a label; no host has it any more.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, now: i64) -> Result<Changed, StoreError> {
    let input = (writer.vault().clone(), id, By { name: by, at: now });
    writer
        .run(input, |transaction, (vault, id, by)| {
            Box::pin(async move { delete_in(transaction, &vault, id, &by).await })
        })
        .await
}

/// The same within somebody else's transaction.
pub(crate) async fn delete_in(
    transaction: &Transaction,
    vault: &Vault,
    id: i64,
    by: &By,
) -> Result<Changed, StoreError> {
    let label = match Entity::find_by_id(id).one(transaction).await? {
        None => return Ok(Changed::NotFound),
        Some(label) if label.kind == BUILT_IN => return Ok(Changed::BuiltIn),
        Some(label) => label,
    };
    profile_label::break_off(transaction, id).await?;
    member::Entity::delete_many().filter(member::Column::LabelId.eq(id)).exec(transaction).await?;
    Entity::delete_by_id(id).exec(transaction).await?;
    record(transaction, vault, ("label.delete", "deleted_label"), &label, by).await?;
    Ok(Changed::Done(label))
}

/// Gives a host manual labels, or takes them away. Returns those names that are no manual labels; then nothing changed.
///
/// # Errors
/// See [`StoreError`].
pub async fn label_host(
    writer: &Writer,
    host_id: i64,
    names: Vec<String>,
    give: bool,
    by: String,
    now: i64,
) -> Result<Vec<String>, StoreError> {
    let input = (writer.vault().clone(), host_id, names, give, by, now);
    writer
        .run(input, |transaction, (vault, host_id, names, give, by, now)| {
            Box::pin(async move {
                let folded: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
                let known = Entity::find().filter(Column::FoldedName.is_in(&folded)).filter(Column::Kind.eq(MANUAL));
                let known = known.all(transaction).await?;
                let is_known = |name: &String| known.iter().any(|label| label.folded_name == name.to_lowercase());
                let unknown: Vec<String> = names.iter().filter(|name| !is_known(name)).cloned().collect();
                if !unknown.is_empty() {
                    return Ok(unknown);
                }
                let ids: Vec<i64> = known.iter().map(|label| label.id).collect();
                if give {
                    add(transaction, ids.iter().map(|label| (*label, host_id)).collect()).await?;
                } else {
                    take(transaction, host_id, &ids).await?;
                }
                let (action, kind) = match give {
                    true => ("host.label", "added_host_labels"),
                    false => ("host.unlabel", "removed_host_labels"),
                };
                let host = host::Entity::find_by_id(host_id).one(transaction).await?;
                let name = host.as_ref().map(host::Model::display_name);
                let said = json!({ "host_id": host_id, "host_display_name": name, "labels": names });
                let said = vec![Activity::new(kind, said).about(vec![host_id])];
                let (target, detail) = (format!("host {host_id}"), names.join(", "));
                chronicle(transaction, &vault, Event { at: now, actor: by, action, target, detail }, said).await?;
                Ok(Vec::new())
            })
        })
        .await
}

/// Hosts are new, or are others than they were: each gets the labels whose rules fit, and loses those whose rules do not.
pub(crate) async fn look_at(transaction: &Transaction, hosts: &[host::Model]) -> Result<(), StoreError> {
    let ruled = Entity::find().filter(Column::Vital.is_not_null()).all(transaction).await?;
    let rules: Vec<(i64, Rule)> = ruled.iter().filter_map(|label| Some((label.id, label.rule()?))).collect();
    for some in hosts.chunks(AT_ONCE) {
        let members = member::Entity::find().filter(member::Column::HostId.is_in(some.iter().map(|host| host.id)));
        let has: BTreeSet<(i64, i64)> =
            members.all(transaction).await?.iter().map(|row| (row.label_id, row.host_id)).collect();
        let mut new = Vec::new();
        for host in some {
            let mut lost = Vec::new();
            for (label, rule) in &rules {
                match (rule.fits(host), has.contains(&(*label, host.id))) {
                    (true, false) => new.push((*label, host.id)),
                    (false, true) => lost.push(*label),
                    _ => {}
                }
            }
            take(transaction, host.id, &lost).await?;
        }
        for some in new.chunks(AT_ONCE) {
            add(transaction, some.to_vec()).await?;
        }
    }
    Ok(())
}

/// Hosts are gone: they have no label any more.
pub(crate) async fn forget_hosts(transaction: &Transaction, hosts: &[i64]) -> Result<(), StoreError> {
    let of_these = member::Column::HostId.is_in(hosts.iter().copied());
    member::Entity::delete_many().filter(of_these).exec(transaction).await?;
    Ok(())
}

/// One host turns out to be another one: that one gets its labels.
pub(crate) async fn hand_over(transaction: &Transaction, from: i64, to: i64) -> Result<(), StoreError> {
    let labels = member::Entity::find().select_only().column(member::Column::LabelId);
    let labels = labels.filter(member::Column::HostId.eq(from)).into_tuple::<i64>().all(transaction).await?;
    forget_hosts(transaction, &[from]).await?;
    add(transaction, labels.into_iter().map(|label| (label, to)).collect()).await
}

/// A rule is new: it is looked at for all hosts. Only the rows of those whom it makes a difference to are touched.
async fn look_at_all(transaction: &Transaction, label_id: i64, rule: &Rule) -> Result<(), StoreError> {
    let fitting = host::Entity::find()
        .select_only()
        .expr(Expr::value(label_id))
        .column(host::Column::Id)
        .filter(host::is_there())
        .filter(rule.condition());
    let known = OnConflict::columns([member::Column::LabelId, member::Column::HostId]).do_nothing().to_owned();
    let insert = Query::insert()
        .into_table(member::Entity)
        .columns([member::Column::LabelId, member::Column::HostId])
        .select_from(fitting.into_query())
        .map_err(|error| StoreError::NotApplied(error.to_string()))?
        .on_conflict(known)
        .to_owned();
    transaction.execute(&insert).await?;
    let fitting = host::Entity::find().select_only().column(host::Column::Id);
    let fitting = fitting.filter(host::is_there()).filter(rule.condition()).into_query();
    member::Entity::delete_many()
        .filter(member::Column::LabelId.eq(label_id))
        .filter(member::Column::HostId.not_in_subquery(fitting))
        .exec(transaction)
        .await?;
    Ok(())
}

/// The same for a manual label.
async fn replace_hosts(transaction: &Transaction, label_id: i64, hosts: &[i64]) -> Result<(), StoreError> {
    let has = members_of(transaction, label_id).await?;
    let wanted: BTreeSet<i64> = hosts.iter().copied().collect();
    let lost: Vec<i64> = has.iter().copied().filter(|host| !wanted.contains(host)).collect();
    for some in lost.chunks(AT_ONCE) {
        let these = member::Column::HostId.is_in(some.iter().copied());
        let lost = member::Entity::delete_many().filter(member::Column::LabelId.eq(label_id)).filter(these);
        lost.exec(transaction).await?;
    }
    let new: Vec<i64> = wanted.difference(&has).copied().collect();
    for some in new.chunks(AT_ONCE) {
        let there = host::Entity::find().select_only().column(host::Column::Id).filter(host::is_there());
        let there = there.filter(host::Column::Id.is_in(some.iter().copied()));
        let there = there.into_tuple::<i64>().all(transaction).await?;
        add(transaction, there.into_iter().map(|host| (label_id, host)).collect()).await?;
    }
    Ok(())
}

async fn members_of(transaction: &Transaction, label_id: i64) -> Result<BTreeSet<i64>, StoreError> {
    let has = member::Entity::find().select_only().column(member::Column::HostId);
    let has = has.filter(member::Column::LabelId.eq(label_id)).into_tuple::<i64>().all(transaction).await?;
    Ok(has.into_iter().collect())
}

async fn add(transaction: &Transaction, members: Vec<(i64, i64)>) -> Result<(), StoreError> {
    if members.is_empty() {
        return Ok(());
    }
    let rows = members
        .into_iter()
        .map(|(label_id, host_id)| member::ActiveModel { label_id: Set(label_id), host_id: Set(host_id) });
    let known = OnConflict::columns([member::Column::LabelId, member::Column::HostId]).do_nothing().to_owned();
    member::Entity::insert_many(rows).on_conflict(known).exec_without_returning(transaction).await?;
    Ok(())
}

async fn take(transaction: &Transaction, host_id: i64, labels: &[i64]) -> Result<(), StoreError> {
    if labels.is_empty() {
        return Ok(());
    }
    member::Entity::delete_many()
        .filter(member::Column::HostId.eq(host_id))
        .filter(member::Column::LabelId.is_in(labels.iter().copied()))
        .exec(transaction)
        .await?;
    Ok(())
}

async fn record(
    transaction: &Transaction,
    vault: &Vault,
    (action, kind): (&'static str, &'static str),
    label: &Model,
    by: &By,
) -> Result<(), StoreError> {
    let (target, detail) = (label.name.clone(), format!("label {}", label.id));
    let said = json!({ "label_id": label.id, "label_name": label.name });
    let event = Event { at: by.at, actor: by.name.clone(), action, target, detail };
    chronicle(transaction, vault, event, vec![Activity::new(kind, said)]).await
}
