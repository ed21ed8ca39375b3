//! The kinds of messages between peers, and the reasons why one can be lost.

use super::limit::Limit;
use super::tables::{labels, numbers};

labels! {
    /// The messages that go from one peer to another.
    #[allow(missing_docs)]
    pub enum MessageKind {
        Offer = "offer",
        Answer = "answer",
        Candidate = "candidate",
        /// A PeerJS client closes its connections to one peer.
        Leave = "leave",
        /// Between the host of a room code and its players.
        RoomCode = "room_code",
        /// Between the two ends of a one-to-one call, or two other clients that signal each other. Metrics
        /// call it a call.
        Signal = "call",
        /// From the app's server to a client.
        Server = "server",
        /// From a member of a room to the others, or to one of them.
        Room = "room",
        /// Between two members of a swarm.
        Swarm = "swarm",
    }
}

impl MessageKind {
    /// True if such a message waits for an absent peer. If it is lost, its sender gets EXPIRE, unless that is
    /// [no client](super::PeerId::is_client).
    pub fn waits(self) -> bool {
        match self {
            MessageKind::Offer | MessageKind::Answer | MessageKind::Candidate => true,
            MessageKind::Room | MessageKind::Server => true,
            MessageKind::Leave | MessageKind::RoomCode | MessageKind::Signal | MessageKind::Swarm => false,
        }
    }

    /// True if such a message sets up a connection between its sender and its recipient.
    pub fn connects(self) -> bool {
        match self {
            MessageKind::Offer | MessageKind::Answer | MessageKind::Candidate => true,
            MessageKind::Leave
            | MessageKind::RoomCode
            | MessageKind::Signal
            | MessageKind::Server
            | MessageKind::Room
            | MessageKind::Swarm => false,
        }
    }
}

numbers!(MessageKind: Offer = 0, Answer = 1, Candidate = 2, Leave = 3, RoomCode = 4, Signal = 5, Server = 6, Room = 7, Swarm = 8);

labels! {
    /// The reason why a message was not delivered and does not wait. The labels are those of the outcome of
    /// the message.
    pub enum DropReason {
        /// The recipient is absent, and messages of this kind do not wait.
        Absent = "dropped_absent",
        /// No client can have this id.
        InvalidId = "dropped_invalid_id",
        /// The key of the realm was disabled or removed.
        KeyRevoked = "dropped_key_revoked",
        /// The recipient's outbox is full, and this sender has the most in it.
        OutboxFull = "dropped_outbox_full",
        /// `queue_messages` wait for the recipient.
        QueueMessages = "dropped_queue_messages",
        /// `queue_bytes` wait for the recipient.
        QueueBytes = "dropped_queue_bytes",
        /// `queue_total_bytes` wait for all absent peers.
        QueueTotalBytes = "dropped_queue_total_bytes",
        /// The recipient's connection ended before the message was written, and messages of this kind do not
        /// wait.
        Disconnected = "dropped_disconnected",
        /// Another node had it, and its outcome will stay unknown: that node died, or lost the messages
        /// between the two.
        InDoubt = "dropped_in_doubt",
    }
}

impl DropReason {
    /// The limit that was reached, if it was one.
    pub fn limit(self) -> Option<Limit> {
        match self {
            DropReason::OutboxFull => Some(Limit::OutboxBytes),
            DropReason::QueueMessages => Some(Limit::QueueMessages),
            DropReason::QueueBytes => Some(Limit::QueueBytes),
            DropReason::QueueTotalBytes => Some(Limit::QueueTotalBytes),
            DropReason::Absent | DropReason::InvalidId | DropReason::KeyRevoked => None,
            DropReason::Disconnected | DropReason::InDoubt => None,
        }
    }
}
