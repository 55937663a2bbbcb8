//! Table `idp_account`: whoever signed in at an identity provider to enroll a device. An account is known by its email address, in
//! whichever case it is written, and keeps its UUID for ever: that stands in the addresses that its devices are managed at.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use crate::audit::{self, Event};
use crate::user::folded;
use crate::{Reader, StoreError, Writer};

/// A row of `idp_account`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idp_account")]
pub struct Model {
    /// Its name here.
    #[sea_orm(primary_key, auto_increment = false)]
    pub uuid: String,
    /// What its owner is called at the provider: a text that may look like an address.
    pub user_name: String,
    /// Its owner's email address, as the provider writes it.
    pub email: String,
    /// The same in lower case; unique.
    pub folded_email: String,
    /// What people call its owner; may be empty.
    pub full_name: String,
    /// When its owner first signed in.
    pub created_at: i64,
    /// When its owner last signed in.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Somebody who signed in at the provider.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The name that their account gets, where it is new.
    pub uuid: String,
    /// See [`Model::user_name`].
    pub user_name: String,
    /// See [`Model::email`].
    pub email: String,
    /// See [`Model::full_name`].
    pub full_name: String,
    /// When.
    pub at: i64,
}

/// Keeps the account of somebody who signed in, and returns it.
///
/// # Errors
/// See [`StoreError`].
pub async fn sign_in(writer: &Writer, said: SignIn) -> Result<Model, StoreError> {
    let input = (writer.vault().clone(), said);
    writer
        .run(input, |transaction, (vault, said)| {
            Box::pin(async move {
                let folded = folded(&said.email);
                let (at, actor, action) = (said.at, said.email.clone(), "enrollment.sign_in");
                let row = ActiveModel {
                    uuid: Set(said.uuid),
                    user_name: Set(said.user_name),
                    email: Set(said.email),
                    folded_email: Set(folded.clone()),
                    full_name: Set(said.full_name),
                    created_at: Set(at),
                    updated_at: Set(at),
                };
                let known = OnConflict::column(Column::FoldedEmail)
                    .update_columns([Column::UserName, Column::Email, Column::FullName, Column::UpdatedAt])
                    .to_owned();
                Entity::insert(row).on_conflict(known).exec_without_returning(transaction).await?;
                let account = Entity::find().filter(Column::FoldedEmail.eq(folded)).one(transaction).await?;
                let account = account.ok_or_else(|| StoreError::NotApplied("the account was not kept".into()))?;
                let event = Event { at, actor, action, target: account.uuid.clone(), detail: String::new() };
                audit::record(transaction, &vault, event).await?;
                Ok(account)
            })
        })
        .await
}

/// The account with this name here.
///
/// # Errors
/// The database does not answer.
pub async fn by_uuid(reader: &Reader, uuid: String) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(uuid).one(&database).await?) }).await
}
