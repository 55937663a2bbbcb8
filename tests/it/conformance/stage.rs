//! What the lines of a group have in common: its devices, and what they and the admin call things.

use std::collections::HashMap;

use protocol::ids::CommandUuid;
use protocol::pki::{NewKey, Signer, self_signed};
use rookery::sim::apple::device::{ChannelNo, Device, DeviceOptions, User, UserKind};
use rookery::sim::apple::model::Family;
use rookery::sim::log::Fault;

use super::pc_steps::PcActor;
use super::script::Step;
use crate::world::{DEVICE, World, fresh_uuid};

/// Devices of one group at most.
const DEVICES: u32 = 16;

/// The stage of one group.
pub(super) struct Stage<'w> {
    pub(super) world: &'w World,
    /// The first number of this group's devices.
    pub(super) first: u32,
    pub(super) actors: HashMap<String, Actor>,
    pub(super) pcs: HashMap<String, PcActor>,
    /// Tokens that let PCs enroll.
    pub(super) tokens: HashMap<String, String>,
    /// Users by `device/user`.
    pub(super) users: HashMap<String, (ChannelNo, User)>,
    pub(super) identities: HashMap<String, Option<Signer>>,
    pub(super) commands: HashMap<String, (CommandUuid, String)>,
    /// Pushes seen so far, by token.
    pub(super) pushes: HashMap<Vec<u8>, usize>,
}

/// A device on the stage.
pub(super) struct Actor {
    pub(super) device: Device,
    pub(super) personal: bool,
    pub(super) user_kind: UserKind,
}

/// One channel of an actor, as a line names it: `m` or `m/ann`.
pub(super) struct Speaker {
    pub(super) actor: String,
    pub(super) channel: ChannelNo,
    /// The entries that say who speaks.
    pub(super) names: Vec<(&'static str, String)>,
}

impl<'w> Stage<'w> {
    pub(super) fn new(world: &'w World, group: u32) -> Self {
        Self {
            world,
            first: group * DEVICES,
            actors: HashMap::new(),
            pcs: HashMap::new(),
            tokens: HashMap::new(),
            users: HashMap::new(),
            identities: HashMap::new(),
            commands: HashMap::new(),
            pushes: HashMap::new(),
        }
    }

    /// Does what a line says, and judges what comes of it.
    pub(super) async fn play(&mut self, step: &Step) -> Result<(), String> {
        match step.who.as_str() {
            "mac" => self.enter(&step.verb, Family::Mac, UserKind::Mac),
            "iphone" => self.enter(&step.verb, Family::IPhone, UserKind::SharedIpad),
            "ipad" => self.enter(&step.verb, Family::IPad, UserKind::SharedIpad),
            "personal-phone" => self.enter(&step.verb, Family::IPhone, UserKind::PersonalMac),
            "personal-mac" => self.enter(&step.verb, Family::Mac, UserKind::PersonalMac),
            "pc" => self.enter_pc(step),
            "admin" => self.admin(step).await,
            "apns" => self.apns(step).await,
            "clock" => self.clock(step),
            "host" => self.host(step).await,
            name if self.pcs.contains_key(name) => self.pc_step(step).await,
            _ => self.device_step(step).await,
        }
    }

    fn enter(&mut self, name: &str, family: Family, user_kind: UserKind) -> Result<(), String> {
        let personal = user_kind == UserKind::PersonalMac;
        let number = u32::try_from(self.actors.len()).map_err(|error| error.to_string())?;
        if number >= DEVICES {
            return Err("too many devices in one group".into());
        }
        let options = DeviceOptions { personal, ..DeviceOptions::default() };
        let device = self.world.device(family, self.first + number, options);
        self.actors.insert(name.to_owned(), Actor { device, personal, user_kind });
        Ok(())
    }

    pub(super) fn actor(&mut self, name: &str) -> Result<&mut Actor, String> {
        self.actors.get_mut(name).ok_or_else(|| format!("there is no device {name}"))
    }

    pub(super) fn device(&mut self, name: &str) -> Result<&mut Device, String> {
        Ok(&mut self.actor(name)?.device)
    }

    pub(super) fn speaker(&mut self, name: &str) -> Result<Speaker, String> {
        let actor_name = name.split('/').next().unwrap_or_default().to_owned();
        let user = self.users.get(name).cloned();
        let actor = self.actor(&actor_name)?;
        let own = actor.device.channel_id(DEVICE).map_err(|error| error.to_string())?.to_owned();
        let mut names = vec![(if actor.personal { "EnrollmentID" } else { "UDID" }, own)];
        if actor_name == name {
            return Ok(Speaker { actor: actor_name, channel: DEVICE, names });
        }
        let (channel, user) = user.ok_or_else(|| format!("there is no user {name}"))?;
        match actor.user_kind {
            UserKind::Mac => names.push(("UserID", user.id)),
            UserKind::SharedIpad => names.push(("UserID", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF".into())),
            UserKind::PersonalMac => names.push(("EnrollmentUserID", user.id)),
        }
        names.push(("UserShortName", user.short_name));
        Ok(Speaker { actor: actor_name, channel, names })
    }

    /// NanoMDM's name of a channel; a name that is none on the stage stands for itself.
    pub(super) fn channel_id(&mut self, name: &str) -> String {
        if let Some(actor) = self.pcs.get(name) {
            let enrollment = actor.pc.enrollment().map(|enrollment| enrollment.provisioned.enrollment_id.clone());
            return enrollment.unwrap_or_default();
        }
        let Ok(speaker) = self.speaker(name) else { return name.to_owned() };
        let device = self.device(&speaker.actor).ok();
        device.and_then(|device| device.channel_id(speaker.channel).ok().map(str::to_owned)).unwrap_or_default()
    }

    /// The name that the stage's command has on the wire, made up when the command is new.
    pub(super) fn command(&mut self, name: &str, request_type: &str) -> CommandUuid {
        let made = || (fresh_uuid(), request_type.to_owned());
        self.commands.entry(name.to_owned()).or_insert_with(made).0.clone()
    }

    /// An identity that the server does not know.
    pub(super) fn stranger(&self) -> Result<Signer, String> {
        let key = NewKey::Rsa2048.generate().map_err(|error| error.to_string())?;
        let day = std::time::Duration::from_secs(86_400);
        self_signed(key, "stranger", self.world.now(), day).map_err(|error| error.to_string())
    }

    /// What the devices found wrong with the server, besides the refusals that the lines themselves judge.
    pub(super) fn findings(&self) -> Vec<String> {
        let of = |(name, actor): (&String, &Actor)| {
            let findings = actor.device.log().findings();
            let wrong = findings.into_iter().filter(|finding| finding.fault != Fault::Status);
            wrong.map(|finding| format!("{name} found {finding:?}")).collect::<Vec<_>>()
        };
        let of_pc = |(name, actor): (&String, &PcActor)| {
            actor.pc.log().findings().into_iter().map(|found| format!("{name} found {found:?}")).collect::<Vec<_>>()
        };
        self.actors.iter().flat_map(of).chain(self.pcs.iter().flat_map(of_pc)).collect()
    }
}

/// Whether two texts are the same, said as a line needs it.
pub(super) fn compare(expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}")) }
}
