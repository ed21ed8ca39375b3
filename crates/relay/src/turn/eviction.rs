//! Decides which unused allocation makes room when all are taken.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::AddressPrefix;

use super::allocation::Allocation;

/// Milliseconds between two searches for unused allocations, because a search visits all.
const SEARCH_EVERY: u64 = 1000;

/// Unused allocations that were found.
#[derive(Default)]
pub(super) struct Unused {
    /// The earliest time of the next search.
    next: Instant,
    /// Each with the number of unused ones that its site has left when its older ones are ended. The last
    /// goes first.
    ranked: Vec<(usize, Weak<Allocation>)>,
}

impl Unused {
    /// The unused allocation among `all` that is ended next: the oldest of the site with the most, among
    /// those that `may_go`. Only if these are more than twice as many as the asking site holds, so that
    /// equals do not evict each other in turn.
    pub(super) fn next(
        &mut self,
        all: impl FnOnce() -> Vec<Arc<Allocation>>,
        may_go: impl Fn(&Allocation) -> bool,
        held: usize,
        now: Instant,
    ) -> Option<Arc<Allocation>> {
        if self.next <= now {
            self.next = now.plus_millis(SEARCH_EVERY);
            self.ranked = search(all(), now);
        }
        for at in (0..self.ranked.len()).rev() {
            let (_, allocation) = self.ranked.get(at).filter(|(rank, _)| *rank > 2 * held)?;
            let unused = allocation.upgrade().filter(|allocation| allocation.is_unused(now));
            if unused.as_ref().is_some_and(|unused| !may_go(unused)) {
                continue;
            }
            self.ranked.remove(at);
            if unused.is_some() {
                return unused;
            }
        }
        None
    }
}

fn search(mut all: Vec<Arc<Allocation>>, now: Instant) -> Vec<(usize, Weak<Allocation>)> {
    all.retain(|allocation| allocation.is_unused(now));
    all.sort_by_key(|allocation| Reverse(allocation.created));
    let mut of_sites: HashMap<AddressPrefix, usize> = HashMap::new();
    let rank = |allocation: &Arc<Allocation>| {
        let rank = of_sites.entry(AddressPrefix::site(allocation.client.id.address.ip())).or_default();
        *rank += 1;
        (*rank, Arc::downgrade(allocation))
    };
    let mut ranked: Vec<_> = all.iter().map(rank).collect();
    // Stable: among equals, the oldest stays last.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked
}
