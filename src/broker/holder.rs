//! The connection that holds an id: how it gets the id, how frames reach it, and how it loses the id.

use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::outbox::{Outbox, Shed};
use super::outgoing::Outgoing;
use super::queue::QueueEnd;
use super::slot::Slot;
use super::state::{Conn, Usage};
use crate::clock::millis;
use crate::events::Outcome;
use crate::wire::{CloseReason, ConnId, DropReason, Frame};

/// The recipient of something that is not flushed yet. Dropping it flushes.
pub struct Flush(Arc<Slot>);

impl Flush {
    /// Writes what the recipient's outbox holds, as far as its socket takes it now.
    pub fn flush(self) {
        drop(self);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(conn) = &mut self.0.lock().conn {
            conn.outbox.flush();
            if conn.outbox.is_blocked() {
                self.0.set_backlog(true);
            }
        }
    }
}

impl Guard<'_> {
    /// Whether this connection holds the id.
    pub(super) fn is_held_by(&self, conn: ConnId) -> bool {
        self.conn.as_ref().is_some_and(|holder| holder.id == conn)
    }

    /// The outbox of this connection, if it holds the id.
    pub(super) fn outbox_of(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        self.conn.as_mut().filter(|holder| holder.id == conn).map(|holder| &mut holder.outbox)
    }

    /// A flush for the holder, unless a flush is already promised.
    pub(super) fn promise_flush(&mut self) -> Option<Flush> {
        let wanted = self.conn.as_mut()?.outbox.wants_flush();
        wanted.then(|| Flush(Arc::clone(self.slot)))
    }

    /// Makes `conn` the holder, and writes what its outbox begins with. A former holder must have been dismissed.
    pub(super) fn install(&mut self, conn: Conn, now: u64) {
        self.slot.set_holder(conn.id, now);
        self.end_reservation(u64::MAX);
        if self.takes_over_from_stranger(&conn.token) {
            self.slot.rate.forgive(now);
        }
        self.slot.set_due(false);
        self.realm.shared.counters().opened();
        let conn = self.conn.insert(conn);
        let begins_with = conn.outbox.held();
        conn.note_sent(begins_with, now);
        let outbox = &mut conn.outbox;
        outbox.flush();
        if outbox.is_preloaded() && !outbox.is_empty() {
            self.note_crowded(now);
        }
    }

    /// Takes the id away from its holder and sends it a close frame. Unwritten messages are queued for the next holder.
    pub(super) fn dismiss(&mut self, why: CloseReason) {
        if self.conn.is_some() {
            self.realm.release();
        }
        let unsent = self.displace(why);
        self.keep_all(unsent, QueueEnd::Back);
    }

    /// The same for a takeover: the new connection inherits the place in the quota. Gives the unwritten frames.
    pub(super) fn displace(&mut self, why: CloseReason) -> Vec<Outgoing> {
        let limits = &self.realm.shared.config().limits;
        let (timeout, reclaim) = (millis(limits.probe_timeout), millis(limits.reclaim_timeout));
        if why.is_reclaimable()
            && reclaim > 0
            && let Some(token) = self.conn.as_ref().map(|holder| holder.token.clone())
        {
            // The clients that wait have waited for a slow link already, and wait no longer in all.
            let probe = self.first_probe().filter(|_| why == CloseReason::Evicted);
            let waited =
                probe.map_or(0, |probe| self.now().saturating_sub(probe.asked).saturating_sub(timeout));
            let until = self.now().saturating_add(reclaim.saturating_sub(waited));
            // Its user reloads the page and comes from the same address, unlike most strangers.
            let open_to = self.surely_silent().filter(|_| why == CloseReason::Evicted);
            self.reserve(token, until, open_to);
        }
        let Some((mut conn, usage)) = self.uninstall(why) else { return Vec::new() };
        let unsent = conn.outbox.take_unsent(false);
        conn.outbox.push_unbounded(Outgoing::notice(Frame::close(why.close())));
        conn.outbox.flush();
        conn.outbox.wake_owner();
        self.leave(conn, why, usage);
        unsent
    }

    /// Takes the id back from a holder whose session ends. `dead` means that the connection is broken.
    pub(super) fn vacate(&mut self, why: CloseReason, dead: bool) {
        let Some((mut conn, usage)) = self.uninstall(why) else { return };
        self.realm.release();
        let unsent = conn.outbox.take_unsent(dead);
        self.leave(conn, why, usage);
        self.keep_all(unsent, QueueEnd::Back);
    }

    fn uninstall(&mut self, why: CloseReason) -> Option<(Conn, Usage)> {
        let conn = self.conn.take()?;
        let duration = Duration::from_millis(self.now().saturating_sub(conn.opened));
        let usage = Usage { duration, messages: self.slot.messages(), bytes: self.slot.bytes() };
        self.slot.clear_holder();
        self.forget_probes();
        self.slot.set_probed(false);
        self.slot.set_due(self.is_reserved());
        if !self.slot.rate.is_new() {
            let token = conn.token.clone();
            self.remember(token);
        }
        self.realm.shared.counters().closed(why);
        if conn.fence != 0 && !self.keep_claim(conn.id) {
            self.release_claim(conn.id);
        }
        Some((conn, usage))
    }

    /// Gives a claim back, so that the id is free on all nodes.
    fn release_claim(&self, connection: ConnId) {
        self.realm.shared.cluster.release(self.realm.address(&self.slot.id), connection);
    }

    /// Ends a reservation that is over at `now`, and wakes the clients that wait for the id.
    pub(super) fn end_reservation(&mut self, now: u64) {
        if let Some(claimed) = self.take_reservation(now) {
            self.release_claim(claimed);
        }
    }

    /// Gives the id up to a client's newer connection on another node.
    pub(super) fn yield_id(&mut self, connection: ConnId, why: CloseReason) {
        if self.is_held_by(connection) {
            self.dismiss(why);
            // A partly written message goes to the new connection too.
            let begun = self.revoke();
            self.keep_all(begun.into_iter().rev(), QueueEnd::Front);
        }
        if self.is_reserved_by(connection) {
            self.end_reservation(u64::MAX);
        }
    }

    /// Adds a frame to the holder's outbox. False if it was refused. Other senders may lose their frames there.
    pub(super) fn push(&mut self, outgoing: Outgoing) -> bool {
        let shared = &self.realm.shared;
        let Some(conn) = &mut self.conn else { return false };
        let bytes = outgoing.kind().map(|_| outgoing.frame.len());
        let shed = conn.outbox.push(outgoing);
        if let Some(bytes) = bytes.filter(|_| shed.as_ref().is_none_or(|shed| !shed.refused)) {
            shared.counters().sent(bytes);
            conn.note_sent(bytes, shared.about_now());
        }
        let Some(Shed { refused, crowded, losers, expired, lost }) = shed else { return true };
        if refused || crowded {
            self.note_crowded(self.now());
            self.realm.shared.counters().expired(expired);
            self.losers.extend(losers);
        }
        if !lost.is_empty() {
            self.note_limit(DropReason::OutboxFull);
            self.count_all(lost, Outcome::Dropped(DropReason::OutboxFull));
        }
        !refused
    }

    /// Sends the holder a notice of the broker. A client that does not even read its own answers is dismissed.
    pub(super) fn notify(&mut self, notice: Frame) {
        if self.conn.is_some() && !self.push(Outgoing::notice(notice)) {
            self.dismiss(CloseReason::SlowReader);
        }
    }

    /// Notes that the holder's outbox is full, or starts with queued messages: the sweeper watches it.
    fn note_crowded(&mut self, now: u64) {
        if let Some(conn) = &mut self.conn {
            conn.crowded.get_or_insert(now);
            self.slot.set_due(true);
        }
    }
}
