//! Statistics of the broker.

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics::counted_limits;
use super::problem::Problem;
use super::state::{Ops, blocking};
use crate::app::LastReloads;
use crate::clock::millis;
use crate::events::Outcome;
use crate::node::{Node, NodeCounts, NodeReport};
use crate::relay::{Dropped, RelayTotals};
use crate::turn::{TurnDrop, TurnRefusal, TurnTotals};
use crate::webhooks::WebhookTotals;
use crate::wire::{CloseReason, HandshakeRefusal, MessageKind, Refusal};

/// Current state of the server, and totals since its start.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(super) struct Stats {
    /// Version of the server.
    version: &'static str,
    /// Seconds since the start.
    uptime: u64,
    /// Number of keys, including disabled ones.
    keys: usize,
    /// Keys with clients, now or a moment ago.
    active_keys: usize,
    /// Number of clients that have an id, of all keys.
    clients: usize,
    /// Number of WebSockets and streams, including those that are opening or closing.
    connections: usize,
    /// Bytes of messages that wait for absent peers, including the overhead of storing them.
    queued_bytes: usize,
    /// Messages that wait for absent peers.
    queued_messages: usize,
    /// How long the oldest of them has waited, in milliseconds; 0 if none waits.
    queued_oldest_ms: u64,
    /// Bytes in the outboxes of clients that read slowly, including the overhead of storing them.
    outbox_bytes: usize,
    /// The most such bytes of one client within the last one to two minutes.
    outbox_peak_bytes: u64,
    /// The latest timer of each worker within the last one to two minutes, in milliseconds. A busy worker is late.
    worker_lag_ms: Vec<u64>,
    /// Connections that got an id since the start.
    opened: u64,
    /// Connections that lost their id since the start, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// Refused clients since the start, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Messages since the start, by kind and outcome. A message that waits counts as `queued`, and later also as
    /// `delivered`, `expired` or dropped.
    messages: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Bytes of messages since the start: those that clients sent.
    received_bytes: u64,
    /// Bytes of messages since the start: those that came into outboxes of their recipients.
    sent_bytes: u64,
    /// How often clients have reached a limit since the start, by its name.
    limit_hits: BTreeMap<&'static str, u64>,
    /// Handshakes that opened no WebSocket since the start, by reason.
    handshakes_refused: BTreeMap<&'static str, u64>,
    /// Events that were lost since the start, by the name of the subscriber that was too slow for them.
    events_lost: BTreeMap<String, u64>,
    /// Connections closed because the client did not read. The same as `closed.slow_reader`.
    slow_readers: u64,
    /// Connections closed because the client was silent. The same as `closed.timed_out`.
    timed_out: u64,
    /// Connections that lost their id because they did not answer when another client asked for it. The same as
    /// `closed.evicted`.
    evicted: u64,
    /// Number of times that all waiting messages from a sender to a peer expired and the sender was told.
    expired: u64,
    /// The relay for calls that cannot go directly; `null` if there is none.
    relay: Option<RelayStats>,
    /// The last reloads of the configuration.
    configuration: ConfigurationStats,
    /// The certificate of the server; `null` without TLS.
    certificate: Option<CertificateStats>,
    /// The TURN server, or the STUN server of a relay; `null` if there is none.
    turn: Option<TurnStats>,
    /// Events for webhooks.
    webhooks: WebhookStats,
    /// The cluster that this server is a node of; `null` if it is by itself. All other fields are about this server.
    cluster: Option<ClusterStats>,
}

