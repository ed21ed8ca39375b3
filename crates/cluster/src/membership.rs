//! The part of this node in a cluster.
//!
//! [`Membership`] is the view of sessions and the router: it never waits, and passes on their requests. Its
//! [worker](super::worker) is one thread that talks to the [`Backplane`](crate::Backplane): it keeps the
//! lease, asks, claims, sends and reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::awakening::Awakening;
use super::backplane::{Entity, KnownNode, Name, Owner, TokenDigest};
use super::fair_queue::FairQueue;
use super::link::Outbound;
use super::packet::{MovedMember, NameRef, NodeAnswer, Packet, Question};
use peerbroker_config::{ClusterConfig, Degraded};
use peerbroker_core::clock::{Clock, LeaseInstant, UnixMillis};
use peerbroker_core::vocabulary::{
    ApiKey, CloseReason, ConnId, ConnectionKind, Frame, NodeId, PeerId, Refusal, Token, expected, numbers,
};
use peerbroker_events::PeerAddress;
use peerbroker_protocols::names::SeatState;
use peerbroker_rooms::{News, OtherNodes, RealmName};
use peerbroker_router::{
    ClaimedId, ForwardOutcome, LastPlace, MESSAGES, Outgoing, PeerHandle, Realm, RemotePeers,
};

/// Longest time that a node that stops takes to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// Most searches for peers that one sender may have waiting. Further ones are tried again later, by the
/// sweeper.
const MAX_ASKS: usize = 1024;

/// Most notices that wait for one peer.
const MAX_NOTICES: usize = 1024;

/// A peer to find, and the owner that certainly does not have it any more.
pub(super) type Ask = (PeerAddress, Option<Owner>);

/// The view that a node has of its cluster.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// The name of this node.
    pub name: String,
    /// Its present life. `None` before it has joined, and in an outage that is longer than its lease.
    pub node: Option<NodeId>,
    /// True if it can claim ids, and hears the other nodes.
    pub is_up: bool,
    /// All nodes that it knows, itself included; the dead ones of the last hour too.
    pub members: Vec<KnownNode>,
}

/// The part of this node in a cluster.
pub struct Membership {
    pub(super) config: ClusterConfig,
    pub(super) clock: Clock,
    pub(super) state: Mutex<MembershipState>,
    /// Something is to be sent to other nodes.
    pub(super) sending: Notify,
    /// Something is to be asked of the backplane.
    pub(super) asking: Notify,
    /// Peers are sought.
    pub(super) locating: Notify,
    /// A name is not being opened any more.
    pub(super) opened: Notify,
    pub(super) closed: watch::Sender<bool>,
    pub(super) left: Notify,
    /// Handles texts that clients of this node have posted on another node.
    pub(super) on_post: OnceLock<OnPost>,
    pub(super) last_seat: AtomicU64,
    /// The URL at which other nodes reach this one.
    pub(super) own_url: OnceLock<String>,
    pub(super) awakening: Awakening,
}

#[derive(Default)]
pub(super) struct MembershipState {
    /// The present life.
    pub(super) node: Option<NodeId>,
    /// The end of its lease: the other nodes' time runs while this process is stopped. Never later than by
    /// the clock of the backplane.
    pub(super) good_until: LeaseInstant,
    /// Joined, and all ids that were here are registered.
    pub(super) is_up: bool,
    /// The backplane was tried, and did not answer for too long.
    pub(super) is_out: bool,
    /// The backplane answers, but the inbox could not be read for longer than a lease.
    pub(super) inbox_stalled: bool,
    /// The worker has ended: no request is answered any more.
    pub(super) has_left: bool,
    /// Grows whenever the backplane may have lost records.
    pub(super) epoch: u64,
    pub(super) members: Vec<KnownNode>,
    /// Dead nodes. They can come back only under a new [`NodeId`].
    pub(super) dead: HashSet<NodeId>,
    pub(super) links: BTreeMap<NodeId, Outbound>,
    /// Nodes that know the members of this one's rooms, and are told each change.
    pub(super) room_subscribers: BTreeSet<NodeId>,
    /// Nodes that owe answers, and are asked for a sign of life.
    pub(super) doubted: HashSet<NodeId>,
    /// Nodes that have not answered, and were silent since.
    pub(super) silent: HashSet<NodeId>,
    /// Messages that other nodes got.
    handed_over: u64,
    /// Peers that are sought. Keys take turns, and the senders of a key.
    pub(super) asks: FairQueue<ApiKey, FairQueue<PeerId, VecDeque<Ask>>>,
    pub(super) notices: HashMap<PeerAddress, Vec<Frame>>,
    pub(super) releases: Vec<(Name, Owner)>,
    pub(super) requests: Vec<Request>,
    /// Names of this node besides the ids of its peers.
    pub(super) held: HashMap<Name, Held>,
    /// Seats of clients of this node on other nodes: the node, and what is known of the seat.
    pub(super) seats: HashMap<u64, (NodeId, watch::Sender<SeatState>)>,
    /// Names that are claimed, and not registered with the broker yet. With the connection that was to yield
    /// for them.
    pub(super) opening: HashMap<Name, Option<ConnId>>,
}

