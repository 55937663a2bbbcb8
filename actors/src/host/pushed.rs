//! What APNs answered to a push.

use std::time::Duration;

use actix::prelude::*;
use entities::enrollment;
use protocol::apple::push::{Feedback, MAX_BACK_OFF, SERVICE_BACK_OFF};
use protocol::time::Timestamp;

use super::{Host, Standing};

/// APNs answered a push to a channel of this host.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Pushed {
    /// The channel's row.
    pub enrollment: i64,
    /// When the token that was pushed to had come.
    pub token_since: Timestamp,
    /// What APNs said.
    pub feedback: Feedback,
}

impl Handler<Pushed> for Host {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, pushed: Pushed, context: &mut Context<Self>) -> Self::Result {
        let now = self.now();
        let nothing = || AtomicResponse::new(Box::pin(actix::fut::ready(())));
        if !matches!(self.standing, Standing::Ready) {
            return nothing();
        }
        let Some(channel) = self.channel_of_row(pushed.enrollment) else { return nothing() };
        let current = channel.push.as_ref().is_some_and(|target| target.since == pushed.token_since);
        if !current {
            return nothing(); // a newer token came meanwhile
        }
        if pushed.feedback.kills_token_of(pushed.token_since) {
            return self.token_is_dead(pushed.enrollment);
        }
        if let (Some(rest), Some(channel)) = (rest(&pushed.feedback), self.channel_of_row(pushed.enrollment)) {
            channel.queue.set_wakeups(channel.queue.wakeups().not_before(now.plus(rest)));
            self.rearm(context);
        }
        nothing()
    }
}

/// How long an answer asks us not to push.
fn rest(feedback: &Feedback) -> Option<Duration> {
    match feedback {
        // A token that died before it was renewed is alive: the usual schedule goes on.
        Feedback::Sent { .. } | Feedback::TokenDead { .. } => None,
        Feedback::BackOff { after } | Feedback::Unavailable { after } => Some(*after),
        Feedback::TopicRejected { .. } => Some(SERVICE_BACK_OFF),
        // Repeating it would change nothing; a new token or the device's own poll does.
        Feedback::Rejected { .. } => Some(MAX_BACK_OFF),
    }
}

impl Host {
    /// Nothing is pushed there any more until a new token comes; the queue stays.
    fn token_is_dead(&mut self, row: i64) -> AtomicResponse<Self, ()> {
        let (writer, now) = (self.parts.writer.clone(), self.now().millis());
        let marking = async move { enrollment::mark_push_dead(&writer, row, now).await };
        AtomicResponse::new(Box::pin(marking.into_actor(self).map(move |marked, host, context| {
            if host.settle(marked, context).is_err() {
                return; // the next push will be answered alike
            }
            tracing::warn!(host.id = host.id.0, enrollment.id = row, "APNs calls the push token dead");
            if let Some(target) = host.channel_of_row(row).and_then(|channel| channel.push.as_mut()) {
                target.dead = true;
            }
        })))
    }
}
