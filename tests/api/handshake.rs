//! The opening of a WebSocket (RFC 6455, section 4).
//!
//! Both transports use the same decision. In an embedded broker actix-web handles `Expect`, and answers
//! HTTP/1.0 in HTTP/1.0.
//!
//! Some run on both transports: each answers handshakes.

mod paths;

use crate::harness::http_client::Response;
use crate::harness::raw_client::{ACCEPT, KEY};
use crate::harness::{RawClient, TestServer, Transport, on_both, on_own};

/// Sends a request line and headers for the id `a`. Each header is a complete line.
fn send(server: &TestServer, method: &str, headers: &[&str]) -> RawClient {
    let mut client = server.connect("a");
    let target = server.target("a", "t");
    let headers = headers.concat();
    client.send_raw(format!("{method} {target} HTTP/1.1\r\nHost: server.test\r\n{headers}\r\n"));
    client
}

const CONNECTION: &str = "Connection: Upgrade\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

fn key() -> String {
    format!("Sec-WebSocket-Key: {KEY}\r\n")
}

fn expect_accepted(server: &TestServer, headers: &[&str]) -> Response {
    let mut client = send(server, "GET", headers);
    let response = client.expect_accepted();
    client.expect_open();
    client.expect_nothing("a");
    drop(client);
    server.wait_until_gone("a");
    response
}

/// `src/http/public/handshake/tests.rs` has the spellings of headers.
#[test]
fn a_handshake_is_accepted_as_the_rfc_says() {
    on_both(|server| {
        let key = key();
        for (headers, agreed) in [
            (&[CONNECTION, UPGRADE, VERSION, &key][..], None),
            (&[CONNECTION, UPGRADE, "Sec-WebSocket-Version: 8\r\n", &key], None),
            (&["Connection: keep-alive\r\n", CONNECTION, UPGRADE, VERSION, &key], None),
            (&["CONNECTION:UPGRADE\r\n", "Upgrade:   WebSocket  \r\n", VERSION, &key], None),
            (&[CONNECTION, UPGRADE, VERSION, &key, "Sec-WebSocket-Protocol: one, two\r\n"], Some("one")),
        ] {
            eprintln!("{headers:?}");
            let response = expect_accepted(server, headers);
            assert_eq!(response.version, "HTTP/1.1");
            assert_eq!(response.header("upgrade").as_deref(), Some("websocket"));
            assert!(response.header("connection").unwrap().eq_ignore_ascii_case("upgrade"));
            assert_eq!(response.header("sec-websocket-accept").as_deref(), Some(ACCEPT));
            assert_eq!(response.header("sec-websocket-protocol").as_deref(), agreed);
            assert_eq!(response.header("access-control-allow-origin"), None);
        }
    });
}

/// The offers of sections 12 and 13 of the Autobahn test suite.
#[test]
fn compression_is_declined() {
    on_both(|server| {
        for offered in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            "x-webkit-deflate-frame",
        ] {
            let offer = format!("Sec-WebSocket-Extensions: {offered}\r\n");
            let response = expect_accepted(server, &[CONNECTION, UPGRADE, VERSION, &key(), &offer]);
            assert_eq!(response.header("sec-websocket-extensions"), None, "{offered}");
        }
    });
}

#[test]
fn a_client_that_expects_to_be_told_to_continue_is_accepted() {
    on_own(|server| {
        let key = key();
        let headers = [CONNECTION, UPGRADE, VERSION, &key, "Expect: 100-continue\r\n"];
        let mut client = send(server, "GET", &headers);
        client.expect_accepted();
        client.expect_open();
        client.expect_nothing("a");
    });
}

/// A complete refusal. Order and case of header names do not matter, and only actix-web sends a date.
fn refusal(server: &TestServer, request: &str) -> Response {
    let mut http = server.http();
    http.send(request);
    let mut response = http.response(request.starts_with("HEAD"));
    if server.transport == Transport::Actix {
        // Otherwise the server waits a second for more input.
        http.shutdown_write();
    }
    http.expect_end();
    response.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    response.headers.retain(|(name, _)| name != "date");
    response.headers.sort();
    response
}

