//! POSTs that come before their client is registered.
//!
//! Some run on both transports: a stream that ends is seen below HTTP.

use peerbroker_core::vocabulary::{PeerId, Token};
use peerbroker_router::PendingRegistration;

use crate::harness::legacy::{CLIENT_TIMEOUT, HEAD_START, MAX_WAITING, MS};
use crate::harness::messages::{ID_TAKEN, forwarded_offer, offer};
use crate::harness::{TestServer, on_both, on_own, token_of};

#[test]
fn a_post_before_the_websocket_waits_for_it_and_is_relayed() {
    on_both(|server| {
        let mut b = server.client("b");
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        b.expect_nothing("b");
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
fn a_post_waits_until_its_timeout() {
    on_own(|server| {
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        server.advance(CLIENT_TIMEOUT - MS);
        server.settle();
        let _a = server.client("a");
        assert_eq!(held.response(false).status, 200);
        server.client("b").expect(forwarded_offer("a", "b", "1"));
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

#[test]
fn posts_with_wrong_tokens_take_no_place_of_the_owner() {
    on_own(|server| {
        let guess = |n: usize| server.post_target_with("a", &format!("guessed {}", n % 3), "offer");
        let held: Vec<_> = (0..2 * MAX_WAITING).map(|n| server.begin_post_at(&guess(n), "{}")).collect();
        server.settle();
        let mut post = server.begin_post("a", "offer", &offer("a", "1"));
        let mut stream = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START);
        stream.expect_open();
        assert_eq!(post.response(false).status, 200);
        stream.expect(forwarded_offer("a", "a", "1"));
        server.advance(CLIENT_TIMEOUT);
        for mut http in held {
            assert_eq!(http.response(false).status, 401);
        }
    });
}

#[test]
fn a_client_that_stops_waiting_makes_room() {
    on_both(|server| {
        let mut held: Vec<_> = (0..MAX_WAITING).map(|_| begin_post_unsettled(server, "a")).collect();
        server.settle();
        assert_eq!(server.post("a", "offer", &offer("b", "1")).status, 429);
        server.advance(CLIENT_TIMEOUT);
        for http in &mut held {
            assert_eq!(http.response(false).status, 401);
        }
        let mut again = server.begin_post("a", "offer", &offer("b", "1"));
        let _a = server.client("a");
        assert_eq!(again.response(false).status, 200);
    });
}

fn begin_post_unsettled(server: &TestServer, id: &str) -> crate::harness::http_client::HttpConnection {
    let mut http = server.http();
    let body = offer("b", "1");
    http.send(crate::harness::legacy::post(&server.post_target(id, "offer"), "", body.as_bytes()));
    http
}

#[test]
fn nobody_is_left_waiting_once_all_are_answered() {
    on_own(|server| {
        let mut held = server.begin_post("a", "offer", &offer("b", "1"));
        let gone = server.begin_post("a", "offer", &offer("b", "2"));
        drop(gone);
        server.advance(CLIENT_TIMEOUT);
        assert_eq!(held.response(false).status, 401);
        server.settle();
        let id = PeerId::parse("a").unwrap();
        let token = Token::parse("t").unwrap();
        let waiting: Vec<_> =
            std::iter::from_fn(|| PendingRegistration::wait(&server.realm(), &id, &token)).collect();
        assert_eq!(waiting.len(), MAX_WAITING);
    });
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
