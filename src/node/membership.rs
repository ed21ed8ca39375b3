//! This node's part in a cluster.
//!
//! [`Membership`] is what sessions and the broker see: it never waits, and passes on what they want. Its [worker](super::worker) is one
//! thread that talks to the [`Backplane`](crate::cluster::Backplane): it keeps the lease, asks, claims, sends and reads.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::errand::{Errand, Held, OnPost};
use super::tenant::lock;
use super::turns::Turns;
use crate::broker::{ClaimedId, Cluster, Outgoing, Realm};
use crate::clock::{Clock, millis};
use crate::cluster::link::Outbound;
use crate::cluster::packet::{Answer, NameRef, Packet, Question};
use crate::cluster::{Entity, Member, Name, Owner};
use crate::config::ClusterConfig;
use crate::events::PeerAddress;
use crate::wire::{ApiKey, CloseReason, ConnId, Frame, Link, NodeId, PeerId, Token};

/// Longest time that a node that stops takes to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// Most questions where peers are that one sender has waiting. Further ones are asked again later, by the sweeper.
const MAX_ASKS: usize = 1024;

/// Most notices that wait for one peer.
const MAX_NOTICES: usize = 1024;

/// Where a peer is, and who certainly has it no more.
pub(super) type Ask = (PeerAddress, Option<Owner>);

/// What a node knows of its cluster.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// The name of this node.
    pub name: String,
    /// Its present life. `None` before it has joined, and in an outage that is longer than its lease.
    pub node: Option<NodeId>,
    /// Whether it can claim ids, and hears the other nodes.
    pub is_up: bool,
    /// All nodes that it knows, itself included; the dead ones of the last hour too.
    pub members: Vec<Member>,
}

/// This node's part in a cluster.
pub struct Membership {
    pub(super) config: ClusterConfig,
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
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
    /// Handles what a client has posted on another node.
    pub(super) on_post: OnceLock<OnPost>,
    pub(super) last_seat: AtomicU64,
}

#[derive(Default)]
pub(super) struct State {
    /// The present life.
    pub(super) node: Option<NodeId>,
    /// When its lease ends, by our own clock. Never later than by that of the backplane.
    pub(super) good_until: u64,
    /// Joined, and all ids that were here are registered.
    pub(super) is_up: bool,
    /// The backplane was tried, and did not answer for too long.
    pub(super) is_out: bool,
    /// The backplane answers, but the inbox could not be read for longer than a lease.
    pub(super) is_deaf: bool,
    /// The worker has ended: nobody answers any more.
    pub(super) has_left: bool,
    /// Grows whenever the backplane may have lost records.
    pub(super) epoch: u64,
    pub(super) members: Vec<Member>,
    /// They never come back: their names are new then.
    pub(super) dead: HashSet<NodeId>,
    pub(super) links: BTreeMap<NodeId, Outbound>,
    /// Nodes that owe answers, and are asked whether they are there.
    pub(super) doubted: HashSet<NodeId>,
    pub(super) checks: Vec<NodeId>,
    /// Those that have not answered, and have said nothing since.
    pub(super) silent: HashSet<NodeId>,
    /// Messages that other nodes got.
    handed_over: u64,
    /// Peers that are sought. Keys take turns, and the senders of a key.
    pub(super) asks: Turns<ApiKey, Turns<PeerId, VecDeque<Ask>>>,
    pub(super) notices: HashMap<PeerAddress, Vec<Frame>>,
    pub(super) releases: Vec<(Name, Owner)>,
    pub(super) openings: Vec<(OpenRequest, oneshot::Sender<Opening>)>,
    pub(super) questions: Vec<(Question, oneshot::Sender<Vec<Answer>>)>,
    pub(super) errands: Vec<Errand>,
    /// Names of this node beside the ids of its peers.
    pub(super) held: HashMap<Name, Held>,
    /// Names that are claimed, and not registered with the broker yet. With the connection that was to yield meanwhile.
    pub(super) opening: HashMap<Name, Option<ConnId>>,
}

impl State {
    /// True of a node from which nothing is to be expected.
    fn is_gone(&self, node: NodeId) -> bool {
        self.dead.contains(&node) || self.silent.contains(&node)
    }
}

