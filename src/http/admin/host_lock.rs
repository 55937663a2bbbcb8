//! Lock, unlock and erase one host, as Fleet does: a Mac with a PIN, a supervised iPhone or iPad by lost mode.
//!
//! A PIN comes from the system's randomness, is sealed with its host, and is shown to whoever asks for it by name
//! (`?view_pin=true`, or unlocking a Mac), which the audit log notes. These commands run into the same brakes as others.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actors::dispatcher::Dispatched;
use actors::dispatcher::show_pin::ShowPin;
use entities::host_action::{self, Kind, NewAction, Pin};
use entities::{Reader, host};
use openssl::rand::rand_bytes;
use protocol::apple::command::{Command, DeviceLock, EraseDevice};
use protocol::apple::lock::{Action, Standing};
use protocol::ids::{CommandUuid, HostId};
use protocol::queue::State;
use protocol::windows;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::auth::{Admin, Asking};
use super::command_run::{HeldFor, dispatch};
use super::device_command::DeviceCommand;
use super::permission::Permission;
use super::reach;
use super::targets::{self, Hosts};
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// What the screen of a locked iPhone or iPad says.
const LOST_MESSAGE: &str = "This device was locked by the organization that manages it.";

/// Whether to show the PIN.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PinQuery {
    #[serde(default)]
    view_pin: bool,
}

/// How to erase a host.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WipeQuery {
    #[serde(default)]
    view_pin: bool,
    /// Of a Windows host, ours: `doWipe`, `doWipeProtected` (as without it), `doWipePersistProvisionedData`,
    /// `doWipePersistUserData`, or their forms with `Cloud`.
    wipe_type: Option<String>,
}

impl WipeQuery {
    /// The node of the RemoteWipe CSP.
    fn windows_wipe(&self) -> Result<&str, ApiError> {
        const KNOWN: [&str; 7] = [
            "doWipeProtected",
            "doWipe",
            "doWipePersistProvisionedData",
            "doWipePersistUserData",
            "doWipeCloud",
            "doWipeCloudPersistProvisionedData",
            "doWipeCloudPersistUserData",
        ];
        let wanted = self.wipe_type.as_deref().unwrap_or(KNOWN[0]);
        let known = KNOWN.into_iter().find(|known| *known == wanted);
        known.ok_or_else(|| ApiError::invalid("wipe_type", format!("must be one of {}", KNOWN.join(", "))))
    }
}

/// `POST …/hosts/{id}/lock`
pub async fn lock(
    admin: Asking,
    id: Path<(String, i64)>,
    query: Query<PinQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let asked = Asked::of(&admin, &edge, id.into_inner().1, Action::Lock).await?;
    let uuid = CommandUuid::from(uuid::Uuid::new_v4());
    match asked.host.platform.as_str() {
        "darwin" => {
            let pin = new_pin()?;
            let arguments = DeviceLock { pin: Some(pin.as_str().to_owned()), ..DeviceLock::default() };
            asked.queue(Command::device_lock(uuid, arguments), Kind::Lock, Some(pin), query.view_pin).await
        }
        "ios" | "ipados" if asked.host.mdm_status != host::ON_AUTOMATIC => Err(ApiError::bad_request(
            "Couldn't lock. This command isn't available for manually enrolled iOS/iPadOS hosts.",
        )),
        "ios" | "ipados" => asked.queue(Command::enable_lost_mode(uuid, LOST_MESSAGE), Kind::Lock, None, false).await,
        _ => Err(asked.not_for_this_platform()),
    }
}

/// `POST …/hosts/{id}/unlock`
pub async fn unlock(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let asked = Asked::of(&admin, &edge, id.into_inner().1, Action::Unlock).await?;
    let uuid = CommandUuid::from(uuid::Uuid::new_v4());
    match asked.host.platform.as_str() {
        "darwin" => asked.show_pin().await,
        "ios" | "ipados" => asked.queue(Command::disable_lost_mode(uuid), Kind::Unlock, None, false).await,
        _ => Err(asked.not_for_this_platform()),
    }
}

