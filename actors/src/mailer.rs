//! Sends the letters that wait (`entities::mail`) by SMTP, a few at a time. What a server refuses for now is tried again, ever
//! more seldom, until the letter is worth nothing. A letter is sent at least once: a crash between the server's yes and our
//! note sends it again.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::mail::{self, Letter};
use entities::{Reader, Writer};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};
use tokio::runtime::Handle as Io;

use crate::clock::Clock;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often letters are looked for whose time has come again.
const EVERY: Duration = Duration::from_secs(5);
/// How long a server may take for one letter.
const DEADLINE: Duration = Duration::from_secs(30);
/// The first wait after a letter could not be sent; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Letters of one round.
const AT_ONCE: u64 = 20;

/// Which server sends mail.
#[derive(Clone, Default)]
pub struct MailConfig {
    /// Its name; empty when no mail is sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who we are to it; empty for nobody.
    pub username: String,
    /// The password.
    pub password: String,
    /// Whom letters come from, for example `Rookery <mdm@example.com>`.
    pub from: String,
    /// A root certificate (PEM) to trust beside the system's.
    pub root_certificate: Option<Vec<u8>>,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// It begins in the clear, and TLS is demanded before anything is said (STARTTLS, RFC 3207).
    #[default]
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// None: for a server on this machine.
    Plain,
}

/// The actor.
pub struct Mailer {
    guard: Guard,
    desk: Arc<Desk>,
    is_busy: bool,
}

/// There may be a letter.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Look;

/// What a round needs.
struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    io: Io,
    config: Arc<MailConfig>,
}

type Transport = AsyncSmtpTransport<Tokio1Executor>;

impl std::fmt::Debug for MailConfig {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "mail by {}:{} as {:?}", self.host, self.port, self.username)
    }
}

impl MailConfig {
    /// Whether mail is sent at all.
    pub const fn is_on(&self) -> bool {
        !self.host.is_empty()
    }

    /// What is wrong with it.
    ///
    /// # Errors
    /// It in a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.is_on() { self.transport().map(drop).and_then(|()| self.mailbox().map(drop)) } else { Ok(()) }
    }

    fn mailbox(&self) -> Result<Mailbox, String> {
        self.from.parse().map_err(|error| format!("the sender {:?} is no email address: {error}", self.from))
    }

    fn transport(&self) -> Result<Transport, String> {
        let unusable = |error| format!("the mail server cannot be used: {error}");
        let parameters = || {
            let mut tls = TlsParameters::builder(self.host.clone());
            if let Some(pem) = &self.root_certificate {
                tls = tls.add_root_certificate(Certificate::from_pem(pem).map_err(unusable)?);
            }
            tls.build().map_err(unusable)
        };
        let tls = match self.security {
            Security::StartTls => Tls::Required(parameters()?),
            Security::Tls => Tls::Wrapper(parameters()?),
            Security::Plain => Tls::None,
        };
        let mut server = Transport::builder_dangerous(&self.host).port(self.port).tls(tls).timeout(Some(DEADLINE));
        if !self.username.is_empty() {
            server = server.credentials(Credentials::new(self.username.clone(), self.password.clone()));
        }
        Ok(server.build())
    }
}

impl Mailer {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Arc::new(Desk {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            config: parts.config.mail.clone(),
        });
        let address = Self { guard, desk, is_busy: false }.start();
        parts.mailer.publish(address.clone(), gauge);
        address.recipient()
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if !self.desk.config.is_on() || std::mem::replace(&mut self.is_busy, true) {
            return;
        }
        self.guard.gauge().turn(self.desk.clock.now());
        let desk = self.desk.clone();
        let round = async move { desk.round().await };
        context.spawn(round.into_actor(self).map(|done, mailer, context| {
            mailer.is_busy = false;
            match done {
                Ok(0) => {}
                // While it was busy, others may have come.
                Ok(_) => mailer.look(context),
                Err(error) => tracing::warn!("letters cannot be looked at: {error}"),
            }
        }));
    }
}

impl Desk {
    /// Sends what is due. Returns how many letters were sent.
    async fn round(&self) -> Result<usize, entities::StoreError> {
        let mut sent = 0;
        for letter in mail::due(&self.reader, self.clock.now().millis(), AT_ONCE).await? {
            let (now, id, attempts) = (self.clock.now(), letter.id.clone(), letter.attempts);
            if letter.expires_at <= now.millis() {
                tracing::warn!("a letter was worth nothing before it could be sent: {letter:?}");
                mail::forget(&self.writer, id).await?;
                continue;
            }
            match self.send(letter).await {
                Ok(()) => {
                    mail::forget(&self.writer, id).await?;
                    sent += 1;
                }
                Err(error) => {
                    tracing::warn!("a letter cannot be sent now: {error}");
                    mail::postpone(&self.writer, id, now.plus(wait(attempts)).millis()).await?;
                }
            }
        }
        Ok(sent)
    }

    async fn send(&self, letter: Letter) -> Result<(), String> {
        let config = self.config.clone();
        let sending = self.io.spawn(async move {
            let recipient = letter.recipient.parse::<Mailbox>().map_err(|error| error.to_string())?;
            let mail = Mail::builder().from(config.mailbox()?).to(recipient).subject(letter.subject);
            let mail = mail.header(ContentType::TEXT_PLAIN).body(letter.text).map_err(|error| error.to_string())?;
            config.transport()?.send(mail).await.map(drop).map_err(|error| error.to_string())
        });
        sending.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Actor for Mailer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.look(context);
        context.run_interval(EVERY, Self::look);
    }
}

impl Handler<Look> for Mailer {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        self.look(context);
    }
}

crate::singleton::singleton!(Mailer);

fn wait(attempts: i16) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempts.clamp(0, 10)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_tried_ever_more_seldom_but_not_seldom() {
        let waits: Vec<u64> = [0, 1, 2, 6, 100].map(|attempts| wait(attempts).as_secs()).into();
        assert_eq!(waits, [15, 30, 60, 900, 900]);
    }

    #[test]
    fn a_sender_that_is_no_address_is_said_before_anything_is_sent() {
        let config = MailConfig { host: "mail.example.com".into(), port: 587, ..MailConfig::default() };
        assert!(config.check().unwrap_err().contains("sender"));
        assert_eq!(MailConfig { from: "Rookery <mdm@example.com>".into(), ..config }.check(), Ok(()));
        assert_eq!(MailConfig::default().check(), Ok(()));
    }
}
