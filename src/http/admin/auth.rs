//! Who an admin is: a bearer token, or Basic authentication with a token as its password (for NanoMDM's tools).
//!
//! The middleware stands before every admin route; a handler cannot be reached without it.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::{Data, ReqData};
use actix_web::{Error, HttpMessage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::api_token;
use openssl::rand::rand_bytes;
use openssl::sha::sha256;

use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// What every token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "rookery_";
/// The longest credential that is looked at.
const MAX_BYTES: usize = 256;

/// The admin behind a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The name of the token.
    pub name: String,
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
    let token = token.ok_or_else(ApiError::unauthenticated)?;
    let now = edge.front.clock.now().millis();
    let known = api_token::by_hash(&edge.front.reader, hash(&token), now).await.map_err(ApiError::from)?;
    let known = known.ok_or_else(ApiError::unauthenticated)?;
    request.extensions_mut().insert(Admin { name: known.name });
    next.call(request).await
}

/// A new token, and the hash to store.
///
/// # Errors
/// The system has no randomness.
pub fn new_token() -> Result<(String, Vec<u8>), openssl::error::ErrorStack> {
    let mut random = [0; 32];
    rand_bytes(&mut random)?;
    let token = random.iter().fold(PREFIX.to_owned(), |text, byte| text + &format!("{byte:02x}"));
    let hash = hash(token.as_bytes());
    Ok((token, hash))
}

fn hash(token: &[u8]) -> Vec<u8> {
    sha256(token).to_vec()
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
        let ((one, hash_of_one), (two, _)) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, two);
        assert!(one.len() == PREFIX.len() + 64 && one.len() < MAX_BYTES);
        assert_eq!(hash(one.as_bytes()), hash_of_one);
    }
}
