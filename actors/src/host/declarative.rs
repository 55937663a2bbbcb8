//! Declarative management: the set that a channel is to have, and what it reports about it.
//!
//! Declarations are assigned to hosts, and their device's channel has them; the channels of users have the empty set, which
//! is a valid document with a token of its own. What cannot be read is refused for now, never answered in part: a device
//! drops whatever is not in its set.

use std::sync::Arc;

use actix::prelude::*;
use entities::StoreError;
use entities::declarative_status::{self, Kept, Learned};
use entities::host_profile::report;
use entities::webhook_event::NewEvent;
use protocol::apple::channel::ChannelKind;
use protocol::apple::check_in::Endpoint;
use protocol::apple::declarative::states::DeclarationStates;
use protocol::apple::declarative::status::{Status, StatusReport};
use protocol::apple::declarative::vitals::Vitals;
use protocol::ids::HostId;
use protocol::profiles::MAX_RETRIES_APPLE;
use protocol::webhook::Topic;

use super::declarations::Declarations;
use super::{Host, HostParts, Sender, Turn, at_once};
use crate::ask::{Answer, Refusal};

/// The largest status that is kept, in bytes; also of one report.
const MAX_STATUS_BYTES: usize = 1024 * 1024;

/// A request of the declarative management protocol.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Declared>")]
pub struct Declarative {
    /// Who asks.
    pub sender: Sender,
    /// For what.
    pub endpoint: Endpoint,
}

/// The reply to a declarative management request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// A JSON document.
    Document(Vec<u8>),
    /// The report was taken in.
    Taken,
    /// That declaration is not assigned to this channel.
    NotAssigned,
}

impl Handler<Declarative> for Host {
    type Result = AtomicResponse<Self, Answer<Declared>>;

    fn handle(&mut self, request: Declarative, _: &mut Context<Self>) -> Self::Result {
        self.turn_of(&request.sender.clone(), |host, _| host.declare(request))
    }
}

/// Whose declarations are asked for.
#[derive(Clone, Copy)]
struct Asking {
    host: HostId,
    /// The row of the device's channel; `None` for the channel of a user.
    device: Option<i64>,
    now: i64,
}

impl Host {
    fn declare(&mut self, request: Declarative) -> Turn<Declared> {
        let Declarative { sender, endpoint } = request;
        let of_device = [ChannelKind::Device, ChannelKind::UserEnrollmentDevice];
        let channel = self.channel(&sender.channel.id).map(|channel| (channel.row, of_device.contains(&channel.kind)));
        let device = channel.and_then(|(row, is_device)| is_device.then_some(row));
        let asking = Asking { host: self.id, device, now: self.now().millis() };
        let parts = self.parts.clone();
        let endpoint = match endpoint {
            Endpoint::Status { data } => return self.take_status(&sender, asking, channel.map(|(row, _)| row), &data),
            other => other,
        };
        let answering = async move { answer(&parts, asking, endpoint).await };
        Box::pin(answering.into_actor(self).then(move |answered, host, _| {
            let declared = match answered {
                Ok(declared) => declared,
                Err(error) => return at_once(Err(Refusal::soon(error))), // memory knows nothing of it
            };
            let told = host.tell_alone(&sender, Topic::DeclarativeManagement);
            Box::pin(told.map(|told, _, _| told.map(|()| declared)))
        }))
    }

    fn take_status(&mut self, sender: &Sender, asking: Asking, row: Option<i64>, data: &[u8]) -> Turn<Declared> {
        let report = match StatusReport::parse(data, MAX_STATUS_BYTES) {
            Ok(report) => report,
            Err(error) => return at_once(Err(Refusal::Invalid(error.to_string()))),
        };
        let Some(row) = row else { return at_once(Ok(Declared::Taken)) };
        let events = self.tell_check_in(sender, Topic::DeclarativeManagement);
        let parts = self.parts.clone();
        let storing = async move { keep(&parts, asking, row, report, events).await };
        Box::pin(storing.into_actor(self).map(|stored, host, context| {
            host.settle(stored, context)?;
            Ok(Declared::Taken)
        }))
    }
}

/// Answers a question of a device.
async fn answer(parts: &Arc<HostParts>, asking: Asking, endpoint: Endpoint) -> Result<Declared, StoreError> {
    let declarations = match asking.device {
        Some(_) => Declarations::read(parts, asking.host).await?,
        None => Declarations::default(),
    };
    let set = declarations.set.declarations();
    Ok(match endpoint {
        Endpoint::Tokens => {
            judge_again(parts, asking, &declarations).await?;
            Declared::Document(set.tokens_json(declarations.changed_at))
        }
        Endpoint::Declaration { kind, identifier } => {
            let document = declarations.document(parts, asking.host, kind, &identifier).await?;
            document.map_or(Declared::NotAssigned, Declared::Document)
        }
        _ => {
            let untold = declarations.untold();
            if !untold.is_empty() {
                report::may_have(&parts.writer, asking.host.0, untold).await?;
            }
            Declared::Document(set.declaration_items_json())
        }
    })
}

/// A device that finds the set that it has already says nothing more: what waits for its word is judged by what it said
/// before.
async fn judge_again(parts: &HostParts, asking: Asking, declarations: &Declarations) -> Result<(), StoreError> {
    let Some(row) = asking.device.filter(|_| declarations.wait()) else { return Ok(()) };
    let states = DeclarationStates::of(&known(parts, row).await?);
    let findings = declarations.findings(states.as_ref());
    if findings.is_empty() {
        return Ok(());
    }
    report::find(&parts.writer, asking.host.0, findings, MAX_RETRIES_APPLE, asking.now).await
}

/// Keeps what a channel reports, and what follows from it.
async fn keep(
    parts: &HostParts,
    asking: Asking,
    row: i64,
    report: StatusReport,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    let known = if report.full { Status::default() } else { known(parts, row).await.map_err(unread)? };
    let status = known.merge(report, MAX_STATUS_BYTES);
    let mut learned = Learned { host_id: asking.host.0, max_retries: MAX_RETRIES_APPLE, ..Learned::default() };
    if asking.device.is_some() {
        let declarations = Declarations::read(parts, asking.host).await.map_err(unread)?;
        let vitals = Vitals::of(&status);
        learned.findings = declarations.findings(DeclarationStates::of(&status).as_ref());
        learned.os_version = vitals.os_version;
        learned.build_version = vitals.build_version;
        learned.hardware_model = vitals.model_identifier;
    }
    let kept = Kept { enrollment_id: row, body: status.to_json(), received_at: asking.now };
    declarative_status::keep(&parts.writer, kept, learned, events).await
}

/// What was known before. Something that was kept and cannot be read is forgotten: the device tells everything again within
/// a day.
async fn known(parts: &HostParts, row: i64) -> Result<Status, StoreError> {
    match declarative_status::of_enrollment(&parts.reader, row).await {
        Ok(kept) => Ok(kept.and_then(|(kept, _)| Status::parse(&kept, MAX_STATUS_BYTES).ok()).unwrap_or_default()),
        Err(StoreError::Unreadable(_)) => Ok(Status::default()),
        Err(error) => Err(error),
    }
}

/// Nothing was written, because something could not be read.
fn unread(error: StoreError) -> StoreError {
    StoreError::NotApplied(error.to_string())
}
