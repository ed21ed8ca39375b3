//! The state of the worker, in parts. Only their methods change it, and none of these waits, so each change
//! is whole before the next one. It outlives a life of the node.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::link::{Arrival, Inbound};
use crate::packet::NodeAnswer;
use crate::{Claim, ClaimOutcome, KnownNode, Name, Owner, Position};
use peerbroker_core::clock::{Instant, LeaseInstant};
use peerbroker_core::vocabulary::{ConnId, NodeId, PeerId, RealmKind};
use peerbroker_events::PeerAddress;
use peerbroker_protocols::names::GivenSeat;
use peerbroker_rooms::OwnList;
use peerbroker_router::{Flushes, Outgoing};

/// Interval at which all clients are registered again, in milliseconds. The backplane forgets them after an
/// hour.
const RECONCILE: u64 = 10 * 60 * 1000;

/// Most messages that wait for opening connections.
const MAX_PARKED: usize = 4096;

/// Most unknown keys that are remembered: nodes learn of keys within seconds.
const MAX_MISSED: usize = 1024;

/// Most members that have moved away and for whom this node has messages. Nodes wait for the answer for a
/// second at most.
const MAX_UNSETTLED: usize = 4096;

/// Most other processes whose lives are remembered, beyond the living: each start of a node is another one.
const MAX_LIVES: usize = 1024;

/// The inbox of this node, and the last batch of each other node in it.
#[derive(Default)]
pub(super) struct Inbox {
    inbound: RefCell<HashMap<NodeId, Inbound>>,
    position: RefCell<Position>,
    /// True if batches that were read are about to be removed.
    trims: Cell<bool>,
}

impl Inbox {
    /// A new life has a new inbox.
    pub(super) fn begin(&self) {
        self.inbound.take();
        self.rewind();
    }

    /// Has the inbox read again from its beginning.
    pub(super) fn rewind(&self) {
        self.position.take();
    }

    pub(super) fn position(&self) -> Position {
        self.position.borrow().clone()
    }

    pub(super) fn read_until(&self, position: Position) {
        self.position.replace(position);
    }

    pub(super) fn arrival(&self, from: NodeId, number: u64) -> Arrival {
        self.inbound.borrow_mut().entry(from).or_default().record(number)
    }

    pub(super) fn has_heard(&self, node: NodeId) -> bool {
        self.inbound.borrow().contains_key(&node)
    }

    pub(super) fn forget(&self, node: NodeId) {
        self.inbound.borrow_mut().remove(&node);
    }

    /// False if batches are about to be removed already.
    pub(super) fn begin_trim(&self) -> bool {
        !self.trims.replace(true)
    }

    pub(super) fn end_trim(&self) {
        self.trims.set(false);
    }
}

/// After gaps in its time, a node does not know if others have taken its ids. It is sure once it has read all
/// that was said before an echo of its own, and contests no id.
#[derive(Default)]
pub(super) struct Certainty {
    sent: Cell<u64>,
    heard: Cell<u64>,
    /// Once this echo is heard, the node is sure after so many gaps.
    sure_with: Cell<(u64, u64)>,
    contests: Cell<usize>,
    /// Connections to be written to once this node is sure.
    held_back: RefCell<Flushes>,
}

impl Certainty {
    /// Echoes of an earlier life do not come any more.
    pub(super) fn begin(&self) {
        self.heard.set(self.sent.get());
        self.sure_with.set((u64::MAX, 0));
    }

    /// True if an echo should have come by now.
    pub(super) fn misses_echo(&self) -> bool {
        self.sent.get() > self.heard.get() + 1
    }

    /// True if no echo was sent after so many gaps.
    pub(super) fn is_before(&self, gaps: u64) -> bool {
        self.sure_with.get().1 < gaps
    }

    /// The number of a new echo, sent after so many gaps.
    pub(super) fn next_echo(&self, gaps: u64) -> u64 {
        let number = self.sent.get() + 1;
        self.sent.set(number);
        if self.is_before(gaps) {
            self.sure_with.set((number, gaps));
        }
        number
    }

    pub(super) fn echo_arrived(&self, number: u64) {
        self.heard.set(number.min(self.sent.get()).max(self.heard.get()));
    }

    pub(super) fn begin_contest(&self) {
        self.contests.update(|contests| contests + 1);
    }

    pub(super) fn end_contest(&self) {
        self.contests.update(|contests| contests - 1);
    }

