//! Limits of connections per address, which the crate `limits` counts.

use peerbroker::Config;

use crate::harness::http_client::Response;
use crate::harness::legacy::{GRACE, HEAD_START, post};
use crate::harness::messages::{LEAVE, error, forwarded_offer, offer};
use crate::harness::{RawClient, TestServer, Transport, on_own_with, token_of, wait_until};

const HERE: &str = "X-Forwarded-For: 192.0.2.1\r\n";
const THERE: &str = "X-Forwarded-For: 192.0.2.2\r\n";

/// Behind a proxy, with a limit of open connections and no rate limit.
fn connections(connections: u32) -> impl Fn(&mut Config) {
    move |config| {
        config.proxied = true;
        config.address_limits.connections = connections;
        config.address_limits.opens_per_second = 0;
    }
}

/// An admitted client from an address.
fn client_from(server: &TestServer, headers: &str, id: &str) -> RawClient {
    let mut client = server.begin_with(&server.target(id, &token_of(id)), headers);
    client.expect_accepted();
    client.expect_open();
    client
}

fn answer_to(server: &TestServer, headers: &str) -> Response {
    let mut client = server.begin_with(&server.target("another", "t"), headers);
    client.expect_response()
}

fn expect_too_many(response: &Response, seconds: &str) {
    assert_eq!(response.status, 429, "{response:?}");
    assert_eq!(response.header("retry-after").as_deref(), Some(seconds));
    assert_eq!(response.text(), "Too many connections from this address\n");
}

fn expect_refused(server: &TestServer, headers: &str) {
    expect_too_many(&answer_to(server, headers), "10");
}

fn stream_from(server: &TestServer, headers: &str, id: &str) -> Response {
    let mut http = server.http();
    http.send(post(&server.post_target(id, "id?i=0"), headers, b""));
    http.head()
}

/// A client that is admitted as soon as its address is below the limit.
fn next_client_from(server: &TestServer, headers: &str, id: &str) -> RawClient {
    let mut admitted = None;
    wait_until("a place", || {
        let mut client = server.begin_with(&server.target(id, &token_of(id)), headers);
        let is_admitted = client.expect_response().status == 101;
        admitted = is_admitted.then_some(client);
        is_admitted
    });
    admitted.unwrap()
}

#[test]
fn connections_of_every_kind_count_towards_the_limit_of_an_address() {
    on_own_with(connections(3), |server| {
        let mut a = client_from(server, HERE, "a");
        let mut b = client_from(server, HERE, "b");
        let mut guest = server.begin_with(&server.root(), HERE);
        guest.expect_accepted();
        guest.expect_quiet();
        expect_refused(server, HERE);
        let mut root = server.begin_with(&server.root(), HERE);
        expect_too_many(&root.expect_response(), "10");
        let mut http = server.http();
        http.send(post(&server.post_target("s", "id?i=0"), HERE, b""));
        expect_too_many(&http.response(false), "10");
        // Other addresses and connected clients are still served.
        let mut other = client_from(server, THERE, "other");
        a.send(offer("other", "1"));
        other.expect(forwarded_offer("a", "other", "1"));
        b.expect_nothing("b");
        assert_eq!(server.realm().len(), 3);
    });
}

#[test]
fn plain_requests_are_not_counted() {
    on_own_with(connections(1), |server| {
        let _a = client_from(server, HERE, "a");
        for target in ["/peerjs/id", "/healthz", "/"] {
            assert_eq!(server.request("GET", target, HERE).status, 200);
        }
    });
}

#[test]
fn a_connection_frees_its_place_however_it_ends() {
    on_own_with(connections(1), |server| {
        let end: [fn(RawClient); 3] =
            [|mut client| client.expect_closed_by_us(Some(1000)), |client| client.reset(), drop];
        for (end, id) in end.into_iter().zip(["a", "b", "c"]) {
            let mut client = next_client_from(server, HERE, id);
            client.expect_open();
            expect_refused(server, HERE);
            end(client);
        }
        next_client_from(server, HERE, "d").expect_open();
    });
}

#[test]
fn a_place_comes_back_when_a_client_is_refused() {
    on_own_with(
        |config| {
            connections(1)(config);
            config.key_settings.concurrent_limit = 0;
        },
        |server| {
            for _ in 0..3 {
                let mut client = next_client_from(server, HERE, "a");
                client.expect_refused(error("Server has reached its concurrent user limit"));
            }
        },
    );
}

#[test]
fn a_place_comes_back_when_a_stream_ends() {
    on_own_with(connections(1), |server| {
        let mut http = server.http();
        http.send(post(&server.post_target("s", "id?i=0"), HERE, b""));
        assert_eq!(http.head().status, 200);
        server.settle();
        server.advance(HEAD_START);
        expect_refused(server, HERE);
        assert_eq!(stream_from(server, HERE, "t").status, 429);
        assert_eq!(stream_from(server, THERE, "t").status, 200);
        assert_eq!(server.post("s", "leave", LEAVE).status, 200);
        next_client_from(server, HERE, "a").expect_open();
    });
}

#[test]
fn a_place_comes_back_a_grace_after_the_client_of_a_stream_has_gone_on_the_own_form() {
    let server = TestServer::start(Transport::Own, connections(1));
    let mut http = server.http();
    http.send(post(&server.post_target("s", "id?i=0"), HERE, b""));
    assert_eq!(http.head().status, 200);
    server.settle();
    server.advance(HEAD_START);
    server.wait_for_peers(1);
    drop(http);
    server.settle();
    expect_refused(&server, HERE);
    server.advance(GRACE);
    next_client_from(&server, HERE, "a").expect_open();
}

#[test]
fn a_stream_that_is_not_let_in_holds_no_place() {
    on_own_with(connections(1), |server| {
        for _ in 0..3 {
            let mut http = server.http();
            http.send(post("/unknown/s/t/id?i=0", HERE, b""));
            assert_eq!(http.response(false).status, 401);
        }
        client_from(server, HERE, "a").expect_nothing("a");
    });
}

#[test]
fn without_a_proxy_the_header_means_nothing_and_loopback_is_not_counted() {
    on_own_with(
        |config| {
            connections(1)(config);
            config.address_limits.opens_per_second = 1;
            config.proxied = false;
        },
        |server| {
            let mut clients: Vec<_> =
                (0..20).map(|n| (client_from(server, HERE, &n.to_string()), n.to_string())).collect();
            clients.iter_mut().for_each(|(client, id)| client.expect_nothing(id));
        },
    );
}

#[test]
fn behind_a_proxy_that_names_nobody_nobody_is_counted() {
    on_own_with(connections(1), |server| {
        let _clients: Vec<_> = (0..5).map(|n| client_from(server, "", &n.to_string())).collect();
        assert_eq!(server.realm().len(), 5);
    });
}
