//! Events: what can happen to peers, keys and the server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::report::{ConnectionReport, ReportedKind};
use peerbroker_media_api::{CallFailure, RelayedOver, TurnRefusal};

use peerbroker_core::vocabulary::{
    ApiKey, ClientVersion, CloseReason, ConnId, ConnectionKind, HandshakeRefusal, Limit, NodeId, PeerId,
    RealmKind, Refusal, RoomName, Token,
};

/// An event. Strings in it come from strangers and may hold anything but control characters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server listens.
    Started {
        /// For clients.
        address: SocketAddr,
        /// For the operator's API, if there is one.
        ops_address: Option<SocketAddr>,
    },
    /// A certificate and its key were read and are in use.
    CertificateLoaded {
        /// The file of the certificate.
        path: String,
    },
    /// The configuration was read again and is active.
    Reloaded {
        /// The differences, as the log says them; without secrets.
        changed: Vec<String>,
        /// The changes that are not active: they need a restart, or flags override them.
        pending: Vec<String>,
    },
    /// The configuration was read again and is wrong. The previous one stays active.
    ReloadFailed {
        /// The error.
        why: String,
    },
    /// The filter of the log was changed for a while.
    LogFilter {
        /// The actor; `None` if its time was over.
        by: Option<Actor>,
        /// The filter; `None` is the configured one.
        filter: Option<String>,
        /// After this time, the configured filter is active again.
        seconds: Option<u32>,
    },
    /// The server stops: it accepts no more clients and closes all.
    Draining {
        /// WebSockets and streams at that moment.
        connections: usize,
    },
    /// The server has stopped. The last event.
    Stopped,
    /// A client got an id.
    PeerConnected(Connected),
    /// A connection that had an id ended.
    PeerDisconnected(Disconnected),
    /// A client did not get an id.
    Refused(Box<Refused>),
    /// A client's address was refused before its protocol began.
    TurnedAway(Box<TurnedAway>),
    /// A client sent a request that cannot work, so it was not even refused.
    ClientMistake(Box<ClientMistake>),
    /// All waiting messages of a sender for a peer were dropped, and the sender was told.
    Expired {
        /// The peer that the messages were for.
        to: PeerAddress,
        /// The sender.
        from: PeerId,
    },
    /// An offer waits for a peer that is absent: once for each sender, until its messages are delivered or
    /// expire.
    PeerWanted {
        /// The peer.
        peer: PeerAddress,
        /// The sender.
        from: PeerId,
        /// The kind of the connection.
        kind: ReportedKind,
    },
    /// A peer has joined a room. It stays in the room on later connections of its client, so these are no
    /// event.
    RoomJoined {
        /// The peer.
        peer: PeerAddress,
        /// The room.
        room: RoomName,
    },
    /// A peer is not in a room any more.
    RoomLeft {
        /// The peer.
        peer: PeerAddress,
        /// The room.
        room: RoomName,
    },
    /// A call goes through the relay: its clients have not reached each other, or their direct path has died.
    CallRelayed(CallPeers),
    /// A relayed call is over.
    RelayedCallEnded {
        /// Its peers.
        call: CallPeers,
        /// The transports over which they reached the relay.
        over: RelayedOver,
        /// From its first relayed datagram until its clients were last heard.
        duration: Duration,
        /// Bytes that the relay has carried.
        bytes: u64,
    },
    /// A call has failed, as far as the relay can tell.
    CallFailed {
        /// Its peers.
        call: CallPeers,
        /// The reason.
        why: CallFailure,
    },
    /// A client reports that a connection to another one did not open. Nothing proves that.
    ConnectionFailed {
        /// The key of the client.
        key: ApiKey,
        /// Its report.
        report: Arc<ConnectionReport>,
    },
    /// An operator closed a client's connection.
    PeerKicked {
        /// The client.
        peer: PeerAddress,
        /// Its connection, if it was one of this node.
        connection: Option<ConnId>,
        /// The actor.
        by: Actor,
    },
    /// An operator ended an allocation of TURN.
    AllocationEnded {
        /// The address that its peers saw.
        relayed: SocketAddr,
        /// The username of its client.
        username: String,
        /// The actor.
        by: Actor,
    },
    /// Clients of a network are refused from now on, or not any more.
    Ban {
        /// Its text, as in the configuration.
        ban: String,
        /// The actor.
        by: Actor,
        /// True if it is over.
        is_over: bool,
    },
    /// A key was changed, by an operator or by the server.
    Key {
        /// The key.
        key: ApiKey,
        /// The change.
        what: KeyEvent,
    },
    /// Many keys were changed at once.
    Keys {
        /// The change.
        what: KeysEvent,
    },
    /// Something about the cluster that this node is in.
    Cluster {
        /// The event.
        what: ClusterEvent,
    },
    /// A limit was reached, and a request or a message was refused. Connections that a limit ends or refuses
    /// are other events: their reason names the limit.
    LimitHit {
        /// The limit.
        limit: Limit,
        /// The key that it concerns, if it is one of a key.
        key: Option<ApiKey>,
        /// The address that it concerns, if it is one of an address.
        address: Option<IpAddr>,
    },
}

