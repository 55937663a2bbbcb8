//! The supervision tree: everything that runs, on one screen.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::ArbiterHandle;
use entities::vault::key_file::KeySource;
use entities::{Reader, Writer};
use tokio::runtime::Handle as Io;

use crate::Hosts;
use crate::agents::Agents;
use crate::apns::{self, Apns, ApnsConfig};
use crate::ask::Handle;
use crate::authority::{Authority, AuthorityConfig};
use crate::brakes::{Brakes, BrakesConfig};
use crate::clock::Clock;
use crate::dep::{DepConfig, DepSyncer};
use crate::digests::Digests;
use crate::dispatcher::Dispatcher;
use crate::egress::EgressConfig;
use crate::feed::Feed;
use crate::host::declarations::Facts;
use crate::host::{HostConfig, HostParts};
use crate::housekeeping::Housekeeping;
use crate::inspector::Inspector;
use crate::keeper::{Crashed, Keeper};
use crate::locksmith::Locksmith;
use crate::mailer::{MailConfig, Mailer};
use crate::notary::Notary;
use crate::people::People;
use crate::profiles::contents::Contents;
use crate::profiles::{self, ProfileManager, ProfilesConfig};
use crate::pusher::Pusher;
use crate::registrar::Registrar;
use crate::seen::Seen;
use crate::setup_experience::{SetupConfig, SetupExperience};
use crate::steward::Steward;
use crate::supervisor::{Limit, Node, Strategy};
use crate::trust::Trust;
use crate::webhooks::{self, Outlets, Webhooks, WebhooksConfig};

/// Everything that runs, in start order; it stops in reverse. Who is told starts before who tells.
///
/// Hosts are not named here: they come and go in the directory ([`crate::hosts`]), which `keeper` looks after.
pub static TREE: Node<Parts> = Node::Group(
    "root",
    Strategy::OneForOne,
    Limit::per_minute(3),
    &[
        Node::Group("push", Strategy::OneForOne, Limit::per_minute(10), &[Node::Worker("apns", Apns::launch)]),
        Node::Group(
            "hosts",
            Strategy::RestForOne,
            Limit::per_minute(5),
            &[
                Node::Worker("keeper", Keeper::launch),
                Node::Worker("dispatcher", Dispatcher::launch),
                Node::Worker("brakes", Brakes::launch),
                Node::Worker("steward", Steward::launch),
                Node::Worker("profile_manager", ProfileManager::launch),
                Node::Worker("dep_syncer", DepSyncer::launch),
                Node::Worker("setup_experience", SetupExperience::launch),
            ],
        ),
        Node::Group(
            "enrollment",
            Strategy::OneForOne,
            Limit::per_minute(5),
            &[
                Node::Worker("authority", Authority::launch),
                Node::Worker("registrar", Registrar::launch),
                Node::Worker("inspector", Inspector::launch),
            ],
        ),
        Node::Group(
            "people",
            Strategy::OneForOne,
            Limit::per_minute(5),
            &[Node::Worker("mailer", Mailer::launch), Node::Worker("people", People::launch)],
        ),
        Node::Group(
            "jobs",
            Strategy::OneForOne,
            Limit::per_minute(5),
            &[
                Node::Worker("housekeeping", Housekeeping::launch),
                Node::Worker("locksmith", Locksmith::launch),
                Node::Worker("notary", Notary::launch),
                Node::Worker("webhooks", Webhooks::launch),
            ],
        ),
    ],
);

