//! What APNs answered to a push.

use std::time::Duration;

use actix::prelude::*;
use entities::enrollment;
use protocol::apple::push::{Feedback, MAX_BACK_OFF, SERVICE_BACK_OFF};
use protocol::time::Timestamp;

use super::channel::PushTarget;
use super::{Host, Standing};

/// APNs answered a push to a channel of this host.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Pushed {
    /// The channel's row.
    pub enrollment: i64,
    /// What was pushed to.
    pub target: PushTarget,
    /// What APNs said.
    pub feedback: Feedback,
}

impl Handler<Pushed> for Host {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, pushed: Pushed, context: &mut Context<Self>) -> Self::Result {
        let (now, policy) = (self.now(), self.parts.config.clone());
        let nothing = || AtomicResponse::new(Box::pin(actix::fut::ready(())));
        if !matches!(self.standing, Standing::Ready) {
            return nothing();
        }
        let Some(channel) = self.channel_of_row(pushed.enrollment) else { return nothing() };
        if channel.push.as_ref() != Some(&pushed.target) {
            return nothing(); // a newer token came meanwhile
        }
        if pushed.feedback.kills_token_of(pushed.target.since) {
            return self.token_is_dead(pushed.enrollment, pushed.target.since);
        }
        if let (Some(rest), Some(channel)) =
            (rest(&pushed.feedback, policy.queue.longest_rest), self.channel_of_row(pushed.enrollment))
        {
            channel.queue.set_wakeups(channel.queue.wakeups().not_before(now.plus(rest)));
            self.rearm(context);
        }
        nothing()
    }
}

/// How long an answer asks us not to push.
fn rest(feedback: &Feedback, longest: Duration) -> Option<Duration> {
    let rest = match feedback {
        // A token that died before it was renewed is alive: the usual schedule goes on.
        Feedback::Sent { .. } | Feedback::TokenDead { .. } => return None,
        Feedback::BackOff { after } | Feedback::Unavailable { after } => *after,
        Feedback::TopicRejected { .. } => SERVICE_BACK_OFF,
        // Repeating it would change nothing; a new token or the device's own poll does.
        Feedback::Rejected { .. } => MAX_BACK_OFF,
    };
    Some(rest.min(longest))
}

impl Host {
    /// Nothing is pushed there any more until a new token comes; the queue stays.
    fn token_is_dead(&mut self, row: i64, token_since: Timestamp) -> AtomicResponse<Self, ()> {
        let (writer, since, now) = (self.parts.writer.clone(), token_since.millis(), self.now().millis());
        let marking = async move { enrollment::mark_push_dead(&writer, row, since, now).await };
        AtomicResponse::new(Box::pin(marking.into_actor(self).map(move |marked, host, context| {
            if host.settle(marked, context) != Ok(true) {
                return; // the next push will be answered alike
            }
            tracing::warn!(host.id = host.id.0, enrollment.id = row, "APNs calls the push token dead");
            if let Some(target) = host.channel_of_row(row).and_then(|channel| channel.push.as_mut()) {
                target.dead = true;
            }
        })))
    }
}
