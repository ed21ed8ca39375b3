//! A life of this node: it joins, registers what it has, keeps its lease, and loses it or leaves.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::{End, Worker};
use crate::broker::{Holder, Realm};
use crate::cluster::link::Outbound;
use crate::cluster::packet::Packet;
use crate::cluster::{Backplane, Granted, Owner, Position, RegisterOutcome, Registration, Renewal};
use crate::events::ClusterEvent;
use crate::node::errand::digest;
use crate::node::membership::name_of_peer;
use crate::wire::{CloseReason, NodeId, PeerId};

/// How often a node tries to join.
const JOIN_INTERVAL: Duration = Duration::from_millis(250);

/// How often a lease is renewed while it lasts.
pub(super) const RENEWALS: u32 = 5;

/// How often all clients are registered again, in milliseconds. The backplane forgets them after an hour.
const RECONCILE: u64 = 10 * 60 * 1000;

/// Names that are registered at once.
const REGISTERED_AT_ONCE: usize = 500;

/// How long a node that leaves says its last words.
const LEAVE: Duration = Duration::from_secs(2);

impl<B: Backplane> Worker<B> {
    /// Joins, and registers the clients that are here. `None` if the node stops meanwhile.
    pub(super) async fn begin_life(self: &Rc<Self>) -> Option<NodeId> {
        loop {
            if self.is_closed() {
                return None;
            }
            let node = self.backplane.new_node();
            let began = self.shared.now();
            match self.backplane.join(node, &self.shared.config.node_name, self.shared.config.lease).await {
                Ok(()) => {
                    self.inbound.take();
                    self.position.replace(Position::default());
                    self.echo_heard.set(self.echo_sent.get());
                    self.generation.set(self.backplane.generation());
                    self.store.set(self.backplane.store());
                    {
                        let mut state = self.shared.state();
                        state.node = Some(node);
                        state.epoch += 1;
                        state.good_until = began + self.shared.lease();
                    }
                    // What was asked before is lost, and marks of the former life lead nowhere.
                    self.realms().for_each(|realm| realm.seek_again());
                    if self.register_all(node, |_| true).await && self.register_held(node, true).await {
                        self.tell(|| ClusterEvent::Joined { life: node });
                        return Some(node);
                    }
                    self.shared.state().node = None;
                }
                Err(error) => self.note_outage(&error.to_string()),
            }
            select! {
                biased;
                () = sleep(JOIN_INTERVAL) => {}
                () = self.shared.is_closing() => {}
            }
        }
    }

    /// Renews the lease until it is lost.
    pub(super) async fn keep_lease(self: &Rc<Self>, node: NodeId) -> End {
        let interval = self.shared.config.lease / RENEWALS;
        let mut pause = Duration::ZERO;
        loop {
            select! {
                biased;
                () = sleep(pause) => {}
                () = self.suspected.notified() => {}
                () = self.shared.is_closing() => {}
            }
            if self.is_closed() {
                return End::Closed;
            }
            let asked = self.shared.now();
            let renewed = self.backplane.renew(node, self.shared.config.lease).await;
            let now = self.shared.now();
            match renewed {
                Ok(Renewal::Renewed(members)) => {
                    self.shared.state().good_until = asked + self.shared.lease();
                    // Registering again may take a while.
                    self.renewed.notify_waiters();
                    self.note_members(node, members);
                    self.check_inbox(node);
                    self.tell_given_back();
                    self.close_links();
                    self.check_store();
                    if self.reconcile(node).await && self.is_settled() {
                        self.note_up();
                    }
                    self.tell_of_lost_ids();
                    pause = interval;
                }
                Ok(Renewal::Lost) => return End::Lost,
                Err(error) => {
                    let good_until = self.shared.state().good_until;
                    if now >= good_until.saturating_sub(self.shared.lease() / 2) {
                        self.note_outage(&error.to_string());
                    }
                    if now >= good_until {
                        return End::Lost;
                    }
                    pause = JOIN_INTERVAL;
                }
            }
        }
    }

    fn note_members(&self, own: NodeId, members: Vec<crate::cluster::Member>) {
        let known: Vec<NodeId> = self.shared.state().links.keys().copied().collect();
        let is_alive = |node: &NodeId| members.iter().any(|member| member.node == *node && member.alive);
        let gone =
            known.iter().chain(members.iter().map(|member| &member.node)).filter(|node| !is_alive(node));
        gone.filter(|node| **node != own).for_each(|dead| self.bury(*dead));
        self.shared.state().members = members;
    }

