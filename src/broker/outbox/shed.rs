//! What goes when an outbox is full: a flood harms those who send it, and not their recipient.

use std::collections::HashMap;

use super::{Outbox, Outgoing, cost};
use crate::broker::types::PeerId;

/// What became of a frame that was pushed.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// The frame is not in the outbox.
    pub(crate) refused: bool,
    /// The senders that lost messages here which must not be lost in silence. If the frame's own sender
    /// is among them, the frame was refused.
    pub(crate) expired: Vec<PeerId>,
}

impl Outbox {
    /// Adds a frame to a full outbox. A sender that has to go loses all that it has waiting here, so
    /// that no conversation is delivered with a hole.
    ///
    /// A quarter is freed at once: finding the heaviest sender takes a walk over all that waits, and many
    /// senders with little each would otherwise cost one walk a message.
    pub(super) fn push_crowded(&mut self, outgoing: Outgoing) -> Pushed {
        let mut pushed = Pushed::default();
        while self.overflows(&outgoing) || self.behind > self.bound() / 4 * 3 {
            // With no sender left it is the broker that says too much, because of what this very client
            // did.
            let heaviest = self.heaviest_sender(&outgoing);
            let is_its_own = heaviest == outgoing.from;
            if is_its_own && !self.overflows(&outgoing) {
                break;
            }
            pushed.refused = is_its_own;
            if let Some(heaviest) = heaviest {
                let lost = self.shed(&heaviest);
                if lost || is_its_own && outgoing.keep {
                    pushed.expired.push(heaviest);
                }
            }
            if is_its_own {
                return pushed;
            }
        }
        self.push_unbounded(outgoing);
        pushed
    }

    /// The sender with the most bytes waiting, `outgoing` included. Of several with as much it is the last
    /// by its id, but not the one of `outgoing`.
    fn heaviest_sender(&self, outgoing: &Outgoing) -> Option<PeerId> {
        let mut waiting: HashMap<&PeerId, usize> = HashMap::new();
        for outgoing in self.frames.iter().skip(self.begun()).chain([outgoing]) {
            if let Some(from) = &outgoing.from {
                *waiting.entry(from).or_default() += cost(outgoing);
            }
        }
        let own = outgoing.from.as_ref();
        let heaviest = waiting.into_iter().max_by_key(|&(from, bytes)| (bytes, own != Some(from), from));
        heaviest.map(|(from, _)| from.clone())
    }

    /// Drops all that a sender has waiting, except what is begun; says whether some of it must not be
    /// lost in silence.
    fn shed(&mut self, sender: &PeerId) -> bool {
        let (begun, mut at, mut lost) = (self.begun(), 0, false);
        self.frames.retain(|outgoing| {
            let stays = at < begun || outgoing.from.as_ref() != Some(sender);
            at += 1;
            lost |= !stays && outgoing.keep;
            stays
        });
        self.recount();
        lost
    }
}