/// Something for the worker to find out. Its reply is dropped if the worker ends before.
pub(super) enum Request {
    /// Asks a node that owes answers for a sign of life.
    Check(NodeId),
    /// Opens an id for a client.
    Open(OpenRequest, oneshot::Sender<Opening>),
    /// Asks all other living nodes.
    AskAll(Question, oneshot::Sender<Vec<NodeAnswer>>),
    /// Asks a node. If it does not answer in time, there is no reply.
    Ask(NodeId, Question, Duration, oneshot::Sender<NodeAnswer>),
    /// Asks the directory which node has a name.
    Find(Name, oneshot::Sender<Whereabouts>),
    /// Asks a peer of any node for a sign of life.
    AskPeer(Arc<Realm>, PeerId, oneshot::Sender<bool>),
    /// Claims a name that is in [`MembershipState::held`].
    Hold(Name, oneshot::Sender<Holding>),
}

/// The place of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// A connection of this other node owns it.
    At(NodeId),
    /// Nobody owns it, or a connection of this node may.
    NotElsewhere,
    /// The directory cannot be asked now, or the owner's node has just died.
    Unknown,
}

/// The outcome of the claim of a name that a node holds, such as a room code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// The name is this node's.
    Granted,
    /// A connection of this node owns it.
    Taken(NodeId),
    /// The directory cannot be asked. The name is claimed once it can.
    Unavailable,
}

/// A name besides ids, such as the code of a room, that a client of this node holds.
#[derive(Clone)]
pub(super) struct Held {
    /// The client. It is told if a client of another node has the name in the end.
    pub(super) client: PeerId,
    pub(super) connection: ConnId,
    /// 0 until it is claimed.
    pub(super) fence: u64,
    /// The time at which it was first held.
    pub(super) since: UnixMillis,
}

/// The outcome of a text that a client has posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The text was handled.
    Done,
    /// The text is not a message.
    Ignored,
    /// The client is not registered with this token.
    Absent,
    /// The client has sent too much.
    TooMuch,
    /// The node of the client did not answer.
    Unknown,
    /// The client's address is banned for its key.
    Banned,
}

numbers!(Posted: Done = 0, Ignored = 1, Absent = 2, TooMuch = 3, Unknown = 4, Banned = 5);

/// Handles a text of a client that has a connection here and posted it on another node.
pub type OnPost = Box<dyn Fn(PeerHandle, String) -> Pin<Box<dyn Future<Output = Posted>>> + Send + Sync>;

impl MembershipState {
    /// The other nodes that live.
    pub(super) fn others(&self) -> impl Iterator<Item = NodeId> {
        let others = self.members.iter().filter(|member| member.alive && Some(member.node) != self.node);
        others.map(|member| member.node)
    }

    /// Forgets a held name, if this connection has it.
    pub(super) fn take_held(&mut self, name: &Name, connection: ConnId) -> Option<Held> {
        self.held.get(name).filter(|held| held.connection == connection)?;
        self.held.remove(name)
    }

