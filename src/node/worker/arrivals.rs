//! What comes from other nodes.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::opening::peer_id;
use super::parked::Parked;
use super::{End, Worker};
use crate::broker::{Flush, HandOver, Outgoing, Probe, Realm, Receipt};
use crate::cluster::link::Arrival;
use crate::cluster::packet::{Answer, Batch, NameRef, OwnedName, Packet, Question};
use crate::cluster::{Backplane, Entity, Entry, Position};
use crate::events::ClusterEvent;
use crate::node::membership::name_of_peer;
use crate::wire::{CloseReason, ConnId, Frame, MessageKind, NodeId, Owner, PeerId};

/// How long one read waits for a batch.
const WAIT: Duration = Duration::from_secs(1);

/// How long to wait after a read failed.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a batch that was read may stay in the inbox: under load, one removal is enough for many.
const TRIM_INTERVAL: Duration = Duration::from_millis(50);

/// Most messages that wait for connections which are being opened.
const MAX_PARKED: usize = 4096;

/// In the order of their numbers in packets.
const OUTCOMES: [HandOver; 3] = [HandOver::Delivered, HandOver::NotHere, HandOver::Dropped];

impl<B: Backplane> Worker<B> {
    /// Reads the inbox for as long as the node lives.
    pub(super) async fn read(self: &Rc<Self>, node: NodeId) -> End {
        let mut failed = false;
        let mut last_read = self.shared.now();
        loop {
            let position = self.position.borrow().clone();
            let read = self.backplane.read(node, &position, WAIT).await;
            let failed_before = std::mem::replace(&mut failed, read.is_err());
            if read.is_ok() {
                last_read = self.shared.now();
                self.shared.state().is_deaf = false;
            }
            match read {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => {
                    let mut flushes = Vec::new();
                    for Entry { position, batch } in entries {
                        if !self.shared.is_alive(&self.shared.state()) {
                            // Others believe that we are dead, and have told their clients so.
                            return End::Lost;
                        }
                        self.arrive(&batch, &mut flushes);
                        self.position.replace(position);
                    }
                    flushes.into_iter().for_each(Flush::flush);
                    self.trim(node);
                }
                Err(error) => {
                    log::debug!("cannot read what other nodes say: {error}");
                    if !failed_before {
                        self.suspected.notify_one();
                    }
                    self.note_deafness(last_read, &error.to_string());
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// `read` is when the inbox was read last. In an outage, the lease cannot be renewed either, and the log says so already.
    fn note_deafness(&self, read: u64, error: &str) {
        let mut state = self.shared.state();
        let is_deaf =
            self.shared.now().saturating_sub(read) > self.shared.lease() && self.shared.may_claim(&state);
        if is_deaf && !std::mem::replace(&mut state.is_deaf, true) {
            drop(state);
            log::error!("cannot read what other nodes say, so no message of theirs arrives here: {error}");
        }
    }

    /// Removes what was read from the inbox, soon.
    fn trim(self: &Rc<Self>, node: NodeId) {
        if self.trims.replace(true) {
            return;
        }
        let worker = Rc::clone(self);
        spawn_local(async move {
            sleep(TRIM_INTERVAL).await;
            worker.trims.set(false);
            if worker.node() == Some(node) {
                let until = worker.position.borrow().clone();
                // What stays is removed the next time.
                let _ = worker.backplane.trim(node, &until).await;
            }
        });
    }

    fn arrive(self: &Rc<Self>, bytes: &[u8], flushes: &mut Vec<Flush>) {
        let Some(batch) = Batch::read(bytes) else {
            return log::debug!("something in the inbox is no batch");
        };
        let from = batch.from;
        {
            let mut state = self.shared.state();
            if state.dead.contains(&from) {
                return;
            }
            state.silent.remove(&from);
        }
        let arrival = self.inbound.borrow_mut().entry(from).or_default().note(batch.number);
        match arrival {
            Arrival::Repeated => return,
            Arrival::Gap => {
                self.tell(|| ClusterEvent::BatchLost { life: from });
                // It may have said something about names of our clients.
                self.doubtful.set(true);
                self.lose_node(Some(from));
                self.shared.say(from, &Packet::Reset);
            }
            Arrival::Next => {}
        }
        for packet in batch.packets() {
            self.handle(from, packet, flushes);
        }
    }

    fn handle(self: &Rc<Self>, from: NodeId, packet: Packet<'_>, flushes: &mut Vec<Flush>) {
        match packet {
            Packet::Message { to, connection, ticket, from: sender, kind, payload } => {
                let receipt = self.receipt(from, &to, ticket);
                let (Ok(sender), Some(kind)) = (PeerId::parse(sender), MessageKind::of_number(kind)) else {
                    return;
                };
                let relayed = self.relayed_answer(&sender, &to, kind, payload);
                let frame = Frame::of_text(relayed.as_deref().unwrap_or(payload));
                let message = Outgoing::foreign(sender, kind, frame, receipt);
                flushes.extend(self.accept(&to, ConnId::new(connection), message));
            }
            Packet::Notice { to, connection, payload } => {
                if let (Some(realm), Some(id)) = (self.realm_of(&to), peer_id(&to)) {
                    flushes.extend(realm.accept_notice(
                        &id,
                        ConnId::new(connection),
                        Frame::of_text(payload),
                    ));
                }
            }
            Packet::Settled { to, ticket, outcome } => self.settled(&to, ticket, outcome),
            Packet::Appeared { name, connection } => {
                if let (Some(realm), Some(id)) = (self.realm_of(&name), peer_id(&name)) {
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
            Packet::Answer { number, answer } => self.answered(from, number, answer),
            Packet::Doubt { name } => self.doubted.borrow_mut().extend(peer_id(&name)),
            Packet::Reset => self.lose_node(Some(from)),
            Packet::Echo { number } => self.echo_heard.set(number.max(self.echo_heard.get())),
        }
    }

    /// An answer to a call of this node, with the candidates of its relay.
    fn relayed_answer(
        &self,
        from: &PeerId,
        to: &NameRef<'_>,
        kind: MessageKind,
        text: &str,
    ) -> Option<String> {
        let node = self.node.upgrade()?;
        node.relay()?;
        node.relayed_answer(from, &self.realm_of(to)?.address(&peer_id(to)?), kind, text)
    }

    /// Gives a message to the connection that it is for, or says that it is not here. One for a connection that is being
    /// opened waits for that: the next message to it must not overtake it.
    fn accept(&self, to: &NameRef<'_>, connection: ConnId, mut message: Outgoing) -> Option<Flush> {
        let is_call = matches!(message.message, Some((_, MessageKind::Call)));
        let id = if is_call { self.called(to) } else { peer_id(to) };
        let (Some(realm), Some(id)) = (self.realm_of(to), id) else {
            message.settle(HandOver::NotHere);
            return None;
        };
        let peer = || realm.address(&id);
        if self.parked.borrow().is_empty() {
            match realm.accept(&id, connection, message) {
                Ok(flush) => return flush,
                Err(refused) => message = refused,
            }
        }
        let mut parked = self.parked.borrow_mut();
        let is_behind = parked.iter().any(|parked| parked.to == peer());
        if (is_behind || self.opens(&peer())) && parked.len() < MAX_PARKED {
            parked.push_back(Parked { to: peer(), connection, message });
            return None;
        }
        drop(parked);
        // It may have been registered a moment ago.
        realm.accept(&id, connection, message).unwrap_or_else(|mut refused| {
            refused.settle(HandOver::NotHere);
            None
        })
    }

    /// Gives parked messages to connections that are open now.
    pub(super) fn unpark(&self) {
        if self.parked.borrow().is_empty() {
            return;
        }
        let all = self.parked.take();
        let (waiting, ready): (VecDeque<Parked>, VecDeque<Parked>) =
            all.into_iter().partition(|parked| self.opens(&parked.to));
        self.parked.replace(waiting);
        for Parked { to, connection, mut message } in ready {
            if let Some(realm) = self.realm(&to) {
                match realm.accept(&to.id, connection, message) {
                    Ok(flush) => {
                        drop(flush);
                        continue;
                    }
                    Err(refused) => message = refused,
                }
            }
            message.settle(HandOver::NotHere);
        }
    }

    pub(super) fn settled(&self, to: &NameRef<'_>, ticket: u64, outcome: u8) {
        if let (Some(realm), Some(id)) = (self.realm_of(to), peer_id(to))
            && let Some(outcome) = OUTCOMES.get(usize::from(outcome))
        {
            realm.settle(&id, ticket, *outcome);
        }
    }

    /// Results that came before this node's life ended are worth reading: the rest is not for this one.
    pub(super) async fn read_last_results(self: &Rc<Self>, node: NodeId) {
        loop {
            let position = self.position.borrow().clone();
            let Ok(entries) = self.backplane.read(node, &position, Duration::ZERO).await else { return };
            let Some(last) = entries.last() else { return };
            self.position.replace(Position(last.position.0.clone()));
            for entry in &entries {
                let Some(batch) = Batch::read(&entry.batch) else { continue };
                let known = self.inbound.borrow_mut().entry(batch.from).or_default().note(batch.number);
                if known == Arrival::Repeated {
                    continue;
                }
                for packet in batch.packets() {
                    if let Packet::Settled { to, ticket, outcome } = packet {
                        self.settled(&to, ticket, outcome);
                    }
                }
            }
        }
    }

    fn receipt(&self, from: NodeId, to: &NameRef<'_>, ticket: u64) -> Receipt {
        let (membership, name) = (Arc::clone(&self.shared), to.to_owned_name());
        Receipt::new(move |outcome| {
            let outcome = OUTCOMES.iter().position(|known| *known == outcome);
            let outcome = outcome.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
            membership.say(from, &Packet::Settled { to: name.borrowed(), ticket, outcome });
        })
    }

    pub(super) fn realm_of(&self, name: &NameRef<'_>) -> Option<Arc<Realm>> {
        let Entity::Peer(kind) = name.entity()? else { return None };
        self.node.upgrade()?.tenant(name.key())?.existing(kind)
    }

    async fn answer(&self, from: NodeId, question: Question) -> Answer {
        match question {
            Question::Alive(name, connection) => self.answer_alive(&name, ConnId::new(connection)).await,
            Question::Yield(name, connection, why) => {
                let why = CloseReason::of_number(why).unwrap_or(CloseReason::Replaced);
                if let (Some(realm), Some(id)) = (self.realm_of(&name.borrowed()), peer_id(&name.borrowed()))
                {
                    let connection = ConnId::new(connection);
                    if let Some(yielded) =
                        self.shared.state().opening.get_mut(&name_of_peer(&realm.address(&id)))
                    {
                        // Older ones of its client may be named later.
                        *yielded = (*yielded).max(Some(connection));
                    }
                    if why == CloseReason::Outranked && realm.is_held_by(&id, connection) {
                        self.lost_ids.update(|lost| lost + 1);
                    }
                    realm.yield_id(&id, connection, why);
                } else {
                    self.yield_held(&name, ConnId::new(connection));
                }
                Answer::Yes
            }
            Question::Post { name, token, text } => self.take_post(&name, token, text).await,
            join @ Question::Join { .. } => self.let_in(from, &join),
            Question::Part { seat } => {
                self.let_out(from, seat);
                Answer::Yes
            }
            question => self.node.upgrade().map_or(Answer::No, |node| node.answer(question)),
        }
    }

    async fn answer_alive(&self, name: &OwnedName, connection: ConnId) -> Answer {
        let name = name.borrowed();
        let (Some(realm), Some(id)) = (self.realm_of(&name), peer_id(&name)) else { return Answer::No };
        if !realm.is_held_by(&id, connection) {
            // Granted, and not registered yet: nobody else may have it meanwhile.
            return if self.opens(&realm.address(&id)) { Answer::Yes } else { Answer::No };
        }
        if let Probe::Asked(answered) = realm.probe(&id) {
            // An error means the end of the probe, too.
            let _ = timeout(realm.probe_timeout() * 2, answered).await;
        }
        if realm.is_held_by(&id, connection) { Answer::Yes } else { Answer::No }
    }
}
