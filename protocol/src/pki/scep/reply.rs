//! The CertRep message (RFC 8894 section 3.3.2): granted or refused.
//!
//! The digest is the request's (MD5 is answered with SHA-1), the cipher too. Start with [`reply_success`].

use openssl::error::ErrorStack;

use super::attributes::{
    CERT_REP, FailInfo, Nonce, STATUS_FAILURE, STATUS_SUCCESS, fail_info, message_type, recipient_nonce, sender_nonce,
    status, transaction_id,
};
use super::certificates::degenerate;
use super::request::{ReplyContext, Request};
use crate::pki::algorithm::Digest;
use crate::pki::certificate::Certificate;
use crate::pki::envelope::{SealError, seal};
use crate::pki::signature::{Signing, signed_data};
use crate::pki::signer::Signer;

/// Grants a request: the issued certificate, then `chain`, encrypted to the request's signer, signed by `ra`.
pub fn reply_success(
    request: &Request,
    issued: &Certificate,
    chain: &[Certificate],
    ra: &Signer,
) -> Result<Vec<u8>, SealError> {
    let certificates = degenerate(std::iter::once(issued).chain(chain));
    let envelope = seal(&certificates, &request.signer, request.cipher)?;
    Ok(reply(&request.context, vec![status(STATUS_SUCCESS)], &envelope, ra)?)
}

/// Refuses a request.
pub fn reply_failure(context: &ReplyContext, reason: FailInfo, ra: &Signer) -> Result<Vec<u8>, ErrorStack> {
    reply(context, vec![status(STATUS_FAILURE), fail_info(reason)], &[], ra)
}

fn reply(
    context: &ReplyContext,
    mut attributes: Vec<Vec<u8>>,
    content: &[u8],
    ra: &Signer,
) -> Result<Vec<u8>, ErrorStack> {
    attributes.extend([
        message_type(CERT_REP),
        transaction_id(&context.transaction_id),
        recipient_nonce(&context.sender_nonce),
        sender_nonce(&Nonce::random()?),
    ]);
    let signing = Signing {
        content,
        // A refusal has empty content rather than none: certmonger's OpenSSL verifies no message without.
        detached: false,
        attributes: Some(attributes),
        chain: &[],
        digest: context.digest.max(Digest::Sha1),
    };
    signed_data(signing, ra)
}
