//! The peers of a realm: their registration, lists of them, and timed work.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::guard::Guard;
use super::outgoing::ForwardOutcome;
use super::queue::QueueRoom;
use super::realm::Realm;
use super::remote::Located;
use super::remote_peers::PeerPlace;
use super::slot::{Slot, ping_interval};
use super::state::{Conn, ConnectionInfo};
use peerbroker_core::address::Network;
use peerbroker_core::clock::{Instant, millis};
use peerbroker_core::vocabulary::{CloseReason, ConnId, ConnectionKind, Frame, NodeId, Owner, PeerId, Token};

impl Realm {
    // Registration.

    /// Pings the holder of an id to find out whether it is alive. A dead holder is dropped after the probe
    /// timeout. For a reserved id, waits for the end of the reservation. The receiver also ends when the
    /// holder gave a sign of life or left. `None` if too many wait already.
    pub fn probe(&self, id: &PeerId) -> Option<oneshot::Receiver<()>> {
        self.with_id(id, |guard| guard.probe())
    }

    /// Asks the holder of an id for a sign of life. True if it gave one, or too many wait for it to ask.
    pub async fn is_alive(&self, id: &PeerId) -> bool {
        if self.contains(id.as_str())
            && let Some(answered) = self.probe(id)
        {
            // An error means the end of the probe, too.
            let _ = answered.await;
        }
        self.contains(id.as_str())
    }

