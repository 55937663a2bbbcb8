//! Which of a host's Windows channels speaks: a certificate that is bound to it, or a digest of the next nonce. The name that a
//! message gives itself proves nothing.

use std::time::Duration;

use actix::prelude::*;
use entities::StoreError;
use entities::enrollment_secret::{self, DM_CREDENTIALS};
use protocol::pki::Fingerprint;
use protocol::windows::session::Proof;
use protocol::windows::syncml::Header;
use protocol::windows::syncml::credentials::{Credentials, is_proof};
use zeroize::Zeroizing;

use super::certificates::Known;
use super::{Host, Turn, at_once};
use crate::ask::Refusal;

/// How long a session goes on with the nonce that it began with: one that was broken off must not stay open to whoever saw its digest.
const LONGEST_USE: Duration = Duration::from_secs(300);

/// What a device shows.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// The certificate that signed the message or the connection.
    Certificate(Fingerprint),
    /// A digest.
    Digest(String),
}

/// A channel whose device proved itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proven {
    /// The channel's row.
    pub(super) row: i64,
    /// How.
    pub(super) proof: Proof,
    /// Whether the proof is one that was not used before.
    pub(super) is_new: bool,
}

impl Host {
    /// Finds the channel that speaks; `None` when nothing is proven.
    pub(super) fn prove(&mut self, presented: Presented, header: &Header) -> Turn<Option<Proven>> {
        if let Some(why) = self.stale() {
            return at_once(Err(why));
        }
        let device = header.source.clone();
        let rows = self.channels_of_device(&device);
        if !rows.is_empty() {
            return self.prove_one_of(rows, presented, device);
        }
        // It may have enrolled since the rows were read.
        Box::pin(self.reload().then(move |read, host, _| match read {
            Ok(()) => {
                let rows = host.channels_of_device(&device);
                host.prove_one_of(rows, presented, device)
            }
            Err(refusal) => at_once(Err(refusal)),
        }))
    }

    fn prove_one_of(&mut self, rows: Vec<i64>, presented: Presented, device: String) -> Turn<Option<Proven>> {
        let Some(newest) = rows.first().copied() else { return at_once(Ok(None)) };
        match presented {
            Presented::Certificate(fingerprint) => {
                let known = rows.iter().find(|row| self.certificates.known(fingerprint, **row) != Known::No);
                let row = known.copied().unwrap_or(newest);
                let vouched = self.vouch_for_row(fingerprint, row);
                Box::pin(vouched.map(move |vouched, _, _| match vouched {
                    Ok(()) => Ok(Some(Proven { row, proof: Proof::Certificate, is_new: false })),
                    Err(Refusal::Forbidden(_)) => Ok(None),
                    Err(refusal) => Err(refusal),
                }))
            }
            Presented::Digest(digest) => Box::pin(self.read_credentials(rows.clone()).map(move |read, host, _| {
                read?;
                for row in rows {
                    if let Some(proven) = host.check_digest(row, &device, &digest)? {
                        return Ok(Some(proven));
                    }
                }
                Ok(None)
            })),
        }
    }

    fn check_digest(&mut self, row: i64, device: &str, digest: &str) -> Result<Option<Proven>, Refusal> {
        let (now, digests) = (self.now(), self.parts.digests.clone());
        let Some(windows) = self.windows(row) else { return Ok(None) };
        let Some(credentials) = &windows.credentials else { return Ok(None) };
        // The nonce of the session under way is good for all of it, unless it lasts too long: then the device is challenged again.
        if let Some(session) = &windows.session
            && let Proof::Digest(nonce) = session.proof()
            && now.since(session.began_at()) < LONGEST_USE
            && is_proof(digest, credentials, &nonce)
        {
            return Ok(Some(Proven { row, proof: session.proof(), is_new: false }));
        }
        let nonce = digests.proven(device, digest, credentials, now)?;
        Ok(nonce.map(|nonce| Proven { row, proof: Proof::Digest(nonce), is_new: true }))
    }

    /// Reads what digests of these channels are checked against, where that is not in memory.
    fn read_credentials(&mut self, rows: Vec<i64>) -> Turn<()> {
        let mut missing = Vec::new();
        for row in rows {
            let Some(channel) = self.channel_of_row(row) else { continue };
            if channel.windows.as_ref().is_some_and(|windows| windows.credentials.is_none()) {
                missing.push((row, channel.generation.0));
            }
        }
        if missing.is_empty() {
            return at_once(Ok(()));
        }
        let reader = self.parts.reader.clone();
        let reading = async move {
            let mut found = Vec::with_capacity(missing.len());
            for (row, generation) in missing {
                found.push((row, enrollment_secret::newest(&reader, row, DM_CREDENTIALS, generation).await?));
            }
            Ok::<_, StoreError>(found)
        };
        Box::pin(reading.into_actor(self).map(|read, host, _| {
            for (row, value) in read.map_err(Refusal::soon)? {
                let credentials: Option<Credentials> =
                    value.map(Zeroizing::new).and_then(|v| v.as_slice().try_into().ok());
                if let Some(windows) = host.windows(row) {
                    windows.credentials = credentials.map(Zeroizing::new);
                }
            }
            Ok(())
        }))
    }
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificate(_) => out.write_str("a certificate"),
            Self::Digest(_) => out.write_str("a digest"),
        }
    }
}
