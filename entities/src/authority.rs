//! Table `authority`: key pairs of our own, by name.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use zeroize::Zeroizing;

use crate::audit::{self, Event};
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Writer};

/// The name of the authority that issues device identities.
pub const DEVICE_CA: &str = "device-ca";
/// The name of the key that opens SCEP requests, where it is not the authority's own.
pub const SCEP_RA: &str = "scep-ra";
/// The name of the key that signs profiles.
pub const PROFILE_SIGNER: &str = "profile-signer";

pub(crate) static PRIVATE_KEY: SealedColumn = SealedColumn {
    table: "authority",
    column: "private_key",
    key: &[Part::Text("name")],
    context: &[Part::Text("name")],
};

/// A row of `authority`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "authority")]
pub struct Model {
    /// What the key is for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The certificate (PEM).
    pub certificate: String,
    /// The private key (PKCS #8 PEM), sealed.
    pub private_key: Sealed,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "authority {}", self.name)
    }
}

/// A key pair on its way into the table.
#[derive(Clone)]
pub struct KeyPair {
    /// See [`Model::name`].
    pub name: &'static str,
    /// See [`Model::certificate`].
    pub certificate: String,
    /// The private key (PKCS #8 PEM).
    pub private_key: Zeroizing<Vec<u8>>,
    /// See [`Model::created_at`].
    pub created_at: i64,
}

impl Model {
    /// The private key (PKCS #8 PEM).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open(&self, vault: &Vault) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        PRIVATE_KEY.open(vault, &[&self.name], &self.private_key).map(Zeroizing::new)
    }
}

/// The key pair with this name.
///
/// # Errors
/// The database does not answer.
pub async fn by_name(reader: &Reader, name: &'static str) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(name).one(&database).await?) }).await
}

/// Stores a key pair, unless there is one with this name already; returns the one that counts.
///
/// # Errors
/// See [`StoreError`].
pub async fn establish(writer: &Writer, pair: KeyPair) -> Result<Model, StoreError> {
    let row = Model {
        name: pair.name.to_owned(),
        certificate: pair.certificate,
        private_key: PRIVATE_KEY.seal(writer.vault(), &[&pair.name], &pair.private_key)?,
        created_at: pair.created_at,
    };
    let (target, detail) = (row.name.clone(), String::new());
    let event = Event { at: row.created_at, actor: "authority".into(), action: "authority.make", target, detail };
    writer
        .run((writer.vault().clone(), event, row), |transaction, (vault, event, row)| {
            Box::pin(async move {
                let name = row.name.clone();
                let first_stands = OnConflict::column(Column::Name).do_nothing().to_owned();
                let new = ActiveModel::from(row).reset_all();
                let made = Entity::insert(new).on_conflict(first_stands).exec_without_returning(transaction).await?;
                if made == 1 {
                    audit::record(transaction, &vault, event).await?;
                }
                let stored = Entity::find_by_id(name).one(transaction).await?;
                stored.ok_or_else(|| StoreError::NotApplied("the key pair was not stored".into()))
            })
        })
        .await
}