/// What actors are made of. Each takes what it keeps; none keeps all of it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Reads rows.
    pub reader: Reader,
    /// Writes rows.
    pub writer: Writer,
    /// Tells the time.
    pub clock: Clock,
    /// The runtime for everything that waits on sockets and disks.
    pub io: Io,
    /// Who behaves how.
    pub config: Config,
    /// The directory of hosts.
    pub hosts: Hosts,
    /// The memory of certificates.
    pub trust: Trust,
    /// The memory of digests.
    pub digests: Digests,
    /// The memory of agents.
    pub agents: Agents,
    /// The memory of profiles that are being delivered.
    pub contents: Contents,
    /// Who was seen when.
    pub seen: Seen,
    /// What APNs answered.
    pub pushes: Arc<apns::Tally>,
    /// Who wants to be told of what.
    pub outlets: Outlets,
    /// Who watches.
    pub feed: Feed,
    /// What became of events.
    pub deliveries: Arc<webhooks::Tally>,
    /// Pushes.
    pub apns: Handle<Apns>,
    /// Looks after hosts.
    pub keeper: Handle<Keeper>,
    /// Queues commands.
    pub dispatcher: Handle<Dispatcher>,
    /// Takes commands back, and holds dangerous ones.
    pub brakes: Handle<Brakes>,
    /// Keeps teams, and which hosts there are.
    pub steward: Handle<Steward>,
    /// Keeps who may use the admin API.
    pub people: Handle<People>,
    /// Issues identities.
    pub authority: Handle<Authority>,
    /// Admits hosts.
    pub registrar: Handle<Registrar>,
    /// Writes what agents report.
    pub inspector: Handle<Inspector>,
    /// Tells others what happened.
    pub webhooks: Handle<Webhooks>,
    /// Sends mail.
    pub mailer: Handle<Mailer>,
    /// Brings hosts to have what they shall have.
    pub profiles: Handle<ProfileManager>,
    /// What it did.
    pub profiled: Arc<profiles::Tally>,
    /// Knows the devices that the organization bought.
    pub dep: Handle<DepSyncer>,
    /// Lets devices go on from Setup Assistant.
    pub setup: Handle<SetupExperience>,
}

/// The settings of all actors.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// See [`HostConfig`].
    pub host: Arc<HostConfig>,
    /// See [`ApnsConfig`].
    pub apns: Arc<ApnsConfig>,
    /// See [`AuthorityConfig`].
    pub authority: Arc<AuthorityConfig>,
    /// Where the root keys are.
    pub keys: Option<Arc<KeySource>>,
    /// The file in which the end of the audit log is noted.
    pub audit_anchor: Option<Arc<PathBuf>>,
    /// See [`BrakesConfig`].
    pub brakes: Arc<BrakesConfig>,
    /// See [`WebhooksConfig`].
    pub webhooks: Arc<WebhooksConfig>,
    /// See [`EgressConfig`].
    pub egress: Arc<EgressConfig>,
    /// See [`MailConfig`].
    pub mail: Arc<MailConfig>,
    /// How long activities are kept; zero: for ever.
    pub keep_activities: Duration,
    /// See [`ProfilesConfig`].
    pub profiles: Arc<ProfilesConfig>,
    /// See [`DepConfig`].
    pub dep: Arc<DepConfig>,
    /// See [`SetupConfig`].
    pub setup: Arc<SetupConfig>,
}

/// What the edge may use: it asks actors and reads rows, and has no way to write one.
#[derive(Clone, Debug)]
pub struct Front {
    /// Reads rows.
    pub reader: Reader,
    /// Tells the time.
    pub clock: Clock,
    /// How devices get their identities.
    pub authority_config: Arc<AuthorityConfig>,
    /// How much is too much at once.
    pub brakes_config: Arc<BrakesConfig>,
    /// Which server sends mail.
    pub mail_config: Arc<MailConfig>,
    /// The directory of hosts.
    pub hosts: Hosts,
    /// The memory of certificates.
    pub trust: Trust,
    /// The memory of digests.
    pub digests: Digests,
    /// The memory of agents.
    pub agents: Agents,
    /// Who was seen when.
    pub seen: Seen,
    /// Pushes.
    pub apns: Handle<Apns>,
    /// Queues commands.
    pub dispatcher: Handle<Dispatcher>,
    /// Takes commands back, and holds dangerous ones.
    pub brakes: Handle<Brakes>,
    /// Keeps teams, and which hosts there are.
    pub steward: Handle<Steward>,
    /// Keeps who may use the admin API.
    pub people: Handle<People>,
    /// Issues identities.
    pub authority: Handle<Authority>,
    /// Admits hosts.
    pub registrar: Handle<Registrar>,
    /// Writes what agents report.
    pub inspector: Handle<Inspector>,
    /// Tells others what happened.
    pub webhooks: Handle<Webhooks>,
    /// Who watches.
    pub feed: Feed,
    /// What became of events.
    pub deliveries: Arc<webhooks::Tally>,
    /// What APNs answered.
    pub pushes: Arc<apns::Tally>,
    /// What was written.
    pub written: Arc<entities::Tally>,
    /// Brings hosts to have what they shall have.
    pub profiles: Handle<ProfileManager>,
    /// What it did.
    pub profiled: Arc<profiles::Tally>,
    /// Knows the devices that the organization bought.
    pub dep: Handle<DepSyncer>,
}

