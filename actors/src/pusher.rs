//! Where the pushes of hosts go: to Apple through [`Apns`], or in a simulation to a model of Apple. A push is told, not
//! asked: whoever takes it lets the host hear the answer as [`crate::host::pushed::Pushed`].

use std::fmt::Debug;

use crate::apns::{Apns, Push};
use crate::ask::Handle;

/// Takes pushes.
pub trait Pusher: Debug + Send + Sync {
    /// Wakes a device. A push that is lost is repaired by its host, which pushes again when the device does not come.
    fn push(&self, push: Push);
}

impl Pusher for Handle<Apns> {
    fn push(&self, push: Push) {
        self.tell(push);
    }
}
