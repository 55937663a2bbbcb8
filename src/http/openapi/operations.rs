//! What each admin route does, in one table: a sentence, its parameters, its body, its answers. A test holds it and
//! [`ROUTES`](crate::http::ROUTES) together, in both directions.
//!
//! NanoMDM's routes (`/v1/…`) are not here: NanoMDM's own documentation describes them.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::http::admin::{
    abm, activities, brakes, command_batch, command_policy, command_run, commands, custom_variables, enrollment,
    gitops, host_import, host_lock, host_removal, host_report, host_summary, hosts, invites, labels, os_updates,
    profiles, scim, setup_assistant, setup_experience, sign_in, teams, tokens, users, webhooks, windows_tokens,
};

/// One way to use the API.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// The method.
    pub(super) method: &'static str,
    /// The path as the table of routes has it, without the base.
    pub(super) path: &'static str,
    /// What it does, in a few words.
    pub(super) does: &'static str,
    /// The parameters in its query.
    pub(super) query: Option<SchemaOf>,
    /// The JSON that it reads.
    pub(super) body: Option<SchemaOf>,
    /// How it answers when it does what it is asked.
    pub(super) answers: &'static [u16],
    /// The type of what it answers then; empty for nothing.
    pub(super) gives: &'static str,
}

/// The schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

const JSON: &str = "application/json";
const SCIM: &str = "application/scim+json";

const fn op(method: &'static str, path: &'static str, does: &'static str) -> Operation {
    Operation { method, path, does, query: None, body: None, answers: &[200], gives: JSON }
}

impl Operation {
    const fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(T::json_schema), ..self }
    }

    const fn body<T: JsonSchema>(self) -> Self {
        Self { body: Some(T::json_schema), ..self }
    }

    const fn answers(self, answers: &'static [u16]) -> Self {
        Self { answers, ..self }
    }

    const fn gives(self, gives: &'static str) -> Self {
        Self { gives, ..self }
    }
}

/// What people and programs do to their own accounts.
#[rustfmt::skip]
const ACCOUNTS: &[Operation] = &[
    op("POST", "/login", "Signs in by email address and password; the answer has a session's token").body::<sign_in::Login>(),
    op("GET", "/sso", "Says whether people sign in at an identity provider, and what it is called"),
    op("POST", "/sso", "Begins to sign in there; the answer says where the browser goes"),
    op("POST", "/forgot_password", "Sends a link by which a new password can be chosen").body::<sign_in::Forgot>(),
    op("POST", "/reset_password", "Chooses a new password by such a link").body::<sign_in::Reset>(),
    op("POST", "/users", "Accepts an invitation").body::<invites::Accepting>(),
    op("GET", "/invites/{token:rookery_invite_[0-9a-f]+}", "Shows an invitation to whoever has its link"),
    op("POST", "/logout", "Ends the session"),
    op("GET", "/me", "Shows who asks"),
    op("POST", "/change_password", "Changes the password; all sessions end").body::<sign_in::ChangePassword>(),
    op("GET", "/me/tokens", "Lists one's own tokens"),
    op("POST", "/me/tokens", "Makes a token, which is shown once").body::<tokens::Create>(),
    op("DELETE", "/me/tokens/{id:[0-9]+}", "Takes a token of one's own away"),
];

/// What admins do to people.
#[rustfmt::skip]
const PEOPLE: &[Operation] = &[
    op("GET", "/users", "Lists users").query::<users::ListQuery>(),
    op("POST", "/users/admin", "Makes a user, or a program with its token").body::<users::Create>(),
    op("GET", "/users/{id:[0-9]+}", "Shows a user"),
    op("PATCH", "/users/{id:[0-9]+}", "Changes a user; what is absent stays").body::<users::Change>(),
    op("DELETE", "/users/{id:[0-9]+}", "Deletes a user with sessions and tokens"),
    op("POST", "/users/{id:[0-9]+}/require_password_reset", "Says that a user must choose a new password first").body::<users::Require>(),
    op("GET", "/users/{id:[0-9]+}/sessions", "Lists a user's sessions"),
    op("DELETE", "/users/{id:[0-9]+}/sessions", "Ends a user's sessions"),
    op("DELETE", "/sessions/{id:[0-9]+}", "Ends a session"),
    op("GET", "/users/{id:[0-9]+}/tokens", "Lists a user's tokens"),
    op("POST", "/users/{id:[0-9]+}/tokens", "Makes a token for a program, which is shown once").body::<tokens::Create>(),
    op("DELETE", "/users/{id:[0-9]+}/tokens/{token:[0-9]+}", "Takes a user's token away"),
    op("GET", "/invites", "Lists invitations"),
    op("POST", "/invites", "Invites somebody by mail").body::<invites::Create>(),
    op("DELETE", "/invites/{id:[0-9]+}", "Takes an invitation back"),
    op("GET", "/activities", "Lists what was done").query::<activities::ListQuery>(),
    op("GET", "/activities/export", "Gives what was done as a file: a line of JSON each, or CSV").query::<activities::ExportQuery>().gives(""),
    op("GET", "/hosts/{id:[0-9]+}/activities", "Lists what was done to a host").query::<activities::ListQuery>(),
];

