//! Metrics for Prometheus, and whatever reads its formats.
//!
//! Everything is collected when it is read. No peer id is ever a label, and at most [`MAX_KEYS`] keys are.

mod text;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};

use super::problem::Problem;
use super::state::{Ops, blocking};
use crate::app::Parts;
use crate::events::{Events, Outcome, Totals};
use crate::node::Node;
use crate::relay::{Dropped, RelayTotals};
use crate::tls::Certificates;
use crate::turn::{TurnDrop, TurnRefusal, TurnTotals};
use crate::webhooks::WebhookTotals;
use crate::wire::{CloseReason, HandshakeRefusal, Limit, MessageKind, Refusal};
use text::{Format, Kind, Page};

/// Most keys that have a value of their own: those with the most clients.
const MAX_KEYS: usize = 100;

/// The label of all other keys together.
const OTHER: &str = "other";

/// Shows metrics in the text format of Prometheus, or of OpenMetrics if that is accepted.
#[utoipa::path(
    tag = "stats",
    operation_id = "show_metrics",
    responses((status = OK, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8", description = "the metrics"), Problem)
)]
#[get("/metrics")]
pub(super) async fn show(ops: web::Data<Ops>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept);
    let text = blocking(ops, move |parts| Ok(collect(parts, format))).await?;
    Ok(HttpResponse::Ok().content_type(format.content_type()).body(text))
}

fn collect(parts: &Parts, format: Format) -> String {
    let mut page = Page::new(format);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.family(Kind::Gauge, "peerbroker_build_info", "The version of the server.", [(version, 1)]);
    let ready = u8::from(parts.unready().is_empty());
    page.single(Kind::Gauge, "peerbroker_ready", "Whether the server should get clients.", ready);
    clients(&mut page, parts);
    waiting(&mut page, parts);
    endings(&mut page, parts.events.counters().totals());
    speed(&mut page, &parts.events);
    if let Some(relay) = parts.node.relay() {
        relayed(&mut page, relay.totals());
    }
    if let Some(turn) = parts.turn() {
        allocated(&mut page, turn.totals());
    }
    webhooks(&mut page, parts.webhooks.totals());
    cluster(&mut page, &parts.node);
    if let Some(certificates) = parts.certificates.get() {
        secured(&mut page, certificates);
    }
    let has_failed = u8::from(parts.reloads.last().error.is_some());
    let help = "Whether the last reload of the configuration failed.";
    page.single(Kind::Gauge, "peerbroker_reload_failed", help, has_failed);
    process(&mut page);
    page.finish()
}

fn clients(page: &mut Page, parts: &Parts) {
    use Kind::Gauge;
    let connections = parts.sessions.len();
    page.single(
        Gauge,
        "peerbroker_connections",
        "WebSockets and streams, opening and closing ones included.",
        connections,
    );
    let peers = bounded(parts.node.clients_by_key());
    let samples = peers.iter().map(|(key, clients)| ([("key", key.as_str())], clients));
    page.family(Gauge, "peerbroker_peers", "Clients that have an id, by key.", samples);
    page.single(
        Gauge,
        "peerbroker_active_keys",
        "Keys that have clients, or had some a moment ago.",
        parts.node.active_keys(),
    );
}

/// Messages in memory.
fn waiting(page: &mut Page, parts: &Parts) {
    use Kind::Gauge;
    let (backlog, largest) = (parts.node.backlog(), parts.events.counters().largest_outbox().get());
    let queued = parts.node.queued_bytes();
    let help = "Bytes of messages that wait for absent peers, with what it costs to keep them.";
    page.single(Gauge, "peerbroker_queued_bytes", help, queued);
    let help = "Messages that wait for absent peers.";
    page.single(Gauge, "peerbroker_queued_messages", help, backlog.queued);
    let help = "How long the oldest of them has waited.";
    page.single(Gauge, "peerbroker_queued_oldest_seconds", help, backlog.oldest as f64 / 1e3);
    let help = "Bytes in the outboxes of clients that read slowly, with what it costs to keep them.";
    page.single(Gauge, "peerbroker_outbox_bytes", help, backlog.outboxes);
    let help = "The most such bytes of one client within the last one to two minutes.";
    page.single(Gauge, "peerbroker_outbox_peak_bytes", help, largest);
}

