//! The body of a request: all at once, or slowly.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::Manner;

/// A body of known length.
pub(super) struct Outgoing {
    rest: Bytes,
    piece: usize,
    pause: Duration,
    sleeping: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    pub(super) fn new(body: Bytes, manner: Manner) -> Self {
        let (piece, pause) = match manner {
            Manner::Slow { piece, pause } => (piece.max(1), pause),
            _ => (usize::MAX, Duration::ZERO),
        };
        Self { rest: body, piece, pause, sleeping: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if !self.pause.is_zero() {
            let pause = self.pause;
            ready!(self.sleeping.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(context));
            self.sleeping = None;
        }
        let piece = self.piece.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
