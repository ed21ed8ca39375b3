//! One-to-one calls: an id for each client, and messages to the ids of others.

use crate::harness::guests::{OFFER, call};
use crate::harness::messages::offer;
use crate::harness::{on_own, on_own_with};

#[test]
fn an_id_has_21_url_safe_characters_that_nobody_can_guess() {
    on_own(|server| {
        let callers: Vec<_> = (0..20).map(|_| server.caller("caller")).collect();
        for (n, (_, id)) in callers.iter().enumerate() {
            assert_eq!(id.len(), 21, "{id}");
            assert!(id.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)), "{id}");
            for (_, other) in &callers[..n] {
                let alike = id.bytes().zip(other.bytes()).filter(|(a, b)| a == b).count();
                assert!(alike < 10, "{id} and {other}");
            }
        }
    });
}

#[test]
fn a_call_goes_to_and_fro() {
    on_own(|server| {
        let (mut a, a_id) = server.caller("a");
        let (mut b, b_id) = server.caller("b");
        a.send(call("offer", &b_id, &format!(r#","offer":{OFFER}"#)));
        b.expect(call("offer", &a_id, &format!(r#","offer":{OFFER}"#)));
        b.send(call("answer", &a_id, r#","answer":{"type":"answer","sdp":"v=0"}"#));
        a.expect(r#"{"action":"answer","data":{"answer":{"type":"answer","sdp":"v=0"}}}"#);
        a.send(call("iceCandidate", &b_id, r#","candidate":null"#));
        b.expect(r#"{"action":"iceCandidate","data":{"candidate":null}}"#);
        b.send(call("iceCandidate", &a_id, r#","candidate":{"sdpMid":"0"}"#));
        a.expect(r#"{"action":"iceCandidate","data":{"candidate":{"sdpMid":"0"}}}"#);
        for client in [&mut a, &mut b] {
            client.expect_quiet();
        }
    });
}

#[test]
fn a_caller_may_send_to_itself_and_more_than_a_frame_at_a_time() {
    on_own(|server| {
        let (mut a, id) = server.caller("a");
        for n in 0..100 {
            a.send(call("x", &id, &format!(r#","n":{n}"#)));
        }
        for n in 0..100 {
            a.expect(format!(r#"{{"action":"x","data":{{"n":{n}}}}}"#));
        }
    });
}

#[test]
fn a_message_to_an_unknown_id_is_dropped_and_its_sender_stays() {
    on_own(|server| {
        let (mut a, id) = server.caller("a");
        let (mut b, _) = server.caller("b");
        let long = "x".repeat(100_000);
        for unknown in ["", "nobody", "__proto__", "constructor", &id[..20], &format!("{id} "), &long, "a\nb"]
        {
            for action in ["offer", "answer", "x"] {
                a.send(call(action, unknown, ""));
            }
        }
        a.expect_quiet();
        b.expect_quiet();
        a.send(call("x", &id, ""));
        a.expect(r#"{"action":"x","data":{}}"#);
    });
}

#[test]
fn nothing_waits_for_a_caller_that_is_gone() {
    on_own(|server| {
        let (mut a, _) = server.caller("a");
        let (b, b_id) = server.caller("b");
        b.reset();
        server.wait_for_guests(1);
        a.send(call("offer", &b_id, ""));
        a.expect_quiet();
        assert_eq!(server.node().queued_bytes(), 0);
    });
}

#[test]
fn a_second_start_gives_another_id_and_the_old_one_leads_nowhere() {
    on_own(|server| {
        let (mut a, old) = server.caller("a");
        let (mut b, b_id) = server.caller("b");
        let mut ids = vec![old];
        for _ in 0..5 {
            let id = a.start();
            assert!(id.len() == 21 && !ids.contains(&id), "{id} after {ids:?}");
            for old in &ids {
                b.send(call("offer", old, ""));
            }
            b.send(call("offer", &id, r#","n":1"#));
            a.expect(call("offer", &b_id, r#","n":1"#));
            a.send(call("offer", &b_id, ""));
            b.expect(call("offer", &id, ""));
            ids.push(id);
        }
        assert_eq!(server.guests().len(), 2);
        a.expect_quiet();
    });
}

#[test]
fn a_message_right_after_start_is_sent_under_the_new_id() {
    on_own(|server| {
        let (mut a, old) = server.caller("a");
        let (mut b, b_id) = server.caller("b");
        // Everything in one segment, so that one read gets it all.
        let frames = [call("offer", &b_id, ""), r#"{"action":"start"}"#.to_owned(), call("offer", &b_id, "")];
        let bytes: Vec<u8> = frames.iter().flat_map(|text| crate::harness::wire::text(text)).collect();
        a.send_raw(bytes);
        let started = a.expect_text();
        b.expect(call("offer", &old, ""));
        let second = b.expect_text();
        let new = second.split('"').nth(9).unwrap();
        assert!(new != old && started.contains(new), "{started} and {second}");
    });
}

#[test]
fn a_client_without_an_id_can_still_call() {
    on_own(|server| {
        let mut a = server.guest("a");
        let (mut b, b_id) = server.caller("b");
        a.send(call("offer", &b_id, ""));
        let offer = b.expect_text();
        let a_id = offer.split('"').nth(9).unwrap();
        b.send(call("answer", a_id, ""));
        a.expect(r#"{"action":"answer","data":{}}"#);
        assert_eq!(a.start(), a_id);
    });
}

/// `dialect/root.rs` of `crates/protocols` has these as properties.
#[test]
fn malformed_frames_of_a_call_are_ignored_and_other_actions_with_a_recipient_are_passed_on() {
    on_own(|server| {
        let (mut a, id) = server.caller("a");
        for odd in [
            "start",
            r#"{"action":5,"data":{"remoteId":"I"}}"#,
            r#"{"Action":"start"}"#,
            r#"{"action":"start"}{"action":"start"}"#,
            r#"{"action":"x"}"#,
            r#"{"action":"x","data":[{"remoteId":"I"}]}"#,
            r#"{"action":"x","data":{"remoteId":{"toString":"I"}}}"#,
            r#"{"action":"x","data":{"remoteId":"I","remoteId":null}}"#,
            r#"{"action":"x","remoteId":"I"}"#,
        ] {
            a.send(odd.replace("\"I\"", &format!("{id:?}")));
            a.expect_quiet();
        }
        for action in ["", "Offer", "__proto__", "start ", "createroom"] {
            a.send(call(action, &id, r#","n":1.0"#));
            a.expect(format!(r#"{{"action":"{action}","data":{{"n":1.0}}}}"#));
        }
    });
}

#[test]
fn peerjs_and_calls_never_meet() {
    on_own(|server| {
        let mut peer = server.client("peer");
        let (mut a, id) = server.caller("a");
        a.send(call("offer", "peer", ""));
        a.send(offer("peer", "1"));
        a.expect_quiet();
        peer.expect_nothing("peer");
        peer.send(offer(&id, "1"));
        peer.expect_nothing("peer");
        a.expect_quiet();
        // Not even with the id of the other.
        let mut same = server.client(&id);
        same.expect(crate::harness::messages::forwarded_offer("peer", &id, "1"));
        a.send(call("x", &id, ""));
        a.expect(r#"{"action":"x","data":{}}"#);
        same.expect_nothing(&id);
    });
}

#[test]
fn callers_of_two_keys_do_not_meet() {
    on_own_with(
        |config| config.root_key = Some(peerbroker_core::vocabulary::ApiKey::parse("games").unwrap()),
        |server| {
            let (mut a, id) = server.caller("a");
            let mut b = server.guest_at("b", "/?key=peerjs");
            let mut c = server.guest_at("c", "/?key=games");
            let b_id = b.start();
            b.send(call("offer", &id, ""));
            b.expect_quiet();
            a.send(call("offer", &b_id, ""));
            a.expect_quiet();
            let c_id = c.start();
            c.send(call("offer", &id, ""));
            a.expect(call("offer", &c_id, ""));
            b.expect_quiet();
        },
    );
}
