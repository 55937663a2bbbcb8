//! Table `command_policy`: which roles may send a command type. Types that are not here may be sent by everyone who may send
//! commands at all.

use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::entity::prelude::*;
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::role::Role;
use crate::{Reader, StoreError, Writer};

/// A row of `command_policy`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command_policy")]
pub struct Model {
    /// The command type.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_type: String,
    /// Names of roles, separated by spaces; see [`Model::roles`].
    pub roles: String,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Who may send a command type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The command type.
    pub request_type: String,
    /// The roles that may send it.
    pub roles: Vec<Role>,
}

impl Model {
    /// The roles that may send it.
    pub fn roles(&self) -> Vec<Role> {
        self.roles.split(' ').filter_map(Role::parse).collect()
    }
}

/// All rules, by command type.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader
        .run(|database| async move { Ok(Entity::find().order_by_asc(Column::RequestType).all(&database).await?) })
        .await
}

/// The rule for a command type, if there is one.
///
/// # Errors
/// The database does not answer.
pub async fn of(reader: &Reader, request_type: &str) -> Result<Option<Model>, StoreError> {
    let request_type = request_type.to_owned();
    reader.run(move |database| async move { Ok(Entity::find_by_id(request_type).one(&database).await?) }).await
}

/// Replaces all rules.
///
/// # Errors
/// See [`StoreError`].
pub async fn replace(writer: &Writer, rules: Vec<Rule>, by: String, now: i64) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), rules, by, now);
    writer
        .run(input, |transaction, (vault, rules, by, now)| {
            Box::pin(async move {
                Entity::delete_many().exec(transaction).await?;
                let mut detail = Vec::with_capacity(rules.len());
                for Rule { request_type, roles } in rules {
                    let roles = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" ");
                    detail.push(format!("{request_type}: {roles}"));
                    let row = ActiveModel { request_type: Set(request_type), roles: Set(roles) };
                    Entity::insert(row).exec_without_returning(transaction).await?;
                }
                let (target, detail) = (String::new(), detail.join("; "));
                let event = Event { at: now, actor: by, action: "command_policy.replace", target, detail };
                let said = Activity::new("edited_command_policy", json!({}));
                chronicle(transaction, &vault, event, vec![said]).await
            })
        })
        .await
}
