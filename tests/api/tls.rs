//! HTTPS and WSS with PEM files of every kind.

use peerbroker::{Config, Listen, PeerBroker, Server, StartError, TlsError};
use peerbroker_config::TlsFiles;
use rustls::crypto::ring::default_provider;
use rustls::{CipherSuite, ClientConnection};
use testkit::http_client::connect;
pub use testkit::tls::{trust, trust_by};
use testkit::tools::fixture as file;

use crate::harness::legacy::post;
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::{RawClient, TestServer, Transport, token_of};

pub(crate) fn listen(key: &str, cert: &str) -> Listen {
    Listen { tls: Some(TlsFiles { key: file(key), cert: file(cert) }), ..Listen::default() }
}

pub(crate) fn start(configure: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_listening(Transport::Own, configure, listen("ec-pkcs8.key", "ec-chain.pem"))
}

pub(crate) fn client(server: &TestServer, id: &str) -> RawClient {
    let mut client = RawClient::connect_tls(server.address, id, trust());
    client.send_raw(RawClient::handshake(&server.target(id, &token_of(id))));
    client.expect_accepted();
    client.expect_open();
    client
}

#[test]
fn keys_of_every_form_and_chains_are_accepted() {
    for (key, cert) in [
        ("ec-pkcs8.key", "ec-chain.pem"),
        ("ec-sec1.key", "ec-chain.pem"),
        ("rsa-pkcs8.key", "rsa-chain.pem"),
        ("rsa-pkcs1.key", "rsa-chain.pem"),
        ("ec-both.pem", "ec-both.pem"),
    ] {
        eprintln!("{key} {cert}");
        let server = TestServer::start_listening(Transport::Own, |_| {}, listen(key, cert));
        // The client knows only the root, so the server must send the whole chain.
        client(&server, "a").expect_nothing("a");
    }
}

#[test]
fn peers_talk_over_tls() {
    let server = start(|_| {});
    let mut a = client(&server, "a");
    let mut b = client(&server, "b");
    for len in [1, 1000, 20_000, 900_000] {
        let payload = format!("\"{}\"", "x".repeat(len));
        a.send(offer("b", &payload));
        b.expect(forwarded_offer("a", "b", &payload));
    }
    b.ping(b"over tls");
    assert_eq!(b.expect_pong(), b"over tls");
    for n in 0..200 {
        a.send(offer("b", &n.to_string()));
    }
    for n in 0..200 {
        b.expect(forwarded_offer("a", "b", &n.to_string()));
    }
    a.expect_closed_by_us(Some(1000));
    server.wait_until_gone("a");
    b.expect_nothing("b");
}