/// A peer: its id means something only within its realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// The key of its realm.
    pub key: ApiKey,
    /// The realm of that key.
    pub realm: RealmKind,
    /// Its id.
    pub id: PeerId,
}

/// The two peers of a call, of one realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPeers {
    /// The key of their realm.
    pub key: ApiKey,
    /// The realm of that key.
    pub realm: RealmKind,
    /// The id of the peer that called.
    pub caller: PeerId,
    /// The id of the other one.
    pub callee: PeerId,
}

/// A client that got an id.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The peer.
    pub peer: PeerAddress,
    /// Its connection.
    pub connection: ConnId,
    /// The token with which it opened this connection.
    pub token: Token,
    /// The address of the client, if it is known.
    pub address: Option<IpAddr>,
    /// The version that it gives.
    pub client_version: Option<ClientVersion>,
    /// The kind of its connection.
    pub kind: ConnectionKind,
}

/// A connection that has ended.
#[derive(Clone, Debug)]
pub struct Disconnected {
    /// The peer. With [`CloseReason::Replaced`] it has a newer connection.
    pub peer: PeerAddress,
    /// The connection.
    pub connection: ConnId,
    /// The reason.
    pub reason: CloseReason,
    /// Time for which it had the id.
    pub duration: Duration,
    /// Messages that the client sent, posted ones included.
    pub messages: u64,
    /// Bytes of their text.
    pub bytes: u64,
}

/// A client that did not get an id.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub reason: Refusal,
    /// The key that it named, if it is one.
    pub key: Option<ApiKey>,
    /// The id that it wanted, if it is one.
    pub id: Option<PeerId>,
    /// The origin of its page, if it named one.
    pub origin: Option<String>,
    /// The address of the client, if it is known.
    pub address: Option<IpAddr>,
    /// The realm that it wanted to enter.
    pub realm: RealmKind,
    /// True if it is `peerbroker doctor`, which also tries what must fail.
    pub is_doctor: bool,
}

/// A client whose address is banned, or has too many connections.
#[derive(Clone, Debug)]
pub struct TurnedAway {
    /// The reason.
    pub why: HandshakeRefusal,
    /// The key in the query of its request, if it is one.
    pub key: Option<ApiKey>,
    /// The id in the query of its request, if it is one.
    pub id: Option<PeerId>,
    /// The address of the client, if it is known.
    pub address: Option<IpAddr>,
}

/// A request that cannot work, and its sender.
#[derive(Clone, Debug)]
pub struct ClientMistake {
    /// The mistake.
    pub mistake: Mistake,
    /// The origin of the page that sent it, if it named one.
    pub origin: Option<String>,
    /// The address of the client, if it is known.
    pub address: Option<IpAddr>,
}

