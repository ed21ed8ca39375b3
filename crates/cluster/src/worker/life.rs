//! A life of this node: it joins, registers its names, keeps its lease, and loses it or leaves. Between,
//! outages of the backplane.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::{LifeEnd, Worker};
use crate::link::Outbound;
use crate::membership::{digest, name_of_peer};
use crate::packet::{OwnedName, Packet, Question};
use crate::{
    Backplane, Entity, Granted, KnownNode, Name, NodeCard, Owner, RegisterOutcome, Registration, Renewal,
    Unavailable,
};
use peerbroker_config::{ClusterConfig, Degraded, SharedSettings};
use peerbroker_core::clock::{LeaseInstant, UnixMillis};
use peerbroker_core::vocabulary::{CloseReason, ConnId, ConnectionKind, NodeId};
use peerbroker_events::ClusterEvent;
use peerbroker_router::{Holder, Realm};

/// Interval at which a node tries to join.
const JOIN_INTERVAL: Duration = Duration::from_millis(250);

/// Number of renewals within one lease.
const RENEWALS: u32 = 5;

/// Number of renewal intervals in which the other nodes may register their names, after this one has lost its
/// life and before it claims ids. If no id may be given twice, it waits after each outage, and for a lease:
/// by then each node has registered, or others may have its ids.
const SETTLING: u32 = 2;

/// Number of names that are registered at once.
const REGISTER_BATCH: usize = 500;

/// Time for which a node that leaves sends its last packets.
const LEAVE: Duration = Duration::from_secs(2);

impl<B: Backplane> Worker<B> {
    fn card(&self) -> NodeCard {
        let ClusterConfig { node_name, place, .. } = &self.shared.config;
        NodeCard { name: node_name.clone(), place: place.clone(), shared: self.settings() }
    }

    /// The settings that all nodes should share. A reload changes them.
    fn settings(&self) -> SharedSettings {
        let node = self.node.upgrade();
        node.map(|node| node.router().live_config().load().shared.clone()).unwrap_or_default()
    }

    /// Joins, and registers the present clients. `None` if the node stops before.
    pub(super) async fn begin_life(self: &Rc<Self>) -> Option<NodeId> {
        loop {
            if self.is_closed() {
                return None;
            }
            let node = self.backplane.new_node();
            let began = self.shared.clock.elapsed();
            let gaps = self.shared.clock.gaps_so_far();
            match self.backplane.join(node, &self.card(), self.shared.config.lease).await {
                Ok(()) => {
                    self.inbox.begin();
                    self.room_news.begin();
                    self.lives.begin(node);
                    self.certainty.begin();
                    self.doubts.begin(self.backplane.generation());
                    if self.outages.meet(self.backplane.store()) && self.lives.former().is_some() {
                        // Other nodes had an outage while this one slept.
                        self.begin_outage();
                        self.outages.unsettle();
                    }
                    {
                        let mut state = self.shared.state.lock();
                        state.node = Some(node);
                        state.room_subscribers.clear();
                        state.epoch += 1;
                        state.good_until = began + self.shared.config.lease;
                    }
                    self.outages.interrupt(self.shared.clock.elapsed());
                    self.lives.renew(self.shared.clock.now());
                    // Earlier questions are lost, and marks of the former life lead nowhere.
                    self.realms().for_each(|realm| realm.seek_again());
                    if self.register_all(node, |_| true).await && self.register_held(node, true).await {
                        return Some(node);
                    }
                    self.shared.state.lock().node = None;
                }
                Err(error) => {
                    self.record_outage(&error);
                    self.record_sure(gaps);
                }
            }
            let _ = timeout(JOIN_INTERVAL, self.shared.is_closing()).await;
        }
    }

