//! The way of a message to its recipient: here, on another node, or nowhere yet.

use std::sync::Arc;

use super::guard::Guard;
use super::outgoing::Outgoing;
use super::realm::Realm;
use super::routed::{Flush, Routed, drop_message};
use super::slot::Slot;
use super::witness::{self, Named};
use peerbroker_core::vocabulary::{ConnId, DropReason, Frame, MessageKind, PeerId};
use peerbroker_events::Outcome;

impl Realm {
    /// Sends a message to the peer `to`. This is the only place that decides if the peer is here, elsewhere,
    /// or nowhere.
    pub fn route(&self, from: &PeerId, to: &str, kind: MessageKind, frame: Frame) -> Routed {
        let message = Outgoing::message(from.clone(), kind, frame);
        let slot = match self.find(to) {
            Some(slot) => slot,
            None => match PeerId::parse(to) {
                Ok(to) if kind.waits() || self.router.cluster.is_some() => self.find_or_create(&to),
                Ok(_) => return drop_message(self, &Named { from, to, kind }, DropReason::Absent),
                Err(_) => return drop_message(self, &Named { from, to, kind }, DropReason::InvalidId),
            },
        };
        self.with_live(slot, |guard| guard.deliver(from, kind, message))
    }

    /// Sends a message of the app's server to all peers that are here. Returns their number, without those
    /// whose outbox is full.
    pub fn broadcast(&self, mut frame: Frame) -> usize {
        let sender = PeerId::server();
        let mut send = |slot: &Arc<Slot>| {
            let message = Outgoing::message(sender.clone(), MessageKind::Server, frame.share());
            let routed = self.with(slot, |guard| {
                let is_held = guard.conn.is_some();
                is_held.then(|| guard.deliver(&sender, MessageKind::Server, message))
            });
            // The lock is released: the flush takes it again.
            usize::from(matches!(routed.map(Routed::flushed), Some(Routed::Delivered(_))))
        };
        self.slots_that(Slot::is_held).iter().map(&mut send).sum()
    }

    /// Takes a message [of another node](Outgoing::foreign) for a connection. Gives it back if that
    /// connection does not hold the id.
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
            Ok(if guard.push(message) { guard.schedule_flush() } else { None })
        })
    }

    /// Sends a notice of another node to a connection.
    pub fn accept_notice(&self, to: &PeerId, connection: ConnId, notice: Frame) -> Option<Flush> {
        self.with_existing(to.as_str(), |guard| guard.notify_connection(connection, notice)).flatten()
    }
}

impl Guard<'_> {
    /// Delivers a message to the holder, or keeps it, or forwards it to another node.
    pub(super) fn deliver(&mut self, from: &PeerId, kind: MessageKind, message: Outgoing) -> Routed {
        if self.conn.is_some() {
            if !self.push(message) {
                self.record_own_loss(kind, from);
                return Routed::Dropped(DropReason::OutboxFull);
            }
            self.count(Some(kind), Outcome::Delivered);
            if witness::follows()
                && let Some(conn) = &self.conn
            {
                self.follow(from, kind, format_args!("in the outbox of {}", conn.id));
            }
            return Routed::Delivered(self.schedule_flush());
        }
        if self.realm.router.cluster.is_some() {
            return self.deliver_elsewhere(from, kind, message);
        }
        if !kind.waits() {
            return drop_message(self.realm, &self.named(from, kind), DropReason::Absent);
        }
        self.enqueue_for(from, kind, message)
    }
}
