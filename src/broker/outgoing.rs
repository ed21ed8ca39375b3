use std::fmt;

use crate::wire::{Frame, MessageKind, PeerId};

/// A frame on its way to a client.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame.
    pub frame: Frame,
    /// The peer that sent it, on this node or another, and what it is. `None` for what the broker itself says.
    pub message: Option<(PeerId, MessageKind)>,
    /// Of a message from another node, which keeps it until it hears what became of it.
    pub(super) receipt: Option<Receipt>,
}

/// What became of a message that another node handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// The kernel has it, on its way to the client.
    Delivered,
    /// The connection that it was for is not there any more, and does not get it.
    NotHere,
    /// It was dropped, because the client reads too slowly, or because it does not wait.
    Dropped,
}

/// Tells another node what became of its message: once, and [`HandOver::Dropped`] if nothing else was said.
pub struct Receipt(Option<Answer>);

type Answer = Box<dyn FnOnce(HandOver) + Send>;

impl Outgoing {
    /// Something that the broker itself says. It dies with the connection, unless the same client takes over.
    pub fn notice(frame: Frame) -> Self {
        Outgoing { frame, message: None, receipt: None }
    }

    /// A message of a peer.
    pub fn message(from: PeerId, kind: MessageKind, frame: Frame) -> Self {
        Outgoing { frame, message: Some((from, kind)), receipt: None }
    }

    /// A message that belongs to another node, which hears by the receipt what becomes of it.
    pub fn foreign(from: PeerId, kind: MessageKind, frame: Frame, receipt: Receipt) -> Self {
        Outgoing { frame, message: Some((from, kind)), receipt: Some(receipt) }
    }

    pub(super) fn from(&self) -> Option<&PeerId> {
        self.message.as_ref().map(|(from, _)| from)
    }

    pub(super) fn kind(&self) -> Option<MessageKind> {
        self.message.as_ref().map(|(_, kind)| *kind)
    }

    /// What it is, if this node counts it. The node of its sender does.
    pub(super) fn counted(&self) -> Option<MessageKind> {
        self.kind().filter(|_| !self.is_foreign())
    }

    /// The sender of a message that must not be lost: if the connection dies before it was written, it waits for the
    /// client's next one.
    pub(super) fn kept_from(&self) -> Option<&PeerId> {
        self.message.as_ref().filter(|(_, kind)| kind.waits()).map(|(from, _)| from)
    }

    /// Whether it belongs to another node.
    pub(super) fn is_foreign(&self) -> bool {
        self.receipt.is_some()
    }

    /// Tells the node that it belongs to what became of it, if it belongs to another.
    pub fn settle(&mut self, outcome: HandOver) {
        if let Some(receipt) = self.receipt.take() {
            receipt.settle(outcome);
        }
    }
}

impl Receipt {
    /// A receipt that calls `answer` once. It may be called under the lock of a slot.
    pub fn new(answer: impl FnOnce(HandOver) + Send + 'static) -> Self {
        Receipt(Some(Box::new(answer)))
    }

    /// Tells it.
    pub fn settle(mut self, outcome: HandOver) {
        if let Some(answer) = self.0.take() {
            answer(outcome);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(HandOver::Dropped);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}
