//! Metrics of what waits, how long things take, and what is refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use peerbroker::PeerBroker;
use peerbroker_config::ListenOps;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::metrics::scrape;
use crate::harness::api::Api;
use crate::harness::http_client::{connect, connect_with_small_buffer};
use crate::harness::keys::plain_key;
use crate::harness::messages::{expired, forwarded_offer, offer};
use crate::harness::ops::{with_api, with_everything};
use crate::harness::{RawClient, TestServer, token_of, wait_until};
use crate::tls::trust;

fn value(api: &Api, name: &str) -> f64 {
    *scrape(api).get(name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_age_of_the_queue_is_that_of_its_oldest_message_until_it_expires() {
    let (server, api) = with_api(&[], None, |_| {});
    let queue = || {
        let metrics = scrape(&api);
        ["peerbroker_queued_messages", "peerbroker_queued_oldest_seconds"].map(|name| metrics[name])
    };
    let mut a = server.client("a");
    a.send(offer("nobody", "1"));
    a.expect_nothing("a");
    server.advance(Duration::from_secs(2));
    a.send(offer("no one", "1"));
    a.send(offer("no one", "2"));
    a.expect_nothing("a");
    server.advance(Duration::from_secs(1));
    assert_eq!(queue(), [3.0, 3.0]);
    let stats = api.get("/api/stats").json;
    assert_eq!((&stats["queued_messages"], &stats["queued_oldest_ms"]), (&3.into(), &3000.into()));
    server.advance(Duration::from_secs(2));
    a.expect(expired("nobody", "a"));
    assert_eq!(queue(), [2.0, 3.0]);
    let _nobody = server.client("no one");
    assert_eq!(queue(), [0.0, 0.0]);
}

#[test]
fn a_slow_readers_outbox_counts_while_it_is_full_and_its_peak_for_a_minute_more() {
    let (server, api) = with_api(&[], None, |config| config.limits.outbox_bytes = 16 << 20);
    let mut a = server.client("a");
    let mut slow = RawClient::over(connect_with_small_buffer(server.address), "slow");
    slow.send_raw(RawClient::handshake(&server.target("slow", &token_of("slow"))));
    slow.expect_accepted();
    slow.expect_open();
    let payload = format!("\"{}\"", "x".repeat(32 << 10));
    let messages = 100;
    (0..messages).for_each(|_| a.send(offer("slow", &payload)));
    a.expect_nothing("a");
    let outbox = || {
        let metrics = scrape(&api);
        ["peerbroker_outbox_bytes", "peerbroker_outbox_peak_bytes"].map(|name| metrics[name])
    };
    let [held, peak] = outbox();
    assert!(held > 1e6 && peak >= held, "{held} {peak}");
    (0..messages).for_each(|_| slow.expect(forwarded_offer("a", "slow", &payload)));
    wait_until("an empty outbox", || outbox()[0] == 0.0);
    server.advance(Duration::from_secs(60));
    assert_eq!(outbox(), [0.0, peak]);
    server.advance(Duration::from_secs(60));
    assert_eq!(outbox(), [0.0, 0.0]);
}

#[test]
fn one_read_of_64_is_timed_if_it_brought_a_message_for_somebody() {
    let (server, api) = with_api(&[], None, |_| {});
    let mut a = server.client("a");
    let mut b = server.client("b");
    let timed = || value(&api, "peerbroker_message_latency_seconds_count");
    for _ in 0..64 * 4 {
        a.send(offer("b", "1"));
        b.expect_text();
    }
    // The clock is stopped after the message is written: the pong comes after that.
    a.expect_quiet();
    assert_eq!(timed(), 4.0);
    assert!(value(&api, "peerbroker_message_latency_seconds_sum") > 0.0);
    let bucket = r#"peerbroker_message_latency_seconds_bucket{le="+Inf"}"#;
    assert_eq!(value(&api, bucket), 4.0);
}

#[test]
fn a_worker_that_is_blocked_is_late() {
    // Longer than the time between two measurements, so one of them is due while the worker sleeps.
    let block = Duration::from_millis(1200);
    let hit = Arc::new(AtomicBool::new(false));
    let builder = PeerBroker::builder().on_message({
        let hit = Arc::clone(&hit);
        move |_, _| {
            thread::sleep(block);
            hit.store(true, Ordering::SeqCst);
        }
    });
    let ops = ListenOps::default();
    let listen = peerbroker::Listen { ops: Some(ops), ..peerbroker::Listen::default() };
    let server = TestServer::start_built_on(builder, listen, |_| {});
    let api = Api { address: server.ops.unwrap(), headers: String::new() };
    wait_until("a measurement", || value(&api, "peerbroker_worker_lag_seconds_count") > 0.0);
    let metrics = scrape(&api);
    let peaks = metrics.keys().filter(|name| name.starts_with("peerbroker_worker_lag_peak_seconds{"));
    assert_eq!(peaks.count(), 2, "one of each worker: {metrics:?}");

    let mut a = server.client("a");
    a.send(offer("nobody", "1"));
    wait_until("a blocked worker", || hit.load(Ordering::SeqCst));
    let peak = || {
        let metrics = scrape(&api);
        let peaks =
            metrics.iter().filter(|(name, _)| name.starts_with("peerbroker_worker_lag_peak_seconds{"));
        peaks.map(|(_, peak)| *peak).fold(0.0, f64::max)
    };
    wait_until("a late timer", || peak() > 0.4);
}

#[test]
fn limits_refused_handshakes_and_answers_are_counted_by_their_names() {
    let mut one = plain_key("one");
    one.settings.concurrent_limit = 1;
    let (server, api) = with_api(&[one], None, |config| {
        config.limits.queue_messages = 0;
        config.max_message_bytes = 1000;
    });
    let mut a = server.client_of("one", "a");
    let mut b = server.newcomer_of("one", "b");
    b.expect_text();
    a.send(offer("nobody", "1"));
    a.expect_text();
    a.send(offer("nobody", &"1".repeat(1001)));
    a.expect_closed_with(Some(1009));
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/").status, 200);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(server.request("GET", &server.target("c", "t"), upgrade).status, 400);
    let metrics = scrape(&api);
    for (name, count) in [
        (r#"peerbroker_limit_hits_total{limit="concurrent_limit"}"#, 1.0),
        (r#"peerbroker_limit_hits_total{limit="queue_messages"}"#, 1.0),
        (r#"peerbroker_limit_hits_total{limit="max_message_bytes"}"#, 1.0),
        (r#"peerbroker_limit_hits_total{limit="room_codes"}"#, 0.0),
        (r#"peerbroker_http_responses_total{class="2xx"}"#, 1.0),
        (r#"peerbroker_http_responses_total{class="4xx"}"#, 1.0),
        (r#"peerbroker_handshakes_refused_total{reason="bad_websocket_key"}"#, 1.0),
    ] {
        assert_eq!(metrics.get(name), Some(&count), "{name} in {metrics:#?}");
    }
    let stats = api.get("/api/stats").json;
    assert_eq!(stats["limit_hits"]["queue_messages"], 1);
    assert_eq!(stats["handshakes_refused"]["bad_websocket_key"], 1);
}

/// A client that trusts nobody.
fn distrust() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A handshake that must fail on the client's side.
fn fail(server: &TestServer, config: Arc<ClientConfig>) {
    let tls = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(tls, connect(server.address));
    assert!(stream.write_all(b"x").and_then(|()| stream.read(&mut [0])).is_err());
}

#[test]
fn all_tls_clients_that_come_back_resume_their_sessions() {
    const CLIENTS: usize = 300;
    let (server, api) = with_everything();
    let clients: Vec<Arc<ClientConfig>> = (0..CLIENTS)
        .map(|_| {
            // Each is a browser of its own.
            let mut config = ClientConfig::clone(&trust());
            config.resumption = Resumption::in_memory_sessions(1);
            Arc::new(config)
        })
        .collect();
    let visit = |client: &Arc<ClientConfig>| {
        let mut http = RawClient::connect_tls(server.address, "browser", Arc::clone(client));
        http.send_raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(http.expect_response().status, 200);
    };
    let count =
        |outcome: &str| value(&api, &format!("peerbroker_tls_handshakes_total{{outcome=\"{outcome}\"}}"));
    clients.iter().for_each(visit);
    wait_until("all handshakes", || count("ok") == CLIENTS as f64);
    clients.iter().for_each(visit);
    wait_until("all resumptions", || count("resumed") == CLIENTS as f64);
    assert_eq!(count("ok"), CLIENTS as f64);
}

#[test]
fn tls_handshakes_are_counted_by_how_they_ended() {
    let (server, api) = with_everything();
    let count =
        |outcome: &str| value(&api, &format!("peerbroker_tls_handshakes_total{{outcome=\"{outcome}\"}}"));
    let becomes_one = |outcome: &str| wait_until(outcome, || count(outcome) == 1.0);

    let mut http = RawClient::connect_tls(server.address, "http", trust());
    http.send_raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(http.expect_response().status, 200);
    becomes_one("ok");

    fail(&server, distrust());
    becomes_one("certificate_refused");

    let mut validator = ClientConfig::clone(&trust());
    validator.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    fail(&server, Arc::new(validator));
    becomes_one("no_certificate");

    let mut plain = server.http();
    assert_eq!(plain.request("GET", "/", "").status, 400);
    drop(plain);
    becomes_one("plain_http");

    // A connection that begins like a frame of a relayed call is not counted.
    let mut relayed = RawClient::connect(server.address, "relayed");
    relayed.send_raw(b"\0\0\0\0\0\0\0\0");
    relayed.expect_cut_off();
    RawClient::connect(server.address, "garbage").send_raw(b"\x80\0\0\0\0\0\0\0");
    becomes_one("not_tls");

    // A client of TLS 1.1 (RFC 4346): a ClientHello without cipher suites that are in use today.
    let mut old = vec![22, 3, 2, 0, 45, 1, 0, 0, 41, 3, 2];
    old.extend([7; 32]);
    old.extend([0, 0, 2, 0, 10, 1, 0]);
    RawClient::connect(server.address, "old").send_raw(old);
    becomes_one("incompatible");

    drop(TcpStream::connect(server.address).unwrap());
    becomes_one("left");
    let stats = api.get("/api/stats").json;
    assert_eq!(stats["certificate"]["handshakes"]["certificate_refused"], 1);
    assert_eq!(stats["certificate"]["handshakes"]["other"], 0);
}
