//! Sends batches to other nodes: one at a time for each, repeated until it is there. Reads theirs, and acts
//! on them.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::state::Parked;
use super::{LifeEnd, LocalNode, RETRY_DELAY, Worker};
use crate::link::{Arrival, Outbound};
use crate::membership::{Membership, name_of, name_of_peer};
use crate::packet::{Batch, MovedMember, NameRef, NodeAnswer, OwnedName, Packet, Question};
use crate::{Backplane, Entity, InboxEntry};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{
    CloseReason, ConnId, Frame, MessageKind, NameKind, NodeId, Owner, PeerId, RealmKind,
};
use peerbroker_events::{ClusterEvent, PeerAddress};
use peerbroker_router::{Flush, Flushes, ForwardOutcome, Outgoing, Realm, Receipt, Reporter};

/// Time for which one read waits for a batch.
const WAIT: Duration = Duration::from_secs(1);

/// Time for which a batch that was read may stay in the inbox: under load, one removal is enough for many.
const TRIM_INTERVAL: Duration = Duration::from_millis(50);

/// A message that another node has forwarded and waits for, as long as it believes in the life of this node
/// that got it.
struct Forwarded {
    membership: Arc<Membership>,
    life: Option<NodeId>,
    from: NodeId,
    recipient: Named,
    ticket: u64,
}

/// The name by which another node knows the recipient of a message.
enum Named {
    Peer(PeerAddress),
    AsCalled(OwnedName),
}

impl Reporter for Forwarded {
    fn report(&self, outcome: ForwardOutcome) {
        let recipient = match &self.recipient {
            Named::Peer(address) => name_of(address),
            Named::AsCalled(name) => name.borrowed(),
        };
        self.membership.report(self.from, recipient, self.ticket, outcome);
    }

    fn is_awaited(&self) -> bool {
        self.membership.is_in_life(self.life)
    }

    fn is_sure(&self) -> bool {
        self.membership.is_sure()
    }

    fn is_of(&self, node: NodeId, ticket: u64) -> bool {
        (self.from, self.ticket) == (node, ticket)
    }
}

/// The state that the packets of one read share.
#[derive(Default)]
struct Arriving {
    /// Connections to be written to, once all packets are handled.
    flushes: Flushes,
    /// The realm of the packet before, which is often that of the next one.
    realm: Option<Arc<Realm>>,
}

impl Arriving {
    /// As [`Worker::realm_of`].
    fn realm_of(&mut self, worker: &Worker<impl Backplane>, name: &NameRef<'_>) -> Option<Arc<Realm>> {
        let is_of = |realm: &Arc<Realm>| {
            name.entity() == Some(Entity::Peer(realm.kind())) && name.key == realm.key().as_str()
        };
        if !self.realm.as_ref().is_some_and(is_of) {
            self.realm = worker.realm_of(name);
        }
        self.realm.clone()
    }

    /// As [`Worker::peer_of`].
    fn peer_of(
        &mut self,
        worker: &Worker<impl Backplane>,
        name: &NameRef<'_>,
    ) -> Option<(Arc<Realm>, PeerId)> {
        Some((self.realm_of(worker, name)?, PeerId::parse(name.name).ok()?))
    }
}

impl<B: Backplane> Worker<B> {
    /// Sends for as long as the node lives.
    pub(super) async fn send(self: &Rc<Self>, node: NodeId) -> Infallible {
        loop {
            self.shared.sending.notified().await;
            while self.send_turn(node).await {
                self.continue_lists();
            }
        }
    }

