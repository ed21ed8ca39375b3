//! The other nodes, and the members that are there.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::wire::{ApiKey, NodeId, PeerId, RoomName, Token};

/// A digest of a client's token. Tokens themselves never leave their node.
pub type TokenDigest = [u8; 16];

/// The other nodes of a cluster, as the rooms of one node see them. An implementation never waits, and never calls the rooms:
/// the caller may hold the lock of a room.
///
/// Every node knows the members of all nodes. Each tells the others about its own members only, in order, and again all of
/// them to a node that is new or has missed something. So a node that dies takes its members with it.
pub trait OtherNodes: Send + Sync + 'static {
    /// Tells all other nodes something. It is in order with what they are told later.
    fn tell(&self, key: &ApiKey, news: &News<'_>);

    /// Hands a message over to a node.
    fn deliver(&self, to: NodeId, key: &ApiKey, message: &News<'_>);

    /// The digest of a token.
    fn digest(&self, token: &Token) -> TokenDigest;
}

/// News of one node about its own members.
#[derive(Clone, Debug)]
pub enum News<'a> {
    /// A peer is in a room.
    Member(MemberNews<'a>),
    /// A peer is not in a room any more.
    Gone(GoneNews<'a>),
    /// A client with this token has an id now. The rooms of an earlier client with another token are not its own.
    Opened(OpenedNews<'a>),
    /// A message of a member for all members of the reader.
    Message(MessageNews<'a>),
}

/// See [`News::Member`]. New fields of news go to the end, because nodes of several versions exchange them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The peer.
    pub id: &'a str,
    /// Of its token: with the same one it stays in the room when it comes to another node.
    pub token: TokenDigest,
    /// Greater than that of earlier news of the room.
    pub number: u64,
    /// Its data, as JSON text.
    pub data: Option<&'a str>,
}

/// See [`News::Gone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The peer.
    pub id: &'a str,
    /// True if it parted, and not only from this node: another node may still expect it back.
    pub for_good: bool,
}

/// See [`News::Opened`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedNews<'a> {
    /// The id.
    pub id: &'a str,
    /// Of its token.
    pub token: TokenDigest,
}

/// See [`News::Message`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The sender.
    pub from: &'a str,
    /// The number of the writer's latest news of members of the reader. It does not know those of later news, who get the
    /// message from the node on which they were before, if they were members.
    pub heard: u64,
    /// Members of the reader that get it from another node, sorted.
    #[serde(borrow)]
    pub except: Vec<&'a str>,
    /// The text for the members.
    pub text: &'a str,
}

/// The members of other nodes, as each node has told.
#[derive(Default)]
pub(super) struct RemoteMembers {
    nodes: BTreeMap<NodeId, HashMap<PeerId, Listed>>,
    /// Nodes that are gone, and the time until which their members may come to others.
    left: BTreeMap<NodeId, u64>,
}

/// A peer on another node.
struct Listed {
    token: TokenDigest,
    /// Its rooms. False for those that the list on its way has not named yet.
    rooms: HashMap<RoomName, bool>,
}

impl RemoteMembers {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Notes a member. False if it is known.
    pub(super) fn add(&mut self, node: NodeId, room: &RoomName, id: &PeerId, token: TokenDigest) -> bool {
        let new = || Listed { token, rooms: HashMap::new() };
        let listed = self.nodes.entry(node).or_default().entry(id.clone()).or_insert_with(new);
        listed.token = token;
        listed.rooms.insert(room.clone(), true).is_none()
    }

    /// Forgets a member. False if it is not known.
    pub(super) fn remove(&mut self, node: NodeId, room: &str, id: &str) -> bool {
        let Some(peers) = self.nodes.get_mut(&node) else { return false };
        let mut was_known = false;
        if let Some(listed) = peers.get_mut(id) {
            was_known = listed.rooms.remove(room).is_some();
            if listed.rooms.is_empty() {
                peers.remove(id);
            }
        }
        if peers.is_empty() {
            self.nodes.remove(&node);
        }
        was_known
    }

    /// A list of all members of a node begins.
    pub(super) fn begin_list(&mut self, node: NodeId) {
        let peers = self.nodes.get_mut(&node).into_iter().flat_map(HashMap::values_mut);
        peers.for_each(|listed| listed.rooms.values_mut().for_each(|is_named| *is_named = false));
    }

    /// The members of a node: all, or those that its list has not named.
    pub(super) fn of_node(&self, node: NodeId, wanted: impl Fn(bool) -> bool) -> Vec<(RoomName, PeerId)> {
        let mut members = Vec::new();
        for (id, listed) in self.nodes.get(&node).into_iter().flatten() {
            let rooms = listed.rooms.iter().filter(|(_, is_named)| wanted(**is_named));
            members.extend(rooms.map(|(room, _)| (room.clone(), id.clone())));
        }
        members
    }

    /// Notes that a node is gone. Its first note counts.
    pub(super) fn note_left(&mut self, node: NodeId, until: u64) {
        self.left.entry(node).or_insert(until);
    }

    /// True if a node is gone.
    pub(super) fn has_left(&self, node: NodeId) -> bool {
        self.left.contains_key(&node)
    }

    /// Takes out the nodes whose members are not expected any more.
    pub(super) fn take_left(&mut self, now: u64) -> Vec<NodeId> {
        self.left.extract_if(.., |_, until| *until <= now).map(|(node, _)| node).collect()
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// True if the peer is in rooms on other nodes.
    pub(super) fn has_peer(&self, id: &PeerId) -> bool {
        self.nodes.values().any(|peers| peers.contains_key(id))
    }

    /// The rooms in which a peer is on other nodes, and if another node has one of that id with another token.
    pub(super) fn of_peer(&self, id: &PeerId, token: TokenDigest) -> (Vec<RoomName>, bool) {
        let listed = self.nodes.values().filter_map(|peers| peers.get(id));
        let (own, others): (Vec<&Listed>, Vec<&Listed>) = listed.partition(|listed| listed.token == token);
        (own.iter().flat_map(|listed| listed.rooms.keys().cloned()).collect(), !others.is_empty())
    }
}
