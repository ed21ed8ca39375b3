//! The memory of messages that have not come whole.

use std::sync::Arc;

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_limits::{ConnectionPermit, Quota, QuotaShare};
use peerbroker_router::Disconnect;

/// The size limit of one message, and the quota of all unfinished messages.
#[derive(Clone)]
pub struct MessageLimits {
    /// Most bytes of one message.
    pub max_message_bytes: usize,
    /// The bytes of all unfinished ones.
    pub unfinished: Arc<Quota>,
    /// Names the address that the quota charges.
    pub permit: Option<ConnectionPermit>,
}

/// The received part of a message. Its memory is charged to the quota of all connections until it is dropped.
pub(super) struct MessageBuffer {
    pub(super) bytes: Vec<u8>,
    share: QuotaShare,
}

impl MessageBuffer {
    pub(super) fn new(limits: &MessageLimits) -> Self {
        let address = limits.permit.as_ref().map(ConnectionPermit::prefix);
        MessageBuffer { bytes: Vec::new(), share: limits.unfinished.share(address) }
    }

    /// Copies bytes into a new buffer.
    pub(super) fn copy(bytes: &[u8], limits: &MessageLimits) -> Result<Self, Disconnect> {
        let mut buffer = MessageBuffer::new(limits);
        buffer.push(bytes, bytes.len())?;
        Ok(buffer)
    }

    /// Appends bytes and returns the appended part. The buffer doubles when it is full, up to `max_len`, so
    /// that bytes are rarely copied.
    pub(super) fn push(&mut self, bytes: &[u8], max_len: usize) -> Result<&mut [u8], Disconnect> {
        let len = self.bytes.len();
        let capacity = self.bytes.capacity();
        let wanted = len + bytes.len();
        if wanted > capacity {
            let grown = wanted.max(max_len.min(2 * capacity));
            // Charge before allocating.
            self.share.set(grown).map_err(|_| Disconnect::ByServer(CloseReason::TryAgainLater))?;
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
}
