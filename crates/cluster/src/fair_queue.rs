//! Queues that take turns, so that a long one does not delay the others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A queue of items that wait for their turn.
pub(super) trait Queue: Default {
    type Item;

    /// Takes out the next item.
    fn pop(&mut self) -> Option<Self::Item>;

    fn is_empty(&self) -> bool;
}

/// Queues of their owners, each of which gives one item in turn. Queues can contain queues.
pub(super) struct FairQueue<K, L> {
    queues: HashMap<K, L>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, L: Queue> FairQueue<K, L> {
    /// The queue of an owner. The caller adds something to it.
    pub(super) fn of(&mut self, owner: &K) -> &mut L {
        if !self.queues.contains_key(owner) {
            self.order.push_back(owner.clone());
        }
        self.queues.entry(owner.clone()).or_default()
    }
}

impl<K, L> Default for FairQueue<K, L> {
    fn default() -> Self {
        FairQueue { queues: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, L: Queue> Queue for FairQueue<K, L> {
    type Item = L::Item;

    fn pop(&mut self) -> Option<L::Item> {
        let owner = self.order.pop_front()?;
        let queue = self.queues.get_mut(&owner)?;
        let item = queue.pop();
        if queue.is_empty() {
            self.queues.remove(&owner);
        } else {
            self.order.push_back(owner);
        }
        item
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl<T> Queue for VecDeque<T> {
    type Item = T;

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_queue_delays_no_other_sender_and_many_queues_no_other_key() {
        let mut queue: FairQueue<&str, FairQueue<&str, VecDeque<usize>>> = FairQueue::default();
        (0..1000).for_each(|number| queue.of(&"flooded").of(&"flooder").push_back(number));
        queue.of(&"flooded").of(&"honest").push_back(1000);
        queue.of(&"other").of(&"honest").push_back(1001);
        let order: Vec<usize> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order[..4], [0, 1001, 1000, 1]);
        assert_eq!(order.len(), 1002);
        assert!(queue.is_empty() && queue.queues.is_empty());
    }
}