/// The keys with the most clients by name, and the others together.
fn bounded(mut clients: Vec<(String, usize)>) -> BTreeMap<String, usize> {
    clients.sort_unstable_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    let mut bounded = BTreeMap::new();
    for (at, (key, clients)) in clients.into_iter().enumerate() {
        let key = if at < MAX_KEYS { key } else { OTHER.to_owned() };
        *bounded.entry(key).or_default() += clients;
    }
    bounded
}

fn endings(page: &mut Page, totals: Totals<'_>) {
    use Kind::Counter;
    page.single(Counter, "peerbroker_opened", "Connections that got an id.", totals.opened());
    let closed = CloseReason::ALL.map(|reason| ([("reason", reason.ending().label)], totals.closed(reason)));
    page.family(Counter, "peerbroker_closed", "Connections that lost their id, by reason.", closed);
    let refused = Refusal::ALL.map(|reason| ([("reason", reason.ending().label)], totals.refused(reason)));
    page.family(Counter, "peerbroker_refused", "Clients that got no id, by reason.", refused);
    let messages = MessageKind::ALL.into_iter().flat_map(|kind| {
        Outcome::all().map(move |outcome| {
            ([("kind", kind.label()), ("outcome", outcome.label())], totals.messages(kind, outcome))
        })
    });
    page.family(Counter, "peerbroker_messages", "Messages by kind and outcome.", messages);
    page.single(
        Counter,
        "peerbroker_expired",
        "Times that all that a sender had waiting for a peer was lost.",
        totals.expired(),
    );
    let refused = HandshakeRefusal::ALL;
    let refused =
        refused.map(|reason| ([("reason", reason.ending().label)], totals.handshakes_refused(reason)));
    let help = "Handshakes that opened no WebSocket, by reason.";
    page.family(Counter, "peerbroker_handshakes_refused", help, refused);
    let answers = totals.answers().map(|(class, count)| ([("class", class)], count));
    let help = "Answers to other HTTP requests of clients, by class of their status.";
    page.family(Counter, "peerbroker_http_responses", help, answers);
    let bytes = [("received", totals.received()), ("sent", totals.sent())];
    let bytes = bytes.map(|(direction, bytes)| ([("direction", direction)], bytes));
    let help = "Bytes of messages: those that clients sent, and those in outboxes of their recipients.";
    page.family(Counter, "peerbroker_message_bytes", help, bytes);
    let limits = counted_limits().map(|limit| ([("limit", limit.label())], totals.limit_hits(limit)));
    page.family(Counter, "peerbroker_limit_hits", "How often clients have reached a limit.", limits);
}

/// Without the one of webhook requests: `auth` counts nothing, and a client above that limit counts as `token_refused`.
pub(super) fn counted_limits() -> impl Iterator<Item = Limit> {
    Limit::ALL.iter().copied().filter(|limit| *limit != Limit::WebhookRequests)
}