    /// Sends a batch to each node for which packets wait. False if there is none.
    pub(super) async fn send_turn(self: &Rc<Self>, node: NodeId) -> bool {
        let mut batches: Vec<(NodeId, Vec<u8>)> = {
            let mut state = self.shared.state.lock();
            let links = state.links.iter_mut();
            links.filter_map(|(to, link)| Some((*to, link.next_batch(node, *to)?))).collect()
        };
        if batches.is_empty() {
            return false;
        }
        let mut may_be_there = false;
        loop {
            match self.backplane.append(&batches).await {
                Ok(arrived) => {
                    let refused = batches.iter().zip(arrived).filter(|(_, arrived)| !arrived);
                    for ((to, batch), _) in refused {
                        if !may_be_there {
                            self.take_back(batch);
                        }
                        self.mark_dead(*to);
                        // The members tell if it has left or died.
                        self.suspected.notify_one();
                    }
                    return true;
                }
                // The reader ignores repeated batches.
                Err(error) => {
                    log::debug!("cannot send to other nodes: {error}");
                    may_be_there = true;
                    sleep(RETRY_DELAY).await;
                    // Its inbox may be what cannot be written.
                    batches.retain(|(to, _)| !self.is_dead(*to));
                }
            }
        }
    }

    /// A node is dead, for good.
    pub(super) fn mark_dead(&self, dead: NodeId) {
        let (link, member) = {
            let mut state = self.shared.state.lock();
            if state.node == Some(dead) || !state.dead.insert(dead) {
                return;
            }
            state.silent.remove(&dead);
            state.room_subscribers.remove(&dead);
            self.room_news.forget(dead);
            let member = state.members.iter().find(|member| member.node == dead).cloned();
            (state.links.remove(&dead), member)
        };
        let was_known = link.is_some() || member.as_ref().is_some_and(|member| member.alive);
        for unsent in link.into_iter().flat_map(Outbound::into_unsent) {
            self.take_back(&unsent);
        }
        // Those that died before this one joined are no news.
        if was_known {
            self.untold.add_gone(dead);
        }
        // It may have taken names of clients of ours, and died before it told us.
        self.doubts.doubt_all();
        self.inbox.forget(dead);
        self.questions.forget(dead);
        self.lose_node(Some(dead));
        self.seats.take_back_all(Some(dead));
    }

    /// Messages that a dead node certainly never got wait here again, and their recipients are sought.
    fn take_back(&self, batch: &[u8]) {
        for packet in Batch::read(batch).iter().flat_map(Batch::packets) {
            if let Packet::Message { to, ticket, .. } = packet {
                settle(self.realm_of(&to), &to, ticket, ForwardOutcome::NotHere.number());
            }
        }
    }

    /// Gives up the outcomes of messages that a node had, and the seats of which it may not know; `None`
    /// means all nodes.
    pub(super) fn lose_node(&self, node: Option<NodeId>) {
        self.realms().for_each(|realm| realm.lose_node(node));
        self.doubt_seats(node);
    }

