//! Messages on their way: to the holder of an id, to another node, or into the queue of an absent peer.

use super::guard::Guard;
use super::holder::Flush;
use super::outgoing::Outgoing;
use super::queue::QueueEnd;
use super::realm::Realm;
use crate::events::{Event, Outcome};
use crate::wire::{ConnId, DropReason, Frame, MessageKind, PeerId};

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
                Ok(to) if kind.waits() || self.shared.cluster.is_shared() => self.find_or_create(&to),
                Ok(_) => return self.drop_message(kind, DropReason::Absent),
                Err(_) => return self.drop_message(kind, DropReason::InvalidId),
            },
        };
        self.with_live(slot, |guard| guard.deliver(from, kind, message))
    }

    /// Takes a message [of another node](Outgoing::foreign) for a connection. Gives it back if that connection does not hold
    /// the id.
    pub fn accept(
        &self,
        to: &PeerId,
        connection: ConnId,
        message: Outgoing,
    ) -> Result<Option<Flush>, Outgoing> {
        let Some(slot) = self.find(to.as_str()) else { return Err(message) };
        self.with(&slot, |guard| {
            if !guard.is_held_by(connection) {
                return Err(message);
            }
            Ok(if guard.push(message) { guard.promise_flush() } else { None })
        })
    }

    /// Sends a notice of another node to a connection.
    pub fn accept_notice(&self, to: &PeerId, connection: ConnId, notice: Frame) -> Option<Flush> {
        let slot = self.find(to.as_str())?;
        self.with(&slot, |guard| {
            if !guard.is_held_by(connection) {
                return None;
            }
            guard.notify(notice);
            guard.promise_flush()
        })
    }

    pub(super) fn drop_message(&self, kind: MessageKind, reason: DropReason) -> Routed {
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
        if self.realm.shared.cluster.is_shared() {
            return self.deliver_elsewhere(from, kind, message);
        }
        if !kind.waits() {
            return self.realm.drop_message(kind, DropReason::Absent);
        }
        self.keep_for(from, kind, message)
    }

    /// Keeps a message until its recipient comes, or is found.
    pub(super) fn keep_for(&mut self, from: &PeerId, kind: MessageKind, message: Outgoing) -> Routed {
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
