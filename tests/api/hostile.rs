//! Attacks of hostile clients; some once succeeded.
//!
//! Some run on both transports: each parses handshakes.

use std::io::ErrorKind;

use peerbroker::Listen;
use peerbroker_config::TlsFiles;
use testkit::tls::trust;
use testkit::tools::fixture;

use crate::harness::http_client::{self, HttpConnection, Response};
use crate::harness::{RawClient, TestServer, Transport, on_both, on_own};

/// A valid handshake, if `upgrade` and `more` are valid.
fn handshake_with(upgrade: &str, more: &str) -> String {
    format!(
        "GET /peerjs?key=peerjs&id=a&token=t HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
         Upgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

const BEFORE: &str = "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";

fn send(server: &TestServer, request: &str) -> (HttpConnection, Response) {
    let mut http = server.http();
    http.send(request);
    let response = http.response(false);
    (http, response)
}

#[test]
fn a_malformed_upgrade_is_refused() {
    on_both(|server| {
        for (upgrade, more) in [
            ("websocket, foo", ""),
            ("foo, websocket", ""),
            ("websocket/13", ""),
            ("websocket", "Transfer-Encoding: chunked\r\n"),
        ] {
            let body = if more.is_empty() { "" } else { "0\r\n\r\n" };
            let (mut http, response) = send(server, &format!("{}{body}", handshake_with(upgrade, more)));
            assert_eq!(response.status, 400, "{upgrade} {more}");
            http.expect_end();
            assert_eq!(server.told_about("a"), [], "{upgrade} {more}");
        }
    });
}

#[test]
fn answers_to_requests_in_front_of_a_handshake_are_not_lost() {
    on_own(|server| {
        let mut client = RawClient::connect(server.address, "pipelined");
        client.send_raw(format!("{BEFORE}{}", handshake_with("websocket", "")));
        assert_eq!(client.expect_response().status, 200);
        client.expect_accepted();
        client.expect_open();
    });
}

#[test]
fn answers_to_requests_in_front_of_a_refused_handshake_are_not_lost() {
    on_own(|server| {
        let elsewhere = handshake_with("websocket", "").replacen("/peerjs", "/elsewhere", 1);
        let (mut http, first) = send(server, &format!("{BEFORE}{elsewhere}"));
        assert_eq!(first.status, 200);
        assert_eq!(http.response(false).status, 404);
        http.expect_end();
    });
}

#[test]
fn connections_that_begin_no_tls_handshake_hold_up_nobody() {
    // More than the default limit of pending TLS handshakes.
    const SILENT: usize = 700;
    let _ = rlimit::increase_nofile_limit(4096);
    let tls = Some(TlsFiles { key: fixture("ec-pkcs8.key"), cert: fixture("ec-chain.pem") });
    let server = TestServer::start_listening(Transport::Own, |_| {}, Listen { tls, ..Listen::default() });
    let silent: Vec<_> = (0..SILENT).map(|_| http_client::connect(server.address)).collect();
    let mut client = RawClient::connect_tls(server.address, "a", trust());
    client.send_raw(RawClient::handshake(&server.target("a", "t")));
    client.expect_accepted();
    client.expect_open();
    // It was served while all of them waited, not because the server had closed some.
    for connection in &silent {
        connection.set_nonblocking(true).unwrap();
        let waits = connection.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(waits, Err(ErrorKind::WouldBlock));
    }
}
