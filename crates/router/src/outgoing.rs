//! A frame on its way to a peer, with its sender and its outcome.

use peerbroker_core::vocabulary::{Frame, MessageKind, NodeId, PeerId, numbers};

/// A frame on its way to a client.
pub struct Outgoing {
    /// The frame.
    pub frame: Frame,
    /// Its sender, on this node or another, and its kind. `None` for a frame of the broker itself.
    pub message: Option<(PeerId, MessageKind)>,
    /// Of a message from another node, which keeps it until it hears the outcome.
    pub(super) receipt: Option<Receipt>,
}

/// The outcome of a message that another node forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardOutcome {
    /// The kernel has it, on its way to the client.
    Delivered,
    /// The connection that it was for has ended, and does not get it.
    NotHere,
    /// The message was dropped, because the client reads too slowly, or because its kind does not wait.
    Dropped,
}

numbers!(ForwardOutcome: Delivered = 0, NotHere = 1, Dropped = 2);

/// Reports the outcome of a message to the node that has forwarded it. It may be called under the lock of a
/// slot.
pub trait Reporter: Send {
    /// Called once.
    fn report(&self, outcome: ForwardOutcome);

    /// False if that node has given the message up by now, and has told its sender so.
    fn is_awaited(&self) -> bool;

    /// False after a pause of this process, until that node has said which messages it has given up.
    fn is_sure(&self) -> bool;

    /// True if it is the message to which that node has given this ticket.
    fn is_of(&self, node: NodeId, ticket: u64) -> bool;
}

/// Tells another node the outcome of its message: once, and [`ForwardOutcome::Dropped`] by default.
pub struct Receipt(Option<Box<dyn Reporter>>);

impl Outgoing {
    /// A frame of the broker itself. It is lost with the connection, unless the same client takes over.
    pub fn notice(frame: Frame) -> Self {
        Outgoing { frame, message: None, receipt: None }
    }

    /// A message of a peer.
    #[inline]
    pub fn message(from: PeerId, kind: MessageKind, frame: Frame) -> Self {
        Outgoing { frame, message: Some((from, kind)), receipt: None }
    }

    /// A message of another node, which hears the outcome through the receipt.
    pub fn foreign(from: PeerId, kind: MessageKind, frame: Frame, receipt: Receipt) -> Self {
        Outgoing { frame, message: Some((from, kind)), receipt: Some(receipt) }
    }

    pub(super) fn from(&self) -> Option<&PeerId> {
        self.message.as_ref().map(|(from, _)| from)
    }

    pub(super) fn kind(&self) -> Option<MessageKind> {
        self.message.as_ref().map(|(_, kind)| *kind)
    }

    /// Its sender and its kind, if this node counts it. The node of its sender does.
    pub(super) fn counted(&self) -> Option<(PeerId, MessageKind)> {
        if self.is_foreign() { None } else { self.message.clone() }
    }

    /// The kind of a message that this node counts.
    pub(super) fn counted_kind(&self) -> Option<MessageKind> {
        self.kind().filter(|_| !self.is_foreign())
    }

    /// The sender of a message that must not be lost: if the connection ends before it was written, it waits
    /// for the client's next one.
    pub(super) fn sender_if_reliable(&self) -> Option<&PeerId> {
        self.sender_if(MessageKind::waits)
    }

    /// The sender that hears EXPIRE if this message is lost, and loses its other ones for the recipient with
    /// it.
    pub(super) fn expires_for(&self) -> Option<&PeerId> {
        self.sender_if_reliable().filter(|from| from.is_client())
    }

    /// The sender of a message that sets up a connection with the recipient.
    pub(super) fn contact(&self) -> Option<&PeerId> {
        self.sender_if(MessageKind::connects)
    }

    /// The owner of its turn: the sender, if it sets up a connection or ends one. Of all others the order
    /// counts, such as those of rooms.
    pub(super) fn turn(&self) -> Option<PeerId> {
        self.sender_if(|kind| kind.connects() || kind == MessageKind::Leave).cloned()
    }

    fn sender_if(&self, is_wanted: impl Fn(MessageKind) -> bool) -> Option<&PeerId> {
        self.message.as_ref().filter(|(_, kind)| is_wanted(*kind)).map(|(from, _)| from)
    }

    /// True if it came from another node.
    pub(super) fn is_foreign(&self) -> bool {
        self.receipt.is_some()
    }

    /// True if its sender has heard already that it is lost, as after a pause of this process: it must not be
    /// delivered any more.
    pub(super) fn is_late(&self) -> bool {
        self.reporter().is_some_and(|reporter| !reporter.is_awaited())
    }

    /// True if it may not be written yet: its sender may have heard that it is lost.
    pub(super) fn is_held(&self) -> bool {
        self.reporter().is_some_and(|reporter| !reporter.is_sure())
    }

    /// True if it is the message to which another node has given this ticket.
    pub(super) fn is_of(&self, node: NodeId, ticket: u64) -> bool {
        self.reporter().is_some_and(|reporter| reporter.is_of(node, ticket))
    }

    fn reporter(&self) -> Option<&dyn Reporter> {
        self.receipt.as_ref()?.0.as_deref()
    }

    /// Tells the outcome to the node that the message belongs to, if that is another one.
    pub fn settle(&mut self, outcome: ForwardOutcome) {
        if let Some(receipt) = &mut self.receipt.take() {
            receipt.settle(outcome);
        }
    }
}

impl Receipt {
    /// A receipt of this reporter.
    pub fn new(reporter: impl Reporter + 'static) -> Self {
        Receipt(Some(Box::new(reporter)))
    }

    fn settle(&mut self, outcome: ForwardOutcome) {
        if let Some(reporter) = self.0.take() {
            reporter.report(outcome);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(ForwardOutcome::Dropped);
    }
}
