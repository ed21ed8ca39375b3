//! The interface between the session loop and a protocol.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::task::{self, Poll};

use super::admission::{Admitted, ClientSource, Rejection};
use crate::descriptions::MediaMessage;
use crate::node::{Node, Tenant};
use crate::transport::Disconnect;
use peerbroker_broker::router::{Departure, Flush, IdLease, MESSAGES, PeerHandle};
use peerbroker_core::wire::{Frame, MessageKind, PeerId, Refusal, RoomName, RoomRights, Token};

/// The protocol that a client speaks.
pub(crate) trait ProtocolHandler: Sized + 'static {
    /// Admits a client by the query of its URL. It takes nothing that others may want: the client may still be refused.
    fn enter(
        node: &Node,
        query: &str,
        source: &ClientSource,
    ) -> impl Future<Output = Result<(Admitted, Self), Rejection>>;

    /// The tenant of the client's key.
    fn tenant(&self) -> &Tenant;

    /// The first frame for a client that got this id.
    fn greeting(_id: &PeerId) -> Option<Frame> {
        None
    }

    /// Tells a client the reason of its refusal.
    fn refusal(refusal: Refusal) -> Frame;

    /// The rooms in which the client with this token is under this id.
    fn rooms_of(&self, _id: &PeerId, _token: &Token) -> Vec<RoomName> {
        Vec::new()
    }

    /// True if a message of a room that waited for an id is for a client with these rights that is in these rooms; `None` means any room.
    fn may_hear(&self, _rights: Option<&RoomRights>, _rooms: Option<&[RoomName]>, _message: &Frame) -> bool {
        false
    }

    /// Tells a client that it still waits for its id.
    fn waiting() -> Option<Frame> {
        None
    }

    /// The client has got its id, and the greeting.
    fn on_open(&mut self, _context: &mut Context<'_>) {}

    /// The client has room for state of which it was not told.
    fn on_room(&mut self, _context: &mut Context<'_>) {}

    /// Gives the id back.
    fn depart(self, lease: IdLease, end: Disconnect) -> Option<Departure> {
        drop(self);
        part(lease, end)
    }

    /// Waits for the result of an earlier message. No input is read before that is ready, which takes a few seconds at most.
    fn poll_pending(&mut self, _cx: &mut task::Context<'_>, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// True if the last message has to wait. Once [`poll_pending`](Self::poll_pending) is ready, it is handed over again, in front of all
    /// later ones. So a handler keeps no text of a client: the transport does, and charges it to the quota of unfinished messages.
    fn waits(&self) -> bool {
        false
    }

    /// Handles one message; breaks when the client says goodbye.
    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()>;

    /// Handles one binary message, if not as text.
    fn on_binary(&mut self, _bytes: &[u8], _context: &mut Context<'_>) -> Option<ControlFlow<()>> {
        None
    }

    /// The client has closed the connection because its page goes away. It still has its id, so its last words are before those
    /// of the next holder.
    fn on_going_away(_context: &mut Context<'_>) {}
}

/// Gives the id back. If the connection is broken, so is its outbox.
pub(super) fn part(lease: IdLease, end: Disconnect) -> Option<Departure> {
    lease.part(end.reason(), end == Disconnect::Gone)
}

/// Says in the log that a message has no meaning in the protocol of its client.
pub(super) fn note_ignored(peer: &PeerHandle) {
    log::debug!(target: MESSAGES, "{} ({:?}): ignored a message that has no meaning", peer.connection(), peer.id().as_str());
}

/// The dependencies of a handler.
pub(crate) struct Context<'a> {
    pub(super) peer: &'a PeerHandle,
    pub(super) node: &'a Node,
    /// Flushed once per read, so that a batch for one recipient is written together.
    pub(super) flushes: &'a mut Vec<Flush>,
}

impl Context<'_> {
    /// Sends a frame to this client.
    pub(super) fn reply(&mut self, frame: Frame) {
        self.flushes.extend(self.peer.reply(frame));
    }

    /// Charges the elements of a list as messages. The message that has the list is charged already.
    pub(super) fn charge_list(&self, elements: usize, messages_per_second: u32) {
        self.peer.charge(u32::try_from(elements).unwrap_or(u32::MAX), messages_per_second);
    }

    /// Sends a message to another peer of the realm, with a candidate of the relay if the key allows it. False if it is lost.
    pub(super) fn send(
        &mut self,
        to: &str,
        kind: MessageKind,
        frame: Frame,
        message: MediaMessage<'_>,
    ) -> bool {
        let text = std::str::from_utf8(frame.payload()).unwrap_or_default();
        let Some(text) = self.node.prepare_for_relay(self.peer, to, || message, text) else { return true };
        let frame = match text {
            Cow::Borrowed(_) => frame,
            Cow::Owned(text) => Frame::of_text(&text),
        };
        self.peer.route(to, kind, frame).promise(self.flushes).is_ok()
    }
}
