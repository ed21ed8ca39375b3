//! The state of an id: its holder, its queue, and what is rare.

use std::collections::VecDeque;
use std::net::IpAddr;

use tokio::sync::oneshot;

use super::contacts::Contacts;
use super::outbox::Outbox;
use super::outgoing::Outgoing;
use super::queue::{Queue, QueueRoom};
use super::remote_peers::Remote;
use peerbroker_core::address::{Locality, Network};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{
    AddressPrefix, ClientVersion, ConnId, ConnectionKind, Frame, PeerId, RoomRights, Token,
};
use peerbroker_events::Disconnected;
use peerbroker_limits::Place;

/// The reason why a client gets no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterRefusal {
    /// The id belongs to a connection with another token.
    Taken,
    /// The id is reserved for its owner, which may come back. [`Realm::probe`](super::Realm::probe) waits for
    /// that to end.
    Reserved,
    /// A stream came, and its client has a WebSocket already.
    Elsewhere,
    /// The key has reached its limit of clients.
    Full,
    /// The key is not valid any more.
    Revoked,
    /// The server is stopping.
    Closing,
}

/// A client that asks for an id.
pub struct RegisterRequest<'a> {
    /// The id.
    pub id: &'a PeerId,
    /// The token that proves that the client owns the id.
    pub token: &'a Token,
    /// The kind of its connection.
    pub kind: ConnectionKind,
    /// The first frame that it gets once it has the id.
    pub greeting: Option<Frame>,
    /// Details of the connection.
    pub info: ConnectionInfo,
    /// True if the peers with which it exchanges messages are remembered, for
    /// [`PeerHandle::take_contacts`](super::PeerHandle::take_contacts).
    pub keeps_contacts: bool,
    /// Tells if a message of a room that waits for the id is for this client. The flag says that it takes the
    /// id over from its own earlier connection.
    pub hears_room: &'a dyn Fn(&Frame, bool) -> bool,
    /// Its claim to the id, which all nodes know. `None` outside of a cluster, or while the others cannot be
    /// reached.
    pub claim: Option<ClaimedId>,
    /// Its place, if it had to take one of the last tenth for that.
    pub last_place: Option<LastPlace>,
}

/// A place of the last tenth of those of a key. Boxed: most clients have another one.
pub type LastPlace = Box<Place<AddressPrefix>>;

/// A connection that owns its id in the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedId {
    /// The connection, from [`Realm::next_connection`](super::Realm::next_connection).
    pub connection: ConnId,
    /// Higher than that of every earlier owner; not 0.
    pub fence: u64,
}

/// Details of a connection from its session.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo {
    /// The time at which it was opened, in seconds since 1970.
    pub since_unix: u64,
    /// The address of its client.
    pub address: Option<IpAddr>,
    /// The network of its client, as far as the address tells.
    pub locality: Locality,
    /// The version that its client gives.
    pub version: Option<ClientVersion>,
    /// The rooms that its client may enter. `None` if they are not private.
    pub rooms: Option<RoomRights>,
}

impl ConnectionInfo {
    /// The network of its client. `None` if it is unknown.
    pub fn network(&self) -> Option<Network> {
        Network::of(self.address, self.locality)
    }
}

/// The part of a slot that its lock guards.
#[derive(Default)]
pub(super) struct SlotState {
    pub(super) conn: Option<Conn>,
    pub(super) queue: Option<Box<Queue>>,
    /// Boxed: almost no id needs this.
    pub(super) rare: Option<Box<Rare>>,
    /// The slot is no longer in the map. Look the id up again.
    pub(super) retired: bool,
}

#[derive(Default)]
pub(super) struct Rare {
    /// Connections that lost the id and are still closing.
    pub(super) leaving: Vec<Leaving>,
    pub(super) probes: Vec<PendingProbe>,
    waiting_requests: Vec<WaitingRequest>,
    pub(super) reserved: Option<Reserved>,
    /// The last holder's token, while the rate limit of the id is not back to its full burst.
    pub(super) last_token: Option<Token>,
    /// POSTs of messages that are being read.
    pub(super) posted: usize,
    /// The place of the peer, if it is not here and somebody asked.
    pub(super) remote: Option<Box<Remote>>,
}

