//! One SCEP request (RFC 8894): opened, judged, answered.
//!
//! Every refusal looks the same from outside and takes the same time: the reason is for the log. A certificate leaves only
//! after its row was stored and its challenge used up, in one transaction; the same request gets the same certificate
//! again. Nothing of the request gets into the certificate but its key.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::{enrollment, identity, scep as rows};
use openssl::sha::sha256;
use protocol::ids::{EnrollmentRow, HostId};
use protocol::pki::Certificate;
use protocol::pki::scep::{FailInfo, Policy, ReplyContext, Request, RequestKind, reply_failure, reply_success};
use protocol::time::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{Authority, Desk, Keys, issued};
use crate::ask::{Answer, Refusal};
use crate::trust::has_not_ended;

/// When every refusal is answered, counted from the request's arrival.
const REFUSED_AFTER: Duration = Duration::from_millis(150);

/// A `PKIOperation` message; the answer is a `CertRep`.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Vec<u8>>")]
pub struct PkiOperation {
    /// The message (DER or BER).
    pub message: Vec<u8>,
}

/// Why a request that can be read is not granted; for the log.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("the challenge is missing, wrong, used or over")]
    Challenge,
    #[error("the renewal is not signed by a live certificate of ours")]
    NotLive,
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// What entitles a request to a certificate.
#[derive(Default)]
struct Title {
    challenge: Option<Vec<u8>>,
    renews: Option<EnrollmentRow>,
    promised_serial: Option<String>,
    promised_uuid: Option<String>,
    team_id: Option<i64>,
    automatic: bool,
    account_uuid: Option<String>,
}

impl Handler<PkiOperation> for Authority {
    type Result = ResponseActFuture<Self, Answer<Vec<u8>>>;

    fn handle(&mut self, operation: PkiOperation, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move { answer(&desk, keys, operation.message).await })
    }
}

async fn answer(desk: &Desk, keys: Arc<Keys>, message: Vec<u8>) -> Answer<Vec<u8>> {
    let arrived = Instant::now();
    let (opening, policy) = (keys.clone(), Policy { allow_legacy: desk.config.allow_legacy });
    let opened = desk.work(move || Request::open(&message, opening.recipient(), &policy)).await?;
    let request = match opened {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!("refused a SCEP request: {}", error.refusal);
            let context = error.context.ok_or_else(|| Refusal::Invalid("this is not a SCEP request".into()))?;
            return refuse(desk, keys, context, arrived).await;
        }
    };
    match grant(desk, &keys, &request).await {
        Ok(certificate) => {
            let replying = keys.clone();
            let reply = desk.work(move || reply_success(&request, &certificate, &[], replying.recipient())).await?;
            reply.map_err(Refusal::soon)
        }
        Err(Denied::Refused(refusal @ Refusal::TryAgain { .. })) => Err(refusal),
        Err(denied) => {
            tracing::warn!(
                scep.transaction = request.context.transaction_id.as_str(),
                "refused a SCEP request: {denied}"
            );
            refuse(desk, keys, request.context, arrived).await
        }
    }
}

/// The one refusal: whatever the reason, the same message after the same time.
async fn refuse(desk: &Desk, keys: Arc<Keys>, context: ReplyContext, arrived: Instant) -> Answer<Vec<u8>> {
    let reply = desk.work(move || reply_failure(&context, FailInfo::BadRequest, keys.recipient())).await?;
    sleep_until(arrived + REFUSED_AFTER).await;
    reply.map_err(Refusal::soon)
}

/// The same request gets the same certificate again, also when it comes twice at once: while one was worked on, the other
/// may have used the challenge up.
async fn grant(desk: &Desk, keys: &Arc<Keys>, request: &Request) -> Result<Certificate, Denied> {
    if let Some(certificate) = answered_before(desk, request).await? {
        return Ok(certificate);
    }
    match grant_anew(desk, keys, request).await {
        Err(Denied::Challenge) => answered_before(desk, request).await?.ok_or(Denied::Challenge),
        granted => granted,
    }
}

