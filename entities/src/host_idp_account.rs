//! Table `host_idp_account`: whose device a host is. Written when the device enrolls: the certificate that it enrolls with was
//! made for an account, or for none; renewals of the certificate change nothing.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use crate::{Reader, StoreError, Transaction, idp_account};

/// A row of `host_idp_account`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_idp_account")]
pub struct Model {
    /// The host.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_id: i64,
    /// Its owner's account.
    pub account_uuid: String,
    /// Since when.
    pub linked_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The account of a host's owner.
///
/// # Errors
/// The database does not answer.
pub async fn of_host(reader: &Reader, host_id: i64) -> Result<Option<idp_account::Model>, StoreError> {
    reader
        .run(move |database| async move {
            let Some(link) = Entity::find_by_id(host_id).one(&database).await? else { return Ok(None) };
            Ok(idp_account::Entity::find_by_id(link.account_uuid).one(&database).await?)
        })
        .await
}

/// A device enrolled for this account, or for none: it is nobody's then.
pub(crate) async fn link(
    transaction: &Transaction,
    host_id: i64,
    account: Option<String>,
    at: i64,
) -> Result<(), StoreError> {
    let Some(account_uuid) = account else { return forget(transaction, &[host_id]).await };
    let row = ActiveModel { host_id: Set(host_id), account_uuid: Set(account_uuid), linked_at: Set(at) };
    let replace = OnConflict::column(Column::HostId).update_columns([Column::AccountUuid, Column::LinkedAt]).to_owned();
    Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
    Ok(())
}

/// These hosts are nobody's.
pub(crate) async fn forget(transaction: &Transaction, hosts: &[i64]) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::HostId.is_in(hosts.iter().copied())).exec(transaction).await?;
    Ok(())
}

/// One host turns out to be another one, whose owner counts, if it has one.
pub(crate) async fn hand_over(transaction: &Transaction, from: i64, to: i64) -> Result<(), StoreError> {
    if Entity::find_by_id(to).count(transaction).await? > 0 {
        return forget(transaction, &[from]).await;
    }
    Entity::update_many().col_expr(Column::HostId, to.into()).filter(Column::HostId.eq(from)).exec(transaction).await?;
    Ok(())
}
