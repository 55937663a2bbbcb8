//! What admins order: make, change and delete webhooks, change their keys, try one, try dead letters again or drop them.

use std::future::Future;
use std::time::Duration;

use actix::prelude::*;
use entities::webhook::{self, By, New, Settings};
use entities::webhook_backlog::{self, AT_ONCE, Letters};
use entities::webhook_key::{self, Changed, NewKey};
use openssl::rand::rand_bytes;
use protocol::webhook::{Form, Topic};

use super::{Webhooks, invalid};
use crate::ask::{Answer, Refusal};

/// Rest between two steps over many rows, so that devices never wait long for the writer.
const REST: Duration = Duration::from_millis(20);
/// Characters of a secret that an admin gives.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;
/// Characters of a name at most.
const NAME_CHARS: usize = 255;

/// What an admin can say about a webhook; what is absent stays as it is, or becomes what is usual.
#[derive(Clone, Default)]
pub struct Wish {
    /// What people call it.
    pub name: Option<String>,
    /// Where events go.
    pub url: Option<String>,
    /// Which events; none for all that its form can tell.
    pub topics: Option<Vec<Topic>>,
    /// Whether requests that only ask for a command are told, too.
    pub idle: Option<bool>,
    /// Whether it is told of events at all.
    pub enabled: Option<bool>,
}

/// Makes a webhook.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Made>")]
pub struct Create {
    /// Name and address, which must be there, and the rest.
    pub wish: Wish,
    /// The words in which events are told.
    pub form: Form,
    /// The secret of its first key; absent for one of ours.
    pub secret: Option<String>,
    /// Who asks.
    pub by: String,
}

/// A new webhook, or a new key.
#[derive(Clone)]
pub struct Made {
    /// The webhook.
    pub id: i64,
    /// What the key is called.
    pub key_id: String,
    /// The key's secret; it is shown this once.
    pub secret: String,
}

/// Changes a webhook. `false`: there is none.
#[derive(Clone, Message)]
#[rtype(result = "Answer<bool>")]
pub struct Change {
    /// The webhook.
    pub id: i64,
    /// What shall be otherwise.
    pub wish: Wish,
    /// Who asks.
    pub by: String,
}

/// Deletes a webhook with everything that waits for it. `false`: there is none.
#[derive(Clone, Message)]
#[rtype(result = "Answer<bool>")]
pub struct Delete {
    /// The webhook.
    pub id: i64,
    /// Who asks.
    pub by: String,
}

/// Adds a second key. `None`: there is no such webhook.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Option<Made>>")]
pub struct AddKey {
    /// The webhook.
    pub id: i64,
    /// The secret; absent for one of ours.
    pub secret: Option<String>,
    /// Who asks.
    pub by: String,
}

/// Takes the older of two keys away; the answer is its name. `None`: there is no such webhook.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Option<String>>")]
pub struct RetireKey {
    /// The webhook.
    pub id: i64,
    /// Who asks.
    pub by: String,
}

/// Sends a test event now; the answer is a status, or why there is none. `None`: there is no such webhook.
#[derive(Clone, Message)]
#[rtype(result = "Answer<Option<Result<u16, String>>>")]
pub struct Test {
    /// The webhook.
    pub id: i64,
}

/// Lets dead letters wait again, or drops them; the answer is how many.
#[derive(Clone, Message)]
#[rtype(result = "Answer<u64>")]
pub struct Decide {
    /// Which.
    pub letters: Letters,
    /// Whether they are tried again.
    pub again: bool,
    /// Who asks.
    pub by: String,
}

type Turn<T> = AtomicResponse<Webhooks, Answer<T>>;

impl Webhooks {
    /// Changes rows, then takes in what they say.
    fn order<T: 'static>(&self, changing: impl Future<Output = Answer<T>> + 'static) -> Turn<T> {
        AtomicResponse::new(Box::pin(changing.into_actor(self).then(|changed, webhooks, _| {
            webhooks.reload().map(move |loaded, _, _| {
                let done = changed?;
                loaded?;
                Ok(done)
            })
        })))
    }

    fn by(&self, name: String) -> By {
        By { name, at: self.desk.clock.now().millis() }
    }
}

impl Handler<Create> for Webhooks {
    type Result = Turn<Made>;

    fn handle(&mut self, create: Create, _: &mut Context<Self>) -> Turn<Made> {
        let (egress, writer, by) = (self.egress.clone(), self.desk.writer.clone(), self.by(create.by));
        self.order(async move {
            let Wish { name, url, topics, idle, enabled } = create.wish;
            let url = url.ok_or_else(|| invalid("url: is missing"))?;
            egress.map_err(Refusal::soon)?.check_name(&url).await.map_err(|why| invalid(format!("url: {why}")))?;
            let key = new_key(create.secret)?;
            let settings = Settings {
                name: name_of(name.unwrap_or_default())?,
                url,
                topics: list(topics.unwrap_or_default()),
                idle: idle.unwrap_or(create.form == Form::MicroMdm),
                enabled: enabled.unwrap_or(true),
            };
            let uuid = uuid::Uuid::new_v4().to_string();
            let new = New { uuid, form: create.form.code(), settings, key: key.clone() };
            let id = webhook::create(&writer, new, by).await?;
            Ok(Made { id, key_id: key.key_id, secret: key.secret.to_string() })
        })
    }
}

impl Handler<Change> for Webhooks {
    type Result = Turn<bool>;

