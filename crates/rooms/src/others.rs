//! The other nodes, and the members that are there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::seat::Seat;
use super::state::{StateView, StateWrite, Version};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{ApiKey, Frame, NodeId, Opcode, PeerId, RealmKind, RoomName, Token};
use peerbroker_router::Flushes;

/// A digest of a client's token. Tokens themselves never leave their node.
pub type TokenDigest = [u8; 16];

/// A realm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmName<'a> {
    /// The key.
    pub key: &'a ApiKey,
    /// The realm.
    pub realm: RealmKind,
}

/// The other nodes of a cluster, as the rooms of one node see them. An implementation never waits, and never
/// calls the rooms: the caller may hold the lock of a room.
///
/// Every node knows the members of all nodes. Each tells the others about its own members only, in order, and
/// again all of them to a node that is new or has missed something. So a node that dies takes its members
/// with it.
pub trait OtherNodes: Send + Sync + 'static {
    /// Tells all other nodes something. It is in order with what they are told later. False if one of them is
    /// not told: it gets the list of all members later.
    fn send(&self, name: RealmName<'_>, news: &News<'_>) -> bool;

    /// Hands a message over to nodes: to all of them, or to none. False if too much waits for one of them. A
    /// node that is gone takes everything: its members are gone too.
    fn deliver(&self, name: RealmName<'_>, messages: &[(NodeId, News<'_>)]) -> bool;

    /// Asks a node, or this one, to answer with [`Rooms::settled`](super::Rooms::settled) once it has no
    /// message for a peer that it would hand over to another node. Returns the node, if it can be asked.
    fn ask_to_settle(
        &self,
        name: RealmName<'_>,
        room: &str,
        id: &PeerId,
        node: Option<NodeId>,
    ) -> Option<NodeId>;

    /// Gives a message back to a node, or to any other one if that is gone.
    fn give_back(&self, name: RealmName<'_>, to: Option<NodeId>, message: &News<'_>);

    /// The URL at which other nodes reach this one; `None` if it has no port of its own.
    fn own_url(&self) -> Option<String>;

    /// The time after which a node that has died counts as dead.
    fn lease(&self) -> Duration;

    /// The id of this node. `None` while it is no node of the cluster.
    fn own(&self) -> Option<NodeId>;

    /// The digest of a token.
    fn digest(&self, token: &Token) -> TokenDigest;
}

/// Members of which each node tells all others in full: of rooms, or of swarms.
pub trait Replicated: Send + Sync {
    /// The list of the members of this node, for a node that does not know them. It hears later changes in
    /// order with the list.
    fn own_list(self: Arc<Self>) -> Box<dyn OwnList>;

    /// The other nodes with members.
    fn nodes(&self) -> Vec<NodeId>;

    /// Another node begins to list all its members.
    fn begin_list(&self, node: NodeId);

    /// Another node has listed all its members: it does not have others any more.
    fn end_list(&self, node: NodeId, flushes: &mut Flushes);

    /// A node goes on in another life, and will list all its members: those of its former life.
    fn succeed(&self, former: NodeId, node: NodeId, flushes: &mut Flushes);

    /// Another node is gone, or closes. Its members may come to others for a while. From now on it is told
    /// nothing for them.
    fn lose_node(&self, node: NodeId, patience: Duration);

    /// Messages for members that are away go to the nodes of their senders: this node closes.
    fn give_back(&self) {}
}

/// A list of members. It is read in steps, so that a long one fills no link.
pub trait OwnList {
    /// Tells of some more. False at its end.
    fn send_more(&mut self, each: &mut dyn FnMut(RealmName<'_>, &News<'_>)) -> bool;
}

