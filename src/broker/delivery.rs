//! Messages on their way: to the holder of an id, to another node, or into the queue of an absent peer.

use super::guard::Guard;
use super::holder::Flush;
use super::outgoing::Outgoing;
use super::queue::QueueEnd;
use super::realm::Realm;
use crate::events::{Event, Outcome};
use crate::wire::{DropReason, Frame, MessageKind, PeerId};

/// The outcome of routing a message.
pub enum Routed {
    /// It is in the outbox of its recipient's connection, or on its way to another node. Call [`Flush::flush`] once per
    /// batch, so that a batch is written together. `None` if a flush is already promised.
    Delivered(Option<Flush>),
    /// The recipient is absent, and the message waits for it.
    Queued,
    /// It is lost. If its kind [waits](MessageKind::waits), everything that this sender had queued for this recipient is
    /// lost too, and the caller has to tell the sender.
    Dropped(DropReason),
}

impl Realm {
    /// Sends a message to the peer `to`. Is that peer here, elsewhere, or nowhere? This is the only place that asks.
    pub fn route(&self, from: &PeerId, to: &str, kind: MessageKind, frame: Frame) -> Routed {
        let message = Outgoing::message(from.clone(), kind, frame);
        let slot = match self.find(to) {
            Some(slot) => slot,
            None => match PeerId::parse(to) {
                Ok(to) if kind.waits() => self.find_or_create(&to),
                Ok(to) => return self.forward_or_drop(&to, message, kind),
                Err(_) => return self.drop_message(kind, DropReason::InvalidId),
            },
        };
        self.with_live(slot, |guard| guard.deliver(from, kind, message))
    }

    fn forward_or_drop(&self, to: &PeerId, message: Outgoing, kind: MessageKind) -> Routed {
        match self.forward(to, message) {
            Ok(()) => Routed::Delivered(None),
            Err(_) => self.drop_message(kind, DropReason::Absent),
        }
    }

    /// Gives a message to the node that has its recipient. `Err` gives it back: no node has.
    fn forward(&self, to: &PeerId, message: Outgoing) -> Result<(), Outgoing> {
        let kind = message.kind();
        self.shared.cluster.forward(&self.address(to), message)?;
        self.shared.count(kind, Outcome::Delivered);
        Ok(())
    }

    fn drop_message(&self, kind: MessageKind, reason: DropReason) -> Routed {
        self.shared.count(Some(kind), Outcome::Dropped(reason));
        Routed::Dropped(reason)
    }
}

impl Guard<'_> {
    fn deliver(&mut self, from: &PeerId, kind: MessageKind, message: Outgoing) -> Routed {
        if self.conn.is_some() {
            if !self.push(message) {
                self.note_own_loss(kind, from);
                return Routed::Dropped(DropReason::OutboxFull);
            }
            self.count(Some(kind), Outcome::Delivered);
            return Routed::Delivered(self.promise_flush());
        }
        if !kind.waits() {
            return self.realm.forward_or_drop(&self.slot.id, message, kind);
        }
        let Err(message) = self.realm.forward(&self.slot.id, message) else {
            return Routed::Delivered(None);
        };
        match self.keep(message, QueueEnd::Back) {
            Ok(()) => Routed::Queued,
            // With the key, its senders go too.
            Err(DropReason::KeyRevoked) => Routed::Dropped(DropReason::KeyRevoked),
            Err(reason) => {
                self.note_own_loss(kind, from);
                Routed::Dropped(reason)
            }
        }
    }

    /// Tells that a sender lost what it had here. Its session tells the client.
    fn note_own_loss(&self, kind: MessageKind, from: &PeerId) {
        if kind.waits() {
            let to = || self.realm.address(&self.slot.id);
            self.realm.shared.events.emit(|| Event::Expired { to: to(), from: from.clone() });
        }
    }
}
