//! Messages between connected peers. The tests of `crates/protocols` show with any JSON what is a message,
//! and what goes out.

use crate::harness::messages::{HEARTBEAT, KINDS, LEAVE, forwarded, forwarded_offer, message, offer};
use crate::harness::on_own;

#[test]
fn offers_answers_candidates_and_leave_are_relayed_to_their_recipient_alone() {
    on_own(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        let mut other = server.client("B");
        for kind in KINDS.into_iter().chain(["LEAVE"]) {
            a.send(message(kind, "b", r#"{"sdp":{"type":"offer"},"connectionId":"dc_1"}"#));
            b.expect(forwarded(kind, "a", "b", r#"{"sdp":{"type":"offer"},"connectionId":"dc_1"}"#));
            a.send(message(kind, "a", "2"));
            a.expect(forwarded(kind, "a", "a", "2"));
        }
        b.send(message("ANSWER", "a", "1"));
        a.expect(forwarded("ANSWER", "b", "a", "1"));
        server.advance(std::time::Duration::from_secs(6));
        a.expect_nothing("a");
        other.expect_nothing("B");
    });
}

#[test]
fn the_payload_goes_through_as_the_senders_bytes_and_the_rest_is_written_anew() {
    on_own(|server| {
        let mut a = server.client("a");
        let mut b = server.client("bé\"\\/");
        let payload = r#"{ "b":1,"1":12345678901234567890 ,"b":"\ud800 \u00e9 é 😀 \/" }"#;
        a.send(format!(
            r#" {{"src":"c","dst":"a","extra":[1],"t\u0079pe":"OFF\u0045R","\u0064st":"b\u00e9\"\\\/","pa\u0079load":{payload}}} "#
        ));
        b.expect(forwarded_offer("a", "bé\"\\/", payload));
        // None of these is a message to anybody.
        a.send(message("EXPIRE", "bé\"\\/", "null"));
        a.send(message("offer", "bé\"\\/", "1"));
        a.send(message("HEARTBEAT", "bé\"\\/", "1"));
        a.send(HEARTBEAT);
        a.expect_nothing("a");
        b.expect_nothing("bé\"\\/");
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
            let mut a = server.client("a");
            let mut b = server.client("b");
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
