//! The transport of a broker that is embedded in an actix-web app: actix-ws answers the handshake and writes
//! frames. Frames are read by our own decoder, because that of actix-ws keeps whole messages in memory and
//! confuses close codes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::ws::{self, CloseCode, Item, Message};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::test::TestRequest;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use actix_ws::{Closed, Session};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_core::Stream as _;
use futures_sink::Sink as _;

use super::decoder::Decoder;
use super::{OnEvent, Socket};
use peerbroker_core::vocabulary::{Fragment, Frame, FrameIn, Opcode, expected};
use peerbroker_router::Disconnect;
use peerbroker_router::Outbox;

/// A WebSocket that uses actix-ws.
pub struct ActixSocket {
    session: Session,
    payload: Payload,
    decoder: Decoder,
    /// The rest of the raw bytes at the front of the outbox, as actix writes frames itself.
    raw: Option<VecDeque<Message>>,
}

/// Opens a WebSocket after the handshake was accepted. The caller sets the response headers that depend on
/// the request.
pub async fn upgrade(
    payload: web::Payload,
    decoder: Decoder,
) -> actix_web::Result<(HttpResponse, ActixSocket)> {
    let request = valid_handshake();
    let nothing = web::Payload::from_request(&request, &mut Payload::None).await?;
    let (response, session, _) = actix_ws::handle(&request, nothing)?;
    let payload = payload.into_inner();
    Ok((response, ActixSocket { session, payload, decoder, raw: None }))
}

/// actix-ws checks the handshake again and refuses version 8, which this server accepts, so it gets this
/// request instead. It takes only an `HttpRequest`, which actix makes only inside a service, and does not
/// offer the two halves without a check. `TestRequest` needs neither a server nor a runtime.
fn valid_handshake() -> HttpRequest {
    TestRequest::get()
        .insert_header((header::CONNECTION, "Upgrade"))
        .insert_header((header::UPGRADE, "websocket"))
        .insert_header((header::SEC_WEBSOCKET_VERSION, "13"))
        .insert_header((header::SEC_WEBSOCKET_KEY, "AAAAAAAAAAAAAAAAAAAAAA=="))
        .to_http_request()
}

impl Socket for ActixSocket {
    fn open_outbox(&mut self, limit: usize) -> Outbox {
        Outbox::new(limit, None)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, on_event: OnEvent<'_>) -> Poll<Result<(), Disconnect>> {
        if let Some(resumed) = self.decoder.resume(on_event) {
            return Poll::Ready(resumed);
        }
        if let Some(Ok(bytes)) = ready!(Pin::new(&mut self.payload).poll_next(cx)) {
            return Poll::Ready(self.decoder.feed(&mut BytesMut::from(bytes), on_event));
        }
        // It may not be polled after its end.
        self.payload = Payload::None;
        Poll::Ready(Err(Disconnect::Gone))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        while let Some(frame) = outbox.front() {
            let len = frame.len();
            if frame.opcode().is_none() {
                ready!(self.poll_send_raw(cx, frame.as_bytes())).map_err(broken)?;
            } else {
                ready!(Pin::new(&mut self.session).poll_ready(cx)).map_err(broken)?;
                Pin::new(&mut self.session).start_send(message(frame)).map_err(broken)?;
            }
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

impl ActixSocket {
    /// Sends the frames that raw bytes consist of.
    fn poll_send_raw(&mut self, cx: &mut Context<'_>, raw: &[u8]) -> Poll<Result<(), Closed>> {
        let raw = self.raw.get_or_insert_with(|| Frame::frames_in(raw).map(message_of).collect());
        while !raw.is_empty() {
            ready!(Pin::new(&mut self.session).poll_ready(cx))?;
            if let Some(message) = raw.pop_front() {
                Pin::new(&mut self.session).start_send(message)?;
            }
        }
        self.raw = None;
        Poll::Ready(Ok(()))
    }
}

fn message(frame: &Frame) -> Message {
    let payload = Bytes::copy_from_slice(frame.payload());
    match frame.opcode() {
        Some(Opcode::Text) => Message::Text(text(payload)),
        Some(Opcode::Binary) => Message::Binary(payload),
        Some(Opcode::Ping) => Message::Ping(payload),
        Some(Opcode::Pong) => Message::Pong(payload),
        Some(Opcode::Close) => Message::Close(close_reason(&payload)),
        // They are not sent as one message.
        None => Message::Nop,
    }
}

/// A frame of raw bytes, as actix writes it.
fn message_of(frame: FrameIn<'_>) -> Message {
    let bytes = Bytes::copy_from_slice;
    match frame {
        FrameIn::Text(payload) => Message::Text(text(bytes(payload))),
        FrameIn::Close(payload) => Message::Close(close_reason(payload)),
        FrameIn::Ping(payload) => Message::Ping(bytes(payload)),
        FrameIn::Pong(payload) => Message::Pong(bytes(payload)),
        FrameIn::Binary(Fragment { is_first, is_last }, payload) => match (is_first, is_last) {
            (true, true) => Message::Binary(bytes(payload)),
            (true, false) => Message::Continuation(Item::FirstBinary(bytes(payload))),
            (false, false) => Message::Continuation(Item::Continue(bytes(payload))),
            (false, true) => Message::Continuation(Item::Last(bytes(payload))),
        },
    }
}

/// The text of a payload, which a server has written.
fn text(payload: Bytes) -> ByteString {
    expected(ByteString::try_from(payload), "a text of the server")
}

/// The payload of a close frame.
fn close_reason(payload: &[u8]) -> Option<ws::CloseReason> {
    let [high, low, reason @ ..] = payload else { return None };
    let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
    let description = String::from_utf8_lossy(reason).into_owned();
    Some(ws::CloseReason { code, description: Some(description).filter(|text| !text.is_empty()) })
}