    /// Ends the seats that a node has given, or all: it may not know of them any more.
    pub(super) fn doubt_seats(&mut self, node: Option<NodeId>) {
        let doubted = self.seats.extract_if(|_, (giver, _)| node.is_none_or(|node| node == *giver));
        doubted.for_each(|(_, (_, state))| _ = state.send_replace(SeatState::Lost));
    }

    /// True of a node from which nothing is to be expected.
    pub(super) fn is_gone(&self, node: NodeId) -> bool {
        self.dead.contains(&node) || self.silent.contains(&node)
    }
}

impl Membership {
    /// Not joined yet: [`run`](Self::run) joins.
    pub fn new(config: ClusterConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Membership {
            config,
            state: Mutex::default(),
            sending: Notify::new(),
            asking: Notify::new(),
            locating: Notify::new(),
            opened: Notify::new(),
            closed: watch::Sender::new(false),
            left: Notify::new(),
            on_post: OnceLock::new(),
            last_seat: AtomicU64::new(0),
            own_url: OnceLock::new(),
            awakening: Awakening::new(clock.clone()),
            clock,
        })
    }

    /// False after a gap in the time of this node, until it knows whose its ids are.
    pub fn is_sure(&self) -> bool {
        self.awakening.is_sure()
    }

    /// Blocks the thread until the node [is sure](Self::is_sure), with a bound. Only for threads that serve
    /// clients, with no lock held.
    pub fn wait_until_sure(&self) {
        self.awakening.wait_until_sure();
    }

    /// As it was built.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The view that this node has of its cluster.
    pub fn view(&self) -> ClusterView {
        let state = self.state.lock();
        ClusterView {
            name: self.config.node_name.clone(),
            node: state.node,
            is_up: self.may_claim(&state) && !state.inbox_stalled,
            members: state.members.clone(),
        }
    }

    /// The number of messages that were handed over to other nodes.
    pub fn handed_over(&self) -> u64 {
        self.state.lock().handed_over
    }

    /// Makes the node leave its cluster, once all its packets are sent.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.asking.notify_one();
        self.sending.notify_one();
    }

    /// Waits until the node has left, for 3 s at most.
    pub async fn left(&self) {
        let left = self.left.notified();
        if !self.state.lock().has_left {
            // The others find out by themselves otherwise.
            let _ = timeout(LEAVING, left).await;
        }
    }

    /// Sets the URL at which other nodes reach this one. Once.
    pub fn reachable_at(&self, url: String) {
        let _ = self.own_url.set(url);
    }

    /// True if another node lives, as far as this one knows.
    pub fn has_others(&self) -> bool {
        self.state.lock().others().next().is_some()
    }

    /// Asks all other living nodes. The result leaves out those that do not answer in time.
    pub fn ask_all(&self, question: Question) -> impl Future<Output = Vec<NodeAnswer>> + use<> {
        let answered = self.request(|reply| Request::AskAll(question, reply));
        async move { answered.await.unwrap_or_default() }
    }

    /// Asks the cluster for an id. Dropping the future gives up.
    pub fn open(self: &Arc<Self>, request: OpenRequest) -> impl Future<Output = Opening> + use<> {
        let opened = self.request(|reply| Request::Open(request, reply));
        let membership = Arc::clone(self);
        async move { opened.await.unwrap_or_else(|_| membership.by_itself()) }
    }

    /// The answer to a client in an outage.
    pub(super) fn by_itself(&self) -> Opening {
        match self.config.degraded {
            Degraded::Allow => Ok(Some(ClaimedName::default())),
            Degraded::Refuse => Err(Refusal::Unavailable),
        }
    }

    /// Gives the worker a request.
    pub(super) fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> oneshot::Receiver<T> {
        let (reply, replied) = oneshot::channel();
        self.give_work(|state| state.requests.push(request(reply)));
        replied
    }

    /// Gives the worker a task, which is dropped if the worker has ended.
    pub(super) fn give_work(&self, work: impl FnOnce(&mut MembershipState)) {
        let mut state = self.state.lock();
        if !state.has_left {
            work(&mut state);
            drop(state);
            self.asking.notify_one();
        }
    }

    /// Releases a name.
    pub(super) fn give_back(&self, name: Name, owner: Owner) {
        self.give_work(|state| state.releases.push((name, owner)));
    }

    /// Waits until the node is to leave.
    pub(super) async fn is_closing(&self) {
        // An error is impossible: the sender is here.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// The questions that wait for the worker, for a test that stands for it.
    #[doc(hidden)]
    pub fn take_questions(&self) -> Vec<(Question, oneshot::Sender<Vec<NodeAnswer>>)> {
        let requests = std::mem::take(&mut self.state.lock().requests).into_iter();
        let question = |request| match request {
            Request::AskAll(question, reply) => Some((question, reply)),
            _ => None,
        };
        requests.filter_map(question).collect()
    }

    /// A name is registered, or given up. Returns the connection that was to yield for it.
    fn end_opening(&self, name: &Name) -> Option<ConnId> {
        let yielded = self.state.lock().opening.remove(name).flatten();
        self.opened.notify_waiters();
        self.asking.notify_one();
        yielded
    }

    /// Says what contradicts itself: for tests, while nothing else happens.
    pub fn contradiction(&self) -> Option<String> {
        let state = self.state.lock();
        let dead = state.dead.iter().find_map(|node| {
            let what = if state.links.contains_key(node) {
                "has a link"
            } else if state.room_subscribers.contains(node) {
                "is told of rooms"
            } else if state.silent.contains(node) {
                "is called silent"
            } else {
                return None;
            };
            Some(format!("{node:?} is dead, and {what}"))
        });
        let link = || state.links.iter().find(|(_, link)| !link.is_counted_right());
        dead.or_else(|| Some(format!("the bytes for {:?} are not counted right", link()?.0)))
    }

    /// True if this node has a lease that was renewed in time.
    pub(super) fn is_alive(&self, state: &MembershipState) -> bool {
        state.node.is_some() && self.clock.elapsed() < state.good_until
    }

    /// True if this is still a life of the node, as far as the others can know.
    pub(super) fn is_in_life(&self, life: Option<NodeId>) -> bool {
        let state = self.state.lock();
        state.node == life && self.is_alive(&state)
    }

    /// True if the lease is being renewed. A node that failed to renew it for half its time takes no new ids.
    fn is_renewed(&self, state: &MembershipState) -> bool {
        state.node.is_some() && self.clock.elapsed() + self.config.lease / 2 < state.good_until
    }

    pub(super) fn may_claim(&self, state: &MembershipState) -> bool {
        state.is_up && self.is_renewed(state)
    }

    /// True if this is an outage, in which the node decides alone. A slow backplane is no outage.
    pub(super) fn is_by_itself(&self) -> bool {
        let state = self.state.lock();
        state.is_out || !self.is_renewed(&state)
    }

    /// Tells a node the outcome of its message.
    pub(super) fn report(&self, to: NodeId, recipient: NameRef<'_>, ticket: u64, outcome: ForwardOutcome) {
        self.say(to, &Packet::Settled { to: recipient, ticket, outcome: outcome.number() });
    }

    /// Says something to a node, if both live.
    pub(super) fn say(&self, to: NodeId, packet: &Packet<'_>) {
        let mut state = self.state.lock();
        if state.node.is_none() || state.dead.contains(&to) {
            return;
        }
        state.links.entry(to).or_default().push(packet);
        drop(state);
        self.sending.notify_one();
    }
}

