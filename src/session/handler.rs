//! What the session loop asks of a protocol.

use std::ops::ControlFlow;

use super::sessions::Sessions;
use crate::broker::{Flush, IdLease, Routed};
use crate::wire::{Frame, MessageKind, Refusal};

/// The protocol that a client speaks.
pub(super) trait ProtocolHandler: Sized + 'static {
    /// The first frame for a client that got its id.
    fn greeting() -> Option<Frame>;

    /// Tells a client why it is not admitted.
    fn refusal(refusal: Refusal) -> Frame;

    /// Handles one message; breaks when the client says goodbye.
    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()>;
}

/// What a handler works with.
pub(super) struct Context<'a> {
    pub(super) peer: &'a IdLease,
    pub(super) sessions: &'a Sessions,
    /// What one read brought for one recipient is written once, when the read is dealt with.
    pub(super) flushes: &'a mut Vec<Flush>,
}

impl Context<'_> {
    /// Sends something to this very client.
    pub(super) fn reply(&mut self, frame: Frame) {
        self.flushes.extend(self.peer.reply(frame));
    }

    /// Sends something to another peer of the realm. Says whether it is not lost.
    pub(super) fn send(&mut self, to: &str, kind: MessageKind, frame: Frame) -> bool {
        match self.peer.route(to, kind, frame) {
            Routed::Delivered(flush) => self.flushes.extend(flush),
            Routed::Queued => {}
            Routed::Dropped(_) => return false,
        }
        true
    }
}
