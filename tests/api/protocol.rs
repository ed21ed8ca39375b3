//! RFC 6455 after the handshake. The cases of the Autobahn test suite are in
//! [`conformance`](crate::conformance).
//!
//! Some run on both transports: each decodes frames.

use crate::harness::messages::{forwarded_offer, message, offer};
use crate::harness::wire::{self, FIN, MASKED, opcode};
use crate::harness::{on_both, on_own};

const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;

/// Protocol violations, and the close codes for them.
struct Violation {
    what: &'static str,
    bytes: Vec<u8>,
    code: u16,
}

fn violation(what: &'static str, bytes: Vec<u8>) -> Violation {
    Violation { what, bytes, code: PROTOCOL }
}

fn violations() -> Vec<Violation> {
    let mut all = vec![
        violation("a text without a mask", wire::unmasked(FIN | opcode::TEXT, b"{}")),
        violation("a ping without a mask", wire::unmasked(FIN | opcode::PING, b"")),
        violation("a continuation of nothing", wire::frame(FIN | opcode::CONTINUATION, b"x")),
        violation("an unfinished continuation of nothing", wire::frame(opcode::CONTINUATION, b"x")),
        violation(
            "a text within a text",
            [wire::frame(opcode::TEXT, b"a"), wire::frame(FIN | opcode::TEXT, b"b")].concat(),
        ),
        violation(
            "a binary within a text",
            [wire::frame(opcode::TEXT, b"a"), wire::frame(opcode::BINARY, b"b")].concat(),
        ),
        violation("a fragmented ping", wire::frame(opcode::PING, b"")),
        violation("a fragmented pong", wire::frame(opcode::PONG, b"")),
        violation("a fragmented close", wire::frame(opcode::CLOSE, b"")),
        violation("a long ping", wire::frame(FIN | opcode::PING, &[b'x'; 126])),
        violation("a long pong", wire::frame(FIN | opcode::PONG, &[b'x'; 126])),
        violation("a long close", wire::frame(FIN | opcode::CLOSE, &[b'0'; 126])),
        violation("a close with half a code", wire::frame(FIN | opcode::CLOSE, b"\x03")),
        violation(
            "a length with its highest bit set",
            [wire::header(FIN | opcode::TEXT, MASKED, 1 << 63), vec![0; 4]].concat(),
        ),
    ];
    for reserved in [0x40, 0x20, 0x10, 0x70] {
        all.push(violation("a reserved bit", wire::frame(FIN | reserved | opcode::TEXT, b"{}")));
    }
    for unknown in (0x3..0x8).chain(0xB..0x10) {
        all.push(violation("an unknown opcode", wire::frame(FIN | unknown, b"")));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        all.push(violation("a close with a bad code", wire::close(Some(code), b"")));
    }
    let mut not_utf8 = |what, bytes| {
        all.push(Violation { what, bytes, code: NOT_UTF8 });
    };
    not_utf8("a text that is not UTF-8", wire::frame(FIN | opcode::TEXT, b"\xFF"));
    not_utf8("a close reason that is not UTF-8", wire::close(Some(1000), b"\xFF"));
    not_utf8(
        "fragments that are not UTF-8 together",
        [wire::frame(opcode::TEXT, b"\xC3"), wire::frame(FIN | opcode::CONTINUATION, b"\x28")].concat(),
    );
    not_utf8(
        "a text that ends within a character",
        [wire::frame(opcode::TEXT, b"a"), wire::frame(FIN | opcode::CONTINUATION, b"\xE2\x82")].concat(),
    );
    all
}

#[test]
fn only_the_client_that_breaks_the_protocol_is_closed() {
    on_both(|server| {
        let mut bystander = server.client("bystander");
        for Violation { what, bytes, code } in violations() {
            eprintln!("{what}: {:x?}", &bytes[..bytes.len().min(20)]);
            let mut a = server.client("a");
            a.send_raw(bytes);
            let found = a.expect_close();
            assert!(found == Some(code), "{what}: {found:?} for {code}");
            a.close(found);
            a.expect_end();
            server.wait_until_gone("a");
        }
        bystander.expect_nothing("bystander");
    });
}

#[test]
fn messages_before_a_violation_are_handled_and_those_after_it_are_not() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        let bytes = [wire::text(&offer("b", "1")), wire::frame(FIN | 0x3, b""), wire::text(&offer("b", "2"))];
        a.send_raw(bytes.concat());
        b.expect(forwarded_offer("a", "b", "1"));
        assert_eq!(a.expect_close(), Some(PROTOCOL));
        server.wait_until_gone("a");
        b.expect_nothing("b");
    });
}

#[test]
fn a_valid_close_code_comes_back_without_its_reason() {
    on_both(|server| {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4001, 4999]
        {
            for reason in ["", "bye", "ünï"] {
                let mut a = server.client("a");
                a.send_raw(wire::close(Some(code), reason.as_bytes()));
                let payload = a.expect_frame(opcode::CLOSE, "a close frame");
                assert_eq!(payload, code.to_be_bytes());
                a.expect_end();
                server.wait_until_gone("a");
            }
        }
    });
}

#[test]
fn a_close_without_a_code_is_answered_without_one() {
    on_both(|server| {
        let mut a = server.client("a");
        a.expect_closed_by_us(None);
        server.wait_until_gone("a");
    });
}

#[test]
fn frames_before_a_close_are_handled_and_those_behind_it_are_not() {
    on_both(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        let bytes = [
            wire::text(&offer("b", "1")),
            wire::close(Some(1000), b""),
            wire::text(&offer("b", "2")),
            wire::frame(FIN | opcode::PING, b"late"),
        ];
        a.send_raw(bytes.concat());
        b.expect(forwarded_offer("a", "b", "1"));
        assert_eq!(a.expect_close(), Some(1000));
        a.expect_end();
        b.expect_nothing("b");
    });
}

