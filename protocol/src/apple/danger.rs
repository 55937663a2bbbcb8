//! Command types that do harm when they go to many hosts by mistake. The brakes look at nothing else.

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
}