    /// The number of gaps after which the node is sure, if it is.
    pub(super) fn gaps(&self) -> Option<u64> {
        let (echo, gaps) = self.sure_with.get();
        (self.heard.get() >= echo && self.contests.get() == 0).then_some(gaps)
    }

    pub(super) fn hold_back(&self, flushes: Flushes) {
        self.held_back.borrow_mut().append(flushes);
    }

    pub(super) fn take_held_back(&self) -> Flushes {
        self.held_back.take()
    }
}

/// The lives of this node.
#[derive(Default)]
pub(super) struct Lives {
    /// The first one of this process.
    first: Cell<Option<NodeId>>,
    former: Cell<Option<NodeId>>,
    /// The highest fence of a name of this node when its lease had ended, and others could claim its names.
    lapsed: Cell<u64>,
    /// The time at which the lease was last renewed: tells a node that slept from one whose backplane did not
    /// answer.
    renewed_at: Cell<Instant>,
}

impl Lives {
    pub(super) fn begin(&self, node: NodeId) {
        self.first.set(self.first.get().or(Some(node)));
    }

    pub(super) fn end(&self, node: NodeId) {
        self.former.set(Some(node));
    }

    pub(super) fn former(&self) -> Option<NodeId> {
        self.former.get()
    }

    /// The lease has ended by the clock, so others may have the names up to this fence.
    pub(super) fn lapse(&self, fence: u64) {
        self.lapsed.set(fence);
    }

    pub(super) fn has_lapsed(&self, fence: u64) -> bool {
        fence <= self.lapsed.get()
    }

    pub(super) fn renew(&self, now: Instant) {
        self.renewed_at.set(now);
    }

    pub(super) fn renewed_at(&self) -> Instant {
        self.renewed_at.get()
    }

    /// The name of the node in its lists of members, in each life.
    pub(super) fn first_number(&self) -> u64 {
        self.first.get().map_or(0, NodeId::get)
    }
}

/// The store, and the time since it was another one, or did not answer.
pub(super) struct Outages {
    /// The store in which names are claimed: this node's names are registered there, and it has waited for
    /// the other nodes.
    store: Cell<u64>,
    /// No names are claimed until then: after an outage, the other nodes register theirs first. `None` during
    /// the outage.
    settled_from: Cell<Option<LeaseInstant>>,
    /// The last time at which the backplane did not answer.
    interrupted: Cell<LeaseInstant>,
}

impl Outages {
    pub(super) fn none() -> Self {
        let begin = LeaseInstant::default();
        Outages { store: Cell::new(0), settled_from: Cell::new(Some(begin)), interrupted: Cell::new(begin) }
    }

    pub(super) fn store(&self) -> u64 {
        self.store.get()
    }

    /// True if it is another store than the last one.
    pub(super) fn meet(&self, store: u64) -> bool {
        self.store.replace(store) != store
    }

    pub(super) fn interrupt(&self, now: LeaseInstant) {
        self.interrupted.set(now);
    }

    /// The time for which the backplane has answered.
    pub(super) fn answered_for(&self, now: LeaseInstant) -> Duration {
        now.saturating_since(self.interrupted.get())
    }

    /// Names are claimed only when the other nodes have registered theirs.
    pub(super) fn unsettle(&self) {
        self.settled_from.set(None);
    }

    /// True if the other nodes have had so much time to register their names.
    pub(super) fn is_settled(&self, now: LeaseInstant, wait: Duration) -> bool {
        let from = self.settled_from.get().unwrap_or(now + wait);
        self.settled_from.set(Some(from));
        now >= from
    }
}

/// Doubts whether the store has the records of clients.
#[derive(Default)]
pub(super) struct Doubts {
    /// The [generation](crate::Backplane::generation) of the store in which clients were last registered.
    generation: Cell<u64>,
    /// The time at which all clients were last registered.
    reconciled: Cell<LeaseInstant>,
    all: Cell<bool>,
    ids: RefCell<HashSet<PeerId>>,
}

/// Clients to register.
pub(super) struct Doubted {
    pub(super) all: bool,
    pub(super) ids: HashSet<PeerId>,
    generation: u64,
}

impl Doubts {
    /// All clients are registered in each new life.
    pub(super) fn begin(&self, generation: u64) {
        self.generation.set(generation);
    }

    pub(super) fn doubt_all(&self) {
        self.all.set(true);
    }

    pub(super) fn doubt(&self, ids: impl IntoIterator<Item = PeerId>) {
        self.ids.borrow_mut().extend(ids);
    }

