//! Access to the API.

use std::time::Duration;

use peerbroker_config::{AdminToken, ApiTokens};
use serde_json::json;

use crate::harness::api::Api;
use crate::harness::keys::plain_key;
use crate::harness::ops::{with_api, with_tokens};
use crate::harness::{on_own, wait_until};

const TOKEN: &str = "a-token-of-the-operator";

#[test]
fn if_a_token_is_set_only_callers_with_it_are_allowed() {
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
    // From any address.
    let line = format!("Host: ops.example.org\r\nOrigin: https://a.example\r\nAuthorization: bearer {TOKEN}");
    assert_eq!(api.with_header(&line).get("/api/stats").status, 200);
}

#[test]
fn options_of_the_server_itself_is_answered_to_everybody() {
    let (_server, api) = with_api(&[], Some(TOKEN), |_| {});
    let answer = api.call("OPTIONS", "*", None);
    assert_eq!((answer.status, &*answer.response.body), (204, &b""[..]));
    // All else is not.
    for path in ["/*", "/%2A", "/api/stats"] {
        api.call("OPTIONS", path, None).problem(401);
    }
    api.call("GET", "*", None).problem(401);
}

#[test]
fn without_a_token_only_local_programs_are_allowed() {
    let (_server, api) = with_api(&[], None, |_| {});
    for host in ["localhost", "127.0.0.1:9001", "[::1]:9001"] {
        let line = format!("Host: {host}");
        assert_eq!(api.clone().with_header(&line).get("/api/stats").status, 200, "{line}");
    }
    for line in [
        // A page whose name resolves to this machine, a page of another site, and a local proxy.
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

const READ: &str = "a-token-that-only-reads";
const METRICS: &str = "a-token-of-prometheus";

fn tokens(admin: Option<&str>) -> ApiTokens {
    let parse = |text| AdminToken::parse(text).unwrap();
    ApiTokens { admin: admin.map(parse), read: Some(parse(READ)), metrics: Some(parse(METRICS)) }
}

#[test]
fn a_token_that_only_reads_changes_nothing_and_one_for_metrics_reads_nothing_else() {
    // Through a proxy: without an admin token, local programs may do all.
    for admin in [Some(TOKEN), None] {
        let (_server, api) = with_tokens(&[], tokens(admin), |_| {});
        let with = |token: &str| {
            api.clone().with_header(&format!("X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer {token}"))
        };
        let read = with(READ);
        let metrics = with(METRICS);
        for path in ["/metrics", "/api/keys", "/api/stats", "/api/mistakes", "/api/log", "/api"] {
            assert_eq!(read.get(path).status, 200, "{path}");
            let expected = if path == "/metrics" { 200 } else { 403 };
            assert_eq!(metrics.get(path).status, expected, "{path}");
        }
        for (method, path) in [
            ("POST", "/api/keys"),
            ("PATCH", "/api/keys/peerjs"),
            ("DELETE", "/api/keys/peerjs"),
            ("DELETE", "/api/keys/peerjs/peers/a"),
            ("PUT", "/api/log"),
        ] {
            let call = |api: &Api| api.call(method, path, Some(&json!({})));
            assert!(
                call(&read).problem(403).contains("the read token may change nothing: use the admin token")
            );
            assert!(call(&metrics).problem(403).contains("may only read GET /metrics: use the read token"));
        }
        assert_eq!(with("a-token-of-nobody").get("/metrics").status, 401);
        let own = with(TOKEN).get("/api/keys").status;
        assert_eq!(own, if admin.is_some() { 200 } else { 401 });
        assert_eq!(api.clone().with_header("X-Forwarded-For: 192.0.2.1").get("/metrics").status, 401);
    }
}

#[test]
fn a_session_of_the_read_token_only_reads() {
    let (_server, api) = with_tokens(&[], tokens(Some(TOKEN)), |_| {});
    let log_in = |token: &str| api.post("/api/session", &json!({ "token": token }));
    assert!(log_in(METRICS).problem(403).contains("may only read GET /metrics"));
    let answer = log_in(READ);
    assert_eq!(answer.status, 204);
    let cookie = answer.response.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let session = api.with_header(&format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin"));
    assert_eq!(session.get("/api/stats").status, 200);
    assert!(session.post("/api/keys", &json!({})).problem(403).contains("use the admin token"));
    assert_eq!(session.delete("/api/session").status, 204);
}

#[test]
fn without_an_admin_token_local_programs_may_do_all() {
    let (_server, api) = with_tokens(&[], tokens(None), |_| {});
    assert_eq!(api.post("/api/keys", &json!({"key": "k"})).status, 201);
    let by_page = api.clone().with_header("Origin: https://example.org");
    assert_eq!(by_page.post("/api/keys", &json!({})).status, 401);
}

#[test]
fn the_api_and_the_dashboard_are_nowhere_on_the_main_port() {
    on_own(|server| {
        for path in [
            "/api/keys",
            "/api/stats",
            "/api/openapi.json",
            "/dashboard/main.js",
            "/broker/dashboard/main.js",
            "/broker/dashboard/index.html",
            "/broker/dashboard/",
        ] {
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

#[test]
fn wrong_tokens_are_slowed_down_and_nobody_elsewhere_waits() {
    let (server, api) = with_api(&[], Some(TOKEN), |_| {});
    let right = api.clone().with_token(TOKEN);
    // Right tokens, and requests without a token, do not count.
    for _ in 0..100 {
        assert_eq!(right.get("/api/stats").status, 200);
        api.get("/api/stats").problem(401);
    }
    let wrong = api.clone().with_token("wrong");
    for _ in 0..51 {
        wrong.get("/api/stats").problem(401);
    }
    let refused = wrong.get("/api/stats");
    assert!(refused.problem(429).contains("too many wrong tokens"));
    assert_eq!(refused.response.header("retry-after").as_deref(), Some("1"));
    // The right token is right, whoever shares its address.
    assert_eq!(right.get("/api/stats").status, 200);
    // Requests through a proxy and direct ones are counted separately.
    let proxied = api.clone().with_header("X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer wrong");
    proxied.get("/api/stats").problem(401);
    server.advance(Duration::from_millis(200));
    wrong.get("/api/stats").problem(401);
    wrong.get("/api/stats").problem(429);
}

/// A token in a header, a forged cookie, a login, and a token of a key.
#[test]
fn each_carrier_of_a_wrong_token_counts_and_none_of_a_right_one() {
    let (server, api) = with_api(&[plain_key("one")], Some(TOKEN), |_| {});
    let right = api.clone().with_token(TOKEN);
    let cookie = |value: &str| api.clone().with_header(&format!("Cookie: peerbroker_session={value}"));
    let log_in = |token: &str| api.post("/api/session", &json!({ "token": token }));
    let added = right.post("/api/keys/one/tokens", &json!({"name": "own", "scopes": ["peers:read"]}));
    let of_key = api.clone().with_token(added.json["token"].as_str().unwrap());
    let session = log_in(TOKEN).response.header("set-cookie").unwrap();
    let session = session.split(';').next().unwrap().rsplit_once('=').unwrap().1;
    let wrong: [&dyn Fn() -> u16; 4] = [
        &|| api.clone().with_token("wrong").get("/api/stats").status,
        &|| cookie("9999999999.AAAA").get("/api/stats").status,
        &|| log_in("wrong").status,
        &|| api.clone().with_token("pbk_b25l_x").get("/api/keys/one/peers").status,
    ];
    for guess in wrong {
        assert_eq!((0..51).map(|_| guess()).filter(|status| *status == 401).count(), 51);
        for other in wrong {
            assert_eq!(other(), 429);
        }
        assert_eq!(right.get("/api/stats").status, 200);
        assert_eq!(cookie(session).get("/api/stats").status, 200);
        assert_eq!(log_in(TOKEN).status, 204);
        assert_eq!(of_key.get("/api/keys/one/peers").status, 200);
        // No token, and the cookie after a logout.
        api.get("/api/stats").problem(401);
        cookie("").get("/api/stats").problem(401);
        server.advance(Duration::from_secs(60));
    }
}

#[test]
fn pages_of_other_sites_may_not_ask() {
    for token in [None, Some(TOKEN)] {
        let (_server, api) = with_api(&[], token, |_| {});
        let with_site = |site: &str| {
            let line = format!("Sec-Fetch-Site: {site}\r\nAuthorization: Bearer {TOKEN}");
            api.clone().with_header(&line)
        };
        for site in ["cross-site", "same-site", "", "other", "None"] {
            let refused = with_site(site).post("/api/keys", &json!({"key": "theirs"}));
            assert!(refused.problem(403).contains("another site"), "{site}");
            with_site(site).get("/api/stats").problem(403);
        }
        for site in ["same-origin", "none"] {
            assert_eq!(with_site(site).get("/api/stats").status, 200, "{site}");
            assert_eq!(with_site(site).get("/api/keys/theirs").status, 404);
        }
    }
}
