use crate::wire::{Frame, MessageKind, PeerId};

/// A frame on its way to a client.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame.
    pub frame: Frame,
    /// The peer that sent it, on this node or another, and what it is. `None` for what the broker itself says.
    pub message: Option<(PeerId, MessageKind)>,
}

impl Outgoing {
    /// Something that the broker itself says. It dies with the connection, unless the same client takes over.
    pub fn notice(frame: Frame) -> Self {
        Outgoing { frame, message: None }
    }

    /// A message of a peer.
    pub fn message(from: PeerId, kind: MessageKind, frame: Frame) -> Self {
        Outgoing { frame, message: Some((from, kind)) }
    }

    pub(super) fn from(&self) -> Option<&PeerId> {
        self.message.as_ref().map(|(from, _)| from)
    }

    pub(super) fn kind(&self) -> Option<MessageKind> {
        self.message.as_ref().map(|(_, kind)| *kind)
    }

    /// The sender of a message that must not be lost: if the connection dies before it was written, it waits for the
    /// client's next one.
    pub(super) fn kept_from(&self) -> Option<&PeerId> {
        self.message.as_ref().filter(|(_, kind)| kind.waits()).map(|(from, _)| from)
    }
}
