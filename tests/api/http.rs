//! Responses over HTTP.

use crate::harness::http_client::HttpConnection;
use crate::harness::legacy::post;
use crate::harness::ops::with_api;
use crate::harness::{TestServer, Transport, on_both_with, on_own, on_own_with};
use peerbroker_config::{Dialect, Dialects, MountPath};

const ABOUT: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;
const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

fn path(path: &str) -> impl Fn(&mut peerbroker::Config) {
    move |config| config.path = MountPath::parse(path).unwrap()
}

fn content_type(response: &crate::harness::http_client::Response) -> String {
    response.header("content-type").unwrap_or_default()
}

fn is_uuid(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && groups[2].starts_with('4')
        && groups[3].starts_with(['8', '9', 'a', 'b'])
}

#[test]
fn the_mount_path_says_what_this_is() {
    on_own(|server| {
        for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
            let response = server.request("GET", "/?ts=1&version=1.5.5", accept);
            assert_eq!((response.status, response.text()), (200, ABOUT));
            assert_eq!(content_type(&response), JSON);
        }
    });
}

#[test]
fn people_get_a_page_where_programs_get_json() {
    on_own(|server| {
        let accept = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
        let page = server.request("GET", "/", accept);
        assert_eq!(page.status, 200);
        assert_eq!(content_type(&page), HTML);
        assert!(page.text().contains("<html"), "{}", page.text());
        for response in [page, server.get("/")] {
            let vary = response.header("vary").unwrap();
            assert!(vary.split(", ").any(|name| name == "Accept"), "{vary}");
        }
    });
}

#[test]
fn without_pages_everybody_gets_json() {
    on_own_with(
        |config| config.pages = false,
        |server| {
            assert_eq!(server.request("GET", "/", "Accept: text/html\r\n").text(), ABOUT);
            assert_eq!(server.get("/broker/").status, 404);
        },
    );
}

#[test]
fn a_fresh_id_is_a_uuid_that_is_never_kept_in_a_cache() {
    on_own(|server| {
        let ids: Vec<String> = (0..20)
            .map(|_| {
                let response = server.get("/peerjs/id?ts=1763629.5&version=1.5.5");
                assert_eq!(response.status, 200);
                assert_eq!(content_type(&response), HTML);
                assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
                response.text().to_owned()
            })
            .collect();
        assert!(ids.iter().all(|id| is_uuid(id)), "{ids:?}");
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    });
}

#[test]
fn an_id_is_given_for_any_key() {
    on_own(|server| {
        for key in ["peerjs", "other", "%C3%A9", "a%20b", "x.y", "0"] {
            let response = server.get(&format!("/{key}/id"));
            assert!(response.status == 200 && is_uuid(response.text()), "{key}: {response:?}");
            let unknown = (key != "peerjs").then(|| "unknown".to_owned());
            assert_eq!(response.header("x-peerbroker-key"), unknown, "{key}");
        }
    });
}

#[test]
fn peers_are_not_listed_unless_discovery_is_on() {
    on_own(|server| {
        let response = server.get("/peerjs/peers");
        assert_eq!((response.status, response.text()), (401, "Unauthorized"));
        assert_eq!(content_type(&response), PLAIN);
    });
}

