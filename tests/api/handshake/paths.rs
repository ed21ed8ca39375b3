//! The path of a handshake: the right one, and what clients hear at another.

use peerbroker_config::{Dialect, Dialects, MountPath};

use crate::harness::messages::error;
use crate::harness::{Transport, on_both_with, on_own, on_own_with};

#[test]
fn a_handshake_elsewhere_is_refused() {
    on_own_with(
        |config| config.path = MountPath::parse("/x").unwrap(),
        |server| {
            for path in ["/", "/x/other", "/x/PEERJS", "/x/peerjsx", "/x/peerjs/more", "/PEERJS"] {
                let target = format!("{path}?key=peerjs&id=a&token=t");
                let response = server.begin_at(&target).expect_response();
                assert_eq!(response.status, 404, "{path}");
                // Outside the path of an embedded broker, the app answers.
                if server.transport == Transport::Own || path.starts_with("/x/") {
                    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{path}");
                }
            }
            assert!(server.realm().is_empty());
        },
    );
}

#[test]
fn a_peerjs_client_at_a_wrong_path_is_told_the_right_one() {
    for (mount, shown) in [("/x/y", "/x/y"), ("/", "/"), ("/peerjs", "/peerjs")] {
        on_own_with(
            |config| config.path = MountPath::parse(mount).unwrap(),
            |server| {
                let below = mount.trim_end_matches('/');
                let outside = if mount == "/" { "/other/peerjs" } else { "/peerjs" };
                let mut paths = vec![format!("{below}/other/peerjs"), format!("{below}/a/b/peerjs/")];
                // Outside the path of an embedded broker, the app answers.
                if server.transport == Transport::Own || mount == "/peerjs" {
                    paths.push(outside.to_owned());
                }
                for path in paths {
                    let mut client = server.begin_at(&format!("{path}?key=none&id=a&token=t&version=1.5.5"));
                    client.expect_accepted();
                    client.expect(format!(
                        r#"{{"type":"ERROR","payload":{{"msg":"Wrong path: this broker is at {shown}"}}}}"#
                    ));
                    client.expect_closed_with(None);
                }
                assert!(server.realm().is_empty());
            },
        );
    }
}

/// Apache with `ProxyPass /peerjs ws://127.0.0.1:9000/`, or nginx with
/// `location /peerjs { proxy_pass http://127.0.0.1:9000/; }`.
#[test]
fn a_peerjs_client_whose_proxy_cuts_the_path_is_served() {
    for (mount, targets) in [("/", &["/"][..]), ("/myapp", &["/myapp", "/myapp/"])] {
        on_both_with(
            |config| config.path = MountPath::parse(mount).unwrap(),
            |server| {
                let mut bob = server.client("bob");
                for path in targets {
                    let query = "key=peerjs&id=alice&token=t&version=1.5.5";
                    let mut alice = server.begin_at(&format!("{path}?{query}"));
                    alice.expect_accepted();
                    alice.expect_open();
                    alice.send(r#"{"type":"OFFER","dst":"bob","payload":{}}"#);
                    bob.expect(r#"{"type":"OFFER","src":"alice","dst":"bob","payload":{}}"#);
                    drop(alice);
                    server.wait_until_gone("alice");
                    // A refusal is one of PeerJS, too.
                    let mut stranger =
                        server.begin_at(&format!("{path}?{}", query.replace("peerjs", "none")));
                    stranger.expect_accepted();
                    stranger.expect_refused(error("Invalid key provided"));
                    let mut incomplete = server.begin_at(&format!("{path}?id=alice&token=t"));
                    incomplete.expect_accepted();
                    incomplete.expect_refused(error("No id, token, or key supplied to websocket server"));
                }
            },
        );
    }
}

#[test]
fn a_client_at_the_root_that_lacks_an_id_or_a_token_is_a_guest() {
    on_own(|server| {
        for query in
            ["", "?key=peerjs", "?id=alice", "?token=t", "?key=peerjs&id=alice&token=", "?id=&token=t"]
        {
            server.guest_at("guest", &format!("/{query}")).create_room();
        }
        assert!(server.realm().is_empty());
    });
}

#[test]
fn at_the_root_of_a_server_without_peerjs_a_peerjs_client_is_refused() {
    on_both_with(
        |config| config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]),
        |server| {
            let mut client = server.begin_at("/?key=peerjs&id=alice&token=t&version=1.5.5");
            client.expect_accepted();
            client.expect_refused(error("This server does not speak PeerJS"));
            server.host();
        },
    );
}

#[test]
fn only_a_complete_handshake_of_peerjs_at_a_wrong_path_is_accepted() {
    on_own(|server| {
        for query in ["", "?key=peerjs&id=a", "?key=peerjs&id=&token=t", "?id=a&token=t"] {
            assert_eq!(
                server.begin_at(&format!("/x/peerjs{query}")).expect_response().status,
                404,
                "{query}"
            );
        }
    });
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]),
        |server| {
            let target = "/x/peerjs?key=peerjs&id=a&token=t";
            assert_eq!(server.begin_at(target).expect_response().status, 404);
        },
    );
}

#[test]
fn a_stray_final_slash_on_the_websocket_path_is_accepted() {
    on_own(|server| {
        for path in ["/peerjs/?", "/peerjs/peerjs?", "/peerjs/peerjs/?"] {
            let mut client = server.begin_at(&server.target("a", "t").replace("/peerjs?", path));
            client.expect_accepted();
            client.expect_open();
            drop(client);
            server.wait_until_gone("a");
        }
    });
}

#[test]
fn the_websocket_path_does_not_depend_on_the_key() {
    on_own_with(
        |config| config.key = peerbroker_core::vocabulary::ApiKey::parse("mykey").unwrap(),
        |server| {
            server.client("a").expect_nothing("a");
            assert_eq!(server.begin_at("/mykey?key=mykey&id=b&token=t").expect_response().status, 404);
        },
    );
}

#[test]
fn a_plain_get_of_the_websocket_path_is_a_404() {
    on_own(|server| {
        let response = server.get("/peerjs?key=peerjs&id=a&token=t");
        assert_eq!(response.status, 404);
        assert!(response.text().contains("WebSocket"));
    });
}