    fn tell_of_lost_ids(&self) {
        let ids = self.lost_ids.take();
        if ids > 0 {
            self.tell(|| ClusterEvent::IdsLost { ids });
        }
    }

    /// Tells all nodes, this one too, which names a claim of ours may have taken from them.
    fn tell_given_back(&self) {
        let members = self.shared.state().members.clone();
        for name in self.given_back.take() {
            let doubt = Packet::Doubt { name: name.as_ref() };
            members
                .iter()
                .filter(|member| member.alive)
                .for_each(|member| self.shared.say(member.node, &doubt));
        }
    }

    /// Shows nodes that we have nothing more to say to them what they should have heard.
    fn close_links(&self) {
        self.shared.state().links.values_mut().for_each(Outbound::close);
        self.shared.sending.notify_one();
    }

    /// Says something to itself. An inbox that does not bring it is read anew from its beginning.
    fn check_inbox(&self, node: NodeId) {
        if self.echo_sent.get() > self.echo_heard.get() + 1 {
            self.position.replace(Position::default());
        }
        let number = self.echo_sent.get() + 1;
        self.echo_sent.set(number);
        self.shared.say(node, &Packet::Echo { number });
    }

    /// Registers clients that were opened in an outage; all of them, if the backplane may have lost some.
    async fn reconcile(self: &Rc<Self>, node: NodeId) -> bool {
        let generation = self.backplane.generation();
        let now = self.shared.now();
        let is_due = now.saturating_sub(self.reconciled.get()) >= RECONCILE;
        let all = is_due || self.doubtful.get() || generation != self.generation.get();
        self.doubtful.set(false);
        self.shared.state().epoch += u64::from(all);
        let doubted = self.doubted.take();
        let is_doubtful = |holder: &Holder| all || holder.fence == 0 || doubted.contains(&holder.id);
        let is_done = self.register_all(node, is_doubtful).await && self.register_held(node, all).await;
        if is_done {
            if self.generation.replace(generation) != generation {
                // Marks may be lost, too, and what was said last.
                self.shared.state().links.values_mut().for_each(Outbound::reopen);
                self.realms().for_each(|realm| realm.seek_again());
            }
            self.reconciled.set(if all { now } else { self.reconciled.get() });
        } else {
            self.doubtful.set(all);
            self.doubted.borrow_mut().extend(doubted);
        }
        is_done
    }

    fn realms(&self) -> impl Iterator<Item = Arc<Realm>> {
        self.node.upgrade().into_iter().flat_map(|node| node.realms())
    }

