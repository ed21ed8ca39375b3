//! Invalid input of a client affects neither the server nor other clients.
//!
//! Some run on both transports: each decodes frames.

use std::io::Write as _;

use crate::harness::messages::{HEARTBEAT, expired, forwarded_offer, message, offer};
use crate::harness::wire::{self, FIN, opcode};
use crate::harness::{RawClient, TestServer, on_both, on_both_with, on_own};

/// Sends malformed texts, and proves that neither the sender nor a bystander is affected.
fn expect_ignored(server: &TestServer, texts: &[&str]) {
    let (mut bystander, mut a) = (server.client("bystander"), server.client("a"));
    for text in texts {
        a.send(text);
        a.expect_nothing("a");
    }
    a.send(offer("bystander", "1"));
    bystander.expect(forwarded_offer("a", "bystander", "1"));
    bystander.expect_nothing("bystander");
    assert_eq!(server.node().queued_bytes(), 0);
}

#[test]
fn text_that_is_not_a_json_object_is_ignored() {
    on_own(|server| {
        expect_ignored(
            server,
            &[
                "",
                " ",
                "hello",
                "{",
                "}",
                r#"{"type":"OFFER","dst":"bystander""#,
                r#"{"type":"OFFER","dst":"bystander",}"#,
                r#"{"type":"OFFER","dst":"bystander"} trailing"#,
                r#"{"type":"OFFER","dst":"bystander"}{}"#,
                r#"{'type':'OFFER','dst':'bystander'}"#,
                "\u{FEFF}{\"type\":\"OFFER\",\"dst\":\"bystander\"}",
                "null",
                "true",
                "17",
                "-0.5e300",
                r#""OFFER""#,
                "[]",
                r#"[{"type":"OFFER","dst":"bystander"}]"#,
                "NaN",
                "\0",
            ],
        );
    });
}

