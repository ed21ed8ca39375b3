#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

pub mod actix_ws;
pub mod client_stream;
pub mod connection;
pub mod decoder;
mod message_buffer;
pub mod proxy_protocol;
pub mod stream;
pub mod tls_stream;
pub mod upgrade;

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll};

use actix_web::rt::task::yield_now;

use peerbroker_core::vocabulary::{CloseReason, ConnectionKind, Fragment};
use peerbroker_router::{Disconnect, Outbox, PeerHandle};

pub use message_buffer::MessageLimits;

/// Gets a connection and the first bytes that were read from it. True if it has taken both over: then the
/// connection is over for its reader.
pub type TakeOver<T> = Box<dyn FnOnce(&T, &[u8]) -> bool>;

/// An event on a client's connection.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketEvent<'a> {
    /// A complete text message.
    Text(&'a str),
    /// A complete binary message.
    Binary(&'a [u8]),
    /// The receiver must send a pong with the same payload (RFC 6455, section 5.5.2).
    Ping(&'a [u8]),
    /// The answer to a ping, or an unsolicited pong.
    Pong,
    /// A part of a message, from a decoder that keeps none.
    Part {
        /// True for text, which is not checked to be UTF-8.
        text: bool,
        /// The payload.
        bytes: &'a [u8],
        /// The place in the message.
        place: Fragment,
    },
    /// A part of an unfinished message. It counts towards the rate limit, because decoding it takes work.
    Fragment,
}

impl SocketEvent<'_> {
    /// The size of the message in bytes; `None` for pings, pongs and fragments.
    pub fn message_len(&self) -> Option<usize> {
        match self {
            SocketEvent::Text(text) => Some(text.len()),
            SocketEvent::Binary(bytes) => Some(bytes.len()),
            SocketEvent::Ping(_) | SocketEvent::Pong | SocketEvent::Part { .. } | SocketEvent::Fragment => {
                None
            }
        }
    }
}

/// Handles one event. When it breaks, the rest waits for the next read.
pub type OnEvent<'a> = &'a mut dyn FnMut(SocketEvent<'_>) -> Flow;

/// Breaks if no more events are wanted now.
pub type Flow = ControlFlow<()>;

/// A WebSocket after its handshake, or an HTTP stream.
pub trait Socket {
    /// The kind of connection.
    const KIND: ConnectionKind = ConnectionKind::Socket;

    /// Returns the outbox of this connection; call it once. The outbox starts with the unsent part of the
    /// handshake.
    fn open_outbox(&mut self, limit: usize) -> Outbox;

    /// The session calls this after it registered the connection as `peer`.
    fn on_registered(&mut self, _peer: &PeerHandle) {}

    /// Reads once and passes each complete event to `on_event`, oldest first. `Ok` means that something was
    /// read and that there may be more. When `on_event` breaks, the next call begins with the rest.
    fn poll_recv(&mut self, cx: &mut Context<'_>, on_event: OnEvent<'_>) -> Poll<Result<(), Disconnect>>;

    /// True if the client has already moved to its next connection, so that a greeting here would be lost.
    fn is_abandoned(&self) -> bool {
        false
    }

    /// True if the client has closed the connection, as far as the socket shows it without a read.
    fn has_left(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    /// Writes the outbox to the connection. Ready when the kernel has taken everything.
    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>>;

    /// Tells the socket that [`poll_shutdown`](Self::poll_shutdown) follows at once. Frames that are sent
    /// before may wait for it.
    fn begin_shutdown(&mut self) {}

    /// Shuts the sending direction down. The outbox must be dropped before.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Passes a complete message to `on_event`.
fn message(text: bool, payload: &[u8], on_event: OnEvent<'_>) -> Result<Flow, Disconnect> {
    if !text {
        return Ok(on_event(SocketEvent::Binary(payload)));
    }
    match std::str::from_utf8(payload) {
        Ok(text) => Ok(on_event(SocketEvent::Text(text))),
        Err(_) => Err(Disconnect::ByServer(CloseReason::NotUtf8)),
    }
}

/// Schedules the current task again, behind the other sockets of the worker. The runtime would poll a
/// task that only wakes itself dozens of times before it polls the others.
pub fn give_way(cx: &mut Context<'_>) {
    // The first poll schedules the task.
    let _ = pin!(yield_now()).poll(cx);
}
