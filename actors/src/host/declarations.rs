//! The declarations of a host as its rows say now: its set, the text of each, and what its device's status means for them.
//!
//! All of it is read anew for each request, from what is assigned; nothing else decides it. So a device that asks at
//! another time, at another node or after a restart gets the same set as long as nothing was changed.
//!
//! Start with `Declarations::read`.

mod facts;

use std::collections::BTreeMap;
use std::sync::Arc;

use entities::host_profile::report::{Finding, Found};
use entities::host_profile::{self, FAILED, HELD, INSTALL, PENDING, REMOVE, UNSENT, VERIFIED, VERIFYING};
use entities::{StoreError, host, profile};
use openssl::sha::sha256;
use protocol::apple::check_in::DeclarationKind;
use protocol::apple::declarative::host_set::{Assigned, HostSet};
use protocol::apple::declarative::judge::{Verdict, judge};
use protocol::apple::declarative::states::DeclarationStates;
use protocol::apple::declarative::{DeclarationItem, text};
use protocol::ids::HostId;
use protocol::time::Timestamp;
use protocol::variables::Escape;

use super::HostParts;
use super::render::rendered;
use facts::Fact;
pub use facts::Facts;

/// The declarations of one host.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    /// What its device is told.
    pub(super) set: HostSet,
    /// When the newest of them was made.
    pub(super) changed_at: Timestamp,
    rows: Vec<host_profile::Model>,
    /// What is given, by its profile.
    given: BTreeMap<i64, Given>,
    /// What cannot be given to this host, and why.
    impossible: Vec<(i64, String)>,
}

/// A declaration that is given to the host.
#[derive(Debug)]
struct Given {
    kind: DeclarationKind,
    item: DeclarationItem,
    content_id: i64,
    /// Its text, where that is another one on each host.
    text: Option<Vec<u8>>,
}

impl Declarations {
    /// Reads the declarations of a host. There is no such thing as a part of them.
    ///
    /// # Errors
    /// The database does not answer, or what it says cannot be a set.
    pub(super) async fn read(parts: &HostParts, host_id: HostId) -> Result<Self, StoreError> {
        let rows = host_profile::declarations_of_host(&parts.reader, host_id.0).await?;
        let versions: BTreeMap<i64, i16> = rows.iter().filter_map(|row| Some((version(row)?, row.part))).collect();
        let mut read = Self { rows, ..Self::default() };
        if versions.is_empty() {
            return Ok(read);
        }
        let facts = parts.declared.get(&parts.reader, &versions).await?;
        let mut assigned = Vec::with_capacity(read.rows.len());
        for row in &read.rows {
            let Some(content_id) = version(row) else { continue };
            let Some(fact) = facts.get(&content_id) else { continue };
            match give(parts, host_id, row, content_id, fact).await? {
                Ok(given) => {
                    read.changed_at = read.changed_at.max(Timestamp::from_millis(fact.created_at));
                    assigned.push(Assigned {
                        kind: given.kind,
                        item: given.item.clone(),
                        activates: fact.activates.clone(),
                    });
                    read.given.insert(row.profile_id, given);
                }
                Err(why) => read.impossible.push((row.profile_id, why)),
            }
        }
        let host = host::by_id(&parts.reader, host_id.0).await?;
        let platform = host.map(|host| host.platform).unwrap_or_default();
        read.set = HostSet::of(&assigned, &platform).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        Ok(read)
    }

    /// The document of one declaration; `None` when it is not in the set.
    ///
    /// # Errors
    /// As for [`Declarations::read`], and a text that is no declaration.
    pub(super) async fn document(
        &self,
        parts: &HostParts,
        host_id: HostId,
        kind: DeclarationKind,
        identifier: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(document) = self.set.generated(kind, identifier) {
            return Ok(Some(document));
        }
        let is_it = |given: &&Given| given.kind == kind && given.item.identifier == identifier;
        let Some(given) = self.given.values().find(is_it) else { return Ok(None) };
        let body = match &given.text {
            Some(text) => text.clone(),
            None => rendered(parts, host_id, given.content_id, Escape::Json).await?,
        };
        let unreadable = || StoreError::Unreadable(format!("the declaration {identifier} is not one"));
        let body = String::from_utf8(body).map_err(|_| unreadable())?;
        text::document(&body, &given.item.server_token).map(Some).map_err(|_| unreadable())
    }

