//! A device channel or user channel as Apple describes them, moody and on a bad line; once the run is calm it does what
//! it is told. It comes when it is pushed, and by itself only when `NotNow` was its last word (Apple, "Handling NotNow
//! status responses").

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::{Handler, Message};
use actors::ask::Refusal;
use actors::dispatcher::Target;
use actors::host::authenticate::Authenticate;
use actors::host::report::Report;
use actors::host::token_update::TokenUpdate;
use actors::host::{Host, Original, Sender};
use bytes::Bytes;
use protocol::apple::channel::Channel;
use protocol::apple::check_in;
use protocol::apple::plist::{Dictionary, Value};
use protocol::apple::secret::Secret;
use protocol::ids::{CommandUuid, HostId};
use protocol::pki::Fingerprint;
use protocol::queue::Answer;
use protocol::time::Timestamp;
use tokio::sync::Notify;

use crate::random::Random;
use crate::stage::{CERTIFICATES, Life, TOPIC, fingerprint, udid};
use crate::world::World;

/// A wait that no run lasts.
const NEVER: Duration = Duration::from_secs(100_000_000);

/// A channel of a device.
pub(crate) struct Device {
    channel: Channel,
    pub(crate) host: HostId,
    number: usize,
    /// Which certificate the whole device uses.
    certificate: Rc<Cell<usize>>,
    /// Rings when a push arrives.
    pub(crate) pushed: Notify,
    random: RefCell<Random>,
    temper: Temper,
    pub(crate) state: RefCell<State>,
}

/// How a channel behaves, in a thousand.
#[derive(Clone, Copy, Debug)]
struct Temper {
    lost: u64,
    not_now: u64,
    error: u64,
    offline: u64,
}

/// What a channel knows, and what it did.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) row: Option<Target>,
    pub(crate) token: Vec<u8>,
    tokens: u8,
    /// When it stopped to use a token.
    pub(crate) left: HashMap<Vec<u8>, Timestamp>,
    owes_authenticate: bool,
    owes_token: bool,
    /// The certificate of an `Authenticate` that was not confirmed yet.
    new_certificate: Option<usize>,
    pub(crate) offline_until: Option<Timestamp>,
    session: HashSet<String>,
    polls_at: Option<Timestamp>,
    /// Its final word on each command that it carried out.
    pub(crate) words: HashMap<String, Answer>,
    /// Commands that it answers with `NotNow` the first time.
    pub(crate) defers: HashSet<String>,
    /// Final words that the server has confirmed.
    pub(crate) confirmed: HashSet<String>,
    /// How often each command was handed out, or may have been.
    pub(crate) handed_out: HashMap<String, u32>,
    pub(crate) asked_in_vain: u32,
    /// When it last spoke to the server.
    pub(crate) contact: Timestamp,
    /// Enrollments that it began, the last of which was confirmed then.
    pub(crate) enrollments: Vec<Timestamp>,
    enrolled: Option<Timestamp>,
}

/// What became of a question.
enum Heard<T> {
    Yes(T),
    No(Refusal),
    Nothing,
}

impl Device {
    pub(crate) fn of_host(seed: u64, number: usize) -> Self {
        Self::new(seed, number, &[("UDID", &udid(number))], Rc::default(), vec![u8::try_from(number).unwrap(), 0])
    }

    /// The channel of a user of this device, which is not enrolled yet.
    pub(crate) fn of_user(seed: u64, device: &Self) -> Self {
        let entries = [("UDID", &*udid(device.number)), ("UserID", "user")];
        let user = Self::new(seed, device.number, &entries, device.certificate.clone(), Vec::new());
        user.state.borrow_mut().owes_token = true;
        user
    }

