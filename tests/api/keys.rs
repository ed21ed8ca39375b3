//! Keys as realms: clients of different keys never meet, and each key has its own limits.

mod load;
mod origins;
mod revoked;
mod unread;

use peerbroker_keys::Change;

use crate::harness::guests::problem;
use crate::harness::keys::{
    FULL, INVALID_KEY, key, on_both_with_keys, on_own_with_keys, on_own_with_keys_and, plain_key,
};
use crate::harness::legacy::{HEAD_START, post};
use crate::harness::messages::{LEAVE, error, expired, forwarded, forwarded_offer, message, offer};

fn limit(limit: usize) -> Change {
    Change { concurrent_limit: Some(limit), ..Change::default() }
}

fn discovery(allowed: bool) -> Change {
    Change { allow_discovery: Some(allowed.into()), ..Change::default() }
}

#[test]
fn the_same_ids_under_two_keys_are_different_peers() {
    on_both_with_keys(&[plain_key("one"), plain_key("two")], |server, _| {
        let mut a1 = server.client_of("one", "a");
        let mut b1 = server.client_of("one", "b");
        // The same token: a takeover within a key.
        let mut a2 = server.client_of("two", "a");
        let mut b2 = server.client_of("two", "b");
        let mut a = server.client("a");
        let mut b = server.client("b");
        a1.send(offer("b", "1"));
        a2.send(offer("b", "2"));
        a.send(offer("b", "3"));
        b1.expect(forwarded_offer("a", "b", "1"));
        b2.expect(forwarded_offer("a", "b", "2"));
        b.expect(forwarded_offer("a", "b", "3"));
        for (client, id) in
            [(&mut a1, "a"), (&mut b1, "b"), (&mut a2, "a"), (&mut b2, "b"), (&mut a, "a"), (&mut b, "b")]
        {
            client.expect_nothing(id);
        }
        let mut again = server.client_of("two", "a");
        assert_eq!(a2.expect_close(), Some(4001));
        again.send(offer("b", "4"));
        b2.expect(forwarded_offer("a", "b", "4"));
        a1.expect_nothing("a");
        a.expect_nothing("a");
    });
}

#[test]
fn queued_messages_wait_only_under_their_own_key() {
    on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, _| {
        let mut a1 = server.client_of("one", "a");
        let mut a2 = server.client_of("two", "a");
        a1.send(offer("b", "1"));
        a1.expect_nothing("a");
        server.client_of("two", "b").expect_nothing("b");
        server.client("b").expect_nothing("b");
        server.client_of("one", "b").expect(forwarded_offer("a", "b", "1"));
        a1.send(offer("c", "1"));
        a1.expect_nothing("a");
        server.advance(server.node().config().load().limits.expire_timeout);
        a1.expect(expired("c", "a"));
        a2.expect_nothing("a");
    });
}

