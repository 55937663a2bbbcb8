//! Pages of devices, with everything that follows from them, in one transaction each: rows, expected hosts, and where the reading
//! goes on.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, ExprTrait, OnConflict, Query};
use sea_orm::{Iterable, QueryOrder, QuerySelect};

use super::{Column, Entity, Model, NEVER};
use crate::abm_token::{self, FOLLOWING, READING, SWEEPING};
use crate::host::{self, OFF, PENDING};
use crate::{Reader, StoreError, Transaction, Writer, agent, enrollment, host_admission, host_lifecycle};

/// Rows of one statement.
const AT_ONCE: usize = 100;
/// Devices that one step looks at.
const STEP: u64 = 200;

/// Where a reading stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// See [`abm_token::Model::state`].
    pub state: i16,
    /// See [`abm_token::Model::round`].
    pub round: i64,
    /// See [`abm_token::Model::cursor`].
    pub cursor: Option<String>,
}

/// What a page says of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it is; `round`, `response` and what follows from them are nothing that a page says.
    pub device: Model,
    /// Whether it was taken from this server.
    pub is_taken: bool,
    /// Whether it was given to this server, or is listed among its devices.
    pub is_given: bool,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Through which token.
    pub token_id: i64,
    /// Where the reading stood when the page was asked for.
    pub asked_at: Place,
    /// Its devices, in the order of the answer.
    pub devices: Vec<Said>,
    /// Where to go on.
    pub cursor: String,
    /// Whether it is the last one for now.
    pub is_last: bool,
    /// When.
    pub at: i64,
}

impl Place {
    /// Where the reading of a token stands.
    pub fn of(token: &abm_token::Model) -> Self {
        Self { state: token.state, round: token.round, cursor: token.cursor.clone() }
    }
}

/// Takes a page in. `None` when the reading stands elsewhere by now: nothing was taken in then.
///
/// # Errors
/// See [`StoreError`].
pub async fn take_in(writer: &Writer, page: Page) -> Result<Option<abm_token::Model>, StoreError> {
    writer
        .run(page, |transaction, page| {
            Box::pin(async move {
                let Some(token) = standing(transaction, page.token_id, &page.asked_at).await? else { return Ok(None) };
                apply(transaction, &token, &page).await?;
                let state = if token.state == READING && page.is_last { SWEEPING } else { token.state };
                let place = Place { state, cursor: Some(page.cursor), round: token.round };
                // Only a cursor that was taken for changes proves that another reading of everything was worth it.
                let well = (token.state == FOLLOWING).then_some((0, None));
                go_to(transaction, page.token_id, place, well).await
            })
        })
        .await
}

/// Takes some of the devices away that a whole reading did not meet; after the last of them, changes are followed. `None` when
/// the reading stands elsewhere by now.
///
/// # Errors
/// See [`StoreError`].
pub async fn sweep_some(
    writer: &Writer,
    token_id: i64,
    place: Place,
    at: i64,
) -> Result<Option<abm_token::Model>, StoreError> {
    writer
        .run((token_id, place, at), |transaction, (token_id, place, at)| {
            Box::pin(async move {
                let Some(token) = standing(transaction, token_id, &place).await? else { return Ok(None) };
                let unmet = Entity::find().filter(of_token(token_id)).filter(Column::Round.lt(token.round)).limit(STEP);
                let unmet = unmet.all(transaction).await?;
                let serials: Vec<String> = unmet.into_iter().map(|device| device.serial).collect();
                if serials.is_empty() {
                    return go_to(transaction, token_id, Place { state: FOLLOWING, ..place }, None).await;
                }
                take_away(transaction, &serials, at).await?;
                Ok(Some(token))
            })
        })
        .await
}

/// Begins to read all devices anew, after a while where one is named. `None` when the reading stands elsewhere by now.
///
/// # Errors
/// See [`StoreError`].
pub async fn begin_anew(
    writer: &Writer,
    token_id: i64,
    place: Place,
    rests_until: Option<i64>,
) -> Result<Option<abm_token::Model>, StoreError> {
    writer
        .run((token_id, place, rests_until), |transaction, (token_id, place, rests_until)| {
            Box::pin(async move {
                let Some(token) = standing(transaction, token_id, &place).await? else { return Ok(None) };
                let anew = Place { state: READING, round: token.round + 1, cursor: None };
                let restarts = Some((token.restarts.saturating_add(1), rests_until));
                go_to(transaction, token_id, anew, restarts).await
            })
        })
        .await
}

