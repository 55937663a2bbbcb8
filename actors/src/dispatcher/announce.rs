//! Tells hosts of commands that were queued for them: those at work hear of it, the others are due in their rows.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use entities::enqueue::Queued;
use protocol::ids::{CommandUuid, Generation, HostId};
use protocol::queue::{Entry, State};
use protocol::time::Timestamp;

use crate::Hosts;
use crate::ask::Handle;
use crate::clock::Clock;
use crate::feed::{Feed, What};
use crate::host::bodies::KEPT_BYTES;
use crate::host::enqueued::Enqueued;
use crate::keeper::{Keeper, Look};
use crate::tree::Parts;

/// When the keeper looks after a host that was at work and was told: it may have ended at that moment.
const LOOKED_AFTER: Duration = Duration::from_secs(10);

/// Whoever queues commands tells of them with this.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    clock: Clock,
    hosts: Hosts,
    keeper: Handle<Keeper>,
    feed: Feed,
}

/// A command as hosts hear of it.
#[derive(Clone, Debug)]
pub(crate) struct News {
    /// What devices call it.
    pub uuid: CommandUuid,
    /// Higher goes first.
    pub priority: i16,
    /// Whether doing it twice is dangerous.
    pub no_blind_resend: bool,
    /// Its text.
    pub body: Bytes,
    /// When it stops being worth doing.
    pub expires_at: Timestamp,
    /// Whether hosts are pushed at once.
    pub push: bool,
}

/// When the hosts of a command are due.
pub(crate) struct Due {
    push_at: Timestamp,
    /// Hosts that are at work, and will be told.
    told: HashSet<HostId>,
}

impl Announcer {
    /// Tells through these parts.
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            clock: parts.clock.clone(),
            hosts: parts.hosts.clone(),
            keeper: parts.keeper.clone(),
            feed: parts.feed.clone(),
        }
    }

    /// When the rows of hosts are to say that they are due.
    pub(crate) fn due(&self, hosts: impl Iterator<Item = HostId>, push: bool, push_at: Timestamp) -> Due {
        let told = hosts.filter(|host| push && self.hosts.is_resident(*host)).collect();
        Due { push_at, told }
    }

    /// Tells the hosts of these entries.
    pub(crate) fn tell(&self, news: &News, queued: &[Queued], due: &Due) {
        let body = Some(&news.body).filter(|body| body.len() <= KEPT_BYTES).cloned();
        for made in queued {
            let entry = Entry {
                id: made.entry_id,
                uuid: news.uuid.clone(),
                priority: news.priority,
                state: State::Queued,
                attempts: 0,
                not_now_tally: 0,
                sent_at: None,
                expires_at: news.expires_at,
                after: made.after_id,
                needs_success: made.needs_success,
                is_let_down: false,
                no_blind_resend: news.no_blind_resend,
            };
            let host = HostId(made.host_id);
            let told = Enqueued {
                enrollment: made.enrollment_id,
                generation: Generation(made.generation),
                entry,
                body: body.clone(),
                push_at: due.push_at,
                due_at: due.of(host),
            };
            self.hosts.insist(host, told);
            self.feed.tell(host, self.clock.now(), [What::Command(news.uuid.clone(), State::Queued)]);
        }
        if news.push && queued.iter().any(|made| !due.told.contains(&HostId(made.host_id))) {
            self.keeper.tell(Look);
        }
    }
}

impl Due {
    /// When the row of a host says that it is due.
    pub(crate) fn of(&self, host: HostId) -> Timestamp {
        if self.told.contains(&host) { self.push_at.plus(LOOKED_AFTER) } else { self.push_at }
    }
}
