//! The part of this node in what the nodes of a cluster tell each other about members of rooms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::handover::Handover;
use super::others::{
    GoneNews, MemberNews, News, OpenedNews, OtherNodes, PrivateNews, RealmName, RemoteMembers, StateNews,
    TokenDigest,
};
use super::presence::PresenceState;
use super::room::RoomGuard;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{ApiKey, NodeId, PeerId, RealmKind, RoomName, RoomRefusal, Token};

/// The other nodes, and what they have told. Outside a cluster there are none.
pub(super) struct Neighbours {
    key: ApiKey,
    realm: RealmKind,
    nodes: Option<Arc<dyn OtherNodes>>,
    /// The members of the other nodes.
    pub(super) members: Mutex<RemoteMembers>,
    /// Members of rooms whose messages wait until their old node answers, and the times at which that ends in
    /// any case.
    moving: Mutex<BTreeSet<(Instant, RoomName, PeerId)>>,
    /// The number of the latest news of this node.
    latest: AtomicU64,
}

impl Neighbours {
    pub(super) fn new(name: RealmName<'_>, nodes: Option<Arc<dyn OtherNodes>>) -> Self {
        Neighbours {
            key: name.key.clone(),
            realm: name.realm,
            nodes,
            members: Mutex::default(),
            moving: Mutex::default(),
            latest: AtomicU64::default(),
        }
    }

    pub(super) fn realm_name(&self) -> RealmName<'_> {
        RealmName { key: &self.key, realm: self.realm }
    }

    pub(super) fn digest(&self, token: &Token) -> TokenDigest {
        self.nodes.as_ref().map(|nodes| nodes.digest(token)).unwrap_or_default()
    }

    /// Tells of a member of this node, under the lock of its room.
    pub(super) fn announce_member(&self, members: &mut RoomGuard<'_>, id: &PeerId) {
        let Some(nodes) = &self.nodes else { return };
        let room = members.room.name().as_str();
        let state = members.state_version();
        if let Some(own) = members.own_mut(id) {
            let number = own.announce(|| self.next_number());
            let token = own.token;
            let (data, seat) = own.facts();
            let member = MemberNews { room, id: id.as_str(), token, number, data, seat, state };
            nodes.send(self.realm_name(), &News::Member(member));
        }
    }

    /// Tells of a write that this node has put in order, under the lock of its room.
    pub(super) fn announce_state(&self, news: StateNews<'_>) {
        if let Some(nodes) = &self.nodes {
            nodes.send(self.realm_name(), &News::State(news));
        }
    }

    /// Tells that a peer of this node watches an id, or that it is the one that others watch.
    pub(super) fn announce_watched(&self, watched: &str, id: &PeerId, state: &PresenceState) {
        if let Some(nodes) = &self.nodes {
            let room = RoomName::of_watched(watched);
            let member = MemberNews::of_id(&room, id, state.digest, state.announced);
            nodes.send(self.realm_name(), &News::Member(member));
        }
    }

    /// Tells that a peer of this node does not watch an id any more, or is not to be watched. False if a node
    /// is not told.
    pub(super) fn announce_unwatched(
        &self,
        watched: &str,
        id: &PeerId,
        for_good: bool,
        former: Vec<(u64, u64)>,
    ) -> bool {
        self.nodes.is_none() || self.announce_gone(&RoomName::of_watched(watched), id, for_good, former, 0)
    }

    /// Tells that a peer is no member of this node any more, under the lock of its room. False if a node is
    /// not told.
    pub(super) fn announce_gone(
        &self,
        room: &RoomName,
        id: &PeerId,
        for_good: bool,
        former: Vec<(u64, u64)>,
        number: u64,
    ) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| {
            let gone = GoneNews { room: room.as_str(), id: id.as_str(), for_good, former, number };
            nodes.send(self.realm_name(), &News::Gone(gone))
        })
    }

    /// True if this node is one of a cluster.
    pub(super) fn exist(&self) -> bool {
        self.nodes.is_some()
    }

    /// The id of this node, if it is one of a cluster.
    pub(super) fn own(&self) -> Option<NodeId> {
        self.nodes.as_ref()?.own()
    }

    /// The number of the latest news.
    pub(super) fn latest_number(&self) -> u64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// A number that is greater than those before.
    pub(super) fn next_number(&self) -> u64 {
        self.latest.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The rooms in which a client is on other nodes. If another client had its id, those nodes are told.
    pub(super) fn rooms_of(&self, id: &PeerId, token: TokenDigest) -> Vec<RoomName> {
        let Some(nodes) = &self.nodes else { return Vec::new() };
        let (rooms, has_stranger) = self.members.lock().of_peer(id, token);
        if has_stranger {
            nodes.send(self.realm_name(), &News::Opened(OpenedNews { id: id.as_str(), token }));
        }
        rooms
    }

    /// Asks the nodes that a member has left if they have messages for it. False if none of them can be
    /// asked.
    pub(super) fn ask_to_settle(&self, room: &RoomName, id: &PeerId, handover: &mut Handover) -> bool {
        let Some(nodes) = &self.nodes else { return false };
        let is_asked = handover.ask(|node| nodes.ask_to_settle(self.realm_name(), room.as_str(), id, node));
        if is_asked {
            self.moving.lock().insert((handover.until(), room.clone(), id.clone()));
        }
        is_asked
    }

    /// Takes out a member whose old node has not answered in time.
    pub(super) fn next_overdue(&self, now: Instant) -> Option<(RoomName, PeerId)> {
        let mut moving = self.moving.lock();
        let is_due = moving.first().is_some_and(|(until, ..)| *until <= now);
        is_due.then(|| moving.pop_first()).flatten().map(|(_, room, id)| (room, id))
    }

    /// Gives a message back to the node of its sender, or to any other one.
    pub(super) fn give_back(&self, to: Option<NodeId>, message: PrivateNews<'_>) {
        if let Some(nodes) = &self.nodes {
            nodes.give_back(self.realm_name(), to, &News::Returned(message));
        }
    }

    /// Hands a message over to nodes: to all of them, or to none if too much waits for one.
    pub(super) fn deliver(&self, messages: &[(NodeId, News<'_>)]) -> Result<(), RoomRefusal> {
        let taken = self.nodes.as_ref().is_none_or(|nodes| nodes.deliver(self.realm_name(), messages));
        if taken { Ok(()) } else { Err(RoomRefusal::ClusterBusy) }
    }
}
