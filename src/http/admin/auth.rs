//! Who an admin is: a bearer token or session, or Basic authentication with a token as its password (for NanoMDM's tools).
//!
//! The middleware stands before every admin route; a handler cannot be reached without it. A key that was found is
//! remembered for a second, so that a script's thousand requests ask the database once. Whatever is changed here forgets
//! them all; what another process changes, for example the command line, counts after that second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::{Data, ReqData};
use actix_web::{Error, HttpMessage};
use actors::people::UseSession;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::role::Role;
use entities::user::User;
use entities::{api_token, session, user};
use openssl::rand::rand_bytes;
use openssl::sha::sha256;

use super::permission::{Extent, Permission, Powers};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// What each kind of key begins with, so that scanners for leaked secrets find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token for programs.
    Token,
    /// What somebody shows who signed in.
    Session,
    /// What somebody was sent who is invited.
    Invite,
    /// What somebody was sent who wants a new password.
    Reset,
}

/// The longest credential that is looked at.
const MAX_BYTES: usize = 256;

/// How long a token that was found is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Tokens that are remembered at most.
const MOST_REMEMBERED: usize = 1024;

/// Tokens that were found a moment ago, by their hashes.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<HashMap<[u8; 32], (Admin, Instant)>>);

/// The admin behind a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// What the audit log calls them: the email address of a person, or the name of a token that belongs to nobody.
    pub name: String,
    /// Their name for people.
    pub full_name: String,
    /// Their row, unless the token belongs to nobody.
    pub user_id: Option<i64>,
    /// The session in which they ask, unless they have a token.
    pub session_id: Option<i64>,
    powers: Powers,
    /// What the route asks for.
    needs: Permission,
}

/// The admin, in a handler's arguments.
pub type Asking = ReqData<Admin>;

/// Lets a request through only with a token that works.
pub async fn require(
    edge: Data<AdminEdge>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| credential(value.as_bytes()));
    let admin = admin_of(&edge, &token.ok_or_else(ApiError::unauthenticated)?).await?;
    request.extensions_mut().insert(admin);
    next.call(request).await
}

/// Lets a request through only if the admin has the permission somewhere; where, the handler looks at.
pub async fn permit(
    permission: Permission,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let admin = request.extensions_mut().remove::<Admin>().ok_or_else(ApiError::unauthenticated)?;
    let admin = Admin { needs: permission, ..admin };
    admin.extent()?;
    request.extensions_mut().insert(admin);
    next.call(request).await
}

impl Admin {
    /// What the route asks for.
    pub const fn needs(&self) -> Permission {
        self.needs
    }

    /// For which teams the admin may do what the route does.
    ///
    /// # Errors
    /// 403: for none.
    pub fn extent(&self) -> Result<Extent, ApiError> {
        self.extent_of(self.needs)
    }

    /// For which teams the admin may do something else, too.
    ///
    /// # Errors
    /// 403: for none.
    pub fn extent_of(&self, permission: Permission) -> Result<Extent, ApiError> {
        self.powers.extent(permission).ok_or_else(|| ApiError::forbidden(permission))
    }

    /// Whether the admin may do what the route does in this team; `None` stands for hosts of no team.
    ///
    /// # Errors
    /// 403.
    pub fn demand(&self, team: Option<i64>) -> Result<(), ApiError> {
        if self.extent()?.holds(team) { Ok(()) } else { Err(ApiError::forbidden(self.needs)) }
    }

    /// Their roles: everywhere, or in the team.
    pub fn role_in(&self, team: Option<i64>) -> Option<Role> {
        let of_team = |id| self.powers.teams.iter().find(|(team, _)| *team == id).map(|(_, role)| *role);
        self.powers.everywhere.or_else(|| team.and_then(of_team))
    }
}

async fn admin_of(edge: &AdminEdge, key: &[u8]) -> Result<Admin, ApiError> {
    let hash = sha256(key);
    if let Some(admin) = edge.remembered.recall(&hash, Instant::now()) {
        return Ok(admin);
    }
    let found = if key.starts_with(Kind::Session.prefix().as_bytes()) {
        by_session(edge, hash).await?
    } else {
        by_token(edge, hash).await?
    };
    let admin = found.ok_or_else(ApiError::unauthenticated)?;
    edge.remembered.remember(hash, admin.clone(), Instant::now());
    Ok(admin)
}

async fn by_session(edge: &AdminEdge, hash: [u8; 32]) -> Result<Option<Admin>, ApiError> {
    let (reader, now) = (&edge.front.reader, edge.front.clock.now().millis());
    let Some(session) = session::by_hash(reader, hash.to_vec(), now).await? else { return Ok(None) };
    let Some(user) = user::by_id(reader, session.user_id).await? else { return Ok(None) };
    if now - session.last_used_at > session::NOTED_EVERY {
        edge.front.people.tell(UseSession { id: session.id });
    }
    Ok(Admin::of_user(user, None).map(|admin| Admin { session_id: Some(session.id), ..admin }))
}

