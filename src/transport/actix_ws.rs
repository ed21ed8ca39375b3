//! The transport of a broker that is embedded in an actix-web app.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::error::PayloadError;
use actix_http::ws::{self, CloseCode, Item, Message, ProtocolError};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::test::TestRequest;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use actix_ws::{MessageStream, Session};
use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream;
use futures_sink::Sink;

use super::message_buffer::MessageBuffer;
use super::{Disconnect, Event, MessageLimits, Socket};
use crate::broker::Outbox;
use crate::limits::QuotaShare;
use crate::wire::CloseReason;
use crate::wire::{Frame, Opcode};

/// Maximum bytes of input that actix-ws gets at once. It decodes only after it has read all available
/// input, so without this limit it would buffer a complete oversized frame.
const BATCH: usize = 64 << 10;

/// Maximum frames per batch, so that one busy client cannot starve others.
const MAX_FRAMES: usize = 64;

/// A WebSocket that uses actix-ws.
pub(crate) struct ActixSocket {
    session: Session,
    frames: MessageStream,
    fragments: Option<Box<Fragments>>,
    limits: MessageLimits,
    meter: Rc<InputMeter>,
    // actix-ws reports the same failure on every poll, so the socket stops reading after the first.
    ended: bool,
}

/// An unfinished message. actix-ws could join fragments too, but it spends 32 bytes on each, even for a
/// fragment of one byte.
struct Fragments {
    text: bool,
    payload: MessageBuffer,
}

/// Opens a WebSocket after the handshake was accepted. The caller sets the response headers that depend on the
/// request.
pub(crate) async fn upgrade(
    payload: web::Payload,
    limits: MessageLimits,
) -> actix_web::Result<(HttpResponse, ActixSocket)> {
    let share = RefCell::new(limits.unfinished.share());
    let meter = Rc::new(InputMeter { bytes: Cell::default(), share, end: Cell::default() });
    let capped = CappedPayload {
        payload: payload.into_inner(),
        meter: Rc::clone(&meter),
        max: limits.max_message_bytes + BATCH,
        batch: 0,
        failed: None,
    };
    let mut capped: Payload = Payload::Stream { payload: Box::pin(capped) };
    let request = valid_handshake();
    let payload = web::Payload::from_request(&request, &mut capped).await?;
    let (response, session, frames) = actix_ws::handle(&request, payload)?;
    let frames = frames.max_frame_size(limits.max_message_bytes);
    Ok((response, ActixSocket { session, frames, fragments: None, limits, meter, ended: false }))
}

/// actix-ws checks the handshake again and refuses version 8, which this server accepts. So it gets this one. It takes only an
/// `HttpRequest`, which nothing else in actix makes outside a service, and does not offer the two halves without a check.
/// `TestRequest` needs neither a server nor a runtime.
fn valid_handshake() -> HttpRequest {
    TestRequest::get()
        .insert_header((header::CONNECTION, "Upgrade"))
        .insert_header((header::UPGRADE, "websocket"))
        .insert_header((header::SEC_WEBSOCKET_VERSION, "13"))
        .insert_header((header::SEC_WEBSOCKET_KEY, "AAAAAAAAAAAAAAAAAAAAAA=="))
        .to_http_request()
}

