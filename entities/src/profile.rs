//! Table `profile`: what admins want the hosts of a team to have: configuration profiles and declarations for Apple's
//! devices, settings for Windows. Names are unique among all of them, identifiers among those of a kind; the database holds
//! to it.
//!
//! Start with [`change`] (how they change) and [`crate::marking`] (which hosts are to have them).

pub mod change;
pub mod rollout;
pub mod set;

use sea_orm::entity::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, profile_content, profile_label, profile_marking, secret_variable};

/// [`Model::kind`]: a configuration profile of Apple's.
pub const MOBILECONFIG: i16 = 0;
/// [`Model::kind`]: a declaration of Apple's.
pub const DECLARATION: i16 = 1;
/// [`Model::kind`]: a fragment of SyncML.
pub const WINDOWS: i16 = 2;

/// [`Model::scope`]: for the whole device.
pub const SYSTEM: i16 = 0;
/// [`Model::scope`]: for the user whom the server manages.
pub const USER: i16 = 1;

/// [`Model::part`]: a configuration, or no declaration at all.
pub const CONFIGURATION: i16 = 0;
/// [`Model::part`]: an asset.
pub const ASSET: i16 = 1;
/// [`Model::part`]: an activation.
pub const ACTIVATION: i16 = 2;
/// [`Model::part`]: a management declaration.
pub const MANAGEMENT: i16 = 3;

/// A row of `profile`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "profile")]
pub struct Model {
    /// Row number; never given twice.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// A name that never changes: `a`, `d` or `w` and a UUID.
    pub uuid: String,
    /// Its team; 0 for hosts that are in none.
    pub team_id: i64,
    /// [`MOBILECONFIG`], [`DECLARATION`] or [`WINDOWS`].
    pub kind: i16,
    /// What people call it.
    pub name: String,
    /// What devices call it; empty for Windows.
    pub identifier: String,
    /// [`SYSTEM`] or [`USER`].
    pub scope: i16,
    /// Of declarations: [`CONFIGURATION`], [`ASSET`], [`ACTIVATION`] or [`MANAGEMENT`].
    pub part: i16,
    /// Its current version.
    pub content_id: i64,
    /// Whether the server made it by itself: admins neither see nor delete it.
    pub managed: bool,
    /// Of how many hosts in a hundred have it so far; 100 for all.
    pub rollout_percent: i16,
    /// How many hosts may fail before the roll-out stops by itself.
    pub rollout_max_failures: Option<i64>,
    /// When it did, or an admin stopped it.
    pub rollout_stopped_at: Option<i64>,
    /// When it was made.
    pub created_at: i64,
    /// When its current version came.
    pub uploaded_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The profile with this UUID.
///
/// # Errors
/// The database does not answer.
pub async fn by_uuid(reader: &Reader, uuid: String) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move { Ok(Entity::find().filter(Column::Uuid.eq(uuid)).one(&database).await?) })
        .await
}

/// Those of the profiles with these row numbers that are there.
///
/// # Errors
/// The database does not answer.
pub async fn by_ids(reader: &Reader, ids: Vec<i64>) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move { Ok(Entity::find().filter(Column::Id.is_in(ids)).all(&database).await?) })
        .await
}

/// Profiles of a team (0: of none) that admins made, by name, from an offset on.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, team_id: i64, offset: u64, most: u64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::TeamId.eq(team_id)).filter(Column::Managed.eq(false));
            let rows = rows.order_by_asc(Column::Name).order_by_asc(Column::Id).offset(offset).limit(most);
            Ok(rows.all(&database).await?)
        })
        .await
}

/// The names of profiles.
pub(crate) async fn names(transaction: &Transaction, ids: Vec<i64>) -> Result<Vec<String>, StoreError> {
    let rows = Entity::find().select_only().column(Column::Name).filter(Column::Id.is_in(ids));
    Ok(rows.order_by_asc(Column::Name).into_tuple().all(transaction).await?)
}

/// A secret has another value: profiles that name it get a new version, and are looked at on all hosts.
pub(crate) async fn secret_changed(
    transaction: &Transaction,
    vault: &Vault,
    secret: &str,
    now: i64,
) -> Result<(), StoreError> {
    let name = format!("{}{secret}", secret_variable::PREFIX);
    let users = profile_label::that_name(transaction, &name).await?;
    for profile in Entity::find().filter(Column::Id.is_in(users.iter().copied())).all(transaction).await? {
        let content = profile_content::Entity::find_by_id(profile.content_id).one(transaction).await?;
        let Some(content) = content else { continue };
        let token = token_of(transaction, profile.id, &content.checksum).await?;
        if let Some(content_id) = profile_content::renew(transaction, vault, content.id, token, now).await? {
            set_content(transaction, profile.id, content_id, now).await?;
        }
    }
    profile_marking::note(transaction, &users).await
}

/// The token that a profile has with the secrets as they are now.
async fn token_of(transaction: &Transaction, profile_id: i64, checksum: &str) -> Result<String, StoreError> {
    use profile_label::variable;
    let variables = variable::Entity::find().filter(variable::Column::ProfileId.eq(profile_id));
    let variables: Vec<String> = variables.all(transaction).await?.into_iter().map(|row| row.name).collect();
    let (secrets, _) = secret_variable::revisions(transaction, &variables).await?;
    Ok(profile_content::token(checksum, &secrets))
}

async fn set_content(transaction: &Transaction, id: i64, content_id: i64, now: i64) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::ContentId, content_id.into())
        .col_expr(Column::UploadedAt, now.into())
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await?;
    Ok(())
}
