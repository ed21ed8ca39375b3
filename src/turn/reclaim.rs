//! Places of unused allocations, for the time when all are taken.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::allocation::Allocation;
use crate::limits::AddressPrefix;

/// Milliseconds between two searches for unused allocations, because a search looks at all.
const SEARCH_EVERY: u64 = 1000;

/// Unused allocations that were found.
#[derive(Default)]
pub(super) struct Unused(Mutex<Found>);

#[derive(Default)]
struct Found {
    /// When the next search may be.
    next: u64,
    /// The last one goes first.
    candidates: Vec<Candidate>,
}

struct Candidate {
    allocation: Weak<Allocation>,
    /// Unused allocations that its site has when its older ones have gone.
    rank: usize,
}

impl Unused {
    /// The unused allocation among `all` that goes next: the oldest of the site with the most. Only if these are more than twice
    /// as many as the asking site holds, so that equals do not take turns at each other's.
    pub(super) fn next(
        &self,
        all: impl FnOnce() -> Vec<Arc<Allocation>>,
        of_key: Option<&str>,
        held: usize,
        now: u64,
    ) -> Option<Arc<Allocation>> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.next <= now {
            *found = Found { next: now + SEARCH_EVERY, candidates: search(all(), now) };
        }
        let mut at = found.candidates.len();
        while at > 0 {
            at -= 1;
            let candidate = found.candidates.get(at).filter(|candidate| candidate.rank > 2 * held)?;
            let unused = candidate.allocation.upgrade().filter(|allocation| allocation.is_unused(now));
            if unused.as_ref().is_some_and(|unused| of_key.is_some_and(|key| key != unused.key)) {
                continue;
            }
            found.candidates.remove(at);
            if unused.is_some() {
                return unused;
            }
        }
        None
    }
}

fn search(mut all: Vec<Arc<Allocation>>, now: u64) -> Vec<Candidate> {
    all.retain(|allocation| allocation.is_unused(now));
    all.sort_by_key(|allocation| Reverse(allocation.created));
    let mut of_sites: HashMap<AddressPrefix, usize> = HashMap::new();
    let ranked = all.iter().map(|allocation| {
        let rank = of_sites.entry(AddressPrefix::site(allocation.client.id.address.ip())).or_default();
        *rank += 1;
        Candidate { allocation: Arc::downgrade(allocation), rank: *rank }
    });
    let mut candidates: Vec<_> = ranked.collect();
    // Stable: among equals, the oldest stays last.
    candidates.sort_by_key(|candidate| candidate.rank);
    candidates
}