/// Some devices of a token, behind a serial number, that are unknown as hosts, deleted or not managed.
///
/// # Errors
/// The database does not answer.
pub async fn unexpected(reader: &Reader, token_id: i64, after: String) -> Result<Vec<String>, StoreError> {
    reader
        .run(move |database| async move {
            let is_its = Expr::col((host::Entity, host::Column::Serial)).equals((Entity, Column::Serial));
            let expected = Query::select()
                .expr(Expr::val(1))
                .from(host::Entity)
                .and_where(is_its)
                .and_where(host::Column::DeletedAt.is_null())
                .and_where(host::Column::MdmStatus.ne(OFF))
                .take();
            let missing = Entity::find().filter(of_token(token_id)).filter(Column::Serial.gt(after));
            let missing = missing.filter(Expr::exists(expected).not()).order_by_asc(Column::Serial).limit(STEP);
            Ok(missing.all(&database).await?.into_iter().map(|device| device.serial).collect())
        })
        .await
}

/// Makes sure that these devices of a token are expected as hosts.
///
/// # Errors
/// See [`StoreError`].
pub async fn expect_these(writer: &Writer, token_id: i64, serials: Vec<String>, at: i64) -> Result<(), StoreError> {
    writer
        .run((token_id, serials, at), |transaction, (token_id, serials, at)| {
            Box::pin(async move {
                let Some(token) = abm_token::Entity::find_by_id(token_id).one(transaction).await? else {
                    return Ok(());
                };
                let these = Entity::find().filter(of_token(token_id)).filter(Column::Serial.is_in(serials));
                expect(transaction, &token, &these.all(transaction).await?, at).await
            })
        })
        .await
}

/// Forgets some of the devices of a token that is to be deleted, and the hosts that were only expected because of them. True
/// when there may be more.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_some(writer: &Writer, token_id: i64, at: i64) -> Result<bool, StoreError> {
    writer
        .run((token_id, at), |transaction, (token_id, at)| {
            Box::pin(async move {
                let some = Entity::find().filter(Column::TokenId.eq(token_id)).limit(STEP).all(transaction).await?;
                let live = some.iter().filter(|device| device.removed_at.is_none());
                let live: Vec<String> = live.map(|device| device.serial.clone()).collect();
                take_away(transaction, &live, at).await?;
                let serials: Vec<String> = some.into_iter().map(|device| device.serial).collect();
                Entity::delete_many().filter(Column::Serial.is_in(serials.iter())).exec(transaction).await?;
                Ok(!serials.is_empty())
            })
        })
        .await
}

/// The devices that a token has now.
fn of_token(token_id: i64) -> Condition {
    Condition::all().add(Column::TokenId.eq(token_id)).add(Column::RemovedAt.is_null())
}

/// The token, when its reading stands there.
async fn standing(
    transaction: &Transaction,
    token_id: i64,
    place: &Place,
) -> Result<Option<abm_token::Model>, StoreError> {
    let token = abm_token::Entity::find_by_id(token_id).one(transaction).await?;
    Ok(token.filter(|token| Place::of(token) == *place))
}

/// Notes where the reading goes on, with its restarts and its rest where these are others.
async fn go_to(
    transaction: &Transaction,
    token_id: i64,
    place: Place,
    rest: Option<(i16, Option<i64>)>,
) -> Result<Option<abm_token::Model>, StoreError> {
    let mut row = abm_token::ActiveModel {
        state: Set(place.state),
        round: Set(place.round),
        cursor: Set(place.cursor),
        ..Default::default()
    };
    if let Some((restarts, rests_until)) = rest {
        row.restarts = Set(restarts);
        row.rests_until = Set(rests_until);
    }
    let this = abm_token::Column::Id.eq(token_id);
    abm_token::Entity::update_many().set(row).filter(this).exec(transaction).await?;
    Ok(abm_token::Entity::find_by_id(token_id).one(transaction).await?)
}