/// `POST …/hosts/{id}/wipe`
pub async fn wipe(
    admin: Asking,
    id: Path<(String, i64)>,
    query: Query<WipeQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let asked = Asked::of(&admin, &edge, id.into_inner().1, Action::Wipe).await?;
    let uuid = CommandUuid::from(uuid::Uuid::new_v4());
    if asked.host.platform == "windows" {
        let command = windows::syncml::Command::wipe(uuid, query.windows_wipe()?);
        let command = command.map_err(|error| ApiError::bad_request(error.to_string()))?;
        return asked.queue(command, Kind::Wipe, None, false).await;
    }
    let pin = if asked.host.platform == "darwin" { Some(new_pin()?) } else { None };
    let arguments = EraseDevice {
        pin: pin.as_ref().map(|pin| pin.as_str().to_owned()),
        obliteration_behavior: pin.as_ref().map(|_| "Default".to_owned()),
        ..EraseDevice::default()
    };
    asked.queue(Command::erase_device(uuid, arguments), Kind::Wipe, pin, query.view_pin).await
}

/// Where hosts stand, for their `mdm` objects; those that are not named stand nowhere.
pub(super) async fn standings(
    reader: &Reader,
    hosts: &[host::Model],
) -> Result<std::collections::HashMap<i64, Standing>, ApiError> {
    let rows = host_action::standings(reader, hosts.iter().map(|host| host.id).collect()).await?;
    Ok(rows.into_iter().map(|(host, row)| (host, standing(&row))).collect())
}

/// An action that is asked for, and may be.
struct Asked<'a> {
    admin: &'a Admin,
    edge: &'a AdminEdge,
    host: host::Model,
    action: Action,
    row: host_action::Standing,
}

impl<'a> Asked<'a> {
    async fn of(admin: &'a Admin, edge: &'a AdminEdge, id: i64, action: Action) -> Result<Self, ApiError> {
        let host = reach::host(admin, edge, id).await?;
        let verb = action.as_str();
        if host.mdm_status == host::ON_PERSONAL {
            let reason = format!("Couldn't {verb}. This command isn't available for personal hosts.");
            return Err(ApiError::bad_request(reason));
        }
        if ![host::ON_MANUAL, host::ON_AUTOMATIC].contains(&host.mdm_status) {
            return Err(ApiError::bad_request(format!("Couldn't {verb}. The host doesn't have MDM turned on.")));
        }
        let row = host_action::standings(&edge.front.reader, vec![host.id]).await?;
        let row = row.get(&host.id).copied().unwrap_or_default();
        match standing(&row).refusal(action) {
            Some(reason) => Err(ApiError::invalid("host_id", reason)),
            None => Ok(Self { admin, edge, host, action, row }),
        }
    }

    /// Queues the command of the action, and notes it with its host.
    async fn queue(
        self,
        command: impl Into<DeviceCommand>,
        kind: Kind,
        pin: Option<Pin>,
        view_pin: bool,
    ) -> Result<HttpResponse, ApiError> {
        let command = command.into();
        let shown = pin.clone().filter(|_| view_pin);
        if view_pin {
            self.may_see_pin()?;
        }
        let hosts = Hosts::Ids(vec![self.host.id]);
        let targets = targets::by_hosts(self.admin, &self.edge.front.reader, hosts, &command).await?;
        let mut dispatch = dispatch(self.admin, self.edge, &command, 0, targets.channels, None).await?;
        let (host_id, standing) = (self.host.id, self.row);
        dispatch.action = Some(NewAction { host_id, kind, standing, pin, shows_pin: shown.is_some() });
        let dispatched = self.edge.front.dispatcher.ask(dispatch, DEADLINE).await?;
        let mut answer = json!({
            "device_status": standing_now(&self.edge.front.reader, host_id).await?.device_status(),
            "pending_action": self.action.as_str(),
        });
        if let (Some(pin), Some(object)) = (&shown, answer.as_object_mut()) {
            object.insert("unlock_pin".into(), pin.as_str().into());
        }
        match dispatched {
            Dispatched::Queued if shown.is_none() => Ok(HttpResponse::NoContent().finish()),
            Dispatched::Queued => Ok(HttpResponse::Ok().json(answer)),
            Dispatched::Held => {
                if let Some(object) = answer.as_object_mut() {
                    object.insert("command_uuid".into(), command.uuid().as_str().into());
                    object.insert("held".into(), json!(HeldFor::hosts(1, &command)));
                }
                Ok(HttpResponse::Accepted().json(answer))
            }
        }
    }

