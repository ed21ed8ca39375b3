//! Protocol violations end the connection at the first wrong byte, with the right code.

use super::*;
use peerbroker_core::vocabulary::CloseReason;

/// Expects that a message before the violation is decoded, and that the last byte causes the violation.
fn expect_broken(what: &str, bytes: &[u8]) {
    let mut decoder = decoder(MAX, &Quota::new(0));
    assert_eq!(feed(&mut decoder, &whole(opcode::TEXT, "before")), (vec![text("before")], Ok(())));
    let (last, front) = bytes.split_last().unwrap();
    assert_eq!(feed(&mut decoder, front).1, Ok(()), "{what}: not before its last byte");
    assert_eq!(feed(&mut decoder, &[*last]), (vec![], BROKEN), "{what}");
    assert_eq!(feed(&mut decoder, &whole(opcode::TEXT, "behind")), (vec![], BROKEN), "{what}");
    assert!(decoder.unfinished.is_none(), "{what}: nothing is kept");
}

/// The first two bytes of a frame.
fn start(first: u8) -> [u8; 2] {
    [first, MASKED | 5]
}

#[test]
fn a_reserved_bit_is_a_violation() {
    for opcode in
        [opcode::TEXT, opcode::BINARY, opcode::CONTINUATION, opcode::CLOSE, opcode::PING, opcode::PONG]
    {
        for bits in 1..=7 {
            expect_broken("a reserved bit", &start(FIN | bits << 4 | opcode));
        }
    }
    expect_broken("a reserved bit of a fragment", &start(0x40 | opcode::TEXT));
}

#[test]
fn a_reserved_opcode_is_a_violation() {
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        expect_broken("a reserved opcode", &start(FIN | opcode));
        expect_broken("a reserved opcode of a fragment", &start(opcode));
    }
}

#[test]
fn a_frame_without_a_mask_is_a_violation() {
    for opcode in [opcode::TEXT, opcode::BINARY, opcode::CLOSE, opcode::PING, opcode::PONG] {
        for len in [0, 5, 125] {
            expect_broken("no mask", &[FIN | opcode, len]);
        }
    }
    for len in [126, 127] {
        expect_broken("no mask", &[FIN | opcode::TEXT, len]);
    }
}

#[test]
fn a_control_frame_is_unfragmented_and_has_at_most_125_bytes() {
    for opcode in [opcode::CLOSE, opcode::PING, opcode::PONG] {
        expect_broken("a fragmented control frame", &start(opcode));
        for len in [126, 127] {
            let long = [FIN | opcode, MASKED | len];
            match opcode {
                opcode::CLOSE => assert_eq!(decode(&long), (vec![], Err(Disconnect::Closed(Some(1002))))),
                _ => expect_broken("a long control frame", &long),
            }
        }
    }
    for len in [0, 1, 124, 125] {
        let payload = vec![b'x'; len];
        let expected = (vec![Got::Ping(payload.clone())], Ok(()));
        assert_eq!(decode(&whole(opcode::PING, &payload)), expected);
    }
}

#[test]
fn a_length_with_its_highest_bit_set_is_a_violation() {
    for len in [1 << 63, u64::MAX] {
        expect_broken("the highest bit", &head(FIN | opcode::TEXT, Width::SixtyFour, len));
    }
    let largest = head(FIN | opcode::TEXT, Width::SixtyFour, u64::MAX >> 1);
    assert_eq!(decode(&largest), (vec![], TOO_BIG));
}

#[test]
fn only_continuations_continue_a_message() {
    expect_broken("a continuation of nothing", &header(FIN | opcode::CONTINUATION, 600));
    expect_broken("an unfinished continuation of nothing", &header(opcode::CONTINUATION, 0));
    for (begun, next) in
        [(opcode::TEXT, opcode::BINARY), (opcode::BINARY, opcode::TEXT), (opcode::TEXT, opcode::TEXT)]
    {
        for first in [next, FIN | next] {
            let bytes = [frame(begun, "a"), header(first, 600)].concat();
            expect_broken("a message within a message", &bytes);
        }
    }
    let twice = [frame(opcode::TEXT, "a"), whole(opcode::CONTINUATION, "b")].concat();
    expect_broken("a second end", &[twice, header(FIN | opcode::CONTINUATION, 0)].concat()[..]);
}

#[test]
fn text_that_is_not_utf8_is_a_violation_when_the_message_is_complete() {
    for bad in [
        &b"\x80"[..],
        b"\xFF",
        b"a\xC3",
        b"\xC0\xAF",
        b"\xE2\x82",
        b"\xED\xA0\x80",
        b"\xF0\x80\x80\x80",
        b"\xF4\x90\x80\x80",
        b"\xF0\x9F\x98",
    ] {
        assert_eq!(decode(&whole(opcode::TEXT, bad)), (vec![], NOT_UTF8), "{bad:?}");
        for cut in 0..=bad.len() {
            let (one, two) = bad.split_at(cut);
            let bytes = [frame(opcode::TEXT, one), whole(opcode::PING, ""), whole(opcode::CONTINUATION, two)];
            let expected = (vec![Got::Fragment, Got::Ping(vec![])], NOT_UTF8);
            assert_eq!(decode(&bytes.concat()), expected, "{bad:?} cut at {cut}");
        }
        assert_eq!(decode(&whole(opcode::BINARY, bad)), (vec![Got::Binary(bad.to_vec())], Ok(())));
    }
}

fn close(payload: impl AsRef<[u8]>) -> Result<(), Disconnect> {
    let (events, ended) = decode(&[whole(opcode::CLOSE, payload), whole(opcode::TEXT, "behind")].concat());
    assert_eq!(events, [], "nothing behind a close is handed over");
    ended
}

#[test]
fn a_close_ends_the_connection_with_the_code_to_answer_with() {
    let with = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    let closed = |code| Err(Disconnect::Closed(code));
    assert_eq!(close(""), closed(None));
    assert_eq!(close([3]), closed(CloseReason::ProtocolError.ending().code));
    for reason in ["", "bye", "tschüß", &"x".repeat(123)] {
        assert_eq!(close(with(1000, reason.as_bytes())), closed(Some(1000)), "{reason}");
    }
    assert_eq!(close(with(1000, b"\xED\xA0\x80")), closed(CloseReason::NotUtf8.ending().code));
    assert_eq!(close(with(1005, b"\xED\xA0\x80")), closed(CloseReason::ProtocolError.ending().code));
}

/// RFC 6455, section 7.4, and the IANA registry of close codes.
#[test]
fn a_close_code_comes_back_if_it_may_be_sent() {
    for code in 0..=u16::MAX {
        let may_be_sent = match code {
            // Reserved, or not assigned.
            1004..=1006 | 1015..=2999 => false,
            1000..=4999 => true,
            _ => false,
        };
        let answer = if may_be_sent { code } else { 1002 };
        assert_eq!(closed(&code.to_be_bytes()), Disconnect::Closed(Some(answer)), "{code}");
    }
}

#[test]
fn a_close_within_a_message_ends_it() {
    let bytes = [frame(opcode::TEXT, "begun"), whole(opcode::CLOSE, 1001_u16.to_be_bytes())].concat();
    assert_eq!(decode(&bytes), (vec![Got::Fragment], Err(Disconnect::Closed(Some(1001)))));
}
