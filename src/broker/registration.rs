use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::outbox::{Outbox, Outgoing};
use super::place::Place;
use super::realm::{Realm, Routed};
use super::types::{ConnId, Goodbye, PeerId};
use crate::frame::Frame;

/// A connection's hold on its id. Dropping it gives the id back, exactly once, and never touches
/// a successor; what was not written yet waits for the next holder.
pub struct Registration {
    realm: Arc<Realm>,
    place: Arc<Place>,
    conn: ConnId,
}

/// The recipient of a message that is not flushed yet.
pub struct Flush(Arc<Place>);

/// What is left of a connection whose registration has ended: an outbox for the last words.
pub struct Parting {
    realm: Arc<Realm>,
    id: PeerId,
    why: Goodbye,
    outbox: Outbox,
}

impl Registration {
    pub(super) fn new(realm: Arc<Realm>, place: Arc<Place>, conn: ConnId) -> Self {
        Registration { realm, place, conn }
    }

    /// The id that is held.
    pub fn id(&self) -> &PeerId {
        &self.place.id
    }

    /// False once the id was taken away: by a takeover, a timeout, a stop.
    pub fn is_current(&self) -> bool {
        self.place.is_held_by(self.conn)
    }

    /// The client gave a sign of life.
    pub fn heard(&self) {
        self.place.heard(self.realm.now());
    }

    /// Sends a message to another peer of the realm, see [`Realm::route`].
    pub fn route(&self, to: &str, frame: Frame, keep: bool) -> Routed {
        self.realm.route(self.id(), to, frame, keep)
    }

    /// Sends something to this very client.
    pub fn reply(&self, frame: Frame) {
        let full = self.with_outbox(|outbox| {
            let pushed = outbox.push(Outgoing { frame, from: None });
            outbox.flush();
            pushed.is_err()
        });
        if full == Some(true) {
            self.realm.dismiss_slow_reader(&self.place, self.conn);
        }
    }

    /// Works on the outbox; `None` once the id was taken away.
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        let mut state = self.place.lock();
        let conn = state.conn.as_mut().filter(|conn| conn.id == self.conn)?;
        Some(act(&mut conn.outbox))
    }

    /// The key of the realm.
    pub fn key(&self) -> &str {
        self.realm.key().as_str()
    }

    /// Gives the id back and returns the outbox for the last words. `dead` says that nothing can
    /// be written any more.
    pub fn part(self, dead: bool) -> Option<Parting> {
        let (why, outbox) = self.realm.part(&self.place, self.conn, dead)?;
        let (realm, id) = (Arc::clone(&self.realm), self.place.id.clone());
        Some(Parting { realm, id, why, outbox })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some((_, mut outbox)) = self.realm.part(&self.place, self.conn, true) {
            self.realm.take_back(&self.place.id, outbox.take_undelivered());
        }
    }
}

impl Flush {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Flush(place)
    }

    /// Writes what the recipient's outbox holds, as far as its socket takes it now.
    pub fn flush(self) {
        if let Some(conn) = &mut self.0.lock().conn {
            conn.outbox.flush();
        }
    }
}

impl Parting {
    /// Why the registration ended.
    pub fn why(&self) -> Goodbye {
        self.why
    }

    /// The id that was held.
    pub fn id(&self) -> &PeerId {
        &self.id
    }

    /// The key of the realm.
    pub fn key(&self) -> &str {
        self.realm.key().as_str()
    }
}

impl Deref for Parting {
    type Target = Outbox;

    fn deref(&self) -> &Outbox {
        &self.outbox
    }
}

impl DerefMut for Parting {
    fn deref_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.realm.take_back(&self.id, self.outbox.take_undelivered());
    }
}