/// A relay, and what it has done since its start.
#[derive(Serialize, ToSchema)]
struct RelayStats {
    /// Calls that it knows now, whether they need it or not.
    calls: usize,
    /// Calls that it has offered a way to.
    offered: u64,
    /// Calls whose two clients both found it.
    joined: u64,
    /// Calls that it has carried.
    carried: u64,
    /// Calls that it did not take because of a limit.
    refused: u64,
    /// Unused calls that it has ended to make room for others.
    displaced: u64,
    /// Datagrams that it has passed on.
    packets: u64,
    /// Their bytes.
    bytes: u64,
    /// Clients that asked it for their own address (STUN).
    bindings: u64,
    /// Datagrams that it has dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

impl From<RelayTotals> for RelayStats {
    fn from(totals: RelayTotals) -> Self {
        let RelayTotals {
            calls,
            offered,
            joined,
            carried,
            refused,
            displaced,
            packets,
            bytes,
            bindings,
            dropped,
        } = totals;
        let dropped = Dropped::ALL.into_iter().map(Dropped::label).zip(dropped).collect();
        RelayStats { calls, offered, joined, carried, refused, displaced, packets, bytes, bindings, dropped }
    }
}

/// The last reloads of the configuration, in seconds since 1970.
#[derive(Serialize, ToSchema)]
struct ConfigurationStats {
    /// When it was last reloaded; `null` if it was not.
    reloaded: Option<u64>,
    /// When a reload last failed; `null` if none did.
    failed: Option<u64>,
    /// Why the last reload failed; `null` if it did not.
    error: Option<String>,
}

impl From<LastReloads> for ConfigurationStats {
    fn from(LastReloads { succeeded, failed, error }: LastReloads) -> Self {
        ConfigurationStats { reloaded: succeeded, failed, error }
    }
}

/// A certificate, and whether it can be renewed.
#[derive(Serialize, ToSchema)]
struct CertificateStats {
    /// The second since 1970 at which it expires; `null` if that cannot be read.
    expires: Option<u64>,
    /// Why the last attempt to replace it failed; `null` if it did not.
    error: Option<String>,
    /// TLS handshakes since the start, by outcome.
    handshakes: BTreeMap<&'static str, u64>,
}

/// A TURN server, and what it has done since its start.
#[derive(Serialize, ToSchema)]
struct TurnStats {
    /// Allocations that it has now.
    allocations: usize,
    /// Allocations that it has given.
    allocated: u64,
    /// Unused allocations that it has ended, because all were taken.
    reclaimed: u64,
    /// Datagrams that it has relayed.
    packets: u64,
    /// Their bytes, without TURN's own.
    bytes: u64,
    /// Clients that asked it for their own address (STUN).
    bindings: u64,
    /// Requests that it has refused, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Datagrams that it has dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

impl From<TurnTotals> for TurnStats {
    fn from(totals: TurnTotals) -> Self {
        let TurnTotals { allocations, allocated, reclaimed, packets, bytes, bindings, refused, dropped } =
            totals;
        let refused = TurnRefusal::ALL.into_iter().map(TurnRefusal::label).zip(refused).collect();
        let dropped = TurnDrop::ALL.into_iter().map(TurnDrop::label).zip(dropped).collect();
        TurnStats { allocations, allocated, reclaimed, packets, bytes, bindings, refused, dropped }
    }
}

/// What became of events for webhooks since the start.
#[derive(Serialize, ToSchema)]
struct WebhookStats {
    /// Events that wait or are on their way now.
    waiting: usize,
    /// Events that were queued.
    queued: u64,
    /// Events that an endpoint has taken.
    delivered: u64,
    /// Events that were given up.
    failed: u64,
    /// Events that were not queued, because too many waited.
    dropped: u64,
    /// Attempts that failed and are repeated.
    retried: u64,
}

impl From<WebhookTotals> for WebhookStats {
    fn from(totals: WebhookTotals) -> Self {
        let WebhookTotals { waiting, queued, delivered, failed, dropped, retried } = totals;
        WebhookStats { waiting, queued, delivered, failed, dropped, retried }
    }
}

/// A cluster, as one of its nodes knows it.
#[derive(Serialize, ToSchema)]
struct ClusterStats {
    /// Name of this node.
    node: String,
    /// Identifies this life of the node; `null` while it has not joined. Each time that a node joins, it begins a new life.
    life: Option<String>,
    /// Whether this node can reach the others.
    state: NodeState,
    /// All nodes, including those that died within the last hour.
    nodes: Vec<MemberStats>,
    /// The sums over all nodes that answered.
    total: NodeCounts,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum NodeState {
    /// It can.
    Up,
    /// It cannot, and serves its own clients.
    Degraded,
}

/// A node of a cluster.
#[derive(Serialize, ToSchema)]
struct MemberStats {
    /// Its name.
    name: String,
    /// Identifies this life of the node.
    life: String,
    /// Whether it is alive.
    alive: bool,
    /// Its numbers; `null` if it did not answer within two seconds.
    stats: Option<NodeReport>,
}

impl ClusterStats {
    async fn of(node: &Node) -> Option<Self> {
        let view = node.membership()?.view();
        let reports = node.reports().await;
        let total = reports.iter().fold(NodeCounts::default(), |sum, report| sum.plus(report.counts));
        let nodes = view.members.into_iter().map(|member| {
            let life = member.node.to_string();
            let stats = reports.iter().find(|report| report.life == life).cloned();
            MemberStats { name: member.name, life, alive: member.alive, stats }
        });
        Some(ClusterStats {
            node: view.name,
            life: view.node.map(|life| life.to_string()),
            state: if view.is_up { NodeState::Up } else { NodeState::Degraded },
            nodes: nodes.collect(),
            total,
        })
    }
}

/// Shows statistics.
#[utoipa::path(tag = "stats", operation_id = "show_stats", responses((status = OK, body = Stats, description = "the statistics"), Problem))]
#[get("/api/stats")]
pub(super) async fn show(ops: web::Data<Ops>) -> Result<web::Json<Stats>, Problem> {
    let cluster = ClusterStats::of(&ops.parts.node).await;
    let stats = blocking(ops, |parts| {
        let (counters, backlog) = (parts.events.counters(), parts.node.backlog());
        let totals = counters.totals();
        let closed = |reason: CloseReason| totals.closed(reason);
        let outcomes = |kind: MessageKind| {
            Outcome::all().map(|outcome| (outcome.label(), totals.messages(kind, outcome))).collect()
        };
        Ok(Stats {
            version: env!("CARGO_PKG_VERSION"),
            uptime: parts.uptime().as_secs(),
            keys: parts.admin.all_keys()?.len(),
            active_keys: parts.node.active_keys(),
            clients: parts.node.peers(),
            connections: parts.sessions.len(),
            queued_bytes: parts.node.queued_bytes(),
            queued_messages: backlog.queued,
            queued_oldest_ms: backlog.oldest,
            outbox_bytes: backlog.outboxes,
            outbox_peak_bytes: counters.largest_outbox().get(),
            worker_lag_ms: counters.worker_lag().peaks().into_iter().map(millis).collect(),
            opened: totals.opened(),
            closed: CloseReason::ALL
                .into_iter()
                .map(|reason| (reason.ending().label, closed(reason)))
                .collect(),
            refused: Refusal::ALL
                .into_iter()
                .map(|reason| (reason.ending().label, totals.refused(reason)))
                .collect(),
            messages: MessageKind::ALL.into_iter().map(|kind| (kind.label(), outcomes(kind))).collect(),
            received_bytes: totals.received(),
            sent_bytes: totals.sent(),
            limit_hits: counted_limits().map(|limit| (limit.label(), totals.limit_hits(limit))).collect(),
            handshakes_refused: HandshakeRefusal::ALL
                .into_iter()
                .map(|reason| (reason.ending().label, totals.handshakes_refused(reason)))
                .collect(),
            events_lost: parts.events.lost(),
            slow_readers: closed(CloseReason::SlowReader),
            timed_out: closed(CloseReason::TimedOut),
            evicted: closed(CloseReason::Evicted),
            expired: totals.expired(),
            relay: parts.node.relay().map(|relay| relay.totals().into()),
            configuration: parts.reloads.last().into(),
            certificate: parts.certificates.get().map(|certificates| CertificateStats {
                expires: certificates.validity().map(|validity| validity.to),
                error: certificates.problem(),
                handshakes: certificates.handshakes.totals().collect(),
            }),
            turn: parts.turn().map(|turn| turn.totals().into()),
            webhooks: parts.webhooks.totals().into(),
            cluster,
        })
    });
    Ok(web::Json(stats.await?))
}
