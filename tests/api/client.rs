//! The PeerJS client that the broker serves. `client-tests/tests/served.test.mjs` runs it in browsers.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;

use peerbroker_config::{Dialect, Dialects, MountPath};
use peerbroker_core::vocabulary::ApiKey;
use serde_json::Value;

use crate::harness::http_client::Response;
use crate::harness::{on_own, on_own_with};

const SCRIPTS: [&str; 4] = ["peerjs.js", "peerjs.min.js", "peerjs.mjs", "peerjs.all.js"];
const JAVASCRIPT: Option<&str> = Some("text/javascript; charset=utf-8");

#[test]
fn the_client_is_served_to_pages_of_every_origin() {
    on_own_with(
        |config| {
            config.path = MountPath::parse("/app").unwrap();
            config.key = ApiKey::parse("my \"key\"").unwrap();
        },
        |server| {
            for script in SCRIPTS {
                let target = format!("/app/{script}?key=other");
                let response = server.request("GET", &target, "Origin: http://page.test\r\n");
                let header = |name| response.header(name);
                assert_eq!((response.status, header("content-type").as_deref()), (200, JAVASCRIPT));
                assert_eq!(header("access-control-allow-origin").as_deref(), Some("http://page.test"));
                assert_eq!(header("cross-origin-resource-policy").as_deref(), Some("cross-origin"));
                assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
                let text = response.text();
                assert!(text.contains("my%20%22key%22"), "the built-in key: {text}");
                assert_eq!(server.get(&format!("/{script}")).status, 404, "outside the path");
                let tag = header("etag").unwrap();
                let cached = format!("If-None-Match: {tag}\r\n");
                assert_eq!(server.request("GET", &target, &cached).status, 304);
            }
        },
    );
}

#[test]
fn scripts_and_pages_are_compressed_and_each_coding_has_a_tag() {
    const LARGEST: [(&str, usize); 7] = [
        ("peerjs.min.js", 35_000),
        ("peerjs.all.js", 60_000),
        ("rooms.js", 12_000),
        ("webrtc.mjs", 75_000),
        ("broker/", 6_000),
        ("broker/slides/", 4_000),
        ("broker/docs/PROTOCOL", 30_000),
    ];
    on_own(|server| {
        for (name, most) in LARGEST {
            let get = |method, headers: &str| {
                server.request(method, &format!("/{name}"), &format!("{headers}\r\n"))
            };
            let plain = get("GET", "Accept-Encoding: identity");
            let mut tags = HashSet::from([plain.header("etag").unwrap()]);
            for (accepted, coding) in
                [("gzip, deflate, br", "br"), ("gzip;q=0.5, br;q=0", "gzip"), ("deflate, gzip", "gzip")]
            {
                let accepted = format!("Accept-Encoding: {accepted}");
                let response = compressed(|| get("GET", &accepted));
                let tag = response.header("etag").unwrap();
                let is_right = |response: &Response| {
                    assert_eq!(response.header("etag").as_ref(), Some(&tag), "{name}: {accepted}");
                    assert!(
                        response.header("vary").unwrap().contains("Accept-Encoding"),
                        "{name}: {accepted}"
                    );
                };
                is_right(&response);
                assert_eq!(response.header("content-encoding").as_deref(), Some(coding), "{name}");
                assert!(decoded(coding, &response.body) == plain.body, "{name}: {coding}");
                assert!(coding == "gzip" || response.body.len() <= most, "{name}: {}", response.body.len());
                let head = get("HEAD", &accepted);
                is_right(&head);
                assert_eq!(head.header("content-length"), Some(response.body.len().to_string()), "{name}");
                for method in ["GET", "HEAD"] {
                    let kept = get(method, &format!("{accepted}\r\nIf-None-Match: {tag}"));
                    is_right(&kept);
                    assert_eq!((kept.status, kept.body.len()), (304, 0), "{name}");
                }
                let other = get("GET", &format!("Accept-Encoding: identity\r\nIf-None-Match: {tag}"));
                assert_eq!(other.status, 200, "{name}");
                tags.insert(tag);
            }
            assert_eq!(tags.len(), 3, "{name}");
        }
    });
}

/// A compressed answer. While others compress, as tests beside this one, a server sends the text as it is.
pub fn compressed(get: impl Fn() -> Response) -> Response {
    let is_compressed = |response: &Response| response.header("content-encoding").is_some();
    (0..10_000).map(|_| get()).find(is_compressed).expect("a compressed answer")
}

pub fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(body, body.len()).read_to_end(&mut text).unwrap(),
        _ => flate2::read::GzDecoder::new(body).read_to_end(&mut text).unwrap(),
    };
    text
}

