//! Shows an admin the PIN that unlocks a Mac. From then on the Mac counts as unlocked when it comes back: one that is locked
//! cannot.

use actix::prelude::*;
use entities::StoreError;
use entities::host_action::{self, Pin, Standing};
use protocol::ids::HostId;

use super::Dispatcher;
use crate::ask::Answer;
use crate::host::comes_back::AwaitUnlock;

/// Asks for the PIN.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Pin>")]
pub struct ShowPin {
    /// The host.
    pub host: HostId,
    /// Where it stood when that was decided.
    pub standing: Standing,
    /// Who asks.
    pub by: String,
}

impl Handler<ShowPin> for Dispatcher {
    type Result = ResponseActFuture<Self, Answer<Pin>>;

    fn handle(&mut self, message: ShowPin, _: &mut Self::Context) -> Self::Result {
        let ShowPin { host, standing, by } = message;
        let (writer, now) = (self.writer.clone(), self.clock.now().millis());
        let showing = async move { host_action::show_pin(&writer, host.0, standing, by, now).await };
        Box::pin(showing.into_actor(self).map(move |shown: Result<_, StoreError>, dispatcher, _| {
            let pin = shown?;
            dispatcher.hosts.insist(host, AwaitUnlock);
            Ok(pin)
        }))
    }
}
