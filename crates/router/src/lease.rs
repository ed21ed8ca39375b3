//! A connection's hold on its id, and requests that wait for one.

use std::net::IpAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::outbox::Outbox;
use super::outgoing::Outgoing;
use super::queue::QueueEnd;
use super::realm::Realm;
use super::routed::{Flush, Routed};
use super::slot::Slot;
use super::state::{RegisterRefusal, RegisterRequest};
use super::witness;
use peerbroker_core::address::Network;
use peerbroker_core::vocabulary::{CloseReason, ConnId, Frame, MessageKind, PeerId, RoomRights, Token};
use peerbroker_events::{Count, Disconnected};

/// A connection of a peer. It may have lost its id: see [`PeerHandle::is_current`].
#[derive(Clone)]
pub struct PeerHandle {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
    conn: ConnId,
}

/// A connection's hold on its id. Dropping it gives the id back exactly once, and never affects a successor.
/// Unwritten messages are queued for the next holder.
pub struct IdLease(PeerHandle);

/// A connection whose lease has ended. It keeps the outbox for the last frames until it is dropped.
pub struct Departure {
    /// The connection.
    pub peer: PeerHandle,
    /// The end of the lease, as its event tells it.
    pub ended: Disconnected,
    /// True if the session ended the lease by itself. If not, a close frame is in the outbox already.
    pub by_session: bool,
}

impl PeerHandle {
    /// The connection that holds an id with this token.
    pub fn find(realm: &Arc<Realm>, id: &PeerId, token: &Token) -> Option<PeerHandle> {
        PeerHandle::find_with(realm, id, |held| held == token)
    }

    /// The connection that holds an id, if its token matches.
    pub fn find_with(
        realm: &Arc<Realm>,
        id: &PeerId,
        is_right: impl Fn(&Token) -> bool,
    ) -> Option<PeerHandle> {
        let slot = realm.find(id.as_str())?;
        let conn = slot.lock().conn.as_ref().filter(|holder| is_right(&holder.token))?.id;
        Some(PeerHandle { realm: Arc::clone(realm), slot, conn })
    }

    /// A connection, if it holds an id.
    pub fn of_connection(realm: &Arc<Realm>, id: &str, connection: u64) -> Option<PeerHandle> {
        let slot = realm.find(id)?;
        let conn = slot.lock().conn.as_ref().map(|holder| holder.id).filter(|id| id.get() == connection)?;
        Some(PeerHandle { realm: Arc::clone(realm), slot, conn })
    }

    /// Dismisses the stream that holds an id with this token, if there is one: its client starts again.
    pub fn end_stream(realm: &Arc<Realm>, id: &PeerId, token: &Token) {
        if realm.is_streamed(id, token)
            && let Some(stream) = PeerHandle::find(realm, id, token)
        {
            stream.dismiss(CloseReason::Replaced);
        }
    }

    /// The id that is, or was, held.
    #[inline]
    pub fn id(&self) -> &PeerId {
        &self.slot.id
    }

    /// The connection.
    #[inline]
    pub fn connection(&self) -> ConnId {
        self.conn
    }

    /// The address of the client, while it has its id.
    pub fn address(&self) -> Option<IpAddr> {
        let state = self.slot.lock();
        state.conn.as_ref().filter(|holder| holder.id == self.conn)?.info.address
    }

    /// The network of its client. `None` if it is unknown, or the connection has lost its id.
    pub fn network(&self) -> Option<Network> {
        let state = self.slot.lock();
        state.conn.as_ref().filter(|holder| holder.id == self.conn)?.info.network()
    }

    /// The realm of the peer.
    #[inline]
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The key of the realm.
    #[inline]
    pub fn key(&self) -> &str {
        self.realm.key().as_str()
    }

    /// The token of the client, and the rooms that it may enter if they are private, while it has its id.
    pub fn proof(&self) -> Option<(Token, Option<RoomRights>)> {
        let state = self.slot.lock();
        let holder = state.conn.as_ref().filter(|holder| holder.id == self.conn)?;
        Some((holder.token.clone(), holder.info.rooms.clone()))
    }