#[test]
fn each_refusal_is_the_same_answer_on_both_transports() {
    let servers = Transport::ALL.map(|transport| TestServer::start(transport, |_| {}));
    let origin = "\r\nOrigin: http://a.test\r\n\r\n";
    let good = |target| RawClient::handshake(target).replacen("\r\n\r\n", origin, 1);
    let chunked = "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    // A part of a valid request, and its replacement.
    let faults = [
        (405, "GET", "POST"),
        (405, "GET", "HEAD"),
        (405, "GET", "OPTIONS"),
        (405, "GET", "DELETE"),
        (400, "Connection: Upgrade", "Connection: keep-alive"),
        (400, "Connection: Upgrade\r\n", ""),
        (400, "Version: 13", "Version: 7"),
        (400, "Sec-WebSocket-Version", "X-Version"),
        (400, "Sec-WebSocket-Key", "X-Key"),
        (400, "Key: dGhl", "Key: "),
        (400, "\r\n\r\n", chunked),
    ];
    let mut requests = vec![(400, good("/peerjs").replacen("websocket", "h2c", 1))];
    for (status, right, wrong) in faults {
        let bad = |target| good(target).replacen(right, wrong, 1);
        requests.extend(["/peerjs", "/peerjs/peerjs/", "/"].map(|target| (status, bad(target))));
        requests.push((404, bad("/nothing")));
    }
    let elsewhere = ["/nothing?token=t", "/healthz", "/broker/", "/peerjs/id", "/peerjs/peers"];
    requests.extend(elsewhere.map(|target| (404, good(target))));
    for (status, request) in requests {
        let [own, embedded] = servers.each_ref().map(|server| refusal(server, &request));
        assert_eq!(own.status, status, "{request}");
        assert_eq!(own.header("connection").as_deref(), Some("close"), "{request}");
        assert_eq!(own.header("access-control-allow-origin"), None, "{request}");
        assert_eq!(own, embedded, "{request}");
        if own.status == 405 {
            assert_eq!(own.header("allow").as_deref(), Some("GET"), "{request}");
        }
        if own.status == 400 && request.contains("Version: 7") {
            assert_eq!(own.header("sec-websocket-version").as_deref(), Some("13, 8"), "{request}");
        }
    }
    servers.iter().for_each(|server| assert!(server.realm().is_empty()));
}

#[test]
fn an_address_with_too_many_connections_hears_the_same_on_both_transports() {
    let refusals = Transport::ALL.map(|transport| {
        let server = TestServer::start(transport, |config| {
            config.proxied = true;
            config.address_limits.connections = 1;
        });
        let from = |id| {
            let target = server.target(id, "t");
            RawClient::handshake(&target).replacen("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", 1)
        };
        let mut first = server.connect("first");
        first.send_raw(from("first"));
        first.expect_accepted();
        first.expect_open();
        refusal(&server, &from("second"))
    });
    let [own, embedded] = &refusals;
    assert_eq!((own.status, own.header("retry-after").as_deref()), (429, Some("10")));
    assert_eq!(own, embedded);
}

#[test]
fn http_1_0_cannot_open_a_websocket() {
    on_both(|server| {
        let mut client = server.connect("a");
        let handshake = RawClient::handshake(&server.target("a", "t")).replace("HTTP/1.1", "HTTP/1.0");
        client.send_raw(handshake);
        assert_eq!(client.expect_response().status, 400);
        client.expect_end();
        assert!(server.realm().is_empty());
    });
}

#[test]
fn a_handshake_may_follow_another_request_on_its_connection() {
    on_both(|server| {
        let mut client = server.connect("a");
        let get = "GET /peerjs/id HTTP/1.1\r\nHost: h\r\n\r\n";
        client.send_raw(get);
        assert_eq!(client.expect_response().status, 200);
        client.send_raw(RawClient::handshake(&server.target("a", "t")));
        client.expect_accepted();
        client.expect_open();
        client.expect_nothing("a");
    });
}

#[test]
fn a_handshake_of_many_pieces_is_accepted() {
    on_both(|server| {
        let mut client = server.connect("a");
        for piece in RawClient::handshake(&server.target("a", "t")).as_bytes().chunks(5) {
            client.send_raw(piece);
        }
        client.expect_accepted();
        client.expect_open();
    });
}