/// A mistake in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Nothing is at this path.
    NotFound {
        /// The method of the request.
        method: String,
        /// The path, shortened, and without a token.
        path: String,
        /// The path of the server.
        mount: String,
        /// The reason, if it is another one than the path of the client.
        hint: Option<String>,
        /// True if a client of ours, or its page, asks for such a path, and no crawler.
        is_of_client: bool,
    },
    /// A WebSocket is opened at a path that has none. Pages and crawlers do not do that, so a proxy or a
    /// client has a wrong path.
    NoWebSocket {
        /// The path of the request, shortened, and without a token.
        path: String,
        /// The probable cause, and the addresses of the WebSockets that there are.
        hint: String,
    },
    /// A token does not prove that an id is the client's.
    TokenRefused {
        /// The key.
        key: ApiKey,
        /// The id that the client wanted, if it named one.
        id: Option<PeerId>,
        /// The reason, without text of the token.
        why: String,
        /// Details of the token, shortened, and advice.
        hint: String,
    },
    /// Nobody knows if an id is the client's: the webhook of the key gives no answer, or the settings of the
    /// key cannot be used.
    Unverified {
        /// The key.
        key: ApiKey,
        /// The id that the client wanted, if it named one.
        id: Option<PeerId>,
        /// The reason.
        why: String,
    },
    /// A token proves that an id is the client's, and has a claim that is surely wrong.
    OddToken {
        /// The key.
        key: ApiKey,
        /// The id of the client.
        id: PeerId,
        /// Its oddity, to be read after "a token".
        what: &'static str,
        /// The consequence, and advice.
        hint: String,
    },
    /// Two connections with one token take the id from each other, again and again.
    DuplicatedTab {
        /// The key.
        key: ApiKey,
        /// The id.
        id: PeerId,
    },
    /// A connection of one browser with many requests for ids.
    ManyIds(ApiKey),
    /// A page of an origin that `--cors` does not list. Its browser does not let it read the answer.
    CorsRefused,
    /// The list of the peers of a key that does not allow it.
    DiscoveryOff(ApiKey),
    /// A PeerJS client at the path of the server, where it is served: a proxy has cut the rest off.
    CutPath {
        /// The path of the server.
        path: String,
    },
    /// A message, or a part of one, that does nothing.
    InVain {
        /// The mistake, to be read after "a client". Its texts of the client are shortened.
        what: String,
        /// The probable cause, and advice.
        hint: String,
        /// The key of the client.
        key: ApiKey,
        /// Its id.
        id: PeerId,
    },
    /// A parameter of the address of a WebSocket that does nothing.
    OddParameter {
        /// The mistake, to be read after "a client". Its texts of the client are shortened.
        what: String,
        /// Advice.
        hint: String,
    },
    /// A request of a client of TURN was refused.
    TurnRefused {
        /// The reason.
        why: TurnRefusal,
        /// The key in its username, if the client has proved it; otherwise empty.
        key: String,
    },
    /// The client does not trust the certificate.
    CertificateRefused,
    /// The client speaks TLS to a port without TLS.
    TlsOnPlainPort {
        /// The port.
        port: u16,
        /// True at the address of a trusted proxy.
        of_proxy: bool,
    },
    /// The client speaks plain HTTP to a port with TLS.
    HttpOnTlsPort {
        /// The port.
        port: u16,
        /// True at the address of a trusted proxy.
        of_proxy: bool,
    },
    /// A proxy in front begins with the PROXY protocol, at this port.
    ProxyProtocol(u16),
}

impl Mistake {
    /// The key of the client, if it is known.
    pub fn key(&self) -> Option<&ApiKey> {
        match self {
            Mistake::TokenRefused { key, .. } | Mistake::Unverified { key, .. } => Some(key),
            Mistake::OddToken { key, .. } | Mistake::DuplicatedTab { key, .. } => Some(key),
            Mistake::InVain { key, .. } | Mistake::DiscoveryOff(key) => Some(key),
            _ => None,
        }
    }