impl Parts {
    /// The part of the parts that the edge may use.
    pub fn front(&self) -> Front {
        Front {
            reader: self.reader.clone(),
            clock: self.clock.clone(),
            authority_config: self.config.authority.clone(),
            brakes_config: self.config.brakes.clone(),
            mail_config: self.config.mail.clone(),
            hosts: self.hosts.clone(),
            trust: self.trust.clone(),
            digests: self.digests.clone(),
            agents: self.agents.clone(),
            seen: self.seen.clone(),
            apns: self.apns.clone(),
            dispatcher: self.dispatcher.clone(),
            brakes: self.brakes.clone(),
            steward: self.steward.clone(),
            people: self.people.clone(),
            authority: self.authority.clone(),
            registrar: self.registrar.clone(),
            inspector: self.inspector.clone(),
            webhooks: self.webhooks.clone(),
            feed: self.feed.clone(),
            deliveries: self.deliveries.clone(),
            pushes: self.pushes.clone(),
            written: self.writer.tally(),
            profiles: self.profiles.clone(),
            profiled: self.profiled.clone(),
            dep: self.dep.clone(),
        }
    }

    /// Puts the parts together; hosts will live on these arbiters.
    pub fn new(stores: (Reader, Writer), clock: Clock, io: Io, config: Config, arbiters: Vec<ArbiterHandle>) -> Self {
        let apns: Handle<Apns> = Handle::default();
        let parts = Self::pushing_to(Arc::new(apns.clone()), stores, clock, io, config, arbiters);
        Self { apns, ..parts }
    }

    /// The same for hosts whose pushes go elsewhere than to Apple.
    pub fn pushing_to(
        pusher: Arc<dyn Pusher>,
        (reader, writer): (Reader, Writer),
        clock: Clock,
        io: Io,
        config: Config,
        arbiters: Vec<ArbiterHandle>,
    ) -> Self {
        let parts = Self {
            trust: Trust::new(reader.clone()),
            digests: Digests::new(reader.clone()),
            agents: Agents::new(reader.clone()),
            contents: Contents::default(),
            reader,
            writer,
            clock,
            io,
            config,
            hosts: Hosts::new(arbiters),
            seen: Seen::default(),
            pushes: Arc::default(),
            outlets: Outlets::default(),
            feed: Feed::default(),
            deliveries: Arc::default(),
            apns: Handle::default(),
            keeper: Handle::default(),
            dispatcher: Handle::default(),
            brakes: Handle::default(),
            steward: Handle::default(),
            people: Handle::default(),
            mailer: Handle::default(),
            authority: Handle::default(),
            registrar: Handle::default(),
            inspector: Handle::default(),
            webhooks: Handle::default(),
            profiles: Handle::default(),
            profiled: Arc::default(),
            dep: Handle::default(),
            setup: Handle::default(),
        };
        let agents = parts.agents.clone();
        parts.writer.listen(move |news| agents.hear(news));
        parts.furnish_hosts(pusher);
        parts
    }

    fn furnish_hosts(&self, pusher: Arc<dyn Pusher>) {
        let keeper = self.keeper.clone();
        self.hosts.furnish(self.of_hosts(pusher), move |crash| keeper.tell(Crashed(crash)));
    }

    fn of_hosts(&self, pusher: Arc<dyn Pusher>) -> Arc<HostParts> {
        Arc::new(HostParts {
            reader: self.reader.clone(),
            writer: self.writer.clone(),
            clock: self.clock.clone(),
            seen: self.seen.clone(),
            digests: self.digests.clone(),
            agents: self.agents.clone(),
            pusher,
            outlets: self.outlets.clone(),
            feed: self.feed.clone(),
            contents: self.contents.clone(),
            declared: Facts::default(),
            config: self.config.host.clone(),
        })
    }
}
