//! Addresses of nodes (`LocURI`), which may be written in many ways.

use crate::percent::percent_decoded;

/// The one form in which two addresses can be compared: without the scope and the white space around it, nothing
/// percent-encoded, in lower case. `./Device/Vendor/MSFT/X`, `Vendor/MSFT/x` and `./vendor/%4DSFT/X` are the same node;
/// `./User/Vendor/MSFT/X` is another one, in the same tree.
pub fn canonical(address: &str) -> String {
    let decoded = String::from_utf8_lossy(&percent_decoded(address.trim().as_bytes())).to_ascii_lowercase();
    let node = decoded.trim().trim_start_matches("./").trim_start_matches('/');
    let node = node.strip_prefix("device/").or_else(|| node.strip_prefix("user/")).unwrap_or(node);
    node.trim_end_matches('/').to_owned()
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
        ] {
            assert_eq!(canonical(address), "vendor/msft/bitlocker/x", "{address}");
        }
        assert_ne!(canonical("./Device/Vendor/MSFT/BitLockerX"), canonical("./Device/Vendor/MSFT/BitLocker"));
    }
}
