//! What teams and labels may be called.

use crate::http::error::ApiError;

/// The longest name, in characters.
const MAX_NAME: usize = 255;
/// The longest description, in characters.
pub(super) const MAX_DESCRIPTION: usize = 1000;

/// A name and a description within their limits.
pub(super) fn checked(name: &str, description: String) -> Result<(String, String), ApiError> {
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name", format!("1 to {MAX_NAME} characters, none of them a control character")));
    }
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(ApiError::invalid("description", format!("at most {MAX_DESCRIPTION} characters")));
    }
    Ok((name, description))
}
