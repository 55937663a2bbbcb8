//! Devices that prove themselves by a digest: which nonce is the next one for each, and which hosts are known under the name that a
//! device gives itself.
//!
//! A nonce is computed, not stored: a keyed hash of the device's name, a period of five minutes, and the number of nonces that
//! were used up in it. So a message without credentials costs no query and no memory, whoever sends it, and cannot take a nonce away from the
//! device that just got it. A nonce is used up by the session that it begins. The key lives as long as the process: after a
//! restart devices are challenged once more.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use entities::{Reader, windows_host};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use protocol::ids::HostId;
use protocol::time::Timestamp;
use protocol::windows::syncml::credentials::{Credentials, NONCE_BYTES, is_proof};

use crate::ask::{Answer, Refusal};
use crate::generations::Generations;

/// How long a nonce can be used, at the least; twice that at the most.
const PERIOD: Duration = Duration::from_secs(300);
/// Names that are remembered; about 150 bytes each.
const KEPT: usize = 262_144;

/// A nonce.
pub type Nonce = [u8; NONCE_BYTES];

/// The memory of names and nonces. Clones share it.
#[derive(Clone, Debug)]
pub struct Digests {
    reader: Reader,
    nonces: Arc<Nonces>,
}

/// The part that needs no rows.
#[derive(Default)]
struct Nonces {
    key: OnceLock<PKey<Private>>,
    memory: Mutex<Generations<Box<str>, Known, KEPT>>,
}

/// What is remembered of a name.
#[derive(Clone, Debug, Default)]
struct Known {
    hosts: Arc<[HostId]>,
    period: i64,
    used: u32,
}

impl Digests {
    /// An empty memory.
    pub fn new(reader: Reader) -> Self {
        Self { reader, nonces: Arc::default() }
    }

    /// The nonce with which a device may begin its next session.
    ///
    /// # Errors
    /// OpenSSL does not work.
    pub fn nonce(&self, device: &str, now: Timestamp) -> Answer<Nonce> {
        self.nonces.nonce(device, now)
    }

    /// The nonce that a digest proves the knowledge of, if it is one that has not been used up; it is from now on.
    ///
    /// # Errors
    /// OpenSSL does not work.
    pub fn proven(
        &self,
        device: &str,
        presented: &str,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Answer<Option<Nonce>> {
        self.nonces.proven(device, presented, credentials, now)
    }

    /// The hosts that are known under a name that a device gives itself; several where several claim it. What was read before is
    /// believed unless `anew`.
    ///
    /// # Errors
    /// The database is away.
    pub async fn hosts(&self, device: &str, anew: bool) -> Answer<Arc<[HostId]>> {
        let known = self.nonces.recall(device).map(|known| known.hosts).unwrap_or_default();
        if !anew && !known.is_empty() {
            return Ok(known);
        }
        let rows = windows_host::of_device(&self.reader, device.to_owned()).await?;
        let hosts: Arc<[HostId]> = rows.into_iter().map(HostId).collect();
        if !hosts.is_empty() && hosts != known {
            self.nonces.change(device, |known| known.hosts = hosts.clone());
        }
        Ok(hosts)
    }
}

impl Nonces {
    fn nonce(&self, device: &str, now: Timestamp) -> Answer<Nonce> {
        let known = self.recall(device).unwrap_or_default();
        let period = known.present(now);
        self.compute(device, period, if known.period == period { known.used } else { 0 })
    }

    fn proven(
        &self,
        device: &str,
        presented: &str,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Answer<Option<Nonce>> {
        let known = self.recall(device).unwrap_or_default();
        let present = known.present(now);
        for period in [present, present - 1] {
            let used = match known.period.cmp(&period) {
                std::cmp::Ordering::Greater => continue, // a session has begun since with a newer one
                std::cmp::Ordering::Equal => known.used,
                std::cmp::Ordering::Less => 0,
            };
            let nonce = self.compute(device, period, used)?;
            if is_proof(presented, credentials, &nonce) {
                self.change(device, |known| (known.period, known.used) = (period, used.saturating_add(1)));
                return Ok(Some(nonce));
            }
        }
        Ok(None)
    }

    fn compute(&self, device: &str, period: i64, used: u32) -> Answer<Nonce> {
        let mut signer = Signer::new(MessageDigest::sha256(), self.key()?).map_err(Refusal::soon)?;
        let mut hash = [0; 32];
        let text = format!("{period}:{used}:{device}");
        signer.sign_oneshot(&mut hash, text.as_bytes()).map_err(Refusal::soon)?;
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hash[..NONCE_BYTES]);
        Ok(nonce)
    }

    fn key(&self) -> Answer<&PKey<Private>> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let mut bytes = [0; 32];
        openssl::rand::rand_bytes(&mut bytes).map_err(Refusal::soon)?;
        let key = PKey::hmac(&bytes).map_err(Refusal::soon)?;
        Ok(self.key.get_or_init(|| key))
    }

    fn recall(&self, device: &str) -> Option<Known> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).recall(device)
    }

    fn change(&self, device: &str, change: impl FnOnce(&mut Known)) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = memory.recall(device).unwrap_or_default();
        change(&mut known);
        memory.insert(device.into(), known);
    }
}

impl Known {
    /// The period that it is; never one before that of the last session, though the clock be set back.
    fn present(&self, now: Timestamp) -> i64 {
        let period = now.millis() / i64::try_from(PERIOD.as_millis()).unwrap_or(i64::MAX);
        period.max(self.period)
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Nonces")
    }
}

#[cfg(test)]
mod tests;
