//! Policies of a simulated PC: which of them there are, and where their values are read.
//!
//! Those of Windows itself are always there. Those of an app are there once its ADMX file was installed
//! (`Policy/ConfigOperations/ADMXInstall`), and go with it.

use protocol::windows::xml::{Element, parse};

/// Where policies are set.
pub(super) const CONFIG: &str = "Vendor/MSFT/Policy/Config/";
/// Where values in force are read.
const RESULT: &str = "Vendor/MSFT/Policy/Result/";
/// Where ADMX files are installed.
const INSTALL: &str = "Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/";
/// The largest ADMX file, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// Where the value of a node is kept that is read here.
pub(super) fn kept_at(path: &str) -> String {
    let (user, rest) = path.strip_prefix("User/").map_or(("", path), |rest| ("User/", rest));
    rest.strip_prefix(RESULT).map_or_else(|| path.to_owned(), |policy| format!("{user}{CONFIG}{policy}"))
}

/// Whether there is a policy of this name, as far as the installed files (address and text) tell.
pub(super) fn is_there<'a>(path: &str, mut files: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let policy = path.strip_prefix("User/").unwrap_or(path).strip_prefix(CONFIG);
    let Some((area, name)) = policy.and_then(|policy| policy.split_once('/')) else { return true };
    let Some((app, _)) = area.split_once('~') else { return true };
    let of_app = |at: &str| at.strip_prefix(INSTALL).and_then(|rest| rest.split('/').next()) == Some(app);
    files.any(|(at, text)| of_app(at) && defines(text, name))
}

/// Whether a node is that of an ADMX file, and its text is one.
pub(super) fn is_sound_file(path: &str, text: &str) -> bool {
    !path.starts_with(INSTALL)
        || parse(text.as_bytes(), MAX_BYTES).is_ok_and(|file| file.root.name == "policyDefinitions")
}

/// Whether an ADMX file defines a policy.
fn defines(file: &str, name: &str) -> bool {
    let Ok(file) = parse(file.as_bytes(), MAX_BYTES) else { return false };
    let policies = file.root.children.iter().filter(|one| one.name == "policies").flat_map(|one| &one.children);
    let is_it = |one: &Element| one.name == "policy" && one.attribute("name") == Some(name);
    policies.into_iter().any(is_it)
}
