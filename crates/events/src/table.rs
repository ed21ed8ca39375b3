//! The table of events: each row has all that the log, the dashboard and webhooks tell of one event.

use std::fmt::{self, Arguments, Display};
use std::net::IpAddr;

use log::Level;
use log::kv::{ToValue as _, Value};

use super::event::{Actor, CallPeers, ClusterEvent, Connected, Event, KeyEvent, KeysEvent, PeerAddress};
use peerbroker_core::clock::millis;
use peerbroker_core::vocabulary::{ApiKey, ConnId, Foreign, NodeId, PeerId, RealmKind, labels};

labels! {
    /// The type of an event for webhooks.
    #[allow(missing_docs)]
    pub enum WebhookEvent {
        PeerConnected = "peer.connected",
        PeerDisconnected = "peer.disconnected",
        PeerKicked = "peer.kicked",
        PeerWanted = "peer.wanted",
        RoomJoined = "room.joined",
        RoomLeft = "room.left",
        CallRelayed = "call.relayed",
        CallEnded = "call.ended",
        CallFailed = "call.failed",
        ConnectionFailed = "connection.failed",
        KeyCreated = "key.created",
        KeyChanged = "key.changed",
        KeyRemoved = "key.removed",
        KeyLimitReached = "key.limit_reached",
        ServerStarted = "server.started",
        ServerStopping = "server.stopping",
        CertificateLoaded = "certificate.loaded",
        ClusterUnreachable = "cluster.unreachable",
        ClusterReachable = "cluster.reachable",
        ClusterLeaseEnded = "cluster.lease_ended",
        ClusterNodeGone = "cluster.node_gone",
    }
}

impl WebhookEvent {
    /// True if a webhook gets it unless its operator chooses. Rooms, and calls of absent peers, may have many
    /// more events than all else.
    pub fn is_default(&self) -> bool {
        !matches!(self, WebhookEvent::RoomJoined | WebhookEvent::RoomLeft | WebhookEvent::PeerWanted)
    }

    /// True if the webhook of a key gets it as well.
    pub fn is_for_its_key(self) -> bool {
        use WebhookEvent::*;
        match self {
            PeerConnected | PeerDisconnected | PeerKicked | PeerWanted | KeyLimitReached => true,
            ConnectionFailed => true,
            RoomJoined | RoomLeft | CallRelayed | CallEnded | CallFailed => false,
            KeyCreated | KeyChanged | KeyRemoved => false,
            ServerStarted | ServerStopping | CertificateLoaded => false,
            ClusterUnreachable | ClusterReachable | ClusterLeaseEnded | ClusterNodeGone => false,
        }
    }
}

/// Further fields of an event, with their names.
type Fields<'a> = &'a [(&'static str, Value<'a>)];

/// All that is told of one event. It borrows from the event, and formats nothing.
#[derive(Default)]
pub struct Row<'a> {
    /// The ring of [`Events`](super::Events): the one for clients, or the one for the server and its keys.
    pub is_about_clients: bool,
    /// The kind on the dashboard; empty if the event is not news there.
    pub live: &'static str,
    /// The type for webhooks.
    pub webhook: Option<WebhookEvent>,
    /// The line of the log.
    pub line: Option<(Level, Arguments<'a>)>,
    /// True if people did it: its line belongs to the audit log.
    pub is_audit: bool,
    /// The field `action` of the log; empty if there is none.
    pub action: &'static str,

    /// The key that it concerns.
    pub key: Option<&'a ApiKey>,
    /// The realm of the peer that it concerns.
    pub realm: Option<RealmKind>,
    /// The id of that peer.
    pub id: Option<&'a PeerId>,
    /// The connection of that peer.
    pub connection: Option<ConnId>,
    /// The ids of the caller and of the callee.
    pub call: Option<[&'a PeerId; 2]>,
    /// The actor.
    pub by: Option<&'a Actor>,
    /// The life of the node that it concerns.
    pub life: Option<&'a NodeId>,
    /// The address of the client. Webhooks do not get it.
    pub address: Option<IpAddr>,
    /// The origin of the client's page.
    pub origin: Option<&'a str>,

    /// The reason, or more, for the dashboard.
    pub reason: Option<&'a dyn Display>,
    /// Further fields of the log. They may hold settings of keys.
    pub fields: Fields<'a>,
    /// Further fields for webhooks.
    pub data: Fields<'a>,
}

/// An event about a client.
fn client<'a>() -> Row<'a> {
    Row { is_about_clients: true, ..Row::default() }
}

/// An event about a peer.
fn peer(PeerAddress { key, realm, id }: &PeerAddress) -> Row<'_> {
    Row { key: Some(key), realm: Some(*realm), id: Some(id), ..client() }
}

