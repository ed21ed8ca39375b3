//! How a client gets an id.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::guard::Guard;
use super::lease::{IdLease, Peer};
use super::outbox::Outbox;
use super::queue::QueueEnd;
use super::realm::Realm;
use super::state::{Conn, ProbeTiming, RegisterRequest};
use crate::clock::millis;
use crate::wire::{CloseReason, Link, Opcode, PeerId};

/// The answer to a client that asks for an id.
pub enum RegisterOutcome {
    /// The client has the id. The greeting and the queued messages are in its outbox.
    Registered(IdLease),
    /// The id belongs to a connection with another token.
    Taken,
    /// The id is reserved for its owner, which may come back. [`Realm::probe`] waits for that to end.
    Reserved,
    /// A stream came, and its client has a WebSocket already.
    Elsewhere,
    /// The key has as many clients as it may.
    Full,
    /// The key is not valid any more.
    Revoked,
    /// The server is stopping.
    Closing,
}

/// A probe of the holder of an id.
pub enum Probe {
    /// Ends when the holder gave a sign of life, left, or was dropped; or when the reservation ends.
    Asked(oneshot::Receiver<()>),
    /// Too many wait already.
    TooMany,
}

impl Realm {
    /// Registers a connection under an id. The same token takes the id over from an older
    /// connection. On success the realm takes the outbox, and the greeting goes out first, then what
    /// waited for the id; otherwise the outbox stays as it was.
    pub fn register(self: &Arc<Self>, request: RegisterRequest<'_>, outbox: &mut Outbox) -> RegisterOutcome {
        match self.with_id(request.id, |guard| guard.register(self, request, outbox)) {
            Ok(lease) => RegisterOutcome::Registered(lease),
            Err(refused) => refused,
        }
    }

    /// Pings the holder of an id to find out whether it is alive. A dead holder is dropped after the probe timeout. For a
    /// reserved id, waits for the end of the reservation.
    pub fn probe(&self, id: &PeerId) -> Probe {
        match self.with_id(id, |guard| guard.probe()) {
            Some(receiver) => Probe::Asked(receiver),
            None => Probe::TooMany,
        }
    }
}

impl Guard<'_> {
    fn register(
        &mut self,
        realm: &Arc<Realm>,
        mut request: RegisterRequest<'_>,
        outbox: &mut Outbox,
    ) -> Result<IdLease, RegisterOutcome> {
        let RegisterRequest { token, link, .. } = request;
        let address = request.info.address;
        let now = realm.now();
        let conn = request.claim.map_or_else(|| realm.next_connection(), |claim| claim.connection);
        let mut greeting = request.greeting.take();
        let since = match &self.conn {
            _ if realm.shared.is_closing() => return Err(RegisterOutcome::Closing),
            _ if realm.quota.is_revoked() => return Err(RegisterOutcome::Revoked),
            Some(holder) if holder.token != *token => return Err(RegisterOutcome::Taken),
            // A newer connection of the client was faster.
            Some(holder) if holder.id > conn => return Err(RegisterOutcome::Elsewhere),
            // The client's WebSocket registered first.
            Some(holder) if (link, holder.link) == (Link::Stream, Link::Socket) => {
                return Err(RegisterOutcome::Elsewhere);
            }
            Some(holder) => {
                greeting = greeting.filter(|_| holder.link != Link::Stream);
                let since = holder.since;
                let unsent = self.displace(CloseReason::Replaced);
                // Pings and pongs were for the old connection.
                let texts = unsent.into_iter().filter(|unsent| unsent.frame.opcode() == Some(Opcode::Text));
                self.carry_over(texts, QueueEnd::Back);
                since
            }
            None if self.is_reserved_from(token, address, now) => return Err(RegisterOutcome::Reserved),
            None if !realm.acquire() => return Err(RegisterOutcome::Full),
            None => conn.get(),
        };
        // Through the queue, so that its limits apply: a client that keeps taking over from itself and reads nothing must
        // not collect more than an absent one.
        let begun = self.revoke().into_iter().rev();
        self.carry_over(begun, QueueEnd::Front);
        self.end_remote();
        let waited = self.take_queue();
        let mut outbox = std::mem::take(outbox);
        if let Some(greeting) = greeting {
            outbox.push_opening(greeting);
        }
        if let Some((messages, reservation)) = waited {
            outbox.preload(messages, reservation);
        }
        self.install(Conn::new(conn, outbox, since, now, request), now);
        self.announce(token, true);
        if realm.quota.is_revoked() {
            // The key was revoked meanwhile, and the revocation did not find this peer.
            self.dismiss(CloseReason::KeyRevoked);
        }
        Ok(IdLease::new(Peer::new(Arc::clone(realm), Arc::clone(self.slot), conn)))
    }

    /// Asks the holder for a sign of life, or waits for the owner for whom the id is reserved. `None` if too many wait
    /// already.
    fn probe(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.conn.is_none() && !self.is_reserved() {
            return Some(oneshot::channel().1);
        }
        let now = self.now();
        let limits = &self.realm.shared.config().limits;
        let (probe, reclaim) = (millis(limits.probe_timeout), millis(limits.reclaim_timeout));
        let timing = self.conn.as_ref().map(|conn| conn.time_probe(now, probe, reclaim));
        // A reservation ends by itself.
        let timing = timing.unwrap_or(ProbeTiming { asked: now, due: u64::MAX, undelayed: false });
        let (receiver, first) = self.ask(timing)?;
        let slot = self.slot;
        if let Some(conn) = &mut self.conn {
            // Before the ping, because its answer may be heard before this function ends.
            slot.set_probed(true);
            if first {
                // Only what it takes from now on is an answer.
                conn.note_progress(now);
                conn.outbox.push_ping();
                conn.outbox.flush();
            }
        }
        Some(receiver)
    }
}
