//! The agent on a Windows device says whether it starts a session when it is told that there is work. One that does lets the
//! device ask less often.

use actix::prelude::*;
use entities::windows_host;

use super::{Host, Turn, at_once};
use crate::ask::Answer;

/// The agent of a host can start sessions, or cannot any more.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct AgentWakes {
    /// The Windows channel's row.
    pub enrollment: i64,
    /// Whether it can.
    pub can: bool,
}

impl Handler<AgentWakes> for Host {
    type Result = AtomicResponse<Self, Answer<()>>;

    fn handle(&mut self, said: AgentWakes, _: &mut Context<Self>) -> Self::Result {
        AtomicResponse::new(match self.stale() {
            Some(refusal) => at_once(Err(refusal)),
            None => self.note_agent(said),
        })
    }
}

impl Host {
    fn note_agent(&mut self, AgentWakes { enrollment, can }: AgentWakes) -> Turn<()> {
        let writer = self.parts.writer.clone();
        let storing = async move { windows_host::set_agent_wakes(&writer, enrollment, can).await };
        Box::pin(storing.into_actor(self).map(move |stored, host, context| {
            host.settle(stored, context)?;
            if let Some(windows) = host.windows(enrollment) {
                windows.agent_wakes = can;
            }
            host.rearm(context);
            Ok(())
        }))
    }
}
