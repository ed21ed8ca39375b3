//! The interface between the session loop and a protocol.

use std::ops::ControlFlow;
use std::task::{self, Poll};

use super::sessions::Sessions;
use crate::broker::{Flush, IdLease, Routed};
use crate::node::{MediaMessage, Relayed};
use crate::wire::{Frame, MessageKind, Refusal};

/// The protocol that a client speaks.
pub(super) trait ProtocolHandler: Sized + 'static {
    /// The first frame for a client that got its id.
    fn greeting() -> Option<Frame>;

    /// Tells a client why it is not admitted.
    fn refusal(refusal: Refusal) -> Frame;

    /// Tells a client that it goes on waiting for its id.
    fn waiting() -> Option<Frame> {
        None
    }

    /// Waits for what an earlier message began. Nothing is read before that is ready, which takes a few seconds at most.
    fn poll_pending(&mut self, _cx: &mut task::Context<'_>, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Handles one message; breaks when the client says goodbye. Also called while an earlier one is pending, for messages
    /// that came in the same read.
    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()>;
}

/// The dependencies of a handler.
pub(super) struct Context<'a> {
    pub(super) peer: &'a IdLease,
    pub(super) sessions: &'a Sessions,
    /// Flushed once per read, so that a batch for one recipient is written together.
    pub(super) flushes: &'a mut Vec<Flush>,
}

impl Context<'_> {
    /// Sends a frame to this client.
    pub(super) fn reply(&mut self, frame: Frame) {
        self.flushes.extend(self.peer.reply(frame));
    }

    /// Sends a message to another peer of the realm, through the relay if the key wants it. False if it is lost.
    pub(super) fn send(
        &mut self,
        to: &str,
        kind: MessageKind,
        frame: Frame,
        message: MediaMessage<'_>,
    ) -> bool {
        let text = std::str::from_utf8(frame.payload()).unwrap_or_default();
        let frame = match self.sessions.relayed(self.peer, to, || message, text) {
            Relayed::AsItIs => frame,
            Relayed::Text(text) => Frame::of_text(&text),
            Relayed::Nothing => return true,
        };
        match self.peer.route(to, kind, frame) {
            Routed::Delivered(flush) => self.flushes.extend(flush),
            Routed::Queued => {}
            Routed::Dropped(_) => return false,
        }
        true
    }
}
