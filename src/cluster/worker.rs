//! The thread that talks to the backplane.

mod directory;
mod held_names;
mod life;
mod packets;
mod rooms;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::mem::take;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, JoinSet, spawn_local};
use tokio::time::timeout;
use tokio::{join, select};

use super::backplane::{Backplane, Claim, ClaimOutcome, Entity, Name, Owner, Position};
use super::fair_queue::FairQueue;
use super::link::Inbound;
use super::membership::{Membership, Request, State};
use super::packet::{NameRef, NodeAnswer, OwnedName, Packet, Question};
use peerbroker_broker::events::{ClusterEvent, Event, PeerAddress};
use peerbroker_broker::protocols::guests::Guests;
use peerbroker_broker::protocols::matchbox::{GroupKind, GroupPlace};
use peerbroker_broker::protocols::room_codes::PlayerName;
use peerbroker_broker::rooms::{News, OwnList, Replicated, Rooms};
use peerbroker_broker::router::{Flush, Outgoing, Realm, Router};
use peerbroker_core::wire::{ConnId, MessageKind, NodeId, PeerId, RealmKind};

/// Time limit for a question to all nodes.
const ASK_ALL: Duration = Duration::from_secs(2);

/// Time for which a session waits for the directory.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(2);

/// A node that does not answer within this part of a lease is silent; with a long lease, within a second.
const SILENCE: u32 = 10;
const MAX_SILENCE: Duration = Duration::from_secs(1);

/// Pause after a request without an answer.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The clients of one node, for the worker that acts on requests of other nodes.
pub trait LocalNode: Send + Sync {
    /// The state that all its realms share.
    fn router(&self) -> &Router;

    /// All realms that have or had clients a moment ago.
    fn realms(&self) -> Vec<Arc<Realm>>;

    /// The realm of a key, if it has or had clients a moment ago.
    fn realm(&self, key: &str, kind: RealmKind) -> Option<Arc<Realm>>;

    /// The rooms of a realm of a key, if there is such a key.
    fn rooms(&self, key: &str, realm: RealmKind) -> Option<Arc<Rooms>>;

    /// All rooms and swarms that have members, or had some a moment ago.
    fn replicated(&self) -> Vec<Arc<dyn Replicated>>;

