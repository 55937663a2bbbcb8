//! A simulated device that lives on its own, as an actor: it enrolls, sleeps, and wakes up when it is pushed.
//!
//! Like a real device it comes by itself only after its last word was `NotNow`, or when it had gone away with something
//! to say. What it does in a session is told in `life`; this file only says when.
//!
//! Start with [`SimHost`] and [`Behaviour`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::device::{ChannelNo, Device, User, UserKind};
use crate::sim::apns::PushService;
use crate::sim::behaviour::Behaviour;
use crate::sim::fleet::{Stop, World};
use crate::sim::report::count;

mod life;

use life::{Due, Life};

/// The shortest wait before a device comes by itself.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A device that lives on its own.
#[derive(Debug)]
pub struct SimHost {
    /// Gone while the device is at work.
    life: Option<Life>,
    world: Arc<World>,
    pushes: PushService,
    /// What came while it was at work.
    waiting: BTreeSet<Task>,
}

/// The device was pushed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Woken(pub ChannelNo);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Enroll,
    Session(ChannelNo),
}

impl SimHost {
    /// A device with these users, which enrolls as soon as it is started.
    pub fn new(
        device: Device,
        users: Vec<(UserKind, User)>,
        behaviour: Behaviour,
        world: Arc<World>,
        pushes: PushService,
        seed: u64,
    ) -> Self {
        let life = Life::new(device, users, behaviour, world.clone(), seed);
        Self { life: Some(life), world, pushes, waiting: BTreeSet::new() }
    }

    fn begin(&mut self, task: Task, context: &mut Context<Self>) {
        let Some(mut life) = self.life.take() else {
            self.waiting.insert(task);
            return;
        };
        let work = async move {
            let due = match task {
                Task::Enroll => {
                    life.enroll().await;
                    Vec::new()
                }
                Task::Session(channel) => life.session(channel).await,
            };
            (life, due)
        };
        context.spawn(work.into_actor(self).map(|(life, due), host, context| host.finish(life, due, context)));
    }

    fn finish(&mut self, life: Life, due: Vec<Due>, context: &mut Context<Self>) {
        if life.wants_to_enroll() {
            self.waiting.insert(Task::Enroll);
        }
        self.life = Some(life);
        for Due { channel, after } in due {
            context.run_later(after.max(AT_ONCE), move |host, context| host.begin(Task::Session(channel), context));
        }
        if let Some(task) = self.waiting.pop_first() {
            self.begin(task, context);
        }
    }
}

impl Actor for SimHost {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(life) = &mut self.life else { return };
        let address = context.address();
        let on_push = Arc::new(move |channel| address.do_send(Woken(channel)));
        life.device.set_pushes(self.pushes.clone(), on_push);
        if let Some(every) = life.behaviour.polls_every {
            context.run_interval(every, |host, context| host.begin(Task::Session(ChannelNo::DEVICE), context));
        }
        self.begin(Task::Enroll, context);
    }
}

impl Handler<Woken> for SimHost {
    type Result = ();

    fn handle(&mut self, Woken(channel): Woken, context: &mut Self::Context) {
        count(&self.world.tally.pushes);
        self.begin(Task::Session(channel), context);
    }
}

impl Handler<Stop> for SimHost {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}
