//! The store between the nodes, as they see it.
//!
//! Two kinds of truth are in it. A **record** says which connection of which node owns a name: it is changed
//! by compare-and-set on that one record. A **lease** says that a node is alive: it belongs to the node, not
//! to its names, and once it has ended it is never renewed, so a node that was believed dead can come back
//! only under a new [`NodeId`]. That is why what a node knows about dead nodes is never wrong, however old it
//! is.
//!
//! Beside them each node has an **inbox**: a log of batches that others append to and that only it reads.
//! Batches of one writer to one inbox keep their order. A batch may come twice, when a writer had to repeat
//! it, or not at all, when the store lost it: the links between the nodes number their batches and notice
//! both.

use std::time::Duration;

use peerbroker_core::clock::UnixMillis;
use peerbroker_core::vocabulary::{ApiKey, ConnectionKind, NameKind, NodeId, RealmKind};

use peerbroker_config::SharedSettings;
pub use peerbroker_core::vocabulary::Owner;
pub use peerbroker_rooms::TokenDigest;

/// The kind of thing that a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A peer of a realm: the name is its id.
    Peer(RealmKind),
    /// A name that a client holds beside its id.
    Name(NameKind),
}

impl Entity {
    /// Its number in packets between nodes. Realms and kinds of names have no number in common.
    pub fn number(self) -> u8 {
        match self {
            Entity::Peer(realm) => realm.number(),
            Entity::Name(kind) => kind.number(),
        }
    }

    /// The entity of a number. `None` if only a newer version knows it.
    pub fn of_number(number: u8) -> Option<Self> {
        let name = NameKind::of_number(number).map(Entity::Name);
        name.or_else(|| RealmKind::of_number(number).map(Entity::Peer))
    }

    /// Its word in Redis.
    pub fn label(self) -> &'static str {
        match self {
            Entity::Peer(RealmKind::PeerJs) => "peer",
            Entity::Peer(realm) => realm.label(),
            Entity::Name(kind) => kind.label(),
        }
    }
}

/// A name that at most one connection of all nodes owns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The key of the clients among whom the name is unique.
    pub key: ApiKey,
    /// The kind of thing that it names.
    pub entity: Entity,
    /// The name, not empty, without control characters.
    pub name: String,
}

/// A connection that asks for a name.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The name.
    pub name: Name,
    /// The connection.
    pub owner: Owner,
    /// Of its client's token. The same token takes the name over from another connection.
    pub token: TokenDigest,
    /// The kind of the connection.
    pub kind: ConnectionKind,
    /// An owner that is known to be dead, and counts as none.
    pub known_dead: Option<Owner>,
    /// Most clients of the key on all nodes; `None` if this name does not count as a client.
    pub limit: Option<usize>,
}

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The connection owns the name.
    Granted(Granted),
    /// Another connection, with another token, owns it. It may be dead.
    Taken(Owner),
    /// A stream asked, and a WebSocket with the same token owns the name. It may be dead.
    Elsewhere(Owner),
    /// The key has reached its limit of clients; the nodes that have any of them. One of them may be dead.
    Full(Vec<NodeId>),
}

/// A connection owns a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Higher than that of every earlier owner that the store knows of.
    pub fence: u64,
    /// The connection that lost the name, and its kind. It may be dead.
    pub replaced: Option<(Owner, ConnectionKind)>,
    /// Earlier owners that have lost the name to another connection, that one included, the latest first, at
    /// most four. Some may not know yet: the node that displaced them may not have got the answer, or has
    /// died.
    pub former: Vec<Owner>,
    /// Nodes with messages for this name, see [`Backplane::locate`]. Every claim has them until their marks
    /// expire.
    pub waiting: Vec<NodeId>,
}

/// A connection that its node has, and whose record may be lost or another's: after an outage.
#[derive(Clone, Debug)]
pub struct Registration {
    /// As in [`Claim`].
    pub name: Name,
    /// As in [`Claim`].
    pub owner: Owner,
    /// As in [`Claim`].
    pub token: TokenDigest,
    /// As in [`Claim`].
    pub kind: ConnectionKind,
    /// As in [`Claim`].
    pub known_dead: Option<Owner>,
    /// The fence that the connection got with its claim; 0 if it was opened without the backplane.
    pub fence: u64,
    /// The time at which the connection was opened.
    pub since: UnixMillis,
    /// The former name of its node, if it has a new one. Records of that one are its own.
    pub former: Option<NodeId>,
    /// Its node was away for longer than a lease since the claim, so others could take the name rightly.
    pub late: bool,
}

/// The outcome of a registration.
///
/// With the same token, the newer connection wins, as in a takeover. With different tokens, a connection with
/// a claim wins over one without. Of two without, the older one wins. Of two with claims, the lower fence
/// wins: the other claim was made in a store that had lost the record. But the higher fence wins if one of
/// them is late, and no connection gets a name back that the record knows it has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The connection owns the name. `replaced` is one that lost it now.
    Kept(Granted),
    /// Another connection owns it. It may be dead.
    Lost(Owner),
}

