//! What a Windows channel has besides its queue: the name that its device gives itself, what proves it, and its session.

use bytes::Bytes;
use entities::windows_enrollment;
use protocol::windows::session::{Session, Wishes};
use protocol::windows::syncml::credentials::Credentials;
use zeroize::Zeroizing;

use super::channel::Channel;
use super::{Host, PollMinutes};

/// A Windows device, as its channel knows it.
pub(super) struct Windows {
    /// `DeviceID`: the source of its messages.
    pub(super) device_id: Box<str>,
    /// Whether it is certain which host it is.
    pub(super) linked: bool,
    /// How often it was told to ask for work, in minutes.
    pub(super) poll_minutes: i32,
    /// Whether its agent starts sessions.
    pub(super) agent_wakes: bool,
    /// What a digest is checked against, once it was needed.
    pub(super) credentials: Option<Zeroizing<Credentials>>,
    /// Its session, while there is one.
    pub(super) session: Option<Session>,
    /// The last message of the session, by its hash, with its answer: it may have been lost.
    pub(super) answered: Option<([u8; 32], Bytes)>,
}

impl Windows {
    pub(super) fn load(row: &windows_enrollment::Model) -> Self {
        Self {
            device_id: row.device_id.as_str().into(),
            linked: row.linked_at.is_some(),
            poll_minutes: row.poll_minutes,
            agent_wakes: row.agent_wakes,
            credentials: None,
            session: None,
            answered: None,
        }
    }
}

impl Windows {
    /// What the device is to be told at the beginning of a session, besides what is queued for it.
    pub(super) fn wishes(&self, polls: PollMinutes) -> Wishes {
        let wanted = self.wanted_poll(polls);
        Wishes { facts: !self.linked, poll_minutes: (wanted != self.poll_minutes).then_some(wanted) }
    }

    /// How often the device should ask for work: seldom, where its agent wakes it.
    pub(super) fn wanted_poll(&self, polls: PollMinutes) -> i32 {
        if self.agent_wakes { polls.relaxed } else { polls.usual }
    }
}

impl Host {
    /// The channels that are known under this name, the newest first: after a device enrolled again the older one has ended.
    pub(super) fn channels_of_device(&self, device_id: &str) -> Vec<i64> {
        let named =
            |channel: &&Channel| channel.windows.as_ref().is_some_and(|windows| *windows.device_id == *device_id);
        let mut rows: Vec<i64> = self.channels.iter().filter(named).map(|channel| channel.row).collect();
        rows.sort_unstable_by(|one, other| other.cmp(one));
        rows
    }

    /// What a Windows channel has besides its queue.
    pub(super) fn windows(&mut self, row: i64) -> Option<&mut Windows> {
        self.channel_of_row(row).and_then(|channel| channel.windows.as_deref_mut())
    }
}

impl std::fmt::Debug for Windows {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Windows({}, in session: {})", self.device_id, self.session.is_some())
    }
}
