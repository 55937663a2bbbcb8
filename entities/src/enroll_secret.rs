//! Table `enroll_secret`: what a person shows to be given an enrollment profile. There are few, so the one who shows a
//! secret is compared with all of them.

use openssl::memcmp;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder};
use serde_json::json;
use zeroize::Zeroizing;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::profile::change::By;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer, team};

pub(crate) static SECRET: SealedColumn = SealedColumn {
    table: "enroll_secret",
    column: "secret",
    key: &[Part::Number("id")],
    context: &[Part::Number("id")],
};

/// A row of `enroll_secret`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enroll_secret")]
pub struct Model {
    /// Row number; never given twice while the row before it stands.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The secret, sealed.
    pub secret: Sealed,
    /// When it was made.
    pub created_at: i64,
    /// The team that hosts join which enroll with it.
    pub team_id: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A secret that opens the door.
pub struct Opened {
    id: i64,
    /// The secret.
    pub secret: Zeroizing<String>,
    /// When it was made.
    pub created_at: i64,
    /// See [`Model::team_id`].
    pub team_id: Option<i64>,
}

/// The secret that opens the door, if this one does.
///
/// # Errors
/// The database does not answer, or a secret does not open.
pub async fn find(reader: &Reader, secret: &str) -> Result<Option<Opened>, StoreError> {
    let same =
        |known: &Opened| known.secret.len() == secret.len() && memcmp::eq(known.secret.as_bytes(), secret.as_bytes());
    let mut found = None;
    // All are compared, so that the time tells nothing.
    for known in all(reader).await? {
        if same(&known) {
            found = Some(known);
        }
    }
    Ok(found)
}

/// The secrets of a team, or those for hosts of none; oldest first.
///
/// # Errors
/// The database does not answer, or a secret does not open.
pub async fn list(reader: &Reader, team_id: Option<i64>) -> Result<Vec<Opened>, StoreError> {
    let mut known = all(reader).await?;
    known.retain(|secret| secret.team_id == team_id);
    Ok(known)
}

async fn all(reader: &Reader) -> Result<Vec<Opened>, StoreError> {
    let vault = reader.vault().clone();
    reader.run(move |database| async move { open_all(&database, &vault).await }).await
}

/// Replaces the secrets of a team, or those for hosts of none; those that are known already keep their age.
///
/// # Errors
/// [`StoreError::Conflict`] when another team has one of them; otherwise see [`StoreError`].
pub async fn replace(
    writer: &Writer,
    team_id: Option<i64>,
    secrets: Vec<String>,
    by: String,
    now: i64,
) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), team_id, secrets, By { name: by, at: now });
    writer
        .run(input, |transaction, (vault, team_id, secrets, by)| {
            Box::pin(async move { replace_in(transaction, &vault, team_id, secrets, &by).await.map(drop) })
        })
        .await
}

/// A team is gone, and so are its secrets.
pub(crate) async fn forget_team(transaction: &Transaction, team_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::TeamId.eq(team_id)).exec(transaction).await?;
    Ok(())
}

/// The same within somebody else's transaction; tells whether others work from now on.
pub(crate) async fn replace_in(
    transaction: &Transaction,
    vault: &Vault,
    team_id: Option<i64>,
    mut secrets: Vec<String>,
    by: &By,
) -> Result<bool, StoreError> {
    let (known, others): (Vec<_>, Vec<_>) =
        open_all(transaction, vault).await?.into_iter().partition(|row| row.team_id == team_id);
    if others.iter().any(|row| secrets.contains(&row.secret)) {
        return Err(StoreError::Conflict(
            "one of these enroll secrets is another team's: every secret leads to one team".into(),
        ));
    }
    secrets.sort_unstable();
    secrets.dedup();
    if known.len() == secrets.len() && known.iter().all(|row| secrets.contains(&row.secret)) {
        return Ok(false);
    }
    let detail = format!("{} now", secrets.len());
    let last = known.iter().chain(&others).map(|row| row.id).max().unwrap_or_default();
    let gone = known.iter().filter(|row| !secrets.contains(&row.secret)).map(|row| row.id);
    Entity::delete_many().filter(Column::Id.is_in(gone)).exec(transaction).await?;
    secrets.retain(|secret| known.iter().all(|row| *row.secret != *secret));
    for (id, secret) in (last + 1..).zip(secrets) {
        let sealed = SECRET.seal(vault, &[&id], &secret)?;
        let row = ActiveModel { id: Set(id), secret: Set(sealed), created_at: Set(by.at), team_id: Set(team_id) };
        Entity::insert(row).exec_without_returning(transaction).await?;
    }
    let team = match team_id {
        None => None,
        Some(id) => team::Entity::find_by_id(id).one(transaction).await?,
    };
    let said = json!({ "team_id": team_id, "team_name": team.map(|team| team.name) });
    let target = team_id.map(|id| format!("team {id}")).unwrap_or_default();
    let event = Event { at: by.at, actor: by.name.clone(), action: "enroll_secrets.replace", target, detail };
    chronicle(transaction, vault, event, vec![Activity::new("edited_enroll_secrets", said)]).await?;
    Ok(true)
}

async fn open_all(database: &impl ConnectionTrait, vault: &Vault) -> Result<Vec<Opened>, StoreError> {
    let rows = Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(database).await?;
    let open = |row: &Model| {
        let plain = Zeroizing::new(SECRET.open(vault, &[&row.id], &row.secret)?);
        let secret = Zeroizing::new(String::from_utf8_lossy(&plain).into_owned());
        Ok(Opened { id: row.id, secret, created_at: row.created_at, team_id: row.team_id })
    };
    rows.iter().map(open).collect()
}