impl Membership {
    /// Not joined yet: [`run`](Self::run) joins.
    pub fn new(config: ClusterConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Membership {
            config,
            clock,
            state: Mutex::default(),
            sending: Notify::new(),
            asking: Notify::new(),
            locating: Notify::new(),
            opened: Notify::new(),
            closed: watch::Sender::new(false),
            left: Notify::new(),
            on_post: OnceLock::new(),
            last_seat: AtomicU64::new(0),
        })
    }

    /// As it was built.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// What this node knows of its cluster.
    pub fn view(&self) -> ClusterView {
        let state = self.state();
        ClusterView {
            name: self.config.node_name.clone(),
            node: state.node,
            is_up: self.may_claim(&state) && !state.is_deaf,
            members: state.members.clone(),
        }
    }

    /// How many messages were handed over to other nodes.
    pub fn handed_over(&self) -> u64 {
        self.state().handed_over
    }

    /// Has the node leave its cluster, once everything that was said before is sent.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.asking.notify_one();
        self.sending.notify_one();
    }

    /// Waits until the node has left, for 3 s at most.
    pub async fn left(&self) {
        let left = self.left.notified();
        if !self.state().has_left {
            // The others find out by themselves otherwise.
            let _ = timeout(LEAVING, left).await;
        }
    }

    /// Whether another node lives, as far as this one knows.
    pub(crate) fn has_others(&self) -> bool {
        let ClusterView { node, members, .. } = self.view();
        members.iter().any(|member| member.alive && Some(&member.node) != node.as_ref())
    }

    /// Asks all other nodes that live. Those that do not answer in time are missing in the answer.
    pub fn ask_all(&self, question: Question) -> impl Future<Output = Vec<Answer>> + use<> {
        let (answer, answered) = oneshot::channel();
        self.give_work(|state| state.questions.push((question, answer)));
        async move { answered.await.unwrap_or_default() }
    }

    /// Has the worker do something. If it has ended, that is dropped.
    pub(super) fn give_work(&self, work: impl FnOnce(&mut State)) {
        let mut state = self.state();
        if !state.has_left {
            work(&mut state);
            drop(state);
            self.asking.notify_one();
        }
    }

    /// Waits until the node is to leave.
    pub(super) async fn is_closing(&self) {
        // An error is impossible: the sender is here.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(super) fn unix_millis(&self) -> u64 {
        self.clock.unix_millis()
    }

    /// A name is registered, or given up. Gives the connection that was to yield meanwhile.
    fn end_opening(&self, name: &Name) -> Option<ConnId> {
        let yielded = self.state().opening.remove(name).flatten();
        self.opened.notify_waiters();
        self.asking.notify_one();
        yielded
    }

    /// Whether a lease that was renewed in time stands behind what this node says.
    pub(super) fn is_alive(&self, state: &State) -> bool {
        state.node.is_some() && self.now() < state.good_until
    }

    /// True if the lease is being renewed. A node that could not do so by half takes no new ids.
    fn is_renewed(&self, state: &State) -> bool {
        state.node.is_some() && self.now() < state.good_until.saturating_sub(self.lease() / 2)
    }

    pub(super) fn may_claim(&self, state: &State) -> bool {
        state.is_up && self.is_renewed(state)
    }

    /// True if this is an outage, in which the node decides by itself. A backplane that is slow makes none.
    pub(super) fn is_by_itself(&self) -> bool {
        let state = self.state();
        state.is_out || !self.is_renewed(&state)
    }

    pub(super) fn lease(&self) -> u64 {
        millis(self.config.lease)
    }

    /// Says something to a node, if both live.
    pub(super) fn say(&self, to: NodeId, packet: &Packet<'_>) {
        let mut state = self.state();
        if state.node.is_none() || state.dead.contains(&to) {
            return;
        }
        state.links.entry(to).or_default().push(packet);
        drop(state);
        self.sending.notify_one();
    }
}

impl Cluster for Membership {
    fn is_shared(&self) -> bool {
        true
    }

    fn locate(&self, peer: PeerAddress, from: &PeerId, over: Option<Owner>) {
        let mut state = self.state();
        if state.has_left {
            return;
        }
        let line = state.asks.line(&peer.key).line(from);
        if line.len() < MAX_ASKS {
            line.push_back((peer, over));
        }
        drop(state);
        self.locating.notify_one();
    }

    fn forward(&self, owner: Owner, to: &PeerAddress, ticket: u64, message: &Outgoing) -> bool {
        let Some((from, kind)) = &message.message else { return false };
        let Ok(payload) = std::str::from_utf8(message.frame.payload()) else { return false };
        let mut state = self.state();
        if !self.is_alive(&state) || state.is_gone(owner.node) {
            return false;
        }
        let link = state.links.entry(owner.node).or_default();
        if !link.has_room() {
            return false;
        }
        link.push(&Packet::Message {
            to: name_of(to),
            connection: owner.connection.get(),
            ticket,
            from: from.as_str(),
            kind: kind.number(),
            payload,
        });
        state.handed_over += 1;
        drop(state);
        self.sending.notify_one();
        true
    }

