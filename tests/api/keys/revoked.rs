//! Clients of a key that is disabled or removed.

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_keys::Change;

use crate::harness::guests::{OFFER, join, offered, problem};
use crate::harness::http_client::TIMEOUT;
use crate::harness::keys::{
    INVALID_KEY, Keys, enabled, on_both_with_keys, on_both_with_keys_and, on_own_with_keys, plain_key,
};
use crate::harness::legacy::{HEAD_START, post};
use crate::harness::messages::{error, forwarded_offer, message, offer};
use crate::harness::{TestServer, Told, wait_until};

/// The two ways in which a key ends, and how it comes back.
type Way = (fn(&Keys<'_>), fn(&Keys<'_>));
const WAYS: [Way; 2] = [
    (|keys| keys.change("one", enabled(false)), |keys| keys.change("one", enabled(true))),
    (|keys| keys.remove("one"), |keys| keys.add(plain_key("one"))),
];

fn status_of_post(server: &TestServer, word: &str, body: &str) -> (u16, String) {
    let mut http = server.http();
    http.send(post(&server.post_target_of("one", "a", word), "", body.as_bytes()));
    let response = http.response(false);
    (response.status, response.text().to_owned())
}

#[test]
fn its_clients_are_closed_with_4004_and_all_others_stay() {
    for (end, _) in WAYS {
        on_both_with_keys(&[plain_key("one"), plain_key("two")], |server, keys| {
            let mut a = server.client_of("one", "a");
            let mut b = server.client_of("one", "b");
            let mut guest = server.guest_of("one", "guest");
            let mut other = server.client_of("two", "other");
            let mut built_in = server.client("built-in");
            let mut other_guest = server.guest_of("two", "guest");
            end(keys);
            for client in [&mut a, &mut b, &mut guest] {
                client.expect_closed_with(Some(4004));
            }
            other.expect_nothing("other");
            built_in.expect_nothing("built-in");
            other_guest.expect_quiet();
            wait_until("the hook", || server.told_about("a").len() == 2);
            let gone = Told::Disconnected("a".into(), CloseReason::KeyRevoked);
            assert_eq!(server.told_about("a"), [Told::Connected("a".into()), gone]);
        });
    }
}

#[test]
fn its_streams_end() {
    for (end, _) in WAYS {
        on_both_with_keys(&[plain_key("one")], |server, keys| {
            let mut stream = server.begin_stream_at("a", &server.post_target_of("one", "a", "id?i=0"));
            server.settle();
            server.advance(HEAD_START);
            stream.expect_open();
            end(keys);
            stream.expect_end();
        });
    }
}

#[test]
fn newcomers_hear_that_the_key_is_invalid() {
    for (end, _) in WAYS {
        on_both_with_keys(&[plain_key("one")], |server, keys| {
            server.client_of("one", "a").expect_nothing("a");
            end(keys);
            server.newcomer_of("one", "a").expect_refused(error(INVALID_KEY));
            server
                .begin_guest("guest", &server.root_of("one"))
                .expect_guest_refused(problem(INVALID_KEY), 4014);
            assert_eq!(status_of_post(server, "id?i=0", ""), (401, INVALID_KEY.to_owned()));
            let offer = message("OFFER", "b", "1");
            assert_eq!(status_of_post(server, "offer", &offer), (401, "Unauthorized".to_owned()));
            assert_eq!(server.get("/one/peers").status, 401);
            // As for any unknown key.
            assert_eq!(server.get("/one/id").status, 200);
        });
    }
}

#[test]
fn a_newcomer_that_waits_for_a_holders_answer_hears_it_as_well() {
    for (end, _) in WAYS {
        on_own_with_keys(&[plain_key("one")], |server, keys| {
            let mut holder = server.client_of("one", "a");
            let target = server.target_of("one", "a").replace("token=", "token=another-");
            let mut newcomer = server.begin_at(&target);
            holder.expect_ping();
            end(keys);
            holder.expect_closed_with(Some(4004));
            newcomer.expect_accepted();
            newcomer.expect_refused(error(INVALID_KEY));
        });
    }
}

