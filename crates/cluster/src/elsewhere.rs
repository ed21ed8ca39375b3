//! Requests of sessions to other nodes: to hold a name, to take a seat there, to pass on a client's POST.

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
use peerbroker_config::Degraded;
use peerbroker_core::vocabulary::{ApiKey, ConnId, NameKind, NodeId, PeerId, Token};
use peerbroker_events::PeerAddress;
use peerbroker_protocols::names::{Seat, SeatState, Seated};
use peerbroker_router::Realm;

/// Time limit for another node to give a seat.
const SEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for another node to handle a text. It makes a client above its rate limit wait.
const POST_TIMEOUT: Duration = Duration::from_secs(7);

/// Nothing waits for the answer to this question.
const NO_ANSWER: u64 = 0;

/// A client's hold on a name in the cluster. Dropping it frees the name.
pub struct HeldName {
    membership: Arc<Membership>,
    name: Name,
    connection: ConnId,
}

/// A client's seat on another node. Dropping it gives the seat up.
pub struct RemoteSeat {
    membership: Arc<Membership>,
    node: NodeId,
    seat: u64,
}

impl Membership {
    /// Holds a name for a client. The future resolves, within a bound, to whether another connection has it.
    pub fn hold(
        self: &Arc<Self>,
        key: &ApiKey,
        kind: NameKind,
        name: &str,
        client: &PeerId,
        connection: ConnId,
    ) -> (HeldName, impl Future<Output = Holding> + use<>) {
        let name = Name { key: key.clone(), entity: Entity::Name(kind), name: name.to_owned() };
        let held = Held { client: client.clone(), connection, fence: 0, since: self.clock.unix_millis() };
        self.state.lock().held.insert(name.clone(), held);
        let held = HeldName { membership: Arc::clone(self), name: name.clone(), connection };
        let claimed = self.request(|reply| Request::Hold(name, reply));
        (held, async move { claimed.await.unwrap_or(Holding::Unavailable) })
    }

    /// True if a client may have a name of this kind that could not be claimed. In an outage, each node
    /// serves its own clients.
    pub fn serves_unclaimed(&self, kind: NameKind) -> bool {
        self.allows_unclaimed() && (kind.may_be_unclaimed() || self.state.lock().is_out)
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

    /// Finds the node that holds a name.
    pub fn find_name(
        &self,
        key: &ApiKey,
        kind: NameKind,
        name: &str,
    ) -> impl Future<Output = Whereabouts> + use<> {
        self.find(Name { key: key.clone(), entity: Entity::Name(kind), name: name.to_owned() })
    }

    fn find(&self, name: Name) -> impl Future<Output = Whereabouts> + use<> {
        let found = self.request(|reply| Request::Find(name, reply));
        async move { found.await.unwrap_or(Whereabouts::Unknown) }
    }

    /// `None` if the node does not answer in time.
    async fn ask(&self, node: NodeId, question: Question, bound: Duration) -> Option<NodeAnswer> {
        self.request(|reply| Request::Ask(node, question, bound, reply)).await.ok()
    }

    /// Takes a seat for a client under a name that a client of another node holds. Without anything wanted,
    /// only asks if there is the name. `patience` is the time for which the client that has the seat may be
    /// silent.
    pub async fn seat(
        self: Arc<Self>,
        key: ApiKey,
        (kind, name): (NameKind, String),
        wanted: Option<String>,
        client: PeerId,
        patience: Duration,
    ) -> Seated {
        let name = Name { key, entity: Entity::Name(kind), name };
        let node = match self.find(name.clone()).await {
            Whereabouts::At(node) => node,
            Whereabouts::NotElsewhere => return Seated::Nowhere,
            Whereabouts::Unknown => return Seated::Unavailable,
        };
        let Some(wanted) = wanted else { return Seated::Found };
        let seat = self.seat_at(node);
        let (known, state) = watch::channel(SeatState::Open);
        {
            // Before it is given, so that no end is missed.
            let mut shared = self.state.lock();
            if shared.node.is_none() || shared.dead.contains(&node) {
                return Seated::Unavailable;
            }
            shared.seats.insert(seat.seat, (node, known));
        }
        let name = name.as_ref().to_owned_name();
        let question = Question::Seat { name, wanted, client: client.as_str().to_owned(), seat: seat.seat };
        match self.ask(node, question, SEAT_TIMEOUT + patience).await {
            Some(NodeAnswer::Seated(told)) => Seated::In { seat: Box::new(seat), told, state },
            Some(NodeAnswer::NotSeated(why)) => Seated::Refused(why),
            _ => Seated::Unavailable,
        }
    }

    /// A seat on another node is not open any more.
    pub(super) fn receive_end_of_seat(&self, from: NodeId, seat: u64, is_lost: bool) {
        let mut state = self.state.lock();
        if let Entry::Occupied(known) = state.seats.entry(seat)
            && known.get().0 == from
        {
            known.remove().1.send_replace(if is_lost { SeatState::Lost } else { SeatState::Closed });
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
        if self.state.lock().links.get_mut(&node).is_some_and(|link| !link.has_room(node, source)) {
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
    fn is_kept(&self) -> bool {
        !self.membership.state.lock().dead.contains(&self.node)
    }
}

impl Drop for RemoteSeat {
    fn drop(&mut self) {
        self.membership.state.lock().seats.remove(&self.seat);
        let question = Question::Part { seat: self.seat };
        self.membership.say(self.node, &Packet::Question { number: NO_ANSWER, question });
    }
}