/// An event about a call.
fn call(CallPeers { key, realm, caller, callee }: &CallPeers) -> Row<'_> {
    Row { key: Some(key), realm: Some(*realm), call: Some([caller, callee]), ..client() }
}

/// An action of people, or of the server for them.
fn audit<'a>(action: &'static str) -> Row<'a> {
    Row { is_audit: true, action, ..Row::default() }
}

/// An action on a key.
fn on_key<'a>(key: &'a ApiKey, action: &'static str) -> Row<'a> {
    Row { key: Some(key), ..audit(action) }
}

/// An event of the cluster, and its text for the dashboard.
fn cluster<'a>(action: &'static str, reason: &'a dyn Display) -> Row<'a> {
    Row { action, reason: Some(reason), ..Row::default() }
}

/// The texts in one line, or another text if there are none.
fn joined(texts: &[String], otherwise: &str) -> impl Display {
    fmt::from_fn(move |f| {
        f.write_str(texts.first().map_or(otherwise, String::as_str))?;
        texts.iter().skip(1).try_for_each(|text| write!(f, ", {text}"))
    })
}

/// The end of the line about a peer that was kicked.
fn place(connection: Option<ConnId>) -> impl Display {
    fmt::from_fn(move |f| match connection {
        Some(connection) => write!(f, ": {connection}"),
        None => f.write_str(" on another node"),
    })
}

/// The time of a filter, if it has an end.
fn during(seconds: Option<u32>) -> impl Display {
    fmt::from_fn(move |f| seconds.map_or(Ok(()), |seconds| write!(f, " for {seconds} s")))
}

/// The address of a client, if it is known.
fn from(address: Option<IpAddr>) -> impl Display {
    fmt::from_fn(move |f| address.map_or(Ok(()), |address| write!(f, " from {address}")))
}

/// A text of a client, if it is known.
fn named<'a>(name: &'a str, text: Option<&'a str>) -> impl Display + use<'a> {
    fmt::from_fn(move |f| text.map_or(Ok(()), |text| write!(f, ", {name} {}", Foreign::new(text))))
}

/// A number with its noun.
pub fn counted<'a>(number: u64, one: &'a str, many: &'a str) -> impl Display + use<'a> {
    fmt::from_fn(move |f| write!(f, "{number} {}", if number == 1 { one } else { many }))
}

/// A number of keys.
fn keys(count: usize) -> impl Display {
    counted(count as u64, "key", "keys")
}

/// A node whose name is not known.
const UNNAMED: &str = "without a name";

/// The other nodes of a cluster.
fn nodes(others: &[String]) -> impl Display {
    fmt::from_fn(move |f| match others {
        [] => f.write_str("no other nodes"),
        [first, rest @ ..] => {
            let count = counted(others.len() as u64, "other", "others");
            write!(f, "{count}: {}", first.escape_debug())?;
            rest.iter().try_for_each(|name| write!(f, ", {}", name.escape_debug()))
        }
    })
}

/// The text, or another one if there is none.
fn or<'a>(text: &'a Option<String>, otherwise: &'a str) -> &'a str {
    text.as_deref().unwrap_or(otherwise)
}

