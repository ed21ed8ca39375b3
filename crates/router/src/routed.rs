//! The outcome of routing a message, and the flush that it leaves to do.

use std::sync::Arc;

use super::realm::Realm;
use super::slot::Slot;
use super::witness::{self, Named};
use peerbroker_core::vocabulary::DropReason;
use peerbroker_events::Outcome;

/// A recipient with unflushed frames. They wait until [`flush`](Self::flush) is called.
#[must_use = "the frames wait for the call of `flush`"]
pub struct Flush {
    slot: Arc<Slot>,
    writes: bool,
    is_done: bool,
}

impl Flush {
    /// `writes` is false if it only wakes the task of the recipient's socket.
    pub(super) fn new(slot: Arc<Slot>, writes: bool) -> Self {
        Flush { slot, writes, is_done: false }
    }

    /// Writes the recipient's outbox, as far as its socket has room.
    pub fn flush(mut self) {
        self.is_done = true;
        if let Some(conn) = &mut self.slot.lock().conn {
            conn.outbox.flush();
            witness::follow_written(&self.slot.id, conn.id);
            if conn.outbox.is_blocked() {
                self.slot.set_backlog(true);
            }
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        debug_assert!(self.is_done || std::thread::panicking(), "nobody flushes {:?}", self.slot.id);
    }
}

/// The flushes that are left to do, so that a batch for one recipient is written together.
#[derive(Default)]
pub struct Flushes {
    left: Vec<Flush>,
    deliveries: u32,
}

impl Flushes {
    /// Nothing is left to do.
    pub const fn new() -> Self {
        Flushes { left: Vec::new(), deliveries: 0 }
    }

    /// Does something, and flushes what that leaves.
    pub fn with<R>(act: impl FnOnce(&mut Self) -> R) -> R {
        let mut flushes = Self::new();
        let result = act(&mut flushes);
        flushes.flush();
        result
    }

    /// The number of flushes.
    #[inline]
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// The deliveries of messages so far, also of lost ones. The number wraps.
    #[inline]
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// True if nothing is left to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Flushes them all.
    pub fn flush(&mut self) {
        self.left.drain(..).for_each(Flush::flush);
    }

    /// Flushes those behind the first so many that only wake the task of a recipient's socket.
    pub fn wake_tasks(&mut self, behind: usize) {
        self.left.extract_if(behind.., |flush| !flush.writes).for_each(Flush::flush);
    }

    /// Takes all those of another collection.
    pub fn append(&mut self, mut others: Self) {
        self.left.append(&mut others.left);
    }
}

impl Extend<Flush> for Flushes {
    #[inline]
    fn extend<T: IntoIterator<Item = Flush>>(&mut self, flushes: T) {
        self.left.extend(flushes);
    }
}

/// The outcome of routing a message.
#[must_use = "its flush may be left to do"]
pub enum Routed {
    /// The message is in the outbox of its recipient's connection, or on its way to another node. Call
    /// [`Flush::flush`] once per batch, so that a batch is written together. `None` if a flush is already
    /// scheduled.
    Delivered(Option<Flush>),
    /// The recipient is absent, and the message waits for it.
    Queued,
    /// The message is lost. If its kind [waits](peerbroker_core::vocabulary::MessageKind::waits), all
    /// messages of this sender in this recipient's queue are lost too, and the caller has to tell the sender.
    Dropped(DropReason),
}

impl Routed {
    /// Adds the flush that is left to do. The error is the reason why the message is lost.
    pub fn collect_flush(self, flushes: &mut Flushes) -> Result<(), DropReason> {
        flushes.deliveries = flushes.deliveries.wrapping_add(1);
        match self {
            Routed::Delivered(flush) => flushes.extend(flush),
            Routed::Queued => {}
            Routed::Dropped(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Does the flush that is left to do.
    pub fn flushed(mut self) -> Self {
        if let Routed::Delivered(flush) = &mut self
            && let Some(flush) = flush.take()
        {
            flush.flush();
        }
        self
    }
}

/// Counts a message that is lost.
pub(super) fn drop_message(realm: &Realm, message: &Named<'_>, reason: DropReason) -> Routed {
    let outcome = Outcome::Dropped(reason);
    realm.router.count(Some(message.kind), outcome);
    witness::record_loss(message, outcome);
    Routed::Dropped(reason)
}
