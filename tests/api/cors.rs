//! Pages of other origins that may read the responses.

use crate::harness::http_client::Response;
use crate::harness::{TestServer, on_own, on_own_with};

const ALLOWED: &str = "access-control-allow-origin";
const TARGETS: [&str; 5] = ["/", "/peerjs/id", "/peerjs/peers", "/nothing", "/%zz/id"];

fn ask(server: &TestServer, method: &str, target: &str, origin: &str) -> Response {
    server.request(method, target, &format!("Origin: {origin}\r\n"))
}

fn varies_on(response: &Response, name: &str) -> bool {
    response.header("vary").is_some_and(|vary| vary.split(", ").any(|there| there == name))
}

#[test]
fn every_origin_may_read_every_answer_by_default() {
    on_own(|server| {
        for target in TARGETS {
            for origin in ["http://page.test", "https://page.test:8443", "null", "anything at all"] {
                let response = ask(server, "GET", target, origin);
                assert_eq!(response.header(ALLOWED).as_deref(), Some(origin), "{target}");
                assert!(varies_on(&response, "Origin"), "{target}");
            }
        }
    });
}

#[test]
fn without_an_origin_there_is_no_header_but_the_answer_still_varies() {
    on_own(|server| {
        for target in TARGETS {
            for response in [server.get(target), ask(server, "GET", target, "")] {
                assert_eq!(response.header(ALLOWED), None, "{target}");
                assert!(varies_on(&response, "Origin"), "{target}");
            }
        }
    });
}

#[test]
fn listed_origins_are_compared_exactly() {
    on_own_with(
        |config| {
            config.cors = ["http://a.test", "http://b.test", "http://*.c.test"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        },
        |server| {
            for origin in ["http://a.test", "http://b.test", "http://any.c.test"] {
                let response = ask(server, "GET", "/peerjs/id", origin);
                assert_eq!(response.header(ALLOWED).as_deref(), Some(origin));
            }
            for origin in
                ["http://c.test", "http://A.test", "http://a.test/", "http://a.test,http://b.test", "null"]
            {
                let response = ask(server, "GET", "/peerjs/id", origin);
                assert_eq!(response.status, 200, "answered all the same");
                assert_eq!(response.header(ALLOWED), None, "{origin}");
                assert!(varies_on(&response, "Origin"));
            }
        },
    );
}

#[test]
fn options_are_answered_on_every_path_known_or_not() {
    on_own(|server| {
        for target in TARGETS {
            for headers in ["", "Origin: http://page.test\r\nAccess-Control-Request-Method: GET\r\n"] {
                let response = server.request("OPTIONS", target, headers);
                assert_eq!(response.status, 204, "{target}");
                assert_eq!(
                    response.header("access-control-allow-methods").as_deref(),
                    Some("GET,HEAD,PUT,PATCH,POST,DELETE")
                );
                assert!(varies_on(&response, "Origin"));
                assert!(varies_on(&response, "Access-Control-Request-Headers"));
                assert_eq!(response.header("access-control-allow-headers"), None);
                assert_eq!(response.header("access-control-allow-private-network"), None);
            }
        }
    });
}

#[test]
fn the_headers_that_a_page_wants_to_send_are_allowed() {
    on_own(|server| {
        let headers = "Origin: null\r\nAccess-Control-Request-Headers: X-One, x-two\r\n";
        let response = server.request("OPTIONS", "/peerjs/id", headers);
        assert_eq!(response.header("access-control-allow-headers").as_deref(), Some("X-One, x-two"));
        assert_eq!(response.header(ALLOWED).as_deref(), Some("null"));
        let response = server.request("OPTIONS", "/x", "Access-Control-Request-Headers: \r\n");
        assert_eq!(response.header("access-control-allow-headers"), None);
    });
}

#[test]
fn credentials_and_exposed_headers_are_never_allowed() {
    on_own(|server| {
        for (method, target) in [("GET", "/peerjs/id"), ("OPTIONS", "/peerjs/id"), ("GET", "/nothing")] {
            let response = ask(server, method, target, "http://page.test");
            assert_eq!(response.header("access-control-allow-credentials"), None);
            assert_eq!(response.header("access-control-expose-headers"), None);
        }
    });
}
