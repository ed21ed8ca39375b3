//! The received part of a message, until the rest of it comes.

use std::sync::Arc;

use super::Disconnect;
use crate::limits::{Held, Quota};
use crate::wire::CloseReason;

/// How large one message may be, and all unfinished ones together.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) max_message_bytes: usize,
    pub(crate) unfinished: Arc<Quota>,
}

/// Part of a message. Its memory is charged to the quota of all connections until it is dropped.
pub(super) struct Unfinished {
    bytes: Vec<u8>,
    held: Held,
}

impl Unfinished {
    pub(super) fn new(quota: &Arc<Quota>) -> Self {
        Unfinished { bytes: Vec::new(), held: quota.hold() }
    }

    /// A copy of some bytes.
    pub(super) fn copy(bytes: &[u8], quota: &Arc<Quota>) -> Result<Self, Disconnect> {
        let mut unfinished = Unfinished::new(quota);
        unfinished.push(bytes, bytes.len())?;
        Ok(unfinished)
    }

    /// Appends bytes and gives them back where they are now. `most` is how many there can ever be: memory
    /// grows by doubling, so that it is copied seldom, but never beyond that.
    pub(super) fn push(&mut self, bytes: &[u8], most: usize) -> Result<&mut [u8], Disconnect> {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        let wanted = len + bytes.len();
        if wanted > capacity {
            let grown = wanted.max(most.min(2 * capacity));
            // Charged first: it has to fit before it is there.
            self.held.set(grown).map_err(|_| Disconnect::Violation(CloseReason::TryAgainLater))?;
            self.bytes.reserve_exact(grown - len);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(self.bytes.get_mut(len..).unwrap_or_default())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_doubles_but_not_beyond_what_can_come() {
        let quota = Quota::new(usize::MAX);
        let mut unfinished = Unfinished::new(&quota);
        let mut moved = 0;
        for n in 0..1000 {
            let before = unfinished.bytes.capacity();
            unfinished.push(&[n as u8; 100], 100_000).unwrap();
            moved += usize::from(unfinished.bytes.capacity() != before);
        }
        assert_eq!(unfinished.bytes.capacity(), 100_000);
        assert!(moved < 12, "moved {moved} times");
    }

    #[test]
    fn all_memory_that_is_held_is_charged_and_none_after_that() {
        let quota = Quota::new(100_000);
        let mut one = Unfinished::new(&quota);
        one.push(&[0; 60_000], 1 << 20).unwrap();
        assert!(quota.used() <= 60_000 && quota.used() > 40_000);
        let mut two = Unfinished::new(&quota);
        let refused = two.push(&[0; 100_000], 1 << 20).err();
        assert_eq!(refused, Some(Disconnect::Violation(CloseReason::TryAgainLater)));
        drop(one);
        assert_eq!(quota.used(), 0);
        assert!(two.push(&[0; 100_000], 1 << 20).is_ok());
        drop(two);
        assert_eq!(quota.used(), 0);
    }
}