#[test]
fn the_unchanged_client_has_its_version_in_its_name_and_may_be_cached_forever() {
    let package = fs::read(format!("{}/npm/vendor/package.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let package: Value = serde_json::from_slice(&package).unwrap();
    let version = package["dependencies"]["peerjs"].as_str().unwrap();
    on_own(|server| {
        for published in ["peerjs.js", "peerjs.min.js"] {
            let name = published.replacen("peerjs", &format!("peerjs-{version}"), 1);
            let response = server.get(&format!("/{name}"));
            let file = fs::read(format!("{}/npm/vendor/dist/{published}", env!("CARGO_MANIFEST_DIR")));
            assert!(response.status == 200 && response.body == file.unwrap(), "{name}");
            // The name that the library gives itself.
            assert!(response.text().contains(&format!("\"{version}\"")), "{name}");
            assert!(response.header("cache-control").unwrap().contains("immutable"));
        }
        assert_eq!(server.get("/peerjs-1.5.4.js").status, 404);
    });
}

#[test]
fn the_client_for_rooms_has_the_limit_of_a_message() {
    on_own_with(
        |config| config.max_message_bytes = 2000,
        |server| {
            for name in ["rooms.js", "rooms.mjs"] {
                let response = server.get(&format!("/{name}"));
                assert!(response.text().contains("\nconst maxMessageBytes = 2000;\n"), "{name}");
            }
        },
    );
}

#[test]
fn the_client_for_rooms_is_a_script_a_module_and_types() {
    on_own(|server| {
        for (name, kind, exports) in [
            ("rooms.js", JAVASCRIPT, "Object.assign(window, rooms)"),
            ("rooms.mjs", JAVASCRIPT, " as joinRoom};"),
            ("peerjs.d.ts", Some("text/plain; charset=utf-8"), "autoReconnect?: boolean"),
            ("share.js", JAVASCRIPT, "\nconst lanHost = null;\n"),
            ("rooms.d.ts", Some("text/plain; charset=utf-8"), "export declare function joinRoom<"),
        ] {
            let response = server.request("GET", &format!("/{name}"), "Origin: http://page.test\r\n");
            let header = |name| response.header(name);
            assert_eq!((response.status, header("content-type").as_deref()), (200, kind), "{name}");
            assert_eq!(header("access-control-allow-origin").as_deref(), Some("http://page.test"));
            assert_eq!(header("cross-origin-resource-policy").as_deref(), Some("cross-origin"));
            assert!(response.text().contains(exports), "{name}");
            let cached = format!("If-None-Match: {}\r\n", header("etag").unwrap());
            assert_eq!(server.request("GET", &format!("/{name}"), &cached).status, 304);
        }
        for script in ["/rooms.js", "/share.js"] {
            assert!(!server.get(script).text().contains("\nexport "), "a script has no exports");
        }
    });
}

#[test]
fn data_channels_over_the_broker_have_a_script_that_pages_can_pin_and_a_module() {
    on_own_with(
        |config| config.path = MountPath::parse("/app").unwrap(),
        |server| {
            for name in ["webrtc.js", "webrtc.mjs"] {
                let response =
                    server.request("GET", &format!("/app/{name}?key=other"), "Origin: http://page.test\r\n");
                let header = |name| response.header(name);
                assert_eq!((response.status, header("content-type").as_deref()), (200, JAVASCRIPT), "{name}");
                assert_eq!(header("access-control-allow-origin").as_deref(), Some("http://page.test"));
                assert_eq!(header("cross-origin-resource-policy").as_deref(), Some("cross-origin"));
                assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
                let published = fs::read(format!("{}/client/dist/{name}", env!("CARGO_MANIFEST_DIR")));
                assert!(response.body == published.unwrap(), "{name} is not the published file");
                let cached = format!("If-None-Match: {}\r\n", header("etag").unwrap());
                assert_eq!(server.request("GET", &format!("/app/{name}"), &cached).status, 304);
                assert_eq!(server.get(&format!("/{name}")).status, 404, "outside the path");
            }
        },
    );
}

#[test]
fn a_script_knows_the_built_in_key_and_a_module_its_address() {
    on_own_with(
        |config| config.key = ApiKey::parse("my \"key\"").unwrap(),
        |server| {
            let of_script = r#"{src:document.currentScript?.src,dataset:{key:"my \"key\"",...document.currentScript?.dataset}}??{}"#;
            let of_start = r#"usePipes(document.currentScript, "my \"key\"");"#;
            let of_module = r#"usePipes({ src: import.meta.url }, "my \"key\"");"#;
            for (name, expected) in [
                ("webrtc.js", of_script),
                ("peerjs.all.js", of_script),
                ("peerjs.js", of_start),
                ("peerjs.min.js", of_start),
                ("rooms.js", of_start),
                ("peerjs.mjs", of_module),
                ("rooms.mjs", of_module),
            ] {
                assert_eq!(server.get(&format!("/{name}")).text().matches(expected).count(), 1, "{name}");
            }
            // The library looks for WebRTC when it is loaded.
            let response = server.get("/peerjs.js");
            let text = response.text();
            assert!(text.find(of_start) < text.find("presetPeer"), "pipes are in front");
        },
    );
}

#[test]
fn a_server_without_pipes_has_none_in_its_scripts() {
    on_own(|server| {
        for is_on in [true, false, true] {
            server.reconfigure(|config| config.pipes.total = usize::from(is_on));
            for name in SCRIPTS.into_iter().chain(["rooms.js", "rooms.mjs"]) {
                let response = server.get(&format!("/{name}"));
                // Only their script knows its own name.
                assert_eq!((response.status, response.text().contains("webrtc.js")), (200, is_on), "{name}");
            }
            for name in ["webrtc.js", "webrtc.mjs"] {
                let response = server.get(&format!("/{name}"));
                assert_eq!(response.status, if is_on { 200 } else { 404 }, "{name}");
                assert_eq!(response.text().contains("--pipes on"), !is_on, "{name}");
            }
        }
    });
}

#[test]
fn without_the_dialect_of_peerjs_there_is_no_client_but_that_of_data_channels() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]),
        |server| {
            for script in
                SCRIPTS.into_iter().chain(["peerjs.d.ts", "rooms.js", "rooms.mjs", "rooms.d.ts", "share.js"])
            {
                assert_eq!(server.get(&format!("/{script}")).status, 404, "{script}");
            }
            for script in ["webrtc.js", "webrtc.mjs"] {
                assert_eq!(server.get(&format!("/{script}")).status, 200, "{script}");
                let wrong = server.get(&format!("/wrong/{script}"));
                assert!(!wrong.text().contains("dialects"), "{}", wrong.text());
            }
        },
    );
}