    /// Hears news of another node about its members. False if there is no such key.
    fn hear(&self, from: NodeId, hub: (&str, RealmKind), news: &News<'_>, flushes: &mut Vec<Flush>) -> bool;

    /// The guests of a key, if it has or had some a moment ago.
    fn guests(&self, key: &str) -> Option<Arc<Guests>>;

    /// Gives a peer of Matchbox on another node a place in an open group of a key. `None` if there is none.
    fn place(&self, key: &str, kind: &GroupKind, client: &PeerId) -> Option<GroupPlace>;

    /// Another node has the right to open groups of a kind.
    fn lose_groups(&self, key: &str, kind: &GroupKind);

    /// Ends all open groups that have a size.
    fn end_groups(&self);

    /// Answers a question of another node that concerns no single connection.
    fn answer(&self, question: Question) -> NodeAnswer;

    /// An answer to a call of this node, from a client of another, with the candidates of this node's relay. `None` if it stays as it
    /// is.
    fn relayed_answer(
        &self,
        from: &PeerId,
        to: &PeerAddress,
        kind: MessageKind,
        text: &str,
    ) -> Option<String>;
}

/// A place or a name on this node that a client of another node has until it gives it up.
enum Seat {
    /// A name in a room.
    Player(#[expect(dead_code, reason = "held")] PlayerName),
    /// A place in a group.
    Place(GroupPlace),
}

/// A member that has moved away from this node, and the node that asks about it.
struct Unsettled {
    asked_by: NodeId,
    key: String,
    realm: RealmKind,
    room: String,
    id: String,
}

struct Worker<B> {
    shared: Arc<Membership>,
    node: Weak<dyn LocalNode>,
    backplane: B,
    notes: Notes,
}

/// The worker's own state. It outlives a life of the node.
#[derive(Default)]
struct Notes {
    /// The lease was renewed, or is out.
    renewed: Notify,
    /// The backplane has stopped answering the reader: the lease is renewed at once, to find out what was lost.
    suspected: Notify,
    inbound: RefCell<HashMap<NodeId, Inbound>>,
    position: RefCell<Position>,
    /// True if batches that were read are about to be removed from the inbox.
    trims: Cell<bool>,
    echo_sent: Cell<u64>,
    echo_heard: Cell<u64>,
    /// Once this echo is heard, this node knows whose its ids are after so many gaps in its time.
    sure_with: Cell<(u64, u64)>,
    /// Ids that are being [contested](Worker::contest).
    contests: Cell<usize>,
    /// Connections to be written to once this node is sure.
    held_back: RefCell<Vec<Flush>>,
    former: Cell<Option<NodeId>>,
    /// The first life of this node.
    first_life: Cell<Option<NodeId>>,
    /// The latest life that has listed its members, of each node by its first one.
    lives: RefCell<HashMap<u64, NodeId>>,
    generation: Cell<u64>,
    /// The store in which names are claimed: this node's names are registered there, and it has waited for the other nodes.
    store: Cell<u64>,
    /// The highest fence of a name of this node when its lease had ended, and others could claim its names.
    lapsed: Cell<u64>,
    /// The time at which all clients were last registered, and true if something has made their records doubtful.
    reconciled: Cell<u64>,
    doubtful: Cell<bool>,
    /// Ids whose records are doubtful.
    doubted: RefCell<HashSet<PeerId>>,
    /// Releases on their way. The node leaves only behind them.
    releasing: RefCell<JoinSet<()>>,
    /// Claims that got no answer, to be given back.
    abandoned: RefCell<Vec<(Name, Owner)>>,
    /// Ids whose registration got no answer, and the connection. It may have displaced a connection that only the answer names.
    unanswered: RefCell<BTreeMap<Name, ConnId>>,
    /// Names whose claims were given back; other nodes have to be told.
    given_back: RefCell<Vec<Name>>,
    /// Living nodes with the name of this one, and since when this node knows each. The time is `None` once it was told.
    namesakes: RefCell<BTreeMap<NodeId, Option<u64>>>,
    /// Dead nodes of which nobody has been told.
    gone: RefCell<Vec<NodeId>>,
    /// No names are claimed until then, by [`Clock::elapsed`](peerbroker_core::clock::Clock::elapsed): after an outage, the other nodes register
    /// theirs first. `None` during the outage.
    settled_from: Cell<Option<u64>>,
    /// The time at which the lease was last renewed.
    renewed_at: Cell<u64>,
    /// The lease has ended, and nobody was told that the node takes part again.
    has_lost_lease: Cell<bool>,
    /// The last time at which the backplane did not answer, by [`Clock::elapsed`](peerbroker_core::clock::Clock::elapsed).
    interrupted: Cell<u64>,
    /// Ids that clients of this node lost after an outage, and that no event has reported yet.
    lost_ids: Cell<usize>,
    questions: RefCell<HashMap<u64, (NodeId, oneshot::Sender<NodeAnswer>)>>,
    last_question: Cell<u64>,
    parked: RefCell<VecDeque<Parked>>,
    claims: RefCell<Vec<(Claim, oneshot::Sender<ClaimOutcome>)>>,
    /// Those of clients of other nodes.
    seats: RefCell<HashMap<(NodeId, u64), Seat>>,
    /// Unknown keys of which other nodes have told members of rooms.
    missed_rooms: RefCell<HashMap<String, BTreeSet<NodeId>>>,
    /// Members that have moved away and for whom this node may have messages.
    unsettled: RefCell<Vec<Unsettled>>,
    /// The rest of each list of members that is on its way to another node.
    lists: RefCell<BTreeMap<NodeId, Vec<Box<dyn OwnList>>>>,
}

/// A message for a connection that is being opened.
struct Parked {
    to: PeerAddress,
    connection: ConnId,
    message: Outgoing,
}

/// Ends the membership with its worker, also if that panics.
struct OnEnd(Arc<Membership>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The reason for the end of a life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its lease ended, or the backplane lost it.
    Lost,
    /// The node stops.
    Closed,
}

impl Membership {
    /// Takes part in the cluster until the node is dropped or [closed](Self::close). Call it in a `LocalSet` of a thread of
    /// its own: everything between the nodes goes through here.
    pub async fn run<B: Backplane>(self: Arc<Self>, node: Weak<dyn LocalNode>, backplane: B) {
        let worker = Rc::new(Worker {
            shared: self,
            node,
            backplane,
            notes: Notes { settled_from: Cell::new(Some(0)), ..Notes::default() },
        });
        let _end = OnEnd(Arc::clone(&worker.shared));
        let asking = spawn_local(Rc::clone(&worker).ask_always());
        let locating = spawn_local(Rc::clone(&worker).locate_always());
        let stops = [asking.abort_handle(), locating.abort_handle()];
        let living = async { while worker.live_once().await == End::Lost {} };
        select! {
            () = living => {}
            ended = asking => log::error!("this node has left its cluster: {ended:?}"),
            ended = locating => log::error!("this node has left its cluster: {ended:?}"),
        }
        stops.iter().for_each(AbortHandle::abort);
    }

