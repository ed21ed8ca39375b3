//! Makes room in a full outbox: a flood is lost for its senders, and the recipient stays connected.

use std::collections::{HashMap, HashSet};

use super::{Outbox, Shed, cost};
use crate::broker::outgoing::Outgoing;
use crate::wire::PeerId;

/// A sender's share of an outbox, in bytes.
#[derive(Default)]
struct Share {
    /// All, with the frame that is pushed.
    all: usize,
    /// Behind the first frame: this counts for the bound.
    behind: usize,
}

impl Outbox {
    /// Adds a frame to a full outbox. The senders with the most data here lose all of it, so that no batch arrives with
    /// a gap.
    ///
    /// Frees a quarter of the outbox each time, because finding these senders visits every frame.
    pub(super) fn push_crowded(&mut self, outgoing: Outgoing) -> Shed {
        let (mut refused, mut gone) = (false, Vec::new());
        let (bound, mut behind) = (self.bound(), self.behind);
        let mut senders = self.lightest_first(&outgoing).into_iter();
        loop {
            let overflows = behind + cost(&outgoing) > bound;
            if !overflows && behind <= bound / 4 * 3 {
                break;
            }
            // With no sender left, the frames are the broker's answers to this client.
            let heaviest = senders.next_back();
            let is_its_own = heaviest.as_ref().map(|(sender, _)| sender) == outgoing.from();
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
        let own = outgoing.kept_from().filter(|_| refused).cloned();
        let mut shed = self.shed(&gone);
        if refused {
            shed.push(outgoing);
        } else {
            self.push_unbounded(outgoing);
        }
        let crowded = shed.iter().any(|outgoing| outgoing.kept_from().is_some());
        // Other nodes tell their own senders.
        let kept = shed.iter().filter(|outgoing| !outgoing.is_foreign());
        let kept: HashSet<&PeerId> = kept.filter_map(Outgoing::kept_from).collect();
        let expired = kept.len();
        // The session of the frame's own sender tells it.
        gone.retain(|sender| kept.contains(sender) && own.as_ref() != Some(sender));
        Shed {
            refused,
            crowded,
            losers: gone,
            expired,
            lost: shed.iter().filter_map(Outgoing::counted).collect(),
        }
    }

    /// The senders, ordered by their bytes, `outgoing` included. Of equal ones the sender of `outgoing` comes first.
    fn lightest_first(&self, outgoing: &Outgoing) -> Vec<(PeerId, Share)> {
        let mut shares: HashMap<&PeerId, Share> = HashMap::new();
        let waiting =
            self.frames.iter().enumerate().skip(self.begun()).map(|(at, outgoing)| (at > 0, outgoing));
        for (counts, outgoing) in waiting.chain([(false, outgoing)]) {
            if let Some(from) = outgoing.from() {
                let share = shares.entry(from).or_default();
                share.all += cost(outgoing);
                share.behind += if counts { cost(outgoing) } else { 0 };
            }
        }
        let mut senders: Vec<_> = shares.into_iter().map(|(from, share)| (from.clone(), share)).collect();
        let own = outgoing.from();
        senders
            .sort_unstable_by(|(a, x), (b, y)| (x.all, own != Some(a), a).cmp(&(y.all, own != Some(b), b)));
        senders
    }

    /// Takes out the frames of some senders, except a partly written one.
    fn shed(&mut self, senders: &[PeerId]) -> Vec<Outgoing> {
        let senders: HashSet<&PeerId> = senders.iter().collect();
        let (stays, shed): (Vec<_>, Vec<_>) = self
            .frames
            .drain(self.begun()..)
            .partition(|outgoing| outgoing.from().is_none_or(|from| !senders.contains(from)));
        self.frames.extend(stays);
        self.recount();
        shed
    }
}