    /// Renews the lease until it is lost.
    pub(super) async fn keep_lease(self: &Rc<Self>, node: NodeId) -> LifeEnd {
        let interval = self.shared.config.lease / RENEWALS;
        let mut pause = Duration::ZERO;
        loop {
            select! {
                biased;
                () = sleep(pause) => {}
                () = self.suspected.notified() => {}
                () = self.shared.awakening.awaited.notified() => {}
                () = self.shared.is_closing() => {}
            }
            if self.is_closed() {
                self.give_away().await;
                return LifeEnd::Closed;
            }
            let asked = self.shared.clock.elapsed();
            let gaps = self.shared.clock.gaps_so_far();
            let renewed = self.backplane.renew(node, &self.settings(), self.shared.config.lease).await;
            let now = self.shared.clock.elapsed();
            match renewed {
                Ok(Renewal::Renewed(members)) => {
                    self.shared.state.lock().good_until = asked + self.shared.config.lease;
                    self.lives.renew(self.shared.clock.now());
                    // Registering again may take a while.
                    self.renewed.notify_waiters();
                    self.record_members(node, members);
                    self.check_inbox(node, gaps);
                    self.send_given_back();
                    self.close_links();
                    self.check_store();
                    if self.reconcile(node).await && self.is_settled() {
                        self.record_up();
                    }
                    self.emit_lost_ids();
                    pause = interval;
                }
                Ok(Renewal::Lost) => return LifeEnd::Lost,
                Err(error) => {
                    self.outages.interrupt(now);
                    let good_until = self.shared.state.lock().good_until;
                    if now + self.shared.config.lease / 2 >= good_until {
                        self.record_outage(&error);
                    }
                    if now >= good_until {
                        return LifeEnd::Lost;
                    }
                    pause = JOIN_INTERVAL;
                }
            }
        }
    }

    fn record_members(&self, own: NodeId, members: Vec<KnownNode>) {
        let known: Vec<NodeId> = self.shared.state.lock().links.keys().copied().collect();
        let is_alive = |node: &NodeId| members.iter().any(|member| member.node == *node && member.alive);
        let gone =
            known.iter().chain(members.iter().map(|member| &member.node)).filter(|node| !is_alive(node));
        gone.filter(|node| **node != own).for_each(|dead| self.mark_dead(*dead));
        self.share_rooms(own, &members);
        let before = std::mem::replace(&mut self.shared.state.lock().members, members.clone());
        let is_new = |node: NodeId| !before.iter().any(|known| known.node == node);
        if is_new(own) {
            let others = members.iter().filter(|member| member.alive && member.node != own);
            self.emit(|| ClusterEvent::Joined {
                name: self.shared.config.node_name.clone(),
                life: own,
                others: others.map(|member| member.name.clone()).collect(),
            });
        } else {
            for member in members.iter().filter(|member| member.alive && is_new(member.node)) {
                self.emit(|| ClusterEvent::NodeJoined { name: member.name.clone(), life: member.node });
            }
        }
        self.record_namesakes(own, &members);
        self.record_other_settings(own, &members);
        for life in self.untold.take_gone() {
            let member = members.iter().chain(&before).find(|member| member.node == life);
            let left = member.is_some_and(|member| member.left);
            self.emit(|| ClusterEvent::NodeGone {
                name: member.map(|member| member.name.clone()),
                life,
                left,
            });
        }
    }

    /// Tells of other nodes with the name of this one. An earlier life of this node, which was killed, lives
    /// until its lease ends. The next server of a node has its name, and its place too.
    fn record_namesakes(&self, own: NodeId, members: &[KnownNode]) {
        let name = &self.shared.config.node_name;
        let now = self.shared.clock.elapsed();
        let own_place = members.iter().find(|member| member.node == own).map(|member| member.place.clone());
        let own_place = own_place.unwrap_or_default();
        let is_namesake = |member: &&KnownNode| {
            let is_next = !own_place.is_empty() && member.place == own_place;
            member.alive && member.node != own && member.name == *name && !is_next
        };
        let namesakes: Vec<&KnownNode> = members.iter().filter(is_namesake).collect();
        for member in self.untold.namesakes(&namesakes, now, self.shared.config.lease) {
            let places = [&own_place, &member.place].map(|place| match place.as_str() {
                "" => "an unknown place".to_owned(),
                place => place.to_owned(),
            });
            self.emit(|| ClusterEvent::SameName { name: name.clone(), life: member.node, places });
        }
    }

