//! What the connection below HTTP and the requests on it know of each other: whether one is being
//! handled, whether its handler waits for the body, and whether the client has left.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{Payload, Request, Response};
use actix_web::dev::{Service, ServiceResponse};
use bytes::Bytes;
use futures_core::Stream;
use tokio::time::Instant;

use crate::limits::ConnectionPermit;

/// Bytes that HTTP gets at once. It parses all requests in them before it handles the second, at 3 KB
/// each, so this is what bounds pipelining: 38 of the shortest, two or three of those of browsers.
pub(super) const TURN: usize = 1 << 10;

/// Bytes that are read beside a request that is handled: only so is the end of the connection noticed.
pub(super) const AHEAD: usize = 64;

/// Shared by a connection and the requests on it.
pub(crate) struct Exchange {
    counted: Option<ConnectionPermit>,
    handled: Cell<usize>,
    /// Since when the client has owed a whole request: since the last answer, or the first byte of a head.
    owing_since: Cell<Instant>,
    head_begun: Cell<bool>,
    /// Bytes that HTTP may still get before it has looked at what it got.
    readable: Cell<usize>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    watcher: RefCell<Option<Waker>>,
}

/// A request that is being handled, until its answer is with HTTP.
pub(super) struct Handled(Rc<Exchange>);

impl Exchange {
    pub(super) fn new(counted: Option<ConnectionPermit>) -> Self {
        Exchange {
            counted,
            handled: Cell::default(),
            owing_since: Cell::new(Instant::now()),
            head_begun: Cell::default(),
            readable: Cell::new(TURN),
            ended: Cell::default(),
            reader: RefCell::default(),
            watcher: RefCell::default(),
        }
    }

    /// The connection's place among those of its address.
    pub(crate) fn counted(&self) -> Option<&ConnectionPermit> {
        self.counted.as_ref()
    }

    /// Ready when the client has closed its side.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended.get() {
            return Poll::Ready(());
        }
        self.watcher.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        self.watcher.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_handling(&self) -> bool {
        self.handled.get() > 0
    }

    pub(super) fn owing_since(&self) -> Instant {
        self.owing_since.get()
    }

    /// The client owes something from now on.
    pub(super) fn restart_time(&self) {
        self.owing_since.set(Instant::now());
    }

    /// How many bytes may be read now.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<usize> {
        match self.readable.get() {
            0 if self.is_handling() => self.hold_back(cx),
            0 => {
                // HTTP looks at what it has before it asks again.
                self.readable.set(TURN);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            readable => Poll::Ready(readable),
        }
    }

    pub(super) fn has_read(&self, count: usize) {
        self.readable.set(self.readable.get().saturating_sub(count));
        if !self.is_handling() && !self.head_begun.replace(true) {
            self.restart_time();
        }
    }

    pub(super) fn has_read_all(&self) {
        if !self.is_handling() {
            self.readable.set(TURN);
        }
    }

    /// Nothing is read until [`resume`](Self::resume).
    pub(super) fn hold_back<R>(&self, cx: &mut Context<'_>) -> Poll<R> {
        self.reader.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    pub(super) fn resume(&self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn handle(self: &Rc<Self>) -> Handled {
        self.handled.set(self.handled.get() + 1);
        self.readable.set(self.readable.get().min(AHEAD));
        Handled(Rc::clone(self))
    }

    /// A handler waits for more of a body.
    pub(super) fn want_body(&self) {
        self.readable.set(TURN);
        self.resume();
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.0.handled.set(self.0.handled.get().saturating_sub(1));
        self.0.head_begun.set(false);
        self.0.restart_time();
        self.0.resume();
    }
}

/// Has a service handle a request, and its connection know of it.
pub(crate) fn handle<S>(
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<Answer>, S::Error>> + use<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
{
    let handled = request.conn_data::<Rc<Exchange>>().map(Exchange::handle);
    if let (Some(Handled(exchange)), payload) = (&handled, request.payload())
        && !matches!(payload, Payload::None)
    {
        let body = Body { body: payload.take(), exchange: Rc::clone(exchange) };
        *payload = Payload::Stream { payload: Box::pin(body) };
    }
    let answer = service.call(request);
    async move {
        let answer: Response<BoxBody> = answer.await?.into();
        Ok(answer.map_body(|_, body| Answer { body, _handled: handled }))
    }
}

/// The body of a request, read as its handler asks for it.
struct Body {
    body: Payload,
    exchange: Rc<Exchange>,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.body).poll_next(cx);
        if next.is_pending() {
            self.exchange.want_body();
        }
        next
    }
}

/// The body of an answer: HTTP drops it when it has all of it.
pub(crate) struct Answer {
    body: BoxBody,
    _handled: Option<Handled>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
