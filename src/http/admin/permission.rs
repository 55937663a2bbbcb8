//! Who may do what, as one table: each admin route names a [`Permission`], each permission the roles that have it and how far
//! it reaches. A route cannot be written without one.
//!
//! Never here: rows. Whether a host is within reach is looked up in `reach`. Start with [`Permission::rule`].

pub use entities::role::Role;

use Reach::{Everywhere, Shared, Team};
use Role::{Admin, GitOps, Maintainer, Observer, ObserverPlus};

/// Something that people may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// What concerns the asking person alone.
    OwnAccount,
    /// See hosts in lists, counts and reports.
    HostsRead,
    /// See one host, found by a name of its own.
    HostFind,
    /// Import and delete hosts, give them labels.
    HostsWrite,
    /// Move hosts between teams.
    HostsTransfer,
    /// End a host's management.
    HostsUnenroll,
    /// Lock, unlock and erase hosts.
    HostsLock,
    /// See commands, and what came back without the secrets in it.
    CommandsRead,
    /// Queue commands, push, and take back what is still queued.
    CommandsRun,
    /// Agree or disagree to a dangerous command for many hosts.
    CommandsApprove,
    /// Say which roles may send which commands.
    CommandPolicy,
    /// Read secrets that hosts gave us: recovery keys, unlock tokens, PINs.
    SecretsReveal,
    /// See teams.
    TeamsRead,
    /// Make and delete teams.
    TeamsWrite,
    /// Change a team's settings.
    TeamChange,
    /// Read enroll secrets, and whatever has one in it.
    EnrollSecretsRead,
    /// Replace enroll secrets.
    EnrollSecretsWrite,
    /// See labels.
    LabelsRead,
    /// Make, change and delete labels.
    LabelsWrite,
    /// See profiles, and how far they have come on hosts.
    ProfilesRead,
    /// Upload, change and delete profiles, and send them again.
    ProfilesWrite,
    /// Set and delete the secrets that profiles name, and see what they are called.
    SecretVariables,
    /// Apply a whole set of files: teams with their profiles, settings and enroll secrets, labels, secrets.
    Files,
    /// See people and invitations.
    UsersRead,
    /// Make, change and delete people, and invite them.
    UsersWrite,
    /// See what was done.
    ActivitiesRead,
    /// See and change who is told of events.
    Webhooks,
    /// See and replace push certificates.
    PushCertificates,
    /// See, upload and delete the server tokens of Apple Business Manager.
    AbmTokens,
    /// Keep the people and groups of an identity provider here (SCIM).
    Scim,
}

/// How far a permission reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It concerns the whole server: only a global role has it.
    Everywhere,
    /// It concerns hosts or a team: a team's role has it within its team.
    Team,
    /// It concerns nobody's team: any role has it, also a team's.
    Shared,
}

/// For which teams somebody has a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// For all, and for hosts of none.
    All,
    /// For these.
    Teams(Vec<i64>),
}

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// Their role in all teams.
    pub everywhere: Option<Role>,
    /// Their roles in single teams.
    pub teams: Vec<(i64, Role)>,
    /// What a token is limited to; `None` for no limit.
    pub scopes: Option<Vec<Permission>>,
}

const EVERYONE: &[Role] = &[Observer, ObserverPlus, Maintainer, GitOps, Admin];
const READERS: &[Role] = &[Observer, ObserverPlus, Maintainer, Admin];
const WRITERS: &[Role] = &[Maintainer, Admin];
const WRITERS_AND_FILES: &[Role] = &[Maintainer, GitOps, Admin];
const ADMINS: &[Role] = &[Admin];
const ADMINS_AND_FILES: &[Role] = &[GitOps, Admin];

