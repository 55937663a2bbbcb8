//! Many devices that live on their own: Macs with and without users, iPhones, Shared iPads, personal devices.
//!
//! A fleet runs on threads of its own, counts what its devices do, and tells at the end what really happened to every
//! command. Never here: what the server thinks of it; whoever compares the two has both.
//!
//! Start with [`Fleet::start`].

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{Semaphore, oneshot};

use super::abm::Facts;
use super::apns::PushService;
use super::apple::device::{Device, DeviceOptions, User, UserKind};
use super::apple::host::SimHost;
use super::apple::model::{Family, Model};
use super::behaviour::Behaviour;
use super::log::DeviceLog;
use super::random::Chance;
use super::report::{Progress, Tally};
use super::wire::{Trust, TrustError};

mod pcs;
mod truth;
mod world;

pub use pcs::PcFleetConfig;
pub use truth::{Deviation, Truth, TruthCounts};
pub use world::{Purchase, Stop, World};

/// How often somebody who waits for the fleet looks.
const GLANCE: Duration = Duration::from_millis(50);

/// A running fleet. Dropped, it ends without waiting for its devices.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Member>,
    world: Arc<World>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// How many devices.
    pub count: u32,
    /// The number of the first device; fleets of one server need different numbers.
    pub first: u32,
    /// What kinds of devices, in turn; must not be empty.
    pub mix: Vec<Persona>,
    /// Where they get their enrollment profile.
    pub enroll_url: String,
    /// Root certificates (DER) that they trust.
    pub anchors: Vec<Vec<u8>>,
    /// Who pushes them.
    pub pushes: PushService,
    /// How they live.
    pub behaviour: Behaviour,
    /// Everything else about them.
    pub options: DeviceOptions,
    /// What decides everything that is left to chance.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// How many enroll at once.
    pub ramp: usize,
    /// Where every third of them is bought, if any are: all but those that belong to their users, and every Shared iPad.
    pub purchase: Option<Purchase>,
}

/// The kind of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persona {
    /// A Mac.
    Mac,
    /// A Mac with a managed user.
    MacWithUser,
    /// An iPhone.
    IPhone,
    /// A Shared iPad with a user.
    SharedIPad,
    /// An iPhone that belongs to its user.
    Personal,
    /// A Windows PC.
    Windows,
}

/// One device of a fleet.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its kind.
    pub persona: Persona,
    /// Its serial number.
    pub serial_number: String,
    /// What admins call the host.
    pub uuid: String,
    /// The enrollment ids of its channels, its own first. Those of a PC are the server's to give: see [`Member::own`].
    pub channels: Vec<String>,
    /// What happened to it.
    pub log: DeviceLog,
}

/// Why a fleet does not start.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A trust anchor cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no kind of device to make, or one that is made otherwise ([`Fleet::of_pcs`]).
    #[error("the fleet is made of no kinds of devices")]
    NoKinds,
    /// A device cannot be made.
    #[error("device {0} cannot be made: {1}")]
    Device(u32, String),
    /// No thread could be started.
    #[error("no thread for the fleet: {0}")]
    Thread(#[from] std::io::Error),
}

impl Persona {
    /// A usual company: half Macs, a third iPhones, some Shared iPads and personal devices.
    pub const COMPANY: [Self; 10] = [
        Self::MacWithUser,
        Self::IPhone,
        Self::Mac,
        Self::MacWithUser,
        Self::IPhone,
        Self::SharedIPad,
        Self::Mac,
        Self::IPhone,
        Self::MacWithUser,
        Self::Personal,
    ];

    /// The family of Apple's that it belongs to.
    const fn family(self) -> Option<Family> {
        match self {
            Self::Mac | Self::MacWithUser => Some(Family::Mac),
            Self::IPhone | Self::Personal => Some(Family::IPhone),
            Self::SharedIPad => Some(Family::IPad),
            Self::Windows => None,
        }
    }

    /// Whether the device with this place is bought, where any are.
    const fn is_bought(self, index: u32) -> bool {
        match self {
            Self::SharedIPad => true,
            Self::Personal | Self::Windows => false,
            Self::Mac | Self::MacWithUser | Self::IPhone => index.is_multiple_of(3),
        }
    }

    /// The users that enroll with a device of this kind.
    fn users(self, model: &Model, chance: &mut Chance) -> Vec<(UserKind, User)> {
        let name = model.owner.to_lowercase();
        match self {
            Self::MacWithUser => vec![(UserKind::Mac, User::new(&chance.uuid(), &name, model.owner))],
            Self::SharedIPad => {
                let account = format!("{name}@school.example.com");
                vec![(UserKind::SharedIpad, User::new("", &account, model.owner))]
            }
            Self::Mac | Self::IPhone | Self::Personal | Self::Windows => Vec::new(),
        }
    }
}

