//! Metrics have what happened, in the formats of Prometheus and OpenMetrics.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::api::Api;
use crate::harness::keys::plain_key;
use crate::harness::messages::{LEAVE, offer};
use crate::harness::ops::with_api;

const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

/// Samples by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect(line);
        (name.to_owned(), value.parse().expect(line))
    });
    samples.collect()
}

fn scrape(api: &Api) -> BTreeMap<String, f64> {
    samples(api.get("/metrics").response.text())
}

#[test]
fn metrics_count_what_clients_do_by_key_kind_outcome_and_reason_and_name_no_peer() {
    let (server, api) = with_api(&[plain_key("game")], None, |_| {});
    let mut alice = server.client("alice-with-a-long-id");
    let mut bob = server.client("bob-with-a-long-id");
    let _player = server.client_of("game", "carol-with-a-long-id");
    alice.send(offer("bob-with-a-long-id", "1"));
    bob.expect_text();
    alice.send(offer("nobody-with-a-long-id", "1"));
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
        ("peerbroker_ready", 1.0),
    ] {
        assert_eq!(metrics.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!(metrics["peerbroker_queued_bytes"] > 0.0);
    assert!(metrics["process_resident_memory_bytes"] > 0.0);
    assert!(!text.contains("with-a-long-id"), "{text}");

    bob.send(LEAVE);
    bob.expect_closed_with(Some(1000));
    assert_eq!(scrape(&api)[r#"peerbroker_closed_total{reason="left"}"#], 1.0);
}

#[test]
fn every_metric_has_its_help_and_type_in_front_and_the_documentation_names_it() {
    let (_server, api) = with_api(&[], None, |_| {});
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
                let family = if suffix.is_empty() { name.trim_end_matches("_total") } else { name };
                let is_counter = name.ends_with("_total");
                let expected = if is_counter { "counter" } else { "gauge" };
                assert_eq!(known.get(family).map(String::as_str), Some(expected), "{line}");
            }
        }
    }
    let names: BTreeSet<String> =
        samples(prometheus.text()).keys().map(|name| name.split('{').next().unwrap().to_owned()).collect();
    let documentation = std::fs::read_to_string("docs/METRICS.md").unwrap();
    let missing: Vec<_> = names.iter().filter(|name| !documentation.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
