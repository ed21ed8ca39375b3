//! A connection's hold on its id.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::delivery::Routed;
use super::holder::Flush;
use super::outbox::Outbox;
use super::queue::QueueEnd;
use super::realm::Realm;
use super::slot::Slot;
use super::state::Usage;
use crate::wire::{CloseReason, ConnId, Frame, MessageKind, PeerId};

/// One connection of a peer. It may have lost its id: see [`Peer::is_current`].
#[derive(Clone)]
pub struct Peer {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
    conn: ConnId,
}

/// A connection's hold on its id. Dropping it gives the id back exactly once, and never affects a successor. Unwritten
/// messages are queued for the next holder.
pub struct IdLease(Peer);

/// A connection whose lease has ended. It keeps the outbox for the last frames until it is dropped.
pub struct Departure {
    peer: Peer,
    ended: EndedLease,
}

struct EndedLease {
    reason: CloseReason,
    usage: Usage,
    by_session: bool,
}

impl Peer {
    pub(super) fn new(realm: Arc<Realm>, slot: Arc<Slot>, conn: ConnId) -> Self {
        Peer { realm, slot, conn }
    }

    /// The id that is, or was, held.
    pub fn id(&self) -> &PeerId {
        &self.slot.id
    }

    /// The connection.
    pub fn connection(&self) -> ConnId {
        self.conn
    }

    /// Where the client is, while it has its id.
    pub fn address(&self) -> Option<IpAddr> {
        self.realm.with(&self.slot, |guard| {
            let holder = guard.conn.as_ref().filter(|holder| holder.id == self.conn);
            holder.and_then(|holder| holder.info.address)
        })
    }

    /// The realm of the peer.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The key of the realm.
    pub fn key(&self) -> &str {
        self.realm.key().as_str()
    }

    /// False once the id was taken away: by a takeover, a timeout, a stop.
    pub fn is_current(&self) -> bool {
        self.slot.is_held_by(self.conn)
    }

    /// The client gave a sign of life.
    pub fn heard(&self) {
        if self.is_current() {
            self.slot.heard(self.realm.now());
        }
    }

    /// The client has sent messages with this many bytes of text.
    pub fn count_messages(&self, messages: u32, bytes: u64) {
        self.slot.count_messages(messages, bytes);
        if messages > 0 {
            self.realm.shared.counters().received(bytes);
        }
    }

    /// Charges frames of any kind that the client has sent to its rate limit of `per_second`, bursts up to ten times
    /// that; says how long no more should be taken from it. 0 is no limit.
    pub fn charge(&self, frames: u32, per_second: u32) -> Duration {
        self.slot.charge(frames, per_second, || self.realm.now())
    }

    /// Sends a message to another peer of the realm, see [`Realm::route`].
    pub fn route(&self, to: &str, kind: MessageKind, frame: Frame) -> Routed {
        self.realm.route(self.id(), to, kind, frame)
    }

    /// Sends a frame to this client. All answers to one batch of input are written together: when the [`Flush`] is
    /// dropped.
    pub fn reply(&self, frame: Frame) -> Option<Flush> {
        self.realm.with(&self.slot, |guard| {
            if !guard.is_held_by(self.conn) {
                return None;
            }
            guard.notify(frame);
            guard.promise_flush()
        })
    }

    /// Works on the outbox; `None` once the id was taken away.
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        self.realm.with(&self.slot, |guard| guard.outbox_of(self.conn).map(act))
    }

    /// Works on the outbox, also after the id was taken away, until the session has ended.
    pub fn with_last_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        self.realm.with(&self.slot, |guard| {
            if guard.is_held_by(self.conn) {
                guard.outbox_of(self.conn).map(act)
            } else {
                guard.last_words(self.conn).map(act)
            }
        })
    }

    /// Ends the connection. Its client is told why.
    pub fn dismiss(&self, why: CloseReason) {
        self.realm.with(&self.slot, |guard| {
            if guard.is_held_by(self.conn) {
                guard.dismiss(why);
            }
        });
    }

    /// Ends the lease for its session. If the broker ended it before, gives that reason, once.
    fn end_lease(&self, why: CloseReason, dead: bool) -> Option<EndedLease> {
        self.realm.with(&self.slot, |guard| {
            let by_session = guard.is_held_by(self.conn);
            if by_session {
                guard.vacate(why, dead);
            }
            let (reason, usage) = guard.claim(self.conn)?;
            Some(EndedLease { reason, usage, by_session })
        })
    }

    /// Forgets the connection. A partly written message is queued in front of later ones, unless a successor has it
    /// already.
    fn forget(&self) {
        let outbox = self.realm.with(&self.slot, |guard| {
            let mut outbox = guard.forget(self.conn);
            let undelivered = outbox.as_mut().map(Outbox::take_undelivered).unwrap_or_default();
            guard.keep_all(undelivered, QueueEnd::Front);
            outbox
        });
        // Its socket is closed with no lock held.
        drop(outbox);
    }
}

impl IdLease {
    pub(super) fn new(peer: Peer) -> Self {
        IdLease(peer)
    }

    /// Gives the id back and returns the outbox for the last frames. `why` is the reason, unless the broker ended the
    /// lease before. `dead` means that the connection is broken.
    pub fn part(self, why: CloseReason, dead: bool) -> Option<Departure> {
        let ended = self.end_lease(why, dead)?;
        Some(Departure { peer: self.0.clone(), ended })
    }
}

impl Deref for IdLease {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Drop for IdLease {
    fn drop(&mut self) {
        if self.end_lease(CloseReason::Left, true).is_some() {
            self.forget();
        }
    }
}

impl Departure {
    /// Why the lease ended.
    pub fn why(&self) -> CloseReason {
        self.ended.reason
    }

    /// The time, messages and bytes of the connection while it had its id.
    pub fn usage(&self) -> Usage {
        self.ended.usage
    }

    /// Whether the session ended the lease by itself. If not, a close frame is in the outbox already.
    pub fn is_by_session(&self) -> bool {
        self.ended.by_session
    }

    /// The connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Works on the outbox.
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        let Peer { realm, slot, conn } = &self.peer;
        realm.with(slot, |guard| guard.last_words(*conn).map(act))
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.peer.forget();
    }
}