impl Fleet {
    /// Starts the devices; they begin to enroll at once.
    ///
    /// # Errors
    /// See [`FleetError`].
    pub fn start(config: FleetConfig) -> Result<Self, FleetError> {
        let trust = Trust::new(&config.anchors)?;
        let world = world(&config.enroll_url, config.ramp, Duration::from_secs(60), config.purchase.clone());
        let (mut members, mut hosts) = (Vec::new(), Vec::new());
        for index in 0..config.count {
            let (member, host) = recruit(&config, index, &trust, &world)?;
            members.push(member);
            hosts.push(host);
        }
        Self::run(members, hosts, world, config.threads)
    }

    /// Lets these devices live on so many threads.
    fn run<A>(members: Vec<Member>, hosts: Vec<A>, world: Arc<World>, threads: usize) -> Result<Self, FleetError>
    where
        A: Actor<Context = Context<A>> + Handler<Stop> + Send,
    {
        let (stop, stopped) = oneshot::channel();
        let threads = threads.max(1);
        let thread = std::thread::Builder::new().name("fleet".into()).spawn(move || run(hosts, threads, stopped))?;
        Ok(Self { members, world, stop: Some(stop), thread: Some(thread) })
    }

    /// The devices.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What the devices did so far.
    pub fn progress(&self) -> Progress {
        self.world.tally.progress()
    }

    /// Waits until every device is enrolled or was refused, or until `patience` is over, and tells how it goes
    /// meanwhile. True when every device is enrolled.
    pub async fn enrolled(&self, patience: Duration, mut tell: impl FnMut(&Progress)) -> bool {
        let began = Instant::now();
        loop {
            let progress = self.progress();
            tell(&progress);
            if progress.enrolled + progress.failed >= self.members.len() as u64 {
                return progress.failed == 0;
            }
            if began.elapsed() >= patience {
                return false;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// What really happened so far.
    pub fn truth(&self) -> Truth {
        Truth::of(&self.members)
    }

    /// Stops the devices, whatever they are doing, and tells what really happened.
    pub fn stop(mut self) -> Truth {
        self.end();
        self.truth()
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported there.
            let _ = thread.join();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.end();
    }
}

impl Member {
    /// The enrollment id of its own channel, once it has one.
    pub fn own(&self) -> Option<String> {
        self.channels.first().cloned().or_else(|| self.log.own())
    }
}

/// The world of a fleet that enrolls here, so many at once.
fn world(enroll_url: &str, ramp: usize, minute: Duration, purchase: Option<Purchase>) -> Arc<World> {
    let ramp = Semaphore::new(ramp.max(1));
    Arc::new(World { enroll_url: enroll_url.to_owned(), tally: Tally::default(), ramp, minute, purchase })
}

/// Makes one device and the actor that lives its life.
fn recruit(
    config: &FleetConfig,
    index: u32,
    trust: &Trust,
    world: &Arc<World>,
) -> Result<(Member, SimHost), FleetError> {
    let number = config.first.wrapping_add(index);
    let persona = *config.mix.get(index as usize % config.mix.len().max(1)).ok_or(FleetError::NoKinds)?;
    let mut chance = Chance::new(config.seed, u64::from(number) << 8);
    let family = persona.family().ok_or(FleetError::NoKinds)?;
    let model = Model::new(family, config.seed, number);
    if let Some(purchase) = config.purchase.as_ref().filter(|_| persona.is_bought(index)) {
        purchase.service.add_devices(purchase.organization, [Facts::from(&model)]);
    }
    let users = persona.users(&model, &mut chance);
    let options = DeviceOptions { personal: persona == Persona::Personal, ..config.options.clone() };
    let device = Device::new(model.clone(), trust.clone(), options, chance.number());
    let failed = |error: super::apple::device::DeviceError| FleetError::Device(number, error.to_string());
    let channels = device.channel_ids(&users).map_err(failed)?;
    let (uuid, log) = (channels.first().cloned().unwrap_or_default(), device.log().clone());
    let member = Member { persona, serial_number: model.serial_number, uuid, channels, log };
    let host =
        SimHost::new(device, users, config.behaviour.clone(), world.clone(), config.pushes.clone(), chance.number());
    Ok((member, host))
}

/// The fleet's own actor system, until it is told to stop.
fn run<A>(hosts: Vec<A>, threads: usize, stopped: oneshot::Receiver<()>)
where
    A: Actor<Context = Context<A>> + Handler<Stop> + Send,
{
    System::new().block_on(async move {
        let arbiters: Vec<Arbiter> = (0..threads).map(|_| Arbiter::new()).collect();
        let mut addresses = Vec::with_capacity(hosts.len());
        for (host, arbiter) in hosts.into_iter().zip(arbiters.iter().cycle()) {
            addresses.push(A::start_in_arbiter(&arbiter.handle(), move |_| host));
        }
        // Whoever held the other end is gone: that is a reason to stop, too.
        let _ = stopped.await;
        for address in &addresses {
            address.do_send(Stop);
        }
        for arbiter in arbiters {
            arbiter.stop();
            let _ = arbiter.join();
        }
    });
}

#[cfg(test)]
mod tests;