    /// Reads the inbox for as long as the node lives.
    pub(super) async fn read(self: &Rc<Self>, node: NodeId) -> LifeEnd {
        let mut failed = false;
        let mut last_read = self.shared.clock.now();
        loop {
            let position = self.inbox.position();
            let read = self.backplane.read(node, &position, WAIT).await;
            match read {
                Ok(entries) => {
                    failed = false;
                    last_read = self.shared.clock.now();
                    self.shared.state.lock().inbox_stalled = false;
                    if entries.is_empty() {
                        continue;
                    }
                    let mut arriving = Arriving::default();
                    for InboxEntry { position, batch } in entries {
                        if !self.shared.is_alive(&self.shared.state.lock()) {
                            // Others believe that we are dead, and have told their clients so.
                            arriving.flushes.flush();
                            return LifeEnd::Lost;
                        }
                        self.arrive(&batch, &mut arriving);
                        self.answer_settled();
                        self.inbox.read_until(position);
                    }
                    if self.shared.is_sure() {
                        arriving.flushes.flush();
                    } else {
                        // A later batch may say that another node has the id.
                        self.certainty.hold_back(arriving.flushes);
                    }
                    self.trim(node);
                }
                Err(error) => {
                    log::debug!("cannot read what other nodes say: {error}");
                    if !std::mem::replace(&mut failed, true) {
                        self.suspected.notify_one();
                    }
                    self.record_deafness(last_read, &error.to_string());
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// `read` is the time of the last read of the inbox. In an outage the lease cannot be renewed either,
    /// which is in the log already.
    fn record_deafness(&self, read: Instant, error: &str) {
        let mut state = self.shared.state.lock();
        let inbox_stalled = self.shared.clock.now().saturating_since(read) > self.shared.config.lease
            && self.shared.may_claim(&state);
        if inbox_stalled && !std::mem::replace(&mut state.inbox_stalled, true) {
            drop(state);
            log::error!("cannot read what other nodes say, so no message of theirs arrives here: {error}");
        }
    }

    /// Schedules the removal of read batches from the inbox.
    fn trim(self: &Rc<Self>, node: NodeId) {
        if !self.inbox.begin_trim() {
            return;
        }
        let worker = Rc::clone(self);
        spawn_local(async move {
            sleep(TRIM_INTERVAL).await;
            worker.inbox.end_trim();
            if worker.node() == Some(node) {
                let until = worker.inbox.position();
                // The rest is removed the next time.
                let _ = worker.backplane.trim(node, &until).await;
            }
        });
    }

    fn arrive(self: &Rc<Self>, bytes: &[u8], arriving: &mut Arriving) {
        let Some(batch) = Batch::read(bytes) else {
            return log::debug!("something in the inbox is no batch");
        };
        let from = batch.from;
        {
            let mut state = self.shared.state.lock();
            if state.dead.contains(&from) {
                return;
            }
            state.silent.remove(&from);
        }
        match self.inbox.arrival(from, batch.number) {
            Arrival::Repeated => return,
            Arrival::Foreign => return log::debug!("a batch of {from} has an impossible number"),
            Arrival::Gap => {
                self.emit(|| ClusterEvent::BatchLost { life: from });
                // It may have said something about names of our clients.
                self.doubts.doubt_all();
                self.lose_node(Some(from));
                self.shared.say(from, &Packet::Reset);
                // It may have lacked something of ours, and its own `Reset` may be lost.
                self.list_rooms(from);
            }
            Arrival::Next => {}
        }
        for packet in batch.packets() {
            self.handle(from, packet, arriving);
        }
    }

    fn handle(self: &Rc<Self>, from: NodeId, packet: Packet<'_>, arriving: &mut Arriving) {
        match packet {
            Packet::Message { to, connection, ticket, from: sender, kind, frame } => {
                let (Ok(sender), Some(kind)) = (PeerId::of_sender(sender), MessageKind::of_number(kind))
                else {
                    return self.shared.report(from, to, ticket, ForwardOutcome::Dropped);
                };
                let is_of_guest = to.entity() == Some(Entity::Peer(RealmKind::Guests));
                let is_call = is_of_guest && kind == MessageKind::Signal;
                let called = || self.named(to.key, NameKind::Alias, to.name);
                let peer = if is_call { called() } else { arriving.peer_of(self, &to) };
                let Some((realm, id)) = peer else {
                    return self.shared.report(from, to, ticket, ForwardOutcome::NotHere);
                };
                // An answer to a call of this node gets the candidates of its relay.
                let node = self.node.upgrade();
                let address = realm.address(&id);
                let relayed = node.and_then(|node| node.relayed_answer(&sender, &address, kind, frame));
                let frame = relayed.map_or_else(|| frame.into(), |text| Frame::of_text(&text));
                // It may have been called by another name than its id.
                let recipient =
                    if is_call { Named::AsCalled(to.to_owned_name()) } else { Named::Peer(address) };
                let membership = Arc::clone(&self.shared);
                let life = self.node();
                let receipt = Receipt::new(Forwarded { membership, life, from, recipient, ticket });
                let message = Outgoing::foreign(sender, kind, frame, receipt);
                arriving.flushes.extend(self.accept(&realm, &id, ConnId::new(connection), message));
            }
            Packet::Notice { to, connection, frame } => {
                if let Some((realm, id)) = arriving.peer_of(self, &to) {
                    let connection = ConnId::new(connection);
                    arriving.flushes.extend(realm.accept_notice(&id, connection, frame.into()));
                }
            }
            Packet::Settled { to, ticket, outcome } => {
                settle(arriving.realm_of(self, &to), &to, ticket, outcome)
            }
            Packet::Appeared { name, connection } => {
                if let Some((realm, id)) = arriving.peer_of(self, &name) {
                    realm.appeared(&id, Owner { node: from, connection: ConnId::new(connection) });
                }
            }
            Packet::Question { number, question } => {
                let worker = Rc::clone(self);
                spawn_local(async move {
                    let answer = worker.answer(from, question).await;
                    worker.shared.say(from, &Packet::Answer { number, answer });
                });
            }
            Packet::Answer { number, answer } => self.questions.answer(from, number, answer),
            Packet::Doubt { name } => {
                self.doubts.doubt(arriving.peer_of(self, &name).map(|(_, id)| id));
            }
            Packet::Reset => {
                self.lose_node(Some(from));
                self.list_rooms(from);
            }
            Packet::RoomMoved(member) => self.settle(from, member),
            Packet::RealmNews(realm, key, news) => {
                if let Some(realm) = RealmKind::of_number(realm) {
                    self.receive_news(from, (key, realm), &news, &mut arriving.flushes);
                }
            }
            Packet::RoomSettled(MovedMember { key, room, id, realm }) => {
                let rooms = |node: Arc<dyn LocalNode>| node.rooms(key, RealmKind::of_number(realm)?);
                if let Some(rooms) = self.node.upgrade().and_then(rooms) {
                    rooms.settled(from, room, id, &mut arriving.flushes);
                }
            }
            Packet::RoomList { is_end, first_life } => {
                self.receive_list_of_rooms(from, (is_end, first_life), &mut arriving.flushes)
            }
            Packet::RoomsMissed => self.list_rooms(from),
            Packet::GivenUp { to, ticket } => {
                // It may have been called by another name than its id.
                let called = self.named(to.key, NameKind::Alias, to.name);
                for (realm, id) in arriving.peer_of(self, &to).into_iter().chain(called) {
                    realm.give_up(&id, from, ticket);
                }
            }
            Packet::Seat { seat, is_lost } => self.shared.receive_end_of_seat(from, seat, is_lost),
            Packet::Echo { number } if self.node() == Some(from) => {
                self.certainty.echo_arrived(number);
                let worker = Rc::clone(self);
                // Behind the questions of earlier batches, which have tasks of their own.
                spawn_local(async move { worker.record_if_sure() });
            }
            Packet::Echo { .. } => {}
        }
    }

    /// Gives a message to its connection, or reports that this is not here. A message for an opening
    /// connection waits for it: the next message to it must not overtake this one.
    fn accept(&self, realm: &Realm, id: &PeerId, connection: ConnId, mut message: Outgoing) -> Option<Flush> {
        if self.parked.is_empty() {
            match self.hand_over(realm, id, connection, message) {
                Ok(flush) => return flush,
                Err(refused) => message = refused,
            }
        }
        let peer = realm.address(id);
        if (self.parked.has_for(&peer) || self.opens(&peer)) && !self.parked.is_full() {
            self.parked.push(Parked { to: peer, connection, message });
            return None;
        }
        // It may have been registered a moment ago.
        self.accept_or_refuse(realm, id, connection, message)
    }

    /// Gives a message to its connection. One of a room is dropped, if the id is not that of the member any
    /// more to which it was sent.
    fn hand_over(
        &self,
        realm: &Realm,
        id: &PeerId,
        connection: ConnId,
        message: Outgoing,
    ) -> Result<Option<Flush>, Outgoing> {
        let is_of_room = message.message.as_ref().is_some_and(|(_, kind)| *kind == MessageKind::Room);
        if is_of_room
            && let Some(rooms) =
                self.node.upgrade().and_then(|node| node.rooms(realm.key().as_str(), realm.kind()))
            && !rooms.is_for(id, connection, &message.frame)
        {
            return Ok(None);
        }
        realm.accept(id, connection, message)
    }

    /// Gives a message to its connection, or reports that this is not here.
    fn accept_or_refuse(
        &self,
        realm: &Realm,
        to: &PeerId,
        connection: ConnId,
        message: Outgoing,
    ) -> Option<Flush> {
        self.hand_over(realm, to, connection, message).unwrap_or_else(|mut refused| {
            refused.settle(ForwardOutcome::NotHere);
            None
        })
    }

    /// Gives parked messages to connections that are open now.
    pub(super) fn unpark(&self) {
        if self.parked.is_empty() {
            return;
        }
        for Parked { to, connection, mut message } in self.parked.take_ready(|peer| self.opens(peer)) {
            match self.realm(&to) {
                Some(realm) => {
                    if let Some(flush) = self.accept_or_refuse(&realm, &to.id, connection, message) {
                        flush.flush();
                    }
                }
                None => message.settle(ForwardOutcome::NotHere),
            }
        }
    }

    /// Results that came before this node's life ended are valid: other packets are not for this life.
    pub(super) async fn read_last_results(self: &Rc<Self>, node: NodeId) {
        loop {
            let position = self.inbox.position();
            let Ok(entries) = self.backplane.read(node, &position, Duration::ZERO).await else { return };
            let Some(last) = entries.last() else { return };
            self.inbox.read_until(last.position.clone());
            for entry in &entries {
                let Some(batch) = Batch::read(&entry.batch) else { continue };
                if matches!(
                    self.inbox.arrival(batch.from, batch.number),
                    Arrival::Repeated | Arrival::Foreign
                ) {
                    continue;
                }
                for packet in batch.packets() {
                    if let Packet::Settled { to, ticket, outcome } = packet {
                        settle(self.realm_of(&to), &to, ticket, outcome);
                    }
                }
            }
        }
    }

    async fn answer(self: &Rc<Self>, from: NodeId, question: Question) -> NodeAnswer {
        match question {
            Question::Alive(name, connection) => self.answer_alive(&name, ConnId::new(connection)).await,
            Question::Yield(name, connection, why) => {
                let why = CloseReason::of_number(why).unwrap_or(CloseReason::Replaced);
                self.yield_name(&name, ConnId::new(connection), why);
                NodeAnswer::Yes
            }
            Question::Post { name, token, text } => self.take_post(&name, token, text).await,
            Question::Close => {
                let patience = self.patience(true);
                self.replicated().iter().for_each(|members| members.lose_node(from, patience));
                NodeAnswer::Yes
            }
            seat @ Question::Seat { .. } => self.give_seat(from, &seat).await,
            Question::Part { seat } => {
                self.seats.take_back(from, seat);
                NodeAnswer::Yes
            }
            question => self.node.upgrade().map_or(NodeAnswer::No, |node| node.answer(question)),
        }
    }

    fn yield_name(&self, name: &OwnedName, connection: ConnId, why: CloseReason) {
        let Some((realm, id)) = self.peer_of(&name.borrowed()) else {
            return self.yield_held(name, connection);
        };
        if let Some(yielded) = self.shared.state.lock().opening.get_mut(&name_of_peer(&realm.address(&id))) {
            // Older ones of its client may be named later.
            *yielded = (*yielded).max(Some(connection));
        }
        if why == CloseReason::Outranked && realm.is_held_by(&id, connection) {
            self.untold.add_lost_id();
        }
        realm.yield_id(&id, connection, why);
    }

    async fn answer_alive(&self, name: &OwnedName, connection: ConnId) -> NodeAnswer {
        let Some((realm, id)) = self.peer_of(&name.borrowed()) else { return NodeAnswer::No };
        if !realm.is_held_by(&id, connection) {
            // Granted, and not registered yet: no other client may have it now.
            return if self.opens(&realm.address(&id)) { NodeAnswer::Yes } else { NodeAnswer::No };
        }
        if let Some(answered) = realm.probe(&id) {
            // An error means the end of the probe, too.
            let _ = timeout(realm.probe_timeout() * 2, answered).await;
        }
        if realm.is_held_by(&id, connection) { NodeAnswer::Yes } else { NodeAnswer::No }
    }
}

/// The outcome of a message of this node is known.
fn settle(realm: Option<Arc<Realm>>, to: &NameRef<'_>, ticket: u64, outcome: u8) {
    if let (Some(realm), Some(outcome)) = (realm, ForwardOutcome::of_number(outcome)) {
        realm.settle(to.name, ticket, outcome);
    }
}
