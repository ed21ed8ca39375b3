//! Statistics of the broker, the mistakes of its clients, and its health, which needs no token and reveals no
//! secrets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use actix_web::web::{Data, Json, Query};
use actix_web::{HttpResponse, get, http::StatusCode};
use peerbroker_media_api::{CallOutcome, RelayTotals, Traffic, TurnTotals};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::recent::{FailedCall, LiveEvent};
use super::state::{AdminState, JsonResult, Search, blocking};
use crate::runtime::{ConfigurationStats, KEYS_UNREAD, RecentMistake, Runtime};
use peerbroker_core::clock::millis;
use peerbroker_core::vocabulary::{CloseReason, MessageKind};
use peerbroker_events::Count;
use peerbroker_node::{Node, NodeCounts, NodeReport};
use peerbroker_protocols::pipes::PipeReport;
use peerbroker_webhooks::WebhookTotals;

/// Current state of the server, and totals since its start.
#[derive(Serialize, ToSchema)]
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
    /// The age of the oldest of them, in milliseconds; 0 if none waits.
    queued_oldest_ms: u64,
    /// Bytes in the outboxes of clients that read slowly, including the overhead of storing them.
    outbox_bytes: usize,
    /// The most such bytes of one client within the last one to two minutes.
    outbox_peak_bytes: u64,
    /// The latest timer of each worker within the last one to two minutes, in milliseconds. A busy worker is
    /// late.
    worker_lag_ms: Vec<u64>,
    /// Connections that got an id since the start.
    opened: u64,
    /// Connections that lost their id since the start, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// Refused clients since the start, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Messages since the start, by kind and outcome. A message that waits counts as `queued`, and later also
    /// as `delivered`, `expired` or dropped.
    messages: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Bytes of messages since the start: those that clients sent.
    received_bytes: u64,
    /// Bytes of messages since the start: those that came into outboxes of their recipients.
    sent_bytes: u64,
    /// Number of times clients have reached a limit since the start, by its name.
    limit_hits: BTreeMap<&'static str, u64>,
    /// Handshakes that opened no WebSocket since the start, by reason.
    handshakes_refused: BTreeMap<&'static str, u64>,
    /// Events that were lost since the start, by the name of the subscriber that was too slow for them.
    events_lost: BTreeMap<String, u64>,
    /// Connections closed because the client did not read. The same as `closed.slow_reader`.
    slow_readers: u64,
    /// Connections closed because the client was silent. The same as `closed.timed_out`.
    timed_out: u64,
    /// Connections that lost their id because they did not answer when another client asked for it. The same
    /// as `closed.evicted`.
    evicted: u64,
    /// Number of times that all waiting messages from a sender to a peer expired and the sender was told.
    expired: u64,
    /// The relay for calls that cannot go directly; `null` if there is none.
    relay: Option<RelayStats>,
    /// The last calls that have failed, as far as the relay can tell, the latest first; at most 20.
    failed_calls: Vec<FailedCall>,
    /// The last reloads of the configuration.
    configuration: ConfigurationStats,
    /// The certificate of the server; `null` without TLS.
    certificate: Option<CertificateStats>,
    /// The TURN server, or the STUN server of a relay; `null` if there is none.
    turn: Option<TurnStats>,
    /// The data that WebRTC cannot carry; `null` if pipes are off.
    pipes: Option<PipeStats>,
    /// Events for webhooks.
    webhooks: WebhookTotals,
    /// The cluster that this server is a node of; `null` outside of a cluster. All other fields are about
    /// this server.
    cluster: Option<ClusterStats>,
}

