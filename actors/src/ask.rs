//! Asking an actor: the edge's only way in.
//!
//! A question goes into the actor's mailbox or is refused at once; it never waits for a place. Whatever happens to the
//! actor, the one who asked gets a [`Refusal`] instead of silence.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::dev::{MessageResponse, ToEnvelope};
use actix::prelude::{Actor, Addr, Handler, Message, SendError};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::supervisor::Gauge;

/// Why there is no answer, by what the one who asked can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not now: a full mailbox, a database that is away, an actor that is being restarted.
    #[error("not now, try again in {} s: {because}", after.as_secs().max(1))]
    TryAgain {
        /// How long to wait.
        after: Duration,
        /// What stands in the way, for the log.
        because: String,
    },
    /// This host crashed again and again and is left alone for a while.
    #[error("this host is quarantined for {} s", after.as_secs().max(1))]
    Quarantined {
        /// For how long.
        after: Duration,
    },
    /// Nobody with that name is enrolled.
    #[error("not enrolled")]
    NotEnrolled,
    /// There is no such thing, by what it would be.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The one who asks may not speak for the one it names.
    #[error("refused: {0}")]
    Forbidden(&'static str),
    /// The question makes no sense as it is.
    #[error("{0}")]
    Invalid(String),
    /// What is stored stands in the way.
    #[error("{0}")]
    Conflict(String),
}

/// What an actor answers.
pub type Answer<T> = Result<T, Refusal>;

/// A message with the place where its answer goes.
pub struct Ask<M: Message> {
    message: M,
    reply: oneshot::Sender<M::Result>,
    waiting: Waiting,
}

/// The other end of an [`Ask`].
pub type Asked<T> = oneshot::Receiver<Answer<T>>;

/// Counts a message as waiting until it is handled or dropped.
struct Waiting(Option<Arc<Gauge>>);

/// Where a singleton can be reached: it outlives the actor, and points to its successor after a restart.
pub struct Handle<A: Actor> {
    place: Arc<RwLock<Option<Place<A>>>>,
}

struct Place<A: Actor> {
    address: Addr<A>,
    gauge: Arc<Gauge>,
}

impl Refusal {
    /// A refusal that passes soon.
    pub fn soon(because: impl ToString) -> Self {
        Self::TryAgain { after: Duration::from_secs(2), because: because.to_string() }
    }
}

impl From<entities::StoreError> for Refusal {
    fn from(error: entities::StoreError) -> Self {
        match error {
            entities::StoreError::Conflict(what) => Self::Conflict(what),
            other => Self::soon(other),
        }
    }
}

impl<M: Message> Message for Ask<M> {
    type Result = ();
}

impl<M> Ask<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// A question and the receiver of its answer; `gauge` counts it while it waits.
    pub fn new(message: M, gauge: Option<Arc<Gauge>>) -> (Self, oneshot::Receiver<M::Result>) {
        let (reply, answer) = oneshot::channel();
        if let Some(gauge) = &gauge {
            gauge.message_waits();
        }
        (Self { message, reply, waiting: Waiting(gauge) }, answer)
    }

    /// Lets an actor answer with its own handler for the message. A question that nobody waits for any more is not
    /// answered: whoever gave up asks again, and an actor that is late would do for nobody what it is then asked to do again.
    pub fn answered_by<A>(self, actor: &mut A, context: &mut A::Context)
    where
        A: Actor + Handler<M>,
    {
        drop(self.waiting);
        if self.reply.is_closed() {
            return;
        }
        let response = actor.handle(self.message, context);
        MessageResponse::<A, M>::handle(response, context, Some(self.reply));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.message_is_handled();
        }
    }
}

/// Waits for an answer. An actor that ends before it answers counts as one that is being restarted.
///
/// # Errors
/// What the actor refused, or a refusal that passes soon.
pub async fn answer<T>(asked: Asked<T>, deadline: Duration) -> Answer<T> {
    match timeout(deadline, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Refusal::soon("the actor ended before it answered")),
        Err(_) => Err(Refusal::soon("the actor did not answer in time")),
    }
}

impl<A: Actor> Handle<A> {
    /// Makes this actor the one that the handle points to; called by the actor's own start.
    pub fn publish(&self, address: Addr<A>, gauge: Arc<Gauge>) {
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = Some(Place { address, gauge });
    }

    /// Asks, and waits for the answer at most until the deadline.
    ///
    /// # Errors
    /// What the actor refused, or a refusal that passes soon.
    pub async fn ask<M, T>(&self, message: M, deadline: Duration) -> Answer<T>
    where
        A: Handler<Ask<M>>,
        A::Context: ToEnvelope<A, Ask<M>>,
        M: Message<Result = Answer<T>> + Send + 'static,
        T: Send + 'static,
    {
        let asked = self.offer(message)?;
        answer(asked, deadline).await
    }

    /// Puts a question into the mailbox. Through the handle's own address: every copy of an address has a free place, so that
    /// a mailbox which is reached through copies is never full.
    fn offer<M, T>(&self, message: M) -> Answer<Asked<T>>
    where
        A: Handler<Ask<M>>,
        A::Context: ToEnvelope<A, Ask<M>>,
        M: Message<Result = Answer<T>> + Send + 'static,
        T: Send + 'static,
    {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Place { address, gauge }) = &*place else { return Err(Refusal::soon("the actor has not started")) };
        let (question, asked) = Ask::new(message, Some(gauge.clone()));
        match address.try_send(question) {
            Ok(()) => Ok(asked),
            Err(SendError::Full(_)) => Err(Refusal::soon("the actor has too much to do")),
            Err(SendError::Closed(_)) => Err(Refusal::soon("the actor is being restarted")),
        }
    }

    /// Tells something that needs no answer. It is lost when the actor is being restarted: whoever tells must be able
    /// to live with that, or have it in a row.
    pub fn tell<M>(&self, message: M)
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        if let Some(place) = &*self.place.read().unwrap_or_else(PoisonError::into_inner) {
            place.address.do_send(message);
        }
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone() }
    }
}

impl<A: Actor> Default for Handle<A> {
    fn default() -> Self {
        Self { place: Arc::default() }
    }
}

impl<A: Actor> std::fmt::Debug for Handle<A> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Handle<{}>", std::any::type_name::<A>())
    }
}

#[cfg(test)]
mod tests {
    use actix::prelude::Context;

    use super::*;

    struct Counter(u32);

    #[derive(Debug, Message)]
    #[rtype(result = "Answer<u32>")]
    struct Count;

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    impl Handler<Count> for Counter {
        type Result = Answer<u32>;

        fn handle(&mut self, _: Count, _: &mut Self::Context) -> Self::Result {
            self.0 += 1;
            Ok(self.0)
        }
    }

    impl Handler<Ask<Count>> for Counter {
        type Result = ();

        fn handle(&mut self, ask: Ask<Count>, context: &mut Self::Context) {
            ask.answered_by(self, context);
        }
    }

    #[actix::test]
    async fn a_question_that_nobody_waits_for_is_not_answered() {
        let counter = Counter(0).start();
        for _ in 0..3 {
            let (question, gave_up) = Ask::new(Count, None);
            drop(gave_up);
            counter.do_send(question);
        }
        let (question, asked) = Ask::new(Count, None);
        counter.do_send(question);
        assert_eq!(answer(asked, Duration::from_secs(60)).await, Ok(1));
    }
}
