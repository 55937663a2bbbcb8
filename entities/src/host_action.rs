//! Table `host_action`: the commands that last locked, unlocked or erased a host, and the PIN that unlocks it. A row is about
//! one enrollment; it goes when the device enrolls anew, and when a Mac whose PIN was shown comes back.
//!
//! Where a host stands follows from where these commands stand: nothing is kept of it twice.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QuerySelect};
use serde_json::json;
use zeroize::Zeroizing;

use crate::activity::{self, Activity};
use crate::audit::Event;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer, host, queue_entry};

pub(crate) static PIN: SealedColumn = SealedColumn {
    table: "host_action",
    column: "pin",
    key: &[Part::Number("host_id")],
    context: &[Part::Number("host_id")],
};

/// A row of `host_action`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_action")]
pub struct Model {
    /// The host.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_id: i64,
    /// The queue entry that locks it.
    pub lock_entry: Option<i64>,
    /// The queue entry that unlocks it, later than that one.
    pub unlock_entry: Option<i64>,
    /// The queue entry that erases it.
    pub wipe_entry: Option<i64>,
    /// The PIN that unlocks it, sealed; empty where none does.
    pub pin: Sealed,
    /// When somebody asked for the PIN to unlock it; the next time it comes, it is unlocked.
    pub pin_shown_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "actions of host {}", self.host_id)
    }
}

/// The states of the commands of a host's actions: see [`queue_entry::Model::state`]. `None`: never asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of the one that locks.
    pub lock: Option<i16>,
    /// Of the one that unlocks.
    pub unlock: Option<i16>,
    /// Of the one that erases.
    pub wipe: Option<i16>,
    /// Whether the PIN was shown to unlock it.
    pub pin_was_shown: bool,
    /// What the row is now: an action goes only if it still is so.
    seen: Seen,
}

/// What tells one moment of a row from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    entries: [Option<i64>; 3],
    pin_shown_at: Option<i64>,
}

/// Digits that unlock a host. Memory forgets them, and `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// A PIN that is these digits.
    pub fn new(digits: String) -> Self {
        Self(Zeroizing::new(digits))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Pin")
    }
}

/// Which of a host's actions a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It locks.
    Lock,
    /// It unlocks.
    Unlock,
    /// It erases.
    Wipe,
}

/// A command that is one of a host's actions; it is queued and noted in one transaction.
#[derive(Clone)]
pub struct NewAction {
    /// The host.
    pub host_id: i64,
    /// Which one.
    pub kind: Kind,
    /// Where the host stood when it was decided.
    pub standing: Standing,
    /// The PIN that will unlock it.
    pub pin: Option<Pin>,
    /// Whether the PIN is shown to whoever asks.
    pub shows_pin: bool,
}

impl std::fmt::Debug for NewAction {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?} of host {}", self.kind, self.host_id)
    }
}

/// Where hosts stand; those that are not named stand nowhere.
///
/// # Errors
/// The database does not answer.
pub async fn standings(reader: &Reader, hosts: Vec<i64>) -> Result<HashMap<i64, Standing>, StoreError> {
    reader
        .run(move |database| async move {
            let mut rows = Vec::new();
            for some in hosts.chunks(1000) {
                let some = Column::HostId.is_in(some.iter().copied());
                rows.extend(Entity::find().filter(some).all(&database).await?);
            }
            let entries: Vec<i64> = rows.iter().flat_map(|row| row.seen().entries).flatten().collect();
            let mut states: HashMap<i64, i16> = HashMap::new();
            for some in entries.chunks(1000) {
                let some = queue_entry::Column::Id.is_in(some.iter().copied());
                let found = queue_entry::Entity::find().filter(some).select_only();
                let found = found.columns([queue_entry::Column::Id, queue_entry::Column::State]);
                states.extend(found.into_tuple::<(i64, i16)>().all(&database).await?);
            }
            let state = |entry: Option<i64>| entry.and_then(|entry| states.get(&entry).copied());
            let standing = |row: &Model| Standing {
                lock: state(row.lock_entry),
                unlock: state(row.unlock_entry),
                wipe: state(row.wipe_entry),
                pin_was_shown: row.pin_shown_at.is_some(),
                seen: row.seen(),
            };
            Ok(rows.iter().map(|row| (row.host_id, standing(row))).collect())
        })
        .await
}

/// Whether a host is unlocked when its device comes the next time.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn awaits_unlock(database: &crate::Database, host_id: i64) -> Result<bool, StoreError> {
    let shown = Entity::find_by_id(host_id).filter(Column::PinShownAt.is_not_null()).count(database).await?;
    Ok(shown > 0)
}