    /// False once the id was taken away: by a takeover, a timeout, or a stop.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.slot.is_held_by(self.conn)
    }

    /// The client gave a sign of life, which ends all probes.
    pub fn mark_alive(&self) {
        if self.is_current() {
            self.slot.mark_alive(self.realm.router.now());
            self.slot.answer_probes();
        }
    }

    /// The client gave a sign of life, but perhaps before it was probed, so it is no answer. Every message
    /// does this, so the clock is not read.
    pub fn mark_alive_unprobed(&self) {
        if self.is_current() {
            self.slot.mark_alive(self.realm.router.about_now());
        }
    }

    /// The client has sent a pong. True if it answers a ping of ours: each ping has one answer.
    pub fn answers_ping(&self) -> bool {
        self.realm.with(&self.slot, |guard| {
            let pings = guard.holder(self.conn).map(|holder| &mut holder.pings);
            pings.filter(|pings| **pings > 0).map(|pings| *pings -= 1).is_some()
        })
    }

    /// True if somebody waits to learn whether the client is alive.
    pub fn is_probed(&self) -> bool {
        self.slot.is_probed()
    }

    /// The client has sent messages with this many bytes of text.
    pub fn count_messages(&self, messages: u32, bytes: u64) {
        self.slot.messages.fetch_add(u64::from(messages), Relaxed);
        self.slot.bytes.fetch_add(bytes, Relaxed);
        if messages > 0 {
            self.realm.router.counters().add(Count::Received, bytes);
        }
    }

    /// True until the first messages of the client are read and handled.
    pub fn is_new(&self) -> bool {
        self.slot.messages.load(Relaxed) == 0
    }

    /// Charges frames of any kind that the client has sent to its rate limit of `per_second`, with bursts of
    /// ten times that. Returns the pause before more frames should be read from it. 0 is no limit.
    #[inline]
    pub fn charge(&self, frames: u32, per_second: u32) -> Duration {
        // The clock is read only if there is a limit: every message takes this path.
        if per_second == 0 {
            return Duration::ZERO;
        }
        self.slot.rate.charge(frames, per_second, self.realm.router.now())
    }

    /// Sends a message to another peer of the realm, see [`Realm::route`].
    pub fn route(&self, to: &str, kind: MessageKind, frame: Frame) -> Routed {
        if self.slot.keeps_contacts.load(Relaxed) && kind.connects() {
            self.record_contact(to);
        }
        self.realm.route(self.id(), to, kind, frame)
    }

    fn record_contact(&self, to: &str) {
        let Ok(to) = PeerId::parse(to) else { return };
        self.realm.with(&self.slot, |guard| {
            if let Some(contacts) = guard.holder(self.conn).and_then(|holder| holder.contacts.as_mut()) {
                contacts.add(&to);
            }
        });
    }

    /// The peers with which the client has exchanged messages about a connection, the latest last. Empty if
    /// they are not remembered, or the id was taken away.
    pub fn take_contacts(&self) -> Vec<PeerId> {
        self.realm.with(&self.slot, |guard| {
            let contacts = guard.holder(self.conn).and_then(|holder| holder.contacts.as_mut());
            contacts.map(|contacts| contacts.take()).unwrap_or_default()
        })
    }

    /// Sends this peer a message of another one, as [`route`](Self::route) does, also to a later connection.
    pub fn deliver(&self, from: &PeerId, kind: MessageKind, frame: Frame) -> Routed {
        let message = Outgoing::message(from.clone(), kind, frame);
        self.realm.with_live(Arc::clone(&self.slot), |guard| guard.deliver(from, kind, message))
    }

    /// Drops the messages of rooms that wait for the id and that its client does not hear any more. Their
    /// senders are not told.
    pub fn drop_of_rooms(&self, hears: impl Fn(&Frame) -> bool) {
        // Another slot than that of the connection, if nothing was left of the id in between.
        if let Some(slot) = self.realm.find(self.id().as_str()) {
            self.realm.with(&slot, |guard| guard.drop_of_rooms(hears));
        }
    }

    /// Takes out the messages of rooms that wait for the id, with the sender of each.
    pub fn take_of_rooms(&self) -> Vec<(PeerId, Frame)> {
        let slot = self.realm.find(self.id().as_str());
        slot.map(|slot| self.realm.with(&slot, |guard| guard.take_of_rooms())).unwrap_or_default()
    }

    /// Sends this connection a message of another peer. `None` if it has lost its id.
    pub fn deliver_here(&self, from: &PeerId, kind: MessageKind, frame: Frame) -> Option<Routed> {
        let message = Outgoing::message(from.clone(), kind, frame);
        self.realm
            .with(&self.slot, |guard| guard.is_held_by(self.conn).then(|| guard.deliver(from, kind, message)))
    }

    /// Sends a frame to this client. All answers to one batch of input are written together, by the
    /// [`Flush`].
    pub fn reply(&self, frame: Frame) -> Option<Flush> {
        self.realm.with(&self.slot, |guard| guard.notify_connection(self.conn, frame))
    }

    /// Tells this client of state, in frames of so many bytes. `None` if it has no room for them in one
    /// `part`th of its outbox: then its session is [told](Outbox::take_owed_state) once it has; or if it has
    /// lost its id.
    pub fn send_state(
        &self,
        frames: impl ExactSizeIterator<Item = Frame>,
        bytes: usize,
        part: usize,
    ) -> Option<Option<Flush>> {
        self.realm.with(&self.slot, |guard| guard.send_state(self.conn, frames, bytes, part))
    }

    /// Works on the outbox; `None` once the id was taken away.
    pub fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        self.realm.with(&self.slot, |guard| {
            let result = guard.holder(self.conn).map(|holder| act(&mut holder.outbox));
            witness::follow_written(self.id(), self.conn);
            result
        })
    }

    /// Works on the outbox, also after the id was taken away, until the session has ended.
    pub fn with_last_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        self.realm.with(&self.slot, |guard| match guard.is_held_by(self.conn) {
            true => guard.holder(self.conn).map(|holder| act(&mut holder.outbox)),
            false => guard.leaving(self.conn).map(|leaving| act(&mut leaving.outbox)),
        })
    }

    /// Ends the connection. Its client is told the reason.
    pub fn dismiss(&self, why: CloseReason) {
        self.realm.with(&self.slot, |guard| {
            if guard.is_held_by(self.conn) {
                guard.dismiss(why);
            }
        });
    }

    /// Ends the lease for its session. If the broker ended it before, gives that reason, once.
    fn end_lease(&self, why: CloseReason, dead: bool) -> Option<Departure> {
        self.realm.with(&self.slot, |guard| {
            let by_session = guard.is_held_by(self.conn);
            if by_session {
                guard.vacate(why, dead);
            }
            let leaving = guard.leaving(self.conn).filter(|leaving| !leaving.is_told)?;
            leaving.is_told = true;
            Some(Departure { peer: self.clone(), ended: leaving.ended.clone(), by_session })
        })
    }
}

