//! Addresses of nodes (`LocURI`), which may be written in many ways.

use crate::percent::percent_decoded;

/// Whose node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The machine's (`./Device`, or nothing).
    Device,
    /// That of the user who is logged on (`./User`).
    User,
}

/// The one form in which two addresses can be compared: without the scope and the white space around it, nothing
/// percent-encoded, in lower case. `./Device/Vendor/MSFT/X`, `Vendor/MSFT/x` and `./vendor/%4DSFT/X` are the same node;
/// `./User/Vendor/MSFT/X` is another one, in the same tree.
pub fn canonical(address: &str) -> String {
    parts(address).1
}

/// The form in which the nodes of a device and those of its user can be told apart: [`canonical`] with the scope before it.
pub fn scoped(address: &str) -> String {
    match parts(address) {
        (Scope::Device, node) => format!("device/{node}"),
        (Scope::User, node) => format!("user/{node}"),
    }
}

/// Whose node an address is about.
pub fn scope(address: &str) -> Scope {
    parts(address).0
}

/// Whether a node is another one, or stands below it; both in one canonical form.
pub fn is_within(node: &str, tree: &str) -> bool {
    tree.is_empty() || node.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn parts(address: &str) -> (Scope, String) {
    let decoded = decoded(address.trim()).to_ascii_lowercase();
    let mut names = decoded.trim().split('/').filter(|name| !name.is_empty() && *name != ".").peekable();
    let scope = if names.peek() == Some(&"user") { Scope::User } else { Scope::Device };
    names.next_if(|name| matches!(*name, "user" | "device"));
    (scope, names.collect::<Vec<_>>().join("/"))
}

/// Undoes percent-encoding until nothing is encoded: what was encoded twice might be decoded twice.
fn decoded(address: &str) -> String {
    let mut text = address.to_owned();
    loop {
        let once = String::from_utf8_lossy(&percent_decoded(text.as_bytes())).into_owned();
        if once == text {
            return text;
        }
        text = once;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_one_canonical_address() {
        for address in [
            "./Device/Vendor/MSFT/BitLocker/X",
            " ./Vendor/MSFT/bitlocker/x ",
            "Vendor/MSFT/%42itLocker/X/",
            "./User/Vendor/MSFT/BitLocker/X",
            ".//Device/./Vendor//MSFT/BitLocker/X",
            "./%44evice/Vendor%2FMSFT/%2542itLocker/X",
        ] {
            assert_eq!(canonical(address), "vendor/msft/bitlocker/x", "{address}");
        }
        assert_ne!(canonical("./Device/Vendor/MSFT/BitLockerX"), canonical("./Device/Vendor/MSFT/BitLocker"));
        assert_eq!(canonical("./Device"), "");
    }

    #[test]
    fn a_user_s_node_is_none_of_the_device() {
        for address in ["./User/Vendor/MSFT/X", "user/vendor/msft/x", "./%55ser/Vendor/MSFT/X"] {
            assert_eq!((scope(address), scoped(address)), (Scope::User, "user/vendor/msft/x".into()), "{address}");
        }
        assert_eq!(scoped("./Vendor/MSFT/X"), scoped("./Device/Vendor/MSFT/X"));
        assert_eq!(scope("./UserX/Vendor"), Scope::Device);
    }

    #[test]
    fn what_is_within_ends_with_a_whole_name() {
        assert!(is_within("a/b", "a") && is_within("a/b", "a/b") && is_within("a", ""));
        assert!(!is_within("a/bc", "a/b") && !is_within("a", "a/b"));
    }
}
