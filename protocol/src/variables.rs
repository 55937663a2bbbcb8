//! Variables in what admins upload: `$FLEET_VAR_HOST_UUID`, `${FLEET_SECRET_WIFI}`, and the same with `ROOKERY_` for `FLEET_`.
//!
//! A name is read to its end before it is compared, so that `$FLEET_SECRET_AB` never is the secret `A` with a `B` behind it.
//! Values are put in by one pass over the text: what stands in a value is never looked at again. How a value is written
//! depends on where it is put ([`Escape`]), so that no value ends the text that it stands in.
//!
//! Never here: where values come from, and any value in an error, in `Debug` or in a log.
//!
//! Start with [`find`] (upload) and [`render`] (delivery).

use std::fmt;
use std::ops::Range;

mod escape;
mod host;

pub use escape::Escape;
pub use host::HostVariable;

/// The longest name after `FLEET_VAR_` or `FLEET_SECRET_`, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// How many variables a text may name, each as often as it stands there.
pub const MAX_FOUND: usize = 1_000;

/// The largest text that [`render`] makes, in bytes: four times what can be uploaded.
pub const MAX_RENDERED_BYTES: usize = 4 << 20;

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// Something that the server knows of the host.
    Host(HostVariable),
    /// A secret that admins keep with the server, by its name without `FLEET_SECRET_`.
    Secret(String),
}

/// A variable, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub variable: Variable,
    /// From its `$` to its end, in bytes of the text.
    pub range: Range<usize>,
}

/// Why a text's variables are refused. The texts hold names that the admin wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// No variable has this name.
    #[error("${0} is not a variable that this server knows")]
    Unknown(String),
    /// It stands for something of a certificate authority that the server would have to ask.
    #[error("${0} needs a certificate authority, and this server has none to ask yet")]
    NeedsAuthority(String),
    /// A secret's name has other letters than `A-Z`, `0-9` and `_`, or is too long.
    #[error("${0}: the name of a secret is at most {MAX_NAME_BYTES} letters A-Z, digits and underscores")]
    SecretName(String),
    /// More than [`MAX_FOUND`] of them.
    #[error("there are more than {MAX_FOUND} variables")]
    TooMany,
}

/// Why a text could not be rendered for a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no value.
    #[error("there is no value for ${0}")]
    Missing(Variable),
    /// The text is not one that [`find`] takes.
    #[error(transparent)]
    Name(#[from] VariableError),
    /// It would be longer than [`MAX_RENDERED_BYTES`].
    #[error("with its values the text is longer than {MAX_RENDERED_BYTES} bytes")]
    TooLarge,
}

/// All variables of a text, in their order, each as often as it stands there.
///
/// # Errors
/// See [`VariableError`].
pub fn find(text: &str) -> Result<Vec<Found>, VariableError> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('$').map(|at| from + at) {
        from = at + 1;
        let Some((name, end)) = name_at(text, from) else { continue };
        if found.len() == MAX_FOUND {
            return Err(VariableError::TooMany);
        }
        found.push(Found { variable: Variable::parse(name)?, range: at..end });
        from = end;
    }
    Ok(found)
}

/// The text with the value of each variable in its place.
///
/// # Errors
/// See [`RenderError`].
pub fn render(text: &str, values: &dyn Fn(&Variable) -> Option<String>, escape: Escape) -> Result<String, RenderError> {
    let value = |Found { variable, range }| match values(&variable) {
        Some(value) => Ok((range, value)),
        None => Err(RenderError::Missing(variable)),
    };
    put_in(text, find(text)?.into_iter().map(value), escape)
}

/// The text with values in place of what stands in these ranges, which are in order.
///
/// # Errors
/// That of a value, or [`RenderError::TooLarge`].
pub fn put_in<E: From<RenderError>>(
    text: &str,
    values: impl Iterator<Item = Result<(Range<usize>, String), E>>,
    escape: Escape,
) -> Result<String, E> {
    let mut places = escape::Places::new(text, escape);
    let mut rendered = String::with_capacity(text.len());
    let mut copied = 0;
    for value in values {
        let (range, value) = value?;
        rendered.push_str(&text[copied..range.start]);
        places.write(range.start, &value, &mut rendered);
        copied = range.end;
        if rendered.len() > MAX_RENDERED_BYTES {
            return Err(RenderError::TooLarge.into());
        }
    }
    rendered.push_str(&text[copied..]);
    if rendered.len() > MAX_RENDERED_BYTES { Err(RenderError::TooLarge.into()) } else { Ok(rendered) }
}

/// The name that begins here, with what follows the `$` before it, and where it ends (behind the brace, if it has any).
fn name_at(text: &str, start: usize) -> Option<(&str, usize)> {
    let braced = text[start..].starts_with('{');
    let start = start + usize::from(braced);
    let rest = &text[start..];
    let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
    let (name, end) = (&rest[..length], start + length);
    split(name).filter(|(_, _, own)| !own.is_empty())?;
    match braced {
        true => text[end..].starts_with('}').then_some((name, end + 1)),
        false => Some((name, end)),
    }
}

/// A name in its three parts: whose, whether a secret, and what.
fn split(name: &str) -> Option<(&str, bool, &str)> {
    let (house, rest) = name.split_once('_').filter(|(house, _)| ["FLEET", "ROOKERY"].contains(house))?;
    let secret = rest.strip_prefix("SECRET_").map(|own| (house, true, own));
    secret.or_else(|| rest.strip_prefix("VAR_").map(|own| (house, false, own)))
}

impl Variable {
    /// The variable of a name as it stands behind the `$`, for example `FLEET_VAR_HOST_UUID`.
    ///
    /// # Errors
    /// See [`VariableError`].
    pub fn parse(name: &str) -> Result<Self, VariableError> {
        match split(name) {
            Some((_, true, own)) => {
                if is_secret_name(own) {
                    Ok(Self::Secret(own.to_owned()))
                } else {
                    Err(VariableError::SecretName(cut(name)))
                }
            }
            Some((_, false, own)) => match HostVariable::of(own) {
                Some(variable) => Ok(Self::Host(variable)),
                None if host::needs_authority(own) => Err(VariableError::NeedsAuthority(cut(name))),
                None => Err(VariableError::Unknown(cut(name))),
            },
            None => Err(VariableError::Unknown(cut(name))),
        }
    }
}

/// The name as rows keep it: always with `FLEET_`, never with the `$`.
impl fmt::Display for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(variable) => write!(formatter, "FLEET_VAR_{}", variable.as_str()),
            Self::Secret(name) => write!(formatter, "FLEET_SECRET_{name}"),
        }
    }
}

/// Whether a secret may be named so, without its prefix.
pub fn is_secret_name(name: &str) -> bool {
    let fits = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == b'_';
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fits)
}

/// A name for an error's text, no longer than names may be.
fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME_BYTES).collect()
}

#[cfg(test)]
mod tests;