/// The connection that holds an id.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) token: Token,
    pub(super) outbox: Outbox,
    /// The fence of its claim to the id; 0 if it has none.
    pub(super) fence: u64,
    /// Rank in the order of first registrations; a takeover inherits it.
    pub(super) rank: u64,
    pub(super) kind: ConnectionKind,
    pub(super) info: ConnectionInfo,
    /// The peers with which it has exchanged messages, if they are remembered.
    pub(super) contacts: Option<Box<Contacts>>,
    pub(super) last_place: Option<LastPlace>,
    /// The time at which it got the id.
    pub(super) opened: Instant,
    pub(super) pinged: Instant,
    /// Pings that the client has not answered.
    pub(super) pings: u8,
    /// The time at which the client last took something, if its outbox is full or still holds queued
    /// messages.
    pub(super) crowded: Option<Instant>,
    /// The time at which everything sent to the client has arrived, over a link as slow as [`SLOW_LINK`].
    pub(super) arrival: Instant,
}

/// The parts of a client's earlier connection that its new one inherits.
pub(super) struct Former {
    pub(super) rank: u64,
    pub(super) kind: ConnectionKind,
    pub(super) contacts: Option<Box<Contacts>>,
    pub(super) last_place: Option<LastPlace>,
}

/// A connection that lost its id. It stays here until its session ends, so that a successor can get the
/// message that was only partly written.
pub(super) struct Leaving {
    pub(super) ended: Disconnected,
    pub(super) outbox: Outbox,
    /// Its session was told.
    pub(super) is_told: bool,
}

pub(super) struct PendingProbe {
    timing: ProbeTiming,
    answer: oneshot::Sender<()>,
}

/// The times of a probe of the holder of an id.
#[derive(Clone, Copy)]
pub(super) struct ProbeTiming {
    pub(super) asked: Instant,
    /// The time at which the pong is late, also over a slow link.
    pub(super) due: Instant,
    /// No other bytes on their way to the holder delay the ping much.
    pub(super) undelayed: bool,
}

/// The id is reserved: its owner was closed for being slow or silent and may come back.
pub(super) struct Reserved {
    pub(super) token: Token,
    pub(super) until: Instant,
    /// Clients from here need not wait.
    pub(super) open_to: Option<AddressPrefix>,
    /// The owner's last connection, if it still has a claim to the id.
    pub(super) claimed: Option<ConnId>,
}

/// A stream or a POST that waits for a connection with this token.
struct WaitingRequest {
    token: Token,
    arrived: oneshot::Sender<bool>,
}

/// The slowest link that is taken into account when we judge whether a ping has arrived, in bytes per
/// millisecond: 64 kbit/s.
const SLOW_LINK: u64 = 8;

/// Longest time for which sent bytes count as on their way, in milliseconds. Messages that an outbox drops
/// count too.
const MAX_ARRIVAL: u64 = 60_000;

/// Most clients that wait for one id.
const MAX_PROBES: usize = 16;

/// Most streams and POSTs that wait for one id with one token. Other tokens have a separate limit, so a
/// stranger cannot use up the owner's; the limit of connections bounds all of them.
const MAX_AWAITED: usize = 64;

impl Conn {
    /// The connection of a request that is granted. Its greeting is in front of the messages that waited for
    /// it.
    #[inline]
    pub(super) fn granted(
        request: RegisterRequest<'_>,
        id: ConnId,
        former: Option<Former>,
        waited: Option<(VecDeque<Outgoing>, QueueRoom)>,
        mut outbox: Outbox,
        now: Instant,
    ) -> Self {
        let (rank, former_kind, contacts, last_place) = match former {
            Some(former) => (former.rank, Some(former.kind), former.contacts, former.last_place),
            None => (id.get(), None, None, request.last_place),
        };
        // The client of a stream was greeted there.
        if let Some(greeting) = request.greeting.filter(|_| former_kind != Some(ConnectionKind::Stream)) {
            outbox.push_opening(greeting);
        }
        let mut contacts = request.keeps_contacts.then(|| contacts.unwrap_or_default());
        if let Some((messages, room)) = waited {
            if let Some(contacts) = &mut contacts {
                messages.iter().filter_map(Outgoing::contact).for_each(|from| contacts.add(from));
            }
            outbox.preload(messages, room);
        }
        Conn {
            id,
            token: request.token.clone(),
            outbox,
            fence: request.claim.map_or(0, |claim| claim.fence),
            rank,
            kind: request.kind,
            info: request.info,
            contacts,
            last_place,
            opened: now,
            pinged: Instant::default(),
            pings: 0,
            crowded: None,
            arrival: Instant::default(),
        }
    }

