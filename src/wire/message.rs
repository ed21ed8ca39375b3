//! The kinds of messages between peers, and the reasons why one can be lost.

use super::limit::Limit;
use super::numbers::numbers;

/// The messages that go from one peer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MessageKind {
    Offer,
    Answer,
    Candidate,
    /// A PeerJS client closes its connections to one peer.
    Leave,
    /// Between a room's host and its players.
    Room,
    /// Between the two ends of a one-to-one call.
    Call,
}

impl MessageKind {
    /// All of them.
    pub const ALL: [MessageKind; 6] = [
        MessageKind::Offer,
        MessageKind::Answer,
        MessageKind::Candidate,
        MessageKind::Leave,
        MessageKind::Room,
        MessageKind::Call,
    ];

    /// The name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            MessageKind::Offer => "offer",
            MessageKind::Answer => "answer",
            MessageKind::Candidate => "candidate",
            MessageKind::Leave => "leave",
            MessageKind::Room => "room",
            MessageKind::Call => "call",
        }
    }

    /// Whether such a message waits for an absent peer. If it is lost, its sender gets EXPIRE.
    pub fn waits(self) -> bool {
        matches!(self, MessageKind::Offer | MessageKind::Answer | MessageKind::Candidate)
    }
}

numbers!(MessageKind: Offer = 0, Answer = 1, Candidate = 2, Leave = 3, Room = 4, Call = 5);

/// Why a message was not delivered and does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The recipient is absent, and messages of this kind do not wait.
    Absent,
    /// No client can have this id.
    InvalidId,
    /// The key of the realm was disabled or removed.
    KeyRevoked,
    /// The recipient's outbox is full, and this sender has the most in it.
    OutboxFull,
    /// `queue_messages` wait for the recipient.
    QueueMessages,
    /// `queue_bytes` wait for the recipient.
    QueueBytes,
    /// `queue_total_bytes` wait for all absent peers.
    QueueTotalBytes,
    /// The recipient's connection ended before the message was written, and messages of this kind do not wait.
    Disconnected,
    /// Another node had it, and whether it was delivered will never be known: that node died, or lost what was between
    /// the two.
    InDoubt,
}

impl DropReason {
    /// All of them.
    pub const ALL: [DropReason; 9] = [
        DropReason::Absent,
        DropReason::InvalidId,
        DropReason::KeyRevoked,
        DropReason::OutboxFull,
        DropReason::QueueMessages,
        DropReason::QueueBytes,
        DropReason::QueueTotalBytes,
        DropReason::Disconnected,
        DropReason::InDoubt,
    ];

    /// The limit that was reached, if it was one.
    pub fn limit(self) -> Option<Limit> {
        match self {
            DropReason::OutboxFull => Some(Limit::OutboxBytes),
            DropReason::QueueMessages => Some(Limit::QueueMessages),
            DropReason::QueueBytes => Some(Limit::QueueBytes),
            DropReason::QueueTotalBytes => Some(Limit::QueueTotalBytes),
            DropReason::Absent
            | DropReason::InvalidId
            | DropReason::KeyRevoked
            | DropReason::Disconnected
            | DropReason::InDoubt => None,
        }
    }
}