impl RemotePeers for Membership {
    fn locate(&self, peer: PeerAddress, from: &PeerId, known_dead: Option<Owner>) {
        let mut state = self.state.lock();
        if state.has_left {
            return;
        }
        let queue = state.asks.of(&peer.key).of(from);
        if queue.len() < MAX_ASKS {
            queue.push_back((peer, known_dead));
        }
        drop(state);
        self.locating.notify_one();
    }

    fn forward(&self, owner: Owner, to: &PeerAddress, ticket: u64, message: &Outgoing) -> bool {
        let Some((from, kind)) = &message.message else { return false };
        let mut state = self.state.lock();
        if !self.is_alive(&state) || state.is_gone(owner.node) {
            return false;
        }
        let link = state.links.entry(owner.node).or_default();
        let source = (to.key.as_str(), from.as_str());
        if !link.has_room(owner.node, source) {
            return false;
        }
        let to = name_of(to);
        let connection = owner.connection.get();
        let from = from.as_str();
        let kind = kind.number();
        let frame = (&message.frame).into();
        link.push_message(source, &Packet::Message { to, connection, ticket, from, kind, frame });
        state.handed_over += 1;
        drop(state);
        self.sending.notify_one();
        true
    }

    fn give_up(&self, owner: Owner, to: &PeerAddress, ticket: u64) {
        self.say(owner.node, &Packet::GivenUp { to: name_of(to), ticket });
    }

