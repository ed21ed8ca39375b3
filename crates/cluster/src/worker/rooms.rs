//! Members of rooms and swarms: this node tells the others its own, and hears theirs.

use std::sync::Arc;
use std::time::Duration;

use super::state::Unsettled;
use super::{LocalNode, Worker};
use crate::membership::packet_of;
use crate::packet::{MovedMember, Packet};
use crate::{Backplane, KnownNode};
use peerbroker_core::vocabulary::{NodeId, RealmKind};
use peerbroker_rooms::{News, Replicated};
use peerbroker_router::Flushes;

impl<B: Backplane> Worker<B> {
    /// Lists this node's members to living nodes that do not know them, and forgets those of nodes that have
    /// died.
    pub(super) fn share_rooms(&self, own: NodeId, members: &[KnownNode]) {
        let alive: Vec<NodeId> =
            members.iter().filter(|member| member.alive).map(|member| member.node).collect();
        let subscribers = self.shared.state.lock().room_subscribers.clone();
        let untold = alive.iter().filter(|node| **node != own && !subscribers.contains(node));
        untold.for_each(|node| self.list_rooms(*node));
        for replicated in self.replicated() {
            // A node that was heard in this life may be newer than the list of nodes.
            let is_unknown = |node: &NodeId| !alive.contains(node) && !self.inbox.has_heard(*node);
            for node in replicated.nodes().into_iter().filter(is_unknown) {
                let has_left = members.iter().any(|member| member.node == node && member.left);
                replicated.lose_node(node, self.patience(has_left));
            }
        }
        self.ask_for_missed();
    }

    /// The time in which members of a node that is gone may come to another one, or be listed by its next
    /// life.
    ///
    /// If its lease has ended while the backplane answered, they had that time. But an outage ends leases of
    /// nodes that live.
    pub(super) fn patience(&self, has_left: bool) -> Duration {
        let lease = self.shared.config.lease;
        let reclaim = |node: Arc<dyn LocalNode>| node.router().live_config().load().limits.reclaim_timeout;
        let reclaim = self.node.upgrade().map(reclaim).unwrap_or_default();
        let answered = self.outages.answered_for(self.shared.clock.elapsed());
        match (has_left, answered < self.shared.config.lease) {
            (true, _) => reclaim,
            (false, true) => lease,
            (false, false) => reclaim.saturating_sub(lease),
        }
    }

    pub(super) fn replicated(&self) -> Vec<Arc<dyn Replicated>> {
        self.node.upgrade().map(|node| node.replicated()).unwrap_or_default()
    }

    /// Asks for the lists of nodes whose news this node could not understand, because it did not know their
    /// key yet.
    fn ask_for_missed(&self) {
        let Some(node) = self.node.upgrade() else { return };
        let is_known = |key: &str| node.rooms(key, RealmKind::PeerJs).is_some();
        for node in self.room_news.take_missed(is_known) {
            self.shared.say(node, &Packet::RoomsMissed);
        }
    }

    /// Tells a node all members of this one, in pieces, and from now on each change.
    pub(super) fn list_rooms(&self, to: NodeId) {
        let Some(node) = self.node.upgrade() else { return };
        {
            let mut state = self.shared.state.lock();
            if state.node == Some(to) || state.dead.contains(&to) {
                return;
            }
            state.room_subscribers.insert(to);
        }
        self.shared.say(to, &self.list_mark(false));
        let lists = node.replicated().into_iter().map(|members| members.own_list()).collect();
        self.room_news.begin_list(to, lists);
        self.continue_lists();
    }

    /// Continues the lists for nodes to which little waits to be sent.
    pub(super) fn continue_lists(&self) {
        self.room_news.continue_lists(|to, list| {
            while let Some(own) = list.last_mut() {
                {
                    let state = self.shared.state.lock();
                    if !state.room_subscribers.contains(&to) {
                        // It could not be told of a change, and gets a new list.
                        return false;
                    }
                    if state.links.get(&to).is_some_and(|link| !link.has_room_for_list()) {
                        return true;
                    }
                }
                if !own.send_more(&mut |name, news| self.shared.say(to, &packet_of(name, news))) {
                    list.pop();
                }
            }
            self.shared.say(to, &self.list_mark(true));
            false
        });
    }

    pub(super) fn receive_news(
        &self,
        from: NodeId,
        (key, realm): (&str, RealmKind),
        news: &News<'_>,
        flushes: &mut Flushes,
    ) {
        let node = self.node.upgrade();
        let is_known = node.is_some_and(|node| node.receive(from, (key, realm), news, flushes));
        if !is_known {
            self.room_news.miss(key, from);
        }
    }

    /// Tells a node when this one has no message for a member that has moved away.
    pub(super) fn settle(&self, from: NodeId, member: MovedMember<'_>) {
        if let Some(realm) = RealmKind::of_number(member.realm) {
            let [key, room, id] = [member.key, member.room, member.id].map(str::to_owned);
            self.room_news.unsettle(Unsettled { asked_by: from, key, realm, room, id });
        }
    }

    /// Answers for the members for whom this node has no message any more. Called after each batch: one
    /// settles each message that this node hands over.
    pub(super) fn answer_settled(&self) {
        let is_settled = |member: &Unsettled| {
            let here = self.node.upgrade().and_then(|node| node.realm(&member.key, member.realm));
            here.is_none_or(|here| here.is_idle(&member.id))
        };
        for Unsettled { asked_by, key, realm, room, id } in self.room_news.take_settled(is_settled) {
            let member = MovedMember { key: &key, room: &room, id: &id, realm: realm.number() };
            self.shared.say(asked_by, &Packet::RoomSettled(member));
        }
    }

    /// The packet at the beginning of a list, or at its end.
    fn list_mark(&self, is_end: bool) -> Packet<'static> {
        Packet::RoomList { is_end, first_life: self.lives.first_number() }
    }

    pub(super) fn receive_list_of_rooms(
        &self,
        from: NodeId,
        (is_end, first_life): (bool, u64),
        flushes: &mut Flushes,
    ) {
        let former = self.room_news.replace_life(first_life, from, &self.shared.state.lock().members);
        for members in self.replicated() {
            if let Some(former) = former {
                members.succeed(former, from, flushes);
            }
            if is_end {
                members.end_list(from, flushes);
            } else {
                members.begin_list(from);
            }
        }
        // A node that is new need not wait for the next list of nodes.
        if !self.shared.state.lock().room_subscribers.contains(&from) {
            self.list_rooms(from);
        }
    }
}