    /// No worker takes part for this node any more: present and later requests fail.
    pub(crate) fn end(&self) {
        let unanswered = {
            let mut state = self.state.lock();
            (state.has_left, state.is_up, state.is_out) = (true, false, true);
            (state.node, state.good_until) = (None, 0);
            state.links.clear();
            state.asks = FairQueue::default();
            state.notices.clear();
            state.releases.clear();
            take(&mut state.requests)
        };
        drop(unanswered);
        self.awakening.note_sure(u64::MAX);
        self.left.notify_waiters();
    }
}

impl<B: Backplane> Worker<B> {
    async fn live_once(self: &Rc<Self>) -> End {
        let Some(node) = self.begin_life().await else { return End::Closed };
        let end = select! {
            biased;
            end = self.keep_lease(node) => end,
            end = self.read(node) => end,
            never = self.send(node) => match never {},
        };
        self.end_life(node, end).await;
        end
    }

    fn is_closed(&self) -> bool {
        *self.shared.closed.borrow() || self.node.strong_count() == 0
    }

    fn node(&self) -> Option<NodeId> {
        self.shared.state.lock().node
    }

    fn tell(&self, event: impl FnOnce() -> ClusterEvent) {
        if let Some(node) = self.node.upgrade() {
            node.router().events().emit(|| Event::Cluster { what: event() });
        }
    }

    fn realm(&self, peer: &PeerAddress) -> Option<Arc<Realm>> {
        self.node.upgrade()?.realm(peer.key.as_str(), peer.realm)
    }

    /// The realm of the peer of a packet, if this node has it.
    fn realm_of(&self, name: &NameRef<'_>) -> Option<Arc<Realm>> {
        let Entity::Peer(kind) = name.entity()? else { return None };
        self.node.upgrade()?.realm(name.key, kind)
    }

    /// The peer of a packet, if this node has its realm.
    fn peer_of(&self, name: &NameRef<'_>) -> Option<(Arc<Realm>, PeerId)> {
        Some((self.realm_of(name)?, PeerId::parse(name.name).ok()?))
    }

    fn is_dead(&self, node: NodeId) -> bool {
        self.shared.state.lock().dead.contains(&node)
    }

    /// True if this is a life of this node, the present one or the one before.
    fn is_ours(&self, node: NodeId) -> bool {
        self.node() == Some(node) || self.notes.former.get() == Some(node)
    }

    /// Asks a node. `None` if it does not answer in time.
    async fn ask(&self, to: NodeId, question: Question, bound: Duration) -> Option<NodeAnswer> {
        if self.is_dead(to) {
            return None;
        }
        let number = self.notes.last_question.get() + 1;
        self.notes.last_question.set(number);
        let (answer, answered) = oneshot::channel();
        self.notes.questions.borrow_mut().insert(number, (to, answer));
        self.shared.say(to, &Packet::Question { number, question });
        let answer = timeout(bound, answered).await.ok().and_then(Result::ok);
        self.notes.questions.borrow_mut().remove(&number);
        answer
    }