    fn new(seed: u64, number: usize, ids: &[(&str, &str)], certificate: Rc<Cell<usize>>, token: Vec<u8>) -> Self {
        let message: Dictionary = ids.iter().map(|(key, text)| ((*key).to_owned(), Value::from(*text))).collect();
        let channel = Channel::of(&message).unwrap();
        let mut random = Random::of(seed, channel.id.as_str());
        let bad_line = *random.one_of(&[0, 20, 100]);
        let temper = Temper {
            lost: bad_line,
            not_now: *random.one_of(&[0, 100, 500, 950]),
            error: *random.one_of(&[0, 100]),
            offline: *random.one_of(&[0, 200]),
        };
        let state = State { token, ..State::default() };
        Self {
            channel,
            host: HostId(i64::try_from(number).unwrap() + 1),
            number,
            certificate,
            pushed: Notify::new(),
            random: RefCell::new(random),
            temper,
            state: RefCell::new(state),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.channel.id.as_str()
    }

    fn label(&self) -> String {
        format!("{}{}", if self.channel.user.is_some() { "user" } else { "mac" }, self.number)
    }

    fn chance(&self, world: &World, share: u64) -> bool {
        !world.calm.get() && self.random.borrow_mut().permille(share)
    }

    /// Lives as long as the server does.
    pub(crate) async fn run(self: Rc<Self>, world: Rc<World>, life: Rc<Life>) {
        self.state.borrow_mut().offline_until = None; // the server may have died while it was away
        loop {
            let mood = if world.calm.get() { NEVER } else { self.random.borrow_mut().millis(5_000..60_000) };
            let (polls, owes) = {
                let state = self.state.borrow();
                (
                    state.polls_at.map_or(NEVER, |at| at.since(life.moment())),
                    state.owes_authenticate || state.owes_token,
                )
            };
            let retry = if owes { self.random.borrow_mut().millis(500..8_000) } else { NEVER };
            tokio::select! {
                biased;
                () = self.pushed.notified() => self.session(&world, &life).await,
                () = tokio::time::sleep(polls.min(retry)) => self.session(&world, &life).await,
                () = tokio::time::sleep(mood) => self.be_moody(&world, &life).await,
            }
        }
    }

    /// Something happens to the device by itself.
    async fn be_moody(&self, world: &Rc<World>, life: &Life) {
        let what = self.random.borrow_mut().within(0..10);
        match what {
            0 => self.change_token(world, life),
            1 if self.channel.user.is_none() => self.enroll_again(world, life),
            2 | 3 => self.repeat(world, life).await,
            4 => self.lie(world, life).await,
            5 => self.session(world, life).await,
            6 | 7 if self.random.borrow_mut().permille(self.temper.offline) => {
                let away = self.random.borrow_mut().millis(5_000..60_000);
                world.note(life, &self.label(), "goes offline");
                self.state.borrow_mut().offline_until = Some(life.moment().plus(away));
                tokio::time::sleep(away).await;
                self.state.borrow_mut().offline_until = None;
                world.note(life, &self.label(), "is back");
            }
            _ => {}
        }
    }

    pub(crate) fn change_token(&self, world: &World, life: &Life) {
        let mut state = self.state.borrow_mut();
        state.tokens += 1;
        let user = u8::from(self.channel.user.is_some()) * 100;
        let token = vec![u8::try_from(self.number).unwrap() + user, state.tokens];
        let old = std::mem::replace(&mut state.token, token);
        state.left.insert(old, life.moment());
        state.owes_token = true;
        world.note(life, &self.label(), "has a new token");
    }

    pub(crate) fn enroll_again(&self, world: &World, life: &Life) {
        let next = self.certificate.get() + 1;
        if next < CERTIFICATES {
            world.note(life, &self.label(), "enrolls again");
            self.change_token(world, life);
            let mut state = self.state.borrow_mut();
            state.owes_authenticate = true;
            state.new_certificate = Some(next);
            state.polls_at = None;
        }
    }

    /// A report comes twice, the second time long after.
    async fn repeat(&self, world: &World, life: &Life) {
        let said = {
            let state = self.state.borrow();
            let mut known: Vec<_> = state.words.iter().map(|(uuid, word)| (uuid.clone(), *word)).collect();
            known.sort_by(|a, b| a.0.cmp(&b.0));
            if known.is_empty() { None } else { Some(self.random.borrow_mut().one_of(&known).clone()) }
        };
        if let Some((uuid, word)) = said {
            world.note(life, &self.label(), &format!("repeats {word:?} {uuid}"));
            self.report(world, life, word, Some(&uuid), true).await;
        }
    }

    /// A report about a command that the device never had.
    async fn lie(&self, world: &World, life: &Life) {
        let others: Vec<String> = {
            let commands = world.commands.borrow();
            let foreign = |targets: &Vec<String>| !targets.iter().any(|target| target == self.name());
            commands.iter().filter(|(_, command)| foreign(&command.targets)).map(|(uuid, _)| uuid.clone()).collect()
        };
        if !others.is_empty() {
            let uuid = self.random.borrow_mut().one_of(&others).clone();
            world.note(life, &self.label(), &format!("lies about {uuid}"));
            self.report(world, life, Answer::Acknowledged, Some(&uuid), true).await;
        }
    }

    /// One run of requests, from an `Idle` to the server's last word.
    async fn session(&self, world: &World, life: &Life) {
        self.state.borrow_mut().polls_at = None;
        if !self.check_in(world, life).await {
            return;
        }
        self.state.borrow_mut().session.clear();
        let (mut word, mut about) = (Answer::Idle, None);
        let mut patience = 4;
        while patience > 0 {
            match self.report(world, life, word, about.as_deref(), false).await {
                Heard::Yes(Some(uuid)) => {
                    (word, about) = (self.carry_out(world, life, &uuid).await, Some(uuid));
                    patience = 4;
                }
                Heard::Yes(None) => {
                    let comes = word == Answer::NotNow && (world.calm.get() || self.random.borrow_mut().permille(700));
                    let later = self.random.borrow_mut().millis(8_000..60_000);
                    self.state.borrow_mut().polls_at = comes.then(|| life.moment().plus(later));
                    return;
                }
                Heard::No(refusal) => {
                    patience -= 1;
                    let wait =
                        if let Refusal::TryAgain { after, .. } = refusal { after } else { Duration::from_secs(5) };
                    tokio::time::sleep(wait).await;
                }
                Heard::Nothing => {
                    patience -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        world.note(life, &self.label(), "gives up");
    }

    /// Decides on a command that it was handed.
    async fn carry_out(&self, world: &World, life: &Life, uuid: &str) -> Answer {
        self.check_handout(world, life, uuid);
        let takes = self.random.borrow_mut().millis(1..1500);
        tokio::time::sleep(takes).await;
        if let Some(word) = self.state.borrow().words.get(uuid) {
            return *word;
        }
        let defers = self.state.borrow_mut().defers.remove(uuid);
        if defers || self.chance(world, self.temper.not_now) {
            return Answer::NotNow;
        }
        let word = if self.chance(world, self.temper.error) {
            *self.random.borrow_mut().one_of(&[Answer::Error, Answer::FormatError])
        } else {
            Answer::Acknowledged
        };
        self.state.borrow_mut().words.insert(uuid.to_owned(), word);
        word
    }

    fn check_handout(&self, world: &World, life: &Life, uuid: &str) {
        let fresh = self.state.borrow_mut().session.insert(uuid.to_owned());
        world.expect(life, &self.label(), fresh, || format!("{uuid} came twice in a session"));
        let commands = world.commands.borrow();
        let command = commands.get(uuid);
        let mine = command.is_some_and(|command| command.targets.iter().any(|target| target == self.name()));
        world.expect(life, &self.label(), mine, || format!("{uuid} is another's"));
        let enrolled = self.state.borrow().enrolled;
        let stale = command.is_some_and(|command| match (command.outcome, enrolled) {
            (crate::world::Outcome::Accepted(at), Some(enrolled)) => at < enrolled,
            _ => false,
        });
        world.expect(life, &self.label(), !stale, || format!("{uuid} is of an enrollment that is over"));
    }

    /// Says something about a command, or asks for one.
    async fn report(
        &self,
        world: &World,
        life: &Life,
        answer: Answer,
        uuid: Option<&str>,
        aside: bool,
    ) -> Heard<Option<String>> {
        let report = Report {
            sender: self.sender(self.certificate.get()),
            answer,
            status: format!("{answer:?}"),
            command: uuid.and_then(CommandUuid::parse),
        };
        let what = format!("{answer:?} {}", uuid.unwrap_or_default());
        let heard = self.ask(world, life, &what, report).await;
        let mut state = self.state.borrow_mut();
        match heard {
            (lost, Some(Ok(body))) => {
                let next = body.map(|body| String::from_utf8(body.to_vec()).unwrap());
                if let Some(next) = &next {
                    *state.handed_out.entry(next.clone()).or_default() += 1;
                }
                let about = uuid.filter(|uuid| state.words.contains_key(*uuid));
                if let Some(uuid) = about.filter(|_| !aside) {
                    state.confirmed.insert(uuid.to_owned());
                }
                if lost || aside { Heard::Nothing } else { Heard::Yes(next) }
            }
            (false, Some(Err(refusal))) => Heard::No(refusal),
            _ => Heard::Nothing,
        }
    }

    /// Delivers the check-in messages that it owes. `false`: not all arrived.
    async fn check_in(&self, world: &World, life: &Life) -> bool {
        if self.state.borrow().owes_authenticate && !self.authenticate(world, life).await {
            return false;
        }
        if self.state.borrow().owes_token {
            if self.channel.user.is_some() && self.state.borrow().token.is_empty() {
                self.change_token(world, life);
            }
            let token = self.state.borrow().token.clone();
            let message = check_in::TokenUpdate {
                topic: TOPIC.into(),
                token: Secret::new(token.clone()),
                push_magic: Secret::new("magic".into()),
                unlock_token: None,
                awaiting_configuration: false,
                not_on_console: false,
            };
            let update = TokenUpdate { sender: self.sender(self.certificate.get()), message: Box::new(message) };
            let (lost, answer) = self.ask(world, life, "TokenUpdate", update).await;
            if lost || !matches!(answer, Some(Ok(()))) {
                return false;
            }
            let mut state = self.state.borrow_mut();
            state.owes_token = state.token != token;
        }
        !self.state.borrow().owes_token
    }

    async fn authenticate(&self, world: &World, life: &Life) -> bool {
        let certificate = self.state.borrow().new_certificate.unwrap();
        let message = check_in::Authenticate {
            topic: TOPIC.into(),
            device_name: Some("Mac".into()),
            model: Some("Mac15,3".into()),
            model_name: None,
            product_name: None,
            serial_number: Some(format!("SIM{:09}", self.number)),
            os_version: None,
            build_version: None,
            imei: None,
            meid: None,
            challenge: None,
        };
        let began = life.moment();
        self.state.borrow_mut().enrollments.push(began);
        let authenticate = Authenticate { sender: self.sender(certificate), message: Box::new(message) };
        let (lost, answer) = self.ask(world, life, "Authenticate", authenticate).await;
        if lost || !matches!(answer, Some(Ok(()))) {
            return false;
        }
        self.certificate.set(certificate);
        let ours = world.devices.iter().filter(|device| device.host == self.host);
        for device in ours {
            let mut state = device.state.borrow_mut();
            state.enrolled = Some(began);
            state.owes_token = true;
        }
        let mut state = self.state.borrow_mut();
        (state.owes_authenticate, state.new_certificate) = (false, None);
        true
    }

    /// Asks the server over a bad line. `true`: the device does not hear the answer.
    async fn ask<M, T>(&self, world: &World, life: &Life, what: &str, message: M) -> (bool, Option<Result<T, Refusal>>)
    where
        Host: Handler<M>,
        M: Message<Result = Result<T, Refusal>> + Send + 'static,
        T: Send + std::fmt::Debug + 'static,
    {
        let travels = self.random.borrow_mut().millis(1..80);
        tokio::time::sleep(travels).await;
        if self.chance(world, self.temper.lost) {
            return (true, None);
        }
        self.state.borrow_mut().contact = life.moment();
        self.state.borrow_mut().asked_in_vain += 1;
        let answer = life.parts.hosts.ask(self.host, message, Duration::from_secs(30)).await;
        let mut state = self.state.borrow_mut();
        state.contact = life.moment();
        if answer.is_ok() {
            state.asked_in_vain -= 1;
        }
        world.note(life, &self.label(), &format!("{what} -> {answer:?}"));
        let lost = self.chance(world, self.temper.lost);
        (lost, Some(answer))
    }

    fn sender(&self, certificate: usize) -> Sender {
        let fingerprint = Fingerprint::from_bytes(fingerprint(self.number, certificate));
        let original = Original { body: Bytes::from_static(b"<message/>"), query: None };
        Sender { channel: self.channel.clone(), fingerprint, original }
    }
}
