//! Requests of sessions to other nodes: to hold a name, to join a room there, to pass on a client's POST.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::membership::{
    Held, Holding, Membership, OnPost, Posted, Request, Whereabouts, digest, name_of_peer,
};
use super::packet::{NodeAnswer, Packet, Question};
use super::{Entity, Name, Owner};
use peerbroker_broker::config::Degraded;
use peerbroker_broker::events::PeerAddress;
use peerbroker_broker::protocols::client::{Joined, Seat};
use peerbroker_broker::protocols::names::{GroupKind, GroupState, Hold, KeptName, RoomCodeError};
use peerbroker_broker::router::Realm;
use peerbroker_core::wire::{ApiKey, ConnId, NodeId, PeerId, RoomName, Token};

/// Time limit for another node to let a player in.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for another node to handle a text. It makes a client above its rate limit wait.
const POST_TIMEOUT: Duration = Duration::from_secs(7);

/// Nothing waits for the answer to this question.
const NO_ANSWER: u64 = 0;

/// A guest's hold on a name in the cluster. Dropping it frees the name.
pub struct HeldName {
    membership: Arc<Membership>,
    name: Name,
    connection: ConnId,
}

/// A client's hold on something of another node. Dropping it gives that up: a name in a room, as
/// [`PlayerName`](peerbroker_broker::protocols::room_codes::PlayerName) does, or a place in a group.
pub struct RemoteSeat {
    membership: Arc<Membership>,
    node: NodeId,
    seat: u64,
}

/// A client's place in a group of another node. Dropping it frees the place, unless the group is full.
pub struct RemotePlace {
    /// The room of the group.
    pub group: RoomName,
    /// The state of the group.
    pub state: watch::Receiver<GroupState>,
    _seat: RemoteSeat,
}

impl Membership {
    /// Holds the code of a room for its host, or an alias for its guest. The future resolves, within a bound, to whether
    /// another connection has it.
    pub fn hold(
        self: &Arc<Self>,
        realm: &Realm,
        entity: Entity,
        name: &str,
        guest: &PeerId,
        connection: ConnId,
    ) -> (HeldName, impl Future<Output = Holding> + use<>) {
        let name = Name { key: realm.key().clone(), entity, name: name.to_owned() };
        self.state.lock().held.insert(name.clone(), self.unclaimed(guest, connection));
        self.claim_held(name, connection)
    }

    /// Holds the right to open groups of a kind, for a client that wants to open one. `None` if another client of this node has it, or
    /// asks for it.
    pub fn hold_groups(
        self: &Arc<Self>,
        realm: &Realm,
        (room, size): &GroupKind,
        client: &PeerId,
    ) -> Option<(HeldName, impl Future<Output = Holding> + use<>)> {
        let key = realm.key().clone();
        let connection = realm.next_connection();
        let name = Name { key, entity: Entity::Group, name: format!("{size}/{room}") };
        match self.state.lock().held.entry(name.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(vacant) => vacant.insert(self.unclaimed(client, connection)),
        };
        Some(self.claim_held(name, connection))
    }

    fn unclaimed(&self, guest: &PeerId, connection: ConnId) -> Held {
        Held { guest: guest.clone(), connection, fence: 0, since_unix_millis: self.clock.unix_millis() }
    }

    fn claim_held(
        self: &Arc<Self>,
        name: Name,
        connection: ConnId,
    ) -> (HeldName, impl Future<Output = Holding> + use<>) {
        let held = HeldName { membership: Arc::clone(self), name: name.clone(), connection };
        let claimed = self.request(|reply| Request::Hold(name, reply));
        (held, async move { claimed.await.unwrap_or(Holding::Unavailable) })
    }

    /// True in an outage in which each node serves its own clients.
    pub(crate) fn serves_alone(&self) -> bool {
        self.allows_unclaimed() && self.state.lock().is_out
    }

    /// True if names are given out while the directory cannot be asked.
    pub fn allows_unclaimed(&self) -> bool {
        self.config.degraded == Degraded::Allow
    }

    /// Asks a peer of any node for a sign of life. If the directory cannot be asked, it is taken for alive.
    pub fn peer_is_alive(&self, realm: &Arc<Realm>, id: &PeerId) -> impl Future<Output = bool> + use<> {
        let realm = Arc::clone(realm);
        let id = id.clone();
        let answered = self.request(|reply| Request::AskPeer(realm, id, reply));
        async move { answered.await.unwrap_or(true) }
    }

    /// Finds the node that has a peer.
    pub fn find_peer(&self, peer: &PeerAddress) -> impl Future<Output = Whereabouts> + use<> {
        self.find(name_of_peer(peer))
    }

    fn find(&self, name: Name) -> impl Future<Output = Whereabouts> + use<> {
        let found = self.request(|reply| Request::Find(name, reply));
        async move { found.await.unwrap_or(Whereabouts::Unknown) }
    }

    /// `None` if the node does not answer in time.
    async fn ask(&self, node: NodeId, question: Question, bound: Duration) -> Option<NodeAnswer> {
        self.request(|reply| Request::Ask(node, question, bound, reply)).await.ok()
    }

