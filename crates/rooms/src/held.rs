//! Messages for the members of a node that is gone. They wait until the node goes on in its next life, and
//! then go there at once, so that all its members hear one order; or until a member has come to another node.

use std::collections::VecDeque;

use super::handover::WaitingMessage;
use peerbroker_config::Limits;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::PeerId;
use peerbroker_router::QueueRoom;

/// The messages that wait for the members of one node in one room. It has the limits of the queue of one
/// absent peer.
#[derive(Default)]
pub(super) struct Held {
    messages: VecDeque<HeldMessage>,
    /// The number of the first ones that the node had, and gave back. It had room for them.
    returned: usize,
    bytes: usize,
}

/// A message that waits.
pub(super) struct HeldMessage {
    /// The message, and its sender.
    pub(super) waiting: WaitingMessage,
    /// Its only recipient; `None` means all members.
    pub(super) to: Option<PeerId>,
    /// The time at which it expires.
    until: Instant,
    /// Its part of the bytes that all waiting messages may take.
    _room: QueueRoom,
}

impl HeldMessage {
    pub(super) fn new(waiting: WaitingMessage, to: Option<PeerId>, until: Instant, room: QueueRoom) -> Self {
        HeldMessage { waiting, to, until, _room: room }
    }
}

impl Held {
    /// Adds a message. False if too much waits.
    pub(super) fn hold(&mut self, message: HeldMessage, limits: &Limits, now: Instant) -> bool {
        let bytes = self.bytes_with(&message, now);
        let has_room = self.messages.len() < limits.queue_messages && bytes <= limits.queue_bytes;
        if has_room {
            self.bytes = bytes;
            self.messages.push_back(message);
        }
        has_room
    }

    /// Adds a message that the node had, in front of those that came since.
    pub(super) fn take_back(&mut self, message: HeldMessage, now: Instant) {
        self.bytes = self.bytes_with(&message, now);
        self.messages.insert(self.returned, message);
        self.returned += 1;
    }

    fn bytes_with(&mut self, message: &HeldMessage, now: Instant) -> usize {
        self.expire(now);
        self.bytes + message.waiting.message.len()
    }

    /// The messages for one member, in their order. They keep waiting for the others.
    pub(super) fn of_member(&mut self, id: &PeerId, now: Instant) -> Vec<WaitingMessage> {
        self.expire(now);
        let is_meant = |held: &&mut HeldMessage| match &held.to {
            Some(to) => to == id,
            None => held.waiting.from != *id,
        };
        let share = |held: &mut HeldMessage| WaitingMessage {
            from: held.waiting.from.clone(),
            sender: held.waiting.sender.clone(),
            message: held.waiting.message.share(),
        };
        self.messages.iter_mut().filter(is_meant).map(share).collect()
    }

    /// All messages, in their order.
    pub(super) fn into_messages(mut self, now: Instant) -> VecDeque<HeldMessage> {
        self.expire(now);
        self.messages
    }

    fn expire(&mut self, now: Instant) {
        while let Some(expired) = self.messages.pop_front_if(|first| first.until <= now) {
            self.bytes -= expired.waiting.message.len();
            self.returned = self.returned.saturating_sub(1);
        }
    }
}