    /// Asks a node that owes answers for any answer. If this node does not hear itself either, the connection is slow,
    /// and not the other node.
    async fn check(&self, node: NodeId) {
        let bound = (self.shared.config.lease / SILENCE).min(MAX_SILENCE);
        let ask = |node| self.ask(node, Question::Alive(OwnedName::default(), 0), bound);
        let (theirs, ours) = join!(ask(node), ask(self.node().unwrap_or(node)));
        let mut state = self.shared.state.lock();
        state.doubted.remove(&node);
        if theirs.is_none() && ours.is_some() && !state.dead.contains(&node) {
            state.silent.insert(node);
        }
    }

    fn answered(&self, from: NodeId, number: u64, answer: NodeAnswer) {
        let mut questions = self.notes.questions.borrow_mut();
        if questions.get(&number).is_some_and(|(asked, _)| *asked == from)
            && let Some((_, asker)) = questions.remove(&number)
        {
            // An error means that the asker has left.
            let _ = asker.send(answer);
        }
    }

    async fn ask_others(&self, question: Question) -> Vec<NodeAnswer> {
        let others: Vec<NodeId> = {
            let state = self.shared.state.lock();
            // In an outage, no node would answer.
            if self.shared.is_alive(&state) { state.others().collect() } else { Vec::new() }
        };
        let asked = others.into_iter().map(|other| self.ask(other, question.clone(), ASK_ALL));
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Finds something out. There is no reply if it is not found in time.
    async fn serve(self: Rc<Self>, request: Request) {
        // An error means that the asker has left: a claim is dropped.
        fn send<T>(found: Option<T>, reply: oneshot::Sender<T>) {
            let _ = found.map(|found| reply.send(found));
        }
        match request {
            Request::Check(node) => self.check(node).await,
            Request::Open(request, reply) => send(Some(self.open(request).await), reply),
            Request::AskAll(question, reply) => send(Some(self.ask_others(question).await), reply),
            Request::Ask(node, question, bound, reply) => {
                send(self.ask(node, question, bound).await, reply);
            }
            Request::Find(name, reply) => {
                send(timeout(DIRECTORY_TIMEOUT, self.find(name)).await.ok(), reply);
            }
            Request::AskPeer(realm, id, reply) => send(Some(self.peer_is_alive(&realm, &id).await), reply),
            Request::Hold(name, reply) => {
                send(timeout(DIRECTORY_TIMEOUT, self.claim_held(&name)).await.ok(), reply);
            }
        }
    }

    /// Claims a name, together with the claims of others at the same time.
    async fn claim(&self, claim: Claim) -> Option<ClaimOutcome> {
        let (reply, replied) = oneshot::channel();
        self.notes.claims.borrow_mut().push((claim, reply));
        self.shared.asking.notify_one();
        replied.await.ok()
    }

    /// Asks the backplane the questions of sessions and the broker, all of a turn at once. Never waits for an answer.
    async fn ask_always(self: Rc<Self>) {
        loop {
            let (requests, notices, releases, is_up) = {
                let mut state = self.shared.state.lock();
                let State { requests, notices, releases, node, .. } = &mut *state;
                (take(requests), take(notices), take(releases), node.is_some())
            };
            for request in requests {
                spawn_local(Rc::clone(&self).serve(request));
            }
            self.unpark();
            let claims = self.notes.claims.take();
            if !claims.is_empty() {
                spawn_local(Rc::clone(&self).claim_all(claims));
            }
            if is_up && !notices.is_empty() {
                spawn_local(Rc::clone(&self).notify_all(notices));
            }
            if !releases.is_empty() {
                let mut releasing = self.notes.releasing.borrow_mut();
                while releasing.try_join_next().is_some() {}
                releasing.spawn_local(Rc::clone(&self).release_all(releases));
            }
            self.shared.asking.notified().await;
        }
    }
}