    /// Has a player join a room that is not on this node, by its code, as [`RoomCodes::code`](peerbroker_broker::protocols::room_codes::RoomCodes::code) gives
    /// it. Without a name, only asks if the room exists. `patience` is the time for which the holder of the name may be silent.
    pub async fn join(
        self: Arc<Self>,
        key: ApiKey,
        code: String,
        name: Option<String>,
        player: PeerId,
        patience: Duration,
    ) -> Joined {
        let room = Name { key: key.clone(), entity: Entity::RoomCode, name: code.clone() };
        let node = match self.find(room).await {
            Whereabouts::At(node) => node,
            Whereabouts::NotElsewhere => return Joined::Refused(RoomCodeError::NoRoom),
            Whereabouts::Unknown => return Joined::Unavailable,
        };
        let Some(name) = name else { return Joined::Found };
        let seat = self.seat_at(node);
        let key = key.to_string();
        let player = player.to_string();
        let question = Question::Join { key, code, name, player, seat: seat.seat };
        match self.ask(node, question, JOIN_TIMEOUT + patience).await {
            Some(NodeAnswer::Joined { name, host }) => {
                let seat = Box::new(seat);
                PeerId::parse(&host).map_or(Joined::Unavailable, |host| Joined::In { seat, name, host })
            }
            Some(NodeAnswer::NotJoined(why)) => {
                Joined::Refused(RoomCodeError::of_number(why).unwrap_or(RoomCodeError::NoRoom))
            }
            _ => Joined::Unavailable,
        }
    }

    /// Takes a place in the open group of another node for a peer of Matchbox. `None` if it has none, or does not answer.
    pub async fn place(
        self: &Arc<Self>,
        node: NodeId,
        key: &ApiKey,
        (room, size): &GroupKind,
        client: &PeerId,
    ) -> Option<RemotePlace> {
        let seat = self.seat_at(node);
        let (known, state) = watch::channel(GroupState::Open);
        // One without a size only ends with its host.
        if *size > 0 {
            // Before it is given, so that no end is missed.
            let mut shared = self.state.lock();
            if shared.node.is_none() || shared.dead.contains(&node) {
                return None;
            }
            shared.places.insert(seat.seat, (node, known));
        }
        let key = key.to_string();
        let room = room.to_string();
        let client = client.to_string();
        let question = Question::Place { key, room, size: *size as u64, client, seat: seat.seat };
        let Some(NodeAnswer::Text(group)) = self.ask(node, question, JOIN_TIMEOUT).await else { return None };
        let group = RoomName::measured(&group).ok().filter(|_| *state.borrow() != GroupState::Ended)?;
        Some(RemotePlace { group, state, _seat: seat })
    }

    /// Nobody else comes to a group of another node in which a client has a place.
    pub(super) fn receive_end_of_group(&self, from: NodeId, seat: u64, is_ended: bool) {
        let mut state = self.state.lock();
        if let Entry::Occupied(known) = state.places.entry(seat)
            && known.get().0 == from
        {
            known.remove().1.send_replace(if is_ended { GroupState::Ended } else { GroupState::Closed });
        }
    }

    /// A seat at another node. From now on it is given up even if the answer comes too late.
    fn seat_at(self: &Arc<Self>, node: NodeId) -> RemoteSeat {
        let seat = self.last_seat.fetch_add(1, Ordering::Relaxed) + 1;
        RemoteSeat { membership: Arc::clone(self), node, seat }
    }

    /// Forwards a client's POST to the node that has the client's connection.
    pub async fn post(&self, realm: &Realm, id: &PeerId, token: &Token, text: &str) -> Posted {
        let name = name_of_peer(&realm.address(id));
        let node = match self.find(name.clone()).await {
            Whereabouts::At(node) => node,
            Whereabouts::NotElsewhere => return Posted::Absent,
            Whereabouts::Unknown => return Posted::Unknown,
        };
        let source = (realm.key().as_str(), id.as_str());
        if self.state.lock().links.get(&node).is_some_and(|link| !link.has_room(source)) {
            return Posted::TooMuch;
        }
        let name = name.as_ref().to_owned_name();
        let token = digest(token.as_str());
        let question = Question::Post { name, token, text: text.to_owned() };
        match self.ask(node, question, POST_TIMEOUT).await {
            Some(NodeAnswer::Posted(what)) => Posted::of_number(what).unwrap_or(Posted::Unknown),
            // A node of a version that does not know the question.
            Some(_) => Posted::Absent,
            None => Posted::Unknown,
        }
    }

    /// Sets the handler of texts that clients of this node have posted on other nodes. Once.
    pub fn on_post(&self, handle: OnPost) {
        let _ = self.on_post.set(handle);
    }
}

impl HeldName {
    /// Asks if no other node has got the name since.
    pub fn is_kept(&self) -> impl Fn() -> bool + use<> {
        let membership = Arc::clone(&self.membership);
        let name = self.name.clone();
        let connection = self.connection;
        move || membership.state.lock().held.get(&name).is_some_and(|held| held.connection == connection)
    }
}

impl Drop for HeldName {
    fn drop(&mut self) {
        let mut state = self.membership.state.lock();
        let held = state.take_held(&self.name, self.connection);
        let node = state.node.filter(|_| held.is_some());
        drop(state);
        if let Some(node) = node {
            self.membership.give_back(self.name.clone(), Owner { node, connection: self.connection });
        }
    }
}

impl Seat for RemoteSeat {
    fn freeze(self: Box<Self>, held: &mut VecDeque<Hold>) -> Option<KeptName> {
        let seat: Box<dyn Seat> = self;
        held.push_back(Box::new(seat));
        None
    }

    /// Its node lives.
    fn is_room_open(&self) -> bool {
        !self.membership.state.lock().dead.contains(&self.node)
    }
}

impl Drop for RemoteSeat {
    fn drop(&mut self) {
        self.membership.state.lock().places.remove(&self.seat);
        let question = Question::Part { seat: self.seat };
        self.membership.say(self.node, &Packet::Question { number: NO_ANSWER, question });
    }
}
