//! Makes room in a full outbox: a flood harms its senders, and not their recipient.

use std::collections::{HashMap, HashSet};

use super::{Outbox, Outgoing, cost};
use crate::wire::PeerId;

/// The fate of a pushed frame.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// The frame is not in the outbox.
    pub(crate) refused: bool,
    /// The senders that lost messages here which must not be lost in silence. If the frame's own sender
    /// is among them, the frame was refused.
    pub(crate) expired: Vec<PeerId>,
}

/// A sender's share of an outbox, in bytes.
#[derive(Default)]
struct Share {
    /// With the frame that is being pushed.
    all: usize,
    /// Behind the first frame: this counts for the bound.
    behind: usize,
}

impl Outbox {
    /// Adds a frame to a full outbox. The senders with the most waiting lose all of it, so that no
    /// conversation is delivered with a hole.
    ///
    /// A quarter is freed at once, because finding these senders takes a walk over all that waits.
    pub(super) fn push_crowded(&mut self, outgoing: Outgoing) -> Pushed {
        let (mut refused, mut gone) = (false, Vec::new());
        let (bound, mut behind) = (self.bound(), self.behind);
        let mut senders = self.lightest_first(&outgoing).into_iter();
        loop {
            let overflows = behind + cost(&outgoing) > bound;
            if !overflows && behind <= bound / 4 * 3 {
                break;
            }
            // With no sender left, the broker itself says too much, because of what this client did.
            let heaviest = senders.next_back();
            let is_its_own = heaviest.as_ref().map(|(sender, _)| sender) == outgoing.from.as_ref();
            if is_its_own && !overflows {
                break;
            }
            if let Some((sender, share)) = heaviest {
                behind = behind.saturating_sub(share.behind);
                gone.push(sender);
            }
            if is_its_own {
                refused = true;
                break;
            }
        }
        let mut lost = self.shed(&gone);
        if refused {
            lost.extend(outgoing.kept_from().cloned());
        } else {
            self.push_unbounded(outgoing);
        }
        gone.retain(|sender| lost.contains(sender));
        Pushed { refused, expired: gone }
    }

    /// The senders by the bytes that they have waiting, `outgoing` included. Of several with as much the one of
    /// `outgoing` comes first.
    fn lightest_first(&self, outgoing: &Outgoing) -> Vec<(PeerId, Share)> {
        let mut shares: HashMap<&PeerId, Share> = HashMap::new();
        let waiting =
            self.frames.iter().enumerate().skip(self.begun()).map(|(at, outgoing)| (at > 0, outgoing));
        for (counts, outgoing) in waiting.chain([(false, outgoing)]) {
            if let Some(from) = &outgoing.from {
                let share = shares.entry(from).or_default();
                share.all += cost(outgoing);
                share.behind += if counts { cost(outgoing) } else { 0 };
            }
        }
        let mut senders: Vec<_> = shares.into_iter().map(|(from, share)| (from.clone(), share)).collect();
        let own = outgoing.from.as_ref();
        senders
            .sort_unstable_by(|(a, x), (b, y)| (x.all, own != Some(a), a).cmp(&(y.all, own != Some(b), b)));
        senders
    }

    /// Drops all that some senders have waiting, except what is begun. Gives those of them that lost what must
    /// not be lost in silence.
    fn shed(&mut self, senders: &[PeerId]) -> HashSet<PeerId> {
        let senders: HashSet<&PeerId> = senders.iter().collect();
        let (begun, mut at, mut lost) = (self.begun(), 0, HashSet::new());
        self.frames.retain(|outgoing| {
            let stays = at < begun || outgoing.from.as_ref().is_none_or(|from| !senders.contains(from));
            at += 1;
            if !stays {
                lost.extend(outgoing.kept_from().cloned());
            }
            stays
        });
        self.recount();
        lost
    }
}
