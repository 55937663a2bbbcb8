//! What the singletons of the tree have in common: how they are asked, and how they stop.

/// Questions that may wait for a singleton; whoever asks when they are so many is refused at once.
pub(crate) const MAILBOX: usize = 1024;

/// Lets an actor answer every [`crate::ask::Ask`] with its handler for the question.
macro_rules! answers {
    ($actor:ty) => {
        impl<M> actix::prelude::Handler<crate::ask::Ask<M>> for $actor
        where
            Self: actix::prelude::Handler<M>,
            M: actix::prelude::Message + Send + 'static,
            M::Result: Send,
        {
            type Result = ();

            fn handle(&mut self, ask: crate::ask::Ask<M>, context: &mut Self::Context) {
                ask.answered_by(self, context);
            }
        }
    };
}

/// The same for an actor that has nothing to finish when it is told to stop.
macro_rules! singleton {
    ($actor:ty) => {
        crate::singleton::answers!($actor);

        impl actix::prelude::Handler<crate::supervisor::Stop> for $actor {
            type Result = ();

            fn handle(&mut self, _: crate::supervisor::Stop, context: &mut Self::Context) {
                actix::prelude::ActorContext::stop(context);
            }
        }
    };
}

pub(crate) use {answers, singleton};