/// How fast the server works, and what was too much for it.
fn speed(page: &mut Page, events: &Events) {
    let counters = events.counters();
    let help =
        "From the read of a message until it is written, or left to its recipient's own task: a sample.";
    page.histogram("peerbroker_message_latency_seconds", help, &counters.latency().buckets());
    let help = "How late timers of workers fire.";
    page.histogram("peerbroker_worker_lag_seconds", help, &counters.worker_lag().buckets());
    let peaks = counters.worker_lag().peaks();
    let peaks: Vec<_> =
        peaks.iter().enumerate().map(|(worker, peak)| (worker.to_string(), peak.as_secs_f64())).collect();
    let peaks = peaks.iter().map(|(worker, peak)| ([("worker", worker.as_str())], peak));
    let help = "The latest timer of each worker within the last one to two minutes.";
    page.family(Kind::Gauge, "peerbroker_worker_lag_peak_seconds", help, peaks);
    let lost = events.lost();
    let lost = lost.iter().map(|(subscriber, lost)| ([("subscriber", subscriber.as_str())], lost));
    let help = "Events that subscribers lost because they were too slow.";
    page.family(Kind::Counter, "peerbroker_events_lost", help, lost);
    let panics = events.threads().panics();
    let panics = panics.iter().map(|(thread, panics)| ([("thread", thread.as_str())], panics));
    let help = "Panics of background threads. Each is a bug.";
    page.family(Kind::Counter, "peerbroker_thread_panics", help, panics);
}

fn secured(page: &mut Page, certificates: &Certificates) {
    if let Some(validity) = certificates.validity() {
        let help = "When the certificate of the server expires, in seconds since 1970.";
        page.single(Kind::Gauge, "peerbroker_certificate_expiry_seconds", help, validity.to);
    }
    let failed = u8::from(certificates.problem().is_some());
    let help = "Whether the last attempt to replace the certificate failed.";
    page.single(Kind::Gauge, "peerbroker_certificate_renewal_failed", help, failed);
    let handshakes = certificates.handshakes.totals().map(|(label, count)| ([("outcome", label)], count));
    page.family(Kind::Counter, "peerbroker_tls_handshakes", "TLS handshakes by outcome.", handshakes);
}

fn relayed(page: &mut Page, totals: RelayTotals) {
    use Kind::{Counter, Gauge};
    page.single(Gauge, "peerbroker_relay_calls", "Calls that the relay knows.", totals.calls);
    let calls = [
        ("offered", totals.offered),
        ("joined", totals.joined),
        ("carried", totals.carried),
        ("refused", totals.refused),
        ("displaced", totals.displaced),
    ];
    let calls = calls.map(|(outcome, count)| ([("outcome", outcome)], count));
    page.family(
        Counter,
        "peerbroker_relay_calls_seen",
        "Calls that the relay was offered for, that came to it, that it carried, that a limit refused, and that made room for others.",
        calls,
    );
    page.single(
        Counter,
        "peerbroker_relay_packets",
        "Datagrams that the relay has passed on.",
        totals.packets,
    );
    page.single(Counter, "peerbroker_relay_bytes", "Their bytes.", totals.bytes);
    page.single(
        Counter,
        "peerbroker_relay_bindings",
        "Clients that asked for their own address (STUN).",
        totals.bindings,
    );
    let dropped = Dropped::ALL.into_iter().zip(totals.dropped);
    let dropped = dropped.map(|(why, count)| ([("reason", why.label())], count));
    page.family(
        Counter,
        "peerbroker_relay_dropped",
        "Datagrams that the relay has dropped, by reason.",
        dropped,
    );
}

fn webhooks(page: &mut Page, totals: WebhookTotals) {
    use Kind::{Counter, Gauge};
    page.single(Gauge, "peerbroker_webhook_waiting", "Events that wait for webhooks.", totals.waiting);
    let events = [
        ("queued", totals.queued),
        ("delivered", totals.delivered),
        ("retried", totals.retried),
        ("failed", totals.failed),
        ("dropped", totals.dropped),
    ];
    let events = events.map(|(outcome, count)| ([("outcome", outcome)], count));
    page.family(Counter, "peerbroker_webhook_events", "What became of events for webhooks.", events);
}