    /// Says what contradicts itself: for tests, while nothing else happens.
    pub fn contradiction(&self) -> Option<String> {
        let slots = self.slots_that(|_| true);
        let held = slots.iter().filter(|slot| slot.is_held()).count();
        if held != self.len() {
            return Some(format!("{held} ids are held, and {} are counted", self.len()));
        }
        let wrong = slots.iter().find_map(|slot| {
            let state = slot.lock();
            let what = if state.retired {
                "is retired, and in the map"
            } else if state.conn.is_some() != slot.is_held() {
                "its holder is not the one that is read without the lock"
            } else if state.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
                "has an empty queue"
            } else if !state.queue.as_ref().is_none_or(|queue| queue.is_counted_right()) {
                "the bytes of its queue are not counted right"
            } else {
                return None;
            };
            Some(format!("{:?}: {what}", slot.id))
        });
        let of_sought =
            slots.iter().map(|slot| slot.lock().queue.as_ref().map_or(0, |queue| queue.sought_bytes()));
        let of_sought = of_sought.sum::<usize>();
        let charged = self.budget.sought_bytes();
        wrong.or_else(|| {
            (of_sought != charged).then(|| format!("{of_sought} bytes are sought, and {charged} are charged"))
        })
    }

    /// Takes a part of the bytes of all waiting messages for one that waits outside the queues. `None` if too
    /// much waits.
    pub fn reserve(&self, from: &PeerId, message: &Frame) -> Option<QueueRoom> {
        let total = self.router.config().limits.queue_total_bytes;
        self.budget.reserve(message, self.source(from).unwrap_or(0), total)
    }

    /// True if no message for an id waits here, or is on its way to another node.
    pub fn is_idle(&self, id: &str) -> bool {
        self.with_existing(id, |guard| guard.is_idle()).unwrap_or(true)
    }

    // Periodic work.

    /// Does all timed work that is due: pings silent peers, drops dead ones, expires old messages, ends
    /// probes. Cheap when nothing is due.
    pub fn sweep(&self) {
        let now = self.router.now();
        let limits = &self.router.config().limits;
        // Computed once, for very many slots.
        let before = |timeout| now.minus_millis(timeout).map_or(Instant::default(), |at| at.plus_millis(1));
        let silent = before(ping_interval(limits));
        let expired = before(millis(self.expire_timeout()));
        for slot in self.slots_that(|slot| slot.needs_sweep(silent, expired)) {
            self.with(&slot, |guard| guard.sweep(now, limits));
        }
        if self.router.is_closing() {
            // A peer may have registered since.
            self.close(CloseReason::Shutdown);
        }
    }

    /// Dismisses every peer.
    pub fn close(&self, why: CloseReason) {
        for slot in self.slots_that(Slot::is_held) {
            self.with(&slot, |guard| guard.dismiss(why));
        }
    }

    /// Dismisses every peer, and drops all waiting messages without notices, after
    /// [`ClientLimits::revoke`](super::ClientLimits::revoke): the realm itself goes. Locks every slot: a
    /// client that registers meanwhile is found, or finds that it may not.
    pub fn revoke(&self) {
        for slot in self.slots_that(|_| true) {
            self.with(&slot, |guard| {
                guard.dismiss(CloseReason::KeyRevoked);
                guard.drop_queue();
                guard.end_reservation(Instant::MAX);
            });
        }
    }

    // PeerJS 0.3.x over HTTP: each request names id and token, and some arrive before the stream that they
    // belong to.

    /// Tells waiting requests that an id was refused to this token.
    pub fn announce_refusal(&self, id: &PeerId, token: &Token) {
        if let Some(slot) = self.find(id.as_str()) {
            slot.lock().announce(token, false);
        }
    }

    /// True if a stream with this token holds an id, so that another stream may continue it.
    pub fn is_streamed(&self, id: &PeerId, token: &Token) -> bool {
        let is_streamed = |holder: &Conn| holder.kind == ConnectionKind::Stream && holder.token == *token;
        self.find(id.as_str()).is_some_and(|slot| slot.lock().conn.as_ref().is_some_and(is_streamed))
    }

    // Lists of peers, for discovery, for operators and for other nodes.

    /// The connection that holds an id, if one does.
    pub fn present(&self, id: &str) -> Option<Holder> {
        self.find(id).and_then(|slot| self.holder(&slot))
    }

    /// All connections that hold an id.
    pub fn holders(&self) -> Vec<Holder> {
        self.slots_that(Slot::is_held).iter().filter_map(|slot| self.holder(slot)).collect()
    }

    fn holder(&self, slot: &Slot) -> Option<Holder> {
        let state = slot.lock();
        let conn = state.conn.as_ref()?;
        Some(Holder {
            id: slot.id.clone(),
            connection: conn.id,
            token: conn.token.clone(),
            kind: conn.kind,
            info: conn.info.clone(),
            messages: slot.messages.load(Relaxed),
            opened: conn.opened,
            fence: conn.fence,
        })
    }

    /// The messages that wait here. Locks only the slots that say so.
    pub fn backlog(&self) -> Backlog {
        let now = self.router.now();
        let of_slot = |slot: &Arc<Slot>| {
            let state = slot.lock();
            let outbox = state.conn.as_ref().map(|conn| &conn.outbox);
            slot.set_backlog(outbox.is_some_and(|outbox| outbox.is_blocked()));
            let outboxes = outbox.map_or(0, |outbox| outbox.held());
            self.router.counters().largest_outbox.record(outboxes as u64);
            Backlog {
                queued: state.queue.as_ref().map_or(0, |queue| queue.len()),
                oldest: slot.waiting_since().map_or(0, |since| now.millis_since(since)),
                outboxes,
            }
        };
        let waiting = self.slots_that(|slot| slot.has_backlog());
        waiting.iter().map(of_slot).fold(Backlog::default(), Backlog::plus)
    }

    /// A page of registered ids, sorted by their bytes: the first `limit` ids after `after`. The last id of a
    /// page is the `after` of the next one, even if that peer has left since.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        Self::page_of(&self.held_behind(after), limit)
    }

    /// A [page](Self::page) of the registered ids of one network.
    pub fn page_near(&self, network: Network, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        let mut held = self.held_behind(after);
        held.retain(|slot| {
            let of_peer = slot.lock().conn.as_ref().and_then(|conn| conn.info.network());
            of_peer == Some(network)
        });
        Self::page_of(&held, limit)
    }

    fn held_behind(&self, after: Option<&str>) -> Vec<Arc<Slot>> {
        let is_behind = |slot: &Slot| after.is_none_or(|after| slot.id.as_str() > after);
        self.slots_that(|slot| slot.is_held() && is_behind(slot))
    }

    fn page_of(held: &[Arc<Slot>], limit: usize) -> Vec<PeerId> {
        let mut ids: Vec<PeerId> = held.iter().map(|slot| slot.id.clone()).collect();
        // Only the page is sorted: it is a small part of very many ids.
        if limit < ids.len() {
            ids.select_nth_unstable(limit);
            ids.truncate(limit);
        }
        ids.sort_unstable();
        ids
    }

    /// Ids of all registered peers, in order of their first registration.
    pub fn ids(&self) -> Vec<PeerId> {
        let ranked = |slot: &Arc<Slot>| {
            let rank = slot.lock().conn.as_ref()?.rank;
            Some((rank, slot.id.clone()))
        };
        let held = self.slots_that(|slot| slot.is_held());
        let mut ids: Vec<(u64, PeerId)> = held.iter().filter_map(ranked).collect();
        ids.sort_unstable_by_key(|(rank, _)| *rank);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Ends the connection that holds an id, if one does, and returns it; its client is told the reason.
    pub fn dismiss_id(&self, id: &str, why: CloseReason) -> Option<ConnId> {
        let dismiss = |guard: &mut Guard<'_>| {
            let held = guard.conn.as_ref().map(|conn| conn.id);
            guard.dismiss(why);
            held
        };
        self.with_existing(id, dismiss).flatten()
    }

    /// True if a connection holds the id, or the id is reserved for its client.
    pub fn is_held_by(&self, id: &PeerId, connection: ConnId) -> bool {
        let slot = self.find(id.as_str());
        slot.is_some_and(|slot| slot.is_held_by(connection) || slot.lock().is_reserved_by(connection))
    }

    /// True if an id is reserved for its owner, except from clients of this address.
    pub fn is_open_to(&self, id: &PeerId, address: Option<IpAddr>) -> bool {
        self.find(id.as_str()).is_some_and(|slot| {
            let state = slot.lock();
            state.conn.is_none() && state.is_open_to(address)
        })
    }

    /// Notes the fence of a connection's claim, which it got after it was opened.
    pub fn set_fence(&self, id: &PeerId, connection: ConnId, fence: u64) {
        if let Some(slot) = self.find(id.as_str())
            && let Some(conn) = slot.lock().conn.as_mut().filter(|conn| conn.id == connection)
        {
            conn.fence = fence;
        }
    }

    /// Gives an id up: another node's connection owns it now. Ends this connection if it still holds the id.
    pub fn yield_id(&self, id: &PeerId, connection: ConnId, why: CloseReason) {
        self.with_existing(id.as_str(), |guard| guard.yield_id(connection, why));
    }

    // Peers of other nodes.

    /// The answer to [`RemotePeers::locate`](super::RemotePeers::locate).
    pub fn located(&self, id: &PeerId, located: Located) {
        self.with_existing(id.as_str(), |guard| guard.located(located));
    }

    /// True if it is still asked where a peer is.
    pub fn is_sought(&self, id: &PeerId) -> bool {
        let place = self.find(id.as_str()).and_then(|slot| slot.lock().remote().map(|remote| remote.place));
        place == Some(PeerPlace::Asked)
    }

    /// A peer has opened on another node, which was asked to report that.
    pub fn appeared(&self, id: &PeerId, owner: Owner) {
        self.with_existing(id.as_str(), |guard| guard.appeared(owner));
    }

    /// Settles a message that was [forwarded](super::RemotePeers::forward).
    pub fn settle(&self, id: &str, ticket: u64, outcome: ForwardOutcome) {
        self.with_existing(id, |guard| guard.settle_sent(ticket, outcome));
    }

    /// Drops a message of another node that this has given up.
    pub fn give_up(&self, id: &PeerId, node: NodeId, ticket: u64) {
        self.with_existing(id.as_str(), |guard| {
            if let Some(conn) = &mut guard.conn {
                conn.outbox.give_up(node, ticket);
            }
        });
    }

    /// Expires all messages that wait here. Their senders may be on other nodes by now.
    pub fn expire_all(&self) {
        for slot in self.slots_that(|slot| slot.waiting_since().is_some()) {
            self.with(&slot, |guard| guard.expire(Instant::MAX));
        }
    }

    /// A node has left, and with it the answers about messages that it had; `None` means all nodes.
    pub fn lose_node(&self, node: Option<NodeId>) {
        for slot in self.slots_that(Slot::is_due) {
            self.with(&slot, |guard| guard.lose_node(node));
        }
    }

    /// Searches again for the peers for whom messages wait: the known places may be wrong.
    pub fn seek_again(&self) {
        for slot in self.slots_that(Slot::is_due) {
            self.with(&slot, |guard| {
                if let Some(remote) = guard.remote_mut()
                    && matches!(remote.place, PeerPlace::Asked | PeerPlace::Nowhere { .. })
                {
                    remote.place = PeerPlace::Unknown;
                }
            });
        }
    }

    /// Stops handing over messages for an id, because its peer opens here. Ready when no other node has one.
    pub fn recall(&self, id: &PeerId) -> Option<oneshot::Receiver<()>> {
        self.with_existing(id.as_str(), |guard| guard.recall()).flatten()
    }
}

/// A connection that holds an id.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The id.
    pub id: PeerId,
    /// The connection.
    pub connection: ConnId,
    /// The token of its client.
    pub token: Token,
    /// The kind of its connection.
    pub kind: ConnectionKind,
    /// Details from its session.
    pub info: ConnectionInfo,
    /// The number of messages that it has sent.
    pub messages: u64,
    /// The time since which it has had the id.
    pub opened: Instant,
    /// The fence of its claim; 0 if it has none.
    pub fence: u64,
}

/// Messages and bytes that wait in memory at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait for absent peers.
    pub queued: usize,
    /// The age of the oldest of them, in milliseconds.
    pub oldest: u64,
    /// Bytes in the outboxes of clients that read slowly, overhead included.
    pub outboxes: usize,
}

impl Backlog {
    /// Two backlogs together.
    pub fn plus(self, other: Self) -> Self {
        Backlog {
            queued: self.queued + other.queued,
            oldest: self.oldest.max(other.oldest),
            outboxes: self.outboxes + other.outboxes,
        }
    }
}