#[test]
fn peers_are_listed_in_order_of_their_first_registration() {
    on_own_with(
        |config| config.key_settings.allow_discovery = true.into(),
        |server| {
            let response = server.get("/peerjs/peers");
            assert_eq!((response.status, response.text()), (200, "[]"));
            assert_eq!(content_type(&response), JSON);
            let mut clients: Vec<_> =
                ["zoe", "bob", "a \"b\" \\ é"].iter().map(|id| server.client(id)).collect();
            assert_eq!(server.get("/peerjs/peers?ts=1").text(), r#"["zoe","bob","a \"b\" \\ é"]"#);
            drop(clients.remove(0));
            server.wait_until_gone("zoe");
            assert_eq!(server.get("/peerjs/peers/").text(), r#"["bob","a \"b\" \\ é"]"#);
        },
    );
}

#[test]
fn the_peers_of_an_unknown_key_are_not_listed() {
    on_own_with(
        |config| config.key_settings.allow_discovery = true.into(),
        |server| {
            for key in ["other", "PEERJS", "peerj"] {
                assert_eq!(server.get(&format!("/{key}/peers")).status, 401, "{key}");
            }
            assert_eq!(server.get("/%70eerjs/peers").status, 200);
        },
    );
}

#[test]
fn a_key_with_malformed_escapes_is_a_bad_request() {
    on_own(|server| {
        for target in ["/%/id", "/%zz/id", "/a%2/peers", "/%FF/id", "/%C3/peers"] {
            assert_eq!(server.get(target).status, 400, "{target}");
        }
    });
}

#[test]
fn head_is_get_without_a_body() {
    on_own(|server| {
        for target in ["/", "/peerjs/id", "/peerjs/peers", "/healthz", "/nothing"] {
            let get = server.get(target);
            let head = server.request("HEAD", target, "");
            assert_eq!(head.status, get.status, "{target}");
            assert_eq!(content_type(&head), content_type(&get));
            assert_eq!(head.body, b"");
            if target != "/nothing" {
                assert_eq!(head.header("content-length"), get.header("content-length"), "{target}");
            }
        }
    });
}

/// nginx with `location /a { proxy_pass http://127.0.0.1:9000/; }`, and clients that join paths.
#[test]
fn repeated_slashes_are_one_in_every_path() {
    for mount in ["/", "/myapp"] {
        on_both_with(path(mount), |server| {
            let root = match (mount, server.transport) {
                ("/", _) => "/",
                (_, Transport::Own) => "//myapp//",
                // Outside the path of an embedded broker, the app answers.
                (_, Transport::Actix) => "/myapp//",
            };
            for (target, status) in [
                ("/", 200),
                ("/peerjs//id", 200),
                ("//peerjs/id//", 200),
                ("/peerjs//peers", 401),
                ("//healthz", 200),
                ("/broker//docs//TLS", 200),
                ("//peerjs.js", 200),
                ("//broker//none", 404),
            ] {
                assert_eq!(server.get(&format!("{root}{target}")).status, status, "{root}{target}");
            }
            let mut bob = server.client("bob");
            let mut clients = Vec::new();
            for (n, socket) in ["/peerjs", "//peerjs//", "//peerjs//peerjs"].into_iter().enumerate() {
                let id = format!("alice{n}");
                let mut alice = server.begin_at(&format!("{root}{socket}?key=peerjs&id={id}&token=t"));
                alice.expect_accepted();
                alice.expect_open();
                alice.send(r#"{"type":"OFFER","dst":"bob","payload":{}}"#);
                bob.expect(format!(r#"{{"type":"OFFER","src":"{id}","dst":"bob","payload":{{}}}}"#));
                clients.push(alice);
            }
            // PeerJS 0.3.x.
            let body = r#"{"type":"OFFER","dst":"bob","payload":{}}"#;
            let mut http = server.http();
            http.send(post(&format!("{root}/peerjs//alice0/t//offer"), "", body.as_bytes()));
            assert_eq!(http.response(false).status, 200);
            bob.expect(r#"{"type":"OFFER","src":"alice0","dst":"bob","payload":{}}"#);
        });
    }
}

#[test]
fn nothing_is_outside_the_mount_path() {
    on_own_with(path("/x"), |server| {
        for target in ["/", "/peerjs/peers", "/xy/peerjs/peers", "/X/peerjs/peers", "/y", "//id", "/id"] {
            let response = server.request("GET", target, "Origin: http://page.test\r\n");
            assert_eq!(response.status, 404, "{target}");
            // Otherwise the console of the page would show an error of CORS and not the 404.
            if server.transport == Transport::Own {
                let allowed = response.header("access-control-allow-origin");
                assert_eq!(allowed.as_deref(), Some("http://page.test"), "{target}");
            }
        }
        assert_eq!(server.request("OPTIONS", "/peerjs/id", "").status, 404);
    });
}

/// PeerJS shows no text of a 404, but that of an ERROR on the WebSocket that it opens with the id.
#[test]
fn a_request_for_an_id_at_a_wrong_path_gets_one() {
    let ask = |server: &TestServer, target: &str, accept: &str| {
        server.request("GET", target, &format!("Origin: http://page.test\r\n{accept}"))
    };
    for (mount, targets) in [
        ("/x", &["/peerjs/id?ts=1", "/xy/any/id/", "/X/peerjs/id", "/x/foo/peerjs/id"][..]),
        // A proxy has cut off the key.
        ("/", &["/foo/peerjs/id", "/a/b/peerjs/id", "/id", "/id/?ts=1"]),
        ("/myapp", &["/myapp/id"]),
    ] {
        let server = TestServer::start(Transport::Own, path(mount));
        for target in targets {
            let answer = ask(&server, target, "Accept: */*\r\n");
            assert_eq!((answer.status, answer.text().len()), (200, 36), "{target}");
            let right = answer.header("x-peerbroker-path");
            assert_eq!(right.unwrap().trim_end_matches('/'), mount.trim_end_matches('/'), "{target}");
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed.as_deref(), Some("http://page.test"), "{target}");
            assert_eq!(ask(&server, target, "Accept: text/html\r\n").status, 404, "{target}");
        }
    }
    let without = TestServer::start(Transport::Own, |config| {
        path("/x")(config);
        config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]);
    });
    assert_eq!(without.get("/peerjs/id").status, 404);
}

#[test]
fn a_404_names_the_place_of_what_is_elsewhere() {
    let server = TestServer::start(Transport::Own, path("/x"));
    for (target, place) in [
        ("/slides", "at /x/broker/slides here"),
        ("/x/docs/", "at /x/broker/docs here"),
        ("/broker/docs/TLS", "at /x/broker/docs/TLS here"),
        ("/dashboard", "--ops_port"),
        ("/x/metrics", "--ops_port"),
        ("/api/keys", "--ops_port"),
    ] {
        let answer = server.get(target);
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.text().contains(place), "{target}: {}", answer.text());
    }
    let page = server.request("GET", "/slides", "Accept: text/html\r\n");
    assert!(page.text().contains(r#"href="/x/broker/slides">Open"#), "{}", page.text());
    for nothing in ["/x/slideshow", "/docs/NONE", "/wp-login.php"] {
        assert!(!server.get(nothing).text().contains("page is at"), "{nothing}");
    }
}

#[test]
fn the_icon_that_browsers_ask_for_is_there() {
    let server = TestServer::start(Transport::Own, path("/x"));
    for target in ["/favicon.ico", "/x/favicon.ico"] {
        let answer = server.get(target);
        assert_eq!((answer.status, content_type(&answer)), (200, "image/svg+xml".into()), "{target}");
    }
    assert_eq!(server.get("/y/favicon.ico").status, 404);
    let without = TestServer::start(Transport::Own, |config| config.pages = false);
    assert_eq!(without.get("/favicon.ico").status, 404);
}

#[test]
fn a_client_of_a_trusted_proxy_is_told_a_longer_time() {
    let told = |response: &crate::harness::http_client::Response| response.header("keep-alive");
    for (proxied, expected) in [(false, "timeout=5"), (true, "timeout=620")] {
        on_own_with(
            |config| config.proxied = proxied,
            |server| {
                let mut connection = server.http();
                for (target, headers) in
                    [("/peerjs/id", ""), ("/nothing", ""), ("/", "Accept: text/html\r\n")]
                {
                    let answer = connection.request("GET", target, headers);
                    assert_eq!(told(&answer).as_deref(), Some(expected), "{target}");
                }
                let last = connection.request("GET", "/peerjs/id", "Connection: close\r\n");
                assert_eq!((told(&last), last.header("connection").as_deref()), (None, Some("close")));
            },
        );
    }
}

#[test]
fn a_connection_of_a_trusted_proxy_is_kept_once_the_body_of_its_request_was_read() {
    on_own_with(
        |config| config.proxied = true,
        |server| {
            let told = |connection: &mut HttpConnection, target: &str, rest: &str| {
                connection.send(format!("POST {target} HTTP/1.1\r\nHost: server.test\r\n{rest}"));
                connection.response(false).header("keep-alive").expect("a time")
            };
            let _a = server.client("a");
            let offer = server.post_target("a", "offer");
            let bodies = [
                "Content-Length: 14\r\n\r\n{\"type\":\"ANY\"}",
                "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                "Content-Length: 0\r\n\r\n",
            ];
            let mut posting = bodies.map(|body| (server.http(), body));
            for (connection, body) in &mut posting {
                assert_eq!(told(connection, &offer, body), "timeout=620", "{body}");
            }
            let heads = ["Content-Length: 1\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"];
            let silent = heads.map(|head| {
                let mut connection = server.http();
                assert_eq!(told(&mut connection, "/nothing", bodies[2]), "timeout=620");
                assert_eq!(told(&mut connection, "/nothing", head), "timeout=5", "{head}");
                connection
            });
            for mut connection in silent {
                connection.expect_end();
            }
            // The others are older than those that have ended, and are still there.
            for (connection, body) in &mut posting {
                assert_eq!(told(connection, &offer, body), "timeout=620", "{body}");
            }
        },
    );
}

/// As curl with `--http2` and clients in Java send it.
#[test]
fn an_upgrade_that_is_ignored_is_not_in_the_answer() {
    let (server, api) = with_api(&[], None, |_| {});
    let asking =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    for (address, target) in
        [(server.address, "/peerjs/id"), (server.address, "/nothing"), (api.address, "/readyz")]
    {
        let plain = HttpConnection::open(address).request("GET", target, "Connection: close\r\n");
        let mut connection = HttpConnection::open(address);
        let answer = connection.request("GET", target, asking);
        assert_eq!(answer.status, plain.status, "{target}");
        for name in ["connection", "keep-alive", "upgrade"] {
            assert_eq!(answer.header(name), plain.header(name), "{target}: {name}");
        }
        connection.expect_end();
    }
}

/// `src/http/public/routes.rs` has the paths.
#[test]
fn other_paths_and_other_methods_are_nothing_here() {
    on_own(|server| {
        for (method, target) in [
            ("GET", "/peerjs"),
            ("GET", "/peerjs/i%64"),
            ("GET", "/peerjs/ID"),
            ("POST", "/peerjs/id"),
            ("PUT", "/"),
            ("DELETE", "/peerjs/peers"),
            ("PATCH", "/x"),
            ("PUT", "/peerjs/someid/sometoken/offer"),
            ("POST", "/peerjs/someid/offer"),
        ] {
            let response = server.request(method, target, "Content-Length: 0\r\n");
            assert_eq!(response.status, 404, "{method} {target}");
        }
    });
}

#[test]
fn a_404_explains_itself() {
    let configure = |config: &mut peerbroker::Config| {
        path("/x")(config);
        config.key = peerbroker_core::vocabulary::ApiKey::parse("secretkey").unwrap();
    };
    let server = TestServer::start(crate::harness::Transport::Own, configure);
    for target in ["/peerjs/peers", "/x/nothing", "/x/peerjs"] {
        let response = server.http().request("GET", target, "");
        assert_eq!(response.status, 404);
        assert_eq!(content_type(&response), PLAIN);
        assert_eq!(response.header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
        let text = response.text();
        for told in [target, "path: \"/x/\"", "key: \"secretkey\"", "new Peer(", "host: \"server.test\""] {
            assert!(text.contains(told), "{told} in {text}");
        }
    }
}

#[test]
fn a_404_for_a_browser_is_a_page_that_leads_to_the_right_path() {
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let pages = |configure: fn(&mut peerbroker::Config)| {
        TestServer::start(Transport::Own, move |config| {
            path("/x")(config);
            configure(config);
        })
    };
    let server = pages(|_| {});
    for (method, target) in [("GET", "/"), ("GET", "/peerjs/id"), ("PUT", "/x/b&c/s/hushhush/offer")] {
        let response = server.request(method, target, &format!("{browser}Content-Length: 0\r\n"));
        assert_eq!((response.status, content_type(&response)), (404, "text/html; charset=utf-8".into()));
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
        assert!(response.header("content-security-policy").is_some());
        let text = response.text();
        for told in
            ["There is nothing here", r#"href="/x/">Open /x/<"#, r#"<base href="/x/broker/">"#, method]
        {
            assert!(text.contains(told), "{told} in {text}");
        }
        for hidden in ["hushhush", "b&c", "{{"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    assert_eq!(content_type(&pages(|config| config.pages = false).request("GET", "/", browser)), PLAIN);
}

#[test]
fn the_landing_page_speaks_of_peerjs_only_if_that_is_on() {
    use peerbroker_config::{Dialect, Dialects};
    let landing = |dialects: Dialects| {
        let server = TestServer::start(Transport::Own, move |config| config.dialects = dialects);
        server.request("GET", "/", "Accept: text/html\r\n").text().to_owned()
    };
    assert!(landing(Dialects::default()).contains("<span >It speaks PeerJS.</span>"));
    assert!(
        landing(Dialects::from_iter([Dialect::Topics])).contains("<span hidden>It speaks PeerJS.</span>")
    );
}

#[test]
fn a_404_names_no_key_if_there_is_none() {
    on_own_with(
        |config| config.default_key = false,
        |server| {
            for accept in ["", "Accept: text/html\r\n"] {
                let response = server.request("GET", "/nothing", accept);
                let text = response.text();
                assert!(text.contains("no built-in key") && !text.contains("YOUR-KEY"), "{text}");
            }
            assert!(server.get("/nothing").text().contains(r#"path: "/", key: …})"#));
        },
    );
}

#[test]
fn no_token_gets_onto_an_error_page() {
    on_own(|server| {
        for target in [
            "/peerjs?key=peerjs&id=someid&token=hushhush",
            "/peerjs/someid/hushhush/offer",
            "/peerjs/someid/hushhush/id?i=1",
            "/nothing?token=hushhush",
        ] {
            for method in ["GET", "PUT"] {
                let response = server.request(method, target, "Content-Length: 0\r\n");
                assert_eq!(response.status, 404, "{method} {target}");
                assert!(!response.text().contains("hushhush"), "{}", response.text());
            }
        }
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        for (target, status) in
            [("/nothing?token=hushhush", 404), ("/peerjs?token=hushhush", 400), ("/a/b/hushhush/offer", 404)]
        {
            let response = server.request("GET", target, upgrade);
            assert_eq!(response.status, status, "{target}");
            assert!(!response.text().contains("hushhush"), "{}", response.text());
        }
    });
}

#[test]
fn a_404_shows_no_markup_and_no_more_than_a_few_characters_of_what_was_asked() {
    on_own(|server| {
        let response = server.get(&format!("/%3Cscript%3E/&quot;\"'/{}", "x".repeat(5000)));
        assert_eq!(response.status, 404);
        assert_eq!(content_type(&response), PLAIN);
        assert!(!response.text().contains('<'), "{}", response.text());
        assert!(response.body.len() < 2000, "{}", response.text());
    });
}

#[test]
fn a_connection_is_kept_for_further_requests_and_answers_come_in_order() {
    on_own(|server| {
        let mut http = server.http();
        assert_eq!(http.request("GET", "/", "").text(), ABOUT);
        let request = |target| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        http.send(["/peerjs/peers", "/nothing", "/peerjs/id", "/"].map(request).concat());
        let statuses = [0; 4].map(|_| http.response(false).status);
        assert_eq!(statuses, [401, 404, 200, 200]);
    });
}

#[test]
fn a_connection_ends_when_the_client_asks_for_it_and_with_http_1_0() {
    on_own(|server| {
        for (request, must_end) in [
            ("GET /peerjs/id HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", true),
            ("GET /peerjs/id HTTP/1.0\r\n\r\n", true),
            // The body of a GET is ignored.
            ("GET /peerjs/id HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", false),
        ] {
            let mut http = server.http();
            http.send(request);
            let response = http.response(false);
            assert!(response.status == 200 && is_uuid(response.text()), "{request}: {response:?}");
            if must_end {
                http.expect_end();
            }
        }
    });
}

#[test]
fn a_demo_whose_protocol_is_off_is_not_offered_and_its_page_says_so() {
    let server = TestServer::start(Transport::Own, |config| {
        config.dialects = Dialects::from_iter([Dialect::PeerJs]);
    });
    let html = "Accept: text/html\r\n";
    let landing = server.request("GET", "/", html).text().to_owned();
    for (demo, is_on, protocol) in [
        ("slides", true, ""),
        ("lobby", true, ""),
        ("party", false, "room_codes"),
        ("call", false, "calls"),
        ("board", false, "topics"),
    ] {
        let hidden = if is_on { "" } else { "hidden" };
        assert!(landing.contains(&format!(r#"<a href="{demo}/" {hidden}>"#)), "{demo}");
        assert!(landing.contains(&format!(r#"aria-labelledby="{demo}-title" {hidden}>"#)), "{demo}");
        for page in ["", "/", "/index.html"] {
            let page = server.request("GET", &format!("/broker/{demo}{page}"), html);
            assert_eq!(page.status, if is_on { 200 } else { 404 }, "{demo}");
            let says =
                page.text().contains(&format!("<code>{protocol}</code> is not in <code>--dialects</code>"));
            assert_eq!(says, !is_on, "{demo}: {}", page.text());
        }
    }
    let without = TestServer::start(Transport::Own, |config| {
        config.dialects = Dialects::from_iter([Dialect::Topics]);
    });
    let landing = without.request("GET", "/", html).text().to_owned();
    assert!(landing.contains(r#"<a href="board/" >"#) && !landing.contains("Try it with your phone"));
    assert_eq!(["lobby/", "talk"].map(|demo| without.get(&format!("/broker/{demo}")).status), [404, 404]);
}

#[test]
fn an_asterisk_asks_for_the_options_of_the_server() {
    let server = TestServer::start(Transport::Own, path("/x"));
    let answer = server.request("OPTIONS", "*", "");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(server.request("GET", "*", "").status, 404);
}
