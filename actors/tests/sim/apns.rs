//! A model of Apple's push service: it delivers, loses, refuses and stalls, keeps one push for a device that is off,
//! and watches that hosts are not pushed more often than their policy allows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actors::apns::Push;
use actors::host::pushed::Pushed;
use actors::pusher::Pusher;
use protocol::apple::push::Feedback;
use protocol::time::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::device::Device;
use crate::random::Random;
use crate::stage::{Life, policy};
use crate::world::World;

/// Takes the pushes of a life's hosts.
#[derive(Debug)]
pub(crate) struct Line(UnboundedSender<Push>);

impl Pusher for Line {
    fn push(&self, push: Push) {
        let _ = self.0.send(push);
    }
}

/// Both ends of a line.
pub(crate) fn line() -> (Line, UnboundedReceiver<Push>) {
    let (sender, receiver) = unbounded_channel();
    (Line(sender), receiver)
}

/// What was last pushed to a channel, and in which circumstances.
#[derive(Clone, Copy)]
struct Last {
    at: Timestamp,
    faults: u64,
    rests_until: Timestamp,
}

/// The service during one life of the server.
pub(crate) struct Apns {
    world: Rc<World>,
    life: Rc<Life>,
    random: RefCell<Random>,
    last: RefCell<HashMap<String, Last>>,
    delivered: Cell<u64>,
}

impl Apns {
    pub(crate) fn new(world: &Rc<World>, life: &Rc<Life>) -> Rc<Self> {
        Rc::new(Self {
            world: world.clone(),
            life: life.clone(),
            random: RefCell::new(world.random("apns")),
            last: RefCell::default(),
            delivered: Cell::default(),
        })
    }

    pub(crate) async fn serve(self: Rc<Self>, mut pushes: UnboundedReceiver<Push>) {
        while let Some(push) = pushes.recv().await {
            actix::spawn(self.clone().take(push));
        }
    }

    async fn take(self: Rc<Self>, push: Push) {
        let takes = self.random.borrow_mut().millis(5..400);
        let devices = &self.world.devices;
        let device = devices.iter().find(|device| device.state.borrow().token == *push.target.token);
        let Some(device) = device else { return self.refuse(push, takes).await };
        self.watch(device);
        self.world.note(&self.life, "apns", &format!("push to {}", device.name()));
        let calm = self.world.calm.get();
        let chance = if calm { 0 } else { self.random.borrow_mut().within(0..100) };
        match chance {
            0..80 => {
                tokio::time::sleep(takes).await;
                self.tell(&push, Feedback::Sent { apns_id: None });
                let travels = self.random.borrow_mut().millis(20..2_000);
                tokio::time::sleep(travels).await;
                self.deliver(device).await;
            }
            80..88 => {
                let _ = self.tell(&push, Feedback::Sent { apns_id: None }); // and it is lost on its way
            }
            88..92 => {} // no answer at all
            _ => {
                let after = self.random.borrow_mut().millis(1_000..60_000);
                tokio::time::sleep(takes).await;
                let several = [Feedback::BackOff { after }, Feedback::Unavailable { after }];
                let feedback = self.random.borrow_mut().one_of(&several).clone();
                if self.tell(&push, feedback)
                    && let Some(last) = self.last.borrow_mut().get_mut(device.name())
                {
                    last.rests_until = self.life.moment().plus(after);
                }
            }
        }
    }

    /// The token is of a device that has another one by now.
    async fn refuse(&self, push: Push, takes: Duration) {
        tokio::time::sleep(takes).await;
        let left = self.world.devices.iter().find_map(|device| {
            let state = device.state.borrow();
            state.left.get(&*push.target.token).map(|at| (device.name().to_owned(), *at))
        });
        self.world.expect(&self.life, "apns", left.is_some(), || "a push to a token that nobody had".into());
        let since = left.map_or(self.life.moment(), |(_, at)| at);
        // Apple's clock is right; the server's may not be.
        let ahead = Duration::from_millis(self.world.ahead.get().unsigned_abs());
        let since = if self.world.ahead.get() < 0 { since.minus(ahead) } else { since.plus(ahead) };
        self.world.note(&self.life, "apns", "a token is dead");
        self.tell(&push, Feedback::TokenDead { since });
    }

    fn tell(&self, push: &Push, feedback: Feedback) -> bool {
        let pushed = Pushed { enrollment: push.enrollment, target: push.target.clone(), feedback };
        self.life.parts.hosts.tell_resident(push.host, pushed)
    }

    async fn deliver(&self, device: &Device) {
        loop {
            let Some(back) = device.state.borrow().offline_until else { break };
            tokio::time::sleep(back.since(self.life.moment()).max(Duration::from_millis(1))).await;
        }
        self.delivered.set(self.delivered.get() + 1);
        device.pushed.notify_one();
    }

    /// Unless the device came, or the server lost its memory, pushes keep their distance.
    fn watch(&self, device: &Device) {
        let (now, faults) = (self.life.moment(), self.world.chaos.faults.load(Relaxed));
        let next = Last { at: now, faults, rests_until: now };
        let Some(last) = self.last.borrow_mut().insert(device.name().to_owned(), next) else { return };
        let came = device.state.borrow().contact >= last.at;
        let disturbed = self.world.disturbed.get() >= last.at || last.faults != faults;
        if came || disturbed {
            return;
        }
        let gap = now.since(last.at);
        let expect = |holds: bool, what: &str| {
            self.world.expect(&self.life, device.name(), holds, || format!("{what}: pushed again after {gap:?}"));
        };
        expect(gap >= policy().push_quiet, "no quiet");
        let news = |command: &crate::world::Command| {
            command.requested >= last.at.minus(Duration::from_secs(60))
                && command.targets.iter().any(|target| target == device.name())
        };
        if !self.world.commands.borrow().values().any(news) {
            expect(gap >= policy().push_again.mul_f64(0.79), "no patience");
            expect(now >= last.rests_until, "no rest");
        }
    }
}
