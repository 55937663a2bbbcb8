//! Table `host`: every device that anyone told us of, once. The source of truth; enrollments point to it.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{QueryOrder, QuerySelect};

use crate::news::{self, News};
use crate::queue_window::{self, Window};
use crate::{
    Reader, StoreError, Transaction, enrollment, host_action, identity, team, windows_enrollment, windows_host,
};

/// [`Model::mdm_status`]: known, never managed.
pub const OFF: i16 = 0;
/// [`Model::mdm_status`]: enrolled by a person who opened a profile.
pub const ON_MANUAL: i16 = 1;
/// [`Model::mdm_status`]: enrolled by itself, because its organisation bought it so.
pub const ON_AUTOMATIC: i16 = 2;
/// [`Model::mdm_status`]: a personal device, enrolled for one account.
pub const ON_PERSONAL: i16 = 3;
/// [`Model::mdm_status`]: its organisation bought it, and it has not enrolled yet.
pub const PENDING: i16 = 4;

/// A row of `host`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Hardware UUID (Apple's UDID), or the enrollment id of a device that hides it; unique.
    pub uuid: Option<String>,
    /// Serial number; unique. Placeholders count as none.
    pub serial: Option<String>,
    /// `darwin`, `ios`, `ipados`, `tvos`, `watchos`, `visionos`, `windows`, or empty while unknown.
    pub platform: String,
    /// For example `MacBookPro16,1`.
    pub hardware_model: String,
    /// The name its owner gave it.
    pub computer_name: String,
    /// For example `15.1`.
    pub os_version: String,
    /// For example `24B83`.
    pub build_version: String,
    /// [`OFF`], [`ON_MANUAL`], [`ON_AUTOMATIC`], [`ON_PERSONAL`] or [`PENDING`].
    pub mdm_status: i16,
    /// The team it belongs to.
    pub team_id: Option<i64>,
    /// When its actor must be woken at the latest, if anything is due. Never later than what is really due.
    pub wake_at: Option<i64>,
    /// When we first heard of it.
    pub created_at: i64,
    /// When this row last changed, other than by being seen.
    pub updated_at: i64,
    /// When it last spoke to us, through its management or through an agent; written with some delay.
    pub last_seen_at: Option<i64>,
    /// When its management last spoke to us; written with some delay.
    pub mdm_seen_at: Option<i64>,
    /// When an admin deleted it; nobody sees it until it speaks again.
    pub deleted_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What people see as its name: the computer's, or what else is known, as Fleet has it.
    pub fn display_name(&self) -> String {
        match (self.computer_name.as_str(), self.serial.as_deref()) {
            ("", Some(serial)) => format!("{} ({serial})", self.hardware_model).trim_start().to_owned(),
            ("", None) => self.hardware_model.clone(),
            (name, _) => name.to_owned(),
        }
    }
}

/// What a device, or somebody else, says about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// See [`Model::uuid`]; empty where nobody said it.
    pub uuid: String,
    /// See [`Model::serial`]; already `None` for placeholders.
    pub serial: Option<String>,
    /// See [`Model::platform`].
    pub platform: String,
    /// See [`Model::hardware_model`].
    pub hardware_model: String,
    /// See [`Model::computer_name`].
    pub computer_name: String,
    /// See [`Model::os_version`].
    pub os_version: String,
    /// See [`Model::build_version`].
    pub build_version: String,
}

/// A host with everything its actor needs, as of one moment.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The host.
    pub host: Model,
    /// Its channels.
    pub enrollments: Vec<enrollment::Model>,
    /// The first pending commands of each of its channels.
    pub windows: Vec<Window>,
    /// The certificates that may speak for its device channels.
    pub identities: Vec<identity::Model>,
    /// Whether it is unlocked when its device comes the next time.
    pub awaits_unlock: bool,
    /// What its Windows channels are.
    pub windows_enrollments: Vec<windows_enrollment::Model>,
}

/// A host with its channels, the first `window` pending commands of each, and its certificates; `None` when there is no
/// such host.
///
/// # Errors
/// The database does not answer.
pub async fn load(reader: &Reader, id: i64, window: u64) -> Result<Option<Loaded>, StoreError> {
    reader
        .run(move |database| async move {
            let Some(host) = Entity::find_by_id(id).one(&database).await? else { return Ok(None) };
            let enrollments = enrollment::Entity::find()
                .filter(enrollment::Column::HostId.eq(id))
                .order_by_asc(enrollment::Column::Id)
                .all(&database)
                .await?;
            let mut windows = Vec::with_capacity(enrollments.len());
            for row in &enrollments {
                windows.push(queue_window::read(&database, row.id, row.generation, window).await?);
            }
            let identities = identity::list_live(&database, enrollments.iter().map(|row| row.id)).await?;
            let awaits_unlock = host_action::awaits_unlock(&database, id).await?;
            let windows_enrollments = windows_host::of_channels(&database, &enrollments).await?;
            Ok(Some(Loaded { host, enrollments, windows, identities, awaits_unlock, windows_enrollments }))
        })
        .await
}

