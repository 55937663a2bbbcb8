//! Devices that wait in Setup Assistant until they are told to go on, and what they still wait for. Read from rows of others
//! alone, so that nothing has to be kept in step.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, JoinType, QueryOrder, QuerySelect};

use crate::host_profile::{HELD, INSTALL, PENDING, UNSENT};
use crate::{
    Database, Reader, StoreError, Writer, command, enrollment, host, host_profile, profile, profile_marking,
    queue_entry,
};

/// The command that lets a device go on.
pub const RELEASE: &str = "DeviceConfigured";

/// A device that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its device channel.
    pub enrollment_id: i64,
    /// The channel's generation.
    pub generation: i32,
    /// Its host.
    pub host_id: i64,
    /// When it enrolled.
    pub since: i64,
    /// The team of its host; 0 for none.
    pub team_id: i64,
    /// What it still waits for: profiles that are not decided, sent and answered.
    pub open_profiles: u64,
    /// Whether its host is still to be looked at for profiles.
    pub is_unmarked: bool,
    /// The states of the commands that let it go on, oldest first.
    pub releases: Vec<i16>,
}

/// Some devices that wait, behind a row.
///
/// # Errors
/// The database does not answer.
pub async fn waiting(reader: &Reader, after: i64, limit: u64) -> Result<Vec<Waiting>, StoreError> {
    reader
        .run(move |database| async move {
            use enrollment::{Column, Entity};
            let waiting = Entity::find()
                .filter(Column::AwaitingConfiguration.eq(true))
                .filter(Column::Enabled.eq(true))
                .filter(Column::Id.gt(after))
                .order_by_asc(Column::Id)
                .limit(limit);
            let channels = waiting.all(&database).await?;
            if channels.is_empty() {
                return Ok(Vec::new());
            }
            let hosts: Vec<i64> = channels.iter().map(|channel| channel.host_id).collect();
            let teams = teams(&database, &hosts).await?;
            let unmarked = unmarked(&database, &hosts).await?;
            let open = open_profiles(&database, &hosts).await?;
            let mut releases = releases(&database, &channels).await?;
            let of = |channel: enrollment::Model| Waiting {
                enrollment_id: channel.id,
                generation: channel.generation,
                host_id: channel.host_id,
                since: channel.enrolled_at.or(channel.authenticated_at).unwrap_or_default(),
                team_id: teams.get(&channel.host_id).copied().unwrap_or_default(),
                open_profiles: open.get(&channel.host_id).copied().unwrap_or_default(),
                is_unmarked: unmarked.contains(&channel.host_id),
                releases: releases.remove(&channel.id).unwrap_or_default(),
            };
            Ok(channels.into_iter().map(of).collect())
        })
        .await
}

async fn teams(database: &Database, hosts: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
    let rows = host::Entity::find().filter(host::Column::Id.is_in(hosts.iter().copied())).all(database).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.team_id.unwrap_or_default())).collect())
}

async fn unmarked(database: &Database, hosts: &[i64]) -> Result<HashSet<i64>, StoreError> {
    use profile_marking::host::{Column, Entity};
    let rows = Entity::find().filter(Column::HostId.is_in(hosts.iter().copied())).all(database).await?;
    Ok(rows.into_iter().map(|row| row.host_id).collect())
}

/// Profiles of the device that it has not answered yet. What waits for a user waits for the end of Setup Assistant; and
/// declarations, which a device may put off until then, are nothing that it waits for.
async fn open_profiles(database: &Database, hosts: &[i64]) -> Result<BTreeMap<i64, u64>, StoreError> {
    use host_profile::{Column, Entity};
    let for_user = Condition::all().add(Column::Status.eq(HELD)).add(Column::Scope.eq(profile::USER));
    let open = Entity::find()
        .filter(Column::HostId.is_in(hosts.iter().copied()))
        .filter(Column::Kind.eq(profile::MOBILECONFIG))
        .filter(Column::Operation.eq(INSTALL))
        .filter(Column::Status.is_in([UNSENT, HELD, PENDING]))
        .filter(for_user.not());
    let mut counted = BTreeMap::new();
    for row in open.all(database).await? {
        *counted.entry(row.host_id).or_default() += 1;
    }
    Ok(counted)
}

/// The states of the commands of the present generation that let devices go on.
async fn releases(database: &Database, channels: &[enrollment::Model]) -> Result<HashMap<i64, Vec<i16>>, StoreError> {
    use queue_entry::{Column, Entity};
    let generations: HashMap<i64, i32> = channels.iter().map(|channel| (channel.id, channel.generation)).collect();
    let entries = Entity::find()
        .join(JoinType::InnerJoin, queue_entry::to_command())
        .filter(Column::EnrollmentId.is_in(generations.keys().copied()))
        .filter(command::Column::RequestType.eq(RELEASE))
        .order_by_asc(Column::Id);
    let mut states = HashMap::<i64, Vec<i16>>::new();
    for entry in entries.all(database).await? {
        if generations.get(&entry.enrollment_id) == Some(&entry.generation) {
            states.entry(entry.enrollment_id).or_default().push(entry.state);
        }
    }
    Ok(states)
}

/// A device goes on: it waits no more.
///
/// # Errors
/// See [`StoreError`].
pub async fn released(writer: &Writer, enrollment_id: i64, generation: i32) -> Result<(), StoreError> {
    writer
        .run((enrollment_id, generation), |transaction, (enrollment_id, generation)| {
            Box::pin(async move {
                use enrollment::{Column, Entity};
                let on = Entity::update_many().col_expr(Column::AwaitingConfiguration, false.into());
                let on = on.filter(Column::Id.eq(enrollment_id)).filter(Column::Generation.eq(generation));
                on.exec(transaction).await?;
                Ok(())
            })
        })
        .await
}
