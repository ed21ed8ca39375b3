//! Shares of the relay for each client and each address; decides who gives way when there is no room.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::datapath::shares::{Share, Shares};

/// The offerer of an entry: digests of a client and of its address. Loopback has none, because it may be a
/// proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offerer {
    pub(super) client: u64,
    pub(super) address: Option<u64>,
}

/// The most that one client may have, and one address.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) of_client: usize,
    pub(super) of_address: usize,
}

/// Counts the entries of clients and addresses, and their bytes.
#[derive(Default)]
pub(super) struct Loads(Shares<u64, AtomicUsize>);

/// An entry of a client. It counts until it is dropped.
pub(super) struct Load {
    client: Share<AtomicUsize>,
    address: Option<Share<AtomicUsize>>,
    bytes: usize,
}

impl Loads {
    /// Counts one more, unless the client or its address has reached the limit.
    pub(super) fn add(&self, offerer: Offerer, most: Most) -> Option<Load> {
        let load = Load {
            client: self.0.add(offerer.client),
            address: offerer.address.map(|digest| self.0.add(digest)),
            bytes: 0,
        };
        (load.client.count() <= most.of_client && load.of_address() <= most.of_address).then_some(load)
    }

    /// Forgets clients and addresses without entries.
    pub(super) fn sweep(&self) {
        self.0.sweep(|_| false);
    }
}

impl Load {
    /// The number that its client and its address have together. The offerer with more is evicted first.
    pub(super) fn weight(&self) -> usize {
        self.client.count() + self.of_address()
    }

    /// Charges so many bytes more to its client and its address.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.bytes += bytes;
        for owner in self.owners() {
            owner.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes that its client and its address have together.
    pub(super) fn weight_in_bytes(&self) -> usize {
        self.owners().map(|owner| owner.load(Ordering::Relaxed)).sum()
    }

    fn owners(&self) -> impl Iterator<Item = &AtomicUsize> {
        [Some(&self.client), self.address.as_ref()].into_iter().flatten().map(|share| &**share)
    }

    fn of_address(&self) -> usize {
        self.address.as_ref().map_or(0, Share::count)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for owner in self.owners() {
            owner.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// The order in which entries are evicted: those of the heaviest offerer first, and of equals the oldest,
/// which is the lowest `T`.
#[derive(Default)]
pub(super) struct Ranking<T: Ord>(BinaryHeap<(usize, Reverse<T>)>);

impl<T: Ord> Ranking<T> {
    /// Adds an entry whose offerer has `weight` now.
    pub(super) fn add(&mut self, weight: usize, what: T) {
        self.0.push((weight, Reverse(what)));
    }

    /// Evicts an entry in favour of an offerer with `newcomer`'s weight: none, if all others are lighter.
    /// `weigh` returns the present weight of the offerer, and `None` for an entry that is gone or must stay.
    pub(super) fn give_way(&mut self, newcomer: usize, weigh: impl Fn(&T) -> Option<usize>) -> Option<T> {
        while let Some(mut top) = self.0.peek_mut().filter(|top| top.0 >= newcomer) {
            match weigh(&top.1.0) {
                None => drop(PeekMut::pop(top)),
                // Its offerer has lost much since. Following each step would take long.
                Some(weight) if weight < newcomer || weight * 2 < top.0 => top.0 = weight,
                Some(_) => return Some(PeekMut::pop(top).1.0),
            }
        }
        None
    }

    /// Forgets ended entries, if there are more of them than the `there` live ones.
    pub(super) fn sweep(&mut self, there: usize, is_there: impl Fn(&T) -> bool) {
        if self.0.len() > 2 * there {
            self.0.retain(|(_, Reverse(what))| is_there(what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { of_client: 3, of_address: 5 };

    #[test]
    fn a_client_and_an_address_have_a_limit_each_and_loopback_has_that_of_the_client_only() {
        let loads = Loads::default();
        let add = |client, address| loads.add(Offerer { client, address }, MOST);
        let first: Vec<_> = (0..4).map_while(|_| add(1, Some(9))).collect();
        let second: Vec<_> = (0..4).map_while(|_| add(2, Some(9))).collect();
        assert_eq!((first.len(), second.len()), (3, 2));
        assert_eq!((first[0].weight(), second[0].weight()), (8, 7));
        let local: Vec<_> = (10..20).map_while(|client| add(client, None)).collect();
        assert_eq!(local.len(), 10);
        drop(first);
        assert!(add(2, Some(9)).is_some());
        drop((second, local));
        loads.sweep();
        assert_eq!(loads.0.len(), 0);
    }

    #[test]
    fn the_heaviest_gives_way_and_of_equals_the_oldest() {
        let mut ranking = Ranking::default();
        for (weight, what) in [(1, "light"), (9, "2 young"), (9, "1 old"), (20, "was heavy"), (8, "used")] {
            ranking.add(weight, what);
        }
        let weigh = |what: &&str| match *what {
            "light" | "was heavy" => Some(1),
            "used" => None,
            _ => Some(9),
        };
        assert_eq!(ranking.give_way(10, weigh), None);
        assert_eq!(ranking.give_way(9, weigh), Some("1 old"));
        assert_eq!(ranking.give_way(2, weigh), Some("2 young"));
        assert_eq!(ranking.give_way(2, weigh), None);
        assert_eq!(ranking.give_way(1, weigh), Some("light"));
        ranking.sweep(0, |what| *what != "was heavy");
        assert_eq!(ranking.give_way(0, weigh), None);
    }
}
