//! How much each client and each address has of the relay, and who gives way when there is no room.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// An owner of something: digests of a client and of its address. Loopback has none, because it may stand for a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) client: u64,
    pub(super) address: Option<u64>,
}

/// The most that one client may have, and one address.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) of_client: usize,
    pub(super) of_address: usize,
}

/// Counts what clients and addresses have.
#[derive(Default)]
pub(super) struct Loads(Mutex<HashMap<u64, Weak<()>>>);

/// One of the things that a client has. It counts until it is dropped.
pub(super) struct Load {
    client: Arc<()>,
    address: Option<Arc<()>>,
}

impl Loads {
    /// Counts one more, unless the client or its address has the most already.
    pub(super) fn add(&self, owner: Owner, most: Most) -> Option<Load> {
        let mut counts = self.lock();
        let mut count = |digest| {
            let known = counts.get(&digest).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                counts.insert(digest, Arc::downgrade(&new));
                new
            })
        };
        let load = Load { client: count(owner.client), address: owner.address.map(count) };
        drop(counts);
        let is_within =
            Arc::strong_count(&load.client) <= most.of_client && load.of_address() <= most.of_address;
        is_within.then_some(load)
    }

    /// Forgets those who have nothing.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, count| count.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// The number that its client and its address have together. The owner that has more gives way.
    pub(super) fn weight(&self) -> usize {
        Arc::strong_count(&self.client) + self.of_address()
    }

    fn of_address(&self) -> usize {
        self.address.as_ref().map_or(0, Arc::strong_count)
    }
}

/// The order in which things give way: those of the heaviest first, and of equals the oldest, which is the lowest `T`.
pub(super) struct Ranking<T>(BinaryHeap<(usize, Reverse<T>)>);

impl<T: Ord> Default for Ranking<T> {
    fn default() -> Self {
        Ranking(BinaryHeap::new())
    }
}

impl<T: Ord> Ranking<T> {
    /// Adds something whose owner has `weight` now.
    pub(super) fn add(&mut self, weight: usize, what: T) {
        self.0.push((weight, Reverse(what)));
    }

    /// Takes what gives way to somebody of `newcomer`'s weight: nothing, if all others are lighter. `weigh` gives the weight that
    /// the owner has by now, and `None` for what is gone or must stay.
    pub(super) fn give_way(&mut self, newcomer: usize, weigh: impl Fn(&T) -> Option<usize>) -> Option<T> {
        while let Some(mut top) = self.0.peek_mut().filter(|top| top.0 >= newcomer) {
            match weigh(&top.1.0) {
                None => drop(PeekMut::pop(top)),
                // Its owner has lost much since. To follow each step would take long.
                Some(weight) if weight < newcomer || weight * 2 < top.0 => top.0 = weight,
                Some(_) => return Some(PeekMut::pop(top).1.0),
            }
        }
        None
    }

    /// Forgets what is gone, if that is more than the `there` that are not.
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
        let add = |client, address| loads.add(Owner { client, address }, MOST);
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
        assert!(loads.lock().is_empty());
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