/// Hosts.
#[rustfmt::skip]
const HOSTS: &[Operation] = &[
    op("GET", "/hosts", "Lists hosts, page by page").query::<hosts::ListQuery>(),
    op("GET", "/hosts/count", "Counts hosts").query::<hosts::ListQuery>(),
    op("GET", "/hosts/report", "Gives all hosts as a CSV file").query::<host_report::ReportQuery>().gives("text/csv"),
    op("GET", "/hosts/summary/mdm", "Counts hosts by the state of their management").query::<host_summary::SummaryQuery>(),
    op("GET", "/host_summary", "Counts hosts by platform, and by when they were seen").query::<host_summary::SummaryQuery>(),
    op("POST", "/hosts/import", "Makes pending hosts by serial number").body::<host_import::Import>(),
    op("POST", "/hosts/delete", "Deletes hosts, by number or by filter").body::<host_removal::DeleteMany>(),
    op("POST", "/hosts/transfer", "Moves hosts to a team, or to none").body::<teams::TransferHosts>(),
    op("POST", "/hosts/transfer/filter", "Moves hosts that a filter finds").body::<teams::TransferFilter>(),
    op("GET", "/hosts/identifier/{identifier}", "Shows a host by UUID, serial number or name"),
    op("GET", "/hosts/{id:[0-9]+}", "Shows a host"),
    op("DELETE", "/hosts/{id:[0-9]+}", "Deletes a host"),
    op("DELETE", "/hosts/{id:[0-9]+}/mdm", "Ends a host's management: takes its enrollment profile away, or tells a Windows host to leave").answers(&[202, 204]).gives(""),
    op("GET", "/hosts/{id:[0-9]+}/mdm", "Shows a host's management"),
    op("POST", "/hosts/{id:[0-9]+}/refetch", "Asks a host's agent for details now"),
    op("GET", "/hosts/{id:[0-9]+}/actor", "Shows what the host's actor holds in memory"),
    op("GET", "/config", "Shows what is set for hosts of no team"),
    op("PATCH", "/config", "Changes what is set for hosts of no team").body::<os_updates::Config>(),
    op("PATCH", "/setup_experience", "Changes what happens while devices of a team are set up").body::<setup_experience::OfTeam>().answers(&[204]).gives(""),
    op("PATCH", "/mdm/apple/setup", "An older name of /setup_experience").body::<setup_experience::OfTeam>().answers(&[204]).gives(""),
    op("GET", "/hosts/{id:[0-9]+}/declarative_status", "Shows what a host has reported of itself and of its declarations"),
    op("GET", "/hosts/{id:[0-9]+}/device_mapping", "Shows who uses a host: the owner of the account with which it was enrolled, and whom its agent names"),
    op("GET", "/hosts/{id:[0-9]+}/orphan_results", "Lists reports that belonged to no pending command"),
    op("POST", "/hosts/{id:[0-9]+}/lock", "Locks a host, with a PIN on a Mac").query::<host_lock::PinQuery>().answers(&[200, 202, 204]).gives(""),
    op("POST", "/mdm/hosts/{id:[0-9]+}/lock", "An older name of /hosts/{id}/lock").query::<host_lock::PinQuery>().answers(&[200, 202, 204]).gives(""),
    op("POST", "/hosts/{id:[0-9]+}/unlock", "Unlocks a host, or shows the PIN that does").answers(&[200, 202, 204]).gives(""),
    op("POST", "/hosts/{id:[0-9]+}/wipe", "Erases a host").query::<host_lock::WipeQuery>().answers(&[200, 202, 204]).gives(""),
    op("POST", "/mdm/hosts/{id:[0-9]+}/wipe", "An older name of /hosts/{id}/wipe").query::<host_lock::WipeQuery>().answers(&[200, 202, 204]).gives(""),
    op("GET", "/hosts/{id:[0-9]+}/events", "Tells of a host's life as it happens (server-sent events)").gives("text/event-stream"),
    op("POST", "/hosts/{id:[0-9]+}/labels", "Gives a host manual labels").body::<labels::Names>(),
    op("DELETE", "/hosts/{id:[0-9]+}/labels", "Takes manual labels from a host").body::<labels::Names>(),
];