    /// Shows the PIN that unlocks a Mac.
    async fn show_pin(self) -> Result<HttpResponse, ApiError> {
        self.may_see_pin()?;
        let show = ShowPin { host: HostId(self.host.id), standing: self.row, by: self.admin.name.clone() };
        let pin = self.edge.front.dispatcher.ask(show, DEADLINE).await?;
        Ok(HttpResponse::Ok().json(json!({
            "host_id": self.host.id,
            "unlock_pin": pin.as_str(),
            "device_status": "locked",
            "pending_action": self.action.as_str(),
        })))
    }

    fn may_see_pin(&self) -> Result<(), ApiError> {
        let reach = self.admin.extent_of(Permission::SecretsReveal)?;
        if reach.holds(self.host.team_id) { Ok(()) } else { Err(ApiError::forbidden(Permission::SecretsReveal)) }
    }

    fn not_for_this_platform(&self) -> ApiError {
        let reason = format!("Couldn't {}. This command isn't available for this kind of host.", self.action.as_str());
        ApiError::because(StatusCode::BAD_REQUEST, "base", reason)
    }
}

async fn standing_now(reader: &Reader, host_id: i64) -> Result<Standing, ApiError> {
    let rows = host_action::standings(reader, vec![host_id]).await?;
    Ok(rows.get(&host_id).map(standing).unwrap_or_default())
}

fn standing(row: &host_action::Standing) -> Standing {
    let state = |code: Option<i16>| code.and_then(State::from_code);
    Standing {
        lock: state(row.lock),
        unlock: state(row.unlock),
        pin_was_shown: row.pin_was_shown,
        wipe: state(row.wipe),
    }
}

/// Six digits, each number as likely as any other.
fn new_pin() -> Result<Pin, ApiError> {
    const NUMBERS: u32 = 1_000_000;
    loop {
        let mut random = [0; 4];
        let refused = |_| ApiError::because(StatusCode::SERVICE_UNAVAILABLE, "base", "The system has no randomness");
        rand_bytes(&mut random).map_err(refused)?;
        let number = u32::from_le_bytes(random);
        // What is left beyond the last whole million would make small numbers likelier.
        if number < u32::MAX / NUMBERS * NUMBERS {
            return Ok(Pin::new(format!("{:06}", number % NUMBERS)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// V-16: no digit stands anywhere more often than chance lets it. Of 1,000 fair draws none comes near the bound.
    #[test]
    fn pins_are_six_digits_of_chance() {
        const DRAWS: u32 = 10_000;
        let pins: Vec<Pin> = (0..DRAWS).map(|_| new_pin().unwrap()).collect();
        for place in 0..6 {
            let mut counts = [0_u32; 10];
            for pin in &pins {
                assert_eq!(pin.as_str().len(), 6);
                counts[usize::from(pin.as_str().as_bytes()[place] - b'0')] += 1;
            }
            let expected = f64::from(DRAWS) / 10.0;
            let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            assert!(chi_square < 60.0, "place {place}: {chi_square}, {counts:?}"); // 9 degrees of freedom: p < 1e-8
        }
        let distinct: std::collections::HashSet<&str> = pins.iter().map(Pin::as_str).collect();
        assert!(distinct.len() > 9800, "{}", distinct.len());
        assert!(!format!("{:?}", pins[0]).contains(pins[0].as_str()));
    }
}
