//! What is to be sent to a host, and what need not be.

use super::{Host, Kind, Operation, Profile, Scope, Status, UnderWay};

/// Why a profile is held.
const NOT_ENROLLED: &str = "The host cannot be sent commands: it is not enrolled.";
/// Why a profile is held.
const NO_USER: &str = "The host has no user whom this server manages; settings for users follow when it has one.";
/// Why a profile is held.
const UNDER_WAY: &str = "The host has an earlier version under way and has not answered yet.";

/// What to do for a host. Each profile that is unsent stands in exactly one list of the first four.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be sent.
    pub send: Vec<Send>,
    /// Not to be sent before something happens: (profile, why).
    pub hold: Vec<(i64, &'static str)>,
    /// Nothing is left to do for these: the device does not have them.
    pub drop: Vec<i64>,
    /// The device has exactly this under another profile's name: (profile, the other one, whose row goes).
    pub adopt: Vec<(i64, i64)>,
    /// Commands that are taken back, because others take their place.
    pub take_back: Vec<UnderWay>,
}

/// One profile that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The profile.
    pub profile: i64,
    /// Through which channel.
    pub channel: i64,
    /// The command that waits already and does it as well.
    pub joins: Option<UnderWay>,
}

/// Decides what is to be done for a host now.
pub fn plan(host: &Host) -> Plan {
    let mut plan = Plan::default();
    let unsent = |profile: &&Profile| profile.status == Status::Unsent;
    // A profile that takes another one's place on the device makes the removal of that one needless, or even harmful.
    let replaced = |gone: &Profile| host.profiles.iter().find(|profile| profile.replaces(gone));
    for profile in host.profiles.iter().filter(unsent) {
        match profile.operation {
            Operation::Remove if replaced(profile).is_some() => plan.give_way(profile),
            Operation::Remove => plan.remove(host, profile),
            Operation::Install => plan.install(host, profile),
        }
    }
    plan
}

impl Plan {
    /// A removal that is not wanted any more, because something with the same identifier takes its place.
    fn give_way(&mut self, gone: &Profile) {
        if self.adopt.iter().any(|(_, other)| *other == gone.id) {
            return;
        }
        match &gone.under_way {
            Some(command) if command.is_with_device => self.hold.push((gone.id, UNDER_WAY)),
            command => {
                // The command of a declaration is that of all declarations of the host.
                self.take_back.extend(command.clone().filter(|_| gone.kind != Kind::Declaration));
                self.drop.push(gone.id);
            }
        }
    }

    fn remove(&mut self, host: &Host, gone: &Profile) {
        let may_come = gone.under_way.as_ref().is_some_and(|command| command.is_with_device);
        match gone.channel(host) {
            _ if gone.had.is_none() && !may_come && gone.kind != Kind::Declaration => {
                self.take_back.extend(gone.under_way.clone());
                self.drop.push(gone.id);
            }
            Err(NO_USER) => self.drop.push(gone.id), // with the user's channel its profiles went
            Err(why) => self.hold.push((gone.id, why)),
            Ok(channel) => self.send(host, gone, channel),
        }
    }

    fn install(&mut self, host: &Host, profile: &Profile) {
        let channel = match profile.channel(host) {
            Err(why) => return self.hold.push((profile.id, why)),
            Ok(channel) => channel,
        };
        let mut others = host.profiles.iter().filter(|other| profile.replaces(other));
        // A declaration may have left its device with a set in which neither of the two stood.
        let stays = |other: &&Profile| {
            let same = other.token == profile.token && other.had == Some(other.content);
            same && other.under_way.is_none() && profile.kind != Kind::Declaration
        };
        if let Some(other) = others.clone().find(stays) {
            self.drop.retain(|gone| *gone != other.id);
            self.adopt.push((profile.id, other.id));
            return;
        }
        if others.any(|other| other.under_way.as_ref().is_some_and(|command| command.is_with_device)) {
            return self.hold.push((profile.id, UNDER_WAY));
        }
        self.send(host, profile, channel);
    }

    fn send(&mut self, host: &Host, profile: &Profile, channel: i64) {
        if profile.kind == Kind::Declaration {
            let joins = host.waiting_sync().cloned();
            return self.send.push(Send { profile: profile.id, channel, joins });
        }
        match &profile.under_way {
            Some(command) if command.is_with_device => self.hold.push((profile.id, UNDER_WAY)),
            command => {
                self.take_back.extend(command.clone());
                self.send.push(Send { profile: profile.id, channel, joins: None });
            }
        }
    }
}

impl Host {
    /// The command that makes the device look at its declarations, where one waits that it has not got yet.
    fn waiting_sync(&self) -> Option<&UnderWay> {
        let of_declarations = self.profiles.iter().filter(|profile| profile.kind == Kind::Declaration);
        of_declarations.filter_map(|profile| profile.under_way.as_ref()).find(|command| !command.is_with_device)
    }
}

impl Profile {
    /// Whether this one takes the place of another one on the device.
    fn replaces(&self, other: &Self) -> bool {
        let in_one_place = self.kind == other.kind && self.scope == other.scope && self.identifier == other.identifier;
        let in_turn = self.operation == Operation::Install && other.operation == Operation::Remove;
        in_one_place && in_turn && !self.identifier.is_empty() && self.id != other.id
    }

    /// The channel that it goes through, or why it goes through none now.
    fn channel(&self, host: &Host) -> Result<i64, &'static str> {
        let device = host.device.ok_or(NOT_ENROLLED)?;
        match (self.kind, self.scope) {
            (Kind::Mobileconfig, Scope::User) => host.user.ok_or(NO_USER),
            _ => Ok(device),
        }
    }
}