/// The host with this row number, unless it was deleted.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).filter(is_there()).one(&database).await?) }).await
}

/// The host with this serial number, unless it was deleted.
///
/// # Errors
/// The database does not answer.
pub async fn by_serial(reader: &Reader, serial: String) -> Result<Option<Model>, StoreError> {
    reader
        .run(|database| async move {
            Ok(Entity::find().filter(Column::Serial.eq(serial)).filter(is_there()).one(&database).await?)
        })
        .await
}

/// The host that a UUID, a serial number or a computer name means; an exact UUID counts before a serial number. Deleted ones
/// are not found.
///
/// # Errors
/// The database does not answer.
pub async fn by_identifier(reader: &Reader, identifier: String) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move {
            for column in [Column::Uuid, Column::Serial, Column::ComputerName] {
                let found = Entity::find().filter(column.eq(identifier.as_str())).filter(is_there());
                let found = found.order_by_asc(Column::Id);
                if let Some(row) = found.one(&database).await? {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })
        .await
}

/// The hosts that these UUIDs, serial numbers or computer names mean, as [`by_identifier`] finds them: some hundred in each
/// query. Names that mean none are left out.
///
/// # Errors
/// The database does not answer.
pub async fn ids_by_identifiers(reader: &Reader, names: Vec<String>) -> Result<HashMap<String, i64>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = HashMap::with_capacity(names.len());
            for some in names.chunks(500) {
                // What is looked for last is inserted first, so that a better match takes its place.
                for column in [Column::ComputerName, Column::Serial, Column::Uuid] {
                    let rows = Entity::find().select_only().columns([column, Column::Id]);
                    let rows = rows.filter(column.is_in(some)).filter(is_there()).order_by_desc(Column::Id);
                    found.extend(rows.into_tuple::<(String, i64)>().all(&database).await?);
                }
            }
            Ok(found)
        })
        .await
}

/// The hosts with these UUIDs, in no particular order, without deleted ones.
///
/// # Errors
/// The database does not answer.
pub async fn list_by_uuids(reader: &Reader, uuids: Vec<String>) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = Vec::with_capacity(uuids.len());
            for some in uuids.chunks(1000) {
                let found_here = Entity::find().filter(Column::Uuid.is_in(some)).filter(is_there());
                found.extend(found_here.all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// Nobody deleted it.
pub(crate) fn is_there() -> Expr {
    Expr::col((Entity, Column::DeletedAt)).is_null()
}

/// Lets a host join a team, if it is in none and the team is still there.
pub(crate) async fn join_team(transaction: &Transaction, host_id: i64, team_id: i64) -> Result<(), StoreError> {
    if team::Entity::find_by_id(team_id).one(transaction).await?.is_none() {
        return Ok(());
    }
    Entity::update_many()
        .col_expr(Column::TeamId, team_id.into())
        .filter(Column::Id.eq(host_id))
        .filter(Column::TeamId.is_null())
        .exec(transaction)
        .await?;
    Ok(())
}

/// Puts a host into a team, or into none, whatever it is in.
pub(crate) async fn set_team(transaction: &Transaction, host_id: i64, team_id: Option<i64>) -> Result<(), StoreError> {
    let joining = Entity::update_many().col_expr(Column::TeamId, team_id.into()).filter(Column::Id.eq(host_id));
    joining.exec(transaction).await?;
    Ok(())
}

/// Sets the status of a host's management.
pub(crate) async fn set_mdm_status(
    transaction: &Transaction,
    host_id: i64,
    status: i16,
    now: i64,
) -> Result<(), StoreError> {
    news::note(News::Host(host_id));
    Entity::update_many()
        .col_expr(Column::MdmStatus, status.into())
        .col_expr(Column::UpdatedAt, now.into())
        .filter(Column::Id.eq(host_id))
        .filter(Column::MdmStatus.ne(status))
        .exec(transaction)
        .await?;
    Ok(())
}
