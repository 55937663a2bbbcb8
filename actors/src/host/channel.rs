//! One channel of a host in memory: an enrollment with its generation, its push target and its queue.

use entities::{enrollment, queue_window};
use protocol::apple::channel::{ChannelKind, EnrollmentId};
use protocol::ids::Generation;
use protocol::queue::{Change, Decision, Queue, State};
use protocol::time::Timestamp;

use super::bodies::Bodies;
use super::window::window;
use super::windows::Windows;

/// One channel.
#[derive(Debug)]
pub struct Channel {
    pub(super) row: i64,
    pub(super) id: EnrollmentId,
    pub(super) kind: ChannelKind,
    pub(super) generation: Generation,
    pub(super) enabled: bool,
    /// The device has checked out, and has not enrolled again.
    pub(super) ended: bool,
    pub(super) push: Option<PushTarget>,
    pub(super) queue: Queue,
    /// Texts of pending commands, where they are at hand.
    pub(super) bodies: Bodies,
    /// What a Windows device has besides.
    pub(super) windows: Option<Box<Windows>>,
}

/// Where a channel is pushed to.
#[derive(Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// The APNs topic.
    pub topic: Box<str>,
    /// The APNs device token.
    pub token: Box<[u8]>,
    /// What makes the device believe the push.
    pub magic: Box<str>,
    /// When the token came.
    pub since: Timestamp,
    /// APNs calls the token dead; nothing is pushed until a new one comes.
    pub dead: bool,
}

impl std::fmt::Debug for PushTarget {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "PushTarget({}, dead: {})", self.topic, self.dead)
    }
}

impl Channel {
    /// A channel as its rows say; `None` when nobody knows its kind or its name cannot be one.
    pub(super) fn load(
        row: &enrollment::Model,
        rows: &queue_window::Window,
        seed: u64,
        wake_at: Option<Timestamp>,
    ) -> Option<Self> {
        let window = window(rows);
        let wake_at = wake_at.filter(|_| !window.entries.is_empty() || window.more);
        let mut channel = Self::empty(row)?;
        channel.queue = Queue::load(window, seed ^ row.id.unsigned_abs().rotate_left(32), wake_at);
        if channel.kind == ChannelKind::Windows {
            channel.queue = channel.queue.without_pushes();
        }
        Some(channel)
    }

    /// A channel without commands.
    pub(super) fn empty(row: &enrollment::Model) -> Option<Self> {
        let mut channel = Self {
            row: row.id,
            id: EnrollmentId::parse(&row.external_id)?,
            kind: ChannelKind::from_code(row.kind)?,
            generation: Generation(row.generation),
            enabled: row.enabled,
            ended: false,
            push: None,
            queue: Queue::default(),
            bodies: Bodies::default(),
            windows: None,
        };
        channel.take(row);
        Some(channel)
    }

    /// Takes over what a check-in changed in the row.
    pub(super) fn take(&mut self, row: &enrollment::Model) {
        self.enabled = row.enabled;
        self.ended = row.ended_at.is_some();
        self.generation = Generation(row.generation);
        self.push = PushTarget::of(row);
    }

    /// Nothing more is sent here: what was pending is superseded in its rows.
    pub(super) fn end(&mut self) {
        self.enabled = false;
        self.ended = true;
        self.queue.clear();
        self.bodies = Bodies::default();
        if let Some(windows) = &mut self.windows {
            (windows.session, windows.answered) = (None, None);
        }
    }

    /// Applies a decision that is durable now.
    pub(super) fn adopt(&mut self, decision: &Decision) {
        self.queue.adopt(decision);
        self.forget_ended(&decision.changes);
    }

    /// Applies changes that are durable now.
    pub(super) fn apply(&mut self, changes: &[Change]) {
        self.queue.apply(changes);
        self.forget_ended(changes);
    }

    /// An entry has ended in its row, whether memory holds it or not.
    pub(super) fn has_ended(&mut self, entry: i64, state: State) {
        self.queue.has_ended(entry, state);
        self.bodies.forget(entry);
    }

    /// Lets go of the texts of commands that ended.
    pub(super) fn forget_ended(&mut self, changes: &[Change]) {
        changes.iter().filter(|change| change.state.is_terminal()).for_each(|change| self.bodies.forget(change.id));
    }
}

impl PushTarget {
    /// Where a row says that its channel is pushed to; `None` before its first TokenUpdate.
    pub fn of(row: &enrollment::Model) -> Option<Self> {
        let since = row.token_updated_at?;
        Some(Self {
            topic: row.topic.as_deref()?.into(),
            token: row.push_token.as_deref()?.into(),
            magic: row.push_magic.as_deref()?.into(),
            since: Timestamp::from_millis(since),
            dead: row.push_dead_at.is_some_and(|dead| dead > since),
        })
    }
}
