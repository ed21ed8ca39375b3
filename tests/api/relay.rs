//! Messages between connected peers.

use crate::harness::messages::{HEARTBEAT, KINDS, LEAVE, forwarded, forwarded_offer, message, offer};
use crate::harness::{on_own, on_own_with};

#[test]
fn offers_answers_and_candidates_are_relayed() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for kind in KINDS {
            a.send(message(kind, "b", r#"{"sdp":{"type":"offer"},"connectionId":"dc_1"}"#));
            b.expect(forwarded(kind, "a", "b", r#"{"sdp":{"type":"offer"},"connectionId":"dc_1"}"#));
        }
        b.send(message("ANSWER", "a", "1"));
        a.expect(forwarded("ANSWER", "b", "a", "1"));
    });
}

#[test]
fn src_is_always_the_senders_id() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for forged in [r#""src":"c","#, r#""src":null,"#, r#""src":{"x":1},"#, r#""src":"b","src":"c","#] {
            a.send(format!(r#"{{{forged}"type":"OFFER","dst":"b","payload":1}}"#));
            b.expect(forwarded_offer("a", "b", "1"));
        }
    });
}

#[test]
fn the_recipient_gets_four_members_in_order_and_nothing_else() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(r#" { "extra" : [1] , "payload" : 5 , "dst" : "b" , "x" : {} , "type" : "ANSWER" } "#);
        b.expect(r#"{"type":"ANSWER","src":"a","dst":"b","payload":5}"#);
    });
}

#[test]
fn any_json_value_is_a_payload() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for payload in [
            "{}",
            "[]",
            r#""text""#,
            "0",
            "-1.5e3",
            "true",
            "false",
            "null",
            r#"{"type":"LEAVE","dst":"c","src":"d"}"#,
        ] {
            a.send(offer("b", payload));
            b.expect(forwarded_offer("a", "b", payload));
        }
    });
}

#[test]
fn without_a_payload_the_member_is_absent() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(r#"{"type":"OFFER","dst":"b"}"#);
        b.expect(r#"{"type":"OFFER","src":"a","dst":"b"}"#);
    });
}

#[test]
fn the_payload_goes_through_as_the_senders_bytes() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for payload in [
            "12345678901234567890",
            "1.0",
            "1e400",
            r#"{"b":1,"1":2,"b":3}"#,
            r#""\ud800 lone""#,
            r#""\u00e9 é 😀 \/""#,
            "{ \"spaces\" :\t[ 1 , 2 ]\n}",
        ] {
            a.send(offer("b", payload));
            b.expect(forwarded_offer("a", "b", payload));
        }
    });
}

#[test]
fn of_duplicate_members_the_last_counts() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(r#"{"type":"LEAVE","dst":"c","payload":1,"type":"OFFER","payload":2,"dst":"b"}"#);
        b.expect(forwarded_offer("a", "b", "2"));
        a.send(r#"{"type":"OFFER","dst":"b","dst":null}"#);
        a.send(r#"{"type":"OFFER","type":5,"dst":"b"}"#);
        a.send(offer("b", "3"));
        b.expect(forwarded_offer("a", "b", "3"));
    });
}

#[test]
fn names_and_dst_are_unescaped_first() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("bé\"\\/"));
        a.send(r#"{"t\u0079pe":"OFF\u0045R","\u0064st":"b\u00e9\"\\\/","pa\u0079load":1}"#);
        b.expect(forwarded_offer("a", "bé\"\\/", "1"));
    });
}

#[test]
fn a_peer_may_send_to_itself() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("a", "1"));
        a.expect(forwarded_offer("a", "a", "1"));
        a.send(message("LEAVE", "a", "2"));
        a.expect(forwarded("LEAVE", "a", "a", "2"));
    });
}

#[test]
fn types_are_compared_exactly_and_unknown_ones_are_dropped_in_silence() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for kind in ["offer", "Offer", "OFFER ", "OPEN", "ERROR", "ID-TAKEN", "INVALID-KEY", "toString", ""] {
            a.send(message(kind, "b", "1"));
        }
        a.expect_nothing("a");
        b.expect_nothing("b");
    });
}

#[test]
fn a_client_cannot_forge_expire() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(message("EXPIRE", "b", "null"));
        a.send(r#"{"type":"EXPIRE","src":"c","dst":"b"}"#);
        a.expect_nothing("a");
        b.expect_nothing("b");
    });
}

