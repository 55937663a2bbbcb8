//! Replaces all profiles of a team that admins made, or says what that would change: the same is done then, and taken back.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use serde_json::json;

use super::change::{By, Draft, Saved, edited, insert, needs, take_away};
use super::{Column, Entity, Model, set_content};
use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::transaction::{end, savepoint};
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, profile_content, profile_label, profile_marking, team};

/// What a replacement changes, by the names of profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// These are new.
    pub added: Vec<String>,
    /// These have another content, or are for other hosts.
    pub changed: Vec<String>,
    /// These are gone.
    pub removed: Vec<String>,
    /// These stay as they are.
    pub unchanged: Vec<String>,
}

/// Replaces the profiles of a team (0: of hosts in none); with `dry_run` nothing stays written.
///
/// # Errors
/// See [`StoreError`].
pub async fn replace(
    writer: &Writer,
    team_id: i64,
    drafts: Vec<Draft>,
    dry_run: bool,
    by: By,
) -> Result<Result<Plan, Saved>, StoreError> {
    let input = (writer.vault().clone(), team_id, drafts, dry_run, by);
    writer
        .run(input, |transaction, (vault, team_id, drafts, dry_run, by)| {
            Box::pin(async move {
                let whole = savepoint(transaction).await?;
                let planned = replace_in(&whole, &vault, team_id, &drafts, &by).await?;
                end(whole, planned.is_ok() && !dry_run).await?;
                Ok(planned)
            })
        })
        .await
}

/// The same within somebody else's transaction, which has to be taken back where this is refused.
pub(crate) async fn replace_in(
    transaction: &Transaction,
    vault: &Vault,
    team_id: i64,
    drafts: &[Draft],
    by: &By,
) -> Result<Result<Plan, Saved>, StoreError> {
    let there = Entity::find().filter(Column::TeamId.eq(team_id)).all(transaction).await?;
    let mut plan = Plan::default();
    let mut kinds = BTreeSet::new();
    let mut kept = BTreeSet::new();
    let mut wanted = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let needs = match needs(transaction, draft).await? {
            Ok(needs) => needs,
            Err(refused) => return Ok(Err(refused)),
        };
        let same = there.iter().find(|row| row.is_replaced_by(draft));
        kept.extend(same.map(|row| row.id));
        wanted.push((draft, needs, same));
    }
    if let Some(refused) = clash(&there, drafts) {
        return Ok(Err(refused));
    }
    // What is gone, or is called something else, makes room for names before anything takes them.
    for gone in there.iter().filter(|row| !row.managed && !kept.contains(&row.id)) {
        plan.removed.push(gone.name.clone());
        kinds.insert(gone.kind);
        take_away(transaction, gone.id).await?;
    }
    let renamed = wanted.iter().filter_map(|(draft, _, same)| same.filter(|row| row.name != draft.name));
    let renamed = Column::Id.is_in(renamed.map(|row| row.id));
    Entity::update_many().col_expr(Column::Name, Expr::col(Column::Uuid)).filter(renamed).exec(transaction).await?;
    for (draft, needs, same) in wanted {
        let change = match same {
            None => {
                insert(transaction, vault, draft, &needs, by.at).await?;
                &mut plan.added
            }
            Some(row) => match edit(transaction, vault, row, draft, &needs, by.at).await? {
                true => &mut plan.changed,
                false => {
                    plan.unchanged.push(draft.name.clone());
                    continue;
                }
            },
        };
        change.push(draft.name.clone());
        kinds.insert(draft.kind);
    }
    record(transaction, vault, team_id, kinds, by).await?;
    Ok(Ok(plan))
}

