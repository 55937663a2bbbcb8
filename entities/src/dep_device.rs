//! Table `dep_device`: what Apple's device assignment service says of each device, once: a device belongs to one organization at
//! a time, and the token that it was assigned to last has it.
//!
//! A row is what Apple says, and what came of the last assignment; never what shall be. What a device shall have follows from
//! its host's team ([`crate::setup_assistant`]); the difference is read by [`differences`], however it came to be.
//!
//! Rows come by pages ([`page`]). A device that is taken from the server keeps its row, with the time when.

mod assign;
pub mod page;

use sea_orm::entity::prelude::*;

use crate::host;
use crate::{Reader, StoreError};

pub use assign::{Difference, Outcome, assigned, differences, to_assign};

/// [`Model::profile_status`]: it has none.
pub const EMPTY: i16 = 0;
/// [`Model::profile_status`]: it is assigned one, and has not fetched it.
pub const ASSIGNED: i16 = 1;
/// [`Model::profile_status`]: it has fetched it.
pub const PUSHED: i16 = 2;
/// [`Model::profile_status`]: it was taken away.
pub const REMOVED: i16 = 3;

/// [`Model::response`]: it was never assigned anything.
pub const NEVER: i16 = 0;
/// [`Model::response`]: the last assignment went well.
pub const SUCCESS: i16 = 1;
/// [`Model::response`]: the device does not exist, or is not this server's.
pub const NOT_ACCESSIBLE: i16 = 2;
/// [`Model::response`]: the service failed.
pub const FAILED: i16 = 3;
/// [`Model::response`]: it was asked for too often.
pub const THROTTLED: i16 = 4;

/// A row of `dep_device`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dep_device")]
pub struct Model {
    /// Its serial number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub serial: String,
    /// The token through which it is known.
    pub token_id: i64,
    /// What people call the model.
    pub model: String,
    /// What the shop said of it.
    pub description: String,
    /// Its color.
    pub color: String,
    /// The organization's own number for it.
    pub asset_tag: String,
    /// Apple's word for its family.
    pub device_family: String,
    /// As [`host::Model::platform`].
    pub platform: String,
    /// Apple's word for its system.
    pub os: String,
    /// [`EMPTY`], [`ASSIGNED`], [`PUSHED`] or [`REMOVED`].
    pub profile_status: i16,
    /// The profile that it is assigned.
    pub profile_uuid: Option<String>,
    /// When it was assigned.
    pub profile_assigned_at: Option<i64>,
    /// When the device fetched it.
    pub profile_pushed_at: Option<i64>,
    /// When the organization gave the device to this server.
    pub assigned_at: Option<i64>,
    /// Who did.
    pub assigned_by: String,
    /// By when it has to move to this server.
    pub migration_deadline: Option<i64>,
    /// When the newest change that is known happened.
    pub op_at: Option<i64>,
    /// The round that met it last.
    pub round: i64,
    /// What came of the last assignment: [`NEVER`], [`SUCCESS`], [`NOT_ACCESSIBLE`], [`FAILED`] or [`THROTTLED`].
    pub response: i16,
    /// When that was.
    pub responded_at: Option<i64>,
    /// Until then it is assigned nothing.
    pub rests_until: Option<i64>,
    /// When it was taken from this server.
    pub removed_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What it says about a host.
    fn description(&self) -> host::Description {
        host::Description {
            serial: Some(self.serial.clone()),
            platform: self.platform.clone(),
            hardware_model: self.model.clone(),
            ..host::Description::default()
        }
    }

    /// Apple's word for what came of the last assignment; empty when there was none.
    pub const fn response_word(&self) -> &'static str {
        match self.response {
            SUCCESS => "SUCCESS",
            NOT_ACCESSIBLE => "NOT_ACCESSIBLE",
            FAILED => "FAILED",
            THROTTLED => "THROTTLED",
            _ => "",
        }
    }

    /// Apple's word for how far its profile is.
    pub const fn status_word(&self) -> &'static str {
        match self.profile_status {
            ASSIGNED => "assigned",
            PUSHED => "pushed",
            REMOVED => "removed",
            _ => "empty",
        }
    }
}

/// The device with this serial number.
///
/// # Errors
/// The database does not answer.
pub async fn by_serial(reader: &Reader, serial: String) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(serial).one(&database).await?) }).await
}

/// How many devices a token has.
///
/// # Errors
/// The database does not answer.
pub async fn count(reader: &Reader, token_id: i64) -> Result<u64, StoreError> {
    reader
        .run(move |database| async move {
            let live = Entity::find().filter(Column::TokenId.eq(token_id)).filter(Column::RemovedAt.is_null());
            Ok(live.count(&database).await?)
        })
        .await
}
