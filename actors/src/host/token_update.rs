//! A channel tells where it can be pushed to. The first time in a generation, that completes the enrollment.

use actix::prelude::*;
use entities::{enrollment, host};
use protocol::apple;
use protocol::apple::channel::ChannelKind;
use protocol::webhook::Topic;

use super::channel::Channel;
use super::{Host, Sender, Turn, at_once};
use crate::ask::{Answer, Refusal};
use crate::fault;
use crate::feed::What;

/// A channel's `TokenUpdate`.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct TokenUpdate {
    /// Who sent it.
    pub sender: Sender,
    /// What it says.
    pub message: Box<apple::check_in::TokenUpdate>,
}

impl Handler<TokenUpdate> for Host {
    type Result = AtomicResponse<Self, Answer<()>>;

    fn handle(&mut self, update: TokenUpdate, _: &mut Context<Self>) -> Self::Result {
        fault::point("host.token_update");
        let sender = update.sender.clone();
        self.turn_of(&sender, |host, _| host.take_token(update))
    }
}

impl Host {
    fn take_token(&mut self, update: TokenUpdate) -> Turn<()> {
        let TokenUpdate { sender, message } = update;
        let device = self.channels.iter().find(|channel| channel.id == sender.channel.device_id);
        let Some(device) = device.filter(|device| !device.ended) else {
            return at_once(Err(Refusal::Forbidden("this enrollment has ended: enroll again")));
        };
        let generation = device.generation.0;
        let events = self.tell_check_in(&sender, Topic::TokenUpdate);
        let user = sender.channel.user.clone();
        let rows = enrollment::TokenUpdated {
            host_id: self.id.0,
            external_id: sender.channel.id.as_str().to_owned(),
            kind: sender.channel.kind.code(),
            generation,
            topic: message.topic,
            push_token: message.token.into_inner(),
            push_magic: message.push_magic.into_inner(),
            unlock_token: message.unlock_token.map(|token| token.into_inner().into()),
            awaiting_configuration: message.awaiting_configuration,
            user_short_name: user.as_ref().and_then(|user| user.short_name.clone()),
            user_long_name: user.and_then(|user| user.long_name),
            mdm_status: mdm_status(sender.channel.kind),
            at: self.now().millis(),
            events,
        };
        let writer = self.parts.writer.clone();
        let storing = async move { enrollment::token_update(&writer, rows).await };
        Box::pin(storing.into_actor(self).map(|stored, host, context| {
            fault::point("host.token_update.committed");
            let row = host.settle(stored, context)?;
            host.adopt_token(&row);
            if row.token_update_tally == 1 {
                host.note(What::Enrolled);
                host.tell_watchers();
            }
            host.push_now(context);
            Ok(())
        }))
    }

    fn adopt_token(&mut self, row: &enrollment::Model) {
        let (now, policy) = (self.now(), self.parts.config.clone());
        match self.channel_of_row(row.id) {
            Some(channel) => {
                let token = |channel: &Channel| channel.push.as_ref().map(|target| target.token.clone());
                let old = token(channel);
                channel.take(row);
                if old != token(channel) {
                    channel.queue.token_renewed(now);
                }
            }
            None => self.channels.extend(Channel::empty(row)),
        }
        if row.token_update_tally == 1 {
            tracing::info!(host.id = self.id.0, enrollment.id = row.id, "enrolled");
            if let Some(channel) = self.channel_of_row(row.id) {
                channel.queue.set_wakeups(channel.queue.wakeups().enrolled(now, &policy.queue));
            }
        }
    }
}

/// The status that a channel's token gives its host; a user channel gives none.
fn mdm_status(kind: ChannelKind) -> Option<i16> {
    match kind {
        ChannelKind::Device => Some(host::ON_MANUAL),
        ChannelKind::UserEnrollmentDevice => Some(host::ON_PERSONAL),
        ChannelKind::User | ChannelKind::SharedIpad | ChannelKind::UserEnrollment | ChannelKind::Windows => None,
    }
}