/// Makes the server's own profile of this team, kind and name what the draft says, or takes it away where there is none.
pub(crate) async fn manage(
    transaction: &Transaction,
    vault: &Vault,
    (team_id, kind, name): (i64, i16, &str),
    draft: Option<&Draft>,
    now: i64,
) -> Result<Result<(), Saved>, StoreError> {
    let there = Entity::find().filter(Column::TeamId.eq(team_id)).filter(Column::Kind.eq(kind));
    let there = there.filter(Column::Name.eq(name)).filter(Column::Managed.eq(true)).one(transaction).await?;
    let Some(draft) = draft else {
        if let Some(gone) = there {
            take_away(transaction, gone.id).await?;
        }
        return Ok(Ok(()));
    };
    let needs = match needs(transaction, draft).await? {
        Ok(needs) => needs,
        Err(refused) => return Ok(Err(refused)),
    };
    match there {
        Some(row) => drop(edit(transaction, vault, &row, draft, &needs, now).await?),
        None => drop(insert(transaction, vault, draft, &needs, now).await?),
    }
    Ok(Ok(()))
}

/// Whether the drafts do not fit together, or with what the server made by itself.
fn clash(there: &[Model], drafts: &[Draft]) -> Option<Saved> {
    let managed = || there.iter().filter(|row| row.managed);
    let mut names: BTreeSet<&str> = managed().map(|row| row.name.as_str()).collect();
    let mut identifiers: BTreeSet<(i16, &str)> = managed().map(|row| (row.kind, row.identifier.as_str())).collect();
    for draft in drafts {
        if !names.insert(&draft.name) {
            return Some(Saved::NameTaken);
        }
        if !draft.identifier.is_empty() && !identifiers.insert((draft.kind, &draft.identifier)) {
            return Some(Saved::IdentifierTaken);
        }
    }
    None
}

/// Makes a profile what the draft says. Returns whether that is something else than it was.
async fn edit(
    transaction: &Transaction,
    vault: &Vault,
    row: &Model,
    draft: &Draft,
    needs: &super::change::Needs,
    now: i64,
) -> Result<bool, StoreError> {
    let content = profile_content::Entity::find_by_id(row.content_id).one(transaction).await?;
    let same_content = content.is_some_and(|content| content.token == needs.token);
    let same_hosts = profile_label::is_as(transaction, row.id, &draft.labels, &needs.labels).await?;
    let same_name = row.name == draft.name && row.scope == draft.scope && row.part == draft.part;
    if same_content && same_hosts && same_name && row.identifier == draft.identifier {
        return Ok(false);
    }
    Entity::update_many()
        .col_expr(Column::Name, draft.name.as_str().into())
        .col_expr(Column::Identifier, draft.identifier.as_str().into())
        .col_expr(Column::Scope, draft.scope.into())
        .col_expr(Column::Part, draft.part.into())
        .filter(Column::Id.eq(row.id))
        .exec(transaction)
        .await?;
    if !same_content {
        let token = needs.token.clone();
        let content_id = profile_content::insert(transaction, vault, row.id, &draft.body, token, now).await?;
        set_content(transaction, row.id, content_id, now).await?;
    }
    profile_label::replace(transaction, row.id, &draft.labels, &needs.labels).await?;
    profile_label::replace_variables(transaction, row.id, &draft.variables).await?;
    profile_marking::note(transaction, &[row.id]).await?;
    Ok(true)
}

async fn record(
    transaction: &Transaction,
    vault: &Vault,
    team_id: i64,
    kinds: BTreeSet<i16>,
    by: &By,
) -> Result<(), StoreError> {
    if kinds.is_empty() {
        return Ok(());
    }
    let team = team::Entity::find_by_id(team_id).one(transaction).await?;
    let name = team.as_ref().map(|team| team.name.clone());
    let said = json!({ "team_id": team.as_ref().map(|team| team.id), "team_name": name });
    let said = kinds.into_iter().map(|kind| Activity::new(edited(kind), said.clone())).collect();
    let target = name.unwrap_or_else(|| "no team".to_owned());
    let event = Event { at: by.at, actor: by.name.clone(), action: "profile.replace", target, detail: String::new() };
    chronicle(transaction, vault, event, said).await
}

impl Model {
    /// Whether a draft is another version of this profile: it has its identifier, or where there is none its name.
    fn is_replaced_by(&self, draft: &Draft) -> bool {
        let same =
            if draft.identifier.is_empty() { self.name == draft.name } else { self.identifier == draft.identifier };
        !self.managed && self.kind == draft.kind && same
    }
}