#[test]
fn a_ping_is_answered_with_a_pong_of_the_same_payload() {
    on_both(|server| {
        let mut a = server.client("a");
        for payload in [&b""[..], b"hello", b"\0\xFF\xFE", &[b'x'; 125]] {
            a.ping(payload);
            assert_eq!(a.expect_pong(), payload);
        }
    });
}

#[test]
fn many_pings_get_as_many_pongs_in_order() {
    on_both(|server| {
        let mut a = server.client("a");
        let payloads: Vec<Vec<u8>> = (0..500_u16).map(|n| n.to_be_bytes().to_vec()).collect();
        let pings = payloads.iter().map(|payload| wire::frame(FIN | opcode::PING, payload));
        a.send_raw(pings.collect::<Vec<_>>().concat());
        for payload in payloads {
            assert_eq!(a.expect_pong(), payload);
        }
    });
}

#[test]
fn an_unsolicited_pong_is_ignored() {
    on_both(|server| {
        let mut a = server.client("a");
        a.pong(b"unasked");
        a.pong(b"");
        a.expect_nothing("a");
    });
}

#[test]
fn a_message_in_fragments_is_put_together() {
    on_both(|server| {
        let mut a = server.client("a");
        let whole = offer("a", "\"é in pieces €😀\"");
        for pieces in [2, 3, 7, whole.len()] {
            a.send_raw(fragments(opcode::TEXT, whole.as_bytes(), pieces).concat());
            a.expect(forwarded_offer("a", "a", "\"é in pieces €😀\""));
            a.send_raw(fragments(opcode::BINARY, whole.as_bytes(), pieces).concat());
            a.expect(forwarded_offer("a", "a", "\"é in pieces €😀\""));
        }
    });
}

#[test]
fn empty_fragments_and_control_frames_between_fragments_are_handled() {
    on_both(|server| {
        let mut a = server.client("a");
        let whole = offer("a", "1");
        let (left, right) = whole.as_bytes().split_at(9);
        let bytes = [
            wire::frame(opcode::TEXT, b""),
            wire::frame(opcode::CONTINUATION, left),
            wire::frame(FIN | opcode::PING, b"between"),
            wire::frame(opcode::CONTINUATION, b""),
            wire::frame(FIN | opcode::PONG, b""),
            wire::frame(opcode::CONTINUATION, right),
            wire::frame(FIN | opcode::CONTINUATION, b""),
        ];
        a.send_raw(bytes.concat());
        assert_eq!(a.expect_pong(), b"between");
        a.expect(forwarded_offer("a", "a", "1"));
        a.expect_nothing("a");
    });
}

#[test]
fn a_close_between_fragments_is_a_close() {
    on_both(|server| {
        let mut a = server.client("a");
        a.send_raw(wire::frame(opcode::TEXT, offer("a", "1").as_bytes()));
        a.expect_closed_by_us(Some(1001));
    });
}

#[test]
fn bytes_may_come_one_by_one() {
    on_both(|server| {
        let mut a = server.client("a");
        let payload = format!("\"{}\"", "x".repeat(130));
        let bytes = [
            wire::text(&offer("a", &payload)),
            wire::frame(FIN | opcode::PING, b"one by one"),
            wire::text(&offer("a", "2")),
        ];
        for byte in bytes.concat() {
            a.send_raw([byte]);
        }
        a.expect(forwarded_offer("a", "a", &payload));
        assert_eq!(a.expect_pong(), b"one by one");
        a.expect(forwarded_offer("a", "a", "2"));
    });
}

#[test]
fn frames_of_one_segment_are_handled_in_order() {
    on_both(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        let frames: Vec<Vec<u8>> = (0..1000).map(|n| wire::text(&offer("b", &n.to_string()))).collect();
        a.send_raw(frames.concat());
        for n in 0..1000 {
            b.expect(forwarded_offer("a", "b", &n.to_string()));
        }
    });
}

#[test]
fn a_message_that_is_cut_at_any_byte_arrives_whole() {
    on_both(|server| {
        let mut a = server.client("a");
        let frame = wire::text(&offer("a", &format!("\"{}\"", "y".repeat(120))));
        for cut in (1..frame.len()).step_by(3) {
            a.send_raw(&frame[..cut]);
            // The HTTP request gives the server time to read the input.
            server.get("/healthz");
            a.send_raw(&frame[cut..]);
            assert!(a.expect_text().contains("yyy"));
        }
    });
}

#[test]
fn every_mask_is_undone() {
    on_both(|server| {
        let mut a = server.client("a");
        let text = message("CANDIDATE", "a", "\"masked\"");
        for mask in [[0; 4], [0xFF; 4], [1, 2, 3, 4]] {
            let mut frame = wire::header(FIN | opcode::TEXT, MASKED, text.len() as u64);
            frame.extend(mask);
            frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            a.send_raw(frame);
            assert!(a.expect_text().contains("masked"));
        }
    });
}

fn fragments(opcode: u8, whole: &[u8], pieces: usize) -> Vec<Vec<u8>> {
    let size = whole.len().div_ceil(pieces);
    let count = whole.chunks(size).count();
    whole
        .chunks(size)
        .enumerate()
        .map(|(n, piece)| {
            let opcode = if n == 0 { opcode } else { opcode::CONTINUATION };
            wire::frame(if n + 1 == count { FIN | opcode } else { opcode }, piece)
        })
        .collect()
}
