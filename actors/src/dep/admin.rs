//! What admins ask of the DEP syncer: the public key that tokens are made for, tokens, and Setup Assistant profiles.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::abm_token::{self, DefaultTeams, NewToken};
use entities::authority::{self, KeyPair};
use entities::dep_device::page::{self, Place};
use entities::profile::change::By;
use entities::setup_assistant;
use protocol::apple::dep::token::ServerToken;
use protocol::pki::{NewKey, Signer, self_signed};

use super::service::{CallError, Service};
use super::{DepSyncer, Desk};
use crate::ask::{Answer, Refusal};

/// The name of the key pair that tokens are made for.
const KEY: &str = "abm";
/// How long its certificate is valid; Apple looks at the key alone.
const KEY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The certificate (PEM) to upload to Apple Business Manager; made the first time.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Answer<String>")]
pub struct GetPublicKey;

/// Takes a server token that was downloaded from Apple Business Manager.
#[derive(Message)]
#[rtype(result = "Answer<abm_token::Model>")]
pub struct StoreToken {
    /// The file.
    pub file: Vec<u8>,
    /// The row that it renews; `None` for a server that is new.
    pub renews: Option<i64>,
    /// Who uploads it.
    pub asked_by: String,
}

/// Sets the teams that a token's new devices join.
#[derive(Debug, Message)]
#[rtype(result = "Answer<abm_token::Model>")]
pub struct SetTeams {
    /// The token's row.
    pub id: i64,
    /// The teams.
    pub teams: DefaultTeams,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a token, and what is known through it.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct DeleteToken {
    /// The token's row.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Sets what a team's new devices are told when they are switched on. The answer is whether there was something else than the
/// standard before.
#[derive(Debug, Message)]
#[rtype(result = "Answer<bool>")]
pub struct SaveSetupAssistant {
    /// The team; 0 for hosts that are in none.
    pub team_id: i64,
    /// The name of the file, and what is in it, which was looked at; `None` for the standard.
    pub profile: Option<(String, String)>,
    /// Who wants it.
    pub asked_by: String,
}

impl Desk {
    /// The key pair that tokens are made for.
    async fn key(&self) -> Answer<Option<authority::Model>> {
        Ok(authority::by_name(&self.reader, KEY).await?)
    }

    async fn establish_key(&self) -> Answer<authority::Model> {
        if let Some(known) = self.key().await? {
            return Ok(known);
        }
        let now = self.clock.now();
        let making = self.io.spawn_blocking(move || {
            let key = NewKey::Rsa2048.generate().map_err(Refusal::soon)?;
            self_signed(key, "Rookery device assignment", now, KEY_VALIDITY).map_err(Refusal::soon)
        });
        let made = making.await.map_err(Refusal::soon)??;
        let pair = KeyPair {
            name: KEY,
            certificate: made.certificate().to_pem().map_err(Refusal::soon)?,
            private_key: made.private_key_pem().map_err(Refusal::soon)?.into(),
            created_at: now.millis(),
        };
        Ok(authority::establish(&self.writer, pair).await?)
    }

    /// Opens a token, asks Apple whose it is, and stores it.
    async fn store(&self, store: StoreToken) -> Answer<abm_token::Model> {
        let no_key =
            || Refusal::Invalid("there is no key pair yet: get the public key, and upload it at Apple first".into());
        let key = self.key().await?.ok_or_else(no_key)?;
        let signer = Signer::from_pem(key.certificate.as_bytes(), &key.open(self.reader.vault())?);
        let signer = signer.map_err(Refusal::soon)?;
        let token = ServerToken::decrypt(&store.file, &signer, self.clock.now());
        let token = token.map_err(|error| Refusal::Invalid(error.to_string()))?;
        let (json, expires_at) = (token.to_json(), token.access_token_expiry.millis());
        let service = Service::new(&self.config, self.clock.clone(), token).map_err(refuse)?;
        let asking = self.io.spawn(async move { service.account().await });
        let account = asking.await.map_err(Refusal::soon)?.map_err(refuse)?;
        let new = NewToken {
            renews: store.renews,
            server_uuid: account.server_uuid,
            server_name: account.server_name,
            organization: account.org_name,
            apple_id: account.admin_id,
            token: json,
            expires_at,
            at: self.clock.now().millis(),
        };
        Ok(abm_token::store(&self.writer, new, store.asked_by).await?)
    }

    /// Forgets what is known through a token, some of it at a time, then the token. What is left when this is cut off is read anew.
    async fn delete(&self, delete: DeleteToken) -> Answer<()> {
        let token = abm_token::by_id(&self.reader, delete.id).await?.ok_or(Refusal::NotFound("server token"))?;
        page::begin_anew(&self.writer, token.id, Place::of(&token), None).await?;
        while page::forget_some(&self.writer, token.id, self.clock.now().millis()).await? {}
        let now = self.clock.now().millis();
        match abm_token::delete(&self.writer, token.id, delete.asked_by, now).await? {
            true => Ok(()),
            false => Err(Refusal::NotFound("server token")),
        }
    }
}

/// What Apple's answer means for an admin who uploads a token.
fn refuse(error: CallError) -> Refusal {
    match error {
        CallError::Refused(refusal) => Refusal::Conflict(refusal.to_string()),
        CallError::Broken(_) => Refusal::soon(error),
    }
}

impl DepSyncer {
    /// Ends a token's round, wherever it is.
    fn end_round(&self, token_id: i64) {
        if let Some(round) = self.children.get(&token_id).and_then(|child| child.round.as_ref()) {
            round.abort();
        }
    }

    /// Does something at the desk, and lets the children look afterwards.
    fn at_desk<T: 'static, F>(&mut self, work: impl FnOnce(Arc<Desk>) -> F) -> ResponseActFuture<Self, Answer<T>>
    where
        F: Future<Output = Answer<T>> + 'static,
    {
        crate::fault::point("dep.admin");
        self.guard.gauge().turn(self.desk.clock.now());
        let working = work(self.desk.clone());
        Box::pin(working.into_actor(self).map(|done, syncer, context| {
            syncer.look(true, context);
            done
        }))
    }
}

impl Handler<GetPublicKey> for DepSyncer {
    type Result = ResponseActFuture<Self, Answer<String>>;

    fn handle(&mut self, _: GetPublicKey, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        let establishing = async move { Ok(desk.establish_key().await?.certificate) };
        Box::pin(establishing.into_actor(self))
    }
}

impl Handler<StoreToken> for DepSyncer {
    type Result = ResponseActFuture<Self, Answer<abm_token::Model>>;

    fn handle(&mut self, store: StoreToken, _: &mut Self::Context) -> Self::Result {
        // Its round speaks with the token before.
        store.renews.into_iter().for_each(|id| self.end_round(id));
        self.at_desk(|desk| async move { desk.store(store).await })
    }
}

impl Handler<SetTeams> for DepSyncer {
    type Result = ResponseActFuture<Self, Answer<abm_token::Model>>;

    fn handle(&mut self, set: SetTeams, _: &mut Self::Context) -> Self::Result {
        self.at_desk(|desk| async move {
            let by = (set.asked_by, desk.clock.now().millis());
            let done = abm_token::set_teams(&desk.writer, set.id, set.teams, by).await?;
            done.ok_or(Refusal::NotFound("server token or team"))
        })
    }
}

impl Handler<DeleteToken> for DepSyncer {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, delete: DeleteToken, _: &mut Self::Context) -> Self::Result {
        let id = delete.id;
        self.end_round(id);
        self.leaving.insert(id);
        let deleting = self.at_desk(|desk| async move { desk.delete(delete).await });
        Box::pin(deleting.map(move |deleted, syncer, _| {
            syncer.leaving.remove(&id);
            deleted
        }))
    }
}

impl Handler<SaveSetupAssistant> for DepSyncer {
    type Result = ResponseActFuture<Self, Answer<bool>>;

    fn handle(&mut self, save: SaveSetupAssistant, _: &mut Self::Context) -> Self::Result {
        self.at_desk(|desk| async move {
            let by = By { name: save.asked_by, at: desk.clock.now().millis() };
            let saved = setup_assistant::save(&desk.writer, save.team_id, save.profile, by).await?;
            saved.ok_or(Refusal::NotFound("team"))
        })
    }
}

impl std::fmt::Debug for StoreToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a server token from {}", self.asked_by)
    }
}
