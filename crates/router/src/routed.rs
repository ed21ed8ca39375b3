//! The outcome of routing a message, and the flush that it leaves to do.

use std::sync::Arc;

use super::realm::Realm;
use super::slot::Slot;
use super::witness::{self, Named};
use peerbroker_core::vocabulary::DropReason;
use peerbroker_events::Outcome;

/// A recipient with unflushed frames. Dropping it flushes.
pub struct Flush {
    pub(super) slot: Arc<Slot>,
    pub(super) writes: bool,
}

impl Flush {
    /// False if it only wakes the task of the recipient's socket.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Writes the recipient's outbox, as far as its socket has room.
    pub fn flush(self) {
        drop(self);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(conn) = &mut self.slot.lock().conn {
            conn.outbox.flush();
            witness::follow_written(&self.slot.id, conn.id);
            if conn.outbox.is_blocked() {
                self.slot.set_backlog(true);
            }
        }
    }
}

/// The outcome of routing a message.
pub enum Routed {
    /// It is in the outbox of its recipient's connection, or on its way to another node. Call
    /// [`Flush::flush`] once per batch, so that a batch is written together. `None` if a flush is already
    /// scheduled.
    Delivered(Option<Flush>),
    /// The recipient is absent, and the message waits for it.
    Queued,
    /// It is lost. If its kind [waits](peerbroker_core::vocabulary::MessageKind::waits), all messages that
    /// this sender had queued for this recipient are lost too, and the caller has to tell the sender.
    Dropped(DropReason),
}

impl Routed {
    /// Adds the flush that is left to do. The error is the reason why the message is lost.
    pub fn collect_flush(self, flushes: &mut Vec<Flush>) -> Result<(), DropReason> {
        match self {
            Routed::Delivered(flush) => flushes.extend(flush),
            Routed::Queued => {}
            Routed::Dropped(reason) => return Err(reason),
        }
        Ok(())
    }
}

/// Counts a message that is lost.
pub(super) fn drop_message(realm: &Realm, message: &Named<'_>, reason: DropReason) -> Routed {
    let outcome = Outcome::Dropped(reason);
    realm.router.count(Some(message.kind), outcome);
    witness::record_loss(message, outcome);
    Routed::Dropped(reason)
}