#[test]
fn a_missing_or_odd_type_is_ignored() {
    on_own(|server| {
        let types =
            ["null", "17", "true", "[]", "{}", r#"["OFFER"]"#, r#"{"toString":"OFFER"}"#, r#""\ud800""#];
        let texts: Vec<String> =
            types.iter().map(|kind| format!(r#"{{"type":{kind},"dst":"bystander"}}"#)).collect();
        let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        texts.extend(["{}", r#"{"dst":"bystander","payload":1}"#, r#"{"":"OFFER"}"#]);
        expect_ignored(server, &texts);
    });
}

#[test]
fn a_missing_or_odd_dst_is_ignored() {
    on_own(|server| {
        let values =
            ["null", r#""""#, "0", "false", "true", "17", "-1", "[]", r#"["bystander"]"#, r#""\udfff""#];
        let texts: Vec<String> = ["OFFER", "ANSWER", "CANDIDATE"]
            .iter()
            .flat_map(|kind| values.iter().map(move |dst| format!(r#"{{"type":"{kind}","dst":{dst}}}"#)))
            .chain(["OFFER", "ANSWER", "CANDIDATE"].map(|kind| format!(r#"{{"type":"{kind}","payload":1}}"#)))
            .collect();
        expect_ignored(server, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    });
}

#[test]
fn a_dst_that_is_an_object_is_ignored_and_expiry_goes_on() {
    on_own(|server| {
        expect_ignored(
            server,
            &[
                r#"{"type":"OFFER","dst":{}}"#,
                r#"{"type":"OFFER","dst":{"toString":1}}"#,
                r#"{"type":"OFFER","dst":{"toString":"bystander"}}"#,
                r#"{"type":"LEAVE","dst":{"toString":1}}"#,
            ],
        );
        server.wait_for_peers(0);
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        server.advance(std::time::Duration::from_secs(6));
        a.expect(expired("b", "a"));
    });
}

#[test]
fn leave_with_an_odd_dst_does_not_end_anything() {
    on_own(|server| {
        expect_ignored(
            server,
            &[
                r#"{"type":"LEAVE","dst":17}"#,
                r#"{"type":"LEAVE","dst":true}"#,
                r#"{"type":"LEAVE","dst":[]}"#,
                r#"{"type":"LEAVE","dst":{}}"#,
            ],
        );
    });
}

#[test]
fn deep_nesting_is_only_a_payload() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        for (open, middle, close) in [("[", "", "]"), (r#"{"a":"#, "1", "}")] {
            let deep = format!("{}{middle}{}", open.repeat(10_000), close.repeat(10_000));
            a.send(offer("b", &deep));
            b.expect(forwarded_offer("a", "b", &deep));
            a.send(&deep);
            a.send(format!(r#"{{"type":{deep},"dst":"b"}}"#));
            a.send(format!(r#"{{"type":"OFFER","dst":{deep}}}"#));
            a.send(format!(r#"{{"type":"OFFER","ignored":{deep},"dst":"b","payload":1}}"#));
            b.expect(forwarded_offer("a", "b", "1"));
            a.send(open.repeat(100_000));
        }
        a.expect_nothing("a");
        b.expect_nothing("b");
    });
}

#[test]
fn binary_frames_that_are_no_json_are_ignored() {
    on_both(|server| {
        let mut a = server.client("a");
        for payload in [&b""[..], b"\0\xFF\xFE", b"{", b"null", b"\xC3"] {
            a.send_binary(payload);
        }
        let mut broken = offer("a", "\"x\"").into_bytes();
        let at = broken.iter().position(|byte| *byte == b'x').unwrap();
        broken[at] = 0xFF;
        a.send_binary(&broken);
        a.expect_nothing("a");
    });
}

#[test]
fn text_that_is_not_utf_8_closes_its_own_socket_alone() {
    on_both(|server| {
        let mut bystander = server.client("bystander");
        for payload in
            [&b"\xFF"[..], b"{\"type\":\"\xC3\x28\"}", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xC0\xAF"]
        {
            let mut a = server.client("a");
            a.send_raw(wire::frame(FIN | opcode::TEXT, payload));
            a.expect_closed_with(Some(1007));
            server.wait_until_gone("a");
            bystander.expect_nothing("bystander");
        }
    });
}

#[test]
fn a_message_over_the_bound_closes_its_own_socket_alone() {
    on_both_with(
        |config| config.max_message_bytes = 1000,
        |server| {
            let (mut bystander, mut b) = (server.client("bystander"), server.client("b"));
            let whole = offer("b", &format!("\"{}\"", "x".repeat(1000 - offer("b", "\"\"").len())));
            assert_eq!(whole.len(), 1000);
            let mut a = server.client("a");
            a.send(&whole);
            assert!(b.expect_text().contains("xxx"));
            a.send(format!("{whole} "));
            a.expect_closed_with(Some(1009));
            server.wait_until_gone("a");

            // The same in fragments, each of which is small enough.
            let mut a = server.client("a");
            a.send_raw(wire::frame(opcode::TEXT, whole.as_bytes()));
            a.send_raw(wire::frame(FIN | opcode::CONTINUATION, b" "));
            a.expect_closed_with(Some(1009));
            server.wait_until_gone("a");
            bystander.expect_nothing("bystander");
            b.expect_nothing("b");
        },
    );
}

#[test]
fn the_length_of_a_message_is_judged_before_it_has_come() {
    on_own(|server| {
        for len in [(1 << 20) + 1, 1 << 32, (1 << 63) - 1] {
            let mut a = server.client("a");
            a.send_raw(wire::header(FIN | opcode::TEXT, wire::MASKED, len));
            a.expect_closed_with(Some(1009));
            server.wait_until_gone("a");
        }
    });
}

#[test]
fn a_frame_that_announces_a_gigabyte_is_refused_long_before_it_has_come() {
    on_both(|server| {
        let mut bystander = server.client("bystander");
        let mut a = server.client("a");
        a.send_raw(wire::header(FIN | opcode::TEXT, wire::MASKED, 1 << 30));
        // The limit of a message, and 64 KiB more of the embedded transport.
        for _ in 0..(1 << 20) / (64 << 10) + 2 {
            a.send_raw(vec![0; 64 << 10]);
        }
        a.expect_closed_with(Some(1009));
        server.wait_until_gone("a");
        bystander.expect_nothing("bystander");
    });
}

#[test]
fn ids_that_mean_something_to_javascript_are_only_ids() {
    on_own(|server| {
        let ids = ["__proto__", "constructor", "toString", "hasOwnProperty", "undefined", "null"];
        let mut clients: Vec<RawClient> = ids.iter().map(|id| server.client(id)).collect();
        for (n, from) in ids.iter().enumerate() {
            let to = ids[(n + 1) % ids.len()];
            clients[n].send(offer(to, "1"));
            clients[(n + 1) % ids.len()].expect(forwarded_offer(from, to, "1"));
        }
    });
}

#[test]
fn a_client_that_breaks_off_anywhere_harms_nobody() {
    on_both(|server| {
        let mut bystander = server.client("bystander");
        let whole = [
            RawClient::handshake(&server.target("a", "t")).into_bytes(),
            wire::text(&offer("absent", "1")),
            wire::close(Some(1000), b"bye"),
        ]
        .concat();
        for cut in (1..whole.len()).step_by(7) {
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            stream.write_all(&whole[..cut]).unwrap();
        }
        server.wait_for_peers(1);
        bystander.expect_nothing("bystander");
    });
}

#[test]
fn half_a_request_is_answered_with_408_and_an_idle_connection_is_closed() {
    on_own(|server| {
        let mut idle = server.http();
        assert_eq!(idle.request("GET", "/", "").status, 200);
        let mut bystander = server.client("bystander");
        let (mut silent, mut half, mut slow_head) = (server.http(), server.http(), server.http());
        half.send("GET /peerjs/id HTTP/1.1\r\nHost: h\r\n");
        slow_head.send("GET /peerjs?key=peerjs");
        for connection in [&mut silent, &mut half, &mut slow_head] {
            assert_eq!(connection.response(false).status, 408);
            connection.expect_end();
        }
        idle.expect_end();
        bystander.expect_nothing("bystander");
    });
}

#[test]
fn thousands_of_sockets_that_never_speak_harm_nobody() {
    on_own(|server| {
        let files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let count = files.min(10_000) / 5;
        let mut bystander = server.client("bystander");
        let silent: Vec<_> = (0..count).map(|_| server.http()).collect();
        let mut a = server.client("a");
        a.send(offer("bystander", "1"));
        bystander.expect(forwarded_offer("a", "bystander", "1"));
        drop(silent);
        assert_eq!(server.get("/peerjs/id").status, 200);
    });
}

#[test]
fn a_head_of_128_kib_that_does_not_end_is_answered_with_431() {
    const MOST: usize = 128 << 10;
    let filled = |begin: &str, length| format!("{begin}{}", "x".repeat(length - begin.len()));
    let target = "GET /peerjs/id?";
    let header = "GET /peerjs/id HTTP/1.1\r\nHost: h\r\nX-Long: ";
    let headers = format!("{header}{}x", "x\r\nX-Header: ".repeat(60));
    on_own(|server| {
        for begin in [target, header, &headers] {
            let mut http = server.http();
            // Sent up to the last byte that the server reads, so that no reset overtakes the response.
            http.send(filled(begin, MOST));
            assert_eq!(http.response(false).status, 431, "{begin}");
            http.expect_end();
        }
        for begin in [header, &headers] {
            let mut http = server.http();
            http.send(filled(begin, MOST - 8));
            http.send("\r\n\r\n");
            assert_eq!(http.response(false).status, 200, "{begin}");
        }
    });
}

#[test]
fn a_head_of_more_than_96_headers_is_answered_with_431() {
    on_own(|server| {
        for (count, status) in [(96, 200), (97, 431)] {
            // One of them is `Host`.
            let headers: String = (1..count).map(|n| format!("X-{n}: x\r\n")).collect();
            assert_eq!(server.request("GET", "/peerjs/id", &headers).status, status, "{count} headers");
        }
    });
}

#[test]
fn nonsense_instead_of_http_is_refused() {
    on_own(|server| {
        for nonsense in
            ["\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", "hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"]
        {
            let mut http = server.http();
            http.send(nonsense);
            assert_eq!(http.response(false).status, 400, "{nonsense:?}");
        }
        assert_eq!(server.get("/").status, 200);
    });
}

#[test]
fn a_flood_of_heartbeats_and_nonsense_holds_up_nobody() {
    on_own(|server| {
        let (mut flooder, mut a, mut b) = (server.client("flooder"), server.client("a"), server.client("b"));
        let flood = [wire::text(HEARTBEAT), wire::text("nonsense"), wire::text(&message("X", "b", "1"))];
        flooder.send_raw(flood.concat().repeat(20_000));
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
        flooder.expect_nothing("flooder");
    });
}