fn allocated(page: &mut Page, totals: TurnTotals) {
    use Kind::{Counter, Gauge};
    page.single(Gauge, "peerbroker_turn_allocations", "Allocations of the TURN server.", totals.allocations);
    page.single(Counter, "peerbroker_turn_allocated", "Allocations that it has given.", totals.allocated);
    let reclaimed = "Unused allocations that it has ended, because all were taken.";
    page.single(Counter, "peerbroker_turn_reclaimed", reclaimed, totals.reclaimed);
    page.single(Counter, "peerbroker_turn_packets", "Datagrams that it has relayed.", totals.packets);
    page.single(Counter, "peerbroker_turn_bytes", "Their bytes, without TURN's own.", totals.bytes);
    let bindings = "Clients that asked it for their own address (STUN).";
    page.single(Counter, "peerbroker_turn_bindings", bindings, totals.bindings);
    let refused = TurnRefusal::ALL.into_iter().zip(totals.refused);
    let refused = refused.map(|(why, count)| ([("reason", why.label())], count));
    page.family(Counter, "peerbroker_turn_refused", "Requests that it has refused, by reason.", refused);
    let dropped = TurnDrop::ALL.into_iter().zip(totals.dropped);
    let dropped = dropped.map(|(why, count)| ([("reason", why.label())], count));
    page.family(Counter, "peerbroker_turn_dropped", "Datagrams that it has dropped, by reason.", dropped);
}

fn cluster(page: &mut Page, node: &Node) {
    let Some(membership) = node.membership() else { return };
    let view = membership.view();
    page.single(
        Kind::Gauge,
        "peerbroker_cluster_up",
        "Whether this node reaches the others.",
        u8::from(view.is_up),
    );
    let alive = view.members.iter().filter(|member| member.alive).count();
    page.single(Kind::Gauge, "peerbroker_cluster_nodes", "Nodes that are alive, as this one knows.", alive);
    page.single(
        Kind::Counter,
        "peerbroker_cluster_handed_over",
        "Messages that went to another node.",
        membership.handed_over(),
    );
}

/// The usual metrics of a process, where the system has `/proc`.
#[cfg(target_os = "linux")]
fn process(page: &mut Page) {
    use Kind::{Counter, Gauge};
    let Ok(myself) = procfs::process::Process::myself() else { return };
    if let Ok(stat) = myself.stat() {
        let ticks = procfs::ticks_per_second().max(1);
        let seconds = (stat.utime + stat.stime) as f64 / ticks as f64;
        page.single(Counter, "process_cpu_seconds", "CPU time of the process.", seconds);
        page.single(
            Gauge,
            "process_resident_memory_bytes",
            "Resident memory.",
            stat.rss * procfs::page_size(),
        );
        page.single(Gauge, "process_virtual_memory_bytes", "Virtual memory.", stat.vsize);
        page.single(Gauge, "process_threads", "Threads.", stat.num_threads);
        if let Ok(booted) = procfs::boot_time_secs() {
            let started = booted as f64 + stat.starttime as f64 / ticks as f64;
            page.single(
                Gauge,
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
                started,
            );
        }
    }
    if let Ok(files) = myself.fd_count() {
        page.single(Gauge, "process_open_fds", "Open files and sockets.", files);
    }
    let limit = myself.limits().ok().map(|limits| limits.max_open_files.soft_limit);
    if let Some(procfs::process::LimitValue::Value(files)) = limit {
        page.single(Gauge, "process_max_fds", "Most open files and sockets.", files);
    }
}

#[cfg(not(target_os = "linux"))]
fn process(_: &mut Page) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_with_the_most_clients_have_their_names_and_a_key_of_the_name_of_the_rest_counts_with_it() {
        let many = (0..MAX_KEYS + 3).map(|number| (format!("key-{number:03}"), 1000 - number));
        let bounded = bounded(many.chain([(OTHER.to_owned(), 5000)]).collect());
        assert_eq!(bounded.len(), MAX_KEYS);
        assert_eq!(bounded.get("key-000"), Some(&1000));
        assert_eq!(bounded.get("key-099"), None);
        let rest: usize = (MAX_KEYS - 1..MAX_KEYS + 3).map(|number| 1000 - number).sum();
        assert_eq!(bounded.get(OTHER), Some(&(5000 + rest)));
    }
}
