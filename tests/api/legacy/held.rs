//! POSTs that come before their client is registered.
//!
//! Some run on both transports: a stream that ends is seen below HTTP.

use crate::harness::legacy::{CLIENT_TIMEOUT, HEAD_START, MAX_WAITING, MS};
use crate::harness::messages::{ID_TAKEN, forwarded_offer, offer};
use crate::harness::{TestServer, on_both, on_own, token_of};

#[test]
fn a_post_before_the_websocket_waits_for_it_and_is_relayed() {
    on_both(|server| {
        let mut b = server.client("b");
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        b.expect_nothing("b");
        server.advance(CLIENT_TIMEOUT - MS);
        server.settle();
        let mut a = server.client("a");
        assert_eq!(held.response(false).text(), "OK");
        b.expect(forwarded_offer("a", "b", "1"));
        a.expect_nothing("a");
    });
}

#[test]
fn a_post_whose_client_does_not_come_is_refused_and_never_relayed() {
    on_own(|server| {
        let mut b = server.client("b");
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        server.advance(CLIENT_TIMEOUT - MS);
        server.settle();
        server.advance(MS);
        let refused = held.response(false);
        assert_eq!((refused.status, refused.text()), (401, "Unauthorized"));
        let mut a = server.client("a");
        a.expect_nothing("a");
        b.expect_nothing("b");
    });
}

#[test]
fn a_post_with_another_token_than_the_holders_is_never_relayed() {
    on_own(|server| {
        let mut stream = server.stream("s");
        let mut a = server.client("a");
        let mut b = server.client("b");
        for id in ["a", "s"] {
            let target = server.post_target_with(id, "another token", "offer");
            let mut forged = server.begin_post_at(&target, &offer("b", r#""forged""#));
            server.advance(CLIENT_TIMEOUT);
            assert_eq!(forged.response(false).status, 401);
        }
        b.expect_nothing("b");
        a.expect_nothing("a");
        stream.expect_nothing(server, "s");
    });
}

#[test]
fn a_post_is_refused_as_soon_as_its_client_is() {
    on_own(|server| {
        let mut holder = server.client_with_token("a", "another token");
        let mut b = server.client("b");
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        let mut client = server.begin("a", &token_of("a"));
        holder.expect_ping();
        holder.pong(b"");
        client.expect_accepted();
        client.expect(ID_TAKEN);
        assert_eq!(held.response(false).status, 401);
        b.expect_nothing("b");
    });
}

#[test]
fn waiting_posts_are_relayed_after_the_open_of_their_client() {
    on_own(|server| {
        let mut held = server.begin_post("a", "offer", &offer("a", r#""to myself""#));
        let mut a = server.client("a");
        a.expect(forwarded_offer("a", "a", r#""to myself""#));
        assert_eq!(held.response(false).status, 200);
    });
}

#[test]
fn sixty_four_wait_for_one_id_with_one_token_and_one_more_is_refused_at_once() {
    on_both(|server| {
        let mut held: Vec<_> = (0..MAX_WAITING - 1).map(|_| begin_post_unsettled(server, "a")).collect();
        let mut stream = server.begin_stream("a", 0);
        server.settle();
        assert_eq!(server.post("a", "offer", &offer("b", "1")).status, 429);
        server.begin_stream("a", 0).expect_end();
        // Other ids are not affected.
        let mut other = server.begin_post("c", "offer", &offer("b", "1"));
        let _c = server.client("c");
        assert_eq!(other.response(false).status, 200);
        server.advance(HEAD_START);
        stream.expect_open();
        for http in &mut held {
            assert_eq!(http.response(false).status, 200);
        }
    });
}

fn begin_post_unsettled(server: &TestServer, id: &str) -> crate::harness::http_client::HttpConnection {
    let mut http = server.http();
    let body = offer("b", "1");
    http.send(crate::harness::legacy::post(&server.post_target(id, "offer"), "", body.as_bytes()));
    http
}

#[test]
fn a_post_is_refused_while_the_server_stops() {
    on_both(|server| {
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        server.node().close();
        let mut late = server.begin("a", &token_of("a"));
        late.expect_accepted();
        late.expect(crate::harness::messages::error("Server is stopping"));
        assert_eq!(held.response(false).status, 401);
    });
}