    /// Tells of nodes with other values of settings that all nodes should share, once for each difference.
    fn record_other_settings(&self, own: NodeId, members: &[KnownNode]) {
        let ours = self.settings();
        fn shown(value: Option<&String>) -> String {
            value.map_or_else(|| "not set".to_owned(), |value| value.escape_debug().to_string())
        }
        let others = members.iter().filter(|member| member.alive && member.node != own);
        let differing = |member: &KnownNode| {
            let flags: BTreeSet<&String> = ours.keys().chain(member.shared.keys()).collect();
            let differing = flags.into_iter().filter(|flag| ours.get(*flag) != member.shared.get(*flag));
            let texts = differing.map(|flag| {
                format!("{flag} {} (here {})", shown(member.shared.get(flag)), shown(ours.get(flag)))
            });
            texts.collect::<Vec<_>>().join(", ")
        };
        let differences = others.map(|member| (member.node, differing(member))).collect();
        for (life, settings) in self.untold.differences(differences) {
            let name = members.iter().find(|member| member.node == life).map(|member| member.name.clone());
            self.emit(|| ClusterEvent::OtherSettings { name: name.unwrap_or_default(), life, settings });
        }
    }

    fn emit_lost_ids(&self) {
        let ids = self.untold.take_lost_ids();
        if ids > 0 {
            self.emit(|| ClusterEvent::IdsLost { ids });
        }
    }

    /// Tells all nodes, this one too, the names that a claim or a registration of ours may have taken from
    /// them, and that we do not have any more.
    fn send_given_back(&self) {
        let members = self.shared.state.lock().members.clone();
        let has_left = |name: &Name, connection: ConnId| {
            !self.peer_of(&name.as_ref()).is_some_and(|(realm, id)| realm.is_held_by(&id, connection))
        };
        for name in self.calls.take_displaced(has_left) {
            let doubt = Packet::Doubt { name: name.as_ref() };
            for member in members.iter().filter(|member| member.alive) {
                self.shared.say(member.node, &doubt);
            }
        }
    }

    /// Sends empty batches to nodes to which we have nothing more to send, so that they notice lost ones.
    fn close_links(&self) {
        self.shared.state.lock().links.values_mut().for_each(Outbound::close);
        self.shared.sending.notify_one();
    }

    /// Sends a packet to itself. An inbox that does not deliver it is read again from its beginning.
    ///
    /// When it comes, all is read that was said before: the node knows if others have taken its ids in so
    /// many gaps.
    fn check_inbox(self: &Rc<Self>, node: NodeId, gaps: u64) {
        if self.certainty.misses_echo() {
            self.inbox.rewind();
        }
        if self.certainty.is_before(gaps) {
            // A node that has given up a message to this one has said so before it answers.
            let worker = Rc::clone(self);
            self.certainty.begin_contest();
            spawn_local(async move {
                worker.hear_others(Question::Alive(OwnedName::default(), 0)).await;
                worker.certainty.end_contest();
                worker.record_if_sure();
            });
        }
        let number = self.certainty.next_echo(gaps);
        self.shared.say(node, &Packet::Echo { number });
    }

