//! What stands around every handler: a panic becomes a 500, a body that nobody wants ends its connection, and admin answers
//! are not cached.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage};
use futures_util::{FutureExt, Stream, stream};

/// Turns a panic of a handler into a 500; without this the connection would just end. Never a 401: a device must not take
/// a bug of ours for the end of its management.
pub(super) async fn panics(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answered) => answered,
        Err(_) => Err(ErrorInternalServerError("internal error\n")),
    }
}

/// Ends the connection after the answer when a body without a length was not read to its end. When its reader is gone,
/// actix-web reads on and throws away what comes, for ever; so the reader stays until the answer is sent.
pub(super) async fn unread_bodies(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if !request.chunked().unwrap_or(true) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let body = Rc::new(RefCell::new(request.take_payload()));
    let read = body.clone();
    let pieces = stream::poll_fn(move |context| Pin::new(&mut *read.borrow_mut()).poll_next(context));
    request.set_payload(Payload::Stream { payload: Box::pin(pieces) });
    let answered = next.call(request).await?.map_into_boxed_body();
    Ok(answered.map_body(|_, answer| EitherBody::right(Answer { answer, _body: body })))
}

/// An answer that keeps the body of its request until it is sent.
struct Answer {
    answer: BoxBody,
    _body: Rc<RefCell<Payload>>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().answer).poll_next(context)
    }
}

/// Headers for everything that admins see.
pub(super) async fn private(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