/// A relay, and its totals since its start.
#[derive(Serialize, ToSchema)]
struct RelayStats {
    /// The addresses that clients are told, for UDP and, unless that is off, for TCP.
    addresses: Vec<String>,
    /// Calls that it knows now, whether they need it or not.
    calls: usize,
    /// Offers of calls, with those of an ICE restart.
    asked: u64,
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
    /// Calls that it has forgotten, by outcome: `unanswered`, `direct`, `relayed`, `failed` or `unknown`.
    ended: BTreeMap<&'static str, u64>,
    /// Forgotten calls that it has relayed, by transport.
    transports: BTreeMap<&'static str, u64>,
    /// Forgotten calls that have failed, by reason.
    failures: BTreeMap<&'static str, u64>,
    /// Datagrams that it has relayed, without its own checks.
    packets: u64,
    /// Bytes of the datagrams that it has relayed, without its own checks.
    bytes: u64,
    /// Clients that asked it for their own address (STUN).
    bindings: u64,
    /// Datagrams that it has dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

impl RelayStats {
    fn new(addresses: &[SocketAddr], totals: RelayTotals) -> Self {
        let mut ended = BTreeMap::new();
        let mut transports = BTreeMap::new();
        let mut failures = BTreeMap::new();
        for (outcome, count) in totals.ended() {
            let (label, detail) = outcome.labels();
            *ended.entry(label).or_default() += count;
            match outcome {
                CallOutcome::Relayed(_) => transports.insert(detail, count),
                CallOutcome::Failed(_) => failures.insert(detail, count),
                CallOutcome::Unanswered | CallOutcome::Direct | CallOutcome::Unknown => None,
            };
        }
        RelayStats {
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
            calls: totals.calls,
            asked: totals.asked,
            offered: totals.offered,
            joined: totals.joined,
            carried: totals.carried,
            refused: totals.refused,
            displaced: totals.displaced,
            ended,
            transports,
            failures,
            packets: totals.traffic.packets,
            bytes: totals.traffic.bytes,
            bindings: totals.traffic.bindings,
            dropped: totals.dropped().collect(),
        }
    }
}

/// A certificate, and whether it can be renewed.
#[derive(Serialize, ToSchema)]
struct CertificateStats {
    /// The second since 1970 at which it expires; `null` if that cannot be read.
    expires: Option<u64>,
    /// The error of the last attempt to replace it; `null` if it worked.
    error: Option<String>,
    /// TLS handshakes since the start, by outcome.
    handshakes: BTreeMap<&'static str, u64>,
}

/// A TURN server, and its totals since its start.
#[derive(Serialize, ToSchema)]
struct TurnStats {
    /// The addresses that clients are told.
    addresses: Vec<String>,
    /// Allocations that it has now.
    allocations: usize,
    /// Allocations that it has given.
    allocated: u64,
    /// Unused allocations that it has ended, because all were taken.
    reclaimed: u64,
    /// Datagrams that it has relayed.
    packets: u64,
    /// Bytes of the datagrams that it has relayed, without TURN's own.
    bytes: u64,
    /// Clients that asked it for their own address (STUN).
    bindings: u64,
    /// Requests that it has refused, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Datagrams that it has dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

impl TurnStats {
    fn new(addresses: &[SocketAddr], totals: TurnTotals) -> Self {
        let refused = totals.refused().collect();
        let dropped = totals.dropped().collect();
        let TurnTotals { allocations, allocated, displaced: reclaimed, traffic, .. } = totals;
        let Traffic { packets, bytes, bindings, .. } = traffic;
        let addresses = addresses.iter().map(SocketAddr::to_string).collect();
        TurnStats { addresses, allocations, allocated, reclaimed, packets, bytes, bindings, refused, dropped }
    }
}

/// The pipes of this node.
#[derive(Serialize, ToSchema)]
struct PipeStats {
    /// Pipes now, those whose other end has not come included.
    open: usize,
    /// Pipes whose two ends have met, since the start.
    opened: u64,
    /// Bytes that pipes have carried since the start.
    bytes: u64,
    /// Pipes that ended since the start, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// Pipes that have carried the most bytes, at most 20.
    largest: Vec<ShownPipe>,
}

/// A pipe of this node.
#[derive(Serialize, ToSchema)]
struct ShownPipe {
    /// Key of the pipe.
    key: String,
    /// The beginning of its id. Whoever has the whole id could be its end.
    name: String,
    /// The addresses of its ends, as far as they have come; `null` for one that is unknown.
    addresses: Vec<Option<String>>,
    /// True if both ends are connected here, or through another node.
    open: bool,
    /// True if one end does not take what the other has sent.
    stalled: bool,
    /// Bytes of both directions.
    bytes: u64,
    /// The second since 1970 at which its first end came.
    since: u64,
}

/// Most pipes of an answer.
const MAX_PIPES: usize = 20;

impl PipeStats {
    fn new(runtime: &Runtime) -> Self {
        let counters = runtime.events.counters();
        let shown = |(key, report): (String, PipeReport)| {
            let PipeReport { name, addresses, is_open, is_stalled, bytes, since_unix } = report;
            let addresses = addresses.into_iter().map(|address| address.map(|address| address.to_string()));
            let addresses = addresses.collect();
            ShownPipe { key, name, addresses, open: is_open, stalled: is_stalled, bytes, since: since_unix }
        };
        PipeStats {
            open: runtime.node.pipes(),
            opened: counters.total(Count::PipesOpened),
            bytes: counters.total(Count::PipeBytes),
            closed: counters.pipes_closed_by_reason().collect(),
            largest: runtime.node.largest_pipes(MAX_PIPES).into_iter().map(shown).collect(),
        }
    }
}

/// A cluster, as one of its nodes knows it.
#[derive(Serialize, ToSchema)]
struct ClusterStats {
    /// Name of this node.
    node: String,
    /// Identifies this life of the node; `null` while it has not joined. Each time that a node joins, it
    /// begins a new life.
    life: Option<String>,
    /// The state of the connection to the other nodes.
    state: NodeState,
    /// All nodes, including those that died within the last hour.
    nodes: Vec<MemberStats>,
    /// The sums over all nodes that answered.
    total: NodeCounts,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum NodeState {
    /// The others can be reached.
    Up,
    /// The others cannot be reached. The node serves its own clients.
    Degraded,
}

/// A node of a cluster.
#[derive(Serialize, ToSchema)]
struct MemberStats {
    /// Name of the node.
    name: String,
    /// Identifies this life of the node.
    life: String,
    /// True if it is alive.
    alive: bool,
    /// Numbers of the node; `null` if it did not answer within two seconds.
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
#[utoipa::path(tag = "stats", responses((status = OK, body = Stats, description = "the statistics"), Problem))]
#[get("/api/stats")]
pub(super) async fn show_stats(ops: Data<AdminState>) -> JsonResult<Stats> {
    let cluster = ClusterStats::of(&ops.runtime.node).await;
    let failed_calls = ops.recent.failed_calls();
    let stats = blocking(ops, move |runtime| {
        let counters = runtime.events.counters();
        let backlog = runtime.node.backlog();
        let closed = |reason| counters.total(Count::Closed(reason));
        let by_outcome = |kind: MessageKind| (kind.label(), counters.messages_by_outcome(kind).collect());
        Ok(Stats {
            version: env!("CARGO_PKG_VERSION"),
            uptime: runtime.started.elapsed().as_secs(),
            keys: runtime.control.all_keys()?.len(),
            active_keys: runtime.node.active_keys(),
            clients: runtime.node.peers(),
            connections: runtime.connections(),
            queued_bytes: runtime.node.queued_bytes(),
            queued_messages: backlog.queued,
            queued_oldest_ms: backlog.oldest,
            outbox_bytes: backlog.outboxes,
            outbox_peak_bytes: counters.largest_outbox.get(),
            worker_lag_ms: counters.worker_lag.peaks().into_iter().map(millis).collect(),
            opened: counters.total(Count::Opened),
            closed: counters.closed_by_reason().collect(),
            refused: counters.refused_by_reason().collect(),
            messages: MessageKind::ALL.into_iter().map(by_outcome).collect(),
            received_bytes: counters.total(Count::Received),
            sent_bytes: counters.total(Count::Sent),
            limit_hits: counters.hits_by_limit().collect(),
            handshakes_refused: counters.handshakes_refused_by_reason().collect(),
            events_lost: runtime.events.lost(),
            slow_readers: closed(CloseReason::SlowReader),
            timed_out: closed(CloseReason::TimedOut),
            evicted: closed(CloseReason::Evicted),
            expired: counters.total(Count::Expired),
            relay: runtime
                .node
                .relay()
                .map(|relay| RelayStats::new(&relay.addresses(), relay.calls().totals())),
            failed_calls,
            configuration: runtime.reloads.lock().clone(),
            certificate: runtime.certificates.get().map(|certificates| CertificateStats {
                expires: certificates.validity().map(|validity| validity.to),
                error: certificates.problem(),
                handshakes: certificates.handshakes.totals().collect(),
            }),
            turn: runtime.turn().map(|turn| TurnStats::new(&turn.addresses(), turn.totals())),
            pipes: (runtime.config().pipes.total > 0).then(|| PipeStats::new(runtime)),
            webhooks: runtime.webhooks.totals(),
            cluster,
        })
    });
    stats.await.map(Json)
}

/// The mistakes of clients.
#[derive(Serialize, ToSchema)]
#[schema(as = Mistakes)]
pub(super) struct ShownMistakes {
    /// The latest first; at most 64.
    mistakes: Vec<RecentMistake>,
}

/// Lists the mistakes of clients within the last hour, in words and with hints.
#[utoipa::path(
    tag = "stats",
    responses((status = OK, body = ShownMistakes, description = "the mistakes"), Problem)
)]
#[get("/api/mistakes")]
pub(super) async fn list_mistakes(ops: Data<AdminState>) -> Json<ShownMistakes> {
    Json(ShownMistakes { mistakes: ops.runtime.mistakes.recent(ops.runtime.now()) })
}

/// The refusals that a request asks for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedRefusals {
    /// Lists only clients with this text in their id, or at the start of their address. Ignores case.
    search: Option<String>,
}

/// Clients that were refused.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusals)]
pub(super) struct ShownRefusals {
    /// The latest first; at most 50.
    refusals: Vec<LiveEvent>,
}

/// Most refusals of an answer.
const MAX_REFUSALS: usize = 50;

/// Lists the last refusals by this node of clients that named an id, whatever their key was, and of
/// addresses.
#[utoipa::path(
    tag = "stats",
    params(AskedRefusals),
    responses((status = OK, body = ShownRefusals, description = "the refusals"), Problem)
)]
#[get("/api/refusals")]
pub(super) async fn list_refusals(ops: Data<AdminState>, asked: Query<AskedRefusals>) -> Json<ShownRefusals> {
    let search = Search::new(asked.search.as_deref());
    let fits = |id: &str, address: Option<IpAddr>| {
        search.is_in(id) || address.is_some_and(|address| search.begins(&address.to_string()))
    };
    Json(ShownRefusals { refusals: ops.recent.refusals(fits, MAX_REFUSALS) })
}

