//! Fleets of Windows PCs.

use std::time::Duration;

use super::{Fleet, FleetError, Member, Persona, world};
use crate::sim::behaviour::Behaviour;
use crate::sim::random::Chance;
use crate::sim::windows::device::{Pc, PcOptions, Proof, Token};
use crate::sim::windows::host::SimPc;
use crate::sim::windows::model::Model;
use crate::sim::windows::quirks::Quirks;
use crate::sim::wire::Trust;

/// What a fleet of PCs is made of. Each has quirks of its own, and a way of its own to show who it is.
#[derive(Clone, Debug)]
pub struct PcFleetConfig {
    /// The number of the first PC; fleets of one server need different numbers.
    pub first: u32,
    /// What lets each of them enroll: one token for one PC.
    pub tokens: Vec<String>,
    /// Where they look for a server.
    pub discovery_url: String,
    /// Root certificates (DER) that they trust.
    pub anchors: Vec<Vec<u8>>,
    /// How they live.
    pub behaviour: Behaviour,
    /// The ways to show who they are, in turn; must not be empty.
    pub proofs: Vec<Proof>,
    /// Everything else about them.
    pub options: PcOptions,
    /// How long a minute of a poll schedule takes.
    pub minute: Duration,
    /// What decides everything that is left to chance.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// How many enroll at once.
    pub ramp: usize,
}

impl Fleet {
    /// Starts PCs, one for each token; they begin to enroll at once.
    ///
    /// # Errors
    /// See [`FleetError`].
    pub fn of_pcs(config: PcFleetConfig) -> Result<Self, FleetError> {
        let trust = Trust::new(&config.anchors)?;
        let world = world(&config.discovery_url, config.ramp, config.minute, None);
        let (mut members, mut hosts) = (Vec::new(), Vec::new());
        for (index, token) in config.tokens.iter().enumerate() {
            let number = u32::try_from(index).map_or(config.first, |index| config.first.wrapping_add(index));
            let proof = *config.proofs.get(index % config.proofs.len().max(1)).ok_or(FleetError::NoKinds)?;
            let mut chance = Chance::new(config.seed, u64::from(number) << 8 | 0x57);
            let quirks = Quirks::some(&mut chance);
            let errs = config.behaviour.errs;
            let options = PcOptions { quirks, proof, errs, ..config.options.clone() };
            let model = Model::new(config.seed, number);
            let (serial_number, uuid) = (model.serial_number.clone(), model.device_id.clone());
            let pc = Pc::new(model, trust.clone(), options, chance.number());
            let (persona, channels, log) = (Persona::Windows, Vec::new(), pc.log().clone());
            members.push(Member { persona, serial_number, uuid, channels, log });
            let token = Token::User(token.clone());
            hosts.push(SimPc::new(pc, token, config.behaviour.clone(), world.clone(), chance.number()));
        }
        Self::run(members, hosts, world, config.threads)
    }
}

#[cfg(test)]
mod tests;