#[test]
fn a_revoked_key_comes_back_without_its_queue() {
    for (end, again) in WAYS {
        on_own_with_keys(&[plain_key("one")], |server, keys| {
            let mut a = server.client_of("one", "a");
            let mut host = server.guest_of("one", "host");
            let mut player = server.guest_of("one", "player");
            let room = host.create_room();
            player.send(join(&room, "anna", OFFER));
            host.expect(offered("anna"));
            a.send(offer("b", "1"));
            a.expect_nothing("a");
            end(keys);
            a.expect_closed_with(Some(4004));
            again(keys);
            assert!(server.tenant("one").is_empty());
            assert_eq!(server.tenant("one").guests().room_codes.len(), 0);
            // The id is free, and its queue is empty.
            let mut new = server.begin_at(&server.target_of("one", "a").replace("token=", "token=another-"));
            new.expect_accepted();
            new.expect_open();
            server.client_of("one", "b").expect_nothing("b");
            let mut late = server.guest_of("one", "late");
            late.expect_problem(join(&room, "bert", OFFER), "wrong room");
            new.expect_nothing("a");
        });
    }
}

#[test]
fn the_queue_of_a_revoked_key_is_dropped_and_its_bytes_are_refunded() {
    for (end, again) in WAYS {
        on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, keys| {
            let mut a = server.client_of("one", "a");
            let mut other = server.client_of("two", "a");
            other.send(offer("b", "2"));
            other.expect_nothing("a");
            let others = server.node().queued_bytes();
            a.send(offer("b", "1"));
            a.send(offer("c", r#""much more""#));
            a.expect_nothing("a");
            assert!(server.node().queued_bytes() > others);
            end(keys);
            assert_eq!(server.node().queued_bytes(), others);
            a.expect_closed_with(Some(4004));
            again(keys);
            server.client_of("one", "b").expect_nothing("b");
            let mut b = server.client_of("two", "b");
            b.expect(forwarded_offer("a", "b", "2"));
            b.expect_nothing("b");
            assert_eq!(server.node().queued_bytes(), 0);
        });
    }
}

#[test]
fn messages_that_a_slow_client_of_a_revoked_key_did_not_read_are_dropped() {
    for (end, again) in WAYS {
        on_both_with_keys_and(
            |config| {
                config.limits.outbox_bytes = 64 << 20;
                config.close_timeout = TIMEOUT;
            },
            &[plain_key("one")],
            |server, keys| {
                let slow = server.client_of("one", "slow");
                let mut a = server.client_of("one", "a");
                // More than the system's buffers hold for a client that does not read.
                let payload = format!("\"{}\"", "x".repeat(512 << 10));
                for _ in 0..40 {
                    a.send(offer("slow", &payload));
                }
                a.expect_nothing("a");
                end(keys);
                a.expect_closed_with(Some(4004));
                wait_until("the goodbye", || server.told_about("slow").len() == 2);
                // It ends in the middle of a message.
                slow.reset();
                server.settle();
                assert_eq!(server.node().queued_bytes(), 0);
                again(keys);
                server.client_of("one", "slow").expect_nothing("slow");
                assert_eq!(server.node().queued_bytes(), 0);
            },
        );
    }
}

#[test]
fn another_name_or_limit_sends_nobody_away() {
    on_own_with_keys(&[plain_key("one")], |server, keys| {
        let mut a = server.client_of("one", "a");
        let mut guest = server.guest_of("one", "guest");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        keys.change("one", Change { name: Some("another".to_owned()), ..Change::default() });
        keys.change("one", Change { concurrent_limit: Some(3), ..Change::default() });
        keys.change("one", Change { allow_discovery: Some(true.into()), ..Change::default() });
        keys.change("one", Change { messages_per_second: Some(7), ..Change::default() });
        server.client_of("one", "b").expect(forwarded_offer("a", "b", "1"));
        a.expect_nothing("a");
        guest.expect_quiet();
    });
}
