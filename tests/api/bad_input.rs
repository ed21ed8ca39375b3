//! Invalid input of a client affects neither the server nor other clients.
//!
//! Some run on both transports: each decodes frames.

use std::io::Write as _;

use crate::harness::messages::{expired, forwarded_offer, offer};
use crate::harness::wire::{self, FIN, opcode};
use crate::harness::{RawClient, TestServer, on_both, on_both_with, on_own};

/// Sends malformed texts, and proves that neither the sender nor a bystander is affected.
fn expect_ignored(server: &TestServer, texts: &[&str]) {
    let mut bystander = server.client("bystander");
    let mut a = server.client("a");
    for text in texts {
        a.send(text);
        a.expect_nothing("a");
    }
    a.send(offer("bystander", "1"));
    bystander.expect(forwarded_offer("a", "bystander", "1"));
    bystander.expect_nothing("bystander");
    assert_eq!(server.node().queued_bytes(), 0);
}

/// The tests of `crates/protocols` have these as properties.
#[test]
fn what_is_no_message_is_ignored_and_expiry_goes_on() {
    on_own(|server| {
        expect_ignored(
            server,
            &[
                "",
                "hello",
                r#"{"type":"OFFER","dst":"bystander""#,
                r#"{"type":"OFFER","dst":"bystander"} trailing"#,
                "\u{FEFF}{\"type\":\"OFFER\",\"dst\":\"bystander\"}",
                "null",
                "-0.5e300",
                r#"[{"type":"OFFER","dst":"bystander"}]"#,
                "\0",
                r#"{"dst":"bystander","payload":1}"#,
                r#"{"type":["OFFER"],"dst":"bystander"}"#,
                r#"{"type":"OFFER","payload":1}"#,
                r#"{"type":"OFFER","dst":["bystander"]}"#,
                r#"{"type":"OFFER","dst":"\udfff"}"#,
                r#"{"type":"OFFER","dst":{"toString":1}}"#,
                r#"{"type":"LEAVE","dst":{"toString":1}}"#,
                r#"{"type":"LEAVE","dst":17}"#,
                r#"{"type":"LEAVE","dst":true}"#,
                r#"{"type":"LEAVE","dst":[]}"#,
                r#"{"type":"LEAVE","dst":{}}"#,
                &"[".repeat(100_000),
                &format!(r#"{{"type":"OFFER","dst":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000)),
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
fn a_message_over_the_bound_closes_its_own_socket_alone() {
    on_both_with(
        |config| config.max_message_bytes = 1000,
        |server| {
            let mut bystander = server.client("bystander");
            let mut b = server.client("b");
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
        let mut silent = server.http();
        let mut half = server.http();
        let mut slow_head = server.http();
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
