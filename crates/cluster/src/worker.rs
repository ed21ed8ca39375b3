//! The thread that talks to the backplane.

mod directory;
mod held_names;
mod life;
mod packets;
mod rooms;
mod state;

use std::mem::take;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;
use tokio::{join, select};

use super::backplane::{Backplane, Claim, ClaimOutcome, Entity};
use super::fair_queue::FairQueue;
use super::membership::{Membership, MembershipState, Request};
use super::packet::{NameRef, NodeAnswer, OwnedName, Packet, Question};
use peerbroker_core::clock::LeaseInstant;
use peerbroker_core::vocabulary::{MessageKind, NameKind, NodeId, PeerId, RealmKind};
use peerbroker_events::{ClusterEvent, Event, PeerAddress};
use peerbroker_protocols::names::Names;
use peerbroker_rooms::{CarriedFrame, News, Replicated, Rooms};
use peerbroker_router::{Flushes, Realm, Router};
use state::{
    Calls, Certainty, Doubts, Inbox, Lives, Outages, ParkedMessages, Questions, RoomNews, Seats, Untold,
};

/// Time limit for a question to all nodes.
const ASK_ALL: Duration = Duration::from_secs(2);

/// Time limit for a question to all nodes where a node that hangs must hold nobody up.
const HEARD_WITHIN: Duration = Duration::from_millis(500);

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
    fn receive(&self, from: NodeId, name: (&str, RealmKind), news: &News<'_>, flushes: &mut Flushes) -> bool;

    /// The names of a kind that clients of a key hold, if they have or had any a moment ago.
    fn names(&self, key: &str, kind: NameKind) -> Option<Arc<dyn Names>>;

    /// The names of all keys and kinds.
    fn all_names(&self) -> Vec<Arc<dyn Names>>;

    /// Answers a question of another node that concerns no single connection.
    fn answer(&self, question: Question) -> NodeAnswer;

    /// An answer to a call of this node, from a client of another, with the candidates of this node's relay.
    /// `None` if it stays as it is.
    fn relayed_answer(
        &self,
        from: &PeerId,
        to: &PeerAddress,
        kind: MessageKind,
        frame: CarriedFrame<'_>,
    ) -> Option<String>;
}

struct Worker<B> {
    shared: Arc<Membership>,
    node: Weak<dyn LocalNode>,
    backplane: B,
    /// The lease was renewed, or is out.
    renewed: Notify,
    /// The backplane has stopped answering the reader: the lease is renewed at once, to find out what was
    /// lost.
    suspected: Notify,
    calls: Calls,
    certainty: Certainty,
    doubts: Doubts,
    inbox: Inbox,
    lives: Lives,
    outages: Outages,
    parked: ParkedMessages,
    questions: Questions,
    room_news: RoomNews,
    seats: Seats,
    untold: Untold,
}

/// Ends the membership with its worker, also if that panics.
struct OnEnd<B>(Rc<Worker<B>>);

impl<B> Drop for OnEnd<B> {
    fn drop(&mut self) {
        self.0.shared.end();
        self.0.certainty.take_held_back().flush();
    }
}

/// The reason for the end of a life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LifeEnd {
    /// Its lease ended, or the backplane lost it.
    Lost,
    /// The node stops.
    Closed,
}

