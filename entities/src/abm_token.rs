//! Table `abm_token`: the servers that Apple's device assignment service knows this one as, one for each server token, and how
//! far its devices were read.
//!
//! Devices are read in rounds. A round lists all devices ([`READING`]), then takes those away that it did not meet
//! ([`SWEEPING`]), then follows the changes ([`FOLLOWING`]). Each step compares where the reading stood when it was asked for, so
//! that an answer that comes too late changes nothing.
//!
//! Start with [`store`]; what Apple says of devices stands in [`crate::dep_device`].

mod change;

use sea_orm::QueryOrder;
use sea_orm::entity::prelude::*;
use zeroize::Zeroizing;

use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError};

pub(crate) use change::forget_team;
pub use change::{DefaultTeams, NewToken, Standing, delete, rest, set_teams, stand, store, warn};

/// [`Model::state`]: all devices are listed.
pub const READING: i16 = 0;
/// [`Model::state`]: all were listed, and those that were not among them are taken away.
pub const SWEEPING: i16 = 1;
/// [`Model::state`]: changes are followed.
pub const FOLLOWING: i16 = 2;

/// [`Model::standing`]: the service answers.
pub const GOOD: i16 = 0;
/// [`Model::standing`]: new terms have to be accepted at Apple.
pub const TERMS_EXPIRED: i16 = 1;
/// [`Model::standing`]: the service takes the token no more.
pub const REJECTED: i16 = 2;

pub(crate) static TOKEN: SealedColumn = SealedColumn {
    table: "abm_token",
    column: "token",
    key: &[Part::Number("id")],
    context: &[Part::Text("server_uuid")],
};

/// A row of `abm_token`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "abm_token")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Names this server at the service; unique.
    pub server_uuid: String,
    /// What the organization calls this server.
    pub server_name: String,
    /// The organization's name.
    pub organization: String,
    /// The Apple Account of who downloaded the token.
    pub apple_id: String,
    /// The token (JSON), sealed.
    pub token: Sealed,
    /// When the service stops to take it.
    pub expires_at: i64,
    /// The team that new Macs join.
    pub macos_team_id: Option<i64>,
    /// The team that new iPhones join.
    pub ios_team_id: Option<i64>,
    /// The team that new iPads join.
    pub ipados_team_id: Option<i64>,
    /// [`READING`], [`SWEEPING`] or [`FOLLOWING`].
    pub state: i16,
    /// Which reading of all devices this is.
    pub round: i64,
    /// Where to go on; `None` at the beginning of a round.
    pub cursor: Option<String>,
    /// How often a reading began anew since changes were last told.
    pub restarts: i16,
    /// Nothing is asked until then.
    pub rests_until: Option<i64>,
    /// [`GOOD`], [`TERMS_EXPIRED`] or [`REJECTED`].
    pub standing: i16,
    /// Why the last round failed, in words for an admin; empty when it did not.
    pub fault: String,
    /// When a round last came to its end.
    pub synced_at: Option<i64>,
    /// The last warning of the token's end, by its days; 0 when there was none.
    pub warned_days: i16,
    /// When the first token of this server was uploaded.
    pub created_at: i64,
    /// When the token was uploaded.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "abm_token {} of {}", self.id, self.organization)
    }
}

impl Model {
    /// The token (JSON).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open(&self, vault: &Vault) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        TOKEN.open(vault, &[&self.server_uuid], &self.token).map(Zeroizing::new)
    }

    /// The team that a new device of a platform joins. Those without a setting of their own go with the iPhones.
    pub fn team_of(&self, platform: &str) -> Option<i64> {
        match platform {
            "darwin" => self.macos_team_id,
            "ipados" => self.ipados_team_id,
            _ => self.ios_team_id,
        }
    }
}

/// All of them, by row number.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader.run(|database| async move { Ok(Entity::find().order_by_asc(Column::Id).all(&database).await?) }).await
}

/// The one with this row number.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}