#[test]
fn a_heartbeat_is_not_answered_and_not_relayed() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(HEARTBEAT);
        a.send(message("HEARTBEAT", "b", "1"));
        a.send(r#"{"type":"HEARTBEAT","dst":{},"payload":[]}"#);
        a.expect_nothing("a");
        b.expect_nothing("b");
    });
}

#[test]
fn leave_with_a_dst_is_relayed_to_it_and_the_sender_stays() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(r#"{"type":"LEAVE","dst":"b"}"#);
        b.expect(r#"{"type":"LEAVE","src":"a","dst":"b"}"#);
        a.send(message("LEAVE", "b", r#"{"x":1}"#));
        b.expect(forwarded("LEAVE", "a", "b", r#"{"x":1}"#));
        a.expect_nothing("a");
    });
}

#[test]
fn leave_to_an_absent_peer_is_dropped_in_silence() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(message("LEAVE", "b", "1"));
        a.expect_nothing("a");
        assert_eq!(server.node().queued_bytes(), 0);
        server.client("b").expect_nothing("b");
        server.advance(std::time::Duration::from_secs(6));
        a.expect_nothing("a");
    });
}

#[test]
fn leave_without_a_dst_unregisters_the_sender_and_closes_its_socket() {
    on_own(|server| {
        for leave in [
            LEAVE,
            r#"{"type":"LEAVE","dst":null}"#,
            r#"{"type":"LEAVE","dst":""}"#,
            r#"{"type":"LEAVE","dst":0}"#,
            r#"{"type":"LEAVE","dst":false}"#,
        ] {
            let (mut a, mut b) = (server.client("a"), server.client("b"));
            a.send(leave);
            // Messages of a replaced socket are ignored.
            a.send(offer("b", r#""from a zombie""#));
            a.expect_closed_with(Some(1000));
            server.wait_until_gone("a");
            b.expect_nothing("b");
            server.client_with_token("a", "another token").expect_nothing("a");
            drop((a, b));
            server.wait_for_peers(0);
        }
    });
}

#[test]
fn order_between_two_peers_is_kept() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for batch in 0..20 {
            let sent: Vec<String> = (0..50).map(|n| format!("{}", batch * 50 + n)).collect();
            for payload in &sent {
                a.send(offer("b", payload));
            }
            for payload in &sent {
                b.expect(forwarded_offer("a", "b", payload));
            }
        }
    });
}

#[test]
fn messages_go_to_dst_only() {
    on_own(|server| {
        let (mut a, mut b, mut c) = (server.client("a"), server.client("b"), server.client("B"));
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
        a.expect_nothing("a");
        c.expect_nothing("B");
    });
}

#[test]
fn a_binary_message_of_json_is_treated_as_text() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send_binary(offer("b", r#""é""#).as_bytes());
        b.expect(forwarded_offer("a", "b", r#""é""#));
    });
}

#[test]
fn the_sender_hears_nothing_of_what_was_delivered() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
        server.advance(std::time::Duration::from_secs(6));
        a.expect_nothing("a");
    });
}

#[test]
fn messages_of_every_length_of_header_arrive_whole() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for len in [0, 1, 60, 61, 100, 125, 126, 65_400, 65_536, 70_000, 500_000, 1_000_000] {
            let payload = format!("\"{}\"", "x".repeat(len));
            a.send(offer("b", &payload));
            b.expect(forwarded_offer("a", "b", &payload));
        }
    });
}

#[test]
fn many_peers_talk_to_each_other_at_once() {
    on_own_with(
        |_| {},
        |server| {
            let ids: Vec<String> = (0..40).map(|n| format!("peer-{n}")).collect();
            let mut clients: Vec<_> = ids.iter().map(|id| server.client(id)).collect();
            for (client, from) in clients.iter_mut().zip(&ids) {
                for to in &ids {
                    client.send(offer(to, &format!("\"{from} to {to}\"")));
                }
            }
            for (client, to) in clients.iter_mut().zip(&ids) {
                let mut got: Vec<String> = ids.iter().map(|_| client.expect_text()).collect();
                let mut wanted: Vec<String> = ids
                    .iter()
                    .map(|from| forwarded_offer(from, to, &format!("\"{from} to {to}\"")))
                    .collect();
                got.sort();
                wanted.sort();
                assert_eq!(got, wanted);
            }
        },
    );
}
