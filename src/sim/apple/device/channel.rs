//! The channels of a device: its own, and those of its users. Each has a queue at the server, a push token, and
//! sessions.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use protocol::apple::channel::ChannelKind;
use protocol::apple::plist::Dictionary;
use protocol::apple::report::Status;

use super::declarative::Declarations;
use super::{Device, DeviceError};
use crate::sim::apns::{PushService, Registration};
use crate::sim::apple::model::Model;

/// What every user of a Shared iPad has as `UserID`.
const SHARED_IPAD_USER_ID: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// The number of a channel of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNo(pub usize);

/// A user of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `UserID`, or `EnrollmentUserID` on a personal Mac; without meaning on a Shared iPad.
    pub id: String,
    /// The account name; on a Shared iPad the Managed Apple Account.
    pub short_name: String,
    /// The full name.
    pub long_name: String,
}

/// The kind of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserKind {
    /// Of a Mac that is enrolled as a whole.
    Mac,
    /// Of a Shared iPad.
    SharedIpad,
    /// Of a personal Mac.
    PersonalMac,
}

/// Where a channel is pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// The token.
    pub token: Vec<u8>,
    /// What a push has to carry.
    pub magic: String,
    /// The topic.
    pub topic: String,
}

/// What happens when a channel is pushed.
pub type OnPush = Arc<dyn Fn(ChannelNo) + Send + Sync>;

/// Who pushes a device, and what then happens.
#[derive(Clone)]
pub(super) struct Pushes {
    service: PushService,
    on_push: OnPush,
}

/// A channel as the device knows it.
#[derive(Debug)]
pub(super) struct ChannelState {
    pub(super) kind: ChannelKind,
    /// NanoMDM's name of the channel.
    pub(super) id: String,
    identifying: Vec<(&'static str, String)>,
    pub(super) token: Option<Vec<u8>>,
    pub(super) magic: Option<String>,
    /// The commands of the present session.
    pub(super) session: HashSet<String>,
    pub(super) last_status: Option<Status>,
    /// The answers to the commands that were done last.
    pub(super) done: VecDeque<(String, super::Answer)>,
    pub(super) declarations: Declarations,
}

impl ChannelNo {
    /// The device's own channel.
    pub const DEVICE: Self = Self(0);
}

impl User {
    /// A user with this account name and full name.
    pub fn new(id: &str, short_name: &str, long_name: &str) -> Self {
        Self { id: id.to_owned(), short_name: short_name.to_owned(), long_name: long_name.to_owned() }
    }
}

impl ChannelState {
    pub(super) fn of_device(model: &Model, personal: bool) -> Self {
        let (kind, key, id) = match personal {
            false => (ChannelKind::Device, "UDID", &model.udid),
            true => (ChannelKind::UserEnrollmentDevice, "EnrollmentID", &model.enrollment_id),
        };
        Self::new(kind, id.clone(), vec![(key, id.clone())])
    }

    pub(super) fn of_user(&self, kind: UserKind, user: &User) -> Self {
        let (kind, key, id, name) = match kind {
            UserKind::Mac => (ChannelKind::User, "UserID", user.id.as_str(), &user.id),
            UserKind::SharedIpad => (ChannelKind::SharedIpad, "UserID", SHARED_IPAD_USER_ID, &user.short_name),
            UserKind::PersonalMac => (ChannelKind::UserEnrollment, "EnrollmentUserID", user.id.as_str(), &user.id),
        };
        let mut identifying = self.identifying.clone();
        identifying.push((key, id.to_owned()));
        identifying.push(("UserShortName", user.short_name.clone()));
        if kind != ChannelKind::SharedIpad {
            identifying.push(("UserLongName", user.long_name.clone()));
        }
        Self::new(kind, format!("{}:{name}", self.id), identifying)
    }

