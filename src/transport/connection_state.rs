//! State that a connection below HTTP shares with its requests: whether a request is being handled,
//! whether its handler waits for the body, and whether the client has left.

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

/// Maximum bytes that HTTP gets at once. It parses all requests in them, at 3 KB of memory each, before it
/// handles the second. So this limits pipelining to 38 minimal requests, or two or three of a browser.
pub(super) const READ_SIZE: usize = 1 << 10;

/// Bytes that are read while a request is handled. Without a read, nobody would notice that the client left.
pub(super) const READ_AHEAD: usize = 64;

/// State shared by a connection and its requests.
pub(crate) struct ConnectionState {
    permit: Option<ConnectionPermit>,
    active_requests: Cell<usize>,
    /// When the server began to wait for a request: after the last response, or at the first byte of a head.
    waiting_since: Cell<Instant>,
    head_begun: Cell<bool>,
    /// Bytes that HTTP may still read before it must handle what it has.
    readable: Cell<usize>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    watcher: RefCell<Option<Waker>>,
}

/// Marks a request as being handled, until HTTP has the complete response.
pub(super) struct ActiveRequest(Rc<ConnectionState>);

impl ConnectionState {
    pub(super) fn new(permit: Option<ConnectionPermit>) -> Self {
        ConnectionState {
            permit,
            active_requests: Cell::default(),
            waiting_since: Cell::new(Instant::now()),
            head_begun: Cell::default(),
            readable: Cell::new(READ_SIZE),
            ended: Cell::default(),
            reader: RefCell::default(),
            watcher: RefCell::default(),
        }
    }

    /// Counts the connection towards the limit of its address.
    pub(crate) fn permit(&self) -> Option<&ConnectionPermit> {
        self.permit.as_ref()
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
        self.active_requests.get() > 0
    }

    pub(super) fn waiting_since(&self) -> Instant {
        self.waiting_since.get()
    }

    /// Restarts the time for the next request.
    pub(super) fn restart_request_timeout(&self) {
        self.waiting_since.set(Instant::now());
    }

    /// How many bytes may be read now.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<usize> {
        match self.readable.get() {
            0 if self.is_handling() => self.pause_reading(cx),
            0 => {
                // HTTP handles what it has before it is polled again.
                self.readable.set(READ_SIZE);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            readable => Poll::Ready(readable),
        }
    }

    pub(super) fn has_read(&self, count: usize) {
        self.readable.set(self.readable.get().saturating_sub(count));
        if !self.is_handling() && !self.head_begun.replace(true) {
            self.restart_request_timeout();
        }
    }

    pub(super) fn has_read_all(&self) {
        if !self.is_handling() {
            self.readable.set(READ_SIZE);
        }
    }

    /// Stops reading until [`resume_reading`](Self::resume_reading).
    pub(super) fn pause_reading<R>(&self, cx: &mut Context<'_>) -> Poll<R> {
        self.reader.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    pub(super) fn resume_reading(&self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn handle(self: &Rc<Self>) -> ActiveRequest {
        self.active_requests.set(self.active_requests.get() + 1);
        self.readable.set(self.readable.get().min(READ_AHEAD));
        ActiveRequest(Rc::clone(self))
    }

    /// A handler waits for more of a body.
    pub(super) fn want_body(&self) {
        self.readable.set(READ_SIZE);
        self.resume_reading();
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let requests = &self.0.active_requests;
        requests.set(requests.get().saturating_sub(1));
        self.0.head_begun.set(false);
        self.0.restart_request_timeout();
        self.0.resume_reading();
    }
}

/// Lets the service handle a request and marks it as active on its connection.
pub(crate) fn handle<S>(
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<ResponseBody>, S::Error>> + use<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
{
    let active = request.conn_data::<Rc<ConnectionState>>().map(ConnectionState::handle);
    if let (Some(ActiveRequest(connection)), payload) = (&active, request.payload())
        && !matches!(payload, Payload::None)
    {
        let body = RequestBody { body: payload.take(), connection: Rc::clone(connection) };
        *payload = Payload::Stream { payload: Box::pin(body) };
    }
    let response = service.call(request);
    async move {
        let response: Response<BoxBody> = response.await?.into();
        Ok(response.map_body(|_, body| ResponseBody { body, _active: active }))
    }
}

/// The body of a request. The connection reads it only as fast as the handler asks for it.
struct RequestBody {
    body: Payload,
    connection: Rc<ConnectionState>,
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.body).poll_next(cx);
        if next.is_pending() {
            self.connection.want_body();
        }
        next
    }
}

/// The body of a response. HTTP drops it after reading all of it, which ends the request.
pub(crate) struct ResponseBody {
    body: BoxBody,
    _active: Option<ActiveRequest>,
}

impl MessageBody for ResponseBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