/// Commands.
#[rustfmt::skip]
const COMMANDS: &[Operation] = &[
    op("POST", "/commands/run", "Queues a command for hosts, a label or a team").body::<command_run::Run>().answers(&[200, 202]),
    op("POST", "/mdm/commands/run", "An older name of /commands/run").body::<command_run::Run>().answers(&[200, 202]),
    op("POST", "/mdm/apple/enqueue", "An older name of /commands/run").body::<command_run::Run>().answers(&[200, 202]),
    op("GET", "/commands/{uuid}", "Shows a command with how many hosts are in which state").query::<command_batch::BatchQuery>(),
    op("GET", "/commands/held", "Lists dangerous commands that wait for a second admin, or go out"),
    op("GET", "/commands/policy", "Shows which roles may send which commands"),
    op("PUT", "/commands/policy", "Says which roles may send which commands").body::<command_policy::Policy>(),
    op("POST", "/commands/{uuid}/cancel", "Takes a command back where no device can have it").body::<brakes::CancelBody>(),
    op("POST", "/commands/{uuid}/approve", "Agrees to a held command").body::<brakes::ApproveBody>(),
    op("POST", "/commands/{uuid}/reject", "Says no to a held command"),
    op("GET", "/commands/results", "Shows what came back").query::<commands::ResultsQuery>(),
    op("GET", "/mdm/commandresults", "An older name of /commands/results").query::<commands::ResultsQuery>(),
    op("GET", "/mdm/apple/commandresults", "An older name of /commands/results").query::<commands::ResultsQuery>(),
    op("GET", "/commands", "Lists commands, host by host").query::<commands::ListQuery>(),
    op("GET", "/mdm/commands", "An older name of /commands").query::<commands::ListQuery>(),
    op("GET", "/mdm/apple/commands", "An older name of /commands").query::<commands::ListQuery>(),
];

/// Teams, labels, enrollment.
#[rustfmt::skip]
const TEAMS: &[Operation] = &[
    op("GET", "/teams", "Lists teams"),
    op("POST", "/teams", "Makes a team").body::<teams::Save>(),
    op("GET", "/teams/{id:[0-9]+}", "Shows a team"),
    op("PATCH", "/teams/{id:[0-9]+}", "Changes a team; what is absent stays").body::<teams::Save>(),
    op("DELETE", "/teams/{id:[0-9]+}", "Deletes a team; its hosts are in none then"),
    op("GET", "/teams/{id:[0-9]+}/secrets", "Shows a team's enroll secrets"),
    op("PATCH", "/teams/{id:[0-9]+}/secrets", "Replaces a team's enroll secrets").body::<enrollment::Secrets>(),
    op("GET", "/labels", "Lists labels with how many hosts have them"),
    op("POST", "/labels", "Makes a label, with a rule or with hosts").body::<labels::Wish>(),
    op("GET", "/labels/summary", "Lists labels in short"),
    op("GET", "/labels/{id:[0-9]+}", "Shows a label"),
    op("PATCH", "/labels/{id:[0-9]+}", "Changes a label; what is absent stays").body::<labels::Wish>(),
    op("DELETE", "/labels/id/{id:[0-9]+}", "Deletes a label"),
    op("GET", "/labels/{id:[0-9]+}/hosts", "Lists the hosts that have a label").query::<hosts::ListQuery>(),
    op("GET", "/mdm/apple/abm_public_key", "Shows the public key to upload to Apple Business Manager"),
    op("GET", "/abm_tokens", "Lists the server tokens of Apple Business Manager"),
    op("POST", "/abm_tokens", "Uploads a server token: a form (multipart/form-data) with the file as token"),
    op("GET", "/abm_tokens/count", "Counts the server tokens"),
    op("PATCH", "/abm_tokens/{id:[0-9]+}/teams", "Says which teams new devices join").body::<abm::Teams>(),
    op("PATCH", "/abm_tokens/{id:[0-9]+}/renew", "Replaces a server token by a newer one of the same server: a form with the file as token"),
    op("DELETE", "/abm_tokens/{id:[0-9]+}", "Deletes a server token, and the hosts that are only expected because of it").answers(&[204]).gives(""),
    op("GET", "/hosts/{id:[0-9]+}/dep_assignment", "Shows what Apple Business Manager says of a host's device"),
    op("GET", "/enrollment_profiles/automatic", "Shows a team's Setup Assistant profile").query::<setup_assistant::OfTeam>(),
    op("POST", "/enrollment_profiles/automatic", "Sets a team's Setup Assistant profile").body::<setup_assistant::Save>(),
    op("DELETE", "/enrollment_profiles/automatic", "Gives a team the standard Setup Assistant profile").query::<setup_assistant::OfTeam>().answers(&[204]).gives(""),
    op("GET", "/enrollment_profiles/manual", "Makes an enrollment profile").query::<enrollment::ManualQuery>().gives("application/x-apple-aspen-config"),
    op("GET", "/mdm/manual_enrollment_profile", "An older name of /enrollment_profiles/manual").query::<enrollment::ManualQuery>().gives("application/x-apple-aspen-config"),
    op("POST", "/windows_enrollment_tokens", "Makes a token that lets one Windows device enroll, which is shown once").body::<windows_tokens::Make>(),
    op("GET", "/spec/enroll_secret", "Shows the enroll secrets for hosts of no team"),
    op("POST", "/spec/enroll_secret", "Replaces the enroll secrets for hosts of no team").body::<enrollment::Spec>(),
];

