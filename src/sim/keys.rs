//! Private keys for devices. A real device makes its own in about a tenth of a second; ten thousand simulated ones on
//! two cores would take a quarter of an hour, so they may take theirs from a pool.
//!
//! Keys of a pool are all different, because a SCEP transaction is named after its key, but they share primes: whoever
//! has two of them can compute both. They are good for nothing but simulation.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use openssl::bn::{BigNum, BigNumContext};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::rsa::RsaPrivateKeyBuilder;
use protocol::pki::NewKey;

/// Where a device gets its RSA-2048 keys from.
#[derive(Clone, Debug, Default)]
pub enum Keys {
    /// Each one is made anew, on a thread that may block.
    #[default]
    Fresh,
    /// From a pool.
    Pool(Arc<KeyPool>),
}

/// Pairs of primes, each pair handed out once.
#[derive(Debug)]
pub struct KeyPool {
    primes: Vec<OnceLock<BigNum>>,
    given: AtomicUsize,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// OpenSSL failed, for example without random numbers.
    #[error("no key could be made: {0}")]
    OpenSsl(#[from] ErrorStack),
    /// Every key of the pool is in use.
    #[error("the pool has no key left")]
    Empty,
    /// The runtime ends.
    #[error("the runtime ended while a key was made")]
    Stopped,
}

impl KeyPool {
    /// A pool for `count` keys; it makes the primes as they are needed, about one and a half times the square root of
    /// `count` of them.
    pub fn new(count: usize) -> Self {
        let primes = (2..).find(|primes| primes * (primes - 1) / 2 >= count).unwrap_or(2);
        Self { primes: (0..primes).map(|_| OnceLock::new()).collect(), given: AtomicUsize::new(0) }
    }

    /// A key that this pool has not given before.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn take(&self) -> Result<PKey<Private>, KeysError> {
        let number = self.given.fetch_add(1, Relaxed);
        let (larger, smaller) = pair(number);
        if larger >= self.primes.len() {
            return Err(KeysError::Empty);
        }
        Ok(key(self.prime(larger)?, self.prime(smaller)?)?)
    }

    fn prime(&self, index: usize) -> Result<&BigNum, ErrorStack> {
        let slot = &self.primes[index];
        if slot.get().is_none() {
            // Whoever is second has worked in vain, which is rare and harmless.
            drop(slot.set(new_prime()?));
        }
        Ok(slot.get().expect("it was set above"))
    }
}

impl Keys {
    /// A new key.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn take(&self) -> Result<PKey<Private>, KeysError> {
        let keys = self.clone();
        let making = tokio::task::spawn_blocking(move || match keys {
            Self::Fresh => Ok(NewKey::Rsa2048.generate()?),
            Self::Pool(pool) => pool.take(),
        });
        making.await.unwrap_or(Err(KeysError::Stopped))
    }
}

/// The pair with this number, the larger one first: (1, 0), (2, 0), (2, 1), (3, 0) …
fn pair(number: usize) -> (usize, usize) {
    let larger = ((1.0 + (1.0 + 8.0 * number as f64).sqrt()) / 2.0) as usize;
    (larger, number - larger * (larger - 1) / 2)
}

/// A prime of 1024 bits, the two highest of them set, for the exponent 65537.
fn new_prime() -> Result<BigNum, ErrorStack> {
    let exponent = BigNum::from_u32(65_537)?;
    let mut context = BigNumContext::new()?;
    loop {
        let mut prime = BigNum::new()?;
        prime.generate_prime(1024, false, None, None)?;
        let mut rest = BigNum::new()?;
        rest.nnmod(&prime, &exponent, &mut context)?;
        if rest != BigNum::from_u32(1)? {
            return Ok(prime);
        }
    }
}

/// The RSA key of two primes (RFC 8017 section 3.2).
fn key(p: &BigNum, q: &BigNum) -> Result<PKey<Private>, ErrorStack> {
    let mut context = BigNumContext::new()?;
    let one = BigNum::from_u32(1)?;
    let number = BigNum::new;
    let (mut modulus, mut p_less, mut q_less, mut totient) = (number()?, number()?, number()?, number()?);
    modulus.checked_mul(p, q, &mut context)?;
    p_less.checked_sub(p, &one)?;
    q_less.checked_sub(q, &one)?;
    totient.checked_mul(&p_less, &q_less, &mut context)?;
    let exponent = BigNum::from_u32(65_537)?;
    let (mut private, mut of_p, mut of_q, mut inverse) = (number()?, number()?, number()?, number()?);
    private.mod_inverse(&exponent, &totient, &mut context)?;
    of_p.nnmod(&private, &p_less, &mut context)?;
    of_q.nnmod(&private, &q_less, &mut context)?;
    inverse.mod_inverse(q, p, &mut context)?;
    let key = RsaPrivateKeyBuilder::new(modulus, exponent, private)?
        .set_factors(BigNum::from_slice(&p.to_vec())?, BigNum::from_slice(&q.to_vec())?)?
        .set_crt_params(of_p, of_q, inverse)?
        .build();
    PKey::from_rsa(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_pool_gives_sound_keys_of_full_length_that_are_all_different() {
        let pool = KeyPool::new(3);
        let mut moduli = HashSet::new();
        for _ in 0..3 {
            let key = pool.take().unwrap();
            let rsa = key.rsa().unwrap();
            assert!(rsa.check_key().unwrap());
            assert_eq!(rsa.n().num_bits(), 2048);
            moduli.insert(rsa.n().to_vec());
        }
        assert_eq!(moduli.len(), 3);
        assert!(matches!(pool.take(), Err(KeysError::Empty)));
    }

    #[test]
    fn every_pair_of_primes_has_one_number() {
        let pairs: HashSet<_> = (0..4950).map(pair).collect();
        assert_eq!(pairs.len(), 4950);
        assert!(pairs.iter().all(|(larger, smaller)| smaller < larger && *larger < 100));
        assert_eq!(KeyPool::new(4950).primes.len(), 100);
    }

    #[tokio::test]
    async fn a_fresh_key_has_2048_bits() {
        assert_eq!(Keys::Fresh.take().await.unwrap().rsa().unwrap().n().num_bits(), 2048);
    }
}
