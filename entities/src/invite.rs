//! Table `invite`: who may become a user, by what was sent to them. It works once, for its email address and its roles alone,
//! and is kept as its SHA-256.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder, QuerySelect};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::mail::{self, Letter};
use crate::user::change::{self, Saved, Wish};
use crate::user::{Roles, folded};
use crate::{Reader, StoreError, Transaction, Writer, user};

/// How long it works, in milliseconds: 5 days.
pub const LASTS: i64 = 5 * 86_400 * 1000;

/// A row of `invite`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invite")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Email address in lower case; unique.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they will be; see [`Model::roles`].
    pub roles: String,
    /// Whether they will sign in at the identity provider.
    pub sso_enabled: bool,
    /// SHA-256 of what was sent; unique.
    pub hash: Vec<u8>,
    /// Who invited them.
    pub invited_by: String,
    /// When.
    pub created_at: i64,
    /// When it stops working.
    pub expires_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "invite {} ({})", self.id, self.email)
    }
}

/// What somebody is invited to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Email address.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they will be.
    pub roles: Roles,
    /// Whether they will sign in at the identity provider.
    pub sso_enabled: bool,
    /// SHA-256 of what is sent.
    pub hash: Vec<u8>,
    /// The letter in which it is sent.
    pub letter: Letter,
}

impl Model {
    /// What they will be.
    pub fn roles(&self) -> Roles {
        Roles::from_text(&self.roles)
    }
}

/// The invitations that still work, by email address.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, now: i64, limit: u64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let lasting = Entity::find().filter(Column::ExpiresAt.gt(now)).order_by_asc(Column::Email);
            Ok(lasting.limit(limit).all(&database).await?)
        })
        .await
}

/// The invitation with this row number, if it still works.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64, now: i64) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move {
            Ok(Entity::find_by_id(id).filter(Column::ExpiresAt.gt(now)).one(&database).await?)
        })
        .await
}

/// The invitation of whoever shows this, if it still works.
///
/// # Errors
/// The database does not answer.
pub async fn by_hash(reader: &Reader, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(working(hash, now).one(&database).await?) }).await
}

/// Invites somebody and writes to them; an earlier invitation to the address stops working. `None` when there is a user
/// with this address already.
///
/// # Errors
/// See [`StoreError`].
pub async fn create(writer: &Writer, offer: Offer, by: String, now: i64) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), offer, by, now);
    writer
        .run(input, |transaction, (vault, offer, by, now)| {
            Box::pin(async move {
                let email = folded(&offer.email);
                if user::one(transaction, user::Column::Email.eq(email.as_str())).await?.is_some() {
                    return Ok(None);
                }
                forget_email(transaction, &email).await?;
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    email: Set(email),
                    name: Set(offer.name),
                    roles: Set(offer.roles.to_text()),
                    sso_enabled: Set(offer.sso_enabled),
                    hash: Set(offer.hash),
                    invited_by: Set(by.clone()),
                    created_at: Set(now),
                    expires_at: Set(now.saturating_add(LASTS)),
                };
                let invite = Entity::insert(row).exec_with_returning(transaction).await?;
                mail::post(transaction, &vault, offer.letter, now).await?;
                let (target, detail) = (invite.email.clone(), format!("invite {}: {}", invite.id, invite.roles));
                let event = Event { at: now, actor: by, action: "invite.make", target, detail };
                let said = Activity::new("created_invite", json!({ "invite_id": invite.id, "email": invite.email }));
                chronicle(transaction, &vault, event, vec![said]).await?;
                Ok(Some(invite))
            })
        })
        .await
}

/// Takes an invitation back. `None` when there is none.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, now: i64) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), id, by, now);
    writer
        .run(input, |transaction, (vault, id, by, now)| {
            Box::pin(async move {
                let Some(invite) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
                Entity::delete_by_id(id).exec(transaction).await?;
                let (target, detail) = (invite.email.clone(), format!("invite {id}"));
                let event = Event { at: now, actor: by, action: "invite.take_back", target, detail };
                let said = Activity::new("deleted_invite", json!({ "invite_id": id, "email": invite.email }));
                chronicle(transaction, &vault, event, vec![said]).await?;
                Ok(Some(invite))
            })
        })
        .await
}

/// Makes a user of whoever was invited, and ends the invitation. `None` when it does not work, or is for another address
/// than the one that is given.
///
/// # Errors
/// See [`StoreError`].
pub async fn accept(
    writer: &Writer,
    hash: Vec<u8>,
    (email, name): (String, String),
    password_hash: Option<String>,
    now: i64,
) -> Result<Option<Saved>, StoreError> {
    let input = (writer.vault().clone(), hash, (email, name), password_hash, now);
    writer
        .run(input, |transaction, (vault, hash, (email, name), password_hash, now)| {
            Box::pin(async move {
                let invite = working(hash, now).one(transaction).await?;
                let Some(invite) = invite.filter(|invite| invite.email == folded(&email)) else { return Ok(None) };
                if password_hash.is_none() != invite.sso_enabled {
                    return Ok(None);
                }
                let wish = Wish {
                    email: invite.email.clone(),
                    name,
                    roles: invite.roles(),
                    password_hash,
                    api_only: false,
                    sso_enabled: invite.sso_enabled,
                    force_password_reset: false,
                    disabled: false,
                };
                change::create(transaction, &vault, wish, invite.email, now).await.map(Some)
            })
        })
        .await
}

pub(crate) async fn forget_email(transaction: &Transaction, email: &str) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::Email.eq(email)).exec(transaction).await?;
    Ok(())
}

pub(crate) async fn forget_ended(transaction: &Transaction, now: i64) -> Result<u64, StoreError> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(transaction).await?.rows_affected)
}

fn working(hash: Vec<u8>, now: i64) -> Select<Entity> {
    Entity::find().filter(Column::Hash.eq(hash)).filter(Column::ExpiresAt.gt(now))
}
