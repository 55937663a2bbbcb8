//! Table `webhook`: who is told of events, and where. Its keys are in `webhook_key`, what it was not told yet in
//! `webhook_delivery`.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::webhook_key::{self, NewKey};
use crate::{Reader, StoreError, Transaction, Writer, webhook_backlog};

/// [`Model::form`]: Fleet's.
const FLEET: i16 = 2;

/// Webhooks at most.
pub const MOST: u64 = 64;

pub(crate) static URL: SealedColumn =
    SealedColumn { table: "webhook", column: "url", key: &[Part::Number("id")], context: &[Part::Text("uuid")] };

/// A row of `webhook`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook")]
pub struct Model {
    /// Row number; never given twice.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// A name that never changes.
    pub uuid: String,
    /// What people call it; unique.
    pub name: String,
    /// Where events go, sealed: its query may hold a password.
    pub url: Sealed,
    /// `protocol::webhook::Form::code`.
    pub form: i16,
    /// Names of topics with commas between; empty for all.
    pub topics: String,
    /// Whether it wants requests that only ask for a command, too.
    pub idle: bool,
    /// Whether it is told of events at all.
    pub enabled: bool,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What can be changed of a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// See [`Model::name`].
    pub name: String,
    /// Where events go.
    pub url: String,
    /// See [`Model::topics`].
    pub topics: String,
    /// See [`Model::idle`].
    pub idle: bool,
    /// See [`Model::enabled`].
    pub enabled: bool,
}

/// A webhook that is to be made.
#[derive(Clone)]
pub struct New {
    /// See [`Model::uuid`].
    pub uuid: String,
    /// See [`Model::form`].
    pub form: i16,
    /// What can be changed later.
    pub settings: Settings,
    /// Its first key.
    pub key: NewKey,
}

/// Who changes a webhook, and when.
#[derive(Clone, Debug)]
pub struct By {
    /// The admin.
    pub name: String,
    /// The moment.
    pub at: i64,
}

impl Model {
    /// Where events go.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open_url(&self, vault: &Vault) -> Result<String, StoreError> {
        URL.open(vault, &[&self.uuid], &self.url).map(|url| String::from_utf8_lossy(&url).into_owned())
    }
}

impl By {
    pub(crate) fn event(self, action: &'static str, target: impl ToString, detail: String) -> Event {
        Event { at: self.at, actor: self.name, action, target: target.to_string(), detail }
    }
}

/// All of them, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader.run(|database| async move { Ok(Entity::find().order_by_asc(Column::Id).all(&database).await?) }).await
}

/// The webhook with this row number.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}

/// The webhooks that want activities: those of Fleet's form, which has nothing else to tell, and those that name the topic.
pub(crate) async fn who_wants_activities(transaction: &Transaction, topic: &str) -> Result<Vec<i64>, StoreError> {
    let rows = Entity::find().filter(Column::Enabled.eq(true)).all(transaction).await?;
    let wants = |row: &&Model| match row.topics.as_str() {
        "" => row.form == FLEET,
        topics => topics.split(',').any(|name| name == topic),
    };
    Ok(rows.iter().filter(wants).map(|row| row.id).collect())
}

/// Makes a webhook; returns its row number.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken, or there are too many; otherwise see [`StoreError`].
pub async fn create(writer: &Writer, new: New, by: By) -> Result<i64, StoreError> {
    let url = URL.seal(writer.vault(), &[&new.uuid], &new.settings.url)?;
    let input = (writer.vault().clone(), new, url, by);
    writer.run(input, |transaction, (vault, new, url, by)| Box::pin(create_in(transaction, vault, new, url, by))).await
}

