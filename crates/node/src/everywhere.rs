//! Questions to all nodes: lists of peers, kicks, numbers; and whether any node has a peer. A node by itself
//! answers alone.
//!
//! A node that does not answer within two seconds is left out, with its clients and numbers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Node, tenant};
use peerbroker_cluster::Whereabouts;
use peerbroker_cluster::packet::{NodeAnswer, Question};
use peerbroker_core::address::Network;
use peerbroker_core::vocabulary::{
    ApiKey, ConnId, ConnectionKind, DropReason, Frame, PeerId, RealmKind, RoomName, expected,
};
use peerbroker_events::{Count, Outcome, PeerAddress};
use peerbroker_protocols::peerjs::{self, app};
use peerbroker_router::{Holder, Routed};

/// Most entries that one node answers at a time.
const MAX_PAGE: usize = 10_000;

/// A connected client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Peer)]
pub struct PeerReport {
    /// The id of the peer.
    pub id: String,
    /// The protocol of the client.
    #[serde(with = "realm")]
    #[schema(value_type = String, example = "peerjs")]
    pub kind: RealmKind,
    /// The kind of connection.
    pub connection: ReportedConnection,
    /// The number of the connection, as in the log of its node. Never used again while the node runs.
    #[serde(default)]
    pub connection_id: u64,
    /// The time at which the connection was opened, in seconds since 1970.
    pub since: u64,
    /// The client's address; `null` if it is unknown.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The version that the client sent; `null` if it sent none.
    pub client_version: Option<String>,
    /// Number of messages that the client sent on this connection.
    pub messages: u64,
    /// Name of the node that has the connection; `null` outside a cluster.
    pub node: Option<String>,
}

/// The kind of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PeerConnection)]
pub enum ReportedConnection {
    /// A WebSocket.
    WebSocket,
    /// An HTTP stream, for PeerJS 0.3.x without a WebSocket.
    Stream,
}

/// The numbers of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = NodeStats)]
pub struct NodeReport {
    /// The life of the node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub life: String,
    /// Version of the node.
    pub version: String,
    /// Its numbers.
    #[serde(flatten)]
    pub counts: NodeCounts,
}

/// Numbers of a node, or the sums over nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NodeCounts {
    /// Clients that have an id, of all keys.
    pub clients: u64,
    /// Bytes of messages that wait for absent peers, including the overhead of storing them.
    pub queued_bytes: u64,
    /// Connections that got an id since the start.
    pub opened: u64,
    /// Messages that were handed over to other nodes since the start.
    pub handed_over: u64,
    /// Messages handed over whose outcome stays unknown: their senders got EXPIRE.
    pub in_doubt: u64,
    /// Number of times that all waiting messages from a sender to a peer expired and the sender was told.
    pub expired: u64,
}

impl Node {
    /// True if a PeerJS client of any node has an id. If the others cannot be asked within two seconds, true
    /// if one of this node has it.
    pub async fn has_peer(&self, key: &ApiKey, id: &PeerId) -> bool {
        if self.tenant(key.as_str()).is_some_and(|tenant| tenant.has_peer(id.as_str())) {
            return true;
        }
        self.is_elsewhere(&PeerAddress { key: key.clone(), realm: RealmKind::PeerJs, id: id.clone() }).await
    }

    /// True if another node has a peer.
    pub async fn is_elsewhere(&self, peer: &PeerAddress) -> bool {
        match &self.membership {
            Some(membership) => matches!(membership.find_peer(peer).await, Whereabouts::At(_)),
            None => false,
        }
    }

    /// A page of registered ids of a key, sorted by their bytes: the first `limit` ids after `after`, of one
    /// kind or of both.
    pub async fn page(
        &self,
        key: &str,
        kind: Option<RealmKind>,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        let limit = limit.min(MAX_PAGE);
        let question = || Question::Page {
            key: key.to_owned(),
            realm: kind.map(RealmKind::number),
            after: after.map(str::to_owned),
            limit: limit as u64,
        };
        // First, because the answers of the others include peers that move there from here during the call.
        let mut ids = self.listed_by_others(question).await;
        ids.extend(self.own_page(key, kind, after, limit));
        first(ids, limit)
    }

    /// A [page](Self::page) of the ids of the PeerJS clients of one network.
    pub async fn page_near(
        &self,
        key: &str,
        network: Network,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        let limit = limit.min(MAX_PAGE);
        let question = || Question::Near {
            key: key.to_owned(),
            network: network.to_string(),
            after: after.map(str::to_owned),
            limit: limit as u64,
        };
        let mut ids = self.listed_by_others(question).await;
        ids.extend(self.own_near(key, network, after, limit));
        first(ids, limit)
    }