    fn new(kind: ChannelKind, id: String, identifying: Vec<(&'static str, String)>) -> Self {
        Self {
            kind,
            id,
            identifying,
            token: None,
            magic: None,
            session: HashSet::new(),
            last_status: None,
            done: VecDeque::new(),
            declarations: Declarations::default(),
        }
    }

    /// Adds who sends the message.
    pub(super) fn identify(&self, message: &mut Dictionary) {
        for (key, value) in &self.identifying {
            message.insert((*key).to_owned(), value.as_str().into());
        }
    }
}

impl Device {
    /// All channels, the device's own first.
    pub fn channels(&self) -> impl Iterator<Item = ChannelNo> + use<> {
        (0..self.channels.len()).map(ChannelNo)
    }

    /// The enrollment id of a channel, as NanoMDM writes it.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn channel_id(&self, channel: ChannelNo) -> Result<&str, DeviceError> {
        Ok(&self.channel(channel)?.id)
    }

    /// The enrollment ids of the device and of users that it will have.
    ///
    /// # Errors
    /// There is no device channel.
    pub fn channel_ids(&self, users: &[(UserKind, User)]) -> Result<Vec<String>, DeviceError> {
        let own = self.channel(ChannelNo::DEVICE)?;
        let of_users = users.iter().map(|(kind, user)| own.of_user(*kind, user).id);
        Ok(std::iter::once(own.id.clone()).chain(of_users).collect())
    }

    /// The last status that the channel sent.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn last_status(&self, channel: ChannelNo) -> Result<Option<&Status>, DeviceError> {
        Ok(self.channel(channel)?.last_status.as_ref())
    }

    /// Registers every token at this push service from now on; `on_push` is called for every push with the right magic.
    pub fn set_pushes(&mut self, service: PushService, on_push: OnPush) {
        self.pushes = Some(Pushes { service, on_push });
    }

    /// Where a channel is pushed to; `None` before its first token.
    pub fn push_target(&self, channel: ChannelNo) -> Option<PushTarget> {
        let state = self.channel(channel).ok()?;
        let topic = self.profile()?.mdm.topic.clone();
        Some(PushTarget { token: state.token.clone()?, magic: state.magic.clone()?, topic })
    }

    pub(super) fn channel(&self, channel: ChannelNo) -> Result<&ChannelState, DeviceError> {
        self.channels.get(channel.0).ok_or(DeviceError::Missing("such channel"))
    }

    pub(super) fn channel_mut(&mut self, channel: ChannelNo) -> Result<&mut ChannelState, DeviceError> {
        self.channels.get_mut(channel.0).ok_or(DeviceError::Missing("such channel"))
    }

    /// Gets a new token from the push service; the old one is worth nothing any more.
    pub(super) fn new_token(&mut self, channel: ChannelNo) -> Result<(), DeviceError> {
        let token = self.chance.bytes::<32>().to_vec();
        let magic = match &self.channel(channel)?.magic {
            Some(magic) => magic.clone(),
            None => self.chance.uuid(),
        };
        let state = self.channel_mut(channel)?;
        let old = state.token.replace(token);
        state.magic = Some(magic);
        let (target, pushes) = (self.push_target(channel), self.pushes.clone());
        if let (Some(target), Some(Pushes { service, on_push })) = (target, pushes) {
            if let Some(old) = old {
                service.unregister(&old);
            }
            let wake = Arc::new(move || on_push(channel));
            service.register(&target.token, Registration { topic: target.topic, magic: target.magic, wake });
        }
        Ok(())
    }

    /// Switches the device on or off for the push service.
    pub fn switch_pushes(&self, on: bool) {
        let Some(pushes) = &self.pushes else { return };
        for token in self.channels.iter().filter_map(|state| state.token.as_deref()) {
            pushes.service.switch(token, on);
        }
    }

    /// Forgets the token of a channel; the push service then knows it as unregistered.
    pub(super) fn drop_token(&mut self, channel: ChannelNo) -> Result<(), DeviceError> {
        let state = self.channel_mut(channel)?;
        let token = state.token.take();
        state.magic = None;
        if let (Some(token), Some(pushes)) = (token, &self.pushes) {
            pushes.service.unregister(&token);
        }
        Ok(())
    }
}

impl fmt::Debug for Pushes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pushes")
    }
}