/// Writes what a page says, the newest of each device, and what follows for hosts.
async fn apply(transaction: &Transaction, token: &abm_token::Model, page: &Page) -> Result<(), StoreError> {
    let serials: Vec<&str> = page.devices.iter().map(|said| said.device.serial.as_str()).collect();
    let mut known = HashMap::new();
    for some in serials.chunks(AT_ONCE) {
        let rows = Entity::find().filter(Column::Serial.is_in(some.iter().copied())).all(transaction).await?;
        known.extend(rows.into_iter().map(|row| (row.serial.clone(), row)));
    }
    // A page may tell changes in any order: that a device was taken away before that it was given to this server, for example.
    let mut in_order: Vec<&Said> = page.devices.iter().collect();
    in_order.sort_by_key(|said| said.device.op_at);
    let mut written = BTreeMap::new();
    for said in in_order {
        let serial = &said.device.serial;
        let before = written.get(serial).or_else(|| known.get(serial));
        if let Some(row) = merged(before, said, token, page.at) {
            written.insert(serial.clone(), row);
        }
    }
    let written: Vec<Model> = written.into_values().collect();
    for some in written.chunks(AT_ONCE) {
        let rows = some.iter().cloned().map(|row| super::ActiveModel::from(row).reset_all());
        let replace = OnConflict::column(Column::Serial).update_columns(Column::iter()).to_owned();
        Entity::insert_many(rows).on_conflict(replace).exec_without_returning(transaction).await?;
    }
    let (live, taken): (Vec<Model>, Vec<Model>) = written.into_iter().partition(|row| row.removed_at.is_none());
    let was_live = |row: &Model| known.get(&row.serial).is_some_and(|known| known.removed_at.is_none());
    let taken: Vec<String> = taken.into_iter().filter(was_live).map(|row| row.serial).collect();
    release(transaction, &taken, page.at).await?;
    let moved = |device: &&Model| known.get(&device.serial).is_some_and(|row| row.token_id != token.id);
    welcome(transaction, token, live.iter().filter(moved), page.at).await?;
    expect(transaction, token, &live, page.at).await
}

/// What is known of a device after somebody said something of it; `None` when that was older than what is known. That a device
/// was taken away is kept of those that nobody knew, too: what happened before may be told later.
fn merged(before: Option<&Model>, said: &Said, token: &abm_token::Model, at: i64) -> Option<Model> {
    let device = &said.device;
    let is_ours = |row: &Model| row.token_id == token.id;
    if let Some(row) = before {
        // Apple's dates are of one clock, for all organizations. A list has none: it is newer than what was known, but for a device
        // that was given to somebody before it was taken away, which the list was made too early to know.
        let is_unmet = row.removed_at.is_some() && row.op_at.is_none();
        let is_older = match (device.op_at, device.assigned_at) {
            // Nobody said when a device went that a list did not have: what is told of it now may be old, unless it was given anew.
            (Some(_), _) if is_unmet => !said.is_given || device.assigned_at <= row.assigned_at,
            // Dates are of whole seconds: a device that was changed and taken away in one is gone.
            (Some(_), _) if device.op_at == row.op_at => row.removed_at.is_some() && !said.is_given,
            (Some(_), _) => device.op_at < row.op_at,
            (None, Some(_)) => row.removed_at.is_some() && device.assigned_at < row.op_at,
            (None, None) => false,
        };
        let is_others = !is_ours(row) && row.removed_at.is_none();
        // Another organization has it, unless it was given to this one later. What it lost to this one is no news.
        if is_older || is_others && (said.is_taken || device.assigned_at < row.assigned_at) {
            return None;
        }
    }
    let ours = before.filter(|row| is_ours(row));
    let same_profile = |row: &&Model| row.profile_uuid == device.profile_uuid;
    Some(Model {
        token_id: token.id,
        round: token.round,
        op_at: device.op_at.or(before.and_then(|row| row.op_at)),
        response: ours.map_or(NEVER, |row| row.response),
        responded_at: ours.and_then(|row| row.responded_at),
        // A device whose profile somebody else changed is looked at at once.
        rests_until: ours.filter(same_profile).and_then(|row| row.rests_until),
        removed_at: said.is_taken.then_some(at),
        ..device.clone()
    })
}

/// Devices are this server's no more; nobody said since when.
async fn take_away(transaction: &Transaction, serials: &[String], at: i64) -> Result<(), StoreError> {
    for some in serials.chunks(AT_ONCE) {
        let gone = Entity::update_many().col_expr(Column::RemovedAt, at.into());
        let gone = gone.col_expr(Column::OpAt, Expr::value(None::<i64>));
        gone.filter(Column::Serial.is_in(some)).exec(transaction).await?;
    }
    release(transaction, serials, at).await
}

