//! The PROXY protocol: a TCP proxy names the client of each connection.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use peerbroker::{Config, Listen};
use peerbroker_config::Ban;
use rustls::ClientConnection;
use testkit::http_client::connect;
use testkit::tls::trust;

use crate::harness::{RawClient, TestServer, Transport, token_of};
use crate::tls;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 80\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x30\x39\0\x50";
/// A health check of a proxy.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn behind_proxy(config: &mut Config) {
    config.proxy_protocol = true;
    config.bans = vec![Ban::parse("192.0.2.7").unwrap()];
}

/// The status of a handshake behind these bytes, or over TLS the first byte of the answer; `None` if the
/// connection ends.
fn opened(address: SocketAddr, target: &str, header: &[u8], over_tls: bool) -> Option<u16> {
    let mut tcp = connect(address);
    tcp.write_all(header).unwrap();
    if !over_tls {
        let mut client = RawClient::over(tcp, "client");
        client.send_raw(RawClient::handshake(target));
        return Some(client.expect_response().status);
    }
    let mut tls = ClientConnection::new(trust(), "localhost".try_into().unwrap()).unwrap();
    tls.write_tls(&mut tcp).unwrap();
    let mut first = [0];
    tcp.read_exact(&mut first).ok().map(|()| first[0].into())
}

#[test]
fn the_client_that_a_trusted_proxy_names_is_the_one_that_counts() {
    let plain = TestServer::start(Transport::Own, behind_proxy);
    let secure = TestServer::start_listening(
        Transport::Own,
        behind_proxy,
        tls::listen("ec-pkcs8.key", "ec-chain.pem"),
    );
    for (server, over_tls, yes, no) in [(&plain, false, 101, Some(403)), (&secure, true, 22, None)] {
        let target = server.target("a", &token_of("a"));
        let open = |header: &[u8]| opened(server.address, &target, header, over_tls);
        let other = [&V2[..19], &[8], &V2[20..]].concat();
        assert_eq!([V1, V2].map(open), [no; 2], "the banned client");
        assert_eq!([&other[..], LOCAL, b"PROXY UNKNOWN\r\n", b""].map(open), [Some(yes); 4]);
    }
}

#[test]
fn nobody_else_names_a_client() {
    let untrusted = |config: &mut Config| {
        behind_proxy(config);
        config.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    };
    for configure in [&untrusted as &dyn Fn(&mut Config), &|_: &mut Config| {}] {
        let server = TestServer::start_listening(Transport::Own, configure, Listen::default());
        for header in [V1, V2] {
            let mut client = RawClient::connect(server.address, "client");
            client.send_raw([header, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            let refused = client.expect_response();
            assert!(
                refused.status == 400 && refused.text().contains("--proxy_protocol"),
                "{}",
                refused.text()
            );
        }
        assert_eq!(server.get("/peerjs/id").status, 200);
    }
}

#[test]
fn an_invalid_header_ends_its_connection() {
    let server = TestServer::start(Transport::Own, behind_proxy);
    let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
    for header in [&b"PROXY TCP4 192.0.2.1"[..], b"PROXY TCP5 1 2 3 4\r\n", &long] {
        let mut client = RawClient::connect(server.address, "client");
        client.send_raw(header);
        client.shutdown_write();
        client.expect_cut_off();
    }
}
