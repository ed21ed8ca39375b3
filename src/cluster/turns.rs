//! Queues that take turns, so that a long one does not delay the others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A queue of items that wait for their turn.
pub(super) trait Line: Default {
    type Item;

    /// Takes out the next item.
    fn pop(&mut self) -> Option<Self::Item>;

    fn is_empty(&self) -> bool;
}

/// Queues of their owners, each of which gives one item in turn. Queues can contain queues.
pub(super) struct Turns<K, L> {
    lines: HashMap<K, L>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, L: Line> Turns<K, L> {
    /// The line of an owner. The caller adds something to it.
    pub(super) fn line(&mut self, owner: &K) -> &mut L {
        if !self.lines.contains_key(owner) {
            self.order.push_back(owner.clone());
        }
        self.lines.entry(owner.clone()).or_default()
    }
}

impl<K, L> Default for Turns<K, L> {
    fn default() -> Self {
        Turns { lines: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, L: Line> Line for Turns<K, L> {
    type Item = L::Item;

    fn pop(&mut self) -> Option<L::Item> {
        let owner = self.order.pop_front()?;
        let line = self.lines.get_mut(&owner)?;
        let item = line.pop();
        if line.is_empty() {
            self.lines.remove(&owner);
        } else {
            self.order.push_back(owner);
        }
        item
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl<T> Line for VecDeque<T> {
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
    fn a_long_line_delays_no_other_sender_and_many_lines_no_other_key() {
        let mut turns: Turns<&str, Turns<&str, VecDeque<usize>>> = Turns::default();
        (0..1000).for_each(|number| turns.line(&"flooded").line(&"flooder").push_back(number));
        turns.line(&"flooded").line(&"honest").push_back(1000);
        turns.line(&"other").line(&"honest").push_back(1001);
        let order: Vec<usize> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order[..4], [0, 1001, 1000, 1]);
        assert_eq!(order.len(), 1002);
        assert!(turns.is_empty() && turns.lines.is_empty());
    }
}
