//! Metrics for Prometheus, and for programs that read its formats: 0.0.4 of Prometheus, and OpenMetrics 1.0.
//!
//! Everything is collected when it is read. No peer id is ever a label, and at most [`MAX_KEYS`] keys are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
#[cfg(target_os = "linux")]
use std::fs;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, http::header};
use peerbroker_media_api::{RelayTotals, TurnTotals};

use super::problem::Problem;
use super::state::{AdminState, Reply, blocking};
use crate::runtime::Runtime;
use peerbroker_core::vocabulary::MessageKind;
use peerbroker_events::{Buckets, Count, Counters, Events, Reported};
use peerbroker_node::Node;
use peerbroker_tls::Certificates;
use peerbroker_webhooks::WebhookTotals;

/// Most keys with a separate value: those with the most clients.
const MAX_KEYS: usize = 100;

/// The label of all other keys together.
const OTHER: &str = "other";

/// Shows metrics in the text format of Prometheus, or of OpenMetrics if that is accepted.
#[utoipa::path(
    tag = "stats",
    responses((status = OK, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8", description = "the metrics"), Problem)
)]
#[get("/metrics")]
pub(super) async fn show_metrics(ops: Data<AdminState>, request: HttpRequest) -> Reply {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_open = accepts_open_metrics(accept);
    let text = blocking(ops, move |runtime| Ok(collect(runtime, is_open))).await?;
    Ok(HttpResponse::Ok().content_type(if is_open { OPEN_METRICS } else { PROMETHEUS }).body(text))
}

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// True if a scraper accepts OpenMetrics. It gets that only if it says so.
fn accepts_open_metrics(accept: Option<&str>) -> bool {
    let names = accept.into_iter().flat_map(|accept| accept.split(','));
    let mut types = names.map(|name| name.split(';').next().unwrap_or_default().trim());
    types.any(|name| name.eq_ignore_ascii_case("application/openmetrics-text"))
}

fn collect(runtime: &Runtime, is_open: bool) -> String {
    let mut page = Page { is_open, text: String::with_capacity(16 << 10) };
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    page.labelled(GAUGE, "peerbroker_build_info", "The version of the server.", "version", version);
    let ready = u8::from(runtime.unready().is_empty());
    page.gauge("peerbroker_ready", "Whether the server should get clients.", ready);
    clients(&mut page, runtime);
    waiting(&mut page, runtime);
    counted(&mut page, runtime.events.counters());
    speed(&mut page, &runtime.events);
    if let Some(relay) = runtime.node.relay() {
        relayed(&mut page, relay.calls().totals());
        let help = "For how long calls were relayed, from the first datagram on.";
        let durations = runtime.events.counters().relayed_calls.buckets();
        page.histogram("peerbroker_relay_call_seconds", help, &durations);
    }
    piped(&mut page, runtime);
    if let Some(turn) = runtime.turn() {
        allocated(&mut page, turn.totals());
    }
    webhooks(&mut page, runtime.webhooks.totals());
    cluster(&mut page, &runtime.node);
    if let Some(certificates) = runtime.certificates.get() {
        secured(&mut page, certificates);
    }
    let has_failed = u8::from(runtime.reloads.lock().error.is_some());
    let help = "Whether the last reload of the configuration failed.";
    page.gauge("peerbroker_reload_failed", help, has_failed);
    process(&mut page);
    page.finish()
}

fn clients(page: &mut Page, runtime: &Runtime) {
    let help = "WebSockets and streams, opening and closing ones included.";
    page.gauge("peerbroker_connections", help, runtime.connections());
    let peers = bounded(runtime.node.clients_by_key());
    page.labelled(GAUGE, "peerbroker_peers", "Clients that have an id, by key.", "key", &peers);
    let help = "Keys that have clients, or had some a moment ago.";
    page.gauge("peerbroker_active_keys", help, runtime.node.active_keys());
    let (rooms, members) = runtime.node.rooms_and_members(false);
    page.gauge("peerbroker_rooms", "Rooms with members, on this node or another.", rooms);
    page.gauge("peerbroker_room_members", "Memberships in rooms of clients of this node.", members);
    let (topics, subscriptions) = runtime.node.rooms_and_members(true);
    page.gauge("peerbroker_topics", "Topics with subscribers, on this node or another.", topics);
    let help = "Subscriptions to topics of clients of this node.";
    page.gauge("peerbroker_topic_subscriptions", help, subscriptions);
    let (swarms, members) = runtime.node.swarms_and_members();
    page.gauge("peerbroker_swarms", "Swarms of the tracker.", swarms);
    page.gauge("peerbroker_swarm_members", "Their members.", members);
}

