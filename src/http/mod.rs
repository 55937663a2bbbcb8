//! HTTP: every route on one screen, and the listeners that serve them.
//!
//! Handlers parse, ask the right actor, and answer; they never write a row. Errors become responses in [`error`] alone.
//! Start with [`ROUTES`].

pub mod admin;
pub mod body;
mod csv;
pub mod device;
mod download;
pub mod edge;
pub mod error;
mod guard;
pub mod identity;
pub mod limiter;
pub mod listen;
mod multipart;
pub mod oidc;
pub mod openapi;
pub mod ops;
mod page;
pub mod paging;
#[cfg(feature = "saml")]
pub mod saml;
pub mod sign_on;
pub mod tls;

use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};

use Permission::*;
use admin::permission::Permission;
use admin::profiles;
use body::{read_admin, read_json, read_small_json};
use device::account_driven;
use device::agent;
use device::apple::{mdm, wrong_method};
use device::assigned::enroll as assigned;
use device::enroll::profile;
use device::scep::scep;
use device::sso;
use device::windows::management;
use device::windows_enroll;

/// How long an admin waits for an actor.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Who may use a route. Each kind has a listener of its own, except that anyone may ask admins' listener for its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A device with a certificate of ours: no 401 and no 403, ever.
    EnrolledDevice,
    /// A device or person that is about to enroll.
    Newcomer,
    /// An agent on a host that is no MDM; unlike an enrolled device it may be told 401, and enrolls again then.
    Agent,
    /// An admin who has this permission.
    Admin(Permission),
    /// Anyone who reaches the admins' listener.
    Anyone,
    /// An operator: whoever reaches the operators' listener.
    Operator,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Who may use it.
    pub who: Who,
    /// The methods, separated by spaces.
    pub methods: &'static str,
    /// The path; `{base}` stands for Fleet's base paths.
    pub path: &'static str,
    handler: fn() -> actix_web::Route,
}

/// Fleet's API, in any of the versions that its tools ask for.
const BASE: &str = "/api/{version:v1|latest|2022-04}/fleet";

