//! A length of time in a settings file: `250ms`, `90s`, `15m`, `12h`, `365d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// The units, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1000)];

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time: write 250ms, 90s, 15m, 12h or 365d");
        let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        number.checked_mul(millis).map(|millis| Self(Duration::from_millis(millis))).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, unit): &(&str, u64)| millis % unit == 0 && (millis > 0 || *unit == 1000);
        let by_size = |(_, unit): &(&str, u64)| *unit;
        let (name, unit) = UNITS.into_iter().filter(fits).max_by_key(by_size).unwrap_or(("ms", 1));
        write!(out, "{}{name}", millis / unit)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written_alike() {
        for text in ["250ms", "90s", "15m", "12h", "365d", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("3600s".parse::<Span>().unwrap().to_string(), "1h");
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        for text in ["", "5", "s", "5 s", "-5s", "5w", "99999999999999999999d", "999999999999999d"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("90s"), "{error}");
        }
    }
}