    /// Registers clients that were opened in an outage; all clients, if the backplane may have lost some.
    async fn reconcile(self: &Rc<Self>, node: NodeId) -> bool {
        let now = self.shared.clock.elapsed();
        let doubted = self.doubts.take(now, self.backplane.generation());
        self.shared.state.lock().epoch += u64::from(doubted.all);
        let is_doubtful =
            |holder: &Holder| doubted.all || holder.fence == 0 || doubted.ids.contains(&holder.id);
        let is_done =
            self.register_all(node, is_doubtful).await && self.register_held(node, doubted.all).await;
        if !is_done {
            self.doubts.put_back(doubted);
        } else if self.doubts.end(now, &doubted) {
            // Marks may be lost too, and so may the last packets.
            self.shared.state.lock().links.values_mut().for_each(Outbound::reopen);
            self.realms().for_each(|realm| realm.seek_again());
        }
        is_done
    }

    pub(super) fn realms(&self) -> impl Iterator<Item = Arc<Realm>> {
        self.node.upgrade().into_iter().flat_map(|node| node.realms())
    }

    /// Registers the clients of this node. False if that failed.
    async fn register_all(self: &Rc<Self>, node: NodeId, wanted: impl Fn(&Holder) -> bool) -> bool {
        for realm in self.realms() {
            let holders: Vec<Holder> = realm.holders().into_iter().filter(|holder| wanted(holder)).collect();
            for some in holders.chunks(REGISTER_BATCH) {
                // Clients that have left since are released, and others may have their ids.
                let held = some.iter().filter(|holder| realm.is_held_by(&holder.id, holder.connection));
                let registration = |holder: &Holder| {
                    let name = name_of_peer(&realm.address(&holder.id));
                    let owner = Owner { node, connection: holder.connection };
                    let since = self.shared.clock.unix_millis_at(holder.opened);
                    let of_socket =
                        self.registration(name, owner, holder.token.as_str(), holder.fence, since);
                    Registration { kind: holder.kind, ..of_socket }
                };
                let Some(lost) = self.register(held.map(registration).collect()).await else { return false };
                for (registration, owner) in lost {
                    let worker = Rc::clone(self);
                    self.certainty.begin_contest();
                    spawn_local(async move {
                        Rc::clone(&worker).contest(registration, owner).await;
                        worker.certainty.end_contest();
                        worker.record_if_sure();
                    });
                }
            }
            let is_counted =
                async || self.backplane.count(realm.key(), node, realm.limits().taken()).await.is_ok();
            if !holders.is_empty() && !is_counted().await {
                return false;
            }
        }
        true
    }

    /// The registration of a name by a WebSocket.
    pub(super) fn registration(
        &self,
        name: Name,
        owner: Owner,
        token: &str,
        fence: u64,
        since: UnixMillis,
    ) -> Registration {
        let token = digest(token);
        let kind = ConnectionKind::Socket;
        let known_dead = None;
        let former = self.lives.former();
        let late = self.lives.has_lapsed(fence);
        Registration { name, owner, token, kind, known_dead, fence, since, former, late }
    }

    /// Registers names. Returns the lost ones, and the winner of each. `None` if the backplane did not
    /// answer.
    pub(super) async fn register(
        self: &Rc<Self>,
        mut asked: Vec<Registration>,
    ) -> Option<Vec<(Registration, Owner)>> {
        let mut lost = Vec::new();
        // The second time over the dead ones. If two have held a room or alias on this node, its present
        // holder is right.
        for is_last in [false, true] {
            if asked.is_empty() {
                break;
            }
            let Ok(outcomes) = self.backplane.register(asked.clone()).await else {
                let ids = asked.into_iter().filter(|one| matches!(one.name.entity, Entity::Peer(_)));
                self.calls.add_unanswered(ids.map(|one| (one.name, one.owner.connection)));
                return None;
            };
            for (registration, outcome) in std::mem::take(&mut asked).into_iter().zip(outcomes) {
                self.calls.remove_answered(&registration.name);
                let is_peer = matches!(registration.name.entity, Entity::Peer(_));
                match outcome {
                    RegisterOutcome::Kept(granted) => self.record_kept(&registration, granted),
                    RegisterOutcome::Lost(owner)
                        if !is_last && (self.is_dead(owner.node) || !is_peer && self.is_ours(owner.node)) =>
                    {
                        asked.push(Registration { known_dead: Some(owner), ..registration });
                    }
                    RegisterOutcome::Lost(owner) => lost.push((registration, owner)),
                }
            }
        }
        Some(lost)
    }

