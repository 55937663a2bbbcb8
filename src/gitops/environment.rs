//! Environment variables in files: `$NAME` and `${NAME}` stand for a value, `\$` for a dollar sign. Variables of profiles
//! (`$FLEET_VAR_…`, `$FLEET_SECRET_…`) stay: the server puts them in.

use std::ops::Range;

use protocol::variables::{Escape, RenderError, put_in};

/// Looks a variable up.
pub(super) type LookUp<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvironmentError {
    /// Nobody has set it.
    #[error("the environment variable {0} is not set (a dollar sign that is none is written \\$)")]
    NotSet(String),
    /// Too much.
    #[error(transparent)]
    Text(#[from] RenderError),
}

/// The text with the values of environment variables, but for those whose names begin with one of `kept`.
///
/// # Errors
/// See [`EnvironmentError`].
pub(super) fn expand(
    text: &str,
    look_up: LookUp<'_>,
    kept: &[&str],
    escape: Escape,
) -> Result<String, EnvironmentError> {
    let value = |(range, name): (Range<usize>, &str)| match name {
        "" => Ok((range, "$".to_owned())),
        name => Ok((range, look_up(name).ok_or_else(|| EnvironmentError::NotSet(name.to_owned()))?)),
    };
    let is_kept = |name: &str| kept.iter().any(|kept| name.starts_with(kept));
    let found = found(text).into_iter().filter(|(_, name)| !is_kept(name));
    put_in(text, found.map(value), escape)
}

/// Where variables stand, and their names; an escaped dollar sign is one without a name.
fn found(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('$').map(|at| from + at) {
        from = at + 1;
        if at > 0 && text.as_bytes()[at - 1] == b'\\' {
            found.push((at - 1..at + 1, ""));
        } else if let Some((name, end)) = name_at(text, at + 1) {
            found.push((at..end, name));
            from = end;
        }
    }
    found
}

fn name_at(text: &str, start: usize) -> Option<(&str, usize)> {
    let braced = text[start..].starts_with('{');
    let start = start + usize::from(braced);
    let rest = &text[start..];
    let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
    let name = Some(&rest[..length]).filter(|name| name.starts_with(|first: char| !first.is_ascii_digit()))?;
    let end = start + length;
    match braced {
        true => text[end..].starts_with('}').then_some((name, end + 1)),
        false => Some((name, end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, escape: Escape) -> Result<String, EnvironmentError> {
        let look_up = |name: &str| match name {
            "ONE" => Some("1".to_owned()),
            "MARK" => Some("<&\"".to_owned()),
            _ => None,
        };
        expand(text, &look_up, &["FLEET_SECRET_", "FLEET_VAR_"], escape)
    }

    #[test]
    fn values_stand_in_place_of_names() {
        for (text, made) in [
            ("a $ONE ${ONE}b $ONE", "a 1 1b 1"),
            ("\\$ONE costs \\${ONE}", "$ONE costs ${ONE}"),
            ("$1 $ $$ ${ ${} ${ONE 100$", "$1 $ $$ ${ ${} ${ONE 100$"),
            ("$FLEET_SECRET_X ${FLEET_VAR_HOST_UUID}", "$FLEET_SECRET_X ${FLEET_VAR_HOST_UUID}"),
        ] {
            assert_eq!(expanded(text, Escape::None).unwrap(), made);
        }
    }

    #[test]
    fn values_stay_what_they_are() {
        assert_eq!(expanded("<a>$MARK</a>", Escape::Xml).unwrap(), "<a>&lt;&amp;&quot;</a>");
        assert_eq!(expanded("{\"a\":\"$MARK\"}", Escape::Json).unwrap(), "{\"a\":\"<&\\\"\"}");
    }

    #[test]
    fn what_is_not_set_is_named() {
        let error = expanded("$TWO", Escape::None).unwrap_err();
        assert_eq!(error, EnvironmentError::NotSet("TWO".into()));
        assert!(error.to_string().contains("TWO"));
    }
}
