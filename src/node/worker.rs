//! The thread that talks to the backplane.

mod arrivals;
mod claims;
mod errands;
mod life;
mod opening;
mod outage;
mod parked;
mod sending;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::take;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::select;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::Node;
use super::membership::{Membership, State};
use super::turns::Turns;
use crate::cluster::link::Inbound;
use crate::cluster::packet::{Answer, OwnedName, Packet, Question};
use crate::cluster::{Backplane, Claim, ClaimOutcome, Name, Owner, Position};
use crate::directory::PlayerName;
use crate::events::{ClusterEvent, Event};
use crate::wire::{NodeId, PeerId};
use parked::Parked;

/// How long a question to all nodes may take.
const ASK_ALL: Duration = Duration::from_secs(2);

/// A node that does not answer within this part of a lease is silent; of a long one, within a second.
const SILENCE: u32 = 10;
const MAX_SILENCE: Duration = Duration::from_secs(1);

struct Worker<B> {
    shared: Arc<Membership>,
    node: Weak<Node>,
    backplane: B,
    /// The lease was renewed, or is out.
    renewed: Notify,
    /// The backplane has stopped to answer the reader: the lease is renewed at once, to find out what it has lost.
    suspected: Notify,
    inbound: RefCell<HashMap<NodeId, Inbound>>,
    position: RefCell<Position>,
    /// Whether batches that were read are about to be removed from the inbox.
    trims: Cell<bool>,
    echo_sent: Cell<u64>,
    echo_heard: Cell<u64>,
    former: Cell<Option<NodeId>>,
    generation: Cell<u64>,
    /// The store in which names are claimed: this node's are registered there, and it has waited for the other nodes.
    store: Cell<u64>,
    /// The highest fence of a name of this node when its lease had ended, and others could claim what it had.
    lapsed: Cell<u64>,
    /// When all clients were registered last, and whether something has happened that makes their records doubtful.
    reconciled: Cell<u64>,
    doubtful: Cell<bool>,
    /// Ids whose records are doubtful.
    doubted: RefCell<HashSet<PeerId>>,
    /// Claims that got no answer, to be given back.
    abandoned: RefCell<Vec<(Name, Owner)>>,
    /// Names of those that are given back, which other nodes have to hear.
    given_back: RefCell<Vec<Name>>,
    /// By our clock, until then no names are claimed: after an outage, the other nodes register what they have first. `None`
    /// while it lasts.
    settled_from: Cell<Option<u64>>,
    /// Ids that clients of this node lost after an outage, and that no event has told of yet.
    lost_ids: Cell<usize>,
    questions: RefCell<HashMap<u64, (NodeId, oneshot::Sender<Answer>)>>,
    last_question: Cell<u64>,
    parked: RefCell<VecDeque<Parked>>,
    claims: RefCell<Vec<(Claim, oneshot::Sender<Option<ClaimOutcome>>)>>,
    /// Names in rooms of this node, for players of other nodes.
    seats: RefCell<HashMap<NodeId, HashMap<u64, PlayerName>>>,
}

