//! What people may be: Fleet's roles, by Fleet's names. What each of them may do is not known here, but at the edge.

/// A role, for all teams or within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Sees.
    Observer,
    /// Sees, and may ask hosts questions.
    ObserverPlus,
    /// Sees and changes what hosts are told.
    Maintainer,
    /// A program that puts in place what files say.
    GitOps,
    /// May do everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Observer, Self::ObserverPlus, Self::Maintainer, Self::GitOps, Self::Admin];

    /// Fleet's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::ObserverPlus => "observer_plus",
            Self::Maintainer => "maintainer",
            Self::GitOps => "gitops",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}
