//! A simulated PC that lives on its own, as an actor: it enrolls, and comes at the times of its poll schedule.
//!
//! What it does in a session is told in `life`; this file only says when. Start with [`SimPc`].

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::device::{Pc, Token};
use crate::sim::behaviour::Behaviour;
use crate::sim::fleet::{Stop, World};

mod life;

use life::Life;

/// A PC that lives on its own.
#[derive(Debug)]
pub struct SimPc {
    /// Gone while the PC is at work.
    life: Option<Life>,
}

impl SimPc {
    /// A PC that enrolls with this token as soon as it is started.
    pub fn new(pc: Pc, token: Token, behaviour: Behaviour, world: Arc<World>, seed: u64) -> Self {
        Self { life: Some(Life::new(pc, token, behaviour, world, seed)) }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let Some(mut life) = self.life.take() else { return };
        let work = async move {
            let next = life.step().await;
            (life, next)
        };
        context.spawn(work.into_actor(self).map(|(life, next), pc, context| pc.finish(life, next, context)));
    }

    fn finish(&mut self, life: Life, next: Option<Duration>, context: &mut Context<Self>) {
        self.life = Some(life);
        if let Some(after) = next {
            context.run_later(after, Self::begin);
        }
    }
}

impl Actor for SimPc {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Handler<Stop> for SimPc {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}
