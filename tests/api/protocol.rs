//! RFC 6455 after the handshake, through a real socket. Each rule is tested at the decoder,
//! `crates/transport/src/decoder/tests/`, which both transports use; the cases of the Autobahn test suite are
//! in `tests/conformance/`.
//!
//! Some run on both transports: each reads and writes frames.

use peerbroker_config::DEFAULT_MAX_MESSAGE_BYTES;

use crate::harness::messages::{forwarded_offer, offer};
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

fn violations() -> Vec<Violation> {
    let violation = |what, bytes| Violation { what, bytes, code: PROTOCOL };
    let mut all = vec![
        violation("a text without a mask", wire::unmasked(FIN | opcode::TEXT, b"{}")),
        violation("a ping without a mask", wire::unmasked(FIN | opcode::PING, b"")),
        violation(
            "a binary within a text",
            [wire::frame(opcode::TEXT, b"a"), wire::frame(opcode::BINARY, b"b")].concat(),
        ),
        violation("a fragmented close", wire::frame(opcode::CLOSE, b"")),
        violation("a long pong", wire::frame(FIN | opcode::PONG, &[b'x'; 126])),
        violation(
            "a length with its highest bit set",
            [wire::header(FIN | opcode::TEXT, MASKED, 1 << 63), vec![0; 4]].concat(),
        ),
    ];
    for code in [1, 1015] {
        all.push(violation("a close with a bad code", wire::close(Some(code), b"")));
    }
    let fragments = [wire::frame(opcode::TEXT, b"a"), wire::frame(FIN | opcode::CONTINUATION, b"\xE2\x82")];
    let what = "a text that ends within a character";
    all.push(Violation { what, bytes: fragments.concat(), code: NOT_UTF8 });
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
        let mut a = server.client("a");
        let mut b = server.client("b");
        let bytes = [wire::text(&offer("b", "1")), wire::frame(FIN | 0x3, b""), wire::text(&offer("b", "2"))];
        a.send_raw(bytes.concat());
        b.expect(forwarded_offer("a", "b", "1"));
        assert_eq!(a.expect_close(), Some(PROTOCOL));
        server.wait_until_gone("a");
        b.expect_nothing("b");
    });
}

#[test]
fn the_largest_message_comes_back_however_frames_and_writes_split_it() {
    let payload = |len| format!("\"{}\"", "*".repeat(len));
    let message = offer("a", &payload(DEFAULT_MAX_MESSAGE_BYTES - offer("a", &payload(0)).len()));
    assert_eq!(message.len(), DEFAULT_MAX_MESSAGE_BYTES);
    let echo = forwarded_offer("a", "a", &payload(message.len() - offer("a", &payload(0)).len()));
    let pieces = message.as_bytes().chunks(4 << 10);
    let begun: Vec<u8> = pieces
        .enumerate()
        .flat_map(|(n, piece)| wire::frame(if n == 0 { opcode::TEXT } else { opcode::CONTINUATION }, piece))
        .collect();
    let in_fragments = [begun, wire::frame(FIN | opcode::CONTINUATION, b"")].concat();
    on_both(|server| {
        let mut a = server.client("a");
        for bytes in [wire::text(&message), in_fragments.clone()] {
            a.send_raw(&bytes);
            assert!(a.expect_text() == echo);
            bytes.chunks(997).for_each(|chop| a.send_raw(chop));
            assert!(a.expect_text() == echo);
        }
    });
}
