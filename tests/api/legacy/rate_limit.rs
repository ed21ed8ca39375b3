//! Posts count towards the rate limit of their client, like messages of its socket.

use std::time::Duration;

use peerbroker::Config;

use crate::harness::http_client::HttpConnection;
use crate::harness::legacy::MS;
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::{RawClient, TestServer, on_own_with, wire};

fn rate(per_second: u32) -> impl Fn(&mut Config) {
    move |config| config.key_settings.messages_per_second = per_second
}

/// Posts messages to `b` one by one, each after the previous one has arrived.
fn post_and_hear(server: &TestServer, a: &str, b: &mut RawClient, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        assert_eq!(server.post(a, "offer", &offer("b", &n.to_string())).status, 200, "{n}");
        b.expect(forwarded_offer(a, "b", &n.to_string()));
    }
}

/// Sends messages from `a` to `b` in one write, and waits until they have arrived.
fn send_at_once(server: &TestServer, a: &mut RawClient, b: &mut RawClient, count: usize) {
    let burst: Vec<u8> = (0..count).flat_map(|n| wire::text(&offer("b", &n.to_string()))).collect();
    a.send_raw(burst);
    (0..count).for_each(|n| b.expect(forwarded_offer("a", "b", &n.to_string())));
    // The server charges the messages after it has delivered them.
    server.settle();
}

/// Half a second later the held post of `a` is forwarded.
fn expect_turn(server: &TestServer, mut held: HttpConnection, b: &mut RawClient, payload: &str) {
    server.advance(500 * MS);
    assert_eq!(held.response(false).status, 200);
    b.expect(forwarded_offer("a", "b", payload));
}

#[test]
fn a_post_above_the_rate_limit_of_its_client_waits_and_posts_of_others_do_not() {
    on_own_with(rate(2), |server| {
        let _a = server.client("a");
        let mut b = server.client("b");
        let _c = server.client("c");
        // The burst, and one on credit: half a second to wait.
        post_and_hear(server, "a", &mut b, 0..21);
        let mut held = server.begin_post("a", "offer", &offer("b", "21"));
        post_and_hear(server, "c", &mut b, 0..5);
        server.advance(499 * MS);
        server.settle();
        b.expect_nothing("b");
        server.advance(MS);
        assert_eq!(held.response(false).status, 200);
        b.expect(forwarded_offer("a", "b", "21"));
        // The held post was on credit as well.
        let held = server.begin_post("a", "offer", &offer("b", "22"));
        b.expect_nothing("b");
        expect_turn(server, held, &mut b, "22");
    });
}

#[test]
fn a_post_that_would_wait_for_more_than_five_seconds_is_429() {
    on_own_with(rate(1), |server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        // Seven seconds on credit.
        send_at_once(server, &mut a, &mut b, 17);
        for _ in 0..3 {
            let refused = server.post("a", "offer", &offer("b", "\"refused\""));
            assert_eq!((refused.status, refused.text()), (429, "Too Many Requests"));
        }
        b.expect_nothing("b");
        server.advance(Duration::from_millis(1999));
        assert_eq!(server.post("a", "offer", &offer("b", "\"refused\"")).status, 429);
        server.advance(MS);
        let mut held = server.begin_post("a", "offer", &offer("b", "17"));
        server.advance(Duration::from_millis(4999));
        server.settle();
        b.expect_nothing("b");
        server.advance(MS);
        assert_eq!(held.response(false).status, 200);
        b.expect(forwarded_offer("a", "b", "17"));
    });
}

#[test]
fn a_socket_and_its_posts_share_one_rate_limit() {
    on_own_with(rate(2), |server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        send_at_once(server, &mut a, &mut b, 21);
        let held = server.begin_post("a", "offer", &offer("b", "21"));
        server.settle();
        b.expect_nothing("b");
        expect_turn(server, held, &mut b, "21");

        // The other way round: the first read is on credit, and then the server pauses.
        let mut d = server.client("d");
        post_and_hear(server, "d", &mut b, 0..20);
        d.send(offer("b", "20"));
        b.expect(forwarded_offer("d", "b", "20"));
        server.settle();
        d.send(offer("b", "21"));
        server.settle();
        b.expect_nothing("b");
        server.advance(500 * MS);
        b.expect(forwarded_offer("d", "b", "21"));
    });
}
