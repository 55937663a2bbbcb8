//! Pages of devices, with everything that follows from them, in one transaction each: rows, expected hosts, and where the reading
//! goes on.

use std::collections::{BTreeMap, HashMap};

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, ExprTrait, OnConflict, Query};
use sea_orm::{Iterable, QueryOrder, QuerySelect};

use super::{Column, Entity, Model, NEVER};
use crate::abm_token::{self, FOLLOWING, READING, SWEEPING};
use crate::host::{self, OFF, PENDING};
use crate::{Reader, StoreError, Transaction, Writer, host_admission, host_lifecycle};

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
                let serials: Vec<String> = some.into_iter().map(|device| device.serial).collect();
                take_away(transaction, &serials, at).await?;
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
    let mut written = BTreeMap::new();
    for said in &page.devices {
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
    let taken: Vec<String> = taken.into_iter().map(|row| row.serial).collect();
    release(transaction, &taken, page.at).await?;
    let moved = |device: &&Model| known.get(&device.serial).is_some_and(|row| row.token_id != token.id);
    welcome(transaction, token, live.iter().filter(moved), page.at).await?;
    expect(transaction, token, &live, page.at).await
}

/// What is known of a device after somebody said something of it; `None` when that was older than what is known.
fn merged(before: Option<&Model>, said: &Said, token: &abm_token::Model, at: i64) -> Option<Model> {
    let device = &said.device;
    let is_ours = |row: &Model| row.token_id == token.id;
    if let Some(row) = before {
        let stale = match is_ours(row) {
            // A list has no times, and is newer than every change that was known when it was asked for.
            true => device.op_at.is_some() && device.op_at < row.op_at,
            // Another organization has it, unless it was given to this one later. What it lost to this one is no news.
            false => said.is_taken || (row.removed_at.is_none() && device.assigned_at < row.assigned_at),
        };
        if stale {
            return None;
        }
    }
    let ours = before.filter(|row| is_ours(row));
    if said.is_taken && ours.is_none() {
        return None;
    }
    let same_profile = |row: &&Model| row.profile_uuid == device.profile_uuid;
    Some(Model {
        token_id: token.id,
        round: token.round,
        op_at: device.op_at.or(ours.and_then(|row| row.op_at)),
        response: ours.map_or(NEVER, |row| row.response),
        responded_at: ours.and_then(|row| row.responded_at),
        // A device whose profile somebody else changed is looked at at once.
        rests_until: ours.filter(same_profile).and_then(|row| row.rests_until),
        removed_at: said.is_taken.then_some(at),
        ..device.clone()
    })
}

/// Devices are this server's no more.
async fn take_away(transaction: &Transaction, serials: &[String], at: i64) -> Result<(), StoreError> {
    for some in serials.chunks(AT_ONCE) {
        let gone = Entity::update_many().col_expr(Column::RemovedAt, at.into());
        gone.filter(Column::Serial.is_in(some)).exec(transaction).await?;
    }
    release(transaction, serials, at).await
}

/// Hosts that were only expected because of their devices are gone.
async fn release(transaction: &Transaction, serials: &[String], at: i64) -> Result<(), StoreError> {
    for some in serials.chunks(AT_ONCE) {
        let expected = host::Entity::find()
            .filter(host::Column::Serial.is_in(some))
            .filter(host::Column::MdmStatus.eq(PENDING))
            .filter(host::Column::DeletedAt.is_null());
        let expected = expected.all(transaction).await?;
        host_lifecycle::delete(transaction, &expected, BY, at).await?;
    }
    Ok(())
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
