//! The smaller check-in messages: leaving, and the bootstrap token.

use actix::prelude::*;
use entities::enrollment;
use entities::enrollment_secret::{self, BOOTSTRAP_TOKEN, NewSecret};
use protocol::webhook::Topic;

use super::{Host, Sender, Turn, at_once};
use crate::ask::{Answer, Refusal};
use crate::feed::What;

/// A channel leaves.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct CheckOut {
    /// Who sent it.
    pub sender: Sender,
}

/// A device entrusts its bootstrap token to us, or, with `None`, takes it back.
#[derive(Message)]
#[rtype(result = "Answer<()>")]
pub struct SetBootstrapToken {
    /// Who sent it.
    pub sender: Sender,
    /// The token.
    pub token: Option<Vec<u8>>,
}

/// A device asks for the bootstrap token that it entrusted to us.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Option<Vec<u8>>>")]
pub struct GetBootstrapToken {
    /// Who sent it.
    pub sender: Sender,
}

/// Makes sure that a sender may speak for the channel it names, for messages that change nothing, and tells webhooks.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct Vouch {
    /// Who sent it.
    pub sender: Sender,
    /// What it is about, where webhooks have a word for it.
    pub topic: Option<Topic>,
}

impl Handler<CheckOut> for Host {
    type Result = AtomicResponse<Self, Answer<()>>;

    fn handle(&mut self, leaving: CheckOut, _: &mut Context<Self>) -> Self::Result {
        self.turn_of(&leaving.sender.clone(), move |host, _| host.let_go(&leaving.sender))
    }
}

impl Handler<SetBootstrapToken> for Host {
    type Result = AtomicResponse<Self, Answer<()>>;

    fn handle(&mut self, message: SetBootstrapToken, _: &mut Context<Self>) -> Self::Result {
        self.turn_of(&message.sender.clone(), |host, _| host.keep_bootstrap_token(message))
    }
}

impl Handler<GetBootstrapToken> for Host {
    type Result = AtomicResponse<Self, Answer<Option<Vec<u8>>>>;

    fn handle(&mut self, message: GetBootstrapToken, _: &mut Context<Self>) -> Self::Result {
        self.turn_of(&message.sender.clone(), move |host, _| {
            let Some((row, generation)) = host.device_row(&message.sender) else {
                return at_once(Err(Refusal::NotEnrolled));
            };
            let reader = host.parts.reader.clone();
            let reading = async move { enrollment_secret::newest(&reader, row, BOOTSTRAP_TOKEN, generation).await };
            Box::pin(reading.into_actor(host).then(move |token, host, _| match token {
                Ok(token) => {
                    let told = host.tell_alone(&message.sender, Topic::GetBootstrapToken);
                    Box::pin(told.map(|told, _, _| told.map(|()| token)))
                }
                Err(error) => at_once(Err(error.into())),
            }))
        })
    }
}

impl Handler<Vouch> for Host {
    type Result = AtomicResponse<Self, Answer<()>>;

    fn handle(&mut self, message: Vouch, _: &mut Context<Self>) -> Self::Result {
        self.turn_of(&message.sender.clone(), move |host, _| match message.topic {
            Some(topic) => host.tell_alone(&message.sender, topic),
            None => at_once(Ok(())),
        })
    }
}

impl Host {
    /// A device takes its users with it; a user leaves alone.
    fn let_go(&mut self, sender: &Sender) -> Turn<()> {
        let whole = !sender.channel.kind.is_user();
        let leaving = self.channels.iter().filter(|channel| whole || channel.id == sender.channel.id);
        let rows: Vec<i64> = leaving.map(|channel| channel.row).collect();
        let (writer, host_id, gone) = (self.parts.writer.clone(), self.id.0, rows.clone());
        let events = self.tell_check_in(sender, Topic::CheckOut);
        if whole {
            self.note(What::Unenrolled);
        }
        let at = self.now().millis();
        let left = enrollment::CheckedOut { host_id, enrollments: rows, off: whole, at, events };
        let storing = async move { enrollment::check_out(&writer, left).await };
        Box::pin(storing.into_actor(self).map(move |stored, host, context| {
            host.settle(stored, context)?;
            for row in gone {
                if let Some(channel) = host.channel_of_row(row) {
                    channel.end();
                }
            }
            tracing::info!(host.id = host_id, "checked out");
            host.rearm(context);
            Ok(())
        }))
    }

    fn keep_bootstrap_token(&mut self, message: SetBootstrapToken) -> Turn<()> {
        let Some((enrollment_id, generation)) = self.device_row(&message.sender) else {
            return at_once(Err(Refusal::NotEnrolled));
        };
        let secret = NewSecret {
            enrollment_id,
            kind: BOOTSTRAP_TOKEN,
            generation,
            value: message.token.unwrap_or_default().into(),
            created_at: self.now().millis(),
        };
        let events = self.tell_check_in(&message.sender, Topic::SetBootstrapToken);
        let writer = self.parts.writer.clone();
        let storing = async move { enrollment_secret::keep(&writer, secret, events).await };
        Box::pin(storing.into_actor(self).map(|stored, host, context| host.settle(stored, context)))
    }

    /// The row and generation of the device channel that a sender belongs to.
    pub(super) fn device_row(&self, sender: &Sender) -> Option<(i64, i32)> {
        let device = self.channels.iter().find(|channel| channel.id == sender.channel.device_id)?;
        Some((device.row, device.generation.0))
    }
}

impl std::fmt::Debug for SetBootstrapToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SetBootstrapToken of {:?}", self.sender)
    }
}
