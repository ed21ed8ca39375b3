//! `POST /{key}/reports`: clients tell how their connections went.

use std::time::Duration;

use peerbroker::Config;
use peerbroker_config::{Ban, Dialect};
use peerbroker_keys::{Change, Key, Origin};
use serde_json::{Value, json};

use crate::harness::http_client::Response;
use crate::harness::keys::{enabled, key, on_both_with_keys, on_own_with_keys, plain_key};
use crate::harness::legacy::post;
use crate::harness::ops::with_api;
use crate::harness::receiver::Receiver;
use crate::harness::{TestServer, Transport, on_own_with};
use crate::ops::metrics::scrape;

fn reporting(text: &str) -> Key {
    key(text, Change { call_reports: Some(true), ..Change::default() })
}

fn on(config: &mut Config) {
    config.key_settings.call_reports = true;
}

/// A report without what may be missing.
fn report(id: &str, peer: &str, result: (&str, &str)) -> Value {
    let mut report = json!({"id": id, "peer": peer, "kind": "data", "caller": true});
    report[result.0] = json!(result.1);
    report
}

const DIRECT: (&str, &str) = ("way", "direct");
const NO_UDP: (&str, &str) = ("reason", "no_udp");

fn send(server: &TestServer, key: &str, headers: &str, body: &str) -> Response {
    let mut http = server.http();
    http.send(post(&format!("{}{key}/reports", server.root()), headers, body.as_bytes()));
    http.response(false)
}

fn tell(server: &TestServer, key: &str, report: &Value) -> u16 {
    send(server, key, "Content-Type: text/plain;charset=UTF-8\r\n", &report.to_string()).status
}

#[test]
fn a_report_is_taken_where_the_key_wants_it_and_on_both_transports() {
    let keys = [reporting("on"), plain_key("off")];
    on_both_with_keys(&keys, |server, keys| {
        let fine = report("alice", "bob", DIRECT);
        assert_eq!(tell(server, "on", &fine), 204);
        for key in ["off", "unknown", "peerjs"] {
            let refused = send(server, key, "", &fine.to_string());
            assert_eq!((refused.status, refused.text()), (404, "This key takes no call reports\n"));
        }
        assert_eq!(tell(server, "%FF", &fine), 400);
        keys.change("off", Change { call_reports: Some(true), ..Change::default() });
        keys.change("on", enabled(false));
        assert_eq!((tell(server, "off", &fine), tell(server, "on", &fine)), (204, 404));
    });
}

#[test]
fn what_is_no_report_is_refused() {
    on_own_with(on, |server| {
        let fine = report("alice", "bob", DIRECT);
        for (field, value) in [
            ("way", json!("tunnel")),
            ("reason", json!("no_udp")),
            ("kind", json!("video")),
            ("states", json!(["on <script>"])),
            ("local", json!(["192.0.2.1"])),
            ("address", json!("192.0.2.1")),
            ("id", json!("")),
            ("id", json!("x".repeat(1000))),
            ("loss", json!(2)),
        ] {
            let mut wrong = fine.clone();
            wrong[field] = value;
            assert_eq!(tell(server, "peerjs", &wrong), 400, "{wrong}");
        }
        for body in ["", "null", "[]", "{\"id\":", "\u{fffd}"] {
            assert_eq!(send(server, "peerjs", "", body).status, 400, "{body}");
        }
        let padded = format!("{fine}{}", " ".repeat(4096));
        assert_eq!(send(server, "peerjs", "", &padded).status, 413);
        assert_eq!(tell(server, "peerjs", &fine), 204);
        // No other method does anything here.
        assert_eq!(server.get("/peerjs/reports").status, 404);
    });
}

#[test]
fn an_address_reports_at_a_rate_and_a_banned_one_nothing() {
    let configure = |config: &mut Config| {
        on(config);
        config.proxied = true;
        config.bans = vec![Ban::parse("192.0.2.9").unwrap()];
    };
    on_own_with(configure, |server| {
        let fine = report("alice", "bob", DIRECT).to_string();
        let from = |address| send(server, "peerjs", &format!("X-Forwarded-For: {address}\r\n"), &fine);
        for _ in 0..200 {
            assert_eq!(from("192.0.2.1").status, 204);
        }
        let refused = from("192.0.2.1");
        assert_eq!((refused.status, refused.header("retry-after").as_deref()), (429, Some("1")));
        assert_eq!((from("192.0.2.2").status, from("192.0.2.9").status), (204, 403));
        server.advance(Duration::from_secs(1));
        assert_eq!(from("192.0.2.1").status, 204);
    });
}

