//! The same of Windows: PCs say what became of each other's commands, come with each other's certificates, and enroll anew.
//!
//! Seen to fail when a certificate's host was the one that the message names (src/http/device/windows.rs) and a certificate that is not
//! bound was good enough (actors/src/host/prove.rs): "a stolen certificate was answered Ok(())".

use std::collections::BTreeMap;

use protocol::pki::Signer;
use rookery::sim::random::Chance;
use rookery::sim::windows::device::{Pc, PcError, Proof as Way, Token};
use rookery::sim::windows::syncml::Said;

use super::Scene as Whole;
use crate::harness::pcs::{pc_patiently, target};
use crate::harness::{Proof, Site};

/// Commands for each PC in one round.
const COMMANDS: usize = 3;

/// PCs that are driven by hand, and everything that was queued for each of them.
pub(super) struct Scene {
    pcs: Vec<Pc>,
    /// By name: the channel that it was for, and how it has to end.
    meant: BTreeMap<String, (String, &'static str)>,
    pub(super) strange_reports: usize,
}

impl Scene {
    pub(super) async fn open(site: &mut Site, proof: &mut Proof) -> Self {
        let mut pcs = Vec::new();
        for number in 0..proof.size.pick(6, 60) {
            pcs.push(site.pc(1 + number, [Way::Digest, Way::Certificate, Way::Signature][number as usize % 3]).await);
        }
        proof.figure("PCs", pcs.len());
        Self { pcs, meant: BTreeMap::new(), strange_reports: 0 }
    }

    async fn queue(&mut self, whole: &Whole<'_>, number: usize, ends: &'static str) -> Vec<String> {
        let pc = [target(&self.pcs[number])];
        let mut queued = Vec::new();
        for _ in 0..COMMANDS {
            let uuid = whole.site.admin.run_on_pcs(&pc).await.uuid;
            self.meant.insert(uuid.clone(), (pc[0].channel.clone(), ends));
            queued.push(uuid);
        }
        queued
    }

    async fn queue_for_all(&mut self, whole: &Whole<'_>) -> Vec<Vec<String>> {
        let mut queued = Vec::new();
        for number in 0..self.pcs.len() {
            queued.push(self.queue(whole, number, "Acknowledged").await);
        }
        queued
    }

    /// Each says of others' commands that they are done, or that they failed, before it does its own.
    pub(super) async fn everybody_works_and_tells_stories(&mut self, whole: &mut Whole<'_>, round: u64) {
        let queued = self.queue_for_all(whole).await;
        for (number, pc) in self.pcs.iter_mut().enumerate() {
            let mut chance = Chance::new(whole.proof.seed, round << 32 | number as u64 | 1 << 63);
            let others = queued.iter().enumerate().filter(|(other, _)| *other != number);
            for uuid in others.flat_map(|(_, uuids)| uuids) {
                let (code, verb) = (*chance.pick(&[200, 404, 418, 500]), *chance.pick(&["Get", "Atomic"]));
                pc.has_news(Said::status("1", uuid, verb, code));
                self.strange_reports += 1;
            }
            pc_patiently(async || pc.work().await).await;
        }
        self.rows_are_right(whole, "PCs told stories").await;
    }

    /// Each comes with the next one's certificate, and speaks in its own name.
    pub(super) async fn certificates_are_swapped(&mut self, whole: &mut Whole<'_>) {
        let queued = self.queue_for_all(whole).await;
        let own: Vec<Signer> = self.pcs.iter().map(|pc| pc.enrollment().unwrap().identity.clone()).collect();
        for ((pc, stolen), uuids) in self.pcs.iter_mut().zip(own.iter().cycle().skip(1)).zip(&queued) {
            let way = std::mem::replace(&mut pc.options.proof, Way::Nothing);
            pc.wire_mut().set_identity(Some(stolen.clone()));
            pc.has_news(Said::status("1", &uuids[0], "Get", 500));
            let answer = pc.work().await;
            let refused = matches!(answer, Err(PcError::Refused { status: 407 }));
            whole.proof.demand(refused, format!("a stolen certificate was answered {answer:?}"));
            self.strange_reports += 1;
            pc.options.proof = way;
            pc.forgets_its_news();
            pc.wear();
            pc_patiently(async || pc.work().await).await;
        }
        self.rows_are_right(whole, "certificates of PCs were swapped").await;
    }

    /// One has commands on their way and waiting, enrolls anew as the host that it is, and reports the old ones.
    pub(super) async fn somebody_enrolls_anew(&mut self, whole: &mut Whole<'_>) {
        let number = whole.proof.chance(self.strange_reports as u64).below(self.pcs.len() as u64) as usize;
        let old = self.queue(whole, number, "Superseded").await;
        let name = self.pcs[number].model.device_id.clone();
        let token = Token::User(whole.site.windows_token(Some(&name)).await);
        let url = whole.site.discovery_url();
        let pc = &mut self.pcs[number];
        pc.begin().unwrap();
        let _ = pc.turn_and_lose().await;
        pc_patiently(async || pc.enroll(&url, &token).await).await;
        for uuid in &old {
            pc.has_news(Said::status("1", uuid, "Get", 200));
            self.strange_reports += 1;
        }
        pc_patiently(async || pc.work().await).await;
        let channel = target(pc).channel;
        let seen =
            old.iter().filter(|uuid| pc.log().command(&channel, uuid.as_str()).is_some_and(|it| it.handed_out > 0));
        whole.proof.demand(seen.count() == 0, "an old enrollment's command came");
        self.queue(whole, number, "Acknowledged").await;
        let pc = &mut self.pcs[number];
        pc_patiently(async || pc.work().await).await;
        self.rows_are_right(whole, "a PC enrolled anew").await;
    }

    /// Every command has one row, for the channel that it was for, that says how it ended; and nobody else has seen it.
    async fn rows_are_right(&self, whole: &mut Whole<'_>, after: &str) {
        let rows: Vec<_> =
            whole.site.admin.rows().await.into_iter().filter(|row| self.meant.contains_key(&row.uuid)).collect();
        let (found, meant) = (rows.len(), self.meant.len());
        whole.proof.demand(found == meant, format!("after {after}: {found} rows of {meant}"));
        for row in rows {
            let (channel, ends) = &self.meant[&row.uuid];
            let right = row.status == *ends && row.channel == *channel;
            whole.proof.demand(right, format!("after {after}: {row:?} should be {ends}"));
        }
        for pc in &self.pcs {
            for (channel, commands) in pc.log().truth().channels {
                for (uuid, done) in commands {
                    let own = self.meant.get(&uuid).is_none_or(|(owner, _)| *owner == channel);
                    let strange = !own && done.handed_out > 0;
                    whole.proof.demand(!strange, format!("after {after}: {uuid} reached the PC {channel}"));
                }
            }
        }
    }
}
