//! The transport of a broker that is embedded in somebody's actix-web app.

use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::error::PayloadError;
use actix_http::ws::{CloseCode, CloseReason, Message, ProtocolError};
use actix_web::dev::Payload;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, Session};
use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream;
use futures_sink::Sink;

use super::{Disconnect, Event, Socket, close_code, handshake};
use crate::broker::Outbox;
use crate::frame::{Frame, Opcode};

/// Most bytes of input that are handed to actix-ws at once. It decodes only after it has taken all
/// that is there, so without this an oversized frame would be buffered whole.
const BATCH: usize = 64 << 10;

/// Most events of one batch, so that one busy client leaves room for others.
const MAX_EVENTS: usize = 64;

/// A WebSocket that actix-ws speaks.
pub(crate) struct ActixSocket {
    session: Session,
    messages: AggregatedMessageStream,
    passage: Rc<Passage>,
    // Nothing more is read: actix-ws would report one failure again and again, without end.
    ended: bool,
}

/// Accepts a handshake through actix-ws.
pub(crate) async fn upgrade(
    request: &HttpRequest,
    payload: web::Payload,
    max_message_bytes: usize,
) -> actix_web::Result<(HttpResponse, ActixSocket)> {
    let passage = Rc::new(Passage::default());
    let capped = Capped {
        payload: payload.into_inner(),
        passage: Rc::clone(&passage),
        max: max_message_bytes + BATCH,
        batch: 0,
        failed: None,
    };
    let mut capped: Payload = Payload::Stream { payload: Box::pin(capped) };
    let payload = web::Payload::from_request(request, &mut capped).await?;
    let protocols: Vec<&str> = handshake::first_protocol(request.headers()).into_iter().collect();
    let (response, session, messages) = actix_ws::handle_with_protocols(request, payload, &protocols)?;
    let messages = messages
        .max_frame_size(max_message_bytes)
        .aggregate_continuations()
        .max_continuation_size(max_message_bytes);
    Ok((response, ActixSocket { session, messages, passage, ended: false }))
}

impl ActixSocket {
    fn failed(&self, error: &ProtocolError) -> Disconnect {
        match error {
            ProtocolError::Overflow => Disconnect::Violation(close_code::TOO_BIG),
            ProtocolError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Disconnect::Violation(close_code::NOT_UTF8)
            }
            ProtocolError::Io(_) if self.passage.broken.get() => Disconnect::Gone,
            // Ours, of a frame without end, or that of too many fragments.
            ProtocolError::Io(_) => Disconnect::Violation(close_code::TOO_BIG),
            _ => Disconnect::Violation(close_code::PROTOCOL),
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
        for count in 0..MAX_EVENTS {
            let message = match Pin::new(&mut self.messages).poll_next(cx) {
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(None) => return Poll::Ready(Err(Disconnect::Gone)),
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    return Poll::Ready(Err(self.failed(&error)));
                }
                Poll::Ready(Some(Ok(message))) => message,
            };
            self.passage.bytes.set(0);
            let flow = match message {
                AggregatedMessage::Text(text) => on_event(Event::Text(&text)),
                AggregatedMessage::Binary(bytes) => on_event(Event::Binary(&bytes)),
                AggregatedMessage::Ping(payload) => on_event(Event::Ping(&payload)),
                AggregatedMessage::Pong(_) => on_event(Event::Pong),
                AggregatedMessage::Close(reason) => {
                    self.ended = true;
                    let code = reason.map(|reason| u16::from(reason.code));
                    return Poll::Ready(Err(Disconnect::Closed(code)));
                }
            };
            if flow.is_break() {
                break;
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
        Opcode::Text => Message::Text(ByteString::try_from(payload).unwrap_or_default()),
        Opcode::Ping => Message::Ping(payload),
        Opcode::Pong => Message::Pong(payload),
        Opcode::Close => Message::Close(close_reason(&payload)),
    }
}

fn close_reason(payload: &[u8]) -> Option<CloseReason> {
    let [high, low, reason @ ..] = payload else {
        return None;
    };
    let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
    let description = String::from_utf8_lossy(reason).into_owned();
    Some(CloseReason { code, description: Some(description).filter(|text| !text.is_empty()) })
}

/// A request's payload, in pieces that let actix-ws decode between them, and with an end when more
/// came than a message may have.
struct Capped {
    payload: Payload,
    passage: Rc<Passage>,
    max: usize,
    batch: usize,
    failed: Option<PayloadError>,
}

/// What passed through to actix-ws.
#[derive(Default)]
struct Passage {
    /// Bytes since the last message.
    bytes: Cell<usize>,
    /// The connection failed, so an error of the stream is not the client's fault.
    broken: Cell<bool>,
}

impl Passage {
    fn fail(&self, error: PayloadError) -> PayloadError {
        self.broken.set(true);
        error
    }
}

impl Stream for Capped {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(this.passage.fail(error))));
        }
        if this.batch >= BATCH {
            this.batch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut this.payload).poll_next(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                let passed = this.passage.bytes.get() + bytes.len();
                this.passage.bytes.set(passed);
                this.batch += bytes.len();
                let within = passed <= this.max;
                Poll::Ready(Some(within.then_some(bytes).ok_or(PayloadError::Overflow)))
            }
            // With the failure in hand actix-ws would forget what it has not decoded yet.
            Poll::Ready(Some(Err(error))) if this.batch > 0 => {
                this.failed = Some(error);
                this.batch = 0;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(this.passage.fail(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                this.batch = 0;
                Poll::Pending
            }
        }
    }
}