async fn create_in(transaction: &Transaction, vault: Vault, new: New, url: Sealed, by: By) -> Result<i64, StoreError> {
    if Entity::find().count(transaction).await? >= MOST {
        return Err(StoreError::Conflict(format!("there are {MOST} webhooks already: delete one first")));
    }
    refuse_taken(transaction, &new.settings.name, None).await?;
    let Settings { name, topics, idle, enabled, .. } = new.settings;
    let called = name.clone();
    let detail = format!("{name:?}, form {}, topics [{topics}], idle {idle}, enabled {enabled}", new.form);
    let row = ActiveModel {
        id: ActiveValue::NotSet,
        uuid: Set(new.uuid),
        name: Set(name),
        url: Set(url),
        form: Set(new.form),
        topics: Set(topics),
        idle: Set(idle),
        enabled: Set(enabled),
        created_at: Set(by.at),
        updated_at: Set(by.at),
    };
    let id = Entity::insert(row).exec(transaction).await?.last_insert_id;
    webhook_key::insert(transaction, &vault, id, new.key, by.at).await?;
    let said = vec![Activity::new("created_webhook", json!({ "webhook_id": id, "webhook_name": called }))];
    chronicle(transaction, &vault, by.event("webhook.create", id, detail), said).await?;
    Ok(id)
}

/// Changes a webhook. `false`: there is none with this row number.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken; otherwise see [`StoreError`].
pub async fn change(writer: &Writer, id: i64, settings: Settings, by: By) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), id, settings, by);
    writer
        .run(input, |transaction, (vault, id, settings, by)| Box::pin(change_in(transaction, vault, id, settings, by)))
        .await
}

async fn change_in(
    transaction: &Transaction,
    vault: Vault,
    id: i64,
    settings: Settings,
    by: By,
) -> Result<bool, StoreError> {
    let Some(row) = Entity::find_by_id(id).one(transaction).await? else { return Ok(false) };
    refuse_taken(transaction, &settings.name, Some(id)).await?;
    let url = URL.seal(&vault, &[&row.uuid], &settings.url)?;
    let moved = if row.open_url(&vault).is_ok_and(|known| known == settings.url) { "same" } else { "new" };
    let Settings { name, topics, idle, enabled, .. } = settings;
    let said = vec![Activity::new("edited_webhook", json!({ "webhook_id": id, "webhook_name": name }))];
    let detail = format!("{name:?}, {moved} address, topics [{topics}], idle {idle}, enabled {enabled}");
    Entity::update_many()
        .col_expr(Column::Name, name.into())
        .col_expr(Column::Url, url.into())
        .col_expr(Column::Topics, topics.into())
        .col_expr(Column::Idle, idle.into())
        .col_expr(Column::Enabled, enabled.into())
        .col_expr(Column::UpdatedAt, by.at.into())
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await?;
    chronicle(transaction, &vault, by.event("webhook.change", id, detail), said).await?;
    Ok(true)
}

async fn refuse_taken(transaction: &Transaction, name: &str, except: Option<i64>) -> Result<(), StoreError> {
    let same = Entity::find().filter(Column::Name.eq(name)).filter(Column::Id.ne(except.unwrap_or(0)));
    match same.one(transaction).await? {
        None => Ok(()),
        Some(_) => Err(StoreError::Conflict(format!("another webhook is called {name:?}: choose another name"))),
    }
}

/// Deletes a webhook with its keys and the first of its deliveries; [`webhook_backlog::forget_gone`] takes the rest.
/// `false`: there is none with this row number.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: By) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), id, by);
    writer.run(input, |transaction, (vault, id, by)| Box::pin(delete_in(transaction, vault, id, by))).await
}

async fn delete_in(transaction: &Transaction, vault: Vault, id: i64, by: By) -> Result<bool, StoreError> {
    let Some(row) = Entity::find_by_id(id).one(transaction).await? else { return Ok(false) };
    webhook_key::delete_all(transaction, id).await?;
    Entity::delete_by_id(id).exec(transaction).await?;
    webhook_backlog::delete_some(transaction, id).await?;
    let said = vec![Activity::new("deleted_webhook", json!({ "webhook_id": id, "webhook_name": row.name }))];
    chronicle(transaction, &vault, by.event("webhook.delete", id, format!("{:?}", row.name)), said).await?;
    Ok(true)
}
