//! Command types that do harm when they go to many hosts by mistake. The brakes look at nothing else.

use crate::windows::loc_uri::canonical;

/// A class of dangerous commands; each has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// The host loses its data.
    Erase,
    /// Its user is locked out.
    Lock,
    /// It loses settings, perhaps its network or its management.
    RemoveProfile,
}

impl Danger {
    /// The class of a command type, if it is in one.
    pub fn of(request_type: &str) -> Option<Self> {
        if request_type.contains('/') {
            return of_node(request_type);
        }
        [Self::Erase, Self::Lock, Self::RemoveProfile].into_iter().find(|class| class.request_type() == request_type)
    }

    /// The command type of this class.
    pub const fn request_type(self) -> &'static str {
        match self {
            Self::Erase => "EraseDevice",
            Self::Lock => "DeviceLock",
            Self::RemoveProfile => "RemoveProfile",
        }
    }
}

/// The class of a Windows command, by the node that it is about, however its address is written.
fn of_node(address: &str) -> Option<Danger> {
    let node = canonical(address);
    if node.starts_with("vendor/msft/remotewipe/") {
        Some(Danger::Erase)
    } else if node.starts_with("vendor/msft/dmclient/") && node.ends_with("/unenroll") {
        Some(Danger::RemoveProfile)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apple::request_types;

    #[test]
    fn each_class_is_found_by_a_command_type_that_there_is() {
        let dangerous: Vec<_> = request_types::known().filter_map(Danger::of).collect();
        assert_eq!(dangerous, [Danger::Lock, Danger::Erase, Danger::RemoveProfile]);
        assert_eq!(Danger::of("SecurityInfo"), None);
    }

    #[test]
    fn windows_commands_are_found_by_their_nodes() {
        for (address, class) in [
            ("./Device/Vendor/MSFT/RemoteWipe/doWipeProtected", Some(Danger::Erase)),
            ("./vendor/MSFT/%52emotewipe/doWipe", Some(Danger::Erase)),
            ("./Device/Vendor/MSFT/DMClient/Provider/Rookery/Unenroll", Some(Danger::RemoveProfile)),
            ("./Device/Vendor/MSFT/DMClient/Provider/Rookery/Poll/PollOnLogin", None),
            ("./Device/Vendor/MSFT/Reboot/RebootNow", None),
        ] {
            assert_eq!(Danger::of(address), class, "{address}");
        }
    }
}