/// Ends the membership with its worker, also if that panics.
struct OnEnd(Arc<Membership>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Why a life of a node ended.
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
    pub async fn run<B: Backplane>(self: Arc<Self>, node: Weak<Node>, backplane: B) {
        let worker = Rc::new(Worker {
            shared: self,
            node,
            backplane,
            renewed: Notify::new(),
            suspected: Notify::new(),
            inbound: RefCell::default(),
            position: RefCell::default(),
            trims: Cell::new(false),
            echo_sent: Cell::new(0),
            echo_heard: Cell::new(0),
            former: Cell::new(None),
            generation: Cell::new(0),
            store: Cell::new(0),
            lapsed: Cell::new(0),
            reconciled: Cell::new(0),
            doubtful: Cell::new(false),
            doubted: RefCell::default(),
            abandoned: RefCell::default(),
            given_back: RefCell::default(),
            settled_from: Cell::new(Some(0)),
            lost_ids: Cell::new(0),
            questions: RefCell::default(),
            last_question: Cell::new(0),
            parked: RefCell::default(),
            claims: RefCell::default(),
            seats: RefCell::default(),
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

    /// No worker takes part for this node any more: whoever waits for one hears so, and whoever comes.
    pub(crate) fn end(&self) {
        let unanswered = {
            let mut state = self.state();
            (state.has_left, state.is_up, state.is_out) = (true, false, true);
            (state.node, state.good_until) = (None, 0);
            state.links.clear();
            let State { openings, questions, errands, asks, checks, notices, releases, .. } = &mut *state;
            *asks = Turns::default();
            checks.clear();
            notices.clear();
            releases.clear();
            (take(openings), take(questions), take(errands))
        };
        drop(unanswered);
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
        self.shared.state().node
    }

    fn tell(&self, event: impl FnOnce() -> ClusterEvent) {
        if let Some(node) = self.node.upgrade() {
            node.events().emit(|| Event::Cluster { what: event() });
        }
    }

    fn is_dead(&self, node: NodeId) -> bool {
        self.shared.state().dead.contains(&node)
    }

    /// Whether this is a life of this node, the present one or the one before.
    fn is_ours(&self, node: NodeId) -> bool {
        self.node() == Some(node) || self.former.get() == Some(node)
    }

    /// Asks a node. `None` if it does not answer in time.
    async fn ask(&self, to: NodeId, question: Question, bound: Duration) -> Option<Answer> {
        if self.is_dead(to) {
            return None;
        }
        let number = self.last_question.get() + 1;
        self.last_question.set(number);
        let (answer, answered) = oneshot::channel();
        self.questions.borrow_mut().insert(number, (to, answer));
        self.shared.say(to, &Packet::Question { number, question });
        let answer = timeout(bound, answered).await.ok().and_then(Result::ok);
        self.questions.borrow_mut().remove(&number);
        answer
    }

    /// Asks a node that owes answers whether it is there. Any answer will do. If this node does not hear itself
    /// either, the way between them is slow, and not the other node.
    async fn check(self: Rc<Self>, node: NodeId) {
        let bound = (self.shared.config.lease / SILENCE).min(MAX_SILENCE);
        let question = || Question::Alive(OwnedName::default(), 0);
        let (worker, own) = (Rc::clone(&self), self.node().unwrap_or(node));
        let echo = spawn_local(async move { worker.ask(own, question(), bound).await });
        let theirs = self.ask(node, question(), bound).await;
        let ours = echo.await.ok().flatten();
        let mut state = self.shared.state();
        state.doubted.remove(&node);
        if theirs.is_none() && ours.is_some() && !state.dead.contains(&node) {
            state.silent.insert(node);
        }
    }

    fn answered(&self, from: NodeId, number: u64, answer: Answer) {
        let mut questions = self.questions.borrow_mut();
        if questions.get(&number).is_some_and(|(asked, _)| *asked == from)
            && let Some((_, asker)) = questions.remove(&number)
        {
            // An error means that nobody waits any more.
            let _ = asker.send(answer);
        }
    }

    /// Nobody waits for answers of a dead node.
    fn forget_questions(&self, dead: NodeId) {
        self.questions.borrow_mut().retain(|_, (asked, _)| *asked != dead);
    }

    async fn ask_others(self: Rc<Self>, question: Question, reply: oneshot::Sender<Vec<Answer>>) {
        let own = self.node();
        let others: Vec<NodeId> = {
            let state = self.shared.state();
            // In an outage, nobody would answer.
            let is_alive = self.shared.is_alive(&state);
            let others = state.members.iter().filter(|member| member.alive && Some(member.node) != own);
            others.filter(|_| is_alive).map(|member| member.node).collect()
        };
        let asked: Vec<_> = others
            .into_iter()
            .map(|other| {
                let (worker, question) = (Rc::clone(&self), question.clone());
                spawn_local(async move { worker.ask(other, question, ASK_ALL).await })
            })
            .collect();
        let mut answers = Vec::new();
        for asked in asked {
            answers.extend(asked.await.ok().flatten());
        }
        let _ = reply.send(answers);
    }

    /// Claims a name, together with what others claim at the same time.
    async fn claim(&self, claim: Claim) -> Option<ClaimOutcome> {
        let (reply, replied) = oneshot::channel();
        self.claims.borrow_mut().push((claim, reply));
        self.shared.asking.notify_one();
        replied.await.ok().flatten()
    }

    /// Asks the backplane what sessions and the broker want to know, all of a turn at once. Never waits for an answer.
    async fn ask_always(self: Rc<Self>) {
        loop {
            let (notices, releases, checks, openings, questions, errands, is_up) = {
                let mut state = self.shared.state();
                let is_up = state.node.is_some();
                let State { notices, releases, checks, openings, questions, errands, .. } = &mut *state;
                let (openings, questions, errands) = (take(openings), take(questions), take(errands));
                (take(notices), take(releases), take(checks), openings, questions, errands, is_up)
            };
            for node in checks {
                spawn_local(Rc::clone(&self).check(node));
            }
            for (request, reply) in openings {
                spawn_local(Rc::clone(&self).open(request, reply));
            }
            for (question, reply) in questions {
                spawn_local(Rc::clone(&self).ask_others(question, reply));
            }
            for errand in errands {
                spawn_local(Rc::clone(&self).run_errand(errand));
            }
            self.unpark();
            let claims = self.claims.take();
            if !claims.is_empty() {
                spawn_local(Rc::clone(&self).claim_all(claims));
            }
            if is_up && !notices.is_empty() {
                spawn_local(Rc::clone(&self).notify_all(notices));
            }
            if !releases.is_empty() {
                spawn_local(Rc::clone(&self).release_all(releases));
            }
            self.shared.asking.notified().await;
        }
    }
}
