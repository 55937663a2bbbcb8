//! Table `windows_enrollment`: what a Windows device said of itself when it enrolled, and how it is managed. A satellite of
//! `enrollment`, whose `external_id` is the name that this server gave it (the subject of its certificate, and its `EntDMID`).
//!
//! A `device_id` is the device's claim: several enrollments may claim the same one, and only a certificate or a digest tells
//! which of them speaks.

use sea_orm::entity::prelude::*;

use crate::{Reader, StoreError};

/// [`Model::enrollment_type`]: the device as a whole (Entra join, Autopilot, bulk).
pub const DEVICE: i16 = 0;
/// [`Model::enrollment_type`]: the device through one of its users.
pub const FULL: i16 = 1;

/// A row of `windows_enrollment`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "windows_enrollment")]
pub struct Model {
    /// The enrollment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub enrollment_id: i64,
    /// `DeviceID`: the `Source` of the device's sessions.
    pub device_id: String,
    /// `HWDevID`.
    pub hardware_id: Option<String>,
    /// `DeviceName`.
    pub device_name: String,
    /// [`DEVICE`] or [`FULL`].
    pub enrollment_type: i16,
    /// The user's name at the identity provider.
    pub upn: Option<String>,
    /// Who entitled the enrollment, where that is somebody who may enroll the same device again.
    pub owner: Option<String>,
    /// `OSEdition`.
    pub os_edition: Option<String>,
    /// `OSVersion`.
    pub os_version: Option<String>,
    /// `ApplicationVersion`.
    pub application_version: Option<String>,
    /// `RequestVersion`.
    pub request_version: Option<String>,
    /// `Locale`.
    pub locale: Option<String>,
    /// `NotInOobe`: false while the device is being set up.
    pub not_in_oobe: Option<bool>,
    /// When its serial number was read, so that its host is certain.
    pub linked_at: Option<i64>,
    /// How often it was told to ask for work, in minutes.
    pub poll_minutes: i32,
    /// Whether an agent on the device starts a session when it is told that there is work.
    pub agent_wakes: bool,
    /// When it enrolled.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The row of an enrollment.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, enrollment_id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(enrollment_id).one(&database).await?) }).await
}
