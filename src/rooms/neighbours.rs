//! This node's part in what the nodes of a cluster tell each other about members of rooms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::others::{GoneNews, MemberNews, News, OpenedNews, OtherNodes, RemoteMembers, TokenDigest};
use super::room::RoomGuard;
use crate::wire::{ApiKey, NodeId, PeerId, RoomName, Token};

/// The other nodes, and what they have told. Outside a cluster there are none.
pub(super) struct Neighbours {
    pub(super) key: ApiKey,
    nodes: Option<Arc<dyn OtherNodes>>,
    /// The members of the other nodes.
    pub(super) members: Mutex<RemoteMembers>,
    /// The number of the latest news of a member of this node.
    latest: AtomicU64,
}

impl Neighbours {
    pub(super) fn new(key: ApiKey, nodes: Option<Arc<dyn OtherNodes>>) -> Self {
        Neighbours { key, nodes, members: Mutex::default(), latest: AtomicU64::default() }
    }

    pub(super) fn digest(&self, token: &Token) -> TokenDigest {
        self.nodes.as_ref().map(|nodes| nodes.digest(token)).unwrap_or_default()
    }

    /// Tells of a member of this node, under the lock of its room.
    pub(super) fn tell_of_member(&self, members: &mut RoomGuard<'_>, id: &PeerId) {
        let Some(nodes) = &self.nodes else { return };
        let number = self.next_number();
        let room = members.room.name().as_str();
        if let Some(own) = members.own_mut(id) {
            own.told = number;
            let (token, data) = (own.token, own.data.as_deref());
            let member = MemberNews { room, id: id.as_str(), token, number, data };
            nodes.tell(&self.key, &News::Member(member));
        }
    }

    /// Tells that a peer of this node watches an id, or that it is the one that others watch.
    pub(super) fn tell_of_watched(&self, watched: &str, id: &PeerId, token: TokenDigest) {
        if let Some(nodes) = &self.nodes {
            let (room, number) = (RoomName::of_watched(watched), self.next_number());
            let member = MemberNews { room: room.as_str(), id: id.as_str(), token, number, data: None };
            nodes.tell(&self.key, &News::Member(member));
        }
    }

    /// Tells that a peer of this node does not watch an id any more, or is not to be watched.
    pub(super) fn tell_unwatched(&self, watched: &str, id: &PeerId, for_good: bool) {
        if self.nodes.is_some() {
            self.tell_gone(&RoomName::of_watched(watched), id, for_good);
        }
    }

    /// Tells that a peer is no member of this node any more, under the lock of its room.
    pub(super) fn tell_gone(&self, room: &RoomName, id: &PeerId, for_good: bool) {
        if let Some(nodes) = &self.nodes {
            let gone = GoneNews { room: room.as_str(), id: id.as_str(), for_good };
            nodes.tell(&self.key, &News::Gone(gone));
        }
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
            nodes.tell(&self.key, &News::Opened(OpenedNews { id: id.as_str(), token }));
        }
        rooms
    }

    /// Hands a message over to a node.
    pub(super) fn deliver(&self, to: NodeId, message: &News<'_>) {
        if let Some(nodes) = &self.nodes {
            nodes.deliver(to, &self.key, message);
        }
    }
}