    /// Clients to register now.
    pub(super) fn take(&self, now: LeaseInstant, generation: u64) -> Doubted {
        let is_due = now.millis_since(self.reconciled.get()) >= RECONCILE;
        let all = self.all.take() || is_due || generation != self.generation.get();
        Doubted { all, ids: self.ids.take(), generation }
    }

    /// Clients could not be registered. There may be further doubts by now.
    pub(super) fn put_back(&self, doubted: Doubted) {
        self.all.set(self.all.get() || doubted.all);
        self.doubt(doubted.ids);
    }

    /// Clients were registered. True if the store has lost a connection since the last time, and maybe more
    /// than records.
    pub(super) fn end(&self, now: LeaseInstant, doubted: &Doubted) -> bool {
        if doubted.all {
            self.reconciled.set(now);
        }
        self.generation.replace(doubted.generation) != doubted.generation
    }
}

/// Calls to the directory of names that wait or are on their way, and what those without an answer may have
/// changed.
#[derive(Default)]
pub(super) struct Calls {
    claims: RefCell<Vec<(Claim, oneshot::Sender<ClaimOutcome>)>>,
    /// Releases on their way. The node leaves only behind them.
    releasing: RefCell<JoinSet<()>>,
    /// Claims that got no answer, to be given back.
    abandoned: RefCell<Vec<(Name, Owner)>>,
    /// Names whose claims were given back; other nodes have to be told.
    given_back: RefCell<Vec<Name>>,
    /// Ids whose registration got no answer, and the connection. It may have displaced a connection that only
    /// the answer names.
    unanswered: RefCell<BTreeMap<Name, ConnId>>,
}

impl Calls {
    /// Claims a name, together with the claims of others at the same time.
    pub(super) fn claim(&self, claim: Claim) -> oneshot::Receiver<ClaimOutcome> {
        let (reply, replied) = oneshot::channel();
        self.claims.borrow_mut().push((claim, reply));
        replied
    }

    pub(super) fn take_claims(&self) -> Vec<(Claim, oneshot::Sender<ClaimOutcome>)> {
        self.claims.take()
    }

    /// Begins a call that releases names.
    pub(super) fn release(&self, call: impl Future<Output = ()> + 'static) {
        let mut releasing = self.releasing.borrow_mut();
        while releasing.try_join_next().is_some() {}
        releasing.spawn_local(call);
    }

    pub(super) fn take_releasing(&self) -> JoinSet<()> {
        self.releasing.take()
    }

    /// Claims got no answer. True if no other call is giving such claims back, which would do it for these
    /// too.
    pub(super) fn abandon(&self, claims: Vec<Claim>) -> bool {
        let mut abandoned = self.abandoned.borrow_mut();
        let is_first = abandoned.is_empty();
        abandoned.extend(claims.into_iter().map(|claim| (claim.name, claim.owner)));
        is_first
    }

    pub(super) fn abandoned(&self) -> Vec<(Name, Owner)> {
        self.abandoned.borrow().clone()
    }

    /// The first ones of these claims are given back. True if no others came meanwhile.
    pub(super) fn give_back(&self, count: usize) -> bool {
        let mut abandoned = self.abandoned.borrow_mut();
        self.given_back.borrow_mut().extend(abandoned.drain(..count).map(|(name, _)| name));
        abandoned.is_empty()
    }

    pub(super) fn add_unanswered(&self, ids: impl Iterator<Item = (Name, ConnId)>) {
        self.unanswered.borrow_mut().extend(ids);
    }

    pub(super) fn remove_answered(&self, name: &Name) {
        self.unanswered.borrow_mut().remove(name);
    }

    /// Names that a call without an answer may have taken from other nodes, and that this node does not have
    /// any more.
    pub(super) fn take_displaced(&self, has_left: impl Fn(&Name, ConnId) -> bool) -> Vec<Name> {
        let mut unanswered = self.unanswered.borrow_mut();
        let left = unanswered.extract_if(.., |name, connection| has_left(name, *connection));
        let mut displaced = self.given_back.take();
        displaced.extend(left.map(|(name, _)| name));
        displaced
    }
}

/// Events that nobody was told of.
#[derive(Default)]
pub(super) struct Untold {
    /// Living nodes with the name of this one, and since when this node knows each. The time is `None` once
    /// it was told.
    namesakes: RefCell<BTreeMap<NodeId, Option<LeaseInstant>>>,
    /// Living nodes, each with the settings that it has differently from this one.
    differences: RefCell<BTreeMap<NodeId, String>>,
    gone: RefCell<Vec<NodeId>>,
    /// Ids that clients of this node lost after an outage.
    lost_ids: Cell<usize>,
    /// The lease has ended, and the node has not taken part again.
    lost_lease: Cell<bool>,
}

