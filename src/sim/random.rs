//! Chance from a seed: the same seed makes the same devices that behave the same way.
//!
//! Never for secrets: the sequence is known to everyone who knows the seed (Steele, Lea, Flood, "Fast splittable
//! pseudorandom number generators", 2014).

use std::time::Duration;

/// A sequence of numbers that depends on its seed alone.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of `seed`, for the purpose `stream`: sequences of different purposes have nothing in common.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95));
        Self(mixed.number())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: without the bias that a remainder has for small bounds.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// One of `items`.
    ///
    /// # Panics
    /// `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// True with this probability: 0 is never, 1 is always.
    pub fn happens(&mut self, probability: f64) -> bool {
        // 53 bits are what a double holds.
        ((self.number() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// A time between half and one and a half times `about`, so that devices do not march in step.
    pub fn around(&mut self, about: Duration) -> Duration {
        about / 2 + Duration::from_micros(self.below(u64::try_from(about.as_micros()).unwrap_or(u64::MAX)))
    }

    /// `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number() as u8)
    }

    /// A UUID of version 4 in upper case, as Apple writes it.
    pub fn uuid(&mut self) -> String {
        let uuid = uuid::Builder::from_random_bytes(self.bytes()).into_uuid();
        uuid.hyphenated().encode_upper(&mut uuid::Uuid::encode_buffer()).to_owned()
    }

    /// `length` characters of `alphabet` (ASCII).
    pub fn text(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).map(|_| char::from(*self.pick(alphabet.as_bytes()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_stream_another_one() {
        let numbers = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            (0..8).map(|_| chance.number()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_probabilities_are_kept() {
        let mut chance = Chance::new(1, 1);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[chance.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert!((0..1000).all(|_| !chance.happens(0.0) && chance.happens(1.0)));
        let half = (0..10_000).filter(|_| chance.happens(0.5)).count();
        assert!((4_500..5_500).contains(&half), "{half}");
        assert_eq!(chance.below(0), 0);
    }

    #[test]
    fn a_time_around_another_is_never_further_off_than_half_of_it() {
        let mut chance = Chance::new(3, 3);
        let about = Duration::from_secs(10);
        assert!((0..1000).map(|_| chance.around(about)).all(|time| time >= about / 2 && time <= about * 3 / 2));
        assert_eq!(chance.around(Duration::ZERO), Duration::ZERO);
    }
}