    /// Notes that bytes are on their way to the client.
    pub(super) fn record_sent(&mut self, bytes: usize, now: Instant) {
        let most = now.plus_millis(MAX_ARRIVAL);
        self.arrival = self.arrival.max(now).plus_millis(bytes as u64 / SLOW_LINK).min(most);
    }

    /// Asks the client for a sign of life.
    pub(super) fn ping(&mut self) {
        self.pings = self.pings.saturating_add(u8::from(self.outbox.push_ping()));
        self.outbox.flush();
    }

    /// The times of a probe that begins now. Bytes on their way delay the ping, for at most `reclaim`.
    pub(super) fn time_probe(&self, now: Instant, probe: u64, reclaim: u64) -> ProbeTiming {
        // The rest of the timeout is enough for the pong.
        let little = self.arrival <= now.plus_millis(probe / 3);
        let arrival = if little { now } else { self.arrival.min(now.plus_millis(reclaim)) };
        ProbeTiming {
            asked: now,
            due: arrival.plus_millis(probe),
            undelayed: little && self.outbox.is_drained(),
        }
    }

    /// Notes whether the client has taken something from a full outbox.
    pub(super) fn record_progress(&mut self, now: Instant) -> bool {
        let progressed = std::mem::take(&mut self.outbox.progressed);
        if progressed {
            self.crowded = self.crowded.map(|_| now);
        }
        // An outbox may be empty because a flood expired, while the socket is still full.
        if self.outbox.is_empty() && !self.outbox.is_blocked() {
            self.crowded = None;
        }
        progressed
    }
}

impl SlotState {
    /// True if the slot can be removed: no connection, no queued messages, no waiting clients.
    pub(super) fn is_vacant(&mut self) -> bool {
        self.rare.take_if(|rare| rare.is_empty() && rare.last_token.is_none());
        let nothing = self.rare.as_ref().is_none_or(|rare| rare.is_empty());
        self.conn.is_none() && self.queue.is_none() && nothing
    }

    /// The rare part, created if there is none.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The place of the peer, if it is known or asked for.
    pub(super) fn remote(&self) -> Option<&Remote> {
        self.rare.as_ref()?.remote.as_deref()
    }

    pub(super) fn remote_mut(&mut self) -> Option<&mut Remote> {
        self.rare.as_mut()?.remote.as_deref_mut()
    }

    pub(super) fn remote_or_new(&mut self) -> &mut Remote {
        self.rare().remote.get_or_insert_default()
    }

    /// Keeps the claim of a connection that left while its id is reserved. False if it is not.
    pub(super) fn keep_claim(&mut self, connection: ConnId) -> bool {
        let reserved = self.rare.as_mut().and_then(|rare| rare.reserved.as_mut());
        reserved.map(|reserved| reserved.claimed = Some(connection)).is_some()
    }

    /// True if the id is reserved for the owner of this connection.
    pub(super) fn is_reserved_by(&self, connection: ConnId) -> bool {
        self.reserved().is_some_and(|reserved| reserved.claimed == Some(connection))
    }

    /// True if the id is reserved for another token, and a client from this address has to wait.
    pub(super) fn is_reserved_from(&self, token: &Token, address: Option<IpAddr>, now: Instant) -> bool {
        let is_foreign = |reserved: &Reserved| now < reserved.until && reserved.token != *token;
        self.reserved().is_some_and(is_foreign) && !self.is_open_to(address)
    }

    /// True if the id is reserved, and a client from this address need not wait.
    pub(super) fn is_open_to(&self, address: Option<IpAddr>) -> bool {
        let open_to = self.reserved().and_then(|reserved| reserved.open_to);
        open_to.is_some() && open_to == address.map(AddressPrefix::of)
    }

    /// The reservation of the id, if there is one.
    pub(super) fn reserved(&self) -> Option<&Reserved> {
        self.rare.as_ref()?.reserved.as_ref()
    }

