//! The dashboard's login, and what other pages in the same browser cannot do.

use serde_json::json;

use crate::harness::api::{Answer, Api};
use crate::harness::ops::with_api;

const TOKEN: &str = "a-token-of-the-operator";
const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

fn log_in(api: &Api, token: &str) -> Answer {
    api.post("/api/session", &json!({"token": token}))
}

/// The header line of a browser that has logged in.
fn cookie_line(api: &Api) -> String {
    let answer = log_in(api, TOKEN);
    assert_eq!(answer.status, 204);
    let cookie = answer.response.header("set-cookie").expect("a cookie");
    format!("Cookie: other=1; {}", cookie.split(';').next().unwrap())
}

#[test]
fn a_browser_logs_in_with_the_token_and_gets_a_cookie_that_scripts_cannot_read() {
    let (_server, api) = with_api(&[], Some(TOKEN), |_| {});
    let cookie = log_in(&api, TOKEN).response.header("set-cookie").unwrap();
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert!(value.starts_with("peerbroker_session=") && !value.contains(TOKEN), "{value}");
    assert_eq!(attributes, "Max-Age=43200; Path=/; HttpOnly; SameSite=Strict");
    let proxied = api.clone().with_header("X-Forwarded-Proto: https");
    assert!(log_in(&proxied, TOKEN).response.header("set-cookie").unwrap().ends_with("; Secure"));

    let browser = api.clone().with_header(&cookie_line(&api));
    assert_eq!(browser.get("/api/stats").status, 200);
    let gone = browser.clone().with_header(&format!("{}\r\nSec-Fetch-Site: same-origin", cookie_line(&api)));
    let cleared = gone.delete("/api/session").response.header("set-cookie").unwrap();
    assert!(cleared.starts_with("peerbroker_session=; Max-Age=0; "), "{cleared}");

    for token in ["", "wrong", "a-token-of-the-operatoR"] {
        let refused = log_in(&api, token);
        refused.problem(401);
        assert_eq!(refused.response.header("set-cookie"), None);
    }
    api.post("/api/session", &json!({})).problem(422);
    for cookie in ["peerbroker_session=", "peerbroker_session=9999999999.AAAA", "peerbroker_sessio=1"] {
        api.clone().with_header(&format!("Cookie: {cookie}")).get("/api/stats").problem(401);
    }
}

#[test]
fn a_session_ends_with_its_token_and_counts_on_any_server_that_has_it() {
    let (_one, api) = with_api(&[], Some(TOKEN), |_| {});
    let line = cookie_line(&api);
    let (_same, same) = with_api(&[], Some(TOKEN), |_| {});
    assert_eq!(same.with_header(&line).get("/api/stats").status, 200);
    let (_other, other) = with_api(&[], Some("another-token-of-the-operator"), |_| {});
    other.with_header(&line).get("/api/stats").problem(401);
}

#[test]
fn a_cookie_changes_nothing_unless_a_page_of_this_server_asks() {
    let (_server, api) = with_api(&[], Some(TOKEN), |_| {});
    let cookie = cookie_line(&api);
    let asking =
        |lines: &str| api.clone().with_header(&format!("Host: localhost:9001\r\n{cookie}\r\n{lines}"));
    for lines in [
        "X-None: 1",
        "Origin: https://evil.test",
        "Origin: http://localhost:3000",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://localhost:9001",
        "Sec-Fetch-Site: none",
    ] {
        for (method, path) in [
            ("POST", "/api/keys"),
            ("PATCH", "/api/keys/peerjs"),
            ("DELETE", "/api/keys/peerjs"),
            ("DELETE", "/api/keys/peerjs/peers/a"),
            ("DELETE", "/api/session"),
        ] {
            let refused = asking(lines).call(method, path, Some(&json!({"key": "theirs"})));
            assert!(refused.problem(403).contains("another site"), "{lines}: {method} {path}");
        }
    }
    let ours =
        ["Sec-Fetch-Site: same-origin", "Origin: http://localhost:9001", "Origin: https://LOCALHOST:9001"];
    for (n, lines) in ours.into_iter().enumerate() {
        assert_eq!(
            asking(lines).post("/api/keys", &json!({"key": format!("ours-{n}")})).status,
            201,
            "{lines}"
        );
    }
    // A program has the token itself, and no page can send it.
    assert_eq!(api.clone().with_token(TOKEN).delete("/api/keys/ours-0").status, 204);
}

#[test]
fn without_a_token_the_dashboard_works_in_browsers_of_this_machine_only() {
    let (_server, api) = with_api(&[], None, |_| {});
    let page = |lines: &str| api.clone().with_header(&format!("Host: localhost:9001\r\n{lines}"));
    assert_eq!(page(HTML).get("/").status, 200);
    let own = page("Origin: http://localhost:9001\r\nSec-Fetch-Site: same-origin");
    assert_eq!(own.post("/api/keys", &json!({"key": "ours"})).status, 201);
    assert_eq!(own.post("/api/session", &json!({"token": "none"})).response.header("set-cookie"), None);
    for lines in [
        "Origin: http://localhost:3000",
        "Origin: https://evil.test\r\nSec-Fetch-Site: same-origin",
        "Origin: http://localhost:9001\r\nSec-Fetch-Site: cross-site",
        "Origin: http://localhost:9001\r\nX-Forwarded-For: 192.0.2.1",
    ] {
        page(lines).post("/api/keys", &json!({"key": "theirs"})).problem(403);
    }
    // DNS rebinding: the page would be of the same origin as the API.
    let rebound = format!(
        "Host: evil.test:9001\r\nOrigin: http://evil.test:9001\r\nSec-Fetch-Site: same-origin\r\n{HTML}"
    );
    for path in ["/", "/dashboard/main.js", "/api/keys", "/api/live"] {
        api.clone().with_header(&rebound).get(path).problem(403);
    }
}

#[test]
fn browsers_get_the_dashboard_and_programs_the_index() {
    let (_server, api) = with_api(&[], Some(TOKEN), |_| {});
    let page = api.clone().with_header(&format!("Host: localhost:9001\r\n{HTML}")).get("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.response.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
    let policy = page.response.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        policy.contains("connect-src 'self' http://localhost:") && policy.contains(" ws://localhost:"),
        "{policy}"
    );
    assert_eq!(page.response.header("referrer-policy").as_deref(), Some("no-referrer"));
    assert_eq!(page.response.header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(page.response.header("vary").as_deref(), Some("Accept"));
    // It is an empty page without its data, so others may link to it.
    let linked = format!("{HTML}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate");
    assert_eq!(api.clone().with_header(&linked).get("/").status, 200);
    api.clone().with_header(&linked).get("/dashboard/main.js").problem(403);
    // A name that could widen the policy is left out.
    let odd = api.clone().with_header(&format!("Host: a;*\r\n{HTML}")).get("/");
    assert!(!odd.response.header("content-security-policy").unwrap().contains("a;*"));

    let script = api.get("/dashboard/main.js");
    assert_eq!(script.status, 200);
    assert!(script.response.header("content-type").unwrap().starts_with("text/javascript"));
    assert_eq!(api.get("/dashboard/vendor/peerjs.min.js").status, 200);
    for path in ["/dashboard/", "/dashboard/index.html", "/dashboard/nothing.js", "/dashboard/../Cargo.toml"]
    {
        api.get(path).problem(404);
    }

    let program = api.with_token(TOKEN).get("/");
    assert!(program.json["operations"]["/api/live"]["GET"].is_string(), "{program:?}");
    assert_eq!(program.response.header("cache-control").as_deref(), Some("no-store"));
}
