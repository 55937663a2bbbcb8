//! Declarative management: the set that a channel is to have, and what it reports about it.
//!
//! No declarations are assigned yet, so every channel has the empty set, which is a valid document with a token of its own.

use actix::prelude::*;
use entities::declarative_status;
use protocol::apple::check_in::Endpoint;
use protocol::apple::declarative::{DeclarationSet, StatusReport};
use protocol::webhook::Topic;

use super::{Host, Sender, Turn, at_once};
use crate::ask::{Answer, Refusal};

/// The largest status report that is kept, in bytes.
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

impl Host {
    fn declare(&mut self, request: Declarative) -> Turn<Declared> {
        let set = DeclarationSet::default();
        let declared = match request.endpoint {
            Endpoint::Tokens => {
                let changed_at = protocol::time::Timestamp::from_millis(0); // the empty set has never changed
                Declared::Document(set.tokens_json(changed_at))
            }
            Endpoint::DeclarationItems => Declared::Document(set.declaration_items_json()),
            Endpoint::Declaration { .. } => Declared::NotAssigned,
            Endpoint::Status { data } => return self.take_status(&request.sender, data),
        };
        let told = self.tell_alone(&request.sender, Topic::DeclarativeManagement);
        Box::pin(told.map(|told, _, _| told.map(|()| declared)))
    }

    fn take_status(&mut self, sender: &Sender, data: Vec<u8>) -> Turn<Declared> {
        let report = match StatusReport::parse(&data, MAX_STATUS_BYTES) {
            Ok(report) => report,
            Err(error) => return at_once(Err(Refusal::Invalid(error.to_string()))),
        };
        let Some(channel) = self.channel(&sender.channel.id) else { return at_once(Ok(Declared::Taken)) };
        let (row, received_at) = (channel.row, self.now().millis());
        let events = self.tell_check_in(sender, Topic::DeclarativeManagement);
        let writer = self.parts.writer.clone();
        let storing = async move { declarative_status::keep(&writer, row, report.raw, received_at, events).await };
        Box::pin(storing.into_actor(self).map(|stored, host, context| {
            host.settle(stored, context)?;
            Ok(Declared::Taken)
        }))
    }
}