    /// Registers the clients of this node. False if that failed.
    async fn register_all(self: &Rc<Self>, node: NodeId, wanted: impl Fn(&Holder) -> bool) -> bool {
        let Some(realms) = self.node.upgrade().map(|node| node.realms()) else { return true };
        for realm in realms {
            let holders: Vec<Holder> = realm.holders().into_iter().filter(|holder| wanted(holder)).collect();
            let any = !holders.is_empty();
            for some in holders.chunks(REGISTERED_AT_ONCE) {
                if !self.register(node, &realm, some).await {
                    return false;
                }
            }
            if any && self.backplane.count(realm.key(), node, realm.clients()).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn register(self: &Rc<Self>, node: NodeId, realm: &Arc<Realm>, holders: &[Holder]) -> bool {
        let now = self.shared.unix_millis();
        // Those that have left since are released, and others may have their ids.
        let held = holders.iter().filter(|holder| realm.is_held_by(&holder.id, holder.connection));
        let all = held.map(|holder| {
            let registration = Registration {
                name: name_of_peer(&realm.address(&holder.id)),
                owner: Owner { node, connection: holder.connection },
                token: digest(&holder.token),
                link: holder.link,
                over: None,
                fence: holder.fence,
                since: now.saturating_sub(holder.age),
                former: self.former.get(),
                late: holder.fence <= self.lapsed.get(),
            };
            (holder.id.clone(), registration)
        });
        let Some(lost) = self.try_register(realm, all.collect()).await else { return false };
        let (dead, mut lost): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|(.., owner)| self.is_dead(owner.node));
        let again = dead.into_iter().map(|(id, one, owner)| (id, Registration { over: Some(owner), ..one }));
        let Some(lost_again) = self.try_register(realm, again.collect()).await else { return false };
        lost.extend(lost_again);
        for (id, registration, owner) in lost {
            spawn_local(Rc::clone(self).contest(Arc::clone(realm), id, registration, owner));
        }
        true
    }

    /// Gives those that lost, and to whom. `None` if the backplane did not answer.
    async fn try_register(
        self: &Rc<Self>,
        realm: &Realm,
        all: Vec<(PeerId, Registration)>,
    ) -> Option<Vec<(PeerId, Registration, Owner)>> {
        if all.is_empty() {
            return Some(Vec::new());
        }
        let questions = all.iter().map(|(_, registration)| registration.clone()).collect();
        let outcomes = self.backplane.register(questions).await.ok()?;
        let mut lost = Vec::new();
        for ((id, registration), outcome) in all.into_iter().zip(outcomes) {
            match outcome {
                RegisterOutcome::Kept(Granted { fence, former, waiting, .. }) => {
                    let connection = registration.owner.connection;
                    realm.set_fence(&id, connection, fence);
                    let name = registration.name.as_ref();
                    let appeared = Packet::Appeared { name, connection: connection.get() };
                    waiting.iter().for_each(|other| self.shared.say(*other, &appeared));
                    let others = former.into_iter().filter(|owner| !self.is_ours(owner.node));
                    others.for_each(|owner| {
                        drop(self.tell_to_yield(&registration.name, owner, CloseReason::Outranked));
                    });
                }
                RegisterOutcome::Lost(owner) => lost.push((id, registration, owner)),
            }
        }
        Some(lost)
    }

    /// Another connection has the better claim to an id. If it lives, ours is told; but it may have left in an outage.
    async fn contest(
        self: Rc<Self>,
        realm: Arc<Realm>,
        id: PeerId,
        registration: Registration,
        owner: Owner,
    ) {
        let Owner { node, connection } = registration.owner;
        let is_alive = if self.is_ours(owner.node) {
            !self.is_gone(&realm, &id, owner)
        } else {
            self.is_alive_there(&realm, &registration.name, owner).await
        };
        if self.node() != Some(node) || !realm.is_held_by(&id, connection) {
            return;
        }
        if is_alive {
            self.lost_ids.update(|lost| lost + 1);
            return realm.yield_id(&id, connection, CloseReason::Outranked);
        }
        if self.opens(&realm.address(&id)) {
            // A client that takes over here, unless it leaves.
            return self.doubtful.set(true);
        }
        let again = (id, Registration { over: Some(owner), ..registration });
        match self.try_register(&realm, vec![again]).await {
            Some(lost) if lost.is_empty() => {}
            // It is tried again.
            _ => self.doubtful.set(true),
        }
    }

    /// The life of this node is over. If it was lost, others may have what it had.
    pub(super) async fn end_life(self: &Rc<Self>, node: NodeId, end: End) {
        self.shared.state().is_up = false;
        if end == End::Closed {
            let _ = timeout(LEAVE, self.say_last_words(node)).await;
            self.shared.state().node = None;
            return;
        }
        self.tell(|| ClusterEvent::LeaseEnded { life: node });
        self.begin_outage();
        self.settled_from.set(None);
        let is_late = self.shared.now() >= self.shared.state().good_until;
        // Otherwise the backplane lost it, and nobody could claim rightly what is here.
        if is_late {
            self.lapsed.set(self.highest_fence());
        }
        self.read_last_results(node).await;
        {
            let mut state = self.shared.state();
            (state.node, state.good_until) = (None, 0);
            state.links.clear();
            state.silent.clear();
            state.dead.insert(node);
        }
        // The nodes of these players believe that this node is dead.
        self.seats.take();
        self.former.set(Some(node));
        self.parked.take();
        self.lose_node(None);
    }

    fn highest_fence(&self) -> u64 {
        let ids = self.realms().flat_map(|realm| realm.holders()).map(|holder| holder.fence).max();
        let names = self.shared.state().held.values().map(|held| held.fence).max();
        ids.max(names).unwrap_or(0)
    }

    async fn say_last_words(self: &Rc<Self>, node: NodeId) {
        while self.send_turn(node).await {}
        let releases = std::mem::take(&mut self.shared.state().releases);
        let _ = self.backplane.release(releases).await;
        let _ = self.backplane.leave(node).await;
    }
}