impl Untold {
    pub(super) fn add_gone(&self, node: NodeId) {
        self.gone.borrow_mut().push(node);
    }

    pub(super) fn take_gone(&self) -> Vec<NodeId> {
        self.gone.take()
    }

    pub(super) fn add_lost_id(&self) {
        self.lost_ids.update(|lost| lost + 1);
    }

    pub(super) fn lose_lease(&self) {
        self.lost_lease.set(true);
    }

    pub(super) fn take_lost_lease(&self) -> bool {
        self.lost_lease.take()
    }

    pub(super) fn take_lost_ids(&self) -> usize {
        self.lost_ids.take()
    }

    /// Of these differences of the living nodes, those that were others the last time.
    pub(super) fn differences(&self, mut now: BTreeMap<NodeId, String>) -> BTreeMap<NodeId, String> {
        let before = self.differences.replace(now.clone());
        now.retain(|node, settings| !settings.is_empty() && before.get(node) != Some(settings));
        now
    }

    /// Of these nodes with the name of this one, the new ones that have lived for longer than a lease.
    pub(super) fn namesakes<'a>(
        &self,
        all: &[&'a KnownNode],
        now: LeaseInstant,
        lease: Duration,
    ) -> Vec<&'a KnownNode> {
        let mut known = self.namesakes.borrow_mut();
        known.retain(|node, _| all.iter().any(|member| member.node == *node));
        let mut is_due = |member: &&&KnownNode| {
            let since = known.entry(member.node).or_insert(Some(now));
            since.take_if(|since| now.saturating_since(*since) > lease).is_some()
        };
        all.iter().filter(|member| is_due(member)).copied().collect()
    }
}

/// Questions to other nodes.
#[derive(Default)]
pub(super) struct Questions {
    last: Cell<u64>,
    open: RefCell<HashMap<u64, (NodeId, oneshot::Sender<NodeAnswer>)>>,
}

impl Questions {
    /// The number of a new question to a node, and its answer.
    pub(super) fn open(&self, to: NodeId) -> (u64, oneshot::Receiver<NodeAnswer>) {
        let number = self.last.get() + 1;
        self.last.set(number);
        let (answer, answered) = oneshot::channel();
        self.open.borrow_mut().insert(number, (to, answer));
        (number, answered)
    }

    pub(super) fn close(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
    }

    pub(super) fn answer(&self, from: NodeId, number: u64, answer: NodeAnswer) {
        let mut open = self.open.borrow_mut();
        if open.get(&number).is_some_and(|(asked, _)| *asked == from)
            && let Some((_, asker)) = open.remove(&number)
        {
            // An error means that the asker has left.
            let _ = asker.send(answer);
        }
    }

    /// A node answers no more.
    pub(super) fn forget(&self, node: NodeId) {
        self.open.borrow_mut().retain(|_, (asked, _)| *asked != node);
    }
}

/// A message for a connection that is being opened.
pub(super) struct Parked {
    pub(super) to: PeerAddress,
    pub(super) connection: ConnId,
    pub(super) message: Outgoing,
}

/// Messages for connections that are being opened, in their order.
#[derive(Default)]
pub(super) struct ParkedMessages(RefCell<VecDeque<Parked>>);

impl ParkedMessages {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().len() >= MAX_PARKED
    }

    pub(super) fn has_for(&self, peer: &PeerAddress) -> bool {
        self.0.borrow().iter().any(|parked| parked.to == *peer)
    }

    pub(super) fn push(&self, parked: Parked) {
        self.0.borrow_mut().push_back(parked);
    }

    /// Takes the messages whose connections are not being opened any more.
    pub(super) fn take_ready(&self, opens: impl Fn(&PeerAddress) -> bool) -> VecDeque<Parked> {
        let (waiting, ready) = self.0.take().into_iter().partition(|parked| opens(&parked.to));
        self.0.replace(waiting);
        ready
    }

    pub(super) fn clear(&self) {
        self.0.take();
    }
}

/// Seats of clients of other nodes, by these and their numbers.
#[derive(Default)]
pub(super) struct Seats(RefCell<HashMap<(NodeId, u64), Box<dyn GivenSeat>>>);

