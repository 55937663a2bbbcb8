//! Tables `user` and `user_team`: people who may use the admin API, programs that may, and their roles.
//!
//! Passwords are kept as argon2id hashes (PHC strings), made elsewhere. Writes are in [`change`].

pub mod change;

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder, QuerySelect, QueryTrait};

use crate::role::Role;
use crate::{Reader, StoreError};

/// A row of `user`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Email address in lower case; unique.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// The argon2id hash of the password; `None` for who signs in elsewhere, and for programs.
    pub password_hash: Option<String>,
    /// The role in all teams, by [`Role::as_str`].
    pub global_role: Option<String>,
    /// A program: it has tokens, and cannot sign in.
    pub api_only: bool,
    /// Signs in at the identity provider, not with a password.
    pub sso_enabled: bool,
    /// Must choose a new password before anything else.
    pub force_password_reset: bool,
    /// May do nothing for the time being.
    pub disabled: bool,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "user {} ({})", self.id, self.email)
    }
}

/// Table `user_team`.
pub mod of_team {
    use sea_orm::entity::prelude::*;

    /// A row of `user_team`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "user_team")]
    pub struct Model {
        /// The user.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: i64,
        /// The team.
        #[sea_orm(primary_key, auto_increment = false)]
        pub team_id: i64,
        /// See [`crate::role::Role::as_str`].
        pub role: String,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What somebody is: in all teams, or in some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// In all teams.
    pub everywhere: Option<Role>,
    /// In single teams, by their row numbers.
    pub teams: Vec<(i64, Role)>,
}

impl Roles {
    /// The roles as one text, for example `*:admin` or `3:observer,4:maintainer`.
    pub(crate) fn to_text(&self) -> String {
        let everywhere = self.everywhere.iter().map(|role| format!("*:{}", role.as_str()));
        let teams = self.teams.iter().map(|(team, role)| format!("{team}:{}", role.as_str()));
        everywhere.chain(teams).collect::<Vec<_>>().join(",")
    }

    /// The roles that [`to_text`](Self::to_text) wrote.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut roles = Self::default();
        for (place, role) in text.split(',').filter_map(|part| part.split_once(':')) {
            let Some(role) = Role::parse(role) else { continue };
            match place.parse() {
                Ok(team) => roles.teams.push((team, role)),
                Err(_) => roles.everywhere = Some(role),
            }
        }
        roles
    }
}

/// A user with what they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The row.
    pub row: Model,
    /// Their roles.
    pub roles: Roles,
}

/// Which users a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Part of the name or the email address; empty for all.
    pub text: String,
    /// Only those with a role in one of these teams.
    pub teams: Option<Vec<i64>>,
    /// Whether the largest email address comes first.
    pub descending: bool,
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return at most.
    pub limit: u64,
}

/// The form in which an email address is kept and compared.
pub fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The user with this row number.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<User>, StoreError> {
    reader.run(move |database| async move { one(&database, Column::Id.eq(id)).await }).await
}

/// The user with this email address.
///
/// # Errors
/// The database does not answer.
pub async fn by_email(reader: &Reader, email: &str) -> Result<Option<User>, StoreError> {
    let email = folded(email);
    reader.run(move |database| async move { one(&database, Column::Email.eq(email)).await }).await
}

/// A page of users, by email address.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, search: Search) -> Result<Vec<User>, StoreError> {
    reader
        .run(move |database| async move {
            let mut matching = Condition::all();
            if !search.text.is_empty() {
                let text = search.text.as_str();
                matching =
                    matching.add(Condition::any().add(Column::Name.contains(text)).add(Column::Email.contains(text)));
            }
            if let Some(teams) = search.teams {
                let members = of_team::Entity::find()
                    .select_only()
                    .column(of_team::Column::UserId)
                    .filter(of_team::Column::TeamId.is_in(teams))
                    .into_query();
                matching = matching.add(Column::Id.in_subquery(members));
            }
            let by_email = Entity::find().filter(matching);
            let sorted = match search.descending {
                false => by_email.order_by_asc(Column::Email),
                true => by_email.order_by_desc(Column::Email),
            };
            let rows = sorted.offset(search.offset).limit(search.limit).all(&database).await?;
            with_roles(&database, rows).await
        })
        .await
}

pub(crate) async fn one<C: sea_orm::ConnectionTrait>(database: &C, which: Expr) -> Result<Option<User>, StoreError> {
    let rows = Entity::find().filter(which).limit(1).all(database).await?;
    Ok(with_roles(database, rows).await?.pop())
}

async fn with_roles<C: sea_orm::ConnectionTrait>(database: &C, rows: Vec<Model>) -> Result<Vec<User>, StoreError> {
    let mut teams: HashMap<i64, Vec<(i64, Role)>> = HashMap::new();
    for some in rows.chunks(500) {
        let of_these = of_team::Column::UserId.is_in(some.iter().map(|row| row.id));
        let found =
            of_team::Entity::find().filter(of_these).order_by_asc(of_team::Column::TeamId).all(database).await?;
        for of_team::Model { user_id, team_id, role } in found {
            teams.entry(user_id).or_default().extend(Role::parse(&role).map(|role| (team_id, role)));
        }
    }
    let user = |row: Model| {
        let everywhere = row.global_role.as_deref().and_then(Role::parse);
        User { roles: Roles { everywhere, teams: teams.remove(&row.id).unwrap_or_default() }, row }
    };
    Ok(rows.into_iter().map(user).collect())
}

/// The email addresses of people who may do everything, for what the server itself has to tell.
///
/// # Errors
/// The database does not answer.
pub async fn admin_addresses(reader: &Reader) -> Result<Vec<String>, StoreError> {
    reader
        .run(|database| async move {
            let admins = Entity::find().filter(Column::GlobalRole.eq(Role::Admin.as_str()));
            let admins = admins.filter(Column::ApiOnly.eq(false)).filter(Column::Disabled.eq(false));
            let addresses = admins.select_only().column(Column::Email).order_by_asc(Column::Email);
            Ok(addresses.into_tuple().all(&database).await?)
        })
        .await
}

/// The number of admins of everything that can sign in or have tokens.
pub(crate) async fn count_admins(database: &impl sea_orm::ConnectionTrait) -> Result<u64, StoreError> {
    let admins = Entity::find().filter(Column::GlobalRole.eq(Role::Admin.as_str())).filter(Column::Disabled.eq(false));
    Ok(admins.count(database).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_the_same_after_they_were_a_text() {
        for (text, everywhere, teams) in [
            ("*:admin", Some(Role::Admin), vec![]),
            ("3:observer,4:maintainer", None, vec![(3, Role::Observer), (4, Role::Maintainer)]),
            ("", None, vec![]),
        ] {
            let roles = Roles { everywhere, teams };
            assert_eq!(roles.to_text(), text);
            assert_eq!(Roles::from_text(text), roles);
        }
        assert_eq!(Roles::from_text("*:everything,nonsense"), Roles::default());
    }
}
