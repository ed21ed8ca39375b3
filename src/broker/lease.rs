use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::outbox::Outbox;
use super::realm::Realm;
use super::slot::Slot;
use crate::wire::Frame;
use crate::wire::{CloseReason, ConnId, PeerId};

/// One connection of a peer. Does not keep its id: see [`Peer::is_current`].
#[derive(Clone)]
pub struct Peer {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
    conn: ConnId,
}

/// A connection's hold on its id. Dropping it gives the id back, exactly once, and never touches
/// a successor; what was not written yet waits for the next holder.
pub struct IdLease(Peer);

/// The recipient of a message that is not flushed yet. Dropping it flushes.
pub struct Flush(Arc<Slot>);

/// What is left of a connection whose lease has ended: an outbox for the last words.
pub struct Departure {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
    conn: ConnId,
    why: CloseReason,
}

/// What became of a message.
pub enum Routed {
    /// It is in the recipient's outbox. What was sent in one go is written in one go: call
    /// [`Flush::flush`] once per batch. `None` if somebody is about to.
    Sent(Option<Flush>),
    /// The recipient is absent; the message waits for it.
    Kept,
    /// The message did not fit, and all that this sender had waiting for this recipient is gone.
    Expired,
    /// The message is not worth keeping, and the recipient is absent or has no room for it.
    Dropped,
}

/// The answer to somebody who wants to register.
pub enum RegisterOutcome {
    /// In: the greeting and what waited are in the outbox.
    Registered(IdLease),
    /// The id belongs to a connection with another token.
    Taken,
    /// The id is kept for its owner, who may come back. [`Realm::probe`] waits for that to end.
    Reserved,
    /// A stream came, and its client has a WebSocket already.
    Elsewhere,
    /// As many peers are registered as the limit allows.
    Full,
    /// The key is not valid any more.
    Revoked,
    /// The server is stopping.
    Closing,
}

/// The state of a question whether the holder of an id is alive.
pub enum Probe {
    /// Ends when the holder gave a sign of life, left, or was dropped for giving none; or when the owner
    /// for whom the id was kept came back, or did not.
    Asked(oneshot::Receiver<()>),
    /// Too many wait already.
    TooMany,
}

impl Peer {
    pub(super) fn new(realm: Arc<Realm>, slot: Arc<Slot>, conn: ConnId) -> Self {
        Peer { realm, slot, conn }
    }

    /// The id that is, or was, held.
    pub fn id(&self) -> &PeerId {
        &self.slot.id
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

    /// The client has sent so many messages.
    pub fn count_messages(&self, count: u32) {
        self.slot.count_messages(count);
    }

    /// The client has sent so many frames of any kind; says how long no more should be taken from it, if
    /// it may send `per_second` for long and ten times as many at once. 0 is any number.
    pub fn charge(&self, frames: u32, per_second: u32) -> Duration {
        self.slot.charge(frames, per_second, || self.realm.now())
    }

    /// Sends a message to another peer of the realm, see [`Realm::route`].
    pub fn route(&self, to: &str, frame: Frame, keep: bool) -> Routed {
        self.realm.route(self.id(), to, frame, keep)
    }

    /// Sends something to this very client. What answers one batch of input is written once: when
    /// the [`Flush`] is dropped.
    pub fn reply(&self, frame: Frame) -> Option<Flush> {
        self.realm.reply(&self.slot, self.conn, frame)
    }

    /// Works on the outbox; `None` once the id was taken away.
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        let mut state = self.slot.lock();
        let conn = state.conn.as_mut().filter(|conn| conn.id == self.conn)?;
        Some(act(&mut conn.outbox))
    }

    /// Works on the outbox, also after the id was taken away, for as long as last words may be said.
    pub fn with_last_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        let mut state = self.slot.lock();
        match state.conn.as_mut().filter(|conn| conn.id == self.conn) {
            Some(conn) => Some(act(&mut conn.outbox)),
            None => state.last_words(self.conn).map(act),
        }
    }

    /// Ends the connection, as if it had ended by itself; its client is told why.
    pub fn dismiss(&self, why: CloseReason) {
        self.realm.dismiss_peer(&self.slot, self.conn, why);
    }
}

impl IdLease {
    pub(super) fn new(realm: Arc<Realm>, slot: Arc<Slot>, conn: ConnId) -> Self {
        IdLease(Peer::new(realm, slot, conn))
    }

    /// Gives the id back and returns what is left for the last words. `dead` says that nothing can
    /// be written any more.
    pub fn part(self, dead: bool) -> Option<Departure> {
        let why = self.realm.part(&self.slot, self.conn, dead)?;
        let (realm, slot) = (Arc::clone(&self.realm), Arc::clone(&self.slot));
        Some(Departure { realm, slot, conn: self.conn, why })
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
        if self.realm.part(&self.slot, self.conn, true).is_some() {
            self.realm.forget(&self.slot, self.conn);
        }
    }
}

impl Flush {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Flush(slot)
    }

    /// Writes what the recipient's outbox holds, as far as its socket takes it now.
    pub fn flush(self) {
        drop(self);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(conn) = &mut self.0.lock().conn {
            conn.outbox.flush();
        }
    }
}

impl Departure {
    /// Why the lease ended.
    pub fn why(&self) -> CloseReason {
        self.why
    }

    /// The id that was held.
    pub fn id(&self) -> &PeerId {
        &self.slot.id
    }

    /// The key of the realm.
    pub fn key(&self) -> &str {
        self.realm.key().as_str()
    }

    /// Works on the outbox.
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        self.slot.lock().last_words(self.conn).map(act)
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.realm.forget(&self.slot, self.conn);
    }
}
