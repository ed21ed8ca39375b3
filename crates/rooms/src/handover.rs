//! Messages for a member that has moved from one node to another: they wait until the node where it was has
//! handed over what it had for it, so that none overtakes an earlier one.

use std::collections::VecDeque;

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{Frame, NodeId, PeerId};

/// Milliseconds after a move for which the node where the member was is asked, and in which it has to answer.
/// It does within a few, if it lives.
const PATIENCE: u64 = 1_000;

/// Most bytes of messages that wait for one member. With more, they go before the node has answered, and may
/// overtake others.
const MAX_WAITING: usize = 128 * 1024;

/// The move of a member, as one node sees it.
pub(super) struct Handover {
    /// The nodes on which it was, and that may have messages for it: `None` is this one. The first one was
    /// first.
    left: VecDeque<Option<NodeId>>,
    /// The time at which it ends in any case.
    until: Instant,
    /// The node that was asked. `None` before the first message.
    asked: Option<NodeId>,
    waiting: Vec<WaitingMessage>,
    bytes: usize,
}

/// A message that waits.
pub(super) struct WaitingMessage {
    /// Its sender.
    pub(super) from: PeerId,
    /// The sender that hears if it is lost.
    pub(super) sender: PeerId,
    /// Its frame.
    pub(super) message: Frame,
}

impl Handover {
    pub(super) fn new(now: Instant) -> Self {
        let left = VecDeque::new();
        let waiting = Vec::new();
        Handover { left, until: now.plus_millis(PATIENCE), asked: None, waiting, bytes: 0 }
    }

    /// The member has moved on from a node.
    pub(super) fn leave(&mut self, node: Option<NodeId>) {
        self.left.push_back(node);
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// True if messages wait for an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The time at which it ends without an answer.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Asks the first node that can be asked. False if there is none.
    pub(super) fn ask(&mut self, ask: impl Fn(Option<NodeId>) -> Option<NodeId>) -> bool {
        while self.asked.is_none()
            && let Some(node) = self.left.pop_front()
        {
            self.asked = ask(node);
        }
        self.asked.is_some()
    }

    /// A node has no message for the member any more. False if that node was not asked.
    pub(super) fn answered(&mut self, node: NodeId) -> bool {
        self.asked.take_if(|asked| *asked == node).is_some()
    }

    /// Adds a message. False if too many wait.
    pub(super) fn wait(&mut self, waiting: WaitingMessage) -> bool {
        self.bytes += waiting.message.len();
        self.waiting.push(waiting);
        self.bytes <= MAX_WAITING
    }

    /// The messages, in their order.
    pub(super) fn into_waiting(self) -> Vec<WaitingMessage> {
        self.waiting
    }
}