impl IdLease {
    /// Registers a connection under an id. The same token takes the id over from an older connection. On
    /// success the realm takes the outbox, and the greeting goes out first, then the messages that waited for
    /// the id; otherwise the outbox stays as it was.
    pub fn register(
        realm: &Arc<Realm>,
        request: RegisterRequest<'_>,
        outbox: &mut Outbox,
    ) -> Result<IdLease, RegisterRefusal> {
        realm.with_id(request.id, |guard| {
            let conn = guard.register(request, outbox)?;
            Ok(IdLease(PeerHandle { realm: Arc::clone(realm), slot: Arc::clone(guard.slot), conn }))
        })
    }

    /// Gives the id back and returns the outbox for the last frames. `why` is the reason, unless the broker
    /// ended the lease before. `dead` means that the connection is broken.
    pub fn part(self, why: CloseReason, dead: bool) -> Option<Departure> {
        self.end_lease(why, dead)
    }
}

impl Deref for IdLease {
    type Target = PeerHandle;

    fn deref(&self) -> &PeerHandle {
        &self.0
    }
}

impl Drop for IdLease {
    fn drop(&mut self) {
        drop(self.end_lease(CloseReason::Left, true));
    }
}

impl Drop for Departure {
    /// Forgets the connection. A partly written message is queued in front of later ones, unless a successor
    /// has it already.
    fn drop(&mut self) {
        let PeerHandle { realm, slot, conn } = &self.peer;
        let outbox = realm.with(slot, |guard| {
            let mut outbox = guard.forget(*conn);
            let undelivered = outbox.as_mut().map(Outbox::take_undelivered).unwrap_or_default();
            guard.enqueue_unsent(undelivered, QueueEnd::Front);
            outbox
        });
        // Its socket is closed with no lock held.
        drop(outbox);
    }
}

// For PeerJS 0.3.x over HTTP: each request names id and token, and some arrive before their stream.

/// Ready when the id is registered with this token (`true`), or was refused to it (`false`).
pub struct PendingRegistration {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
    arrived: oneshot::Receiver<bool>,
}

/// A POST whose body is being read. It counts until it is dropped.
pub struct PostPermit {
    realm: Arc<Realm>,
    slot: Arc<Slot>,
}

/// Most concurrent POSTs of one client. Browsers open six connections.
const MAX_POSTED: usize = 8;

impl PendingRegistration {
    /// Waits until an id is registered with this token. `None` if too many requests wait for that already.
    pub fn wait(realm: &Arc<Realm>, id: &PeerId, token: &Token) -> Option<PendingRegistration> {
        realm.with_id(id, |guard| {
            let arrived = guard.wait_for(token)?;
            Some(PendingRegistration { realm: Arc::clone(realm), slot: Arc::clone(guard.slot), arrived })
        })
    }
}

impl PostPermit {
    /// Counts a POST of a client. `None` if it has too many open.
    pub fn begin(realm: &Arc<Realm>, id: &PeerId) -> Option<PostPermit> {
        realm.with_id(id, |guard| {
            let posted = &mut guard.rare().posted;
            if *posted >= MAX_POSTED {
                return None;
            }
            *posted += 1;
            Some(PostPermit { realm: Arc::clone(realm), slot: Arc::clone(guard.slot) })
        })
    }
}

impl Future for PendingRegistration {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        // The slot keeps the sender for as long as this receiver exists.
        Pin::new(&mut self.arrived).poll(cx).map(|arrived| arrived.unwrap_or(false))
    }
}

impl Drop for PendingRegistration {
    fn drop(&mut self) {
        self.arrived.close();
        self.realm.with(&self.slot, |guard| guard.forget_waiting());
    }
}

impl Drop for PostPermit {
    fn drop(&mut self) {
        self.realm.with(&self.slot, |guard| guard.rare().posted -= 1);
    }
}