    fn doubt(&self, node: NodeId) {
        if self.state.lock().doubted.insert(node) {
            self.give_work(|state| state.requests.push(Request::Check(node)));
        }
    }

    fn is_silent(&self, node: NodeId) -> bool {
        self.state.lock().is_gone(node)
    }

    fn notify(&self, peer: PeerAddress, notice: Frame) {
        self.give_work(|state| {
            let notices = state.notices.entry(peer).or_default();
            if notices.len() < MAX_NOTICES {
                notices.push(notice);
            }
        });
    }

    fn release(&self, peer: PeerAddress, connection: ConnId) {
        let node = self.state.lock().node;
        if let Some(node) = node {
            self.give_back(name_of_peer(&peer), Owner { node, connection });
        }
    }
}

impl OtherNodes for Membership {
    fn send(&self, name: RealmName<'_>, news: &News<'_>) -> bool {
        let packet = packet_of(name, news);
        let mut state = self.state.lock();
        if !self.is_alive(&state) {
            // They get the whole list when this node is back.
            state.room_subscribers.clear();
            return false;
        }
        let MembershipState { room_subscribers, links, dead, .. } = &mut *state;
        room_subscribers.retain(|node| {
            // A node for which too much waits gets the list later.
            let link = (!dead.contains(node)).then(|| links.entry(*node).or_default());
            let is_told = link.filter(|link| link.has_room_for_news()).map(|link| link.push(&packet)).is_some();
            if !is_told {
                log::debug!(target: MESSAGES, "the node {node} gets a new list of members: it missed a change");
            }
            is_told
        });
        let are_told = state.others().all(|node| state.room_subscribers.contains(&node));
        drop(state);
        self.sending.notify_one();
        are_told
    }

    fn deliver(&self, name: RealmName<'_>, messages: &[(NodeId, News<'_>)]) -> bool {
        let mut state = self.state.lock();
        if !self.is_alive(&state) {
            // For the other nodes, the members of this one are gone.
            return true;
        }
        let mut is_full = |(to, news): &(NodeId, News<'_>)| {
            let source = (name.key.as_str(), news.room());
            state.links.get_mut(to).is_some_and(|link| !link.has_room(*to, source))
        };
        if messages.iter().any(&mut is_full) {
            return false;
        }
        for (to, news) in messages {
            if !state.dead.contains(to) {
                let link = state.links.entry(*to).or_default();
                link.push_message((name.key.as_str(), news.room()), &packet_of(name, news));
            }
        }
        drop(state);
        self.sending.notify_one();
        true
    }

    fn ask_to_settle(
        &self,
        RealmName { key, realm }: RealmName<'_>,
        room: &str,
        id: &PeerId,
        node: Option<NodeId>,
    ) -> Option<NodeId> {
        let mut state = self.state.lock();
        let node = node.or(state.node).filter(|node| self.is_alive(&state) && !state.is_gone(*node))?;
        let member = MovedMember { key: key.as_str(), room, id: id.as_str(), realm: realm.number() };
        state.links.entry(node).or_default().push(&Packet::RoomMoved(member));
        drop(state);
        self.sending.notify_one();
        Some(node)
    }

    fn give_back(&self, name: RealmName<'_>, to: Option<NodeId>, message: &News<'_>) {
        let mut state = self.state.lock();
        let other = to.filter(|node| !state.is_gone(*node)).or_else(|| state.others().next());
        if let Some(node) = other.filter(|_| self.is_alive(&state)) {
            state.links.entry(node).or_default().push(&packet_of(name, message));
            drop(state);
            self.sending.notify_one();
        }
    }

    fn own_url(&self) -> Option<String> {
        self.own_url.get().cloned()
    }

    fn lease(&self) -> Duration {
        self.config.lease
    }

    fn own(&self) -> Option<NodeId> {
        self.state.lock().node
    }

    fn digest(&self, token: &Token) -> TokenDigest {
        digest(token.as_str())
    }
}