/// Asks for the owner of a name.
#[derive(Clone, Debug)]
pub struct Locate {
    /// The name.
    pub name: Name,
    /// The node that asks, and has messages for the owner.
    pub asker: NodeId,
    /// As in [`Claim`].
    pub known_dead: Option<Owner>,
    /// If the name has no owner, the asker is recorded as waiting for this long; see [`Granted::waiting`].
    pub mark: Duration,
}

/// The things that a node tells the others of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCard {
    /// Its name, for people.
    pub name: String,
    /// The machine and the address where it is, for people; empty if it is unknown.
    pub place: String,
    /// The settings that all nodes should share.
    pub shared: SharedSettings,
}

impl NodeCard {
    /// A card with a name only.
    pub fn named(name: &str) -> Self {
        NodeCard { name: name.to_owned(), ..NodeCard::default() }
    }
}

/// A node, as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// The life of the node.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The machine and the address where it is, for people; empty if it is unknown.
    pub place: String,
    /// The settings that all nodes should share; none if the node is of a version that does not tell them.
    pub shared: SharedSettings,
    /// True if its lease has not ended.
    pub alive: bool,
    /// True if it has left as planned.
    pub left: bool,
}

/// The answer to the renewal of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease continues. All known nodes, including the dead ones of the last hour.
    Renewed(Vec<KnownNode>),
    /// The lease had ended, or the store has lost it. It cannot continue.
    Lost,
}

/// The position of a reader in an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub String);

/// A batch in an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its position.
    pub position: Position,
    /// Its bytes.
    pub batch: Vec<u8>,
}

/// A call without a result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// The store gave no answer that can be used, or none in time. The call may have been done, or may still
    /// be done later.
    #[error("{0}")]
    NoAnswer(String),
    /// The store refuses the login, so nothing is done until somebody changes that.
    #[error("{0}")]
    LoginRefused(String),
}

/// The result of a call.
type Result<T> = std::result::Result<T, Unavailable>;

/// The store between the nodes.
///
/// One thread uses it. Calls may overlap, and calls that were made one after the other may be carried out in
/// any order. Each ends within a bound: with an answer, or as [`Unavailable`]. Lists of answers are in the
/// order of the questions.
pub trait Backplane: 'static {
    /// The reasons for a change of [`store`](Self::store), for the log.
    const STORE_CHANGED: &str;

    /// A name for a life of a node, that was never used.
    fn new_node(&self) -> NodeId;

    /// Begins a node's life: its lease and an empty inbox. `node` was never used before, except by the same
    /// call whose answer was lost: it only prolongs the lease.
    fn join(&self, node: NodeId, card: &NodeCard, lease: Duration) -> impl Future<Output = Result<()>>;

    /// Renews the lease, unless it has ended, with these settings on the card, and keeps the inbox.
    fn renew(
        &self,
        node: NodeId,
        shared: &SharedSettings,
        lease: Duration,
    ) -> impl Future<Output = Result<Renewal>>;

    /// Ends a node's life: its lease, its inbox.
    fn leave(&self, node: NodeId) -> impl Future<Output = Result<()>>;

    /// Gives names to connections, each at most to one. A claim that could only be carried out after its
    /// bound is not. A claim that was granted and counts has to be released, exactly once, whoever owns the
    /// name by then. A claim of the owner itself is granted, and counts again. In another store than
    /// [this one](Self::store), nothing is claimed.
    fn claim(&self, store: u64, claims: Vec<Claim>) -> impl Future<Output = Result<Vec<ClaimOutcome>>>;

    /// Makes sure that the names of connections that live are theirs. Does not count them: see
    /// [`count`](Self::count).
    fn register(&self, all: Vec<Registration>) -> impl Future<Output = Result<Vec<RegisterOutcome>>>;

    /// Frees names, if these connections still own them, and counts one client less for each of a peer. Other
    /// names never count.
    fn release(&self, all: Vec<(Name, Owner)>) -> impl Future<Output = Result<()>>;

    /// Sets how many clients of a key a node has. 0 forgets the node.
    fn count(&self, key: &ApiKey, node: NodeId, clients: usize) -> impl Future<Output = Result<()>>;

    /// Returns the owners of names. The owner may be dead.
    fn locate(&self, all: Vec<Locate>) -> impl Future<Output = Result<Vec<Option<Owner>>>>;

    /// Appends batches to inboxes, in this order. False for an inbox that does not exist: its node is dead.
    fn append(&self, all: &[(NodeId, Vec<u8>)]) -> impl Future<Output = Result<Vec<bool>>>;

    /// Reads the batches behind a position; the default position is before the first. If there are none,
    /// waits for up to `wait`, and may return none.
    fn read(
        &self,
        inbox: NodeId,
        after: &Position,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<InboxEntry>>>;

    /// Removes batches up to a position from an inbox.
    fn trim(&self, inbox: NodeId, until: &Position) -> impl Future<Output = Result<()>>;

    /// Changes whenever the store may have lost something: after a new connection, or if another process
    /// answers.
    fn generation(&self) -> u64;

    /// Changes whenever a call meets another store than the one before, which may lack what that one had:
    /// after a restart or a failover.
    fn store(&self) -> u64;
}
