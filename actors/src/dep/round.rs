//! One round for one token: what changed at Apple is read to its end, hosts are expected, and every device that has another
//! profile than its host's team wants is assigned that one.
//!
//! Nothing is remembered between two rounds but rows. A round that was cut off anywhere is begun again, and finds by the rows
//! what is left to do.

use std::collections::BTreeSet;
use std::time::Duration;

use entities::abm_token::{self, READING, SWEEPING};
use entities::dep_device::page::{self, Page, Place, Said};
use entities::dep_device::{self as device, Difference, Outcome};
use entities::setup_assistant::{self, definition};
use entities::{StoreError, dep_device, team_setting};
use protocol::apple::dep::answers::{Assigned, Device, DevicesPage, OpType, Outcome as Word, ProfileStatus, Refusal};
use protocol::apple::dep::profile::{EffectiveProfile, SetupProfile};
use protocol::time::Timestamp;

use super::Desk;
use super::service::{CallError, Of, Service};

/// Devices that are assigned in one call; what came of them is one transaction.
const ASSIGNED_AT_ONCE: u64 = 200;
/// How long a device rests whose assignment failed.
const DEVICE_RESTS: Duration = Duration::from_secs(3600);
/// How long a device rests of which the service said nothing.
const UNSAID_RESTS: Duration = Duration::from_secs(60);
/// How long a profile rests that the service refuses.
const PROFILE_RESTS: Duration = Duration::from_secs(3600);
/// The first rest before everything is read anew once more; it doubles each time.
const RESTART_RESTS: Duration = Duration::from_secs(60);
/// The longest such rest.
const LONGEST_RESTART: Duration = Duration::from_secs(6 * 3600);

/// Why a round ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    /// A call brought nothing.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reading went elsewhere, the token is gone, or it rests: nothing is wrong.
    #[error("the reading stands elsewhere")]
    Elsewhere,
}

/// A round.
pub(super) struct Round<'d> {
    pub(super) desk: &'d Desk,
    pub(super) service: &'d Service,
    pub(super) token_id: i64,
}