    /// Ends a reservation that is over at `now`, and wakes the clients that wait for the id. Returns the
    /// connection whose claim ends with it.
    pub(super) fn take_reservation(&mut self, now: Instant) -> Option<ConnId> {
        let rare = self.rare.as_mut()?;
        let reserved = rare.reserved.take_if(|reserved| reserved.until <= now)?;
        rare.probes.clear();
        reserved.claimed
    }

    /// Adds a client that waits for the id; the flag says whether it is the first. `None` if too many wait
    /// already.
    pub(super) fn ask(&mut self, timing: ProbeTiming) -> Option<(oneshot::Receiver<()>, bool)> {
        let probes = &mut self.rare().probes;
        probes.retain(|probe| !probe.answer.is_closed());
        if probes.len() >= MAX_PROBES {
            return None;
        }
        let first = probes.is_empty();
        let (answer, receiver) = oneshot::channel();
        probes.push(PendingProbe { timing, answer });
        Some((receiver, first))
    }

    /// The oldest probe that is still open.
    pub(super) fn first_probe(&self) -> Option<ProbeTiming> {
        self.rare.as_ref()?.probes.iter().map(|probe| probe.timing).min_by_key(|timing| timing.asked)
    }

    /// The address of a holder that would have answered its probe if it were there: nothing else was on its
    /// way, and nothing is unsent.
    pub(super) fn surely_silent(&self) -> Option<AddressPrefix> {
        let conn = self.conn.as_ref().filter(|conn| conn.outbox.is_drained())?;
        let probe = self.first_probe()?;
        conn.info.address.filter(|_| probe.undelayed).map(AddressPrefix::of)
    }

    /// A connection that lost its id, until its session has ended.
    pub(super) fn leaving(&mut self, conn: ConnId) -> Option<&mut Leaving> {
        self.rare.as_mut()?.leaving.iter_mut().find(|leaving| leaving.ended.connection == conn)
    }

    /// Forgets a connection that lost its id, once its session has ended.
    pub(super) fn forget(&mut self, conn: ConnId) -> Option<Outbox> {
        let leaving = &mut self.rare.as_mut()?.leaving;
        let at = leaving.iter().position(|leaving| leaving.ended.connection == conn)?;
        Some(leaving.swap_remove(at).outbox)
    }

    /// Takes partly written messages from the predecessors, for a successor. Those connections are cut off.
    pub(super) fn revoke(&mut self) -> Vec<Outgoing> {
        let leaving = self.rare.iter_mut().flat_map(|rare| &mut rare.leaving);
        leaving.filter_map(|leaving| leaving.outbox.revoke()).collect()
    }

    /// Waits for a connection with this token. The receiver gets whether it was admitted, at once if it holds
    /// the id. `None` if too many wait with this token.
    pub(super) fn wait_for(&mut self, token: &Token) -> Option<oneshot::Receiver<bool>> {
        let (arrived, arrival) = oneshot::channel();
        if self.conn.as_ref().is_some_and(|holder| holder.token == *token) {
            // The receiver is still here.
            let _ = arrived.send(true);
            return Some(arrival);
        }
        let waiting_requests = &mut self.rare().waiting_requests;
        waiting_requests.retain(|request| !request.arrived.is_closed());
        if waiting_requests.iter().filter(|request| request.token == *token).count() >= MAX_AWAITED {
            return None;
        }
        waiting_requests.push(WaitingRequest { token: token.clone(), arrived });
        Some(arrival)
    }

    /// Tells the requests that wait for this token whether its connection was admitted.
    pub(super) fn announce(&mut self, token: &Token, admitted: bool) {
        let Some(rare) = &mut self.rare else { return };
        for request in rare.waiting_requests.extract_if(.., |request| request.token == *token) {
            // An error means that the waiting client has left.
            let _ = request.arrived.send(admitted);
        }
    }

    /// Forgets streams and POSTs that no longer wait.
    pub(super) fn forget_waiting(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.waiting_requests.retain(|request| !request.arrived.is_closed());
        }
    }
}

impl Rare {
    fn is_empty(&self) -> bool {
        let nobody = self.leaving.is_empty() && self.probes.is_empty() && self.waiting_requests.is_empty();
        let nowhere = self.remote.as_ref().is_none_or(|remote| remote.is_empty());
        nobody && nowhere && self.reserved.is_none() && self.posted == 0
    }
}