async fn by_token(edge: &AdminEdge, hash: [u8; 32]) -> Result<Option<Admin>, ApiError> {
    let (reader, now) = (&edge.front.reader, edge.front.clock.now().millis());
    let Some(token) = api_token::by_hash(reader, hash.to_vec(), now).await? else { return Ok(None) };
    let Some(user_id) = token.user_id else { return Ok(Some(Admin::of_token(token.name))) };
    let user = user::by_id(reader, user_id).await?;
    let scopes = token.scopes.map(|scopes| scopes.split(' ').filter_map(Permission::parse).collect());
    Ok(user.and_then(|user| Admin::of_user(user, scopes)))
}

impl Admin {
    /// Whoever has the machine made this token, for everything.
    fn of_token(name: String) -> Self {
        let full_name = name.clone();
        let needs = Permission::OwnAccount;
        Self { name, full_name, user_id: None, session_id: None, powers: Powers::all(), needs }
    }

    /// A user; `None` while they may do nothing.
    fn of_user(User { row, roles }: User, scopes: Option<Vec<Permission>>) -> Option<Self> {
        // Until they have chosen a new password, they may do nothing else.
        let scopes = if row.force_password_reset { Some(vec![Permission::OwnAccount]) } else { scopes };
        let powers = Powers { everywhere: roles.everywhere, teams: roles.teams, scopes };
        let user_id = Some(row.id);
        let (name, full_name, needs) = (row.email, row.name, Permission::OwnAccount);
        (!row.disabled).then_some(Self { name, full_name, user_id, session_id: None, powers, needs })
    }

    /// What a token is limited to by which they ask.
    pub fn scopes(&self) -> Option<&[Permission]> {
        self.powers.scopes.as_deref()
    }
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Token => "rookery_",
            Self::Session => "rookery_session_",
            Self::Invite => "rookery_invite_",
            Self::Reset => "rookery_reset_",
        }
    }
}

impl Remembered {
    /// Forgets everyone: somebody may do something else from now on.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn recall(&self, hash: &[u8; 32], now: Instant) -> Option<Admin> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, since)| now.duration_since(*since) < REMEMBERED).map(|(admin, _)| admin.clone())
    }

    fn remember(&self, hash: [u8; 32], admin: Admin, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(hash, (admin, now));
    }
}

/// A new key, and the hash to store.
///
/// # Errors
/// The system has no randomness.
pub fn new_key(kind: Kind) -> Result<(String, Vec<u8>), openssl::error::ErrorStack> {
    let mut random = [0; 32];
    rand_bytes(&mut random)?;
    let key = random.iter().fold(kind.prefix().to_owned(), |text, byte| text + &format!("{byte:02x}"));
    let hash = hash_of(&key);
    Ok((key, hash))
}

/// What is stored of a key.
pub(super) fn hash_of(key: &str) -> Vec<u8> {
    sha256(key.as_bytes()).to_vec()
}

fn credential(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let (scheme, rest) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        return Some(pair[colon + 1..].to_vec());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_basic() {
        assert_eq!(credential(b"Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(credential(b"bearer  abc "), Some(b"abc".to_vec()));
        let basic = format!("Basic {}", STANDARD.encode("nanomdm:abc"));
        assert_eq!(credential(basic.as_bytes()), Some(b"abc".to_vec()));
        for nothing in ["", "Bearer", "Digest abc", "Basic !", &format!("Bearer {}", "x".repeat(300))] {
            assert_eq!(credential(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn a_token_is_random_and_found_by_its_hash() {
        let ((one, hash_of_one), (two, _)) = (new_key(Kind::Token).unwrap(), new_key(Kind::Token).unwrap());
        assert_ne!(one, two);
        assert!(one.len() == Kind::Token.prefix().len() + 64 && one.len() < MAX_BYTES);
        assert_eq!(hash_of(&one), hash_of_one);
    }

    #[test]
    fn a_token_is_remembered_for_a_second_and_not_for_two() {
        let (remembered, now) = (Remembered::default(), Instant::now());
        let admin = Admin::of_token("ada".into());
        remembered.remember([1; 32], admin.clone(), now);
        assert_eq!(remembered.recall(&[1; 32], now + REMEMBERED / 2), Some(admin));
        assert_eq!(remembered.recall(&[1; 32], now + REMEMBERED), None);
        assert_eq!(remembered.recall(&[2; 32], now), None);
    }
}