/// The table. A row has:
///
/// - the event,
/// - the kind on the dashboard, the type for webhooks, and the line of the log, of those that tell of the
///   event,
/// - the other columns: some of them from a base, and those that differ from it.
macro_rules! table {
    ($(
        $event:pat => $(live $live:literal)? $(webhook $webhook:ident)? $(log $level:ident $text:tt)?
            with $base:expr $(, $column:ident: $value:expr)*;
    )*) => {
        impl Event {
            /// Calls `tell` with the row of the event. It is called where events happen, so it formats
            /// nothing.
            pub fn row<R>(&self, tell: impl FnOnce(Row<'_>) -> R) -> R {
                match self {
                    $($event => tell(Row {
                        $(live: $live,)?
                        $(webhook: Some(WebhookEvent::$webhook),)?
                        $(line: Some((Level::$level, format_args! $text)),)?
                        $($column: $value,)*
                        ..$base
                    }),)*
                }
            }
        }
    };
}

table! {
    Event::Started { .. } => webhook ServerStarted
        with Row::default(), data: &[("version", env!("CARGO_PKG_VERSION").into())];
    Event::CertificateLoaded { path } => live "certificate" webhook CertificateLoaded
        log Info("certificate loaded from {path}")
        with Row::default(), reason: Some(path), data: &[("path", path.into())];
    // The log says `pending` in lines of their own.
    Event::Reloaded { changed, pending: _ } => live "reloaded"
        log Info("reloaded the configuration: {}", joined(changed, "nothing is different"))
        with audit("reloaded"), reason: Some(&joined(changed, ""));
    Event::ReloadFailed { why } => live "reload_failed"
        log Error("the previous configuration stays active: {why}")
        with audit("reload_failed"), reason: Some(why);
    Event::LogFilter { by: None, filter, .. } => live "log_filter"
        log Info("the filter of the log is the configured one again")
        with audit("log_changed"), reason: filter.as_ref().map(|filter| filter as _);
    Event::LogFilter { by: Some(by), filter, seconds } => live "log_filter"
        log Info("{by} changed the filter of the log{}: {}",
            during(*seconds), or(filter, "the configured one"))
        with audit("log_changed"), by: Some(by), reason: filter.as_ref().map(|filter| filter as _);
    Event::Draining { connections } => live "stopping" webhook ServerStopping
        log Debug("the server stops and closes {}", counted(*connections as u64, "connection", "connections"))
        with Row::default(), data: &[("connections", connections.into())];
    // Among those about clients, because it is the last event of all.
    Event::Stopped => with client();

    Event::PeerConnected(Connected { peer: who, connection: on, address, .. }) =>
        live "connected" webhook PeerConnected
        log Debug("{on}: the peer {:?} of the key {:?} connected{}", who.id, who.key, from(*address))
        with peer(who), connection: Some(*on), address: *address;
    Event::PeerDisconnected(gone) => live "disconnected" webhook PeerDisconnected
        log Debug("{}: the peer {:?} of the key {:?} disconnected: {}; messages {}, bytes {}",
            gone.connection, gone.peer.id, gone.peer.key, gone.reason.ending().label,
            gone.messages, gone.bytes)
        with peer(&gone.peer), connection: Some(gone.connection), reason: Some(&gone.reason.ending().label),
        data: &[
            ("reason", gone.reason.ending().label.into()), ("duration_ms", millis(gone.duration).into()),
            ("messages", gone.messages.into()), ("bytes", gone.bytes.into()),
        ];
    Event::Refused(refused) => live "refused"
        log Debug("refused a client{}: {}{}{}{}", from(refused.address), refused.reason.ending().label,
            named("key", refused.key.as_ref().map(ApiKey::as_str)), named("id", refused.id.as_ref().map(PeerId::as_str)),
            named("origin", refused.origin.as_deref()))
        with client(), key: refused.key.as_ref(), id: refused.id.as_ref(), address: refused.address,
        origin: refused.origin.as_deref(), reason: Some(&refused.reason.ending().label);
    Event::TurnedAway(away) => live "refused"
        log Debug("refused a client{}: {}{}{}", from(away.address), away.why.ending().label,
            named("key", away.key.as_ref().map(ApiKey::as_str)), named("id", away.id.as_ref().map(PeerId::as_str)))
        with client(), key: away.key.as_ref(), id: away.id.as_ref(), address: away.address,
        reason: Some(&away.why.ending().label);
    // `/api/mistakes` and lines of their own tell more.
    Event::ClientMistake(mistake) => live "mistake"
        with client(), key: mistake.mistake.key(), id: mistake.mistake.id(), address: mistake.address,
        origin: mistake.origin.as_deref();
    Event::Expired { to, from } => live "expired"
        log Debug("messages of {from:?} to {:?} of the key {:?} expired", to.id, to.key)
        with peer(to);
    Event::PeerWanted { peer: who, from, kind } => webhook PeerWanted
        log Debug("{from:?} wants the peer {:?} of the key {:?}, which is absent: {}", who.id, who.key, kind.label())
        with peer(who), data: &[("from", from.as_str().into()), ("kind", kind.label().into())];
    Event::RoomJoined { peer: who, room } => live "room_joined" webhook RoomJoined
        log Debug("the peer {:?} of the key {:?} joined the room {room:?}", who.id, who.key)
        with peer(who), reason: Some(&room.as_str()), data: &[("room", room.as_str().into())];
    Event::RoomLeft { peer: who, room } => live "room_left" webhook RoomLeft
        log Debug("the peer {:?} of the key {:?} left the room {room:?}", who.id, who.key)
        with peer(who), reason: Some(&room.as_str()), data: &[("room", room.as_str().into())];
    Event::CallRelayed(peers) => live "relayed" webhook CallRelayed
        log Debug("the call of {:?} to {:?} of the key {:?} goes through the relay", peers.caller, peers.callee, peers.key)
        with call(peers);
    Event::RelayedCallEnded { call: peers, over, duration, bytes } => webhook CallEnded
        log Debug("the relayed call of {:?} to {:?} of the key {:?} is over: {over}, {} s, bytes {bytes}",
            peers.caller, peers.callee, peers.key, duration.as_secs())
        with call(peers),
        data: &[
            ("transport", over.label().into()), ("duration_ms", millis(*duration).into()), ("bytes", bytes.into()),
        ];
    Event::CallFailed { call: peers, why } => live "call_failed" webhook CallFailed
        log Debug("the call of {:?} to {:?} of the key {:?} has failed: {why}", peers.caller, peers.callee, peers.key)
        with call(peers), reason: Some(why), data: &[("reason", why.label().into())];
    Event::ConnectionFailed { key, report } => live "connection_failed" webhook ConnectionFailed
        log Debug("{:?} of the key {key:?} reports that its connection to {:?} failed: {}",
            report.id, report.peer, report.outcome.labels().1)
        with client(), key: Some(key), realm: Some(RealmKind::PeerJs), id: Some(&report.id),
        reason: Some(&report.outcome.labels().1),
        data: &[
            ("peer", report.peer.as_str().into()), ("kind", report.details.kind.label().into()),
            ("reason", report.outcome.labels().1.into()),
        ];
    Event::LimitHit { limit, key, address } => live "limit"
        log Debug("limit reached{}: {}{}", from(*address), limit.row().label, named("key", key.as_ref().map(ApiKey::as_str)))
        with client(), key: key.as_ref(), address: *address, reason: Some(&limit.row().label);

    Event::PeerKicked { peer: PeerAddress { key, realm, id }, connection, by } =>
        live "kicked" webhook PeerKicked
        log Info("{by} kicked the peer {id:?} of the key {key:?}{}", place(*connection))
        with on_key(key, "kicked"), realm: Some(*realm), id: Some(id), connection: *connection, by: Some(by);
    Event::AllocationEnded { relayed, username, by } => live "allocation_ended"
        log Info("{by} ended the TURN allocation {relayed} of {username:?}")
        with audit("allocation_ended"), by: Some(by), reason: Some(username);
    Event::Ban { ban, by, is_over: false } => live "banned"
        log Info("{by} banned {ban}")
        with audit("banned"), by: Some(by), reason: Some(ban);
    Event::Ban { ban, by, is_over: true } => live "unbanned"
        log Info("{by} ended the ban {ban}")
        with audit("unbanned"), by: Some(by), reason: Some(ban);
    Event::Key { key, what: KeyEvent::Created(by, json) } => live "key_added" webhook KeyCreated
        log Info("{by} added the key {key:?}: {json}")
        with on_key(key, "key_added"), by: Some(by), fields: &[("settings", json.into())];
    Event::Key { key, what: KeyEvent::Changed(by, json) } => live "key_changed" webhook KeyChanged
        log Info("{by} changed the key {key:?}: {json}")
        with on_key(key, "key_changed"), by: Some(by), fields: &[("settings", json.into())];
    Event::Key { key, what: KeyEvent::Removed(by) } => live "key_removed" webhook KeyRemoved
        log Info("{by} removed the key {key:?}")
        with on_key(key, "key_removed"), by: Some(by);
    Event::Key { key, what: KeyEvent::Unused(days) } => live "key_removed" webhook KeyRemoved
        log Info("the key {key:?} was registered and not used for {}: it is removed", counted((*days).into(), "day", "days"))
        with on_key(key, "key_expired"), fields: &[("days", days.into())], data: &[("by", "expiry".into())];
    Event::Key { key, what: KeyEvent::UsedUp(limit) } => live "key_full" webhook KeyLimitReached
        log Info("the key {key:?} has {}, which is its limit", counted(*limit as u64, "client", "clients"))
        with client(), key: Some(key), fields: &[("limit", limit.into())], data: &[("limit", limit.into())];
    Event::Keys { what: KeysEvent::Imported(by, count) } => live "keys_changed"
        log Info("{by} imported {}", keys(*count))
        with audit("keys_imported"), by: Some(by), reason: Some(&format_args!("{} imported", keys(*count))),
        fields: &[("count", count.into())];
    Event::Keys { what: KeysEvent::Removed(by, count) } => live "keys_changed"
        log Info("{by} removed {}", keys(*count))
        with audit("keys_removed"), by: Some(by), reason: Some(&format_args!("{} removed", keys(*count))),
        fields: &[("count", count.into())];
    Event::Keys { what: KeysEvent::Unused(count, days) } => live "keys_changed"
        log Info("{} were registered and not used for {}: they are removed", keys(*count), counted((*days).into(), "day", "days"))
        with audit("keys_expired"), reason: Some(&format_args!("{} not used and removed", keys(*count))),
        fields: &[("count", count.into()), ("days", days.into())];
    Event::Keys { what: KeysEvent::Lost(count) } => live "keys_changed"
        log Error("the store has lost all keys, {count}: it was emptied, or is a Redis that was restarted without `appendonly yes`. \
            `peerbroker keys import` restores an export")
        with audit("keys_lost"), reason: Some(&format_args!("the store has lost all keys, {count}")),
        fields: &[("count", count.into())];

    Event::Cluster { what: ClusterEvent::Joined { name, life, others } } => live "cluster"
        log Info("node {} joined ({})", name.escape_debug(), nodes(others))
        with cluster("joined", &"this node has joined the cluster"), life: Some(life);
    Event::Cluster { what: ClusterEvent::NodeJoined { name, life } } => live "cluster"
        log Info("node {} joined", name.escape_debug())
        with cluster("node_joined", &format_args!("the node {name} has joined")), life: Some(life),
        fields: &[("name", name.into())];
    Event::Cluster { what: ClusterEvent::Unreachable { why, refuses } } => live "cluster" webhook ClusterUnreachable
        log Error("{why}; {}",
            if *refuses { "new clients are refused meanwhile" } else { "clients of other nodes are not reached meanwhile" })
        with cluster("unreachable", &"this node cannot reach the others"), data: &[("why", why.into())];
    Event::Cluster { what: ClusterEvent::Reachable } => live "cluster" webhook ClusterReachable
        log Info("the other nodes can be reached again")
        with cluster("reachable", &"this node reaches the others again");
    Event::Cluster { what: ClusterEvent::LeaseEnded { life } } => live "cluster" webhook ClusterLeaseEnded
        log Warn("the lease of this node has ended, so others may take its ids: it joins again")
        with cluster("lease_ended", &"the lease of this node has ended"), life: Some(life);
    Event::Cluster { what: ClusterEvent::NodeGone { name, life, left: true } } =>
        live "cluster" webhook ClusterNodeGone
        log Info("node {} left", or(name, UNNAMED).escape_debug())
        with cluster("node_gone", &format_args!("the node {} has left", or(name, UNNAMED))),
        life: Some(life), fields: &[("name", or(name, "").into())], data: &[("gone", name.to_value())];
    Event::Cluster { what: ClusterEvent::NodeGone { name, life, left: false } } =>
        live "cluster" webhook ClusterNodeGone
        log Warn("node {} died: its ids are free", or(name, UNNAMED).escape_debug())
        with cluster("node_gone", &format_args!("the node {} has died", or(name, UNNAMED))),
        life: Some(life), fields: &[("name", or(name, "").into())], data: &[("gone", name.to_value())];
    Event::Cluster { what: ClusterEvent::SameName { name, life, places: [own, other] } } => live "cluster"
        log Warn("two nodes have the name {}: this one, at {}, and one at {}. Give each its own --node_name, or none",
            name.escape_debug(), own.escape_debug(), other.escape_debug())
        with cluster("same_name", &format_args!("another node has the name {name} too")),
        life: Some(life), fields: &[("name", name.into())];
    Event::Cluster { what: ClusterEvent::OtherSettings { name, life, settings } } => live "cluster"
        log Warn("node {} has other settings than this one: {settings}. Start all nodes with the same flags", name.escape_debug())
        with cluster("other_settings", &format_args!("the node {name} has other settings: {settings}")),
        life: Some(life), fields: &[("name", name.into()), ("settings", settings.into())];
    Event::Cluster { what: ClusterEvent::BatchLost { life } } => live "cluster"
        log Warn("something that the node {life} said is lost: senders of messages in doubt get EXPIRE")
        with cluster("batch_lost", &"messages of another node are lost"), life: Some(life);
    Event::Cluster { what: ClusterEvent::IdsLost { ids } } => live "cluster"
        log Warn("ids that clients of this node lost to clients of other nodes after the outage: {ids}")
        with cluster("ids_lost", &format_args!("ids that clients of this node lost to others: {ids}")),
        fields: &[("ids", ids.into())];
}