    fn handle(&mut self, change: Change, _: &mut Context<Self>) -> Turn<bool> {
        let (reader, writer) = (self.desk.reader.clone(), self.desk.writer.clone());
        let (egress, by) = (self.egress.clone(), self.by(change.by));
        self.order(async move {
            let Wish { name, url, topics, idle, enabled } = change.wish;
            let Some(row) = webhook::by_id(&reader, change.id).await? else { return Ok(false) };
            if let Some(url) = &url {
                egress.map_err(Refusal::soon)?.check_name(url).await.map_err(|why| invalid(format!("url: {why}")))?;
            }
            let settings = Settings {
                url: url.map_or_else(|| row.open_url(reader.vault()), Ok)?,
                name: name_of(name.unwrap_or(row.name))?,
                topics: topics.map_or(row.topics, list),
                idle: idle.unwrap_or(row.idle),
                enabled: enabled.unwrap_or(row.enabled),
            };
            Ok(webhook::change(&writer, change.id, settings, by).await?)
        })
    }
}

impl Handler<Delete> for Webhooks {
    type Result = Turn<bool>;

    fn handle(&mut self, delete: Delete, _: &mut Context<Self>) -> Turn<bool> {
        let (desk, by) = (self.desk.clone(), self.by(delete.by));
        let deleting = async move {
            let deleted = webhook::delete(&desk.writer, delete.id, by).await?;
            // The rest may be much; what a killed server leaves is found by housekeeping.
            desk.io.clone().spawn(async move {
                while webhook_backlog::forget_gone(&desk.reader, &desk.writer).await.is_ok_and(|count| count > 0) {
                    tokio::time::sleep(REST).await;
                }
            });
            Ok(deleted)
        };
        self.order(deleting)
    }
}

impl Handler<AddKey> for Webhooks {
    type Result = Turn<Option<Made>>;

    fn handle(&mut self, add: AddKey, _: &mut Context<Self>) -> Turn<Option<Made>> {
        let (writer, by) = (self.desk.writer.clone(), self.by(add.by));
        self.order(async move {
            let key = new_key(add.secret)?;
            match webhook_key::add(&writer, add.id, key.clone(), by).await? {
                Changed::Done(key_id) => Ok(Some(Made { id: add.id, key_id, secret: key.secret.to_string() })),
                Changed::NoWebhook => Ok(None),
                Changed::NotNow => {
                    Err(Refusal::Conflict("two keys are valid already: retire the older one first".into()))
                }
            }
        })
    }
}

impl Handler<RetireKey> for Webhooks {
    type Result = Turn<Option<String>>;

    fn handle(&mut self, retire: RetireKey, _: &mut Context<Self>) -> Turn<Option<String>> {
        let (writer, by) = (self.desk.writer.clone(), self.by(retire.by));
        self.order(async move {
            match webhook_key::retire(&writer, retire.id, by).await? {
                Changed::Done(key_id) => Ok(Some(key_id)),
                Changed::NoWebhook => Ok(None),
                Changed::NotNow => Err(Refusal::Conflict("there is only one key: add the new one first".into())),
            }
        })
    }
}

impl Handler<Test> for Webhooks {
    type Result = ResponseActFuture<Self, Answer<Option<Result<u16, String>>>>;

    fn handle(&mut self, test: Test, _: &mut Context<Self>) -> Self::Result {
        let Some(round) = self.rounds.get(&test.id) else { return Box::pin(actix::fut::ready(Ok(None))) };
        let (courier, target) = (round.courier.clone(), round.target.borrow().clone());
        let sending = self.desk.io.spawn(async move { courier.test(&target).await });
        Box::pin(sending.into_actor(self).map(|sent, _, _| {
            let sent = sent.map_err(Refusal::soon)?;
            Ok(Some(sent.map(|reply| reply.status).map_err(|error| error.to_string())))
        }))
    }
}

impl Handler<Decide> for Webhooks {
    type Result = Turn<u64>;

    fn handle(&mut self, decide: Decide, _: &mut Context<Self>) -> Turn<u64> {
        let (writer, by) = (self.desk.writer.clone(), self.by(decide.by));
        self.order(async move {
            let mut all = 0;
            loop {
                let some = match decide.again {
                    true => webhook_backlog::replay(&writer, decide.letters, by.clone()).await?,
                    false => webhook_backlog::drop_dead(&writer, decide.letters, by.clone()).await?,
                };
                all += some;
                if some < AT_ONCE {
                    return Ok(all);
                }
            }
        })
    }
}

fn name_of(name: String) -> Answer<String> {
    let name = name.trim();
    let sound = !name.is_empty() && name.chars().nth(NAME_CHARS).is_none() && !name.contains(char::is_control);
    sound
        .then(|| name.to_owned())
        .ok_or_else(|| invalid(format!("name: give it a name of 1 to {NAME_CHARS} characters")))
}

fn list(topics: Vec<Topic>) -> String {
    topics.into_iter().map(Topic::as_str).collect::<Vec<_>>().join(",")
}

/// A key with the secret that an admin gave, or one that nobody can guess.
fn new_key(given: Option<String>) -> Answer<NewKey> {
    let mut random = [0; 36];
    rand_bytes(&mut random).map_err(Refusal::soon)?;
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (name, key) = random.split_at(4);
    let secret = match given {
        None => digits(key),
        Some(given) if SECRET_CHARS.contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic()) => {
            given
        }
        Some(_) => {
            let (least, most) = (SECRET_CHARS.start(), SECRET_CHARS.end());
            return Err(invalid(format!(
                "secret: {least} to {most} visible ASCII characters, or leave it out for one of ours"
            )));
        }
    };
    Ok(NewKey { key_id: digits(name), secret: secret.into() })
}
