//! The buffer of an unfinished message.

use std::sync::Arc;

use super::Disconnect;
use crate::limits::{Quota, QuotaShare};
use crate::wire::CloseReason;

/// The size limit of one message, and the quota of all unfinished messages.
#[derive(Clone)]
pub(crate) struct MessageLimits {
    pub(crate) max_message_bytes: usize,
    pub(crate) unfinished: Arc<Quota>,
}

/// The received part of a message. Its memory is charged to the quota of all connections until it is dropped.
pub(super) struct MessageBuffer {
    bytes: Vec<u8>,
    share: QuotaShare,
}

impl MessageBuffer {
    pub(super) fn new(quota: &Arc<Quota>) -> Self {
        MessageBuffer { bytes: Vec::new(), share: quota.share() }
    }

    /// Copies bytes into a new buffer.
    pub(super) fn copy(bytes: &[u8], quota: &Arc<Quota>) -> Result<Self, Disconnect> {
        let mut buffer = MessageBuffer::new(quota);
        buffer.push(bytes, bytes.len())?;
        Ok(buffer)
    }

    /// Appends bytes and returns the appended part. The buffer doubles when it is full, up to `max_len`, so that bytes
    /// are rarely copied.
    pub(super) fn push(&mut self, bytes: &[u8], max_len: usize) -> Result<&mut [u8], Disconnect> {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        let wanted = len + bytes.len();
        if wanted > capacity {
            let grown = wanted.max(max_len.min(2 * capacity));
            // Charge before allocating.
            self.share.set(grown).map_err(|_| Disconnect::Violation(CloseReason::TryAgainLater))?;
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
    fn the_buffer_doubles_up_to_its_maximum_length() {
        let quota = Quota::new(usize::MAX);
        let mut buffer = MessageBuffer::new(&quota);
        let mut moved = 0;
        for n in 0..1000 {
            let before = buffer.bytes.capacity();
            buffer.push(&[n as u8; 100], 100_000).unwrap();
            moved += usize::from(buffer.bytes.capacity() != before);
        }
        assert_eq!(buffer.bytes.capacity(), 100_000);
        assert!(moved < 12, "moved {moved} times");
    }

    #[test]
    fn buffered_bytes_are_charged_until_the_buffer_is_dropped() {
        let quota = Quota::new(100_000);
        let mut one = MessageBuffer::new(&quota);
        one.push(&[0; 60_000], 1 << 20).unwrap();
        assert!(quota.used() <= 60_000 && quota.used() > 40_000);
        let mut two = MessageBuffer::new(&quota);
        let refused = two.push(&[0; 100_000], 1 << 20).err();
        assert_eq!(refused, Some(Disconnect::Violation(CloseReason::TryAgainLater)));
        drop(one);
        assert_eq!(quota.used(), 0);
        assert!(two.push(&[0; 100_000], 1 << 20).is_ok());
        drop(two);
        assert_eq!(quota.used(), 0);
    }
}