impl Membership {
    /// Takes part in the cluster until the node is dropped or [closed](Self::close). Call it in a `LocalSet`
    /// of a thread of its own: everything between the nodes goes through here.
    pub async fn run<B: Backplane>(self: Arc<Self>, node: Weak<dyn LocalNode>, backplane: B) {
        let worker = Rc::new(Worker {
            shared: self,
            node,
            backplane,
            renewed: Notify::new(),
            suspected: Notify::new(),
            calls: Calls::default(),
            certainty: Certainty::default(),
            doubts: Doubts::default(),
            inbox: Inbox::default(),
            lives: Lives::default(),
            outages: Outages::none(),
            parked: ParkedMessages::default(),
            questions: Questions::default(),
            room_news: RoomNews::default(),
            seats: Seats::default(),
            untold: Untold::default(),
        });
        let _end = OnEnd(Rc::clone(&worker));
        let asking = spawn_local(Rc::clone(&worker).ask_always());
        let locating = spawn_local(Rc::clone(&worker).locate_always());
        let stops = [asking.abort_handle(), locating.abort_handle()];
        let living = async { while worker.live_once().await == LifeEnd::Lost {} };
        select! {
            () = living => {}
            ended = asking => log::error!("this node has left its cluster: {ended:?}"),
            ended = locating => log::error!("this node has left its cluster: {ended:?}"),
        }
        stops.iter().for_each(AbortHandle::abort);
    }

    /// No worker takes part for this node any more: present and later requests fail.
    pub fn end(&self) {
        let unanswered = {
            let mut state = self.state.lock();
            state.has_left = true;
            state.is_up = false;
            state.is_out = true;
            state.node = None;
            state.good_until = LeaseInstant::default();
            state.links.clear();
            state.asks = FairQueue::default();
            state.notices.clear();
            state.releases.clear();
            take(&mut state.requests)
        };
        drop(unanswered);
        self.awakening.record_sure(u64::MAX);
        self.left.notify_waiters();
    }
}

impl<B: Backplane> Worker<B> {
    async fn live_once(self: &Rc<Self>) -> LifeEnd {
        let Some(node) = self.begin_life().await else { return LifeEnd::Closed };
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

    fn emit(&self, event: impl FnOnce() -> ClusterEvent) {
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
        self.node() == Some(node) || self.lives.former() == Some(node)
    }

    /// Asks a node. `None` if it does not answer in time.
    async fn ask(&self, to: NodeId, question: Question, bound: Duration) -> Option<NodeAnswer> {
        if self.is_dead(to) {
            return None;
        }
        let (number, answered) = self.questions.open(to);
        self.shared.say(to, &Packet::Question { number, question });
        let answer = timeout(bound, answered).await.ok().and_then(Result::ok);
        self.questions.close(number);
        answer
    }

    /// Asks a node that owes answers for any answer. If this node does not hear itself either, the connection
    /// is slow, and not the other node.
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

    /// Waits until the others have heard all that was said, and this node what they had to say.
    async fn hear_others(&self, question: Question) {
        self.ask_others(question, HEARD_WITHIN).await;
    }

    async fn ask_others(&self, question: Question, bound: Duration) -> Vec<NodeAnswer> {
        let others: Vec<NodeId> = {
            let state = self.shared.state.lock();
            // In an outage, no node would answer.
            if self.shared.is_alive(&state) { state.others().collect() } else { Vec::new() }
        };
        let asked = others.into_iter().map(|other| self.ask(other, question.clone(), bound));
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
            Request::AskAll(question, reply) => {
                send(Some(self.ask_others(question, ASK_ALL).await), reply);
            }
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
        let replied = self.calls.claim(claim);
        self.shared.asking.notify_one();
        replied.await.ok()
    }

    /// Asks the backplane the questions of sessions and the broker, all of a turn at once. Never waits for an
    /// answer.
    async fn ask_always(self: Rc<Self>) {
        loop {
            let (requests, notices, releases, is_up) = {
                let mut state = self.shared.state.lock();
                let MembershipState { requests, notices, releases, node, .. } = &mut *state;
                (take(requests), take(notices), take(releases), node.is_some())
            };
            for request in requests {
                spawn_local(Rc::clone(&self).serve(request));
            }
            self.unpark();
            let claims = self.calls.take_claims();
            if !claims.is_empty() {
                spawn_local(Rc::clone(&self).claim_all(claims));
            }
            if is_up && !notices.is_empty() {
                spawn_local(Rc::clone(&self).notify_all(notices));
            }
            if !releases.is_empty() {
                self.calls.release(Rc::clone(&self).release_all(releases));
            }
            self.shared.asking.notified().await;
        }
    }
}
