//! Section 7: closing.

use super::{
    Case, End, ME, NORMAL, NOT_UTF8, PROTOCOL, Way, case, echo, filler, first, good, read_until_close,
    run_all, send, to_me, whole,
};
use crate::harness::http_client::TIMEOUT;
use crate::harness::wire::close;
use crate::harness::wire::opcode::{CLOSE, CONTINUATION, PING, TEXT};
use crate::harness::{TestServer, Transport, on_both};

const HELLO: &str = "Hello World!";
const CLOSED: End = End::Closed(Some(NORMAL));

#[test]
fn nothing_behind_a_close_is_answered() {
    let normal = || close(Some(NORMAL), b"");
    let message = to_me(HELLO);
    let (left, right) = message.split_at(9);
    run_all(&[
        good("7.1.1", [whole(TEXT, &message)], [echo(HELLO)]),
        case("7.1.2", [normal(), whole(CLOSE, "")], CLOSED),
        case("7.1.3", [normal(), whole(PING, "")], CLOSED),
        case("7.1.4", [normal(), whole(TEXT, &message)], CLOSED),
        case("7.1.4, with a reason", [close(Some(4001), "ünï".as_bytes())], End::Closed(Some(4001))),
        case("7.1.5", [first(TEXT, left), normal(), whole(CONTINUATION, right)], CLOSED),
    ]);
}

/// 7.1.6: an unsent message waits for the next connection when the client closes, and actix-ws may
/// answer the close before the messages.
#[test]
fn messages_right_before_a_close_are_answered_now_or_on_the_next_connection() {
    let large = filler(256 << 10);
    let frames =
        [whole(TEXT, to_me(&large)), whole(TEXT, to_me(HELLO)), close(Some(NORMAL), b""), whole(PING, "")];
    on_both(|server| {
        let mut client = server.client(ME);
        send(server, &mut client, &frames, Way::AtOnce);
        let mut answers = Vec::new();
        assert_eq!(read_until_close(&mut client, &mut answers), Some(NORMAL));
        client.expect_end();
        server.wait_until_gone(ME);
        if answers.len() < 2 {
            let mut next = server.client(ME);
            while answers.len() < 2 {
                answers.extend(next.next_frame("what waited"));
            }
            next.expect_nothing(ME);
        }
        assert!(answers == [echo(&large), echo(HELLO)]);
    });
}

#[test]
fn a_close_has_no_payload_or_a_code_and_up_to_123_bytes_of_text() {
    let with_reason = |reason: &[u8]| close(Some(NORMAL), reason);
    let not_utf8 = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64";
    run_all(&[
        case("7.3.1", [close(None, b"")], End::Closed(None)),
        case("7.3.2", [close(None, b"a")], End::Failed(PROTOCOL)),
        case("7.3.3", [with_reason(b"")], CLOSED),
        case("7.3.4", [with_reason(HELLO.as_bytes())], CLOSED),
        case("7.3.5", [with_reason(&[b'*'; 123])], CLOSED),
        case("7.3.6", [with_reason(&[b'*'; 124])], End::Failed(PROTOCOL)),
        case("7.5.1", [with_reason(not_utf8)], End::Failed(NOT_UTF8)),
    ]);
}

#[test]
fn a_close_code_that_may_be_sent_comes_back_and_any_other_is_a_failure() {
    let sent = |number: String, code, end| case(number, [close(Some(code), b"")], end);
    let mut cases: Vec<Case> = Vec::new();
    // From 1012 to 1014 they are not in the suite, which is older.
    let valid =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999, 1012, 1013, 1014];
    for (n, code) in (1..).zip(valid) {
        cases.push(sent(format!("7.7.{n}"), code, End::Closed(Some(code))));
    }
    for (n, code) in (1..).zip([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]) {
        cases.push(sent(format!("7.9.{n}"), code, End::Failed(PROTOCOL)));
    }
    for (n, code) in (1..).zip([5000, 65_535]) {
        cases.push(sent(format!("7.13.{n}"), code, End::Failed(PROTOCOL)));
    }
    run_all(&cases);
}

/// Autobahn prefers that the server ends the connection. A client that has sent an invalid close
/// frame sends no other.
#[test]
fn after_a_bad_close_frame_no_other_is_waited_for() {
    let server = TestServer::start(Transport::Own, |config| config.close_timeout = 10 * TIMEOUT);
    let closes = [
        ("7.3.2", close(None, b"a"), PROTOCOL),
        ("7.3.6", close(Some(NORMAL), &[b'*'; 124]), PROTOCOL),
        ("7.5.1", close(Some(NORMAL), b"\xed\xa0\x80"), NOT_UTF8),
        ("7.9.1", close(Some(0), b""), PROTOCOL),
    ];
    for (number, bytes, code) in closes {
        eprintln!("{number}");
        let mut client = server.client(ME);
        client.send_raw(bytes);
        assert_eq!(client.expect_close(), Some(code));
        client.expect_end();
    }
}
