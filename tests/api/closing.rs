//! Close frames of clients, through a real socket (RFC 6455, sections 5.5.1 and 7.4). The rules for their
//! codes and reasons are tested at the decoder, `crates/transport/src/decoder/tests/violations.rs`.

use crate::harness::http_client::TIMEOUT;
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::wire::{self, FIN, opcode};
use crate::harness::{RawClient, on_both, on_both_with, on_own};

const NORMAL: Option<u16> = Some(1000);
const PROTOCOL: Option<u16> = Some(1002);
const NOT_UTF8: Option<u16> = Some(1007);

/// Close frames, and the codes of the answers.
fn closes() -> Vec<(Vec<u8>, Option<u16>)> {
    let with = |code, reason: &[u8]| wire::close(Some(code), reason);
    vec![
        (wire::close(None, b""), None),
        (with(1000, b""), NORMAL),
        (with(4001, "ünï".as_bytes()), Some(4001)),
        (with(1000, &[b'*'; 123]), NORMAL),
        // A client that has sent an invalid close frame sends no other either.
        (wire::close(None, b"a"), PROTOCOL),
        (with(1005, b""), PROTOCOL),
        (with(1000, &[b'*'; 124]), PROTOCOL),
        (with(1000, b"\xed\xa0\x80"), NOT_UTF8),
    ]
}

#[test]
fn a_close_is_answered_at_once_and_nothing_behind_it_is_handled() {
    on_both_with(
        |config| config.close_timeout = 10 * TIMEOUT,
        |server| {
            let mut b = server.client("b");
            for (close, code) in closes() {
                eprintln!("{close:x?}");
                let mut a = server.client("a");
                // A message that has begun stays unfinished.
                let [begun, ping] = [wire::frame(opcode::TEXT, b"{"), wire::frame(FIN | opcode::PING, b"")];
                let behind = [wire::frame(FIN | opcode::CONTINUATION, b"}"), wire::text(&offer("b", "2"))];
                a.send_raw([wire::text(&offer("b", "1")), begun, close, ping, behind.concat()].concat());
                b.expect(forwarded_offer("a", "b", "1"));
                let answer = a.next_frame("a close frame").expect("a close frame");
                assert_eq!(answer.opcode(), opcode::CLOSE);
                assert_eq!(
                    answer.payload,
                    code.map(u16::to_be_bytes).iter().flatten().copied().collect::<Vec<_>>()
                );
                a.expect_end();
                server.wait_until_gone("a");
            }
            b.expect_nothing("b");
        },
    );
}

#[test]
fn messages_right_before_a_close_are_answered_before_it() {
    let to_me = |payload: &str| wire::text(&offer("a", payload));
    on_own(|server| {
        let mut a = server.client("a");
        a.send_raw([to_me("1"), to_me("2"), wire::close(NORMAL, b"")].concat());
        for payload in ["1", "2"] {
            assert_eq!(text(&mut a), Some(forwarded_offer("a", "a", payload)));
        }
        assert_eq!(text(&mut a), None);
        a.expect_end();
    });
}

/// What the socket does not take waits for the next connection when the client closes, and actix-ws may
/// answer the close before the messages.
#[test]
fn messages_right_before_a_close_are_answered_now_or_on_the_next_connection() {
    let large = format!("\"{}\"", "*".repeat(256 << 10));
    let to_me = |payload: &str| wire::text(&offer("a", payload));
    let bytes = [to_me(&large), to_me("1"), wire::close(NORMAL, b"")].concat();
    on_both(|server| {
        let mut first = server.client("a");
        first.send_raw(&bytes);
        let mut answers = Vec::new();
        while let Some(answer) = text(&mut first) {
            answers.push(answer);
        }
        first.expect_end();
        server.wait_until_gone("a");
        if answers.len() < 2 {
            let mut next = server.client("a");
            while answers.len() < 2 {
                answers.extend(text(&mut next));
            }
            next.expect_nothing("a");
        }
        assert!(answers == [forwarded_offer("a", "a", &large), forwarded_offer("a", "a", "1")]);
    });
}

/// The next text. `None` is the close frame that answers one of the client.
fn text(client: &mut RawClient) -> Option<String> {
    let frame = client.next_frame("a text, or a close frame").expect("a frame");
    if frame.opcode() == opcode::CLOSE {
        assert_eq!(frame.payload, 1000_u16.to_be_bytes());
        return None;
    }
    Some(String::from_utf8(frame.payload).expect("UTF-8"))
}
