//! Ids that change hands again and again between connections with one token: a duplicated tab has the id and
//! the token of the first one, and each takes the id from the other.

use peerbroker_core::clock::Instant;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use peerbroker_events::PeerAddress;

/// Takeovers of an id within the interval that are a mistake. A phone that changes its network causes one or
/// two.
const MANY: u32 = 4;

/// The interval, in milliseconds.
const INTERVAL: u64 = 60_000;

/// Most ids that are remembered. Beyond that, the least recent one is forgotten.
const MAX_IDS: usize = 64;

/// The latest takeovers. Only takeovers come here, and they are rare.
#[derive(Default)]
pub(super) struct Contested(Mutex<VecDeque<Takeovers>>);

struct Takeovers {
    peer: PeerAddress,
    /// The time of the first one of the interval.
    since: Instant,
    count: u32,
}

impl Contested {
    /// Counts a takeover. True if there were many.
    pub(super) fn record(&self, peer: &PeerAddress, now: Instant) -> bool {
        // Nothing is done under this lock that another thread could wait for.
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = latest.iter().position(|takeovers| takeovers.peer == *peer);
        let known = known.and_then(|index| latest.remove(index));
        let known = known.filter(|takeovers| now.millis_since(takeovers.since) < INTERVAL);
        let mut takeovers = known.unwrap_or_else(|| Takeovers { peer: peer.clone(), since: now, count: 0 });
        takeovers.count = takeovers.count.saturating_add(1);
        let is_many = takeovers.count >= MANY;
        if latest.len() >= MAX_IDS {
            latest.pop_front();
        }
        latest.push_back(takeovers);
        is_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_core::vocabulary::{ApiKey, PeerId, RealmKind};

    fn peer(id: &str) -> PeerAddress {
        let key = ApiKey::parse("peerjs").unwrap();
        PeerAddress { key, realm: RealmKind::PeerJs, id: PeerId::parse(id).unwrap() }
    }

    #[test]
    fn an_id_is_contested_after_several_takeovers_within_a_minute() {
        let contested = Contested::default();
        let note = |at| contested.record(&peer("teacher"), Instant::from_millis(at));
        assert_eq!([0, 1000, 2000, 3000, 59_999].map(note), [false, false, false, true, true]);
        assert_eq!([INTERVAL, INTERVAL + 1].map(note), [false, false], "a new interval");
        for at in (1..100).map(|n| Instant::from_millis(n * (INTERVAL / 3))) {
            assert!(!contested.record(&peer("a phone that changes its network"), at), "{at:?}");
        }
    }

    #[test]
    fn many_ids_take_bounded_memory_and_the_latest_are_remembered() {
        let contested = Contested::default();
        for n in 0..1000 {
            let at = Instant::from_millis(n);
            contested.record(&peer(&format!("id {n}")), at);
            contested.record(&peer("teacher"), at);
        }
        assert_eq!(contested.0.lock().unwrap().len(), MAX_IDS);
        let now = Instant::from_millis(1000);
        assert!(contested.record(&peer("teacher"), now));
        assert!(!contested.record(&peer("id 0"), now), "forgotten");
    }
}