/// Shows the PIN that unlocks a host, provided that it stands where it was seen, and notes who asked. From now on the host is
/// unlocked when its device comes.
///
/// # Errors
/// [`StoreError::Conflict`]: it stands elsewhere by now, or there is no PIN; otherwise see [`StoreError`].
pub async fn show_pin(
    writer: &Writer,
    host_id: i64,
    standing: Standing,
    by: String,
    now: i64,
) -> Result<Pin, StoreError> {
    let vault = writer.vault().clone();
    let input = (vault.clone(), host_id, standing, by, now);
    let sealed = writer
        .run(input, |transaction, (vault, host_id, standing, by, now)| {
            Box::pin(async move {
                let row = unchanged(transaction, host_id, standing).await?;
                let row = row.ok_or_else(|| StoreError::Conflict("no PIN is known of this host".to_owned()))?;
                Entity::update_many()
                    .col_expr(Column::PinShownAt, now.into())
                    .filter(Column::HostId.eq(host_id))
                    .filter(Column::PinShownAt.is_null())
                    .exec(transaction)
                    .await?;
                let said = done(transaction, host_id, Kind::Unlock, false).await?;
                activity::chronicle(transaction, &vault, pin_shown(host_id, by, "unlock", now), said).await?;
                Ok(row.pin)
            })
        })
        .await?;
    let pin = String::from_utf8(PIN.open(&vault, &[&host_id], &sealed)?);
    pin.map(Pin::new).map_err(|_| StoreError::Unreadable("a PIN is no text".into()))
}

/// An action whose PIN is sealed.
pub(crate) struct SealedAction {
    action: NewAction,
    pin: Sealed,
}

impl SealedAction {
    pub(crate) fn seal(vault: &Vault, action: &NewAction) -> Result<Self, StoreError> {
        let pin = action.pin.as_ref().map_or(&[][..], |pin| pin.as_str().as_bytes());
        Ok(Self { action: action.clone(), pin: PIN.seal(vault, &[&action.host_id], pin)? })
    }
}

/// Makes sure that a host stands where it did when an action was decided.
pub(crate) async fn check(transaction: &Transaction, sealed: &SealedAction) -> Result<(), StoreError> {
    unchanged(transaction, sealed.action.host_id, sealed.action.standing).await.map(|_| ())
}

/// Notes an action that was queued.
pub(crate) async fn note(
    transaction: &Transaction,
    vault: &Vault,
    sealed: &SealedAction,
    entry_id: i64,
    (by, now): (String, i64),
) -> Result<(), StoreError> {
    let SealedAction { action, pin } = sealed;
    let id = Some(entry_id);
    let [lock, unlock, _] = action.standing.seen.entries;
    let row = match action.kind {
        Kind::Lock => [id, None, None],
        Kind::Unlock => [lock, id, None],
        Kind::Wipe => [lock, unlock, id],
    };
    let row = ActiveModel {
        host_id: Set(action.host_id),
        lock_entry: Set(row[0]),
        unlock_entry: Set(row[1]),
        wipe_entry: Set(row[2]),
        pin: Set(pin.clone()),
        pin_shown_at: Set(None),
    };
    let columns = [Column::LockEntry, Column::UnlockEntry, Column::WipeEntry, Column::Pin, Column::PinShownAt];
    let replace = OnConflict::column(Column::HostId).update_columns(columns).to_owned();
    Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
    let said = done(transaction, action.host_id, action.kind, action.shows_pin).await?;
    if !action.shows_pin {
        return activity::record(transaction, vault, Some(&by), now, said).await;
    }
    let why = if action.kind == Kind::Lock { "lock" } else { "wipe" };
    activity::chronicle(transaction, vault, pin_shown(action.host_id, by, why, now), said).await
}

/// What people read of an action.
async fn done(
    transaction: &Transaction,
    host_id: i64,
    kind: Kind,
    view_pin: bool,
) -> Result<Vec<Activity>, StoreError> {
    let host = host::Entity::find_by_id(host_id).one(transaction).await?;
    let name = host.map(|host| host.display_name()).unwrap_or_default();
    let mut said = json!({ "host_id": host_id, "host_display_name": name });
    let kind = match kind {
        Kind::Lock => "locked_host",
        Kind::Unlock => "unlocked_host",
        Kind::Wipe => "wiped_host",
    };
    if kind == "locked_host" {
        said["view_pin"] = view_pin.into();
    }
    Ok(vec![Activity::new(kind, said).about(vec![host_id])])
}

/// The device enrolls anew: whatever was done to it is over.
pub(crate) async fn forget(transaction: &Transaction, host_id: i64) -> Result<(), StoreError> {
    Entity::delete_by_id(host_id).exec(transaction).await?;
    Ok(())
}

/// Macs came back whose PINs were shown: they are unlocked.
pub(crate) async fn unlocked(transaction: &Transaction, hosts: Vec<i64>) -> Result<(), StoreError> {
    for some in hosts.chunks(500) {
        let these = Entity::delete_many().filter(Column::HostId.is_in(some.iter().copied()));
        these.filter(Column::PinShownAt.is_not_null()).exec(transaction).await?;
    }
    Ok(())
}

async fn unchanged(transaction: &Transaction, host_id: i64, standing: Standing) -> Result<Option<Model>, StoreError> {
    let row = Entity::find_by_id(host_id).one(transaction).await?;
    if row.as_ref().map(Model::seen).unwrap_or_default() == standing.seen {
        return Ok(row);
    }
    Err(StoreError::Conflict("another admin asked at the same moment".to_owned()))
}

fn pin_shown(host_id: i64, actor: String, why: &str, at: i64) -> Event {
    Event { at, actor, action: "pin.reveal", target: format!("host {host_id}"), detail: format!("to {why} it") }
}

impl Model {
    fn seen(&self) -> Seen {
        Seen { entries: [self.lock_entry, self.unlock_entry, self.wipe_entry], pin_shown_at: self.pin_shown_at }
    }
}
