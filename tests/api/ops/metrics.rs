//! Metrics have what happened, in the formats of Prometheus and OpenMetrics.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::RawClient;
use crate::harness::api::Api;
use crate::harness::keys::plain_key;
use crate::harness::messages::{LEAVE, offer};
use crate::harness::ops::{with_api, with_everything};
use crate::tls::trust;

const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

/// Samples by name and labels.
pub(super) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect(line);
        (name.to_owned(), value.parse().expect(line))
    });
    samples.collect()
}

pub fn scrape(api: &Api) -> BTreeMap<String, f64> {
    samples(api.get("/metrics").response.text())
}

#[test]
fn metrics_count_what_clients_do_by_key_kind_outcome_and_reason_and_name_no_peer() {
    let (server, api) = with_api(&[plain_key("game")], None, |_| {});
    let mut alice = server.client("alice-with-a-long-id");
    let mut bob = server.client("bob-with-a-long-id");
    let _player = server.client_of("game", "carol-with-a-long-id");
    let messages = [offer("bob-with-a-long-id", "1"), offer("nobody-with-a-long-id", "1")];
    let received: usize = messages.iter().map(String::len).sum();
    for message in messages {
        alice.send(message);
    }
    bob.expect_text();
    alice.ping(b"");
    alice.expect_pong();

    let text = api.get("/metrics").response.text().to_owned();
    let metrics = samples(&text);
    for (name, value) in [
        ("peerbroker_connections", 3.0),
        (r#"peerbroker_peers{key="peerjs"}"#, 2.0),
        (r#"peerbroker_peers{key="game"}"#, 1.0),
        ("peerbroker_opened_total", 3.0),
        (r#"peerbroker_messages_total{kind="offer",outcome="delivered"}"#, 1.0),
        (r#"peerbroker_messages_total{kind="offer",outcome="queued"}"#, 1.0),
        (r#"peerbroker_closed_total{reason="left"}"#, 0.0),
        (r#"peerbroker_message_bytes_total{direction="received"}"#, received as f64),
        (r#"peerbroker_limit_hits_total{limit="max_message_bytes"}"#, 0.0),
        ("peerbroker_queued_messages", 1.0),
        ("peerbroker_ready", 1.0),
    ] {
        assert_eq!(metrics.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!(metrics["peerbroker_queued_bytes"] > 0.0);
    assert!(metrics[r#"peerbroker_message_bytes_total{direction="sent"}"#] > 0.0);
    assert!(metrics["process_resident_memory_bytes"] > 0.0);
    assert!(!text.contains("with-a-long-id"), "{text}");

    bob.send(LEAVE);
    bob.expect_closed_with(Some(1000));
    assert_eq!(scrape(&api)[r#"peerbroker_closed_total{reason="left"}"#], 1.0);
}

#[test]
fn every_metric_has_its_help_and_type_in_front_and_the_documentation_names_it() {
    let (server, api) = with_everything();
    let mut alice = RawClient::connect_tls(server.address, "alice", trust());
    alice.send_raw(RawClient::handshake(&server.target("alice-with-a-long-id", "t")));
    alice.expect_accepted();
    alice.expect_open();
    let prometheus = api.get("/metrics").response;
    assert_eq!(
        prometheus.header("content-type").as_deref(),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let open = api.clone().with_header(OPEN_METRICS).get("/metrics").response;
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type").as_deref(), Some(expected));
    assert!(open.text().ends_with("\n# EOF\n"));

    for (text, suffix) in [(prometheus.text(), "_total"), (open.text(), "")] {
        let mut known = BTreeMap::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# TYPE ") {
                let (name, kind) = comment.split_once(' ').unwrap();
                assert!(known.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else if !line.starts_with("# HELP ") {
                let name = line.split(['{', ' ']).next().unwrap();
                let is_counter = name.ends_with("_total");
                let of_histogram =
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let (family, expected) = match of_histogram {
                    Some(family) => (family, "histogram"),
                    None if is_counter && suffix.is_empty() => (name.trim_end_matches("_total"), "counter"),
                    None => (name, if is_counter { "counter" } else { "gauge" }),
                };
                assert_eq!(known.get(family).map(String::as_str), Some(expected), "{line}");
            }
        }
    }
    // Each name is a choice of the operator's, or a word of the program.
    let labels = [
        "class",
        "detail",
        "direction",
        "key",
        "kind",
        "le",
        "limit",
        "outcome",
        "reason",
        "subscriber",
        "thread",
        "version",
        "worker",
    ];
    let parts = prometheus.text().split(['{', ',']);
    let used: BTreeSet<&str> = parts.filter_map(|part| Some(part.split_once("=\"")?.0)).collect();
    assert_eq!(used, BTreeSet::from(labels));
    assert!(!prometheus.text().contains("with-a-long-id") && !prometheus.text().contains("127.0.0.1"));
    let names: BTreeSet<String> =
        samples(prometheus.text()).keys().map(|name| name.split('{').next().unwrap().to_owned()).collect();
    let documentation = std::fs::read_to_string("docs/METRICS.md").unwrap();
    let rows = documentation.lines().filter(|line| line.starts_with("| `") && !line.contains("| `rate("));
    let documented: BTreeSet<String> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(names, documented);
}
