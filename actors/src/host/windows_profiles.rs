//! Profiles of a Windows device: what a reference in the queue becomes when it is handed out, and what the device's answers mean
//! for the rows of its profiles; written in the turn that takes them.

use std::collections::{BTreeSet, HashSet};

use entities::host_profile::report::{Finding, Findings, Found, Outcome, Reported};
use entities::host_profile::{self, INSTALL, VERIFYING};
use entities::{StoreError, profile};
use protocol::ids::{CommandUuid, HostId};
use protocol::profiles::{self, MAX_RETRIES_WINDOWS};
use protocol::queue::{Answer, Filing, Round as Decision};
use protocol::time::Timestamp;
use protocol::variables::Escape;
use protocol::windows::profile::{Profile, Told, Verdict};
use protocol::windows::session::Round;
use protocol::windows::syncml::{self, Command, MAX_OPERATIONS};

use super::render::{certificate_id, give_up, rendered};
use super::{Host, HostParts, report};
use crate::profiles::reference::Reference;

/// A node that every device has: it is read when nothing else is left to do, so that the device reports.
const ALWAYS_THERE: &str = "./DevDetail/SwV";

/// A command as the device gets it.
///
/// # Errors
/// [`StoreError::Unreadable`] when it cannot be made; otherwise the database does not answer.
pub(super) async fn handed_out(
    parts: &HostParts,
    host: HostId,
    uuid: CommandUuid,
    body: &[u8],
) -> Result<Command, StoreError> {
    let made = match Reference::read(body) {
        None => Command::from_body(body, uuid),
        Some(Reference::Install(content)) => install(parts, host, uuid, content).await?,
        Some(Reference::Remove(content)) => remove(parts, host, uuid, content).await?,
        Some(Reference::Verify) => ask(parts, host, uuid).await?,
    };
    made.map_err(unreadable)
}

/// A command that cannot be made is taken out of the way.
pub(super) async fn set_aside(
    parts: &HostParts,
    host: HostId,
    (entry, uuid, body): (i64, &CommandUuid, &[u8]),
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    match Reference::read(body) {
        Some(_) => give_up(parts, host, (entry, uuid), why, now).await,
        None => report::park(&parts.writer, entry, now).await,
    }
}

type Made = Result<Command, syncml::CommandError>;

/// What the new version sets, and what only the former one did goes.
async fn install(parts: &HostParts, host: HostId, uuid: CommandUuid, content: i64) -> Result<Made, StoreError> {
    let new = filled(parts, host, content).await?;
    let rows = rows(parts, host).await?;
    let own = rows.iter().find(|row| row.command_uuid.as_deref() == Some(uuid.as_str()));
    let kept = kept(parts, host, &rows, own).await?;
    let former = match own.and_then(|own| own.had_content_id).filter(|former| *former != content) {
        Some(former) => known(parts, host, former).await?,
        None => None,
    };
    Ok(new.install(uuid, former.as_ref(), &kept))
}

async fn remove(parts: &HostParts, host: HostId, uuid: CommandUuid, content: i64) -> Result<Made, StoreError> {
    let rows = rows(parts, host).await?;
    let own = rows.iter().find(|row| row.command_uuid.as_deref() == Some(uuid.as_str()));
    let kept = kept(parts, host, &rows, own).await?;
    let former = match own.and_then(|own| own.had_content_id).filter(|former| *former != content) {
        Some(former) => known(parts, host, former).await?,
        None => None,
    };
    let removal = match known(parts, host, content).await? {
        Some(gone) => gone.removal(uuid.clone(), former.as_ref(), &kept),
        None => Ok(None),
    };
    Ok(removal.and_then(|removal| removal.map_or_else(|| Command::get(uuid, [ALWAYS_THERE.to_owned()]), Ok)))
}

/// Asks what the nodes hold of all profiles that are to be verified, as many as one command can.
async fn ask(parts: &HostParts, host: HostId, uuid: CommandUuid) -> Result<Made, StoreError> {
    let mut nodes = BTreeSet::new();
    for row in rows(parts, host).await?.iter().filter(|row| waits(row)) {
        let questions = match filled(parts, host, row.content_id).await {
            Ok(profile) => profile.questions(),
            Err(StoreError::Unreadable(_)) => continue,
            Err(other) => return Err(other),
        };
        if nodes.len() + questions.len() <= MAX_OPERATIONS {
            nodes.extend(questions);
        }
    }
    if nodes.is_empty() {
        nodes.insert(ALWAYS_THERE.to_owned());
    }
    Ok(Command::get(uuid, nodes))
}

