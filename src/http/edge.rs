//! What handlers have at hand: the actors they may ask, the rows they may read, and the limits of their listener.

use std::sync::Arc;

use actors::tree::Front;

use super::admin::auth::Remembered;
use super::admin::passwords::Passwords;
use super::body::Budget;
use super::device::agent::AgentEdge;
use super::device::sso::SsoEdge;
use super::device::windows_enroll::WindowsEdge;
use super::identity::Proxies;
use super::limiter::Limiter;
use super::sign_on::SignOn;

/// For the listener that devices reach.
#[derive(Debug)]
pub struct DeviceEdge {
    /// The actors.
    pub front: Front,
    /// Memory for large bodies.
    pub budget: Budget,
    /// The largest message of a device, in bytes.
    pub max_body_bytes: usize,
    /// Who may tell us of client certificates.
    pub proxies: Proxies,
    /// How Windows devices enroll.
    pub windows: WindowsEdge,
    /// How agents are served.
    pub agents: AgentEdge,
    /// Where people sign in who enroll a device.
    pub sso: SsoEdge,
    /// Whether users that log in from a network directory are managed (UserAuthenticate is answered).
    pub manage_network_users: bool,
}

/// For the listener that admins reach. It has no writer: commands go through actors, questions to rows.
#[derive(Debug)]
pub struct AdminEdge {
    /// The actors.
    pub front: Front,
    /// Memory for large bodies.
    pub budget: Budget,
    /// Tokens that were found a moment ago.
    pub remembered: Remembered,
    /// Who tries to sign in too often.
    pub limiter: Limiter,
    /// Where passwords are hashed.
    pub passwords: Passwords,
    /// Where people sign in who have no password here.
    pub provider: Option<SignOn>,
    /// What the identity provider is called at which people sign in who enroll a device; `None` where there is none.
    pub end_user_provider: Option<String>,
    /// The address at which people reach this listener; empty when letters are not sent.
    pub url: String,
}

/// For the listener that operators reach.
#[derive(Debug)]
pub struct OpsEdge {
    /// The actors.
    pub front: Front,
    /// What the tree looks like.
    pub board: actors::supervisor::Board,
    /// Whether the server is about to stop.
    pub stopping: Arc<std::sync::atomic::AtomicBool>,
    /// When the server started.
    pub since: protocol::time::Timestamp,
}