/// The health of the process.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or the reason why not.
    status: &'static str,
}

/// The readiness of the server for clients.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// True if the server should get clients.
    ready: bool,
    /// The reasons why not.
    reasons: Vec<String>,
}

/// Answers that the process serves: not before it has read its keys.
#[utoipa::path(
    tag = "health",
    security(()),
    responses(
        (status = OK, body = Health, description = "the process serves"),
        (status = SERVICE_UNAVAILABLE, body = Health, description = "it admits nobody, because it could not read its keys yet"),
        Problem
    )
)]
#[get("/healthz")]
pub(super) async fn show_health(ops: Data<AdminState>) -> HttpResponse {
    if ops.runtime.node.awaits_keys() {
        return HttpResponse::ServiceUnavailable().json(Health { status: KEYS_UNREAD });
    }
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// Answers if the server should get clients: not while it stops, has not read its keys, or is out of its
/// cluster.
#[utoipa::path(
    tag = "health",
    security(()),
    responses(
        (status = OK, body = Readiness, description = "the server should get clients"),
        (status = SERVICE_UNAVAILABLE, body = Readiness, description = "it should not"),
        Problem
    )
)]
#[get("/readyz")]
pub(super) async fn show_readiness(ops: Data<AdminState>) -> HttpResponse {
    let reasons = ops.runtime.unready();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Readiness { ready, reasons })
}
