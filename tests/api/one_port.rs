//! Clients of the relay at the broker's own port, plain and with TLS, beside HTTP.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use peerbroker::{BoundRelay, Config, Listen, PeerBroker};
use peerbroker_config::{ListenOps, RelayConfig};
use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};

use crate::harness::messages::{forwarded, message};
use crate::harness::relay_client::{Line, Side, candidate, payload};
use crate::harness::{RawClient, TestServer};
use crate::tls;

/// A server at `listen` with a relay on loopback, and the address of that.
fn with_relay(
    listen: Listen,
    tcp_port: Option<u16>,
    configure: impl FnOnce(&mut Config),
) -> (TestServer, SocketAddr) {
    let config = RelayConfig {
        listen: vec![([127, 0, 0, 1], 0).into()],
        public: Vec::new(),
        tcp: true,
        tcp_port,
        private: true,
    };
    let relay = BoundRelay::bind(config).unwrap();
    let address = relay.addresses()[0];
    (TestServer::start_built_on(PeerBroker::builder().relay(relay), listen, configure), address)
}

fn plain() -> Listen {
    Listen::default()
}

fn https() -> Listen {
    tls::listen("ec-pkcs8.key", "ec-chain.pem")
}

/// The candidates with a third one over TCP, at this port.
fn candidates(relay: SocketAddr, port: u16) -> String {
    let ip = relay.ip();
    format!(r"{}\r\na=candidate:3 1 tcp 63 {ip} {port} typ host tcptype passive", candidate(relay))
}

fn call_of(a: &mut RawClient, b: &mut RawClient, told: &str) {
    a.send(message("OFFER", "b", &payload("offer", "aufrag", &[])));
    b.expect(forwarded("OFFER", "a", "b", &payload("offer", "aufrag", &[told])));
    b.send(message("ANSWER", "a", &payload("answer", "bufrag", &[])));
    a.expect(forwarded("ANSWER", "b", "a", &payload("answer", "bufrag", &[told])));
}

fn binding() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

/// Both clients of a call come to the port of the server, and talk.
fn talk_at(server: &TestServer, relay: SocketAddr, [mut a, mut b]: [RawClient; 2]) {
    call_of(&mut a, &mut b, &candidates(relay, server.address.port()));
    server.advance(Duration::from_secs(2));
    let one = Side::new(relay, "aufrag", "bufrag");
    let other = Side::new(relay, "bufrag", "aufrag");
    let mut line = Line::open(server.address);
    let mut others = Line::open(server.address);
    line.prove(&one);
    others.prove(&other);
    // The checks of both go through to the other one.
    for (line, side) in [(&mut line, &one), (&mut others, &other)] {
        let check = line.receive();
        line.send(&side.answer_to(&check));
    }
    for line in [&mut line, &mut others] {
        assert!(Message::from_bytes(&line.receive()).unwrap().is_response());
    }
    for number in 128..160 {
        line.send(&[number; 1000]);
        assert_eq!(others.receive(), [number; 1000]);
        others.send(&[number; 1000]);
        assert_eq!(line.receive(), [number; 1000]);
    }
    // The broker's other clients notice nothing.
    a.expect_nothing("a");
    b.expect_nothing("b");
}

#[test]
fn clients_talk_through_the_plain_port() {
    let (server, relay) = with_relay(plain(), None, |_| {});
    talk_at(&server, relay, [server.client("a"), server.client("b")]);
    assert_eq!(server.get("/peerjs/id").status, 200);
}

#[test]
fn clients_talk_through_the_tls_port_without_tls() {
    let (server, relay) = with_relay(https(), None, |_| {});
    talk_at(&server, relay, [tls::client(&server, "a"), tls::client(&server, "b")]);
    let mut http = RawClient::connect_tls(server.address, "http", tls::trust());
    http.send_raw("GET /peerjs/id HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(http.expect_response().status, 200);
    let mut http = Line::open(server.address);
    http.0.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    http.0.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("this port speaks HTTPS"), "{answer}");
}

#[test]
fn a_frame_may_come_in_pieces_and_with_others() {
    for listen in [plain(), https()] {
        let (server, _) = with_relay(listen, None, |_| {});
        let binding = binding();
        let frame = [&[0, u8::try_from(binding.len()).unwrap()][..], &binding].concat();
        let mut line = Line::open(server.address);
        // Each byte is a packet of its own, so the first one decides.
        line.0.set_nodelay(true).unwrap();
        for byte in &frame {
            line.0.write_all(&[*byte]).unwrap();
        }
        line.0.write_all(&frame.repeat(9)).unwrap();
        for _ in 0..10 {
            assert!(Message::from_bytes(&line.receive()).unwrap().is_response());
        }
    }
}

#[test]
fn what_only_begins_like_a_frame_is_disconnected_and_hurts_nobody() {
    for (listen, is_tls) in [(plain(), false), (https(), true)] {
        let (server, _) = with_relay(listen, None, |_| {});
        let mut bystander = if is_tls { tls::client(&server, "a") } else { server.client("a") };
        // The first is not complete, and ends when its time is over. Nobody waits for it.
        let mut begun = Line::open(server.address);
        begun.0.write_all(&[0]).unwrap();
        for junk in [&[0; 8][..], &[0; 4000], &[6; 4000], &[0, 20, 0, 1, 0, 0, 0x21, 0x13]] {
            let mut line = Line::open(server.address);
            line.0.write_all(junk).unwrap();
            line.expect_end();
        }
        bystander.expect_nothing("a");
        begun.expect_end();
        let mut line = Line::open(server.address);
        line.send(&binding());
        assert!(Message::from_bytes(&line.receive()).unwrap().is_response());
    }
}

#[test]
fn without_a_relay_and_at_the_port_of_the_api_such_bytes_are_no_http() {
    let ops = Some(ListenOps::default());
    let (server, _) = with_relay(Listen { ops, ..plain() }, None, |_| {});
    let without = TestServer::start_built_on(PeerBroker::builder(), plain(), |_| {});
    for address in [server.ops.unwrap(), without.address] {
        let mut line = Line::open(address);
        line.send(&binding());
        let mut answer = String::new();
        line.0.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[test]
fn behind_a_proxy_for_http_clients_are_told_only_a_port_that_the_operator_names() {
    let (server, relay) = with_relay(plain(), None, |config| config.proxied = true);
    call_of(&mut server.client("a"), &mut server.client("b"), &candidate(relay));
    for proxied in [false, true] {
        let (server, relay) = with_relay(plain(), Some(443), |config| config.proxied = proxied);
        call_of(&mut server.client("a"), &mut server.client("b"), &candidates(relay, 443));
    }
    let (server, relay) = with_relay(plain(), Some(0), |_| {});
    call_of(&mut server.client("a"), &mut server.client("b"), &candidate(relay));
}
