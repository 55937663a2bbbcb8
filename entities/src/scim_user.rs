//! Table `scim_user`: people as an identity provider keeps them here. Whoever enrolled a device and has the same user name or email
//! address is one of them, and what is known of them goes into the profiles of their hosts ([`crate::owner`]).

use sea_orm::entity::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

use crate::audit::{self, Event};
use crate::profile::change::By;
use crate::user::folded;
use crate::{Reader, StoreError, Transaction, Writer, owner, scim_group};

/// A row of `scim_user`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scim_user")]
pub struct Model {
    /// Its name here: a UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What the provider calls the person.
    pub user_name: String,
    /// The same in lower case; unique.
    pub folded_user_name: String,
    /// What the provider calls the row.
    pub external_id: Option<String>,
    /// Whether the person may use anything at all, as the provider says.
    pub active: bool,
    /// Their given name; may be empty, as the following.
    pub given_name: String,
    /// Their family name.
    pub family_name: String,
    /// What people call them.
    pub display_name: String,
    /// Their department.
    pub department: String,
    /// Their first email address, in lower case.
    pub folded_email: String,
    /// All of them, as the provider wrote them: a JSON text.
    pub emails: String,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a person is to be.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// See [`Model::user_name`].
    pub user_name: String,
    /// See [`Model::external_id`].
    pub external_id: Option<String>,
    /// See [`Model::active`].
    pub active: bool,
    /// See [`Model::given_name`].
    pub given_name: String,
    /// See [`Model::family_name`].
    pub family_name: String,
    /// See [`Model::display_name`].
    pub display_name: String,
    /// See [`Model::department`].
    pub department: String,
    /// Their first email address.
    pub email: String,
    /// See [`Model::emails`].
    pub emails: String,
}

/// Which people to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All.
    All,
    /// Whoever has this user name.
    UserName(String),
    /// Whoever the provider calls so.
    ExternalId(String),
    /// Whoever has this email address first.
    Email(String),
}

/// What comes of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The row as it is now.
    Done(Box<Model>),
    /// Somebody else has the user name.
    Taken,
    /// There is no such row.
    Gone,
}

/// Makes a person (`is_new`), or changes one.
///
/// # Errors
/// See [`StoreError`].
pub async fn save(writer: &Writer, id: String, is_new: bool, wish: Wish, by: By) -> Result<Saved, StoreError> {
    let input = (writer.vault().clone(), id, is_new, wish, by);
    writer
        .run(input, |transaction, (vault, id, is_new, wish, by)| {
            Box::pin(async move {
                let name = folded(&wish.user_name);
                let same = Entity::find().filter(Column::FoldedUserName.eq(name)).filter(Column::Id.ne(&id));
                if same.one(transaction).await?.is_some() {
                    return Ok(Saved::Taken);
                }
                let before = Entity::find_by_id(&id).one(transaction).await?;
                if before.is_none() && !is_new {
                    return Ok(Saved::Gone);
                }
                let created_at = before.as_ref().map_or(by.at, |row| row.created_at);
                let row = wish.into_row(id.clone(), created_at, by.at);
                let new = ActiveModel::from(row.clone()).reset_all();
                match &before {
                    Some(_) => drop(Entity::update(new).exec(transaction).await?),
                    None => drop(Entity::insert(new).exec_without_returning(transaction).await?),
                }
                let affected: Vec<&Model> = before.iter().chain([&row]).collect();
                owner::changed(transaction, &names_of(&affected), by.at).await?;
                let action = if before.is_some() { "scim_user.change" } else { "scim_user.make" };
                let (at, actor, target) = (by.at, by.name, row.user_name.clone());
                audit::record(transaction, &vault, Event { at, actor, action, target, detail: id }).await?;
                Ok(Saved::Done(Box::new(row)))
            })
        })
        .await
}

/// Deletes a person; `false` if there is none.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: String, by: By) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), id, by);
    writer
        .run(input, |transaction, (vault, id, by)| {
            Box::pin(async move {
                let Some(row) = Entity::find_by_id(&id).one(transaction).await? else { return Ok(false) };
                scim_group::forget_user(transaction, &id).await?;
                Entity::delete_by_id(&id).exec(transaction).await?;
                owner::changed(transaction, &names_of(&[&row]), by.at).await?;
                let (at, actor, action) = (by.at, by.name, "scim_user.delete");
                audit::record(transaction, &vault, Event { at, actor, action, target: row.user_name, detail: id })
                    .await?;
                Ok(true)
            })
        })
        .await
}

/// The person with this name here.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: String) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}

/// Some people, oldest first, and how many there are.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, filter: Filter, offset: u64, limit: u64) -> Result<(Vec<Model>, u64), StoreError> {
    reader
        .run(move |database| async move {
            let all = match filter {
                Filter::All => Entity::find(),
                Filter::UserName(name) => Entity::find().filter(Column::FoldedUserName.eq(folded(&name))),
                Filter::ExternalId(id) => Entity::find().filter(Column::ExternalId.eq(id)),
                Filter::Email(email) => Entity::find().filter(Column::FoldedEmail.eq(folded(&email))),
            };
            let count = all.clone().count(&database).await?;
            let page = all.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).offset(offset).limit(limit);
            Ok((page.all(&database).await?, count))
        })
        .await
}

/// By what the owner of an account is known to be one of these people.
pub(crate) fn names_of(people: &[&Model]) -> Vec<String> {
    let mut names: Vec<String> =
        people.iter().flat_map(|row| [row.folded_user_name.clone(), row.folded_email.clone()]).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// These people, within a transaction.
pub(crate) async fn these(transaction: &Transaction, ids: &[String]) -> Result<Vec<Model>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for some in ids.chunks(500) {
        found.extend(Entity::find().filter(Column::Id.is_in(some.iter().cloned())).all(transaction).await?);
    }
    Ok(found)
}

impl Model {
    /// What people call them: what the provider says so, or both their names.
    pub fn full_name(&self) -> String {
        match self.display_name.as_str() {
            "" => format!("{} {}", self.given_name, self.family_name).trim().to_owned(),
            name => name.to_owned(),
        }
    }
}

impl Wish {
    fn into_row(self, id: String, created_at: i64, updated_at: i64) -> Model {
        Model {
            id,
            folded_user_name: folded(&self.user_name),
            user_name: self.user_name,
            external_id: self.external_id,
            active: self.active,
            given_name: self.given_name,
            family_name: self.family_name,
            display_name: self.display_name,
            department: self.department,
            folded_email: folded(&self.email),
            emails: self.emails,
            created_at,
            updated_at,
        }
    }
}
