//! Tables `scim_group` and `scim_member`: groups as an identity provider keeps them here, and who is in them.

use std::collections::BTreeSet;

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{QueryOrder, QuerySelect};

use crate::audit::{self, Event};
use crate::profile::change::By;
use crate::user::folded;
use crate::{Reader, StoreError, Transaction, Writer, owner, scim_user};

/// A row of `scim_group`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scim_group")]
pub struct Model {
    /// Its name here: a UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What people call it.
    pub display_name: String,
    /// The same in lower case; unique.
    pub folded_name: String,
    /// What the provider calls the row.
    pub external_id: Option<String>,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `scim_member`.
pub mod member {
    use sea_orm::entity::prelude::*;

    /// A row of `scim_member`: this person is in this group.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "scim_member")]
    pub struct Model {
        /// The group.
        #[sea_orm(primary_key, auto_increment = false)]
        pub group_id: String,
        /// The person.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a group is to be; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// See [`Model::display_name`].
    pub display_name: Option<String>,
    /// See [`Model::external_id`].
    pub external_id: Option<String>,
    /// Who is in it and nobody else.
    pub members: Option<Vec<String>>,
    /// Who joins it.
    pub join: Vec<String>,
    /// Who leaves it.
    pub leave: Vec<String>,
}

/// Which groups to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All.
    All,
    /// The one of this name.
    DisplayName(String),
    /// What the provider calls so.
    ExternalId(String),
}

/// What comes of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The row as it is now, and its members.
    Done(Model, Vec<String>),
    /// Another group has the name.
    Taken,
    /// There is no such row.
    Gone,
    /// Somebody who is to be in it is not there.
    NoSuchMember,
}

/// Makes a group (`is_new`), or changes one, with its members.
///
/// # Errors
/// See [`StoreError`].
pub async fn save(writer: &Writer, id: String, is_new: bool, wish: Wish, by: By) -> Result<Saved, StoreError> {
    let input = (writer.vault().clone(), id, is_new, wish, by);
    writer
        .run(input, |transaction, (vault, id, is_new, wish, by)| {
            Box::pin(async move {
                let before = Entity::find_by_id(&id).one(transaction).await?;
                if before.is_none() && !is_new {
                    return Ok(Saved::Gone);
                }
                let action = if before.is_some() { "scim_group.change" } else { "scim_group.make" };
                let saved = save_in(transaction, id.clone(), before, wish, by.at).await?;
                if let Saved::Done(row, _) = &saved {
                    let (at, actor, target) = (by.at, by.name, row.display_name.clone());
                    audit::record(transaction, &vault, Event { at, actor, action, target, detail: id }).await?;
                }
                Ok(saved)
            })
        })
        .await
}

async fn save_in(
    transaction: &Transaction,
    id: String,
    before: Option<Model>,
    wish: Wish,
    at: i64,
) -> Result<Saved, StoreError> {
    let known = before.as_ref();
    let display_name = wish.display_name.or_else(|| known.map(|row| row.display_name.clone())).unwrap_or_default();
    let row = Model {
        id: id.clone(),
        folded_name: folded(&display_name),
        external_id: wish.external_id.or_else(|| known.and_then(|row| row.external_id.clone())),
        created_at: known.map_or(at, |row| row.created_at),
        updated_at: at,
        display_name,
    };
    let same = Entity::find().filter(Column::FoldedName.eq(&row.folded_name)).filter(Column::Id.ne(&id));
    if same.one(transaction).await?.is_some() {
        return Ok(Saved::Taken);
    }
    let old: BTreeSet<String> = members_in(transaction, &id).await?.into_iter().collect();
    let mut new: BTreeSet<String> = wish.members.map_or_else(|| old.clone(), |members| members.into_iter().collect());
    new.extend(wish.join);
    new.retain(|user| !wish.leave.contains(user));
    let joining: Vec<String> = new.difference(&old).cloned().collect();
    if scim_user::these(transaction, &joining).await?.len() != joining.len() {
        return Ok(Saved::NoSuchMember);
    }
    let new_row = ActiveModel::from(row.clone()).reset_all();
    match known {
        Some(_) => drop(Entity::update(new_row).exec(transaction).await?),
        None => drop(Entity::insert(new_row).exec_without_returning(transaction).await?),
    }
    let leaving: Vec<String> = old.difference(&new).cloned().collect();
    for some in leaving.chunks(500) {
        let these = member::Column::UserId.is_in(some.iter().cloned());
        let gone = member::Entity::delete_many().filter(member::Column::GroupId.eq(&id)).filter(these);
        gone.exec(transaction).await?;
    }
    for some in joining.chunks(500) {
        let rows =
            some.iter().map(|user| member::ActiveModel { group_id: Set(id.clone()), user_id: Set(user.clone()) });
        let known = OnConflict::columns([member::Column::GroupId, member::Column::UserId]).do_nothing().to_owned();
        member::Entity::insert_many(rows).on_conflict(known).exec_without_returning(transaction).await?;
    }
    // With another name the group is another value for everybody in it.
    let renamed = known.is_some_and(|row_before| row_before.display_name != row.display_name);
    let affected: Vec<String> = match renamed {
        true => new.iter().chain(&leaving).cloned().collect(),
        false => joining.into_iter().chain(leaving).collect(),
    };
    tell_owners(transaction, &affected, at).await?;
    Ok(Saved::Done(row, new.into_iter().collect()))
}