    fn doubt(&self, node: NodeId) {
        let mut state = self.state();
        if state.doubted.insert(node) {
            state.checks.push(node);
            drop(state);
            self.asking.notify_one();
        }
    }

    fn is_silent(&self, node: NodeId) -> bool {
        self.state().is_gone(node)
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
        let mut state = self.state();
        if let Some(node) = state.node {
            state.releases.push((name_of_peer(&peer), Owner { node, connection }));
            drop(state);
            self.asking.notify_one();
        }
    }
}

pub(super) fn name_of(peer: &PeerAddress) -> NameRef<'_> {
    NameRef::new(&peer.key, Entity::Peer(peer.realm), peer.id.as_str())
}

pub(super) fn name_of_peer(peer: &PeerAddress) -> Name {
    Name { key: peer.key.clone(), entity: Entity::Peer(peer.realm), name: peer.id.as_str().to_owned() }
}

/// A client that asks for an id.
#[derive(Clone)]
pub struct OpenRequest {
    /// Where it wants to be.
    pub realm: Arc<Realm>,
    /// The id.
    pub id: PeerId,
    /// The token that proves that the client owns the id.
    pub token: Token,
    /// The kind of its connection.
    pub link: Link,
    /// Where it is.
    pub address: Option<IpAddr>,
}

/// What the cluster says to a client that asks for an id.
pub enum Opening {
    /// It may register here.
    Granted(ClaimedName),
    /// A connection of this node has the id, with another token: it can be probed here.
    TakenHere,
    /// A connection of another node has the id, with another token, and is alive.
    Taken,
    /// A stream came, and its client has a WebSocket already, on another node.
    Elsewhere,
    /// The key has as many clients as it may.
    Full,
    /// The other nodes cannot be asked.
    Unavailable,
}

/// A name that a connection is going to have. Dropping it gives the name back, unless it was
/// [registered](Self::registered).
pub struct ClaimedName {
    /// `None` outside a cluster, and once it is registered.
    pub(super) pending: Option<PendingName>,
    pub(super) claim: Option<ClaimedId>,
    pub(super) node: Option<NodeId>,
    pub(super) epoch: u64,
    pub(super) waiting: Vec<NodeId>,
    pub(super) continues_stream: bool,
}

/// A name that is being opened here.
pub(super) struct PendingName {
    pub(super) membership: Arc<Membership>,
    pub(super) realm: Arc<Realm>,
    pub(super) id: PeerId,
    pub(super) name: Name,
}

impl ClaimedName {
    /// No claim: for a node by itself, or in an outage.
    pub fn unclaimed() -> Self {
        ClaimedName {
            pending: None,
            claim: None,
            node: None,
            epoch: 0,
            waiting: Vec::new(),
            continues_stream: false,
        }
    }

    /// For the registration.
    pub fn claim(&self) -> Option<ClaimedId> {
        self.claim
    }

    /// Whether the connection continues a stream of another node, and its client is not greeted again.
    pub fn continues_stream(&self) -> bool {
        self.continues_stream
    }

    /// The broker has registered the connection: nodes that have messages for it are told.
    pub fn registered(mut self) {
        let Some(PendingName { membership, realm, id, name }) = self.pending.take() else { return };
        let yielded = membership.end_opening(&name);
        let Some(claim) = self.claim else { return };
        if yielded == Some(claim.connection) {
            // Its client was faster on another node.
            return realm.yield_id(&id, claim.connection, CloseReason::Replaced);
        }
        if membership.state().epoch != self.epoch {
            // The record may be lost, or another's: this connection has to be registered like all that were open before.
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
            let owner = Owner { node, connection: claim.connection };
            membership.give_work(|state| state.releases.push((name, owner)));
        }
    }
}

impl Membership {
    /// Asks the cluster for an id. Dropping the future gives up.
    pub fn open(self: &Arc<Self>, request: OpenRequest) -> impl Future<Output = Opening> + use<> {
        let (reply, replied) = oneshot::channel();
        let membership = Arc::clone(self);
        membership.give_work(|state| state.openings.push((request, reply)));
        async move {
            // Without a reply, the worker has ended.
            replied.await.unwrap_or_else(|_| membership.by_itself())
        }
    }
}