/// News of one node about its own members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News<'a> {
    /// A peer is in a room.
    Member(#[serde(borrow)] MemberNews<'a>),
    /// A peer is not in a room any more.
    Gone(#[serde(borrow)] GoneNews<'a>),
    /// A client with this token has an id now. The rooms of an earlier client with another token are not its
    /// own.
    Opened(#[serde(borrow)] OpenedNews<'a>),
    /// A message of a member for all members of the reader.
    Message(#[serde(borrow)] MessageNews<'a>),
    /// A message of a member for one member of the reader.
    Private(#[serde(borrow)] PrivateNews<'a>),
    /// A guest is a member of a swarm, or no longer.
    Swarm(#[serde(borrow)] SwarmNews<'a>),
    /// A message of a member of the reader for one that was on the writer, which closes.
    Returned(#[serde(borrow)] PrivateNews<'a>),
    /// A name of the state of a room has another value.
    State(#[serde(borrow)] StateNews<'a>),
    /// A member wants to write the state of a room, and the reader decides.
    Write(#[serde(borrow)] WriteNews<'a>),
    /// The writer of this has refused a write of a member of the reader.
    WriteRefused(#[serde(borrow)] WriteRefusedNews<'a>),
    /// The writer of this has not heard the whole state of a room.
    StateMissed(&'a str),
}

impl News<'_> {
    /// The room. An id, if a client has opened it or is in a swarm.
    pub fn room(&self) -> &str {
        match self {
            News::Member(news) => news.room,
            News::Gone(news) => news.room,
            News::Opened(news) => news.id,
            News::Message(news) => news.room,
            News::Private(news) | News::Returned(news) => news.room,
            News::Swarm(news) => news.guest,
            News::State(news) => news.room,
            News::Write(news) => news.room,
            News::WriteRefused(news) => news.room,
            News::StateMissed(room) => room,
        }
    }
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
    /// Greater than that of earlier news of the room, if the member has come to the writer now. Later news of
    /// the same member have the same number.
    pub number: u64,
    /// Its data, as JSON text.
    pub data: Option<&'a str>,
    /// Its seat, if it has asked for one.
    pub seat: Option<Seat>,
    /// The greatest number of a version of the room's state that the writer knows.
    pub state: u64,
}

impl<'a> MemberNews<'a> {
    /// A peer that watches an id, or is watched: it has nothing but its own id.
    pub(super) fn of_id(room: &'a RoomName, id: &'a PeerId, token: TokenDigest, number: u64) -> Self {
        MemberNews { room: room.as_str(), id: id.as_str(), token, number, data: None, seat: None, state: 0 }
    }
}

/// See [`News::Gone`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The peer.
    pub id: &'a str,
    /// True if it parted, and not only from this node: another node may still expect it back.
    pub for_good: bool,
    /// The nodes on which it was before it came to the writer, and the numbers of their news of it. They do
    /// not expect it back either: its client knew of the writer last.
    pub former: Vec<(u64, u64)>,
    /// Greater than that of earlier news of the room. 0 for a watched id.
    pub number: u64,
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
    /// The number of the latest news that the writer has of the room from the reader. It does not know
    /// members of later news, who get the message from the node on which they were before; and those that
    /// have left with later news are sought by the reader.
    pub heard: u64,
    /// Members of the reader that get it from another node, sorted.
    #[serde(borrow)]
    pub except: Vec<&'a str>,
    /// The frame for the members.
    pub frame: CarriedFrame<'a>,
}

/// See [`News::Private`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The sender.
    pub from: &'a str,
    /// The number of the writer's news of the recipient. Of another client that has come to its id since, it
    /// has none.
    pub heard: u64,
    /// The recipient.
    pub to: &'a str,
    /// The frame for it.
    pub frame: CarriedFrame<'a>,
}

/// A text or binary frame, from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedFrame<'a> {
    /// As bytes, because its writer has checked a text before.
    #[serde(serialize_with = "serialize_bytes")]
    payload: &'a [u8],
    is_binary: bool,
}

/// At once, and not byte by byte.
fn serialize_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl<'a> CarriedFrame<'a> {
    /// The text. A binary frame has none.
    pub fn text(self) -> Option<&'a str> {
        str::from_utf8(self.payload).ok().filter(|_| !self.is_binary)
    }
}

impl<'a> From<&'a Frame> for CarriedFrame<'a> {
    fn from(frame: &'a Frame) -> Self {
        CarriedFrame { payload: frame.payload(), is_binary: frame.opcode() == Some(Opcode::Binary) }
    }
}

impl From<CarriedFrame<'_>> for Frame {
    fn from(CarriedFrame { payload, is_binary }: CarriedFrame<'_>) -> Self {
        let opcode = if is_binary { Opcode::Binary } else { Opcode::Text };
        Frame::message(opcode, payload.len(), |frame| frame.extend_from_slice(payload))
    }
}

/// See [`News::Swarm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmNews<'a> {
    /// The swarm.
    pub info_hash: [u8; 20],
    /// The member's id in it.
    pub peer_id: [u8; 20],
    /// The id of the guest.
    pub guest: &'a str,
    /// True if it has the whole torrent. `None` if it is no member any more.
    pub is_complete: Option<bool>,
}

/// See [`News::State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The id of the member that has written.
    pub by: &'a str,
    /// The name and the value.
    #[serde(borrow)]
    pub write: StateWrite<'a>,
    /// The order of the write.
    pub version: Version,
    /// The request that this answers, as JSON text, if the member is on another node than the writer.
    pub request: Option<&'a str>,
}

impl<'a> StateNews<'a> {
    /// A write that nobody waits for.
    pub(super) fn new(
        room: &'a str,
        StateView { name, value, by, .. }: StateView<'a>,
        version: Version,
    ) -> Self {
        let write = StateWrite { name, value, seen: None };
        StateNews { room, by, write, version, request: None }
    }
}

/// See [`News::Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The id of the member.
    pub by: &'a str,
    /// The write.
    #[serde(borrow)]
    pub write: StateWrite<'a>,
    /// Its request, as JSON text.
    pub request: Option<&'a str>,
    /// The node of the member. 0 is the writer of this.
    pub from: u64,
}

