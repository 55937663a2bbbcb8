//! Devices that wait in Setup Assistant until they are told to go on, and what they still wait for. Read from rows of others
//! alone, so that nothing has to be kept in step.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, JoinType, QueryOrder, QuerySelect};

use crate::host_profile::{HELD, INSTALL, PENDING, UNSENT};
use crate::{
    Database, Reader, StoreError, Writer, command, enrollment, host, host_idp_account, host_profile, idp_account,
    profile, profile_marking, queue_entry,
};

/// [`enrollment::Model::kind`] of the channel of a device: `protocol::apple::channel::ChannelKind::Device`.
const DEVICE: i16 = 0;

/// The command that lets a device go on.
pub const RELEASE: &str = "DeviceConfigured";
/// The command that makes the account of a Mac's owner.
pub const ACCOUNT: &str = "AccountConfiguration";

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
    /// Whose it is, where it is a Mac and its owner signed in.
    pub owner: Option<idp_account::Model>,
    /// The states of the commands that make the owner's account, oldest first.
    pub accounts: Vec<i16>,
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
                .filter(Column::Kind.eq(DEVICE))
                .filter(Column::Enabled.eq(true))
                .filter(Column::Id.gt(after))
                .order_by_asc(Column::Id)
                .limit(limit);
            let channels = waiting.all(&database).await?;
            if channels.is_empty() {
                return Ok(Vec::new());
            }
            let hosts: Vec<i64> = channels.iter().map(|channel| channel.host_id).collect();
            let known = host::Entity::find().filter(host::Column::Id.is_in(hosts.iter().copied()));
            let known: HashMap<i64, host::Model> =
                known.all(&database).await?.into_iter().map(|row| (row.id, row)).collect();
            let owners = owners(&database, &hosts).await?;
            let unmarked = unmarked(&database, &hosts).await?;
            let open = open_profiles(&database, &hosts).await?;
            let mut told = told(&database, &channels).await?;
            let of = |channel: enrollment::Model| Waiting {
                enrollment_id: channel.id,
                generation: channel.generation,
                host_id: channel.host_id,
                since: channel.enrolled_at.or(channel.authenticated_at).unwrap_or_default(),
                team_id: known.get(&channel.host_id).and_then(|host| host.team_id).unwrap_or_default(),
                owner: known
                    .get(&channel.host_id)
                    .filter(|host| host.platform == "darwin")
                    .and_then(|host| owners.get(&host.id).cloned()),
                accounts: told.remove(&(channel.id, ACCOUNT.to_owned())).unwrap_or_default(),
                open_profiles: open.get(&channel.host_id).copied().unwrap_or_default(),
                is_unmarked: unmarked.contains(&channel.host_id),
                releases: told.remove(&(channel.id, RELEASE.to_owned())).unwrap_or_default(),
            };
            Ok(channels.into_iter().map(of).collect())
        })
        .await
}

/// Whose these hosts are.
async fn owners(database: &Database, hosts: &[i64]) -> Result<HashMap<i64, idp_account::Model>, StoreError> {
    let links = host_idp_account::Entity::find();
    let links = links.filter(host_idp_account::Column::HostId.is_in(hosts.iter().copied())).all(database).await?;
    let accounts = links.iter().map(|link| link.account_uuid.as_str());
    let accounts = idp_account::Entity::find().filter(idp_account::Column::Uuid.is_in(accounts)).all(database).await?;
    let account = |uuid: &str| accounts.iter().find(|account| account.uuid == uuid).cloned();
    Ok(links.into_iter().filter_map(|link| Some((link.host_id, account(&link.account_uuid)?))).collect())
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

/// The states of the commands of Setup Assistant, by channel and type, in the present generation.
async fn told(
    database: &Database,
    channels: &[enrollment::Model],
) -> Result<HashMap<(i64, String), Vec<i16>>, StoreError> {
    use queue_entry::{Column, Entity};
    let generations: HashMap<i64, i32> = channels.iter().map(|channel| (channel.id, channel.generation)).collect();
    let entries = Entity::find()
        .join(JoinType::InnerJoin, queue_entry::to_command())
        .filter(Column::EnrollmentId.is_in(generations.keys().copied()))
        .filter(command::Column::RequestType.is_in([RELEASE, ACCOUNT]))
        .select_only()
        .columns([Column::EnrollmentId, Column::Generation, Column::State])
        .column(command::Column::RequestType)
        .order_by_asc(Column::Id);
    let mut states = HashMap::<(i64, String), Vec<i16>>::new();
    for (channel, generation, state, kind) in entries.into_tuple::<(i64, i32, i16, String)>().all(database).await? {
        if generations.get(&channel) == Some(&generation) {
            states.entry((channel, kind)).or_default().push(state);
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