async fn grant_anew(desk: &Desk, keys: &Arc<Keys>, request: &Request) -> Result<Certificate, Denied> {
    let now = desk.clock.now();
    let title = title_of(desk, request, now).await?;
    let certificate = issue(desk, keys, request, now).await?;
    let row = identity_row(&certificate, &title, now);
    let issue = rows::Issue {
        transaction_id: request.context.transaction_id.as_str().to_owned(),
        request_hash: request.request_digest.to_vec(),
        challenge: title.challenge,
        identity: row,
    };
    match rows::issue(&desk.writer, issue).await {
        Ok(()) => Ok(certificate),
        // The same request came twice at once, and the other one was first; or somebody used the challenge meanwhile.
        Err(entities::StoreError::Conflict(_)) => Err(Denied::Challenge),
        Err(error) => Err(Refusal::from(error).into()),
    }
}

async fn answered_before(desk: &Desk, request: &Request) -> Result<Option<Certificate>, Denied> {
    let transaction = request.context.transaction_id.as_str().to_owned();
    let answered = rows::answered(&desk.reader, transaction, request.request_digest.to_vec()).await;
    let der = answered.map_err(Refusal::from)?;
    Ok(der.and_then(|der| Certificate::parse(&der).ok()))
}

async fn title_of(desk: &Desk, request: &Request, now: Timestamp) -> Result<Title, Denied> {
    // A renewal stands on its signer alone: a challenge in it would certify a key that the signer does not hold.
    if request.kind == RequestKind::Renew {
        return renewal(desk, &request.signer, now).await;
    }
    let challenge = request.challenge.as_ref().ok_or(Denied::Challenge)?;
    if desk.config.static_challenge.as_deref().is_some_and(|expected| challenge.matches(expected)) {
        return Ok(Title::default());
    }
    let hash = sha256(challenge.expose().as_bytes()).to_vec();
    let promise = rows::usable(&desk.reader, hash.clone(), now.millis()).await.map_err(Refusal::from)?;
    let promise = promise.ok_or(Denied::Challenge)?;
    Ok(Title {
        challenge: Some(hash),
        renews: promise.renews_enrollment_id.map(EnrollmentRow),
        promised_serial: promise.promised_serial,
        promised_uuid: promise.promised_uuid,
        team_id: promise.team_id,
        automatic: promise.automatic,
        account_uuid: promise.account_uuid,
    })
}

/// A renewal is signed by the certificate it replaces, which must be the live one of an enrollment.
async fn renewal(desk: &Desk, signer: &Certificate, now: Timestamp) -> Result<Title, Denied> {
    let fingerprint = signer.fingerprint().as_bytes().to_vec();
    let row = identity::by_fingerprint(&desk.reader, fingerprint).await.map_err(Refusal::from)?;
    let live = row.filter(|row| row.state == identity::BOUND).ok_or(Denied::NotLive)?;
    has_not_ended(signer.not_after(), now)?;
    let enrollment = live.enrollment_id.ok_or(Denied::NotLive)?;
    let enrolled = enrollment::by_id(&desk.reader, enrollment).await.map_err(Refusal::from)?.ok_or(Denied::NotLive)?;
    if !enrolled.enabled {
        return Err(Denied::NotLive);
    }
    tracing::info!(host.id = HostId(enrolled.host_id).0, "renews its certificate");
    Ok(Title { renews: Some(EnrollmentRow(enrollment)), ..Title::default() })
}

/// The subject is ours to choose: a random name, since the device is known only after it has shown the certificate.
async fn issue(desk: &Desk, keys: &Arc<Keys>, request: &Request, now: Timestamp) -> Result<Certificate, Denied> {
    let (keys, spki, validity) = (keys.clone(), request.spki.clone(), desk.config.identity_validity);
    let name = format!("device {}", uuid::Uuid::new_v4());
    let issued = desk.work(move || keys.ca.issue_identity(&spki, &name, now, validity)).await?;
    Ok(issued.map_err(Refusal::soon)?)
}

fn identity_row(certificate: &Certificate, title: &Title, now: Timestamp) -> identity::Model {
    identity::Model {
        promised_serial: title.promised_serial.clone(),
        promised_uuid: title.promised_uuid.clone(),
        team_id: title.team_id,
        automatic: title.automatic,
        account_uuid: title.account_uuid.clone(),
        ..issued(certificate, title.renews.map(|row| row.0), now)
    }
}
