//! Table `host`, as admins look through it: pages, filters, counts.
//!
//! Counts by team, platform and status come from `host_tally`, which the database keeps by itself.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, NullOrdering, Query};
use sea_orm::{Condition, ConnectionTrait, FromQueryResult, Order, QueryOrder, QuerySelect};

use crate::host::{self, Column, Entity, Model};
use crate::{Reader, StoreError, enrollment, label};

/// A row of `host_tally`: how many hosts are of one team, platform and status.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Tally {
    /// The team; 0 for hosts of none.
    pub team_id: i64,
    /// See [`Model::platform`].
    pub platform: String,
    /// See [`Model::mdm_status`].
    pub mdm_status: i16,
    /// How many.
    pub hosts: i64,
}

/// Which hosts are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the name, the serial number or the UUID; empty for all.
    pub text: String,
    /// Hosts of this team; 0 for hosts of none.
    pub team: Option<i64>,
    /// Hosts of these teams: those within reach of who asks. `None` for all, also of none.
    pub teams: Option<Vec<i64>>,
    /// Hosts whose management is in one of these states; empty for all.
    pub mdm_statuses: Vec<i16>,
    /// Hosts with a channel that we may send to, or those without.
    pub connected: Option<bool>,
    /// Hosts of these platforms; empty for all.
    pub platforms: Vec<String>,
    /// Hosts that have this label.
    pub label: Option<i64>,
    /// Hosts that were seen since then.
    pub seen_since: Option<i64>,
    /// Hosts that were not seen since then.
    pub unseen_since: Option<i64>,
    /// Hosts that we first heard of since then.
    pub created_since: Option<i64>,
}

/// Which hosts a list shows, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Which hosts.
    pub filter: Filter,
    /// The column to sort by.
    pub order: OrderKey,
    /// Whether the largest comes first.
    pub descending: bool,
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return at most.
    pub limit: u64,
}

/// What a list of hosts may be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKey {
    /// Row number.
    Id,
    /// Computer name.
    Name,
    /// Serial number.
    Serial,
    /// When it last spoke to us.
    LastSeen,
}

/// A page of hosts.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, search: Search) -> Result<Vec<Model>, StoreError> {
    reader.run(move |database| async move { Ok(page(&search).all(&database).await?) }).await
}

/// The rows after a row, in the order of their numbers: for walks through all of them.
///
/// # Errors
/// The database does not answer.
pub async fn list_after(reader: &Reader, filter: Filter, id: i64, limit: u64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(filter.condition()).filter(Column::Id.gt(id)).order_by_asc(Column::Id);
            Ok(rows.limit(limit).all(&database).await?)
        })
        .await
}

/// How many hosts a filter lets through.
///
/// # Errors
/// The database does not answer.
pub async fn count(reader: &Reader, filter: Filter) -> Result<u64, StoreError> {
    if filter.is_tallied() {
        let tallies = tally(reader, filter.team).await?;
        let meant = tallies.iter().filter(|tally| filter.means(tally));
        return Ok(meant.map(|tally| tally.hosts.unsigned_abs()).sum());
    }
    reader
        .run(move |database| async move { Ok(Entity::find().filter(filter.condition()).count(&database).await?) })
        .await
}

/// How many hosts there are of each team, platform and status.
///
/// # Errors
/// The database does not answer.
pub async fn tally(reader: &Reader, team: Option<i64>) -> Result<Vec<Tally>, StoreError> {
    reader
        .run(move |database| async move {
            let query = Query::select()
                .columns(["team_id", "platform", "mdm_status", "hosts"])
                .from("host_tally")
                .and_where(Expr::col("hosts").gt(0))
                .and_where_option(team.map(|team| Expr::col("team_id").eq(team)))
                .to_owned();
            let rows = database.query_all(&query).await?;
            Ok(rows.iter().map(|row| Tally::from_query_result(row, "")).collect::<Result<_, _>>()?)
        })
        .await
}

fn page(search: &Search) -> Select<Entity> {
    let order = if search.descending { Order::Desc } else { Order::Asc };
    let rows = Entity::find().filter(search.filter.condition());
    // Saying where empty values go would keep an index from being used where there are none.
    let sorted = match search.order {
        OrderKey::Id => rows,
        OrderKey::Name => rows.order_by(Column::ComputerName, order.clone()),
        OrderKey::Serial => rows.order_by_with_nulls(Column::Serial, order.clone(), NullOrdering::Last),
        OrderKey::LastSeen => rows.order_by_with_nulls(Column::LastSeenAt, order.clone(), NullOrdering::Last),
    };
    sorted.order_by(Column::Id, order).offset(search.offset).limit(search.limit)
}

impl Filter {
    pub(crate) fn condition(&self) -> Condition {
        let mut all = Condition::all().add(host::is_there());
        if !self.text.is_empty() {
            let text = self.text.as_str();
            let any = Condition::any().add(Column::ComputerName.contains(text));
            all = all.add(any.add(Column::Serial.contains(text)).add(Column::Uuid.contains(text)));
        }
        match self.team {
            None => {}
            Some(0) => all = all.add(Column::TeamId.is_null()),
            Some(team) => all = all.add(Column::TeamId.eq(team)),
        }
        all = all.add_option(self.teams.as_ref().map(|teams| Column::TeamId.is_in(teams.iter().copied())));
        if !self.mdm_statuses.is_empty() {
            all = all.add(Column::MdmStatus.is_in(self.mdm_statuses.iter().copied()));
        }
        if !self.platforms.is_empty() {
            all = all.add(Column::Platform.is_in(&self.platforms));
        }
        all = all.add_option(self.label.map(label::has));
        let unseen = |since| Condition::any().add(Column::LastSeenAt.lte(since)).add(Column::LastSeenAt.is_null());
        let connected = |wanted| if wanted { enrollment::is_connected() } else { enrollment::is_connected().not() };
        all.add_option(self.connected.map(connected))
            .add_option(self.seen_since.map(|since| Column::LastSeenAt.gt(since)))
            .add_option(self.unseen_since.map(unseen))
            .add_option(self.created_since.map(|since| Column::CreatedAt.gt(since)))
    }

    /// Whether the tally alone answers how many hosts are meant.
    fn is_tallied(&self) -> bool {
        let Self { text, label, connected, seen_since, unseen_since, created_since, .. } = self;
        let is_timeless = seen_since.is_none() && unseen_since.is_none() && created_since.is_none();
        text.is_empty() && label.is_none() && connected.is_none() && is_timeless
    }

    /// Whether hosts of this kind are meant, as far as the tally tells kinds apart.
    pub fn means(&self, tally: &Tally) -> bool {
        self.teams.as_ref().is_none_or(|teams| teams.contains(&tally.team_id))
            && (self.mdm_statuses.is_empty() || self.mdm_statuses.contains(&tally.mdm_status))
            && (self.platforms.is_empty() || self.platforms.contains(&tally.platform))
    }
}