impl ActixSocket {
    fn failed(&self, error: &ProtocolError) -> Disconnect {
        match error {
            ProtocolError::Overflow => Disconnect::Violation(CloseReason::TooBig),
            ProtocolError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Disconnect::Violation(CloseReason::NotUtf8)
            }
            ProtocolError::Io(_) => self.meter.end.get().unwrap_or(Disconnect::Gone),
            _ => Disconnect::Violation(CloseReason::ProtocolError),
        }
    }

    /// Passes a complete message to `on_event`, or appends a fragment to its message.
    fn on_frame(
        &mut self,
        frame: Message,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Disconnect> {
        match frame {
            Message::Text(text) => Ok(on_event(Event::Text(&text))),
            Message::Binary(bytes) => Ok(on_event(Event::Binary(&bytes))),
            Message::Ping(payload) => Ok(on_event(Event::Ping(&payload))),
            Message::Pong(_) => Ok(on_event(Event::Pong)),
            Message::Close(reason) => Err(Disconnect::Closed(reason.map(|reason| u16::from(reason.code)))),
            Message::Continuation(Item::FirstText(payload)) => {
                self.on_fragment(Some(true), &payload, false, on_event)
            }
            Message::Continuation(Item::FirstBinary(payload)) => {
                self.on_fragment(Some(false), &payload, false, on_event)
            }
            Message::Continuation(Item::Continue(payload)) => {
                self.on_fragment(None, &payload, false, on_event)
            }
            Message::Continuation(Item::Last(payload)) => self.on_fragment(None, &payload, true, on_event),
            Message::Nop => Ok(ControlFlow::Continue(())),
        }
    }

    /// Only the first fragment has `text`. actix-ws has checked the order of the fragments.
    fn on_fragment(
        &mut self,
        text: Option<bool>,
        payload: &[u8],
        last: bool,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Disconnect> {
        let quota = &self.limits.unfinished;
        let fragments = self.fragments.get_or_insert_with(|| {
            Box::new(Fragments { text: text.unwrap_or_default(), payload: MessageBuffer::new(quota) })
        });
        let (len, max) = (fragments.payload.len() + payload.len(), self.limits.max_message_bytes);
        if len > max {
            return Err(Disconnect::Violation(CloseReason::TooBig));
        }
        fragments.payload.push(payload, if last { len } else { max })?;
        match self.fragments.take_if(|_| last) {
            Some(whole) => super::message(whole.text, whole.payload.bytes(), on_event),
            None => Ok(on_event(Event::Fragment)),
        }
    }
}

impl Socket for ActixSocket {
    fn open_outbox(&mut self, limit: usize) -> Outbox {
        Outbox::new(limit, None)
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), Disconnect>> {
        if self.ended {
            return Poll::Ready(Err(Disconnect::Gone));
        }
        for count in 0..MAX_FRAMES {
            let frame = match Pin::new(&mut self.frames).poll_next(cx) {
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(None) => return Poll::Ready(Err(Disconnect::Gone)),
                Poll::Ready(Some(Err(error))) => Err(self.failed(&error)),
                Poll::Ready(Some(Ok(frame))) => Ok(frame),
            };
            self.meter.reset();
            match frame.and_then(|frame| self.on_frame(frame, on_event)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(disconnect) => {
                    self.ended = true;
                    self.fragments = None;
                    return Poll::Ready(Err(disconnect));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        while let Some(frame) = outbox.front() {
            ready!(Pin::new(&mut self.session).poll_ready(cx)).map_err(broken)?;
            let (message, len) = (message(frame), frame.len());
            Pin::new(&mut self.session).start_send(message).map_err(broken)?;
            outbox.advance(len);
        }
        if outbox.is_blocked() {
            ready!(Pin::new(&mut self.session).poll_ready(cx)).map_err(broken)?;
            outbox.unblock();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = ready!(Pin::new(&mut self.session).poll_close(cx));
        Poll::Ready(closed.map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}

fn message(frame: &Frame) -> Message {
    let payload = Bytes::copy_from_slice(frame.payload());
    match frame.opcode() {
        Some(Opcode::Text) => Message::Text(ByteString::try_from(payload).unwrap_or_default()),
        Some(Opcode::Ping) => Message::Ping(payload),
        Some(Opcode::Pong) => Message::Pong(payload),
        Some(Opcode::Close) => Message::Close(close_reason(&payload)),
        // actix answers the handshake itself.
        None => Message::Nop,
    }
}

fn close_reason(payload: &[u8]) -> Option<ws::CloseReason> {
    let [high, low, reason @ ..] = payload else {
        return None;
    };
    let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
    let description = String::from_utf8_lossy(reason).into_owned();
    Some(ws::CloseReason { code, description: Some(description).filter(|text| !text.is_empty()) })
}

/// The payload of the request. It pauses after each batch so that actix-ws decodes, and fails when a
/// message exceeds its limit.
struct CappedPayload {
    payload: Payload,
    meter: Rc<InputMeter>,
    max: usize,
    batch: usize,
    failed: Option<PayloadError>,
}

/// Counts the input of actix-ws and charges it to the quota.
struct InputMeter {
    /// Bytes since the last frame. actix-ws buffers at most this many.
    bytes: Cell<usize>,
    share: RefCell<QuotaShare>,
    /// Why the input ended.
    end: Cell<Option<Disconnect>>,
}

impl InputMeter {
    fn pass(&self, count: usize, max: usize) -> Result<(), Disconnect> {
        let bytes = self.bytes.get() + count;
        self.bytes.set(bytes);
        if bytes > max {
            return Err(Disconnect::Violation(CloseReason::TooBig));
        }
        let charged = self.share.borrow_mut().set(bytes);
        charged.map_err(|_| Disconnect::Violation(CloseReason::TryAgainLater))
    }

    fn reset(&self) {
        self.bytes.set(0);
        // Zero bytes always fit.
        let _ = self.share.borrow_mut().set(0);
    }

    fn fail(&self, error: PayloadError) -> PayloadError {
        self.end.set(Some(Disconnect::Gone));
        error
    }
}

impl Stream for CappedPayload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(this.meter.fail(error))));
        }
        if this.batch >= BATCH {
            this.batch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut this.payload).poll_next(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                this.batch += bytes.len();
                let passed = this.meter.pass(bytes.len(), this.max);
                Poll::Ready(Some(passed.map(|()| bytes).map_err(|end| {
                    this.meter.end.set(Some(end));
                    PayloadError::Overflow
                })))
            }
            // With the failure in hand actix-ws would forget what it has not decoded yet.
            Poll::Ready(Some(Err(error))) if this.batch > 0 => {
                this.failed = Some(error);
                this.batch = 0;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(this.meter.fail(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                this.batch = 0;
                Poll::Pending
            }
        }
    }
}
