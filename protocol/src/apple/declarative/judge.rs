//! What follows from a device's states for one declaration: verified, failed, or not known yet.
//!
//! Only the version with the current server token counts; what a device says of an older one is history.

use super::DeclarationItem;
use super::host_set::HostSet;
use super::states::{DeclarationState, DeclarationStates, Reason, Validity};
use crate::apple::check_in::DeclarationKind;

/// The longest detail, in characters.
pub const MAX_DETAIL_CHARS: usize = 1000;

/// What is known of one declaration. Texts are for admins, at most [`MAX_DETAIL_CHARS`] characters, and may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The device has it, and it does what it is meant to do.
    Verified(String),
    /// The device cannot use it, with the reasons.
    Failed(String),
    /// The device has not come so far.
    Verifying(String),
}

/// What the states say of this declaration of the set.
///
/// A configuration is verified when it is in effect, or when all that keeps it from that is the predicate of its
/// activations: then the device does what was asked for. The others are verified when the device accepts them, because
/// management declarations never are active, assets only while they are used, activations only while they apply.
pub fn judge(states: &DeclarationStates, set: &HostSet, kind: DeclarationKind, item: &DeclarationItem) -> Verdict {
    let Some(state) = states.get(kind, item) else { return Verdict::Verifying(String::new()) };
    let detail = detail(&state.reasons);
    match state.validity {
        Validity::Invalid => Verdict::Failed(if detail.is_empty() { NO_REASON.to_owned() } else { detail }),
        Validity::Valid if kind != DeclarationKind::Configuration => Verdict::Verified(detail),
        Validity::Valid if state.active => Verdict::Verified(detail),
        Validity::Unknown if kind == DeclarationKind::Asset && is_unused(state) => Verdict::Verified(detail),
        Validity::Unknown => Verdict::Verifying(detail),
        Validity::Valid => idle(states, set, &item.identifier, detail),
    }
}

const NO_REASON: &str = "The device calls the declaration invalid and gives no reason.";

/// Why a valid configuration is not in effect: its activations know.
fn idle(states: &DeclarationStates, set: &HostSet, configuration: &str, detail: String) -> Verdict {
    let activations = set.activations_of(configuration);
    let known = activations.iter().map(|item| states.get(DeclarationKind::Activation, item));
    let Some(known) = known.collect::<Option<Vec<&DeclarationState>>>() else { return Verdict::Verifying(detail) };
    let invalid = known.iter().filter(|state| state.validity == Validity::Invalid);
    let reasons: Vec<Reason> = invalid.flat_map(|state| state.reasons.iter().cloned()).collect();
    if !reasons.is_empty() {
        return Verdict::Failed(self::detail(&reasons));
    }
    let waits = |state: &&DeclarationState| state.reasons.iter().any(|reason| reason.code == "Info.Predicate");
    if known.is_empty() || !known.iter().all(waits) {
        return Verdict::Verifying(detail);
    }
    let reasons: Vec<Reason> = known.iter().flat_map(|state| state.reasons.iter().cloned()).collect();
    Verdict::Verified(self::detail(&reasons))
}

fn is_unused(state: &DeclarationState) -> bool {
    !state.reasons.is_empty() && state.reasons.iter().all(|reason| reason.code.starts_with("Info."))
}

/// The reasons as one text: code, description, and what the device adds.
fn detail(reasons: &[Reason]) -> String {
    let line = |reason: &Reason| {
        let description = reason.description.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        let details = if reason.details.is_null() { String::new() } else { format!(" {}", reason.details) };
        format!("{}{description}{details}", reason.code)
    };
    let text = reasons.iter().map(line).collect::<Vec<_>>().join("\n");
    text.chars().take(MAX_DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests;