/// Profiles, declarations and the secrets in them.
#[rustfmt::skip]
const PROFILES: &[Operation] = &[
    op("POST", "/configuration_profiles", "Uploads a profile or declaration: a form (multipart/form-data) with the file as profile, team_id, labels_include_all, labels_include_any, labels_exclude_any, rollout_percent, rollout_max_failures"),
    op("GET", "/configuration_profiles", "Lists the profiles of a team by name").query::<profiles::ListQuery>(),
    op("GET", "/configuration_profiles/summary", "Counts a team's hosts by how far they have come with all of their profiles").query::<profiles::TeamQuery>(),
    op("POST", "/configuration_profiles/batch", "Replaces all profiles of a team, or says what that would change").query::<profiles::BatchQuery>().body::<profiles::Set>().answers(&[200, 204]),
    op("POST", "/configuration_profiles/resend/batch", "Sends a profile again to all hosts on which it failed").body::<profiles::Batch>().answers(&[202]),
    op("GET", "/configuration_profiles/{uuid}", "Shows a profile, or gives its file").query::<profiles::MediaQuery>(),
    op("PATCH", "/configuration_profiles/{uuid}", "Widens, narrows, stops or resumes the roll-out of a profile; what is absent stays").body::<profiles::Change>(),
    op("DELETE", "/configuration_profiles/{uuid}", "Deletes a profile; hosts lose it"),
    op("GET", "/configuration_profiles/{uuid}/status", "Counts hosts by how far a profile has come on them"),
    op("POST", "/mdm/profiles", "An older name of /configuration_profiles"),
    op("GET", "/mdm/profiles", "An older name of /configuration_profiles").query::<profiles::ListQuery>(),
    op("GET", "/mdm/profiles/summary", "An older name of /configuration_profiles/summary").query::<profiles::TeamQuery>(),
    op("POST", "/mdm/profiles/batch", "An older name of /configuration_profiles/batch").query::<profiles::BatchQuery>().body::<profiles::Set>().answers(&[200, 204]),
    op("GET", "/mdm/profiles/{uuid}", "An older name of /configuration_profiles/{uuid}").query::<profiles::MediaQuery>(),
    op("DELETE", "/mdm/profiles/{uuid}", "An older name of /configuration_profiles/{uuid}"),
    op("GET", "/hosts/{id:[0-9]+}/configuration_profiles", "Shows what a host shall have of profiles, and what it last said it has"),
    op("POST", "/hosts/{id:[0-9]+}/configuration_profiles/{uuid}/resend", "Sends a profile to a host again").answers(&[202]),
    op("POST", "/hosts/{id:[0-9]+}/configuration_profiles/resend/{uuid}", "An older name of …/{uuid}/resend").answers(&[202]),
    op("PUT", "/spec/secret_variables", "Sets secrets that profiles name; others stay").body::<custom_variables::Spec>(),
    op("POST", "/spec/gitops", "Makes the server have a whole set of files, or says what that would change").body::<gitops::Files>(),
    op("GET", "/custom_variables", "Lists the secrets that profiles may name, without their values"),
    op("POST", "/custom_variables", "Makes a secret that profiles may name").body::<custom_variables::Named>(),
    op("DELETE", "/custom_variables/{id:[0-9]+}", "Deletes a secret that no profile names"),
];