    async fn listed_by_others(&self, question: impl FnOnce() -> Question) -> Vec<String> {
        let answers = match &self.membership {
            Some(membership) => self.listings.ask(membership, question()).await,
            None => Vec::new(),
        };
        let of_node = |answer| if let NodeAnswer::Ids(ids) = answer { ids } else { Vec::new() };
        answers.into_iter().flat_map(of_node).collect()
    }

    /// Ids of all registered PeerJS clients of a key: of a node by itself in order of their first
    /// registration, of a cluster sorted by their bytes.
    pub async fn all_ids(&self, key: &str) -> Vec<String> {
        let kind = RealmKind::PeerJs;
        if self.membership.is_none() {
            let realm = self.tenant(key).and_then(|tenant| tenant.existing(kind));
            return realm.iter().flat_map(|realm| realm.ids()).map(|id| id.as_str().to_owned()).collect();
        }
        all_pages(async |after| self.page(key, Some(kind), after, MAX_PAGE).await).await
    }

    /// Ids of all registered PeerJS clients of a key in one network, sorted by their bytes.
    pub async fn all_near(&self, key: &str, network: Network) -> Vec<String> {
        all_pages(async |after| self.page_near(key, network, after, MAX_PAGE).await).await
    }

    /// The connected clients of a key with the first `limit` ids after `after`, sorted by their ids.
    pub async fn peers_after(&self, key: &str, after: Option<&str>, limit: usize) -> Vec<PeerReport> {
        let limit = limit.min(MAX_PAGE);
        let answers = self.ask_others(|| Question::Peers {
            key: key.to_owned(),
            after: after.map(str::to_owned),
            limit: limit as u64,
        });
        let mut peers: Vec<PeerReport> = answers.await.into_iter().flat_map(reports).collect();
        peers.extend(self.own_peers(key, &self.own_page(key, None, after, limit)));
        peers.sort_by(|a, b| (&a.id, a.kind, &a.node).cmp(&(&b.id, b.kind, &b.node)));
        let mut ids: Vec<&str> = peers.iter().map(|peer| &*peer.id).collect();
        ids.dedup();
        if let Some(last) = ids.get(limit.saturating_sub(1)).map(|last| (*last).to_owned()) {
            peers.retain(|peer| peer.id <= last);
        }
        peers
    }

    /// The connected clients of a key with this id.
    pub async fn peers_called(&self, key: &str, id: &PeerId) -> Vec<PeerReport> {
        let answers = self.ask_others(|| Question::Peer { key: key.to_owned(), id: id.as_str().to_owned() });
        let mut peers: Vec<PeerReport> = answers.await.into_iter().flat_map(reports).collect();
        peers.extend(self.own_peers(key, &[id.as_str().to_owned()]));
        peers
    }

    /// Ends the connections of clients with this id, with
    /// [`CloseReason::Kicked`](peerbroker_core::vocabulary::CloseReason::Kicked); returns the realms that had
    /// one, and the connections of this node.
    pub async fn kick(&self, key: &str, id: &PeerId) -> Vec<(RealmKind, Option<ConnId>)> {
        let own = self.own_kick(key, id.as_str()).into_iter();
        let mut kicked: Vec<_> = own.map(|(realm, connection)| (realm, Some(connection))).collect();
        let answers = self.ask_others(|| Question::Kick { key: key.to_owned(), id: id.as_str().to_owned() });
        for answer in answers.await {
            if let NodeAnswer::Realms(realms) = answer {
                kicked.extend(realms.into_iter().filter_map(RealmKind::of_number).map(|realm| (realm, None)));
            }
        }
        kicked
    }

    /// Sends a message of the app's server to the PeerJS client of an id, on any node. `payload` is JSON.
    /// With `waits`, the message of an absent client waits as those of peers do.
    pub async fn send(&self, key: &ApiKey, id: &PeerId, payload: &str, waits: bool) -> Sent {
        let Some(tenant) = self.tenant(key.as_str()) else { return Sent::Absent };
        let is_present = self.has_peer(key, id).await;
        if !waits && !is_present {
            return Sent::Absent;
        }
        match tenant::send(&tenant.peers(), id, &app::message(None, payload)).flushed() {
            Routed::Delivered(_) => Sent::Reached,
            // On its way to another node.
            Routed::Queued if is_present => Sent::Reached,
            Routed::Queued => Sent::Waits,
            Routed::Dropped(reason) => Sent::Lost(reason),
        }
    }