/// Hosts that were only expected because of their devices are gone; those that are known otherwise are not expected any more.
async fn release(transaction: &Transaction, serials: &[String], at: i64) -> Result<(), StoreError> {
    for some in serials.chunks(AT_ONCE) {
        let expected = host::Entity::find()
            .filter(host::Column::Serial.is_in(some))
            .filter(host::Column::MdmStatus.eq(PENDING))
            .filter(host::Column::DeletedAt.is_null());
        let (known, expected) = known_otherwise(transaction, expected.all(transaction).await?).await?;
        for host in known {
            host::set_mdm_status(transaction, host.id, OFF, at).await?;
        }
        host_lifecycle::delete(transaction, &expected, BY, at).await?;
    }
    Ok(())
}

/// Hosts that are known through an agent or an enrollment, too, and the others.
async fn known_otherwise(
    transaction: &Transaction,
    hosts: Vec<host::Model>,
) -> Result<(Vec<host::Model>, Vec<host::Model>), StoreError> {
    let ids: Vec<i64> = hosts.iter().map(|host| host.id).collect();
    let enrolled = enrollment::Entity::find().filter(enrollment::Column::HostId.is_in(ids.iter().copied()));
    let mut known: HashSet<i64> = enrolled.all(transaction).await?.into_iter().map(|row| row.host_id).collect();
    let agents = agent::Entity::find().filter(agent::Column::HostId.is_in(ids)).all(transaction).await?;
    known.extend(agents.into_iter().map(|row| row.host_id));
    Ok(hosts.into_iter().partition(|host| known.contains(&host.id)))
}

/// Who deletes hosts that nobody expects any more.
const BY: &str = "device assignment";

/// Devices come from another organization: where they are only expected, they are of the team of their kind in this one.
async fn welcome<'d>(
    transaction: &Transaction,
    token: &abm_token::Model,
    devices: impl Iterator<Item = &'d Model>,
    at: i64,
) -> Result<(), StoreError> {
    for device in devices {
        let expected = host::Entity::update_many()
            .col_expr(host::Column::TeamId, token.team_of(&device.platform).into())
            .col_expr(host::Column::UpdatedAt, at.into())
            .filter(host::Column::Serial.eq(device.serial.as_str()))
            .filter(host::Column::MdmStatus.eq(PENDING));
        expected.exec(transaction).await?;
    }
    Ok(())
}

