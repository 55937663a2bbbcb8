//! People and groups, as an identity provider keeps them here by SCIM. They are the profile manager's, because what is known of the
//! owner of a host stands in its profiles.

use actix::prelude::*;
use entities::{scim_group, scim_user};

use super::ProfileManager;
use crate::ask::Answer;

/// Makes a person, or changes one.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<scim_user::Saved>")]
pub struct SavePerson {
    /// Their row; `None` for a new one.
    pub id: Option<String>,
    /// What they are to be.
    pub wish: scim_user::Wish,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a person; `false` if there is none.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<bool>")]
pub struct DeletePerson {
    /// Their row.
    pub id: String,
    /// Who wants it.
    pub asked_by: String,
}

/// Makes a group, or changes one.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<scim_group::Saved>")]
pub struct SaveGroup {
    /// Its row; `None` for a new one.
    pub id: Option<String>,
    /// What it is to be.
    pub wish: scim_group::Wish,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a group; `false` if there is none.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<bool>")]
pub struct DeleteGroup {
    /// Its row.
    pub id: String,
    /// Who wants it.
    pub asked_by: String,
}

/// The row, and whether it is to be made.
fn row(id: Option<String>) -> (String, bool) {
    let is_new = id.is_none();
    (id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()), is_new)
}

impl Handler<SavePerson> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<scim_user::Saved>>;

    fn handle(&mut self, save: SavePerson, _: &mut Self::Context) -> Self::Result {
        let (id, is_new) = row(save.id);
        self.change(save.asked_by, async move |writer, by| scim_user::save(&writer, id, is_new, save.wish, by).await)
    }
}

impl Handler<DeletePerson> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<bool>>;

    fn handle(&mut self, delete: DeletePerson, _: &mut Self::Context) -> Self::Result {
        self.change(delete.asked_by, async move |writer, by| scim_user::delete(&writer, delete.id, by).await)
    }
}

impl Handler<SaveGroup> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<scim_group::Saved>>;

    fn handle(&mut self, save: SaveGroup, _: &mut Self::Context) -> Self::Result {
        let (id, is_new) = row(save.id);
        self.change(save.asked_by, async move |writer, by| scim_group::save(&writer, id, is_new, save.wish, by).await)
    }
}

impl Handler<DeleteGroup> for ProfileManager {
    type Result = ResponseActFuture<Self, Answer<bool>>;

    fn handle(&mut self, delete: DeleteGroup, _: &mut Self::Context) -> Self::Result {
        self.change(delete.asked_by, async move |writer, by| scim_group::delete(&writer, delete.id, by).await)
    }
}