/// Deletes a group; `false` if there is none.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: String, by: By) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), id, by);
    writer
        .run(input, |transaction, (vault, id, by)| {
            Box::pin(async move {
                let Some(row) = Entity::find_by_id(&id).one(transaction).await? else { return Ok(false) };
                let members = members_in(transaction, &id).await?;
                member::Entity::delete_many().filter(member::Column::GroupId.eq(&id)).exec(transaction).await?;
                Entity::delete_by_id(&id).exec(transaction).await?;
                tell_owners(transaction, &members, by.at).await?;
                let (at, actor, action) = (by.at, by.name, "scim_group.delete");
                audit::record(transaction, &vault, Event { at, actor, action, target: row.display_name, detail: id })
                    .await?;
                Ok(true)
            })
        })
        .await
}

/// The group with this name here, and who is in it.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: String) -> Result<Option<(Model, Vec<String>)>, StoreError> {
    reader
        .run(move |database| async move {
            let Some(row) = Entity::find_by_id(&id).one(&database).await? else { return Ok(None) };
            let members = member::Entity::find().filter(member::Column::GroupId.eq(id));
            let members = members.order_by_asc(member::Column::UserId).all(&database).await?;
            Ok(Some((row, members.into_iter().map(|member| member.user_id).collect())))
        })
        .await
}

/// Some groups, oldest first, and how many there are.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, filter: Filter, offset: u64, limit: u64) -> Result<(Vec<Model>, u64), StoreError> {
    reader
        .run(move |database| async move {
            let all = match filter {
                Filter::All => Entity::find(),
                Filter::DisplayName(name) => Entity::find().filter(Column::FoldedName.eq(folded(&name))),
                Filter::ExternalId(id) => Entity::find().filter(Column::ExternalId.eq(id)),
            };
            let count = all.clone().count(&database).await?;
            let page = all.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).offset(offset).limit(limit);
            Ok((page.all(&database).await?, count))
        })
        .await
}

/// The groups that somebody is in, in the order of their names.
///
/// # Errors
/// The database does not answer.
pub async fn of_user(reader: &Reader, user_id: String) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let memberships = member::Entity::find().filter(member::Column::UserId.eq(user_id)).all(&database).await?;
            let ids: Vec<String> = memberships.into_iter().map(|membership| membership.group_id).collect();
            let groups = Entity::find().filter(Column::Id.is_in(ids)).order_by_asc(Column::FoldedName);
            Ok(groups.all(&database).await?)
        })
        .await
}

/// A person is gone.
pub(crate) async fn forget_user(transaction: &Transaction, user_id: &str) -> Result<(), StoreError> {
    member::Entity::delete_many().filter(member::Column::UserId.eq(user_id)).exec(transaction).await?;
    Ok(())
}

async fn members_in(transaction: &Transaction, id: &str) -> Result<Vec<String>, StoreError> {
    let members = member::Entity::find().filter(member::Column::GroupId.eq(id)).all(transaction).await?;
    Ok(members.into_iter().map(|member| member.user_id).collect())
}

async fn tell_owners(transaction: &Transaction, users: &[String], at: i64) -> Result<(), StoreError> {
    let people = scim_user::these(transaction, users).await?;
    owner::changed(transaction, &scim_user::names_of(&people.iter().collect::<Vec<_>>()), at).await
}