/// Messages in memory.
fn waiting(page: &mut Page, runtime: &Runtime) {
    let backlog = runtime.node.backlog();
    let largest = runtime.events.counters().largest_outbox.get();
    let help = "Bytes of messages that wait for absent peers, with what it costs to keep them.";
    page.gauge("peerbroker_queued_bytes", help, runtime.node.queued_bytes());
    page.gauge("peerbroker_queued_messages", "Messages that wait for absent peers.", backlog.queued);
    let oldest = backlog.oldest as f64 / 1e3;
    page.gauge("peerbroker_queued_oldest_seconds", "How long the oldest of them has waited.", oldest);
    let help = "Bytes in the outboxes of clients that read slowly, with what it costs to keep them.";
    page.gauge("peerbroker_outbox_bytes", help, backlog.outboxes);
    let help = "The most such bytes of one client within the last one to two minutes.";
    page.gauge("peerbroker_outbox_peak_bytes", help, largest);
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

fn counted(page: &mut Page, counters: &Counters) {
    page.counter("peerbroker_opened", "Connections that got an id.", counters.total(Count::Opened));
    let help = "Connections that lost their id, by reason.";
    page.labelled(COUNTER, "peerbroker_closed", help, "reason", counters.closed_by_reason());
    let help = "Clients that got no id, by reason.";
    page.labelled(COUNTER, "peerbroker_refused", help, "reason", counters.refused_by_reason());
    let messages = MessageKind::ALL.into_iter().flat_map(|kind| {
        let by_outcome = counters.messages_by_outcome(kind);
        by_outcome.map(move |(outcome, count)| ([("kind", kind.label()), ("outcome", outcome)], count))
    });
    page.family(COUNTER, "peerbroker_messages", "Messages by kind and outcome.", messages);
    let help = "Times that all that a sender had waiting for a peer was lost.";
    page.counter("peerbroker_expired", help, counters.total(Count::Expired));
    let help = "Handshakes that opened no WebSocket, by reason.";
    let refused = counters.handshakes_refused_by_reason();
    page.labelled(COUNTER, "peerbroker_handshakes_refused", help, "reason", refused);
    let help = "Answers to other HTTP requests of clients, by class of their status.";
    page.labelled(COUNTER, "peerbroker_http_responses", help, "class", counters.answers_by_class());
    let help = "Bytes of messages: those that clients sent, and those in outboxes of their recipients.";
    let bytes = [("received", Count::Received), ("sent", Count::Sent)];
    let bytes = bytes.map(|(direction, count)| (direction, counters.total(count)));
    page.labelled(COUNTER, "peerbroker_message_bytes", help, "direction", bytes);
    let help = "Connections that clients have reported, by outcome, with the way or the reason.";
    let reported = Reported::all().map(|reported| {
        let (outcome, detail) = reported.labels();
        ([("outcome", outcome), ("detail", detail)], counters.total(Count::Reported(reported)))
    });
    page.family(COUNTER, "peerbroker_call_reports", help, reported);
    let help = "How often clients have reached a limit.";
    page.labelled(COUNTER, "peerbroker_limit_hits", help, "limit", counters.hits_by_limit());
}

/// The metrics of speed and overload.
fn speed(page: &mut Page, events: &Events) {
    let latency = &events.counters().latency;
    let lag = &events.counters().worker_lag;
    let help =
        "From the read of a message until it is written, or left to its recipient's own task: a sample.";
    page.histogram("peerbroker_message_latency_seconds", help, &latency.buckets());
    page.histogram("peerbroker_worker_lag_seconds", "How late timers of workers fire.", &lag.all.buckets());
    let peaks = (0_usize..).map(|worker| worker.to_string()).zip(lag.peaks());
    let peaks = peaks.map(|(worker, peak)| (worker, peak.as_secs_f64()));
    let help = "The latest timer of each worker within the last one to two minutes.";
    page.labelled(GAUGE, "peerbroker_worker_lag_peak_seconds", help, "worker", peaks);
    let help = "Events that subscribers lost because they were too slow.";
    page.labelled(COUNTER, "peerbroker_events_lost", help, "subscriber", events.lost());
    let help = "Panics of background threads. Each is a bug.";
    page.labelled(COUNTER, "peerbroker_thread_panics", help, "thread", events.threads().panics());
}

fn secured(page: &mut Page, certificates: &Certificates) {
    if let Some(validity) = certificates.validity() {
        let help = "When the certificate of the server expires, in seconds since 1970.";
        page.gauge("peerbroker_certificate_expiry_seconds", help, validity.to);
    }
    let failed = u8::from(certificates.problem().is_some());
    let help = "Whether the last attempt to replace the certificate failed.";
    page.gauge("peerbroker_certificate_renewal_failed", help, failed);
    let handshakes = certificates.handshakes.totals();
    page.labelled(COUNTER, "peerbroker_tls_handshakes", "TLS handshakes by outcome.", "outcome", handshakes);
}

fn piped(page: &mut Page, runtime: &Runtime) {
    let counters = runtime.events.counters();
    page.gauge(
        "peerbroker_pipes",
        "Pipes, those whose other end has not come included.",
        runtime.node.pipes(),
    );
    let help = "Pipes whose two ends have met.";
    page.counter("peerbroker_pipes_opened", help, counters.total(Count::PipesOpened));
    let help = "Pipes that ended, by reason.";
    page.labelled(COUNTER, "peerbroker_pipes_closed", help, "reason", counters.pipes_closed_by_reason());
    let help = "Bytes that pipes have carried.";
    page.counter("peerbroker_pipe_bytes", help, counters.total(Count::PipeBytes));
}

fn relayed(page: &mut Page, totals: RelayTotals) {
    page.gauge("peerbroker_relay_calls", "Calls that the relay knows.", totals.calls);
    let calls = [
        ("asked", totals.asked),
        ("offered", totals.offered),
        ("joined", totals.joined),
        ("carried", totals.carried),
        ("refused", totals.refused),
        ("displaced", totals.displaced),
    ];
    let help = "Calls that were asked for, that the relay was offered for, that came to it, that it carried, that a limit \
                refused, and that made room for others.";
    page.labelled(COUNTER, "peerbroker_relay_calls_seen", help, "outcome", calls);
    let help = "Calls that the relay has forgotten, by outcome, with the transports or the reason.";
    let ended = totals.ended().map(|(outcome, count)| {
        let (outcome, detail) = outcome.labels();
        ([("outcome", outcome), ("detail", detail)], count)
    });
    page.family(COUNTER, "peerbroker_relay_calls_ended", help, ended);
    let help = "Datagrams that the relay has passed from one client to another.";
    page.counter("peerbroker_relay_packets", help, totals.traffic.packets);
    page.counter("peerbroker_relay_bytes", "Their bytes.", totals.traffic.bytes);
    let help = "Clients that asked for their own address (STUN).";
    page.counter("peerbroker_relay_bindings", help, totals.traffic.bindings);
    let help = "Datagrams that the relay has dropped, by reason.";
    page.labelled(COUNTER, "peerbroker_relay_dropped", help, "reason", totals.dropped());
}

fn webhooks(page: &mut Page, totals: WebhookTotals) {
    page.gauge("peerbroker_webhook_waiting", "Events that wait for webhooks.", totals.waiting);
    let events = [
        ("queued", totals.queued),
        ("delivered", totals.delivered),
        ("retried", totals.retried),
        ("failed", totals.failed),
        ("dropped", totals.dropped),
    ];
    let help = "What became of events for webhooks.";
    page.labelled(COUNTER, "peerbroker_webhook_events", help, "outcome", events);
}

fn allocated(page: &mut Page, totals: TurnTotals) {
    page.gauge("peerbroker_turn_allocations", "Allocations of the TURN server.", totals.allocations);
    page.counter("peerbroker_turn_allocated", "Allocations that it has given.", totals.allocated);
    let help = "Unused allocations that it has ended, because all were taken.";
    page.counter("peerbroker_turn_reclaimed", help, totals.displaced);
    page.counter("peerbroker_turn_packets", "Datagrams that it has relayed.", totals.traffic.packets);
    page.counter("peerbroker_turn_bytes", "Their bytes, without TURN's own.", totals.traffic.bytes);
    let help = "Clients that asked it for their own address (STUN).";
    page.counter("peerbroker_turn_bindings", help, totals.traffic.bindings);
    let help = "Requests that it has refused, by reason.";
    page.labelled(COUNTER, "peerbroker_turn_refused", help, "reason", totals.refused());
    let help = "Datagrams that it has dropped, by reason.";
    page.labelled(COUNTER, "peerbroker_turn_dropped", help, "reason", totals.dropped());
}

fn cluster(page: &mut Page, node: &Node) {
    let Some(membership) = node.membership() else { return };
    let view = membership.view();
    page.gauge("peerbroker_cluster_up", "Whether this node reaches the others.", u8::from(view.is_up));
    let alive = view.members.iter().filter(|member| member.alive).count();
    page.gauge("peerbroker_cluster_nodes", "Nodes that are alive, as this one knows.", alive);
    let handed_over = membership.handed_over();
    page.counter("peerbroker_cluster_handed_over", "Messages that went to another node.", handed_over);
}

/// The usual metrics of a process, where the system has `/proc`.
#[cfg(target_os = "linux")]
fn process(page: &mut Page) {
    let Ok(myself) = procfs::process::Process::myself() else { return };
    if let Ok(stat) = myself.stat() {
        let ticks = procfs::ticks_per_second().max(1) as f64;
        let seconds = (stat.utime + stat.stime) as f64 / ticks;
        page.counter("process_cpu_seconds", "CPU time of the process.", seconds);
        page.gauge("process_resident_memory_bytes", "Resident memory.", stat.rss * procfs::page_size());
        page.gauge("process_virtual_memory_bytes", "Virtual memory.", stat.vsize);
        page.gauge("process_threads", "Threads.", stat.num_threads);
        if let Ok(booted) = procfs::boot_time_secs() {
            let started = booted as f64 + stat.starttime as f64 / ticks;
            let help = "When the process started, in seconds since 1970.";
            page.gauge("process_start_time_seconds", help, started);
        }
    }
    if let Ok(files) = myself.fd_count() {
        page.gauge("process_open_fds", "Open files and sockets.", files);
    }
    let limit = myself.limits().ok().map(|limits| limits.max_open_files.soft_limit);
    if let Some(procfs::process::LimitValue::Value(files)) = limit {
        page.gauge("process_max_fds", "Most open files and sockets.", files);
    }
    if let Some(overflows) = accept_queue_overflows() {
        let help = "Connections that found a full accept queue, of any program in the network namespace.";
        page.counter("peerbroker_accept_queue_overflows", help, overflows);
    }
}

/// Connections that found a full accept queue. The kernel counts them only for a whole network namespace.
#[cfg(target_os = "linux")]
fn accept_queue_overflows() -> Option<u64> {
    let counters = fs::read_to_string("/proc/self/net/netstat").ok()?;
    // A line of names, and one of values.
    let mut lines = counters.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let names = lines.next()?.split_whitespace();
    let values = lines.next()?.split_whitespace();
    names.zip(values).find(|(name, _)| *name == "ListenOverflows")?.1.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn process(_: &mut Page) {}

/// The kind of a metric: its name, and the suffix of its samples.
type MetricKind = (&'static str, &'static str);

const COUNTER: MetricKind = ("counter", "_total");
const GAUGE: MetricKind = ("gauge", "");

/// The labels of a metric with one value.
const UNLABELLED: [(&str, &str); 0] = [];

/// Metrics as they are being written.
struct Page {
    /// True for OpenMetrics, false for the format of Prometheus.
    is_open: bool,
    text: String,
}

impl Page {
    /// A counter with one value.
    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(COUNTER, name, help, [(UNLABELLED, value)]);
    }

    /// A gauge with one value.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(GAUGE, name, help, [(UNLABELLED, value)]);
    }

    /// A metric with a value for each value of a label.
    fn labelled<L: AsRef<str>, V: Display>(
        &mut self,
        kind: MetricKind,
        name: &str,
        help: &str,
        label: &'static str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        let samples = samples.into_iter().map(|(of_label, value)| ([(label, of_label)], value));
        self.family(kind, name, help, samples);
    }

    /// A metric with a value for each combination of labels. The name of a counter has no `_total`.
    fn family<const N: usize, L: AsRef<str>, V: Display>(
        &mut self,
        (kind, suffix): MetricKind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, L); N], V)>,
    ) {
        // In OpenMetrics, the family of a counter has the name without the suffix.
        let of_family = if self.is_open { "" } else { suffix };
        self.line(format_args!("# HELP {name}{of_family} {help}"));
        self.line(format_args!("# TYPE {name}{of_family} {kind}"));
        for (labels, value) in samples {
            self.text.extend([name, suffix]);
            for (at, (label, of_label)) in labels.iter().enumerate() {
                self.text.extend([if at == 0 { "{" } else { "," }, label, "=\""]);
                self.text.extend([&*escaped(of_label.as_ref()), "\""]);
            }
            self.line(format_args!("{} {value}", if N == 0 { "" } else { "}" }));
        }
    }

    /// A histogram of durations, in seconds.
    fn histogram(&mut self, name: &str, help: &str, Buckets { up_to, count, sum }: &Buckets) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} histogram"));
        for (bound, count) in up_to {
            self.line(format_args!("{name}_bucket{{le=\"{}\"}} {count}", seconds(*bound)));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum {}", seconds(*sum)));
        self.line(format_args!("{name}_count {count}"));
    }

    fn finish(mut self) -> String {
        if self.is_open {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// A bound in the form of OpenMetrics, without exponents, and `1.0` for 1.
fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds.fract() == 0.0 { format!("{seconds:.1}") } else { seconds.to_string() }
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

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

    fn page(is_open: bool) -> String {
        let mut page = Page { is_open, text: String::new() };
        page.gauge("peers", "Clients.", 3);
        let samples = [([("kind", "offer"), ("key", "a\"b\\\n")], 1), ([("kind", "leave"), ("key", "")], 2)];
        page.family(COUNTER, "messages", "Messages.", samples);
        page.finish()
    }

    #[test]
    fn both_formats_name_counters_in_their_own_way() {
        assert_eq!(
            page(false),
            "# HELP peers Clients.\n# TYPE peers gauge\npeers 3\n\
             # HELP messages_total Messages.\n# TYPE messages_total counter\n\
             messages_total{kind=\"offer\",key=\"a\\\"b\\\\\\n\"} 1\nmessages_total{kind=\"leave\",key=\"\"} 2\n"
        );
        let text = page(true);
        assert!(text.contains("# TYPE messages counter\nmessages_total{"), "{text}");
        assert!(text.ends_with("} 2\n# EOF\n"), "{text}");
    }

    #[test]
    fn a_histogram_counts_up_and_ends_with_all() {
        let up_to = vec![(Duration::from_micros(50), 2), (Duration::from_secs(1), 3)];
        let mut page = Page { is_open: true, text: String::new() };
        page.histogram(
            "wait_seconds",
            "Waits.",
            &Buckets { up_to, count: 4, sum: Duration::from_millis(2500) },
        );
        assert_eq!(
            page.finish(),
            "# HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"0.00005\"} 2\n\
             wait_seconds_bucket{le=\"1.0\"} 3\nwait_seconds_bucket{le=\"+Inf\"} 4\nwait_seconds_sum 2.5\n\
             wait_seconds_count 4\n# EOF\n"
        );
    }

    #[test]
    fn a_scraper_gets_the_format_that_it_asks_for() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
        assert!(accepts_open_metrics(Some(of_prometheus)));
        for accept in [None, Some("*/*"), Some("text/plain"), Some("")] {
            assert!(!accepts_open_metrics(accept), "{accept:?}");
        }
    }
}