/// People and groups of an identity provider.
const PROVISIONING: &[Operation] = &[
    op("GET", "/scim/Users", "Lists the people that an identity provider keeps here")
        .query::<scim::ListQuery>()
        .gives(SCIM),
    op("POST", "/scim/Users", "Adds a person").body::<scim::users::Document>().answers(&[201]).gives(SCIM),
    op("GET", "/scim/Users/{id}", "Shows a person").gives(SCIM),
    op("PUT", "/scim/Users/{id}", "Replaces a person").body::<scim::users::Document>().gives(SCIM),
    op("PATCH", "/scim/Users/{id}", "Changes a person").body::<scim::Patch>().gives(SCIM),
    op("DELETE", "/scim/Users/{id}", "Deletes a person").answers(&[204]).gives(""),
    op("GET", "/scim/Groups", "Lists the groups that an identity provider keeps here")
        .query::<scim::ListQuery>()
        .gives(SCIM),
    op("POST", "/scim/Groups", "Adds a group").body::<scim::groups::Document>().answers(&[201]).gives(SCIM),
    op("GET", "/scim/Groups/{id}", "Shows a group with its members").gives(SCIM),
    op("PUT", "/scim/Groups/{id}", "Replaces a group").body::<scim::groups::Document>().gives(SCIM),
    op("PATCH", "/scim/Groups/{id}", "Changes a group").body::<scim::Patch>().gives(SCIM),
    op("DELETE", "/scim/Groups/{id}", "Deletes a group").answers(&[204]).gives(""),
    op("GET", "/scim/ServiceProviderConfig", "Says what of SCIM is there").gives(SCIM),
    op("GET", "/scim/ResourceTypes", "Says what SCIM keeps here").gives(SCIM),
    op("GET", "/scim/Schemas", "Says which attributes SCIM keeps here").gives(SCIM),
];

/// Webhooks.
#[rustfmt::skip]
const WEBHOOKS: &[Operation] = &[
    op("GET", "/webhooks", "Lists webhooks"),
    op("POST", "/webhooks", "Makes a webhook; its secret is shown once").body::<webhooks::CreateBody>().answers(&[200, 201]),
    op("GET", "/webhooks/{id:[0-9]+}", "Shows a webhook"),
    op("PATCH", "/webhooks/{id:[0-9]+}", "Changes a webhook; what is absent stays").body::<webhooks::ChangeBody>(),
    op("DELETE", "/webhooks/{id:[0-9]+}", "Deletes a webhook"),
    op("POST", "/webhooks/{id:[0-9]+}/secret", "Gives a webhook a second secret, shown once").body::<webhooks::SecretBody>(),
    op("DELETE", "/webhooks/{id:[0-9]+}/secret", "Lets the older secret end"),
    op("POST", "/webhooks/{id:[0-9]+}/test", "Sends a webhook something to try it"),
    op("GET", "/webhooks/{id:[0-9]+}/deliveries", "Lists what waits for a webhook, or could not be delivered").query::<webhooks::ListQuery>(),
    op("DELETE", "/webhooks/{id:[0-9]+}/deliveries", "Drops all dead letters of a webhook"),
    op("POST", "/webhooks/{id:[0-9]+}/deliveries/replay", "Delivers all dead letters of a webhook again"),
    op("DELETE", "/webhooks/{id:[0-9]+}/deliveries/{delivery:[0-9]+}", "Drops a dead letter"),
    op("POST", "/webhooks/{id:[0-9]+}/deliveries/{delivery:[0-9]+}/replay", "Delivers a dead letter again"),
];

/// Everything, by subject.
pub(super) const OPERATIONS: &[(&str, &[Operation])] = &[
    ("Accounts", ACCOUNTS),
    ("People", PEOPLE),
    ("Hosts", HOSTS),
    ("Commands", COMMANDS),
    ("Teams and labels", TEAMS),
    ("Profiles", PROFILES),
    ("Webhooks", WEBHOOKS),
    ("People of an identity provider", PROVISIONING),
];
