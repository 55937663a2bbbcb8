//! Keeps who may use the admin API: users and their passwords, sessions, invitations, tokens, and which roles may send which
//! commands. Each change is one transaction; mail that it needs is posted in it.
//!
//! Never here: passwords (the edge makes their hashes), and permissions (the edge's table). Start with [`Deed`].

use actix::prelude::*;
use entities::audit::{self, Event};
use entities::command_policy::{self, Rule};
use entities::invite::{self, Offer};
use entities::mail::Letter;
use entities::session::{self, Which};
use entities::user::User;
use entities::user::change::{self, Proof, Saved, Wish};
use entities::{StoreError, Writer, api_token, password_reset};

use crate::ask::{Answer, Handle, Refusal};
use crate::clock::Clock;
use crate::mailer::{Look, Mailer};
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// The actor.
pub struct People {
    guard: Guard,
    writer: Writer,
    clock: Clock,
    mailer: Handle<Mailer>,
}

/// Something that is done in one transaction.
pub trait Deed: Message<Result = Answer<Self::Done>> + Send + 'static {
    /// What comes of it.
    type Done: Send + 'static;

    /// Does it.
    fn run(self, writer: Writer, now: i64) -> impl Future<Output = Answer<Self::Done>> + Send;
}

/// Makes a user, or changes one.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<User>")]
pub struct SaveUser {
    /// Which one; `None` for a new one.
    pub id: Option<i64>,
    /// What they are to be.
    pub wish: Wish,
    /// Who wants it.
    pub asked_by: String,
}

/// Deletes a user.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<User>")]
pub struct DeleteUser {
    /// Which one.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Gives somebody a new password.
#[derive(Clone, Message)]
#[rtype(result = "Answer<User>")]
pub struct SetPassword {
    /// Why they may.
    pub proof: Proof,
    /// The new password's hash.
    pub hash: String,
}

/// Lets somebody choose a new password, by mail.
#[derive(Clone, Message)]
#[rtype(result = "Answer<()>")]
pub struct OfferReset {
    /// Who.
    pub user_id: i64,
    /// SHA-256 of what is sent.
    pub hash: Vec<u8>,
    /// The letter in which it is sent.
    pub letter: Letter,
}

/// Signs somebody in who has proved who they are.
#[derive(Clone, Message)]
#[rtype(result = "Answer<session::Model>")]
pub struct SignIn {
    /// Who.
    pub user_id: i64,
    /// SHA-256 of what they will show.
    pub hash: Vec<u8>,
}

/// Ends sessions. The answer is how many there were.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<u64>")]
pub struct EndSessions {
    /// Which.
    pub which: Which,
    /// Who wants it.
    pub asked_by: String,
}

/// A session is used.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct UseSession {
    /// Which one.
    pub id: i64,
}

/// Invites somebody.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<invite::Model>")]
pub struct Invite {
    /// What they are invited to be.
    pub offer: Offer,
    /// Who invites.
    pub asked_by: String,
}

/// Takes an invitation back.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<invite::Model>")]
pub struct TakeBack {
    /// Which one.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Makes a user of whoever was invited.
#[derive(Clone, Message)]
#[rtype(result = "Answer<User>")]
pub struct Accept {
    /// SHA-256 of what they were sent.
    pub hash: Vec<u8>,
    /// Their email address and name.
    pub who: (String, String),
    /// Their password's hash; `None` if they sign in at the identity provider.
    pub password_hash: Option<String>,
}

/// Makes a token.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<api_token::Model>")]
pub struct MakeToken {
    /// What it is to be.
    pub new: api_token::New,
    /// Who wants it.
    pub asked_by: String,
}

/// Takes a token away.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<api_token::Model>")]
pub struct DropToken {
    /// Whose it is.
    pub user_id: i64,
    /// Which one.
    pub id: i64,
    /// Who wants it.
    pub asked_by: String,
}

/// Says which roles may send which commands; what is not in it everyone may send who may send commands.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct SetPolicy {
    /// All rules from now on.
    pub rules: Vec<Rule>,
    /// Who wants it.
    pub asked_by: String,
}

/// Somebody is about to be shown secrets; if this fails, they are not.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct NoteReveal {
    /// Which ones.
    pub what: String,
    /// To whom.
    pub asked_by: String,
}

impl People {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let (writer, clock, mailer) = (parts.writer.clone(), parts.clock.clone(), parts.mailer.clone());
        let address = Self { guard, writer, clock, mailer }.start();
        parts.people.publish(address.clone(), gauge);
        address.recipient()
    }
}

impl Actor for People {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

singleton!(People);

impl<D: Deed> Handler<D> for People {
    type Result = ResponseActFuture<Self, Answer<D::Done>>;

