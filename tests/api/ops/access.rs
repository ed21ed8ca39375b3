//! Who may use the API.

use serde_json::json;

use crate::harness::ops::with_api;
use crate::harness::{on_both, wait_until};

const TOKEN: &str = "a-token-of-the-operator";

#[test]
fn with_a_token_only_who_has_it_may_ask() {
    let (_server, api) = with_api(&[], Some(TOKEN), |_| {});
    assert_eq!(api.clone().with_token(TOKEN).get("/api/stats").status, 200);
    for line in [
        "X-None: 1".to_owned(),
        "Authorization: Bearer".to_owned(),
        "Authorization: Bearer ".to_owned(),
        "Authorization: Bearer a-token-of-the-operato".to_owned(),
        format!("Authorization: Bearer {TOKEN}x"),
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: {TOKEN}"),
        format!("Authorization: Bearer {}", TOKEN.to_uppercase()),
    ] {
        for (method, path) in [
            ("GET", "/api/keys"),
            ("POST", "/api/keys"),
            ("DELETE", "/api/keys/peerjs/peers/a"),
            ("GET", "/nothing"),
        ] {
            let refused = api.clone().with_header(&line).call(method, path, None);
            refused.problem(401);
            assert_eq!(refused.response.header("www-authenticate").as_deref(), Some("Bearer"), "{line}");
        }
    }
    // From wherever it comes.
    let line = format!("Host: ops.example.org\r\nOrigin: https://a.example\r\nAuthorization: bearer {TOKEN}");
    assert_eq!(api.with_header(&line).get("/api/stats").status, 200);
}

#[test]
fn without_a_token_only_programs_of_this_machine_may_ask() {
    let (_server, api) = with_api(&[], None, |_| {});
    for host in ["localhost", "127.0.0.1:9001", "[::1]:9001"] {
        let line = format!("Host: {host}");
        assert_eq!(api.clone().with_header(&line).get("/api/stats").status, 200, "{line}");
    }
    for line in [
        // A page whose name leads here, one from elsewhere, and a proxy that runs here.
        "Host: rebound.example.org",
        "Origin: https://example.org",
        "Origin: null",
        "X-Forwarded-For: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
    ] {
        let refused = api.clone().with_header(line).post("/api/keys", &json!({}));
        assert!(refused.problem(403).contains("--admin_token"), "{line}");
    }
}

#[test]
fn the_api_is_nowhere_on_the_main_port() {
    on_both(|server| {
        for path in ["/api/keys", "/api/stats", "/api/openapi.json"] {
            assert_eq!(server.get(path).status, 404, "{path}");
        }
    });
}

#[test]
fn a_stop_ends_the_api_too() {
    let (mut server, api) = with_api(&[], None, |_| {});
    server.begin_stop();
    server.join();
    wait_until("nobody to listen", || std::net::TcpStream::connect(api.address).is_err());
}
