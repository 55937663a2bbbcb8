//! Values that must never be seen in a log: push tokens, unlock tokens, bootstrap tokens, challenges.
//!
//! Never here: encryption. Whoever stores a secret encrypts it; this type only keeps it out of `Debug` output.

use std::fmt;

/// A value whose `Debug` output is the word `Secret` alone; [`expose`](Self::expose) is the only way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Takes `value` into hiding.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The hidden value.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The hidden value, no longer hidden.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.expose(), "hunter2");
    }
}