    fn handle(&mut self, deed: D, _: &mut Self::Context) -> Self::Result {
        crate::fault::point("people.deed");
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        let doing = deed.run(self.writer.clone(), now.millis());
        Box::pin(doing.into_actor(self).map(|done, people, _| {
            // It may have posted a letter; looking for one that is not there costs a query.
            people.mailer.tell(Look);
            done
        }))
    }
}

impl Deed for SaveUser {
    type Done = User;

    async fn run(self, writer: Writer, now: i64) -> Answer<User> {
        done(change::save(&writer, self.id, self.wish, self.asked_by, now).await.map_err(one_address_each)?)
    }
}

impl Deed for DeleteUser {
    type Done = User;

    async fn run(self, writer: Writer, now: i64) -> Answer<User> {
        done(change::delete(&writer, self.id, self.asked_by, now).await?)
    }
}

impl Deed for SetPassword {
    type Done = User;

    async fn run(self, writer: Writer, now: i64) -> Answer<User> {
        let set = change::set_password(&writer, self.proof, self.hash, now).await?;
        set.ok_or_else(|| Refusal::Invalid("this does not work any more: ask for a new password again".into()))
    }
}

impl Deed for OfferReset {
    type Done = ();

    async fn run(self, writer: Writer, now: i64) -> Answer<()> {
        Ok(password_reset::create(&writer, self.user_id, self.hash, self.letter, now).await?)
    }
}

impl Deed for SignIn {
    type Done = session::Model;

    async fn run(self, writer: Writer, now: i64) -> Answer<session::Model> {
        let opened = session::open(&writer, self.user_id, self.hash, now).await?;
        opened.ok_or(Refusal::Forbidden("this user cannot sign in"))
    }
}

impl Deed for EndSessions {
    type Done = u64;

    async fn run(self, writer: Writer, now: i64) -> Answer<u64> {
        Ok(session::end(&writer, self.which, self.asked_by, now).await?)
    }
}

impl Deed for UseSession {
    type Done = ();

    async fn run(self, writer: Writer, now: i64) -> Answer<()> {
        Ok(session::note_use(&writer, self.id, now).await?)
    }
}

impl Deed for Invite {
    type Done = invite::Model;

    async fn run(self, writer: Writer, now: i64) -> Answer<invite::Model> {
        let invited = invite::create(&writer, self.offer, self.asked_by, now).await?;
        invited.ok_or_else(|| Refusal::Conflict("there is a user with this email address already".into()))
    }
}

impl Deed for TakeBack {
    type Done = invite::Model;

    async fn run(self, writer: Writer, now: i64) -> Answer<invite::Model> {
        invite::delete(&writer, self.id, self.asked_by, now).await?.ok_or(Refusal::NotFound("invite"))
    }
}

impl Deed for Accept {
    type Done = User;

    async fn run(self, writer: Writer, now: i64) -> Answer<User> {
        let accepted = invite::accept(&writer, self.hash, self.who, self.password_hash, now).await?;
        let broken = || Refusal::Invalid("this invitation does not work, or not for this email address".into());
        done(accepted.ok_or_else(broken)?)
    }
}

impl Deed for MakeToken {
    type Done = api_token::Model;

    async fn run(self, writer: Writer, now: i64) -> Answer<api_token::Model> {
        let made = api_token::create(&writer, self.new, &self.asked_by, now).await;
        made.map_err(|error| match error {
            StoreError::Conflict(_) => Refusal::Conflict("a token has this name already: choose another one".into()),
            other => other.into(),
        })
    }
}

impl Deed for DropToken {
    type Done = api_token::Model;

    async fn run(self, writer: Writer, now: i64) -> Answer<api_token::Model> {
        let gone = api_token::delete(&writer, self.user_id, self.id, self.asked_by, now).await?;
        gone.ok_or(Refusal::NotFound("token"))
    }
}

impl Deed for SetPolicy {
    type Done = ();

    async fn run(self, writer: Writer, now: i64) -> Answer<()> {
        Ok(command_policy::replace(&writer, self.rules, self.asked_by, now).await?)
    }
}

impl Deed for NoteReveal {
    type Done = ();

    async fn run(self, writer: Writer, now: i64) -> Answer<()> {
        let (actor, target) = (self.asked_by, self.what);
        let event = Event { at: now, actor, action: "secrets.reveal", target, detail: String::new() };
        Ok(audit::write(&writer, event).await?)
    }
}

fn one_address_each(error: StoreError) -> Refusal {
    match error {
        StoreError::Conflict(_) => Refusal::Conflict("another user has this email address".into()),
        other => other.into(),
    }
}

fn done(saved: Saved) -> Answer<User> {
    match saved {
        Saved::Done(user) => Ok(user),
        Saved::NotFound => Err(Refusal::NotFound("user")),
        Saved::NoTeam(team) => Err(Refusal::Invalid(format!("there is no team {team}"))),
        Saved::LastAdmin => Err(Refusal::Conflict("this is the last global admin: make another one first".into())),
    }
}