    /// Sends a message of the app's server to all PeerJS clients of a key, on all nodes; returns their
    /// number. `payload` is JSON.
    pub async fn send_to_all(&self, key: &ApiKey, payload: &str) -> usize {
        let text = app::message(None, payload);
        let own = self.own_send(key.as_str(), &text);
        let answers = self.ask_others(|| Question::Send { key: key.as_str().to_owned(), text });
        let others = answers.await.into_iter().map(|answer| match answer {
            NodeAnswer::Number(reached) => usize::try_from(reached).unwrap_or_default(),
            _ => 0,
        });
        others.fold(own, usize::saturating_add)
    }

    /// Sends a message of the app's server to all members of a room, on all nodes; returns their number.
    /// `payload` is JSON. It waits for members that are away.
    pub fn send_to_room(&self, key: &ApiKey, room: &str, payload: &str) -> usize {
        let rooms = self.tenant(key.as_str()).and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs));
        let text = app::message(Some(RoomName::known(room)), payload);
        rooms.map_or(0, |rooms| rooms.send_from_server(room, Frame::of_text(&text)))
    }

    /// The numbers of each node that answers, this one included.
    pub async fn reports(&self) -> Vec<NodeReport> {
        let answers = self.ask_others(|| Question::Stats).await;
        let others = answers.into_iter().filter_map(|answer| match answer {
            NodeAnswer::Text(json) => serde_json::from_str(&json).ok(),
            _ => None,
        });
        others.chain([self.own_report()]).collect()
    }

    /// Answers another node.
    pub(super) fn answer(&self, question: Question) -> NodeAnswer {
        let entries = |limit: u64| usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        match question {
            Question::Page { key, realm, after, limit } => {
                NodeAnswer::Ids(match realm.map(RealmKind::of_number) {
                    // A kind of a newer version has no peers here.
                    Some(None) => Vec::new(),
                    kind => self.own_page(&key, kind.flatten(), after.as_deref(), entries(limit)),
                })
            }
            Question::Peers { key, after, limit } => {
                let ids = self.own_page(&key, None, after.as_deref(), entries(limit));
                text(&self.own_peers(&key, &ids))
            }
            Question::Peer { key, id } => text(&self.own_peers(&key, &[id])),
            Question::Kick { key, id } => {
                let kicked = self.own_kick(&key, &id).into_iter();
                NodeAnswer::Realms(kicked.map(|(realm, _)| realm.number()).collect())
            }
            Question::Near { key, network, after, limit } => {
                let network = Network::parse(&network).into_iter();
                let page = |network| self.own_near(&key, network, after.as_deref(), entries(limit));
                NodeAnswer::Ids(network.flat_map(page).collect())
            }
            Question::Stats => text(&self.own_report()),
            Question::Send { key, text } => NodeAnswer::Number(self.own_send(&key, &text) as u64),
            Question::Alive(..)
            | Question::Yield(..)
            | Question::Post { .. }
            | Question::Seat { .. }
            | Question::Part { .. }
            | Question::Close => NodeAnswer::No,
        }
    }

    async fn ask_others(&self, question: impl FnOnce() -> Question) -> Vec<NodeAnswer> {
        match &self.membership {
            Some(membership) => membership.ask_all(question()).await,
            None => Vec::new(),
        }
    }

    fn own_page(&self, key: &str, kind: Option<RealmKind>, after: Option<&str>, limit: usize) -> Vec<String> {
        let realms = self.tenant(key).into_iter().flat_map(|tenant| tenant.existing_realms());
        let realms = realms.filter(|realm| kind.is_none_or(|kind| realm.kind() == kind));
        let ids = realms.flat_map(|realm| realm.page(after, limit)).map(|id| id.as_str().to_owned());
        first(ids.collect(), limit)
    }

    fn own_near(&self, key: &str, network: Network, after: Option<&str>, limit: usize) -> Vec<String> {
        let realm = self.tenant(key).and_then(|tenant| tenant.existing(RealmKind::PeerJs));
        let ids = realm.iter().flat_map(|realm| realm.page_near(network, after, limit));
        ids.map(|id| id.as_str().to_owned()).collect()
    }

    fn own_peers(&self, key: &str, ids: &[String]) -> Vec<PeerReport> {
        let Some(tenant) = self.tenant(key) else { return Vec::new() };
        let realms: Vec<_> = tenant.existing_realms().collect();
        let of_id = |id: &String| -> Vec<PeerReport> {
            let present = realms.iter().filter_map(|realm| Some((realm.kind(), realm.present(id)?)));
            present.map(|(kind, peer)| self.report(kind, peer)).collect()
        };
        ids.iter().flat_map(of_id).collect()
    }

    fn report(&self, kind: RealmKind, holder: Holder) -> PeerReport {
        let info = holder.info;
        PeerReport {
            id: holder.id.as_str().to_owned(),
            kind,
            connection: match holder.kind {
                ConnectionKind::Socket => ReportedConnection::WebSocket,
                ConnectionKind::Stream => ReportedConnection::Stream,
            },
            connection_id: holder.connection.get(),
            since: info.since_unix,
            address: info.address,
            client_version: info.version.map(|version| version.as_str().to_owned()),
            messages: holder.messages,
            node: self.membership.as_ref().map(|membership| membership.config().node_name.clone()),
        }
    }

    fn own_kick(&self, key: &str, id: &str) -> Vec<(RealmKind, ConnId)> {
        self.tenant(key).map(|tenant| tenant.kick(id)).unwrap_or_default()
    }

    fn own_send(&self, key: &str, text: &str) -> usize {
        self.tenant(key).map_or(0, |tenant| tenant.send_to_all(text))
    }

    fn own_report(&self) -> NodeReport {
        let counters = self.counters();
        let life = self.membership.as_ref().and_then(|membership| membership.view().node);
        NodeReport {
            life: life.map(|life| life.to_string()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            counts: NodeCounts {
                clients: self.peers() as u64,
                queued_bytes: self.queued_bytes() as u64,
                opened: counters.total(Count::Opened),
                handed_over: self.membership.as_ref().map_or(0, |membership| membership.handed_over()),
                in_doubt: counters.messages_with(Outcome::Dropped(DropReason::InDoubt)),
                expired: counters.total(Count::Expired),
            },
        }
    }
}