    /// The id of the client, if it is known.
    pub fn id(&self) -> Option<&PeerId> {
        match self {
            Mistake::TokenRefused { id, .. } | Mistake::Unverified { id, .. } => id.as_ref(),
            Mistake::OddToken { id, .. } | Mistake::DuplicatedTab { id, .. } => Some(id),
            Mistake::InVain { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// Something about a cluster, as a node of it sees it.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// The node itself has joined.
    Joined {
        /// Its name.
        name: String,
        /// Its life, which is another one each time.
        life: NodeId,
        /// The names of the other nodes that live.
        others: Vec<String>,
    },
    /// Another node has joined.
    NodeJoined {
        /// Its name.
        name: String,
        /// Its life.
        life: NodeId,
    },
    /// The node cannot reach the others: it serves its own clients, and treats new ones as its settings say.
    Unreachable {
        /// The error.
        why: String,
        /// True if new clients are refused.
        refuses: bool,
    },
    /// The node can reach the others again.
    Reachable,
    /// The lease of this node has ended: others may take its ids. It joins again.
    LeaseEnded {
        /// Its life until now.
        life: NodeId,
    },
    /// Another node has stopped, died, or was cut off for longer than its lease.
    NodeGone {
        /// Its name, if it is known.
        name: Option<String>,
        /// Its life.
        life: NodeId,
        /// True if it was stopped as planned.
        left: bool,
    },
    /// Another node has the name of this one, and neither is the next server of the other.
    SameName {
        /// The name.
        name: String,
        /// The life of the other node.
        life: NodeId,
        /// The machine and the address of each, this node first.
        places: [String; 2],
    },
    /// Another node has other values of settings that all nodes should share.
    OtherSettings {
        /// Its name.
        name: String,
        /// Its life.
        life: NodeId,
        /// Each setting that differs, with both values.
        settings: String,
    },
    /// A packet of another node is lost: the senders of messages in doubt get EXPIRE.
    BatchLost {
        /// The life of the other node.
        life: NodeId,
    },
    /// After an outage, clients of this node lost their ids to clients of other nodes.
    IdsLost {
        /// The number of ids.
        ids: usize,
    },
}

/// A change of a key.
#[derive(Clone, Debug)]
pub enum KeyEvent {
    /// The key was added. The text is the key as JSON, without secrets.
    Created(Actor, String),
    /// The key was changed. The text is the key as JSON, without secrets.
    Changed(Actor, String),
    /// The key was removed.
    Removed(Actor),
    /// The key was registered through the form, was not used for this many days, and was removed.
    Unused(u32),
    /// The key has this many clients, which is its limit.
    UsedUp(usize),
}

/// A change of many keys at once: an event for each would push others out.
#[derive(Clone, Debug)]
pub enum KeysEvent {
    /// So many were added or changed: an import.
    Imported(Actor, usize),
    /// So many were removed.
    Removed(Actor, usize),
    /// So many registered keys were not used for this many days, and were removed.
    Unused(usize, u32),
    /// The store has forgotten all of them, so many.
    Lost(usize),
}

/// The person or program that makes a change while the server runs.
#[derive(Clone, Copy, Debug)]
pub enum Actor {
    /// A client of the operator's API, at this address.
    Api(Option<IpAddr>),
    /// A person who registers a key, at this address.
    Signup(Option<IpAddr>),
    /// Another process that changed the store of keys: `peerbroker keys`, or another node of the cluster.
    Elsewhere,
}

impl Actor {
    /// The name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Actor::Api(_) => "api",
            Actor::Signup(_) => "registration",
            Actor::Elsewhere => "another process",
        }
    }

    /// The address, if there is one.
    pub fn address(&self) -> Option<&IpAddr> {
        match self {
            Actor::Api(address) | Actor::Signup(address) => address.as_ref(),
            Actor::Elsewhere => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Actor::Api(_)) { "the API" } else { self.name() })?;
        self.address().map_or(Ok(()), |address| write!(f, ", from {address},"))
    }
}