#[test]
fn the_origins_of_a_key_hold() {
    let origins = Some(vec![Origin::parse("https://a.example").unwrap()]);
    let web = key("web", Change { origins, call_reports: Some(true), ..Change::default() });
    on_own_with_keys(&[web], |server, _| {
        let fine = report("alice", "bob", DIRECT).to_string();
        let from = |origin| send(server, "web", &format!("Origin: {origin}\r\n"), &fine);
        let admitted = from("https://a.example");
        assert_eq!(admitted.status, 204);
        assert_eq!(admitted.header("access-control-allow-origin").as_deref(), Some("https://a.example"));
        assert_eq!(from("https://b.example").status, 403);
    });
}

#[test]
fn without_peerjs_nothing_takes_reports() {
    let configure = |config: &mut Config| {
        on(config);
        config.dialects = [Dialect::Topics].into_iter().collect();
    };
    on_own_with(configure, |server| {
        assert_eq!(tell(server, "peerjs", &report("alice", "bob", DIRECT)), 404);
    });
}

#[test]
fn a_script_reports_for_the_key_with_which_its_page_connects() {
    on_own_with_keys(&[reporting("on"), plain_key("off")], |server, _| {
        let script = |query: &str| server.get(&format!("/peerjs.min.js?{query}")).text().to_owned();
        assert_ne!(script("key=on"), script("key=off"));
        // Of repeated ones the last counts, as for a connection.
        assert_eq!(script("key=on&key=off"), script("key=off"));
        assert_eq!(script("key=off&key=on"), script("key=on"));
    });
}

#[test]
fn operators_see_counts_reports_and_metrics_and_a_connection_counts_once() {
    let (server, api) = with_api(&[plain_key("other")], None, on);
    let mut first = report("alice", "bob", DIRECT);
    first["connection"] = json!("dc_1");
    first["open_ms"] = json!(120);
    first["local"] = json!(["host", "srflx"]);
    let mut second = report("bob", "alice", NO_UDP);
    second["connection"] = json!("dc_1");
    for report in [&first, &second, &report("carol", "bob", NO_UDP)] {
        assert_eq!(tell(&server, "peerjs", report), 204);
    }
    let shown = api.get("/api/keys/peerjs/reports").json;
    assert_eq!((&shown["opened"], &shown["failed"]), (&json!({"direct": 1}), &json!({"no_udp": 1})));
    assert_eq!(shown["steps"].as_array().unwrap().len(), 1);
    let ids = |shown: &Value| {
        let reports = shown["reports"].as_array().unwrap();
        reports.iter().map(|report| report["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&shown), ["carol", "bob", "alice"]);
    let oldest = &shown["reports"][2];
    assert_eq!(
        (&oldest["way"], &oldest["open_ms"], &oldest["local"], oldest.get("reason")),
        (&json!("direct"), &json!(120), &json!(["host", "srflx"]), None)
    );
    assert_eq!(ids(&api.get("/api/keys/peerjs/reports?client=alice").json), ["bob", "alice"]);
    let other = api.get("/api/keys/other/reports").json;
    assert_eq!(ids(&other), [""; 0]);
    assert_eq!([&shown["on"], &other["on"]], [true, false]);
    assert_eq!(api.get("/api/keys/unknown/reports").response.status, 404);

    let metrics = scrape(&api);
    let count = |outcome: &str, detail: &str| {
        metrics[&format!(r#"peerbroker_call_reports_total{{outcome="{outcome}",detail="{detail}"}}"#)]
    };
    assert_eq!(
        [count("opened", "direct"), count("failed", "no_udp"), count("failed", "codec")],
        [1.0, 1.0, 0.0]
    );
}

#[test]
fn a_failed_connection_is_an_event_without_addresses() {
    let receiver = Receiver::start();
    let server = TestServer::start(Transport::Own, |config| {
        on(config);
        config.webhooks.operator = receiver.webhook();
    });
    assert_eq!(receiver.next().event["type"], "server.started");
    for report in [report("alice", "bob", DIRECT), report("alice", "carol", NO_UDP)] {
        assert_eq!(tell(&server, "peerjs", &report), 204);
    }
    let told = receiver.next();
    assert_eq!(told.event["type"], "connection.failed");
    let data = json!({
        "key": "peerjs", "realm": "peerjs", "id": "alice", "peer": "carol", "kind": "data", "reason": "no_udp"
    });
    assert_eq!(told.event["data"], data);
}