/// The outcome of a message of the app's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The message is on its way to its client.
    Reached,
    /// The client is absent, and the message waits.
    Waits,
    /// Nobody has the id.
    Absent,
    /// Too much waits for the client, or its key was revoked.
    Lost(DropReason),
}

impl NodeCounts {
    /// The sums.
    pub fn plus(self, other: NodeCounts) -> NodeCounts {
        NodeCounts {
            clients: self.clients.saturating_add(other.clients),
            queued_bytes: self.queued_bytes.saturating_add(other.queued_bytes),
            opened: self.opened.saturating_add(other.opened),
            handed_over: self.handed_over.saturating_add(other.handed_over),
            in_doubt: self.in_doubt.saturating_add(other.in_doubt),
            expired: self.expired.saturating_add(other.expired),
        }
    }
}

/// True if PeerJS would take a payload for a part of one of its connections, and keep it.
pub fn is_of_connection(payload: &str) -> bool {
    peerjs::connection(payload).is_some()
}

/// A realm by its label.
mod realm {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(realm: &RealmKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(realm.label())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RealmKind, D::Error> {
        let label = String::deserialize(deserializer)?;
        let known = RealmKind::ALL.into_iter().find(|realm| realm.label() == label);
        known.ok_or_else(|| D::Error::custom("a realm of a newer version"))
    }
}

/// The ids of all pages, each asked for by the last id of the one before.
async fn all_pages(page: impl AsyncFn(Option<&str>) -> Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let next = page(all.last().map(String::as_str)).await;
        let is_last = next.len() < MAX_PAGE;
        all.extend(next);
        if is_last {
            return all;
        }
    }
}

/// The first `limit` ids, sorted by their bytes, each once.
fn first(mut ids: Vec<String>, limit: usize) -> Vec<String> {
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(limit);
    ids
}

/// Texts are JSON, so nodes of other versions understand the parts that they know.
fn text(answer: &impl Serialize) -> NodeAnswer {
    NodeAnswer::Text(expected(serde_json::to_string(answer), "an answer to a node"))
}

/// The peers of an answer. Those that only a newer version understands are left out.
fn reports(answer: NodeAnswer) -> Vec<PeerReport> {
    let NodeAnswer::Text(json) = answer else { return Vec::new() };
    let peers: Vec<Value> = serde_json::from_str(&json).unwrap_or_default();
    peers.into_iter().filter_map(|peer| serde_json::from_value(peer).ok()).collect()
}