impl Seats {
    pub(super) fn give(&self, node: NodeId, number: u64, seat: Box<dyn GivenSeat>) {
        self.0.borrow_mut().insert((node, number), seat);
    }

    pub(super) fn take_back(&self, node: NodeId, number: u64) {
        let seat = self.0.borrow_mut().remove(&(node, number));
        drop(seat);
    }

    /// Takes back the seats of a node, or of all nodes.
    pub(super) fn take_back_all(&self, node: Option<NodeId>) {
        drop(self.take_all(node));
    }

    /// Doubts the seats of a node, or of all nodes.
    pub(super) fn doubt(&self, node: Option<NodeId>) {
        for (of, seat) in self.take_all(node) {
            if let Some(kept) = seat.doubt() {
                self.0.borrow_mut().insert(of, kept);
            }
        }
    }

    fn take_all(&self, node: Option<NodeId>) -> Vec<((NodeId, u64), Box<dyn GivenSeat>)> {
        let is_of = |(of, _): &(NodeId, u64), _: &mut Box<dyn GivenSeat>| node.is_none_or(|node| node == *of);
        self.0.borrow_mut().extract_if(is_of).collect()
    }
}

/// A member that has moved away from this node, and the node that asks about it.
pub(super) struct Unsettled {
    pub(super) asked_by: NodeId,
    pub(super) key: String,
    pub(super) realm: RealmKind,
    pub(super) room: String,
    pub(super) id: String,
}

/// The news of this node and others about members of rooms.
#[derive(Default)]
pub(super) struct RoomNews {
    /// The latest life that has listed its members, of each node by its first one.
    lives: RefCell<HashMap<u64, NodeId>>,
    /// Unknown keys of which other nodes have told members of rooms.
    missed: RefCell<HashMap<String, BTreeSet<NodeId>>>,
    /// Members that have moved away and for whom this node may have messages.
    unsettled: RefCell<Vec<Unsettled>>,
    /// The rest of each list of members that is on its way to another node.
    lists: RefCell<BTreeMap<NodeId, Vec<Box<dyn OwnList>>>>,
}

impl RoomNews {
    /// No list of an earlier life goes on.
    pub(super) fn begin(&self) {
        self.lists.take();
    }

    pub(super) fn forget(&self, node: NodeId) {
        self.lists.borrow_mut().remove(&node);
    }

    pub(super) fn begin_list(&self, to: NodeId, lists: Vec<Box<dyn OwnList>>) {
        self.lists.borrow_mut().insert(to, lists);
    }

    /// Goes on with each list, for as long as `tell` returns true.
    pub(super) fn continue_lists(&self, tell: impl Fn(NodeId, &mut Vec<Box<dyn OwnList>>) -> bool) {
        self.lists.borrow_mut().retain(|to, list| tell(*to, list));
    }

    /// A node has told of members of a key that is unknown here.
    pub(super) fn miss(&self, key: &str, from: NodeId) {
        let mut missed = self.missed.borrow_mut();
        if missed.len() < MAX_MISSED || missed.contains_key(key) {
            missed.entry(key.to_owned()).or_default().insert(from);
        }
    }

    /// The nodes that have told of members of keys that are known by now.
    pub(super) fn take_missed(&self, is_known: impl Fn(&str) -> bool) -> BTreeSet<NodeId> {
        let mut missed = self.missed.borrow_mut();
        missed.extract_if(|key, _| is_known(key)).flat_map(|(_, nodes)| nodes).collect()
    }

    pub(super) fn unsettle(&self, member: Unsettled) {
        let mut unsettled = self.unsettled.borrow_mut();
        // Otherwise the node that asks does not wait for the answer.
        if unsettled.len() < MAX_UNSETTLED {
            unsettled.push(member);
        }
    }

    pub(super) fn take_settled(&self, is_settled: impl Fn(&Unsettled) -> bool) -> Vec<Unsettled> {
        self.unsettled.borrow_mut().extract_if(.., |member| is_settled(member)).collect()
    }

    /// A node lists its members. Returns its life before, if that has listed some.
    pub(super) fn replace_life(&self, first: u64, life: NodeId, known: &[KnownNode]) -> Option<NodeId> {
        let mut lives = self.lives.borrow_mut();
        if lives.len() >= MAX_LIVES {
            lives.retain(|_, node| known.iter().any(|member| member.node == *node));
        }
        lives.insert(first, life).filter(|former| *former != life)
    }
}