#[test]
fn streams_and_posts_stay_within_their_key() {
    on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, _| {
        let [mut one, mut two] = ["one", "two"].map(|key| {
            let mut stream = server.begin_stream_at(key, &server.post_target_of(key, "a", "id?i=0"));
            server.settle();
            server.advance(HEAD_START);
            stream.expect_open();
            stream
        });
        let mut b2 = server.client_of("two", "b");
        for key in ["one", "two"] {
            let body = message("OFFER", "b", &format!("{key:?}"));
            let target = server.post_target_of(key, "a", "offer");
            assert_eq!(server.begin_post_at(&target, &body).response(false).status, 200);
        }
        b2.expect(forwarded_offer("a", "b", r#""two""#));
        b2.expect_nothing("b");
        for (key, stream) in [("one", &mut one), ("two", &mut two)] {
            let target = server.post_target_of(key, "a", "candidate");
            let body = message("CANDIDATE", "a", &format!("{key:?}"));
            assert_eq!(server.begin_post_at(&target, &body).response(false).status, 200);
            stream.expect(forwarded("CANDIDATE", "a", "a", &format!("{key:?}")));
        }
    });
}

#[test]
fn the_limit_of_a_key_is_its_own_and_its_peers_and_guests_share_it() {
    on_own_with_keys(&[key("one", limit(2)), key("two", limit(2))], |server, _| {
        let mut a = server.client_of("one", "a");
        let mut guest = server.guest_of("one", "guest");
        server.newcomer_of("one", "b").expect_refused(error(FULL));
        server.begin_guest("another", &server.root_of("one")).expect_guest_refused(problem(FULL), 1013);
        let _b = server.client_of("two", "b");
        let _c = server.client_of("two", "c");
        server.begin_guest("third", &server.root_of("two")).expect_guest_refused(problem(FULL), 1013);
        server.client("d").expect_nothing("d");
        // Within the limit a takeover changes nothing.
        let _again = server.client_of("one", "a");
        assert_eq!(a.expect_close(), Some(4001));
        guest.expect_quiet();
        assert_eq!([server.tenant("one").len(), server.tenant("two").len()], [2, 2]);
    });
}

#[test]
fn the_limit_of_a_key_can_be_changed_while_its_clients_are_here() {
    on_own_with_keys(&[key("one", limit(1))], |server, keys| {
        let mut a = server.client_of("one", "a");
        server.newcomer_of("one", "b").expect_refused(error(FULL));
        keys.change("one", limit(2));
        let mut b = server.client_of("one", "b");
        server.newcomer_of("one", "c").expect_refused(error(FULL));
        keys.change("one", limit(1));
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
        server.newcomer_of("one", "c").expect_refused(error(FULL));
        b.send(LEAVE);
        b.expect_closed_with(Some(1000));
        server.newcomer_of("one", "c").expect_refused(error(FULL));
        a.expect_nothing("a");
        keys.change("one", limit(0));
        a.expect_nothing("a");
    });
}

#[test]
fn discovery_is_a_matter_of_each_key() {
    on_own_with_keys(&[key("one", discovery(true)), plain_key("two")], |server, keys| {
        let _a = server.client_of("one", "a");
        let _b = server.client_of("one", "b");
        let _c = server.client_of("two", "c");
        let _guest = server.guest_of("one", "guest");
        assert_eq!(server.get("/one/peers").text(), r#"["a","b"]"#);
        assert_eq!(server.get("/two/peers").status, 401);
        assert_eq!(server.get("/peerjs/peers").status, 401);
        keys.change("one", discovery(false));
        keys.change("two", discovery(true));
        assert_eq!(server.get("/one/peers").status, 401);
        assert_eq!(server.get("/two/peers").text(), r#"["c"]"#);
    });
}

#[test]
fn a_key_that_is_added_is_in_force_once_the_keys_are_read() {
    on_own_with_keys(&[], |server, keys| {
        server.newcomer_of("one", "a").expect_refused(error(INVALID_KEY));
        assert_eq!(server.get("/one/peers").status, 401);
        keys.add(key("one", discovery(true)));
        let _a = server.client_of("one", "a");
        assert_eq!(server.get("/one/peers").text(), r#"["a"]"#);
    });
}

#[test]
fn a_stored_key_with_the_text_of_the_built_in_one_says_what_that_may_do() {
    on_own_with_keys_and(
        |config| config.key_settings.allow_discovery = true.into(),
        &[key("peerjs", limit(1))],
        |server, keys| {
            let mut a = server.client("a");
            server.newcomer_of("peerjs", "b").expect_refused(error(FULL));
            assert_eq!(server.get("/peerjs/peers").status, 401);
            // Without it the flags apply again, and everybody stays.
            keys.remove("peerjs");
            let mut b = server.client("b");
            a.send(offer("b", "1"));
            b.expect(forwarded_offer("a", "b", "1"));
            assert_eq!(server.get("/peerjs/peers").text(), r#"["a","b"]"#);
        },
    );
}

#[test]
fn a_stored_key_that_is_disabled_closes_the_built_in_one() {
    on_own_with_keys(&[plain_key("peerjs")], |server, keys| {
        let mut a = server.client("a");
        keys.change("peerjs", crate::harness::keys::enabled(false));
        a.expect_closed_with(Some(4004));
        server.newcomer_of("peerjs", "a").expect_refused(error(INVALID_KEY));
        keys.remove("peerjs");
        server.client("a").expect_nothing("a");
    });
}

#[test]
fn without_the_default_key_only_stored_ones_are_there() {
    on_own_with_keys_and(
        |config| config.default_key = false,
        &[plain_key("one")],
        |server, _| {
            server.newcomer_of("peerjs", "a").expect_refused(error(INVALID_KEY));
            server.begin_guest("guest", &server.root()).expect_guest_refused(problem(INVALID_KEY), 4014);
            assert_eq!(server.get("/peerjs/peers").status, 401);
            let stream = post(&server.post_target_of("peerjs", "a", "id?i=0"), "", b"");
            let mut http = server.http();
            http.send(stream);
            assert_eq!(http.response(false).status, 401);
            server.client_of("one", "a").expect_nothing("a");
            server.guest_of("one", "guest").expect_quiet();
        },
    );
}