impl Permission {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::OwnAccount,
        Self::HostsRead,
        Self::HostFind,
        Self::HostsWrite,
        Self::HostsTransfer,
        Self::HostsUnenroll,
        Self::HostsLock,
        Self::CommandsRead,
        Self::CommandsRun,
        Self::CommandsApprove,
        Self::CommandPolicy,
        Self::SecretsReveal,
        Self::TeamsRead,
        Self::TeamsWrite,
        Self::TeamChange,
        Self::EnrollSecretsRead,
        Self::EnrollSecretsWrite,
        Self::LabelsRead,
        Self::LabelsWrite,
        Self::ProfilesRead,
        Self::ProfilesWrite,
        Self::SecretVariables,
        Self::Files,
        Self::UsersRead,
        Self::UsersWrite,
        Self::ActivitiesRead,
        Self::Webhooks,
        Self::PushCertificates,
        Self::AbmTokens,
        Self::Scim,
    ];

    /// The table: how far it reaches, who has it, and its name in the scopes of tokens.
    pub const fn rule(self) -> (Reach, &'static [Role], &'static str) {
        match self {
            Self::OwnAccount => (Shared, EVERYONE, "own_account"),
            Self::HostsRead => (Team, READERS, "hosts_read"),
            Self::HostFind => (Team, EVERYONE, "host_find"),
            Self::HostsWrite => (Team, WRITERS, "hosts_write"),
            Self::HostsTransfer => (Team, WRITERS_AND_FILES, "hosts_transfer"),
            Self::HostsUnenroll => (Team, WRITERS, "hosts_unenroll"),
            Self::HostsLock => (Team, WRITERS, "hosts_lock"),
            Self::CommandsRead => (Team, READERS, "commands_read"),
            Self::CommandsRun => (Team, WRITERS_AND_FILES, "commands_run"),
            Self::CommandsApprove => (Team, WRITERS, "commands_approve"),
            Self::CommandPolicy => (Everywhere, ADMINS, "command_policy"),
            Self::SecretsReveal => (Team, WRITERS, "secrets_reveal"),
            Self::TeamsRead => (Team, EVERYONE, "teams_read"),
            Self::TeamsWrite => (Everywhere, ADMINS_AND_FILES, "teams_write"),
            Self::TeamChange => (Team, ADMINS_AND_FILES, "team_change"),
            Self::EnrollSecretsRead => (Team, WRITERS_AND_FILES, "enroll_secrets_read"),
            Self::EnrollSecretsWrite => (Team, WRITERS_AND_FILES, "enroll_secrets_write"),
            Self::LabelsRead => (Shared, EVERYONE, "labels_read"),
            Self::LabelsWrite => (Everywhere, WRITERS_AND_FILES, "labels_write"),
            Self::ProfilesRead => (Team, READERS, "profiles_read"),
            Self::ProfilesWrite => (Team, WRITERS_AND_FILES, "profiles_write"),
            Self::SecretVariables => (Everywhere, WRITERS_AND_FILES, "secret_variables"),
            Self::Files => (Everywhere, ADMINS_AND_FILES, "files"),
            Self::UsersRead => (Team, ADMINS, "users_read"),
            Self::UsersWrite => (Team, ADMINS, "users_write"),
            Self::ActivitiesRead => (Everywhere, READERS, "activities_read"),
            Self::Webhooks => (Everywhere, ADMINS, "webhooks"),
            Self::PushCertificates => (Everywhere, ADMINS, "push_certificates"),
            Self::AbmTokens => (Everywhere, ADMINS, "abm_tokens"),
            Self::Scim => (Everywhere, ADMINS, "scim"),
        }
    }

    /// Its name in the scopes of tokens.
    pub const fn as_str(self) -> &'static str {
        self.rule().2
    }

    /// The permission with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == name)
    }

    fn is_for(self, role: Role) -> bool {
        self.rule().1.contains(&role)
    }
}

impl Powers {
    /// Those of an admin of everything.
    pub const fn all() -> Self {
        Self { everywhere: Some(Admin), teams: Vec::new(), scopes: None }
    }

    /// For which teams they have a permission; `None` for none at all.
    pub fn extent(&self, permission: Permission) -> Option<Extent> {
        if self.scopes.as_ref().is_some_and(|scopes| !scopes.contains(&permission)) {
            return None;
        }
        if self.everywhere.is_some_and(|role| permission.is_for(role)) {
            return Some(Extent::All);
        }
        let teams: Vec<i64> =
            self.teams.iter().filter(|(_, role)| permission.is_for(*role)).map(|(team, _)| *team).collect();
        match permission.rule().0 {
            _ if teams.is_empty() => None,
            Everywhere => None,
            Team => Some(Extent::Teams(teams)),
            Shared => Some(Extent::All),
        }
    }
}

impl Extent {
    /// Whether a team is within; `None` stands for hosts of no team.
    pub fn holds(&self, team: Option<i64>) -> bool {
        match self {
            Self::All => true,
            Self::Teams(teams) => team.is_some_and(|team| teams.contains(&team)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_team(role: Role) -> Powers {
        Powers { teams: vec![(7, role)], ..Powers::default() }
    }

    #[test]
    fn every_permission_has_a_name_of_its_own() {
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
        assert_eq!(Permission::parse("everything"), None);
    }

    #[test]
    fn admins_may_do_everything_and_observers_change_nothing() {
        for permission in Permission::ALL {
            assert_eq!(Powers::all().extent(permission), Some(Extent::All), "{permission:?}");
            let observer = Powers { everywhere: Some(Observer), ..Powers::default() };
            let reads = permission.as_str().ends_with("_read") && permission != Permission::EnrollSecretsRead;
            let may = reads && permission != Permission::UsersRead
                || [Permission::OwnAccount, Permission::HostFind].contains(&permission);
            assert_eq!(observer.extent(permission).is_some(), may, "{permission:?}");
        }
    }

    #[test]
    fn a_role_in_a_team_reaches_no_other_team_and_no_host_of_none() {
        let extent = of_team(Admin).extent(Permission::HostsWrite).unwrap();
        assert!(extent.holds(Some(7)) && !extent.holds(Some(8)) && !extent.holds(None));
        assert_eq!(of_team(Admin).extent(Permission::Webhooks), None);
        assert_eq!(of_team(Observer).extent(Permission::HostsWrite), None);
        assert_eq!(of_team(Observer).extent(Permission::LabelsRead), Some(Extent::All));
    }

    #[test]
    fn a_token_does_no_more_than_its_scopes_say() {
        let scopes = Some(vec![Permission::HostsRead, Permission::Webhooks]);
        let powers = Powers { scopes, ..of_team(Maintainer) };
        assert!(powers.extent(Permission::HostsRead).is_some());
        assert_eq!(powers.extent(Permission::CommandsRun), None);
        assert_eq!(powers.extent(Permission::Webhooks), None, "a scope gives nothing that the role does not");
    }
}