/// News of a realm, for another node.
pub(super) fn packet_of<'a>(name: RealmName<'a>, news: &News<'a>) -> Packet<'a> {
    Packet::RealmNews(name.realm.number(), name.key.as_str(), news.clone())
}

pub(super) fn name_of(peer: &PeerAddress) -> NameRef<'_> {
    NameRef::new(&peer.key, Entity::Peer(peer.realm), peer.id.as_str())
}

pub(super) fn name_of_peer(peer: &PeerAddress) -> Name {
    Name { key: peer.key.clone(), entity: Entity::Peer(peer.realm), name: peer.id.as_str().to_owned() }
}

/// Sixteen bytes of its SHA-256: another token with the same bytes cannot be found.
pub(super) fn digest(token: &str) -> TokenDigest {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    expected(digest.as_ref().first_chunk().copied().ok_or(digest), "the digest of a token")
}

/// A client that asks for an id.
#[derive(Clone)]
pub struct OpenRequest {
    /// The realm in which it wants the id.
    pub realm: Arc<Realm>,
    /// The id.
    pub id: PeerId,
    /// The token that proves that the client owns the id.
    pub token: Token,
    /// The kind of its connection.
    pub kind: ConnectionKind,
    /// The address of the client.
    pub address: Option<IpAddr>,
}

/// The answer of the cluster to a client that asks for an id: it may register here with the name, or is
/// refused. `None` if a connection of this node has the id, with another token: it can be probed here.
pub type Opening = Result<Option<ClaimedName>, Refusal>;

/// A name that a connection will have. Dropping it gives the name back, unless it was
/// [registered](Self::registered). By default, nothing is claimed: for a node outside of a cluster, or in an
/// outage.
#[derive(Default)]
pub struct ClaimedName {
    /// `None` outside a cluster, and once it is registered.
    pub(super) pending: Option<PendingName>,
    /// For the registration.
    pub claim: Option<ClaimedId>,
    /// For the registration, if it took one of the last tenth of places.
    pub last_place: Option<LastPlace>,
    pub(super) node: Option<NodeId>,
    pub(super) epoch: u64,
    pub(super) waiting: Vec<NodeId>,
    /// True if the connection continues a stream of another node, and its client is not greeted again.
    pub continues_stream: bool,
}

/// A name that is being opened here.
pub(super) struct PendingName {
    pub(super) membership: Arc<Membership>,
    pub(super) realm: Arc<Realm>,
    pub(super) id: PeerId,
    pub(super) name: Name,
}

impl ClaimedName {
    /// The broker has registered the connection: nodes that have messages for it are told.
    pub fn registered(mut self) {
        let Some(PendingName { membership, realm, id, name }) = self.pending.take() else { return };
        let yielded = membership.end_opening(&name);
        let Some(claim) = self.claim else { return };
        if yielded == Some(claim.connection) {
            // Its client was faster on another node.
            return realm.yield_id(&id, claim.connection, CloseReason::Replaced);
        }
        if membership.state.lock().epoch != self.epoch {
            // The record may be lost, or another's: this connection has to be registered like all that were
            // open before.
            realm.set_fence(&id, claim.connection, 0);
        }
        let appeared = Packet::Appeared { name: name.as_ref(), connection: claim.connection.get() };
        self.waiting.iter().for_each(|node| membership.say(*node, &appeared));
    }
}

impl Drop for ClaimedName {
    fn drop(&mut self) {
        let Some(PendingName { membership, name, .. }) = self.pending.take() else { return };
        membership.end_opening(&name);
        if let (Some(claim), Some(node)) = (self.claim, self.node) {
            membership.give_back(name, Owner { node, connection: claim.connection });
        }
    }
}
