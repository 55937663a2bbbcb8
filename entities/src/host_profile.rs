//! Table `host_profile`: what a host shall have, or lose, of each profile, and how far that has come.
//!
//! A row begins when its profile is marked for the host ([`crate::marking`]); the manager delivers it
//! ([`crate::delivery`]); what its device reports moves it on, and verification ends it (both in [`report`]). It
//! goes when its profile is gone from the device.

pub mod report;
pub mod tally;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{QueryOrder, QuerySelect};

use crate::{Reader, StoreError, Transaction, host_profile_list, profile};

/// [`Model::operation`]: the host shall have it.
pub const INSTALL: i16 = 0;
/// [`Model::operation`]: the host shall lose it.
pub const REMOVE: i16 = 1;

/// [`Model::status`]: nobody has sent it yet. The number stands in an index.
pub const UNSENT: i16 = 0;
/// [`Model::status`]: it cannot be sent before something happens; [`Model::detail`] says what.
pub const HELD: i16 = 1;
/// [`Model::status`]: a command for it is under way.
pub const PENDING: i16 = 2;
/// [`Model::status`]: the device says that it is done.
pub const VERIFYING: i16 = 3;
/// [`Model::status`]: it was seen on the device.
pub const VERIFIED: i16 = 4;
/// [`Model::status`]: it could not be done; [`Model::detail`] says why.
pub const FAILED: i16 = 5;

/// A row of `host_profile`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_profile")]
pub struct Model {
    /// The host.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_id: i64,
    /// The profile, which may be gone; what is known of it stands here, too.
    #[sea_orm(primary_key, auto_increment = false)]
    pub profile_id: i64,
    /// See [`crate::profile::Model::uuid`].
    pub uuid: String,
    /// See [`crate::profile::Model::kind`].
    pub kind: i16,
    /// See [`crate::profile::Model::identifier`].
    pub identifier: String,
    /// See [`crate::profile::Model::name`].
    pub name: String,
    /// See [`crate::profile::Model::scope`].
    pub scope: i16,
    /// See [`crate::profile::Model::part`].
    pub part: i16,
    /// The version that the host shall have, or lose.
    pub content_id: i64,
    /// See [`crate::profile_content::Model::token`].
    #[sea_orm(column_name = "version")]
    pub token: String,
    /// The version that the device last said it has.
    pub had_content_id: Option<i64>,
    /// [`INSTALL`] or [`REMOVE`].
    pub operation: i16,
    /// [`UNSENT`], [`HELD`], [`PENDING`], [`VERIFYING`], [`VERIFIED`] or [`FAILED`].
    pub status: i16,
    /// Why it is held or failed.
    pub detail: String,
    /// The command that was sent last, and that nothing is known of yet.
    pub command_uuid: Option<String>,
    /// The version that this command installs or removes.
    pub sent_content_id: Option<i64>,
    /// How often it was tried again.
    pub retries: i16,
    /// When the device last said that it is done.
    pub acknowledged_at: Option<i64>,
    /// When somebody has to look whether the device has it.
    pub verify_at: Option<i64>,
    /// When this row last changed.
    pub changed_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a host shall have and lose, by name.
///
/// # Errors
/// The database does not answer.
pub async fn of_host(reader: &Reader, host_id: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::HostId.eq(host_id));
            Ok(rows.order_by_asc(Column::Name).order_by_asc(Column::ProfileId).all(&database).await?)
        })
        .await
}

/// The declarations that a host shall have and lose, by profile.
///
/// # Errors
/// The database does not answer.
pub async fn declarations_of_host(reader: &Reader, host_id: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::HostId.eq(host_id)).filter(Column::Kind.eq(profile::DECLARATION));
            Ok(rows.order_by_asc(Column::ProfileId).all(&database).await?)
        })
        .await
}

/// The rows of several hosts, by host.
///
/// # Errors
/// The database does not answer.
pub async fn of_hosts(reader: &Reader, hosts: Vec<i64>) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::HostId.is_in(hosts));
            Ok(rows.order_by_asc(Column::HostId).order_by_asc(Column::ProfileId).all(&database).await?)
        })
        .await
}

/// The first hosts behind a row that something is to be sent to.
///
/// # Errors
/// The database does not answer.
pub async fn hosts_to_serve(reader: &Reader, after: i64, most: u64) -> Result<Vec<i64>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().select_only().column(Column::HostId).distinct();
            let rows = rows.filter(Expr::col(Column::Status).eq(Expr::cust(UNSENT.to_string())));
            let rows = rows.filter(Column::HostId.gt(after)).order_by_asc(Column::HostId).limit(most);
            Ok(rows.into_tuple::<i64>().all(&database).await?)
        })
        .await
}

/// How many hosts something is to be sent to.
///
/// # Errors
/// The database does not answer.
pub async fn count_to_serve(reader: &Reader) -> Result<u32, StoreError> {
    reader
        .run(move |database| async move {
            let hosts = Entity::find().select_only().expr(Expr::col(Column::HostId).count_distinct());
            let hosts = hosts.filter(Expr::col(Column::Status).eq(Expr::cust(UNSENT.to_string())));
            let count = hosts.into_tuple::<i64>().one(&database).await?.unwrap_or_default();
            Ok(u32::try_from(count).unwrap_or(u32::MAX))
        })
        .await
}

/// The first hosts on which something is to be verified by then.
///
/// # Errors
/// The database does not answer.
pub async fn hosts_to_verify(reader: &Reader, by: i64, most: u64) -> Result<Vec<i64>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().select_only().column(Column::HostId).filter(Column::VerifyAt.lte(by));
            let rows = rows.order_by_asc(Column::VerifyAt).order_by_asc(Column::HostId).limit(most);
            let mut hosts = rows.into_tuple::<i64>().all(&database).await?;
            hosts.sort_unstable();
            hosts.dedup();
            Ok(hosts)
        })
        .await
}

/// A host begins anew, or is no longer managed: nothing is known of what it has.
pub(crate) async fn forget(transaction: &Transaction, hosts: &[i64]) -> Result<(), StoreError> {
    let of_these = Column::HostId.is_in(hosts.iter().copied());
    Entity::delete_many().filter(of_these).exec(transaction).await?;
    host_profile_list::forget(transaction, hosts).await
}