/// Every route there is.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    Route { who: Who::EnrolledDevice, methods: "PUT POST", path: "/mdm/apple/mdm", handler: || web::to(mdm) },
    Route { who: Who::EnrolledDevice, methods: "PUT POST", path: "/mdm", handler: || web::to(mdm) },
    Route { who: Who::EnrolledDevice, methods: "PUT POST", path: "/mdm/connect", handler: || web::to(mdm) },
    Route { who: Who::EnrolledDevice, methods: "PUT POST", path: "/mdm/checkin", handler: || web::to(mdm) },
    Route { who: Who::EnrolledDevice, methods: "PUT POST", path: "/checkin", handler: || web::to(mdm) },
    Route { who: Who::EnrolledDevice, methods: "GET POST", path: "/mdm/apple/scep", handler: || web::to(scep) },
    Route { who: Who::EnrolledDevice, methods: "GET POST", path: "/scep", handler: || web::to(scep) },
    Route { who: Who::Newcomer, methods: "GET", path: "/api/mdm/apple/enroll", handler: || web::to(profile) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/apple/enroll", handler: || web::to(assigned) },
    Route { who: Who::Newcomer, methods: "GET", path: "/mdm/sso", handler: || web::to(sso::go) },
    Route { who: Who::Newcomer, methods: "POST", path: "{base}/mdm/sso", handler: || web::to(sso::begin) },
    Route { who: Who::Newcomer, methods: "GET", path: "/mdm/sso/callback", handler: || web::to(sso::callback) },
    Route { who: Who::Newcomer, methods: "POST", path: "/mdm/sso/callback", handler: || web::to(sso::form_callback) },
    Route { who: Who::Newcomer, methods: "GET", path: "/.well-known/com.apple.remotemanagement", handler: || web::to(account_driven::discover) },
    Route { who: Who::Newcomer, methods: "GET", path: "/mdm/apple/service_discovery", handler: || web::to(account_driven::discover) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/apple/account_driven_enroll", handler: || web::to(account_driven::enroll) },
    Route { who: Who::Newcomer, methods: "GET", path: "/mdm/apple/account_driven_enroll/sso", handler: || web::to(account_driven::sign_in) },
    Route { who: Who::Newcomer, methods: "GET", path: "/mdm/sso/metadata", handler: || web::to(sso::metadata) },

    Route { who: Who::EnrolledDevice, methods: "POST", path: "/ManagementServer/MDM.svc", handler: || web::to(management) },
    Route { who: Who::EnrolledDevice, methods: "POST", path: "/api/mdm/microsoft/management", handler: || web::to(management) },
    Route { who: Who::Newcomer, methods: "GET", path: "/EnrollmentServer/Discovery.svc", handler: || web::to(windows_enroll::probe) },
    Route { who: Who::Newcomer, methods: "POST", path: "/EnrollmentServer/Discovery.svc", handler: || web::to(windows_enroll::discover) },
    Route { who: Who::Newcomer, methods: "GET", path: "/api/mdm/microsoft/discovery", handler: || web::to(windows_enroll::probe) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/microsoft/discovery", handler: || web::to(windows_enroll::discover) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/microsoft/policy", handler: || web::to(windows_enroll::policies) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/microsoft/enroll", handler: || web::to(windows_enroll::enroll) },
    Route { who: Who::Newcomer, methods: "GET", path: "/api/mdm/microsoft/auth", handler: || web::to(windows_enroll::login::page) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/microsoft/auth", handler: || web::to(windows_enroll::login::sign_in) },
    Route { who: Who::Newcomer, methods: "GET", path: "/api/mdm/microsoft/tos", handler: || web::to(windows_enroll::terms::page) },
    Route { who: Who::Newcomer, methods: "POST", path: "/api/mdm/microsoft/tos", handler: || web::to(windows_enroll::terms::decide) },

    Route { who: Who::Agent, methods: "HEAD", path: "/api/fleet/orbit/ping", handler: || web::to(agent::orbit::ping) },
    Route { who: Who::Agent, methods: "HEAD", path: "/api/fleet/device/ping", handler: || web::to(agent::orbit::ping) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/enroll", handler: || web::to(agent::orbit::begin) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/config", handler: || web::to(agent::orbit::config) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/device_token", handler: || web::to(agent::orbit::new_token) },
    Route { who: Who::Agent, methods: "PUT", path: "/api/fleet/orbit/device_mapping", handler: || web::to(agent::orbit::used_by) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/scripts/request", handler: || web::to(agent::orbit::scripts) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/scripts/result", handler: || web::to(agent::orbit::scripts) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/software_install/details", handler: || web::to(agent::orbit::software) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/software_install/package", handler: || web::to(agent::orbit::software) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/software_install/result", handler: || web::to(agent::orbit::software) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/setup_experience/init", handler: || web::to(agent::orbit::setup) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/setup_experience/status", handler: || web::to(agent::orbit::setup_status) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/disk_encryption_key", handler: || web::to(agent::orbit::recovery_keys) },
    Route { who: Who::Agent, methods: "POST", path: "/api/fleet/orbit/luks_data", handler: || web::to(agent::orbit::recovery_keys) },
    Route { who: Who::Agent, methods: "POST", path: "/api/osquery/enroll", handler: || web::to(agent::osquery::begin) },
    Route { who: Who::Agent, methods: "POST", path: "/api/osquery/config", handler: || web::to(agent::osquery::config) },
    Route { who: Who::Agent, methods: "POST", path: "/api/osquery/distributed/read", handler: || web::to(agent::osquery::queries) },
    Route { who: Who::Agent, methods: "POST", path: "/api/osquery/distributed/write", handler: || web::to(agent::osquery::found) },
    Route { who: Who::Agent, methods: "POST", path: "/api/osquery/log", handler: || web::to(agent::osquery::log) },
    Route { who: Who::Agent, methods: "POST", path: "/api/v1/osquery/enroll", handler: || web::to(agent::osquery::begin) },
    Route { who: Who::Agent, methods: "POST", path: "/api/v1/osquery/config", handler: || web::to(agent::osquery::config) },
    Route { who: Who::Agent, methods: "POST", path: "/api/v1/osquery/distributed/read", handler: || web::to(agent::osquery::queries) },
    Route { who: Who::Agent, methods: "POST", path: "/api/v1/osquery/distributed/write", handler: || web::to(agent::osquery::found) },
    Route { who: Who::Agent, methods: "POST", path: "/api/v1/osquery/log", handler: || web::to(agent::osquery::log) },
    Route { who: Who::Agent, methods: "GET", path: "{base}/device/{token}", handler: || web::to(agent::desktop::show) },
    Route { who: Who::Agent, methods: "GET", path: "{base}/device/{token}/desktop", handler: || web::to(agent::desktop::summary) },
    Route { who: Who::Agent, methods: "HEAD", path: "{base}/device/{token}/ping", handler: || web::to(agent::desktop::ping) },
    Route { who: Who::Agent, methods: "POST", path: "{base}/device/{token}/refetch", handler: || web::to(agent::desktop::refetch) },
    Route { who: Who::Agent, methods: "POST", path: "{base}/device/{token}/configuration_profiles/{uuid}/resend", handler: || web::to(agent::desktop::resend) },
    Route { who: Who::Agent, methods: "GET", path: "{base}/device/{token}/device_mapping", handler: || web::to(agent::desktop::users) },
    Route { who: Who::Agent, methods: "GET", path: "{base}/device/{token}/transparency", handler: || web::to(agent::desktop::transparency) },
    Route { who: Who::Agent, methods: "POST", path: "{base}/device/{token}/debug/errors", handler: || web::to(agent::desktop::errors) },

    Route { who: Who::Anyone, methods: "POST", path: "{base}/login", handler: || web::to(admin::sign_in::login) },
    Route { who: Who::Anyone, methods: "GET", path: "{base}/sso", handler: || web::to(admin::sso::settings) },
    Route { who: Who::Anyone, methods: "POST", path: "{base}/sso", handler: || web::to(admin::sso::begin) },
    Route { who: Who::Anyone, methods: "GET", path: "/login/oidc", handler: || web::to(admin::sso::go) },
    Route { who: Who::Anyone, methods: "GET", path: "/login/oidc/callback", handler: || web::to(admin::sso::callback) },
    Route { who: Who::Anyone, methods: "GET", path: "/login/saml", handler: || web::to(admin::sso::go) },
    Route { who: Who::Anyone, methods: "POST", path: "/login/saml/callback", handler: || web::to(admin::sso::form_callback) },
    Route { who: Who::Anyone, methods: "GET", path: "/login/saml/metadata", handler: || web::to(admin::sso::metadata) },
    Route { who: Who::Anyone, methods: "POST", path: "{base}/forgot_password", handler: || web::to(admin::sign_in::forgot) },
    Route { who: Who::Anyone, methods: "POST", path: "{base}/reset_password", handler: || web::to(admin::sign_in::reset) },
    Route { who: Who::Anyone, methods: "POST", path: "{base}/users", handler: || web::to(admin::invites::accept) },
    Route { who: Who::Anyone, methods: "GET", path: "{base}/invites/{token:rookery_invite_[0-9a-f]+}", handler: || web::to(admin::invites::by_key) },
    Route { who: Who::Anyone, methods: "GET", path: "/login/invite/{token}", handler: || web::to(admin::pages::invite) },
    Route { who: Who::Anyone, methods: "POST", path: "/login/invite/{token}", handler: || web::to(admin::pages::accept) },
    Route { who: Who::Anyone, methods: "GET", path: "/login/reset/{token}", handler: || web::to(admin::pages::reset) },
    Route { who: Who::Anyone, methods: "POST", path: "/login/reset/{token}", handler: || web::to(admin::pages::choose) },
    Route { who: Who::Admin(OwnAccount), methods: "POST", path: "{base}/logout", handler: || web::to(admin::sign_in::logout) },
    Route { who: Who::Admin(OwnAccount), methods: "GET", path: "{base}/me", handler: || web::to(admin::sign_in::me) },
    Route { who: Who::Admin(OwnAccount), methods: "POST", path: "{base}/change_password", handler: || web::to(admin::sign_in::change_password) },
    Route { who: Who::Admin(OwnAccount), methods: "GET", path: "{base}/me/tokens", handler: || web::to(admin::tokens::list_own) },
    Route { who: Who::Admin(OwnAccount), methods: "POST", path: "{base}/me/tokens", handler: || web::to(admin::tokens::create_own) },
    Route { who: Who::Admin(OwnAccount), methods: "DELETE", path: "{base}/me/tokens/{id:[0-9]+}", handler: || web::to(admin::tokens::delete_own) },
    Route { who: Who::Admin(UsersRead), methods: "GET", path: "{base}/users", handler: || web::to(admin::users::list) },
    Route { who: Who::Admin(UsersWrite), methods: "POST", path: "{base}/users/admin", handler: || web::to(admin::users::create) },
    Route { who: Who::Admin(UsersRead), methods: "GET", path: "{base}/users/{id:[0-9]+}", handler: || web::to(admin::users::by_id) },
    Route { who: Who::Admin(UsersWrite), methods: "PATCH", path: "{base}/users/{id:[0-9]+}", handler: || web::to(admin::users::change) },
    Route { who: Who::Admin(UsersWrite), methods: "DELETE", path: "{base}/users/{id:[0-9]+}", handler: || web::to(admin::users::delete) },
    Route { who: Who::Admin(UsersWrite), methods: "POST", path: "{base}/users/{id:[0-9]+}/require_password_reset", handler: || web::to(admin::users::require_reset) },
    Route { who: Who::Admin(UsersRead), methods: "GET", path: "{base}/users/{id:[0-9]+}/sessions", handler: || web::to(admin::users::sessions) },
    Route { who: Who::Admin(UsersWrite), methods: "DELETE", path: "{base}/users/{id:[0-9]+}/sessions", handler: || web::to(admin::users::end_sessions) },
    Route { who: Who::Admin(UsersWrite), methods: "DELETE", path: "{base}/sessions/{id:[0-9]+}", handler: || web::to(admin::users::end_session) },
    Route { who: Who::Admin(UsersRead), methods: "GET", path: "{base}/users/{id:[0-9]+}/tokens", handler: || web::to(admin::tokens::list_of) },
    Route { who: Who::Admin(UsersWrite), methods: "POST", path: "{base}/users/{id:[0-9]+}/tokens", handler: || web::to(admin::tokens::create_of) },
    Route { who: Who::Admin(UsersWrite), methods: "DELETE", path: "{base}/users/{id:[0-9]+}/tokens/{token:[0-9]+}", handler: || web::to(admin::tokens::delete_of) },
    Route { who: Who::Admin(UsersRead), methods: "GET", path: "{base}/invites", handler: || web::to(admin::invites::list) },
    Route { who: Who::Admin(UsersWrite), methods: "POST", path: "{base}/invites", handler: || web::to(admin::invites::create) },
    Route { who: Who::Admin(UsersWrite), methods: "DELETE", path: "{base}/invites/{id:[0-9]+}", handler: || web::to(admin::invites::delete) },
    Route { who: Who::Admin(CommandPolicy), methods: "GET", path: "{base}/commands/policy", handler: || web::to(admin::command_policy::get) },
    Route { who: Who::Admin(CommandPolicy), methods: "PUT", path: "{base}/commands/policy", handler: || web::to(admin::command_policy::replace) },

    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts", handler: || web::to(admin::hosts::list) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/count", handler: || web::to(admin::hosts::count) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/report", handler: || web::to(admin::host_report::report) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/summary/mdm", handler: || web::to(admin::host_summary::mdm) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/host_summary", handler: || web::to(admin::host_summary::all) },
    Route { who: Who::Admin(HostsWrite), methods: "POST", path: "{base}/hosts/import", handler: || web::to(admin::host_import::import) },
    Route { who: Who::Admin(HostsWrite), methods: "POST", path: "{base}/hosts/delete", handler: || web::to(admin::host_removal::delete_many) },
    Route { who: Who::Admin(HostsTransfer), methods: "POST", path: "{base}/hosts/transfer", handler: || web::to(admin::teams::transfer) },
    Route { who: Who::Admin(HostsTransfer), methods: "POST", path: "{base}/hosts/transfer/filter", handler: || web::to(admin::teams::transfer_filter) },
    Route { who: Who::Admin(HostFind), methods: "GET", path: "{base}/hosts/identifier/{identifier}", handler: || web::to(admin::hosts::by_identifier) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}", handler: || web::to(admin::hosts::by_id) },
    Route { who: Who::Admin(HostsWrite), methods: "DELETE", path: "{base}/hosts/{id:[0-9]+}", handler: || web::to(admin::host_removal::delete) },
    Route { who: Who::Admin(HostsUnenroll), methods: "DELETE", path: "{base}/hosts/{id:[0-9]+}/mdm", handler: || web::to(admin::host_removal::unenroll) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/mdm", handler: || web::to(admin::hosts::mdm) },
    Route { who: Who::Admin(HostsRead), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/refetch", handler: || web::to(admin::hosts::refetch) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/actor", handler: || web::to(admin::hosts::actor) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/activities", handler: || web::to(admin::activities::of_host) },
    Route { who: Who::Admin(ActivitiesRead), methods: "GET", path: "{base}/activities", handler: || web::to(admin::activities::list) },
    Route { who: Who::Admin(ActivitiesRead), methods: "GET", path: "{base}/activities/export", handler: || web::to(admin::activities::export) },
    Route { who: Who::Admin(HostsLock), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/lock", handler: || web::to(admin::host_lock::lock) },
    Route { who: Who::Admin(HostsLock), methods: "POST", path: "{base}/mdm/hosts/{id:[0-9]+}/lock", handler: || web::to(admin::host_lock::lock) },
    Route { who: Who::Admin(HostsLock), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/unlock", handler: || web::to(admin::host_lock::unlock) },
    Route { who: Who::Admin(HostsLock), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/wipe", handler: || web::to(admin::host_lock::wipe) },
    Route { who: Who::Admin(HostsLock), methods: "POST", path: "{base}/mdm/hosts/{id:[0-9]+}/wipe", handler: || web::to(admin::host_lock::wipe) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/events", handler: || web::to(admin::host_events::events) },
    Route { who: Who::Admin(TeamsRead), methods: "GET", path: "{base}/config", handler: || web::to(admin::os_updates::config) },
    Route { who: Who::Admin(TeamChange), methods: "PATCH", path: "{base}/config", handler: || web::to(admin::os_updates::change_config) },
    Route { who: Who::Admin(TeamChange), methods: "PATCH", path: "{base}/setup_experience", handler: || web::to(admin::setup_experience::change) },
    Route { who: Who::Admin(TeamChange), methods: "PATCH", path: "{base}/mdm/apple/setup", handler: || web::to(admin::setup_experience::change) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/declarative_status", handler: || web::to(admin::host_declarations::status) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/device_mapping", handler: || web::to(admin::end_users::mapping) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/orphan_results", handler: || web::to(admin::hosts::orphans) },
    Route { who: Who::Admin(CommandsRun), methods: "POST", path: "{base}/commands/run", handler: || web::to(admin::command_run::run) },
    Route { who: Who::Admin(CommandsRun), methods: "POST", path: "{base}/mdm/commands/run", handler: || web::to(admin::command_run::run) },
    Route { who: Who::Admin(CommandsRun), methods: "POST", path: "{base}/mdm/apple/enqueue", handler: || web::to(admin::command_run::run) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/commands/held", handler: || web::to(admin::brakes::held) },
    Route { who: Who::Admin(CommandsRun), methods: "POST", path: "{base}/commands/{uuid}/cancel", handler: || web::to(admin::brakes::cancel) },
    Route { who: Who::Admin(CommandsApprove), methods: "POST", path: "{base}/commands/{uuid}/approve", handler: || web::to(admin::brakes::approve) },
    Route { who: Who::Admin(CommandsApprove), methods: "POST", path: "{base}/commands/{uuid}/reject", handler: || web::to(admin::brakes::reject) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/commands/results", handler: || web::to(admin::commands::results) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/commands/{uuid}", handler: || web::to(admin::command_batch::status) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/mdm/commandresults", handler: || web::to(admin::commands::results) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/mdm/apple/commandresults", handler: || web::to(admin::commands::results) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/commands", handler: || web::to(admin::commands::list) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/mdm/commands", handler: || web::to(admin::commands::list) },
    Route { who: Who::Admin(CommandsRead), methods: "GET", path: "{base}/mdm/apple/commands", handler: || web::to(admin::commands::list) },
    Route { who: Who::Admin(TeamsRead), methods: "GET", path: "{base}/teams", handler: || web::to(admin::teams::list) },
    Route { who: Who::Admin(TeamsWrite), methods: "POST", path: "{base}/teams", handler: || web::to(admin::teams::create) },
    Route { who: Who::Admin(TeamsRead), methods: "GET", path: "{base}/teams/{id:[0-9]+}", handler: || web::to(admin::teams::by_id) },
    Route { who: Who::Admin(TeamChange), methods: "PATCH", path: "{base}/teams/{id:[0-9]+}", handler: || web::to(admin::teams::change) },
    Route { who: Who::Admin(TeamsWrite), methods: "DELETE", path: "{base}/teams/{id:[0-9]+}", handler: || web::to(admin::teams::delete) },
    Route { who: Who::Admin(EnrollSecretsRead), methods: "GET", path: "{base}/teams/{id:[0-9]+}/secrets", handler: || web::to(admin::teams::secrets) },
    Route { who: Who::Admin(EnrollSecretsWrite), methods: "PATCH", path: "{base}/teams/{id:[0-9]+}/secrets", handler: || web::to(admin::teams::replace_secrets) },
    Route { who: Who::Admin(LabelsRead), methods: "GET", path: "{base}/labels", handler: || web::to(admin::labels::list) },
    Route { who: Who::Admin(LabelsWrite), methods: "POST", path: "{base}/labels", handler: || web::to(admin::labels::create) },
    Route { who: Who::Admin(LabelsRead), methods: "GET", path: "{base}/labels/summary", handler: || web::to(admin::labels::summary) },
    Route { who: Who::Admin(LabelsRead), methods: "GET", path: "{base}/labels/{id:[0-9]+}", handler: || web::to(admin::labels::by_id) },
    Route { who: Who::Admin(LabelsWrite), methods: "PATCH", path: "{base}/labels/{id:[0-9]+}", handler: || web::to(admin::labels::change) },
    Route { who: Who::Admin(LabelsWrite), methods: "DELETE", path: "{base}/labels/id/{id:[0-9]+}", handler: || web::to(admin::labels::delete) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/labels/{id:[0-9]+}/hosts", handler: || web::to(admin::hosts::list_of_label) },
    Route { who: Who::Admin(HostsWrite), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/labels", handler: || web::to(admin::labels::give) },
    Route { who: Who::Admin(HostsWrite), methods: "DELETE", path: "{base}/hosts/{id:[0-9]+}/labels", handler: || web::to(admin::labels::take) },
    Route { who: Who::Admin(AbmTokens), methods: "GET", path: "{base}/mdm/apple/abm_public_key", handler: || web::to(admin::abm::public_key) },
    Route { who: Who::Admin(AbmTokens), methods: "GET", path: "{base}/abm_tokens", handler: || web::to(admin::abm::list) },
    Route { who: Who::Admin(AbmTokens), methods: "POST", path: "{base}/abm_tokens", handler: || web::to(admin::abm::upload) },
    Route { who: Who::Admin(AbmTokens), methods: "GET", path: "{base}/abm_tokens/count", handler: || web::to(admin::abm::count) },
    Route { who: Who::Admin(AbmTokens), methods: "PATCH", path: "{base}/abm_tokens/{id:[0-9]+}/teams", handler: || web::to(admin::abm::set_teams) },
    Route { who: Who::Admin(AbmTokens), methods: "PATCH", path: "{base}/abm_tokens/{id:[0-9]+}/renew", handler: || web::to(admin::abm::renew) },
    Route { who: Who::Admin(AbmTokens), methods: "DELETE", path: "{base}/abm_tokens/{id:[0-9]+}", handler: || web::to(admin::abm::delete) },
    Route { who: Who::Admin(HostsRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/dep_assignment", handler: || web::to(admin::abm::of_host) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/enrollment_profiles/automatic", handler: || web::to(admin::setup_assistant::show) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/enrollment_profiles/automatic", handler: || web::to(admin::setup_assistant::save) },
    Route { who: Who::Admin(ProfilesWrite), methods: "DELETE", path: "{base}/enrollment_profiles/automatic", handler: || web::to(admin::setup_assistant::delete) },
    Route { who: Who::Admin(EnrollSecretsRead), methods: "GET", path: "{base}/enrollment_profiles/manual", handler: || web::to(admin::enrollment::manual) },
    Route { who: Who::Admin(EnrollSecretsRead), methods: "GET", path: "{base}/mdm/manual_enrollment_profile", handler: || web::to(admin::enrollment::manual) },
    Route { who: Who::Admin(EnrollSecretsRead), methods: "POST", path: "{base}/windows_enrollment_tokens", handler: || web::to(admin::windows_tokens::make) },
    Route { who: Who::Admin(EnrollSecretsRead), methods: "GET", path: "{base}/spec/enroll_secret", handler: || web::to(admin::enrollment::secrets) },
    Route { who: Who::Admin(EnrollSecretsWrite), methods: "POST", path: "{base}/spec/enroll_secret", handler: || web::to(admin::enrollment::replace_secrets) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/configuration_profiles", handler: || web::to(profiles::upload) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/configuration_profiles", handler: || web::to(profiles::list) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/configuration_profiles/summary", handler: || web::to(profiles::summary) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/configuration_profiles/batch", handler: || web::to(profiles::replace) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/configuration_profiles/resend/batch", handler: || web::to(profiles::resend_failed) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/configuration_profiles/{uuid}", handler: || web::to(profiles::by_uuid) },
    Route { who: Who::Admin(ProfilesWrite), methods: "PATCH", path: "{base}/configuration_profiles/{uuid}", handler: || web::to(profiles::change) },
    Route { who: Who::Admin(ProfilesWrite), methods: "DELETE", path: "{base}/configuration_profiles/{uuid}", handler: || web::to(profiles::delete) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/configuration_profiles/{uuid}/status", handler: || web::to(profiles::of_profile) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/mdm/profiles", handler: || web::to(profiles::upload) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/mdm/profiles", handler: || web::to(profiles::list) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/mdm/profiles/summary", handler: || web::to(profiles::summary) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/mdm/profiles/batch", handler: || web::to(profiles::replace) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/mdm/profiles/{uuid}", handler: || web::to(profiles::by_uuid) },
    Route { who: Who::Admin(ProfilesWrite), methods: "DELETE", path: "{base}/mdm/profiles/{uuid}", handler: || web::to(profiles::delete) },
    Route { who: Who::Admin(ProfilesRead), methods: "GET", path: "{base}/hosts/{id:[0-9]+}/configuration_profiles", handler: || web::to(profiles::of_host) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/configuration_profiles/{uuid}/resend", handler: || web::to(profiles::resend) },
    Route { who: Who::Admin(ProfilesWrite), methods: "POST", path: "{base}/hosts/{id:[0-9]+}/configuration_profiles/resend/{uuid}", handler: || web::to(profiles::resend) },
    Route { who: Who::Admin(SecretVariables), methods: "PUT", path: "{base}/spec/secret_variables", handler: || web::to(admin::custom_variables::apply) },
    Route { who: Who::Admin(Files), methods: "POST", path: "{base}/spec/gitops", handler: || web::to(admin::gitops::apply) },
    Route { who: Who::Admin(SecretVariables), methods: "GET", path: "{base}/custom_variables", handler: || web::to(admin::custom_variables::list) },
    Route { who: Who::Admin(SecretVariables), methods: "POST", path: "{base}/custom_variables", handler: || web::to(admin::custom_variables::create) },
    Route { who: Who::Admin(SecretVariables), methods: "DELETE", path: "{base}/custom_variables/{id:[0-9]+}", handler: || web::to(admin::custom_variables::delete) },
    Route { who: Who::Admin(Webhooks), methods: "GET", path: "{base}/webhooks", handler: || web::to(admin::webhooks::list) },
    Route { who: Who::Admin(Webhooks), methods: "POST", path: "{base}/webhooks", handler: || web::to(admin::webhooks::create) },
    Route { who: Who::Admin(Webhooks), methods: "GET", path: "{base}/webhooks/{id:[0-9]+}", handler: || web::to(admin::webhooks::get) },
    Route { who: Who::Admin(Webhooks), methods: "PATCH", path: "{base}/webhooks/{id:[0-9]+}", handler: || web::to(admin::webhooks::change) },
    Route { who: Who::Admin(Webhooks), methods: "DELETE", path: "{base}/webhooks/{id:[0-9]+}", handler: || web::to(admin::webhooks::delete) },
    Route { who: Who::Admin(Webhooks), methods: "POST", path: "{base}/webhooks/{id:[0-9]+}/secret", handler: || web::to(admin::webhooks::rotate) },
    Route { who: Who::Admin(Webhooks), methods: "DELETE", path: "{base}/webhooks/{id:[0-9]+}/secret", handler: || web::to(admin::webhooks::retire) },
    Route { who: Who::Admin(Webhooks), methods: "POST", path: "{base}/webhooks/{id:[0-9]+}/test", handler: || web::to(admin::webhooks::test) },
    Route { who: Who::Admin(Webhooks), methods: "GET", path: "{base}/webhooks/{id:[0-9]+}/deliveries", handler: || web::to(admin::webhooks::deliveries) },
    Route { who: Who::Admin(Webhooks), methods: "DELETE", path: "{base}/webhooks/{id:[0-9]+}/deliveries", handler: || web::to(admin::webhooks::drop_all) },
    Route { who: Who::Admin(Webhooks), methods: "POST", path: "{base}/webhooks/{id:[0-9]+}/deliveries/replay", handler: || web::to(admin::webhooks::replay_all) },
    Route { who: Who::Admin(Webhooks), methods: "DELETE", path: "{base}/webhooks/{id:[0-9]+}/deliveries/{delivery:[0-9]+}", handler: || web::to(admin::webhooks::drop_one) },
    Route { who: Who::Admin(Webhooks), methods: "POST", path: "{base}/webhooks/{id:[0-9]+}/deliveries/{delivery:[0-9]+}/replay", handler: || web::to(admin::webhooks::replay_one) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/Users", handler: || web::to(admin::scim::users::list) },
    Route { who: Who::Admin(Scim), methods: "POST", path: "{base}/scim/Users", handler: || web::to(admin::scim::users::create) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/Users/{id}", handler: || web::to(admin::scim::users::by_id) },
    Route { who: Who::Admin(Scim), methods: "PUT", path: "{base}/scim/Users/{id}", handler: || web::to(admin::scim::users::replace) },
    Route { who: Who::Admin(Scim), methods: "PATCH", path: "{base}/scim/Users/{id}", handler: || web::to(admin::scim::users::change) },
    Route { who: Who::Admin(Scim), methods: "DELETE", path: "{base}/scim/Users/{id}", handler: || web::to(admin::scim::users::delete) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/Groups", handler: || web::to(admin::scim::groups::list) },
    Route { who: Who::Admin(Scim), methods: "POST", path: "{base}/scim/Groups", handler: || web::to(admin::scim::groups::create) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/Groups/{id}", handler: || web::to(admin::scim::groups::by_id) },
    Route { who: Who::Admin(Scim), methods: "PUT", path: "{base}/scim/Groups/{id}", handler: || web::to(admin::scim::groups::replace) },
    Route { who: Who::Admin(Scim), methods: "PATCH", path: "{base}/scim/Groups/{id}", handler: || web::to(admin::scim::groups::change) },
    Route { who: Who::Admin(Scim), methods: "DELETE", path: "{base}/scim/Groups/{id}", handler: || web::to(admin::scim::groups::delete) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/ServiceProviderConfig", handler: || web::to(admin::scim::config) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/ResourceTypes", handler: || web::to(admin::scim::resource_types) },
    Route { who: Who::Admin(Scim), methods: "GET", path: "{base}/scim/Schemas", handler: || web::to(admin::scim::schemas) },

    Route { who: Who::Admin(CommandsRun), methods: "PUT", path: "/v1/enqueue/{ids}", handler: || web::to(admin::nano::enqueue) },
    Route { who: Who::Admin(CommandsRun), methods: "GET PUT", path: "/v1/push/{ids}", handler: || web::to(admin::nano::push) },
    Route { who: Who::Admin(PushCertificates), methods: "PUT", path: "/v1/pushcert", handler: || web::to(admin::nano::upload) },
    Route { who: Who::Admin(PushCertificates), methods: "GET", path: "/v1/pushcert", handler: || web::to(admin::nano::certificate) },
    Route { who: Who::Anyone, methods: "GET", path: "/api/openapi.json", handler: || web::to(openapi::openapi) },
    Route { who: Who::Anyone, methods: "GET", path: "/api/docs", handler: || web::to(openapi::page) },
    Route { who: Who::Anyone, methods: "GET", path: "/version", handler: || web::to(admin::nano::version) },

    Route { who: Who::Operator, methods: "GET", path: "/healthz", handler: || web::to(ops::healthz) },
    Route { who: Who::Operator, methods: "GET", path: "/readyz", handler: || web::to(ops::readyz) },
    Route { who: Who::Operator, methods: "GET", path: "/tree", handler: || web::to(ops::tree) },
    Route { who: Who::Operator, methods: "GET", path: "/metrics", handler: || web::to(ops::metrics) },
];

impl Route {
    fn full_path(&self) -> String {
        self.path.replace("{base}", BASE)
    }

    fn to_actix(self) -> Vec<actix_web::Route> {
        let method = |name: &str| actix_web::http::Method::from_bytes(name.as_bytes()).unwrap_or_default();
        let handle = || match self.who {
            Who::Admin(permission) => {
                let permit = move |request, next| admin::auth::permit(permission, request, next);
                (self.handler)().wrap(from_fn(permit)).wrap(from_fn(admin::auth::require))
            }
            _ => (self.handler)(),
        };
        self.methods.split(' ').map(|name| handle().method(method(name))).collect()
    }
}

/// Puts the routes of one listener in place. Admins' routes stand behind their middleware, whatever the handler does.
pub fn configure(config: &mut ServiceConfig, serves: fn(Who) -> bool) {
    let mut paths: Vec<String> = Vec::new();
    for route in ROUTES.iter().filter(|route| serves(route.who)) {
        let path = route.full_path();
        if paths.contains(&path) {
            continue;
        }
        let same = ROUTES.iter().filter(|other| other.full_path() == path);
        let mut resource = web::resource(path.as_str());
        for actix in same.flat_map(|other| other.to_actix()) {
            resource = resource.route(actix);
        }
        match route.who {
            Who::EnrolledDevice => config.service(resource.default_service(web::to(wrong_method))),
            Who::Admin(_) | Who::Anyone => {
                let resource = resource.default_service(web::to(error::wrong_method));
                config.service(resource.wrap(from_fn(guard::private)))
            }
            Who::Newcomer | Who::Agent | Who::Operator => config.service(resource),
        };
        paths.push(path);
    }
}
