//! HTTP connections that stop sending, and those that pipeline.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::http_client::{TIMEOUT, connect, is_reset};
use crate::harness::legacy::post;
use crate::harness::messages::{HEARTBEAT, forwarded_offer, offer};
use crate::harness::ops::with_api;
use crate::harness::{RawClient, TestServer, Transport, on_own, token_of};
use crate::tls;

const CHUNKED: &str = "Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Sends a byte each second until the server ends the connection. Ignores the server's data.
fn drip_until_cut_off(what: &str, mut stream: TcpStream) {
    let mut received = [0; 4096];
    let begin = Instant::now();
    while begin.elapsed() < TIMEOUT {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        match stream.read(&mut received) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if is_reset(error.kind()) => return,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        }
        let _ = stream.write_all(b"x");
    }
    panic!("{what} is not cut off");
}

#[test]
fn a_body_that_nobody_reads_does_not_hold_a_connection() {
    let (server, api) = with_api(&[], None, |_| {});
    let secure = tls::start(|_| {});
    let begun = |target: &str| format!("{target} HTTP/1.1\r\n{CHUNKED}ffff\r\nhalf a body");
    let cases = [
        (server.address, "GET /healthz"),
        (server.address, "POST /nothing"),
        (api.address, "GET /api/stats"),
    ];
    thread::scope(|scope| {
        for (address, target) in cases {
            scope.spawn(move || {
                let mut silent = RawClient::connect(address, target);
                silent.send_raw(begun(target));
                silent.expect_cut_off();
            });
            scope.spawn(move || {
                let mut stream = connect(address);
                stream.write_all(begun(target).as_bytes()).unwrap();
                drip_until_cut_off(target, stream);
            });
        }
        let mut silent = RawClient::connect_tls(secure.address, "silent", tls::trust());
        silent.send_raw(begun("GET /healthz"));
        silent.expect_cut_off();
    });
}

#[test]
fn each_head_has_a_timeout_even_if_bytes_keep_coming() {
    let (server, api) = with_api(&[], None, |_| {});
    let cases = [
        (server.address, ""),
        (server.address, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (api.address, "GET /api/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    thread::scope(|scope| {
        for (address, before) in cases {
            scope.spawn(move || {
                let mut stream = connect(address);
                stream.write_all(format!("{before}GET /healthz HTTP/1.1\r\nX-Long: ").as_bytes()).unwrap();
                drip_until_cut_off("half a head", stream);
            });
        }
    });
}

/// Requests of every kind, many times, and the expected statuses.
fn pipeline(server: &TestServer) -> (String, Vec<u16>) {
    let long = format!("X-Long: {}\r\n", "x".repeat(1500));
    let target = server.post_target("a", "offer");
    let [first, last] = HEARTBEAT.split_at(7).into();
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{last}\r\n0\r\n\r\n", first.len(), last.len());
    let chunked = format!("POST {target} HTTP/1.1\r\n{CHUNKED}{chunks}");
    let large = offer("b", &format!("\"{}\"", "x".repeat(5000)));
    let round = [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        (format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{long}\r\n"), 200),
        (String::from_utf8(post(&target, "", HEARTBEAT.as_bytes())).unwrap(), 200),
        (chunked, 200),
        (String::from_utf8(post(&target, "", large.as_bytes())).unwrap(), 200),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
    ];
    let (requests, statuses): (Vec<_>, Vec<_>) = round.into_iter().unzip();
    (requests.concat().repeat(20), statuses.repeat(20))
}

#[test]
fn requests_that_are_sent_ahead_are_answered_one_after_the_other() {
    let plain = TestServer::start(Transport::Own, |_| {});
    let secure = tls::start(|_| {});
    for (server, trust) in [(&plain, None), (&secure, Some(tls::trust()))] {
        let connect = |id: &str| match &trust {
            None => RawClient::connect(server.address, id),
            Some(trust) => RawClient::connect_tls(server.address, id, trust.clone()),
        };
        let [_a, mut b] = ["a", "b"].map(|id| {
            let mut client = connect(id);
            client.send_raw(RawClient::handshake(&server.target(id, &token_of(id))));
            client.expect_accepted();
            client.expect_open();
            client
        });
        let (requests, statuses) = pipeline(server);
        for size in [requests.len(), 1024, 1023, 64] {
            let mut http = connect("pipelining");
            for part in requests.as_bytes().chunks(size) {
                http.send_raw(part);
            }
            for (n, status) in statuses.iter().enumerate() {
                assert_eq!(
                    http.expect_response().status,
                    *status,
                    "answer {n} of requests in parts of {size}"
                );
            }
            for _ in 0..20 {
                b.expect(forwarded_offer("a", "b", &format!("\"{}\"", "x".repeat(5000))));
            }
        }
    }
}

#[test]
fn a_waiting_post_ends_when_its_sender_leaves() {
    on_own(|server| {
        // The clock stands still, so it would wait forever.
        let mut http = server.begin_post("absent", "offer", &offer("b", "1"));
        http.shutdown_write();
        assert_eq!(http.response(false).status, 401);
        http.expect_end();
    });
}