    /// The profiles and versions that the device is given although no command told it of them.
    pub(super) fn untold(&self) -> Vec<(i64, i64)> {
        let untold = |row: &&host_profile::Model| row.status == UNSENT && row.had_content_id.is_none();
        let rows = self.rows.iter().filter(untold);
        rows.filter_map(|row| Some((row.profile_id, self.given.get(&row.profile_id)?.content_id))).collect()
    }

    /// Whether something waits for the device's word.
    pub(super) fn wait(&self) -> bool {
        self.rows.iter().any(|row| [PENDING, VERIFYING].contains(&row.status)) || !self.impossible.is_empty()
    }

    /// What follows for the host's rows from what its device says.
    pub(super) fn findings(&self, states: Option<&DeclarationStates>) -> Vec<Finding> {
        let impossible: BTreeMap<i64, &String> = self.impossible.iter().map(|(id, why)| (*id, why)).collect();
        let found = |row: &host_profile::Model| match impossible.get(&row.profile_id) {
            Some(why) if row.status != FAILED => Some(Found::Failed((*why).clone())),
            Some(_) => None,
            None => self.found(row, states?),
        };
        let finding = |row: &host_profile::Model| {
            Some(Finding { profile_id: row.profile_id, token: row.token.clone(), found: found(row)? })
        };
        self.rows.iter().filter_map(finding).collect()
    }

    fn found(&self, row: &host_profile::Model, states: &DeclarationStates) -> Option<Found> {
        if [UNSENT, HELD].contains(&row.status) {
            return None; // its command is yet to come
        }
        let kind = kind_of(row.part);
        if row.operation == REMOVE {
            let is_gone = !states.lists(kind, &row.identifier) || self.set.item(kind, &row.identifier).is_some();
            return is_gone.then_some(Found::Gone);
        }
        let given = self.given.get(&row.profile_id)?;
        let is_known = states.get(kind, &given.item).is_some();
        match judge(states, &self.set, kind, &given.item) {
            Verdict::Verified(_) => (row.status != VERIFIED).then_some(Found::There),
            Verdict::Failed(why) => (row.status != FAILED).then_some(Found::Failed(why)),
            Verdict::Verifying(_) if row.status == VERIFIED => Some(Found::Working),
            Verdict::Verifying(_) if row.status == PENDING && is_known => Some(Found::Working),
            Verdict::Verifying(_) => None,
        }
    }
}

/// The version that a host has to have now; `None` for what it is to lose, and for what is held back from it.
const fn version(row: &host_profile::Model) -> Option<i64> {
    match (row.operation, row.status) {
        (INSTALL, HELD) => row.had_content_id,
        (INSTALL, _) => Some(row.content_id),
        _ => None,
    }
}

/// A declaration as it is given to a host, or why it cannot be.
async fn give(
    parts: &HostParts,
    host_id: HostId,
    row: &host_profile::Model,
    content_id: i64,
    fact: &Arc<Fact>,
) -> Result<Result<Given, String>, StoreError> {
    let (mut server_token, mut text) = (fact.token.clone(), None);
    if fact.differs {
        let body = match rendered(parts, host_id, content_id, Escape::Json).await {
            Ok(body) => body,
            Err(StoreError::Unreadable(why)) => return Ok(Err(format!("It cannot be made for this host: {why}."))),
            Err(other) => return Err(other),
        };
        // The device has to get it again when a value of its host changes.
        let both = [fact.token.as_bytes(), &body].concat();
        server_token = sha256(&both).iter().map(|byte| format!("{byte:02x}")).collect();
        text = Some(body);
    }
    let item = DeclarationItem { identifier: row.identifier.clone(), server_token };
    Ok(Ok(Given { kind: kind_of(row.part), item, content_id, text }))
}

fn kind_of(part: i16) -> DeclarationKind {
    match part {
        profile::ASSET => DeclarationKind::Asset,
        profile::ACTIVATION => DeclarationKind::Activation,
        profile::MANAGEMENT => DeclarationKind::Management,
        _ => DeclarationKind::Configuration,
    }
}