impl Round<'_> {
    /// Plays it to its end.
    pub(super) async fn play(&self) -> Result<(), RoundError> {
        self.read().await?;
        self.expect().await?;
        self.assign().await?;
        Ok(abm_token::rest(&self.desk.writer, self.token_id, self.now()).await?)
    }

    fn now(&self) -> i64 {
        self.desk.clock.now().millis()
    }

    fn after(&self, rest: Duration) -> i64 {
        self.desk.clock.now().plus(rest).millis()
    }

    /// Reads until nothing more is to follow.
    async fn read(&self) -> Result<(), RoundError> {
        let token = abm_token::by_id(&self.desk.reader, self.token_id).await?;
        let mut token = token.ok_or(RoundError::Elsewhere)?;
        loop {
            let place = Place::of(&token);
            if place.state == SWEEPING {
                let swept = page::sweep_some(&self.desk.writer, self.token_id, place, self.now()).await?;
                token = swept.ok_or(RoundError::Elsewhere)?;
                continue;
            }
            let of = if place.state == READING { Of::All } else { Of::Changes };
            let said = match self.service.page(of, place.cursor.as_deref()).await {
                Ok(said) => said,
                Err(CallError::Refused(Refusal::ExhaustedCursor)) if of == Of::All => end_of(&place),
                Err(CallError::Refused(refusal)) if is_of_cursor(&refusal) => {
                    token = self.begin_anew(&token, place, &refusal).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let more = said.more_to_follow;
            if more && place.cursor.as_ref() == Some(&said.cursor) {
                return Err(CallError::Broken("Apple's device assignment service repeats itself".to_owned()).into());
            }
            let taken = page::take_in(&self.desk.writer, self.page(place, said)).await?;
            token = taken.ok_or(RoundError::Elsewhere)?;
            if of == Of::Changes && !more {
                return Ok(());
            }
        }
    }

    fn page(&self, asked_at: Place, said: DevicesPage) -> Page {
        if said.unreadable > 0 {
            tracing::warn!(abm_token.id = self.token_id, "{} devices have no usable serial number", said.unreadable);
        }
        let is_list = asked_at.state == READING;
        let mut devices: Vec<Said> = said.devices.into_iter().map(self::said).collect();
        // A list tells what is, and not what happened.
        devices.iter_mut().filter(|_| is_list).for_each(|said| {
            (said.device.op_at, said.is_taken, said.is_given) = (None, false, true);
        });
        Page {
            token_id: self.token_id,
            asked_at,
            cursor: said.cursor,
            is_last: !said.more_to_follow,
            devices,
            at: self.now(),
        }
    }

    /// The cursor is worth nothing: at once the first time, then ever more seldom, so that a service that refuses every cursor is
    /// not asked again and again for everything.
    async fn begin_anew(
        &self,
        token: &abm_token::Model,
        place: Place,
        refusal: &Refusal,
    ) -> Result<abm_token::Model, RoundError> {
        tracing::info!(abm_token.id = self.token_id, "all devices are read anew: {refusal}");
        let rests_until = match token.restarts {
            0 => None,
            again => Some(self.after(RESTART_RESTS.saturating_mul(1 << (again - 1).clamp(0, 12)).min(LONGEST_RESTART))),
        };
        let begun = page::begin_anew(&self.desk.writer, self.token_id, place, rests_until).await?;
        begun.filter(|token| token.rests_until.is_none()).ok_or(RoundError::Elsewhere)
    }

    /// Hosts that were deleted or turned off, and whose devices are still this server's, are expected again.
    async fn expect(&self) -> Result<(), RoundError> {
        let mut after = String::new();
        loop {
            let serials = page::unexpected(&self.desk.reader, self.token_id, after).await?;
            let Some(last) = serials.last().cloned() else { return Ok(()) };
            page::expect_these(&self.desk.writer, self.token_id, serials, self.now()).await?;
            after = last;
        }
    }

    /// Defines what has to be, and assigns what differs.
    async fn assign(&self) -> Result<(), RoundError> {
        let Some(token) = abm_token::by_id(&self.desk.reader, self.token_id).await? else {
            return Err(RoundError::Elsewhere);
        };
        let found = dep_device::differences(&self.desk.reader, self.token_id, self.now()).await?;
        let defaults = [token.macos_team_id, token.ios_team_id, token.ipados_team_id].into_iter().flatten();
        let teams: BTreeSet<i64> = found.iter().map(|found| found.team_id).chain(defaults).collect();
        let known = setup_assistant::of_token(&self.desk.reader, self.token_id).await?;
        for team_id in teams {
            let known = known.iter().find(|known| known.team_id == team_id);
            let Some(profile_uuid) = self.defined(team_id, known).await? else { continue };
            let differs = |found: &&Difference| found.profile_uuid.as_deref() != Some(profile_uuid.as_str());
            if found.iter().filter(|found| found.team_id == team_id).any(|found| differs(&found)) {
                self.assign_team(team_id, &profile_uuid).await?;
            }
        }
        Ok(())
    }

    /// What a team's profile is called at the service, where it is defined first if it is not. `None` when the service refuses it
    /// and no earlier one is known.
    async fn defined(&self, team_id: i64, known: Option<&definition::Model>) -> Result<Option<String>, RoundError> {
        let profile = self.wanted(team_id).await?;
        let before = known.and_then(|known| known.profile_uuid.clone());
        if let Some(known) = known.filter(|known| known.digest == profile.digest)
            && known.rests_until.is_none_or(|until| until > self.now())
        {
            return Ok(before);
        }
        let (profile_uuid, fault) = match self.service.define(profile.json).await {
            Ok(defined) => (Some(defined.profile_uuid), String::new()),
            Err(CallError::Refused(refusal @ Refusal::Other { .. })) => {
                tracing::warn!(abm_token.id = self.token_id, team.id = team_id, "a Setup Assistant profile: {refusal}");
                (before, refusal.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let rests_until = (!fault.is_empty()).then(|| self.after(PROFILE_RESTS));
        let row = definition::Model {
            team_id,
            token_id: self.token_id,
            profile_uuid: profile_uuid.clone(),
            digest: profile.digest,
            defined_at: self.now(),
            fault,
            rests_until,
        };
        setup_assistant::define(&self.desk.writer, row).await?;
        Ok(profile_uuid)
    }

    /// The profile that a team's devices shall have.
    async fn wanted(&self, team_id: i64) -> Result<EffectiveProfile, RoundError> {
        let stored = setup_assistant::by_team(&self.desk.reader, team_id).await?;
        let own = stored.and_then(|row| {
            SetupProfile::parse(row.profile.as_bytes())
                .inspect_err(|fault| tracing::error!(team.id = team_id, "a stored Setup Assistant profile: {fault}"))
                .ok()
        });
        let profile = own.unwrap_or_else(SetupProfile::standard);
        let signs_in = team_setting::demands_sign_in(&self.desk.reader, Some(team_id)).await?;
        Ok(profile.effective(&self.desk.additions(signs_in)))
    }

    /// Assigns a profile to the team's devices that have another one, until each of them was named once.
    async fn assign_team(&self, team_id: i64, profile_uuid: &str) -> Result<(), RoundError> {
        loop {
            let wanted = (team_id, profile_uuid.to_owned());
            let reader = &self.desk.reader;
            let serials = dep_device::to_assign(reader, self.token_id, wanted, self.now(), ASSIGNED_AT_ONCE).await?;
            if serials.is_empty() {
                return Ok(());
            }
            let assigned = match self.service.assign(profile_uuid, &serials).await {
                Ok(assigned) => assigned,
                Err(CallError::Refused(Refusal::ProfileNotFound)) => {
                    return Ok(setup_assistant::undefine(&self.desk.writer, team_id, self.token_id).await?);
                }
                Err(CallError::Refused(refusal @ Refusal::Other { .. })) => {
                    // What is wrong with one team's devices is no reason to leave the others alone.
                    tracing::warn!(
                        abm_token.id = self.token_id,
                        team.id = team_id,
                        "devices cannot be assigned: {refusal}"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let outcomes = serials.into_iter().map(|serial| self.outcome(serial, &assigned)).collect();
            let key = (self.token_id, profile_uuid.to_owned());
            dep_device::assigned(&self.desk.writer, key, outcomes, self.now()).await?;
        }
    }

    fn outcome(&self, serial: String, assigned: &Assigned) -> Outcome {
        let word = assigned.outcomes.get(&serial);
        let (response, rest) = match word {
            Some(Word::Success) => (device::SUCCESS, None),
            Some(Word::NotAccessible) => (device::NOT_ACCESSIBLE, Some(DEVICE_RESTS)),
            Some(Word::Throttled) => (device::THROTTLED, Some(assigned.retry_after.unwrap_or(DEVICE_RESTS))),
            Some(Word::Failed | Word::Other) => (device::FAILED, Some(DEVICE_RESTS)),
            None => (device::FAILED, Some(UNSAID_RESTS)),
        };
        Outcome { serial, response, rests_until: rest.map(|rest| self.after(rest)) }
    }
}

/// What a page would say behind the last one.
fn end_of(place: &Place) -> DevicesPage {
    let cursor = place.cursor.clone().unwrap_or_default();
    DevicesPage { devices: Vec::new(), unreadable: 0, cursor, fetched_until: None, more_to_follow: false }
}

fn is_of_cursor(refusal: &Refusal) -> bool {
    use Refusal::{CursorRequired, ExhaustedCursor, ExpiredCursor, InvalidCursor};
    matches!(refusal, ExpiredCursor | InvalidCursor | CursorRequired | ExhaustedCursor)
}

/// What a device of a page says, as its row keeps it.
fn said(said: Device) -> Said {
    let millis = |moment: Option<Timestamp>| moment.map(Timestamp::millis);
    let (is_taken, is_given) = (said.op_type == Some(OpType::Deleted), said.op_type == Some(OpType::Added));
    let profile_status = match said.profile_status {
        ProfileStatus::Empty => device::EMPTY,
        ProfileStatus::Assigned => device::ASSIGNED,
        ProfileStatus::Pushed => device::PUSHED,
        ProfileStatus::Removed => device::REMOVED,
    };
    let device = device::Model {
        platform: said.platform().to_owned(),
        serial: said.serial_number,
        token_id: 0,
        model: said.model,
        description: said.description,
        color: said.color,
        asset_tag: said.asset_tag,
        device_family: said.device_family,
        os: said.os,
        profile_status,
        // What was taken away may still be named.
        profile_uuid: said.profile_uuid.filter(|_| [device::ASSIGNED, device::PUSHED].contains(&profile_status)),
        profile_assigned_at: millis(said.profile_assign_time),
        profile_pushed_at: millis(said.profile_push_time),
        assigned_at: millis(said.device_assigned_date),
        assigned_by: said.device_assigned_by,
        migration_deadline: millis(said.mdm_migration_deadline),
        op_at: millis(said.op_date),
        round: 0,
        response: device::NEVER,
        responded_at: None,
        rests_until: None,
        removed_at: None,
    };
    Said { device, is_taken, is_given }
}
