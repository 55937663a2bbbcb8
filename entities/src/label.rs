//! Tables `label` and `label_host`: groups of hosts that overlap. A manual label has the hosts that admins put there; a
//! dynamic one those that its rule fits, which is looked at whenever a rule or a host changes.

pub mod change;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Func};
use sea_orm::{Condition, JoinType, QueryOrder, QuerySelect, RelationDef};

use crate::{Reader, StoreError, host};

/// [`Model::kind`]: every server has it.
pub const BUILT_IN: i16 = 0;
/// [`Model::kind`]: admins say which hosts have it.
pub const MANUAL: i16 = 1;
/// [`Model::kind`]: its rule says which hosts have it.
pub const DYNAMIC: i16 = 2;

/// A row of `label`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "label")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The name in lower case; unique.
    pub folded_name: String,
    /// What it is for.
    pub description: String,
    /// [`BUILT_IN`], [`MANUAL`] or [`DYNAMIC`].
    pub kind: i16,
    /// What a rule looks at: a name of [`Vital`].
    pub vital: Option<String>,
    /// What the rule wants to see there.
    pub pattern: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `label_host`.
pub mod member {
    use sea_orm::entity::prelude::*;

    /// A row of `label_host`: this host has this label.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "label_host")]
    pub struct Model {
        /// The label.
        #[sea_orm(primary_key, auto_increment = false)]
        pub label_id: i64,
        /// The host.
        #[sea_orm(primary_key, auto_increment = false)]
        pub host_id: i64,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a rule can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vital {
    /// Nothing: every host has the label.
    All,
    /// See [`host::Model::platform`].
    Platform,
    /// See [`host::Model::hardware_model`].
    HardwareModel,
    /// See [`host::Model::os_version`].
    OsVersion,
    /// See [`host::Model::build_version`].
    Build,
    /// See [`host::Model::computer_name`].
    ComputerName,
}

/// Which hosts a dynamic label has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it looks at.
    pub vital: Vital,
    /// What it wants to see there: a text, or with `*` at its end how the text begins.
    pub pattern: String,
}

/// A label with the number of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The label.
    pub label: Model,
    /// How many hosts have it.
    pub hosts: i64,
}

impl Vital {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::All, "all"),
        (Self::Platform, "platform"),
        (Self::HardwareModel, "hardware_model"),
        (Self::OsVersion, "os_version"),
        (Self::Build, "build"),
        (Self::ComputerName, "computer_name"),
    ];

    /// The vital with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(vital, _)| vital)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(vital, _)| *vital == self).map_or("", |(_, name)| name)
    }

    fn column(self) -> Option<host::Column> {
        match self {
            Self::All => None,
            Self::Platform => Some(host::Column::Platform),
            Self::HardwareModel => Some(host::Column::HardwareModel),
            Self::OsVersion => Some(host::Column::OsVersion),
            Self::Build => Some(host::Column::BuildVersion),
            Self::ComputerName => Some(host::Column::ComputerName),
        }
    }
}

impl Rule {
    /// Whether it fits a host. It says of every host what the condition of the same rule says in the database.
    pub fn fits(&self, host: &host::Model) -> bool {
        let value = match self.vital {
            Vital::All => return true,
            Vital::Platform => &host.platform,
            Vital::HardwareModel => &host.hardware_model,
            Vital::OsVersion => &host.os_version,
            Vital::Build => &host.build_version,
            Vital::ComputerName => &host.computer_name,
        };
        match self.pattern.strip_suffix('*') {
            None => *value == self.pattern,
            Some(start) => value.starts_with(start),
        }
    }

    /// The condition that hosts fulfil which it fits.
    fn condition(&self) -> Condition {
        let Some(column) = self.vital.column() else { return Condition::all() };
        Condition::all().add(match self.pattern.strip_suffix('*') {
            None => column.eq(self.pattern.as_str()),
            Some(start) => {
                let length = i32::try_from(start.chars().count()).unwrap_or(i32::MAX);
                let head = Func::cust("substr").arg(Expr::col((host::Entity, column))).arg(1_i32).arg(length);
                Expr::expr(head).eq(start)
            }
        })
    }
}

impl Model {
    /// Its rule, if it has one.
    pub fn rule(&self) -> Option<Rule> {
        let vital = Vital::parse(self.vital.as_deref()?)?;
        Some(Rule { vital, pattern: self.pattern.clone().unwrap_or_default() })
    }
}

/// All labels, by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader
        .run(|database| async move { Ok(Entity::find().order_by_asc(Column::FoldedName).all(&database).await?) })
        .await
}

/// Labels with the numbers of their hosts; all of them, or one.
///
/// # Errors
/// The database does not answer.
pub async fn counted(reader: &Reader, id: Option<i64>) -> Result<Vec<Counted>, StoreError> {
    reader
        .run(move |database| async move {
            let mut query = Entity::find().order_by_asc(Column::FoldedName);
            let mut members = member::Entity::find()
                .select_only()
                .column(member::Column::LabelId)
                .column_as(member::Column::HostId.count(), "hosts")
                .join(JoinType::InnerJoin, to_host())
                .filter(host::is_there())
                .group_by(member::Column::LabelId);
            if let Some(id) = id {
                query = query.filter(Column::Id.eq(id));
                members = members.filter(member::Column::LabelId.eq(id));
            }
            let hosts = members.into_tuple::<(i64, i64)>().all(&database).await?;
            let hosts: std::collections::HashMap<i64, i64> = hosts.into_iter().collect();
            let labels = query.all(&database).await?.into_iter();
            Ok(labels
                .map(|label| Counted { hosts: hosts.get(&label.id).copied().unwrap_or_default(), label })
                .collect())
        })
        .await
}

/// The label with this row number.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}

/// The labels that a host has, by name.
///
/// # Errors
/// The database does not answer.
pub async fn of_host(reader: &Reader, host_id: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let to_members: RelationDef =
                Entity::belongs_to(member::Entity).from(Column::Id).to(member::Column::LabelId).into();
            let query = Entity::find()
                .join(JoinType::InnerJoin, to_members)
                .filter(member::Column::HostId.eq(host_id))
                .order_by_asc(Column::FoldedName);
            Ok(query.all(&database).await?)
        })
        .await
}

/// The condition that a host has a label.
pub(crate) fn has(label_id: i64) -> Expr {
    let members = member::Entity::find()
        .select_only()
        .column(member::Column::HostId)
        .filter(member::Column::LabelId.eq(label_id));
    Expr::col((host::Entity, host::Column::Id)).in_subquery(sea_orm::QueryTrait::into_query(members))
}

fn to_host() -> RelationDef {
    member::Entity::belongs_to(host::Entity).from(member::Column::HostId).to(host::Column::Id).into()
}
