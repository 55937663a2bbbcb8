//! Tables `scep_challenge` and `scep_transaction`: promises of a certificate, and requests that were answered.
//!
//! A challenge is kept as its hash, works once, and carries what the profile that held it was made for, so that it
//! cannot be turned into another device's identity.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::audit::{self, Event};
use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, Writer, identity};

/// A row of `scep_challenge`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scep_challenge")]
pub struct Model {
    /// SHA-256 of the challenge.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// The serial number of the device that it is for, where known.
    pub promised_serial: Option<String>,
    /// The UUID of the device that it is for, where known.
    pub promised_uuid: Option<String>,
    /// The enrollment whose certificate it renews.
    pub renews_enrollment_id: Option<i64>,
    /// The team that its host joins.
    pub team_id: Option<i64>,
    /// Whether the device proved to be one that the organization bought.
    pub automatic: bool,
    /// Who enrolls the device: an account at an identity provider.
    pub account_uuid: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it stops working.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `scep_transaction`.
pub mod transaction {
    use sea_orm::entity::prelude::*;

    /// A row of `scep_transaction`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "scep_transaction")]
    pub struct Model {
        /// The requester's name for its request.
        #[sea_orm(primary_key, auto_increment = false)]
        pub transaction_id: String,
        /// SHA-256 of the certificate request.
        #[sea_orm(primary_key, auto_increment = false)]
        pub request_hash: Vec<u8>,
        /// The certificate that answered it.
        pub fingerprint: Vec<u8>,
        /// When.
        pub created_at: i64,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A certificate on its way to a requester.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The requester's name for its request.
    pub transaction_id: String,
    /// SHA-256 of the certificate request.
    pub request_hash: Vec<u8>,
    /// The challenge to use up, by its hash; `None` when something else allows the request.
    pub challenge: Option<Vec<u8>>,
    /// The row of the new certificate.
    pub identity: identity::Model,
}

/// Promises one certificate to whoever shows the challenge.
///
/// # Errors
/// See [`StoreError`].
pub async fn promise(writer: &Writer, challenge: Model, by: String) -> Result<(), StoreError> {
    let target = challenge.promised_serial.clone().or(challenge.promised_uuid.clone()).unwrap_or_default();
    let event =
        Event { at: challenge.created_at, actor: by, action: "enrollment_profile.make", target, detail: String::new() };
    writer
        .run((writer.vault().clone(), event, challenge), |transaction, (vault, event, challenge)| {
            Box::pin(async move {
                Entity::insert(ActiveModel::from(challenge)).exec_without_returning(transaction).await?;
                audit::record(transaction, &vault, event).await
            })
        })
        .await
}

/// The challenge with this hash, if it can be used now.
///
/// # Errors
/// The database does not answer.
pub async fn usable(reader: &Reader, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let open = Entity::find_by_id(hash).filter(Column::UsedAt.is_null()).filter(Column::ExpiresAt.gt(now));
            Ok(open.one(&database).await?)
        })
        .await
}

/// The certificate (DER) that answered this very request before.
///
/// # Errors
/// The database does not answer.
pub async fn answered(
    reader: &Reader,
    transaction_id: String,
    request_hash: Vec<u8>,
) -> Result<Option<Vec<u8>>, StoreError> {
    reader
        .run(move |database| async move {
            let key = (transaction_id, request_hash);
            let Some(known) = transaction::Entity::find_by_id(key).one(&database).await? else { return Ok(None) };
            let issued = identity::Entity::find_by_id(known.fingerprint).one(&database).await?;
            Ok(issued.map(|row| row.certificate))
        })
        .await
}

/// Stores a new certificate and uses up its challenge, before the certificate leaves the house.
///
/// # Errors
/// [`StoreError::Conflict`] when the challenge was used meanwhile, or the same request was answered meanwhile.
pub async fn issue(writer: &Writer, issue: Issue) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), issue);
    writer.run(input, |transaction, (vault, issue)| Box::pin(issue_in(transaction, vault, issue))).await
}

async fn issue_in(transaction: &Transaction, vault: Vault, issue: Issue) -> Result<(), StoreError> {
    let now = issue.identity.issued_at;
    let detail = match issue.identity.enrollment_id {
        Some(enrollment) => format!("renews the certificate of enrollment {enrollment}"),
        None => "first certificate".into(),
    };
    let target = issue.identity.serial.clone();
    let event = Event { at: now, actor: "scep".into(), action: "certificate.issue", target, detail };
    if let Some(hash) = issue.challenge {
        let used = Entity::update_many()
            .col_expr(Column::UsedAt, now.into())
            .filter(Column::Hash.eq(hash))
            .filter(Column::UsedAt.is_null())
            .filter(Column::ExpiresAt.gt(now))
            .exec(transaction)
            .await?;
        if used.rows_affected != 1 {
            return Err(StoreError::Conflict("the challenge was used before".into()));
        }
    }
    let answer = transaction::ActiveModel {
        transaction_id: Set(issue.transaction_id),
        request_hash: Set(issue.request_hash),
        fingerprint: Set(issue.identity.fingerprint.clone()),
        created_at: Set(now),
    };
    let row = identity::ActiveModel::from(issue.identity);
    identity::Entity::insert(row).exec_without_returning(transaction).await?;
    transaction::Entity::insert(answer).exec_without_returning(transaction).await?;
    audit::record(transaction, &vault, event).await
}

/// Forgets challenges and answered requests from before a moment. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_before(writer: &Writer, moment: i64) -> Result<u64, StoreError> {
    writer
        .run(moment, |running, moment| {
            Box::pin(async move {
                let old = Entity::delete_many().filter(Column::ExpiresAt.lt(moment)).exec(running).await?;
                let answered = transaction::Entity::delete_many()
                    .filter(transaction::Column::CreatedAt.lt(moment))
                    .exec(running)
                    .await?;
                Ok(old.rows_affected + answered.rows_affected)
            })
        })
        .await
}