    fn record_kept(self: &Rc<Self>, Registration { name, owner, .. }: &Registration, granted: Granted) {
        if !matches!(name.entity, Entity::Peer(_)) {
            self.record_fence(name, *owner, granted.fence);
        } else if let Some((realm, id)) = self.peer_of(&name.as_ref()) {
            realm.set_fence(&id, owner.connection, granted.fence);
            let appeared = Packet::Appeared { name: name.as_ref(), connection: owner.connection.get() };
            granted.waiting.iter().for_each(|other| self.shared.say(*other, &appeared));
        }
        self.notify_former(name, granted.former, CloseReason::Outranked);
    }

    /// Another connection has the better claim to an id. If it lives, ours is told; but it may have left in
    /// an outage, or leave while it is asked, and ours be registered in the meantime. So the directory has
    /// the last word.
    async fn contest(self: Rc<Self>, registration: Registration, winner: Owner) {
        let Some((realm, id)) = self.peer_of(&registration.name.as_ref()) else { return };
        let Owner { node, connection } = registration.owner;
        let is_alive = if self.is_ours(winner.node) {
            !self.is_gone(&realm, &id, winner)
        } else {
            self.is_alive_there(&realm, &registration.name, winner).await
        };
        let is_held = || self.node() == Some(node) && realm.is_held_by(&id, connection);
        if !is_held() {
            return;
        }
        if !is_alive && self.opens(&realm.address(&id)) {
            // A client that takes over here, unless it leaves.
            self.doubts.doubt([id]);
            return;
        }
        let known_dead = (!is_alive).then_some(winner);
        match self.register(vec![Registration { known_dead, ..registration }]).await.as_deref() {
            Some([]) => {}
            Some([(_, owner)]) if is_alive && *owner == winner => {
                if is_held() {
                    self.untold.add_lost_id();
                    realm.yield_id(&id, connection, CloseReason::Outranked);
                }
            }
            // It is tried again.
            _ => self.doubts.doubt([id]),
        }
    }

    /// The life of this node is over. If its lease was lost, others may have its names.
    pub(super) async fn end_life(self: &Rc<Self>, node: NodeId, end: LifeEnd) {
        self.shared.state.lock().is_up = false;
        if end == LifeEnd::Closed {
            let _ = timeout(LEAVE, self.say_last_words(node)).await;
            self.shared.state.lock().node = None;
            return;
        }
        self.emit(|| ClusterEvent::LeaseEnded { life: node });
        self.untold.lose_lease();
        let is_late = self.shared.clock.elapsed() >= self.shared.state.lock().good_until;
        let was_answered = self.shared.clock.now() < self.lives.renewed_at() + self.shared.config.lease / 2;
        // A node that only slept had no outage: its new clients wait for its next life, and that need not
        // wait for other nodes.
        if !(is_late && was_answered) {
            self.begin_outage();
            self.outages.unsettle();
        }
        // Otherwise the backplane lost it, and no other node could validly claim its names.
        if is_late {
            self.lives.lapse(self.highest_fence());
        }
        self.read_last_results(node).await;
        {
            let mut state = self.shared.state.lock();
            state.node = None;
            state.good_until = LeaseInstant::default();
            state.links.clear();
            state.silent.clear();
            state.room_subscribers.clear();
            state.dead.insert(node);
        }
        self.lives.end(node);
        self.parked.clear();
        self.lose_node(None);
        // The nodes of these clients believe that this node is dead.
        self.seats.take_back_all(None);
        let names = self.node.upgrade().map(|node| node.all_names()).unwrap_or_default();
        names.iter().for_each(|names| names.lapse());
    }

