//! Whose a host is, and everything that is known of them: their account (table `idp_account`), and what the identity provider keeps
//! here of the same person (`scim_user`, `scim_group`).

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;

use crate::host_profile::{self, FAILED, INSTALL, UNSENT, VERIFIED, VERIFYING};
use crate::profile_label::variable;
use crate::{Reader, StoreError, Transaction, host_idp_account, idp_account, scim_group, scim_user};

/// What the names of variables begin with that say something of a host's owner.
const VARIABLES: &str = "FLEET_VAR_HOST_END_USER_";

/// The owner of a host.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Their account.
    pub account: idp_account::Model,
    /// What the provider keeps here of them.
    pub person: Option<scim_user::Model>,
    /// The names of the groups that they are in.
    pub groups: Vec<String>,
}

/// The owner of a host, if it has one.
///
/// # Errors
/// The database does not answer.
pub async fn of_host(reader: &Reader, host_id: i64) -> Result<Option<Owner>, StoreError> {
    let Some(account) = host_idp_account::of_host(reader, host_id).await? else { return Ok(None) };
    let person = person_of(reader, &account).await?;
    let groups = match &person {
        Some(person) => scim_group::of_user(reader, person.id.clone()).await?,
        None => Vec::new(),
    };
    Ok(Some(Owner { account, person, groups: groups.into_iter().map(|group| group.display_name).collect() }))
}

/// Whoever has the account's address as their user name, or else as their first email address.
async fn person_of(reader: &Reader, account: &idp_account::Model) -> Result<Option<scim_user::Model>, StoreError> {
    let email = account.folded_email.clone();
    let by_name = scim_user::Filter::UserName(email.clone());
    for filter in [by_name, scim_user::Filter::Email(email)] {
        let (mut found, _) = scim_user::list(reader, filter, 0, 1).await?;
        if let Some(person) = found.pop() {
            return Ok(Some(person));
        }
    }
    Ok(None)
}

impl Owner {
    /// What the provider calls them.
    pub fn user_name(&self) -> &str {
        self.person.as_ref().map_or(&self.account.user_name, |person| &person.user_name)
    }

    /// What people call them; may be empty.
    pub fn full_name(&self) -> String {
        let named = self.person.as_ref().map(scim_user::Model::full_name).filter(|name| !name.is_empty());
        named.unwrap_or_else(|| self.account.full_name.clone())
    }

    /// Their department; may be empty.
    pub fn department(&self) -> &str {
        self.person.as_ref().map_or("", |person| &person.department)
    }
}

/// Something else is known of whoever has these user names or addresses: profiles that say it go to their hosts again.
pub(crate) async fn changed(transaction: &Transaction, names: &[String], at: i64) -> Result<(), StoreError> {
    use host_profile::Column as Of;
    for some in names.chunks(500) {
        let accounts = Query::select()
            .column(idp_account::Column::Uuid)
            .from(idp_account::Entity)
            .and_where(idp_account::Column::FoldedEmail.is_in(some.iter().cloned()))
            .to_owned();
        let hosts = Query::select()
            .column(host_idp_account::Column::HostId)
            .from(host_idp_account::Entity)
            .and_where(host_idp_account::Column::AccountUuid.in_subquery(accounts))
            .to_owned();
        let profiles = Query::select()
            .column(variable::Column::ProfileId)
            .from(variable::Entity)
            .and_where(variable::Column::Name.starts_with(VARIABLES))
            .to_owned();
        host_profile::Entity::update_many()
            .col_expr(Of::Status, UNSENT.into())
            .col_expr(Of::Retries, 0.into())
            .col_expr(Of::Detail, "".into())
            .col_expr(Of::VerifyAt, Expr::value(None::<i64>))
            .col_expr(Of::ChangedAt, at.into())
            .filter(Of::HostId.in_subquery(hosts))
            .filter(Of::ProfileId.in_subquery(profiles))
            .filter(Of::Operation.eq(INSTALL))
            .filter(Of::Status.is_in([VERIFYING, VERIFIED, FAILED]))
            .exec(transaction)
            .await?;
    }
    Ok(())
}