/// Makes sure that devices are expected as hosts. Those that are new, or were deleted, join the team of their kind.
async fn expect(
    transaction: &Transaction,
    token: &abm_token::Model,
    devices: &[Model],
    at: i64,
) -> Result<(), StoreError> {
    let mut known: HashMap<String, host::Model> = HashMap::new();
    for some in devices.chunks(AT_ONCE) {
        let serials = some.iter().map(|device| device.serial.as_str());
        let rows = host::Entity::find().filter(host::Column::Serial.is_in(serials)).all(transaction).await?;
        known.extend(rows.into_iter().filter_map(|row| Some((row.serial.clone()?, row))));
    }
    for device in devices {
        let row = known.get(&device.serial);
        if row.is_some_and(|row| row.deleted_at.is_none() && row.mdm_status != OFF) {
            continue;
        }
        let imported = host_admission::import_one(transaction, &device.description(), None, at).await?;
        if row.is_none_or(|row| row.deleted_at.is_some()) {
            host::set_team(transaction, imported.host_id, token.team_of(&device.platform)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::EMPTY;
    use super::*;
    use crate::vault::Sealed;

    fn token(id: i64) -> abm_token::Model {
        abm_token::Model {
            id,
            server_uuid: String::new(),
            server_name: String::new(),
            organization: String::new(),
            apple_id: String::new(),
            token: Sealed(Vec::new()),
            expires_at: 0,
            macos_team_id: None,
            ios_team_id: None,
            ipados_team_id: None,
            state: FOLLOWING,
            round: 3,
            cursor: None,
            restarts: 0,
            rests_until: None,
            standing: 0,
            fault: String::new(),
            synced_at: None,
            warned_days: 0,
            created_at: 0,
            updated_at: 0,
        }
    }

    /// Something that happened to a device: when, when it was given to the server, and whether it was taken away.
    fn said(op_at: Option<i64>, assigned_at: i64, is_taken: bool) -> Said {
        let text = String::new;
        let device = Model {
            serial: "S".into(),
            token_id: 0,
            model: text(),
            description: text(),
            color: text(),
            asset_tag: text(),
            device_family: text(),
            platform: text(),
            os: text(),
            profile_status: EMPTY,
            profile_uuid: None,
            profile_assigned_at: None,
            profile_pushed_at: None,
            assigned_at: Some(assigned_at),
            assigned_by: text(),
            migration_deadline: None,
            op_at,
            round: 0,
            response: NEVER,
            responded_at: None,
            rests_until: None,
            removed_at: None,
        };
        Said { device, is_taken, is_given: !is_taken }
    }

    /// What is known in the end: whose it is, if anyone's, when these are told one after the other by these tokens.
    fn told(all: &[(i64, Said)]) -> Option<i64> {
        let known = all
            .iter()
            .fold(None, |known: Option<Model>, (by, said)| merged(known.as_ref(), said, &token(*by), 9).or(known));
        known.filter(|row| row.removed_at.is_none()).map(|row| row.token_id)
    }

    #[test]
    fn the_newest_counts_in_whichever_order_it_is_told() {
        let (added, taken) = ((1, said(Some(10), 10, false)), (1, said(Some(20), 10, true)));
        assert_eq!(told(&[added.clone(), taken.clone()]), None);
        assert_eq!(told(&[taken.clone(), added.clone()]), None, "what came before is told later");
        let again = (1, said(Some(30), 30, false));
        for order in [[&added, &taken, &again], [&again, &taken, &added], [&taken, &again, &added]] {
            assert_eq!(told(&order.map(Clone::clone)), Some(1));
        }
    }

    #[test]
    fn a_device_that_was_changed_and_taken_away_in_one_second_is_gone() {
        let (added, taken) = ((1, said(Some(10), 10, false)), (1, said(Some(20), 10, true)));
        let changed = (1, Said { is_given: false, ..said(Some(20), 10, false) });
        for order in [[&added, &changed, &taken], [&added, &taken, &changed]] {
            assert_eq!(told(&order.map(Clone::clone)), None);
        }
    }

    #[test]
    fn a_device_that_moves_is_the_new_organizations() {
        let (added, taken) = ((1, said(Some(10), 10, false)), (1, said(Some(20), 10, true)));
        let moved = (2, said(Some(20), 20, false));
        for order in [[&added, &taken, &moved], [&added, &moved, &taken], [&moved, &taken, &added]] {
            assert_eq!(told(&order.map(Clone::clone)), Some(2));
        }
        // And back, told late by the one that lost it.
        let back = [(2, said(Some(30), 20, true)), (1, said(Some(30), 30, false))];
        assert_eq!(told(&[added, moved.clone(), back[1].clone(), moved, back[0].clone()]), Some(1));
    }

    #[test]
    fn a_device_that_a_list_did_not_have_comes_back_by_a_list_or_when_it_is_given_anew() {
        let changed = said(Some(50), 10, false);
        let row = merged(None, &changed, &token(1), 9).unwrap();
        let unmet = Model { removed_at: Some(60), op_at: None, ..row };
        let comes_back = |said: Said| merged(Some(&unmet), &said, &token(1), 9).is_some();
        assert!(comes_back(said(None, 10, false)), "the list before was short");
        assert!(!comes_back(said(Some(10), 10, false)) && !comes_back(changed), "told late");
        assert!(comes_back(said(Some(70), 70, false)));
    }

    #[test]
    fn a_list_tells_what_is() {
        let taken = (1, said(Some(20), 10, true));
        assert_eq!(told(&[taken, (1, said(None, 30, false))]), Some(1));
        let gone = (2, said(Some(40), 35, true));
        assert_eq!(told(&[gone.clone(), (1, said(None, 30, false))]), None, "the list was made before it went on");
        assert_eq!(told(&[gone, (1, said(None, 50, false))]), Some(1), "it came back");
        let others = (2, said(Some(40), 40, false));
        assert_eq!(told(&[others, (1, said(None, 30, false))]), Some(2), "it was given away since");
    }
}