/// What a device told, when it was asked what it has: what this means for each profile that waits for it.
pub(super) async fn findings(parts: &HostParts, host: HostId, told: Vec<Told>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for row in rows(parts, host).await?.into_iter().filter(waits) {
        let found = match filled(parts, host, row.content_id).await {
            Ok(profile) => match told.iter().find_map(|told| profile.verdict(told)) {
                Some(Verdict::Holds) => Found::There,
                Some(Verdict::Differs(nodes)) => Found::Missing(nodes),
                None => Found::Unasked,
            },
            // Its values are gone: nobody can tell what the device should hold.
            Err(StoreError::Unreadable(_)) => Found::There,
            Err(other) => return Err(other),
        };
        findings.push(Finding { profile_id: row.profile_id, token: row.token, found });
    }
    Ok(findings)
}

/// Whether a profile was installed and nobody has looked yet.
fn waits(row: &host_profile::Model) -> bool {
    row.operation == INSTALL && row.status == VERIFYING
}

async fn rows(parts: &HostParts, host: HostId) -> Result<Vec<host_profile::Model>, StoreError> {
    let mut rows = host_profile::of_host(&parts.reader, host.0).await?;
    rows.retain(|row| row.kind == profile::WINDOWS);
    Ok(rows)
}

/// The nodes of all other profiles that the host shall have.
async fn kept(
    parts: &HostParts,
    host: HostId,
    rows: &[host_profile::Model],
    own: Option<&host_profile::Model>,
) -> Result<HashSet<String>, StoreError> {
    let mut kept = HashSet::new();
    let is_own = |row: &host_profile::Model| own.is_some_and(|own| own.profile_id == row.profile_id);
    for row in rows.iter().filter(|row| row.operation == INSTALL && !is_own(row)) {
        kept.extend(known(parts, host, row.content_id).await?.iter().flat_map(Profile::nodes));
    }
    Ok(kept)
}

/// A version with the host's values and the secrets in their places.
async fn filled(parts: &HostParts, host: HostId, content: i64) -> Result<Profile, StoreError> {
    let text = rendered(parts, host, content, Escape::Markup).await?;
    Profile::accepted(&text).map_err(unreadable)
}

/// A version of which only the addresses matter, so that nothing needs to be known of the host; `None` when it is gone.
async fn known(parts: &HostParts, host: HostId, content: i64) -> Result<Option<Profile>, StoreError> {
    let content = match parts.contents.get(&parts.reader, content).await {
        Ok(content) => content,
        Err(StoreError::Unreadable(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let named = |profile: Profile| profile.named(&certificate_id(host, content.profile_id));
    Ok(Profile::accepted(&content.body).ok().map(named))
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(error.to_string())
}

/// What the device told of its nodes in a round.
pub(super) fn told(round: &Round) -> Vec<Told> {
    let asked = round.finished.iter().filter(|(uuid, _)| profiles::is_list(uuid));
    asked.map(|(_, outcome)| Told::read(&outcome.command, outcome.body.as_bytes())).collect()
}

impl Host {
    /// What final reports say about profiles.
    pub(super) fn about_windows_profiles(&self, round: &Round, decision: &Decision) -> Vec<Reported> {
        let at = self.now().millis();
        let verify_at = Some(self.now().plus(self.parts.config.verify_after).millis());
        let filed = decision.filings.iter().filter(|(_, filing)| matches!(filing, Filing::Result(_)));
        let finished = filed.filter_map(|(place, _)| round.finished.get(*place));
        let of_profiles = finished.filter(|(uuid, _)| profiles::is_delivery(uuid));
        let reported = of_profiles.map(|(uuid, outcome)| Reported {
            host_id: self.id.0,
            command_uuid: uuid.as_str().to_owned(),
            outcome: match outcome.answer {
                Answer::Acknowledged if Profile::sent(&outcome.command).questions().is_empty() => Outcome::Proven,
                Answer::Acknowledged => Outcome::Done,
                _ => Outcome::Failed(outcome.detail.clone()),
            },
            max_retries: MAX_RETRIES_WINDOWS,
            verify_at,
            at,
        });
        reported.collect()
    }

    /// What was found of this host's profiles, for its rows.
    pub(super) fn found(&self, findings: Vec<Finding>) -> Option<Box<Findings>> {
        let (host_id, max_retries, at) = (self.id.0, MAX_RETRIES_WINDOWS, self.now().millis());
        (!findings.is_empty()).then(|| Box::new(Findings { host_id, findings, max_retries, at }))
    }
}
