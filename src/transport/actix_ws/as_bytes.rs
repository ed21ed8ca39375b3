//! A connection of actix-ws as bytes: those of the client as they come, and those for it in messages, because actix writes the frames.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::ws::{self, CloseCode, Item, Message};
use actix_web::dev::Payload;
use actix_ws::Session;
use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use peerbroker_core::vocabulary::{Fragment, Frame};

/// Both directions of a connection. Bytes that are written are frames from a server.
pub(super) struct ActixBytes {
    session: Session,
    payload: Payload,
    /// Bytes of the client that nobody has read.
    unread: Bytes,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// Messages of a write that actix has not taken yet.
    messages: VecDeque<Message>,
    /// The bytes of that write.
    written: Option<usize>,
}

impl ActixBytes {
    pub(super) fn new(session: Session, payload: Payload) -> Self {
        let (unread, partial, messages) = Default::default();
        ActixBytes { session, payload, unread, partial, messages, written: None }
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        while !self.messages.is_empty() {
            ready!(Pin::new(&mut self.session).poll_ready(cx)).map_err(broken)?;
            if let Some(message) = self.messages.pop_front() {
                Pin::new(&mut self.session).start_send(message).map_err(broken)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ActixBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            match ready!(Pin::new(&mut self.payload).poll_next(cx)) {
                Some(Ok(bytes)) => self.unread = bytes,
                // It may not be polled after its end.
                Some(Err(_)) | None => self.payload = Payload::None,
            }
        }
        let len = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ActixBytes {
    /// Ready when actix has taken all: until then it gets the same bytes again, which are not looked at.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.written.is_none() {
            self.partial.extend_from_slice(bytes);
            let (messages, rest) = messages(&self.partial);
            let taken = self.partial.len() - rest.len();
            self.messages = messages;
            self.partial.drain(..taken);
            self.written = Some(bytes.len());
        }
        ready!(self.poll_messages(cx))?;
        Poll::Ready(Ok(self.written.take().unwrap_or(bytes.len())))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_messages(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_messages(cx))?;
        let closed = ready!(Pin::new(&mut self.session).poll_close(cx));
        Poll::Ready(closed.map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}

/// The messages of whole frames from a server, and the bytes behind them.
pub(super) fn messages(mut bytes: &[u8]) -> (VecDeque<Message>, &[u8]) {
    let mut messages = VecDeque::new();
    while let Some((place, payload, rest)) = Frame::split_fragment(bytes) {
        let opcode = bytes.first().map_or(0, |first| first & 0xF);
        let payload = Bytes::copy_from_slice(payload);
        messages.push_back(match (opcode, place) {
            (0x1, _) => Message::Text(text(payload)),
            (0x8, _) => Message::Close(close_reason(&payload)),
            (0x9, _) => Message::Ping(payload),
            (0xA, _) => Message::Pong(payload),
            (_, Fragment { is_first: true, is_last: true }) => Message::Binary(payload),
            (_, Fragment { is_first: true, is_last: false }) => {
                Message::Continuation(Item::FirstBinary(payload))
            }
            (_, Fragment { is_first: false, is_last: false }) => {
                Message::Continuation(Item::Continue(payload))
            }
            (_, Fragment { is_first: false, is_last: true }) => Message::Continuation(Item::Last(payload)),
        });
        bytes = rest;
    }
    (messages, bytes)
}

/// The text of a payload, which a server has written.
pub(super) fn text(payload: Bytes) -> ByteString {
    let text = ByteString::try_from(payload);
    debug_assert!(text.is_ok(), "a text is in UTF-8");
    text.unwrap_or_default()
}

/// The payload of a close frame.
pub(super) fn close_reason(payload: &[u8]) -> Option<ws::CloseReason> {
    let [high, low, reason @ ..] = payload else { return None };
    let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
    let description = String::from_utf8_lossy(reason).into_owned();
    Some(ws::CloseReason { code, description: Some(description).filter(|text| !text.is_empty()) })
}