#[test]
fn http_is_answered_over_tls() {
    let server = start(|_| {});
    let mut http = RawClient::connect_tls(server.address, "http", trust());
    http.send_raw("GET /peerjs/id HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = http.expect_response();
    assert_eq!((response.status, response.body.len()), (200, 36));
    let mut http = RawClient::connect_tls(server.address, "http", trust());
    http.send_raw("GET /nothing HTTP/1.1\r\nHost: localhost:9000\r\n\r\n");
    let response = http.expect_response();
    let text = String::from_utf8(response.body).unwrap();
    assert!(text.contains("secure: true") && text.contains("port: 9000"), "{text}");
}

#[test]
fn a_key_is_registered_over_tls_from_the_servers_own_pages() {
    let server = start(|config| config.registration.open = true);
    let register = |origin: &str| {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\nOrigin: {origin}\r\n");
        let mut http = RawClient::connect_tls(server.address, "http", trust());
        http.send_raw(post("/broker/register", &headers, b"name=My+game&origin=https%3A%2F%2Fa.test"));
        http.expect_response()
    };
    let response = register("https://server.test");
    assert_eq!(response.status, 303);
    let mut http = RawClient::connect_tls(server.address, "http", trust());
    let page = response.header("location").unwrap();
    http.send_raw(format!("GET /broker/{page} HTTP/1.1\r\nHost: server.test\r\n\r\n").as_bytes());
    let page = http.expect_response();
    assert!(page.text().contains(r#"data-option="secure">true<"#), "{}", page.text());
    assert_eq!(register("http://server.test").status, 403);
}

#[test]
fn a_client_that_is_silent_or_gone_is_noticed_over_tls() {
    let server = start(|_| {});
    let mut a = client(&server, "a");
    let b = client(&server, "b");
    b.reset();
    server.wait_until_gone("b");
    server.advance(std::time::Duration::from_secs(20));
    a.expect_ping();
    server.advance(std::time::Duration::from_secs(40));
    assert!(!server.realm().contains("a"));
    a.expect_closed_with(None);
}

#[test]
fn a_slow_reader_over_tls_gets_everything_in_order() {
    let server = start(|config| config.limits.outbox_bytes = 64 << 20);
    let mut a = client(&server, "a");
    let mut slow = client(&server, "slow");
    let payload = |n: usize| format!("\"{n:06} {}\"", "x".repeat(64 << 10));
    for n in 0..200 {
        a.send(offer("slow", &payload(n)));
    }
    a.expect_nothing("a");
    for n in 0..200 {
        slow.expect(forwarded_offer("a", "slow", &payload(n)));
    }
}

#[test]
fn a_client_that_speaks_plainly_to_a_tls_port_harms_nobody() {
    let server = start(|_| {});
    let mut a = client(&server, "a");
    let mut plain = server.begin("b", "t");
    plain.expect_cut_off();
    a.expect_nothing("a");
}

#[test]
fn clients_that_ask_for_sha_384_first_get_sha_256_and_others_get_what_they_have() {
    let server = start(|_| {});
    let suite = |suites: &[CipherSuite]| {
        let mut provider = default_provider();
        provider.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
        let mut tls = ClientConnection::new(trust_by(provider), "localhost".try_into().unwrap()).unwrap();
        tls.complete_io(&mut connect(server.address)).unwrap();
        tls.negotiated_cipher_suite().unwrap().suite()
    };
    let sha_256 = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let sha_384 = CipherSuite::TLS13_AES_256_GCM_SHA384;
    assert_eq!(suite(&[sha_384, sha_256]), sha_256);
    assert_eq!(suite(&[sha_384]), sha_384);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let broker = PeerBroker::new();
    let bind = |key: &str, cert: &str| {
        let listen = Listen { host: "127.0.0.1".into(), port: 0, ..listen(key, cert) };
        Server::bind(&broker, &listen).err().expect("an error")
    };
    let error = bind("missing.key", "ec-chain.pem");
    assert!(matches!(error, StartError::Tls(TlsError::Unreadable { flag: "--sslkey", .. })), "{error}");
    let error = bind("ec-pkcs8.key", "missing.pem");
    assert!(matches!(error, StartError::Tls(TlsError::Unreadable { flag: "--sslcert", .. })), "{error}");
    let error = bind("ec-chain.pem", "ec-chain.pem");
    assert!(matches!(error, StartError::Tls(TlsError::NoKey(_))), "{error}");
    let error = bind("ec-passphrase.key", "ec-chain.pem");
    assert!(matches!(error, StartError::Tls(TlsError::NoKey(_))), "{error}");
    assert!(error.to_string().contains("passphrase"), "{error}");
    let error = bind("ec-pkcs8.key", "make.sh");
    assert!(matches!(error, StartError::Tls(TlsError::NoCertificate(_))), "{error}");
    let error = bind("ec-pkcs8.key", "ec-sec1.key");
    assert!(matches!(error, StartError::Tls(TlsError::Swapped(_))), "{error}");
    let error = bind("ec-sec1.key", "version1.pem");
    assert!(matches!(error, StartError::Tls(TlsError::Version1(_))), "{error}");
    let error = bind("rsa-pkcs8.key", "ec-chain.pem");
    assert!(matches!(error, StartError::Tls(TlsError::Mismatch(_))), "{error}");
    assert!(error.to_string().contains("--sslkey"), "{error}");
}