    fn record_outage(&self, error: &Unavailable) {
        if self.shared.config.degraded == Degraded::Refuse {
            self.outages.unsettle();
        }
        if !self.begin_outage() {
            let why = match error {
                Unavailable::LoginRefused(why) => why.clone(),
                Unavailable::NoAnswer(why) => format!("cannot reach the other nodes: {why}"),
            };
            let refuses = self.shared.config.degraded == Degraded::Refuse;
            self.emit(|| ClusterEvent::Unreachable { why, refuses });
        }
    }

    /// True if it was one already.
    fn begin_outage(&self) -> bool {
        let was_out = {
            let mut state = self.shared.state.lock();
            state.is_up = false;
            std::mem::replace(&mut state.is_out, true)
        };
        self.renewed.notify_waiters();
        was_out
    }

    /// True if the other nodes have had the time to register their names.
    fn is_settled(&self) -> bool {
        let wait = match self.shared.config.degraded {
            Degraded::Allow => self.shared.config.lease * SETTLING / RENEWALS,
            Degraded::Refuse => self.shared.config.lease,
        };
        self.outages.is_settled(self.shared.clock.elapsed(), wait)
    }

    /// Another store may lack records of the last one, until each node has registered its names.
    pub(super) fn check_store(&self) {
        if self.outages.meet(self.backplane.store()) {
            self.outages.interrupt(self.shared.clock.elapsed());
            self.record_outage(&Unavailable::NoAnswer(B::STORE_CHANGED.to_owned()));
            // Not at the next turn: clients wait.
            self.suspected.notify_one();
        }
    }

    /// The node is sure if all was read that was said before its echo, and no id is contested.
    pub(super) fn record_if_sure(&self) {
        if let Some(gaps) = self.certainty.gaps() {
            self.record_sure(gaps);
        }
    }

    /// As that of the membership. Writes what was held back.
    fn record_sure(&self, gaps: u64) {
        self.shared.awakening.record_sure(gaps);
        if self.shared.is_sure() {
            self.certainty.take_held_back().flush();
        }
    }

    fn record_up(&self) {
        let was_out = {
            let mut state = self.shared.state.lock();
            state.is_up = true;
            std::mem::take(&mut state.is_out)
        };
        if was_out | self.untold.take_lost_lease() {
            self.emit(|| ClusterEvent::Reachable);
        }
        self.renewed.notify_waiters();
    }

    fn highest_fence(&self) -> u64 {
        let ids = self.realms().flat_map(|realm| realm.holders()).map(|holder| holder.fence).max();
        let names = self.shared.state.lock().held.values().map(|held| held.fence).max();
        ids.max(names).unwrap_or(0)
    }

    /// Gives away the messages of this node, which closes: they go to others, or senders are told. After
    /// their first answers the others send nothing more for members that were here, and before their second
    /// ones they have read what was given back.
    async fn give_away(self: &Rc<Self>) {
        if self.node.strong_count() == 0 {
            return;
        }
        self.hear_others(Question::Close).await;
        self.replicated().iter().for_each(|members| members.give_back());
        self.realms().for_each(|realm| realm.expire_all());
        let notices = std::mem::take(&mut self.shared.state.lock().notices);
        Rc::clone(self).notify_all(notices).await;
        self.hear_others(Question::Alive(OwnedName::default(), 0)).await;
    }

    async fn say_last_words(self: &Rc<Self>, node: NodeId) {
        while self.send_turn(node).await {}
        let mut releases = std::mem::take(&mut self.shared.state.lock().releases);
        releases.extend(self.calls.abandoned());
        self.calls.release(Rc::clone(self).release_all(releases));
        let mut releasing = self.calls.take_releasing();
        while releasing.join_next().await.is_some() {}
        let _ = self.backplane.leave(node).await;
    }
}
