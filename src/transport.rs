//! Bytes to WebSocket frames and back.
//!
//! [`Socket`] is what a session needs of a connection. The server's own implementation takes the
//! connection over from HTTP ([`upgrade`]); [`actix_ws`] serves brokers that are embedded in
//! somebody's actix-web app; [`stream`] stands in where a client has no WebSocket.

pub(crate) mod actix_ws;
pub(crate) mod connection;
pub(crate) mod decoder;
pub(crate) mod exchange;
pub(crate) mod stream;
mod unfinished;
pub(crate) mod upgrade;

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll};

use actix_web::rt::task::yield_now;

use crate::broker::{Outbox, Peer};
use crate::wire::{CloseReason, Link};

pub(crate) use unfinished::Bounds;

/// Something a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A whole message, its fragments put together.
    Text(&'a str),
    /// The same, as a binary message.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// An answer to a ping, or unasked for.
    Pong,
    /// A part of a message whose end has not come. It means nothing yet, but takes work.
    Fragment,
}

/// Why nothing more comes from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disconnect {
    /// The connection ended or broke: nothing can be sent either.
    Gone,
    /// The client sent a close frame; this is the code to answer with.
    Closed(Option<u16>),
    /// The client broke the protocol or exceeded a limit, and is closed for this reason.
    Violation(CloseReason),
}

impl Event<'_> {
    /// Bytes of the message, if it is a whole one.
    pub(crate) fn message_len(&self) -> Option<usize> {
        match self {
            Event::Text(text) => Some(text.len()),
            Event::Binary(bytes) => Some(bytes.len()),
            Event::Ping(_) | Event::Pong | Event::Fragment => None,
        }
    }
}

/// A WebSocket after its handshake, or what stands in for one.
pub(crate) trait Socket {
    /// What the connection is made of.
    const LINK: Link = Link::Socket;

    /// The outbox for this connection, once. It begins with what the handshake still has to send.
    fn open_outbox(&mut self, limit: usize) -> Outbox;

    /// Says that the connection is registered, as `peer`.
    fn on_registered(&mut self, _peer: &Peer) {}

    /// Reads once and hands over each event that is complete, oldest first. Ready with `Ok` when
    /// something was read; there may be more. Stops early when `on_event` breaks.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), Disconnect>>;

    /// Whether nobody would hear a greeting here any more: the client goes on elsewhere.
    fn is_abandoned(&self) -> bool {
        false
    }

    /// Whether the client has ended its connection, as far as that can be seen without reading.
    fn has_left(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    /// Writes what the outbox holds. Ready when all is with the kernel.
    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>>;

    /// Ends the sending direction, after the outbox is dropped.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Hands over a whole message.
fn message(
    text: bool,
    payload: &[u8],
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Disconnect> {
    if !text {
        return Ok(on_event(Event::Binary(payload)));
    }
    match std::str::from_utf8(payload) {
        Ok(text) => Ok(on_event(Event::Text(text))),
        Err(_) => Err(Disconnect::Violation(CloseReason::NotUtf8)),
    }
}

/// Has the current task polled again after the worker has looked at its other sockets. The runtime
/// polls a task that simply wakes itself dozens of times before that.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    // Its first poll is what does it.
    let _ = pin!(yield_now()).poll(cx);
}