/// See [`News::WriteRefused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRefusedNews<'a> {
    /// The room.
    pub room: &'a str,
    /// The id of the member.
    pub by: &'a str,
    /// Its request, as JSON text.
    pub request: &'a str,
    /// The place of the reason in `REASONS` of `writing.rs`.
    pub reason: u8,
}

/// The members of other nodes, as each node has told.
#[derive(Default)]
pub(super) struct RemoteMembers {
    nodes: BTreeMap<NodeId, HashMap<PeerId, Listed>>,
    /// Nodes that are gone, and the time until which their members may come to others.
    left: BTreeMap<NodeId, Instant>,
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

    /// The digest of the token of a member, if a node has told of it.
    pub(super) fn token_of(&self, node: NodeId, room: &str, id: &PeerId) -> Option<TokenDigest> {
        let listed = self.nodes.get(&node)?.get(id)?;
        listed.rooms.contains_key(room).then_some(listed.token)
    }

    /// A member of a node is one of its next life. False if that has told of it.
    pub(super) fn rename(&mut self, former: NodeId, node: NodeId, room: &RoomName, id: &PeerId) -> bool {
        let Some(token) = self.token_of(former, room.as_str(), id) else { return true };
        self.remove(former, room.as_str(), id.as_str());
        self.add(node, room, id, token)
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
        // In an order that no hash decides.
        members.sort_unstable();
        members
    }

    /// Notes that a node is gone. Its first note counts: then this is true.
    pub(super) fn record_left(&mut self, node: NodeId, until: Instant) -> bool {
        let is_new = !self.has_left(node);
        self.left.entry(node).or_insert(until);
        is_new
    }

    /// True if a node is gone.
    pub(super) fn has_left(&self, node: NodeId) -> bool {
        self.left.contains_key(&node)
    }

    /// Takes out the nodes whose members are not expected any more.
    pub(super) fn take_left(&mut self, now: Instant) -> Vec<NodeId> {
        self.left.extract_if(.., |_, until| *until <= now).map(|(node, _)| node).collect()
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// True if the peer is in rooms on other nodes.
    pub(super) fn has_peer(&self, id: &PeerId) -> bool {
        self.nodes.values().any(|peers| peers.contains_key(id))
    }

    /// The rooms in which a peer is on other nodes, and if another node has one of that id with another
    /// token.
    pub(super) fn of_peer(&self, id: &PeerId, token: TokenDigest) -> (Vec<RoomName>, bool) {
        let listed = self.nodes.values().filter_map(|peers| peers.get(id));
        let (own, others): (Vec<&Listed>, Vec<&Listed>) = listed.partition(|listed| listed.token == token);
        let mut rooms: Vec<RoomName> = own.iter().flat_map(|listed| listed.rooms.keys().cloned()).collect();
        // In an order that no hash decides.
        rooms.sort_unstable();
        (rooms, !others.is_empty())
    }
}
