//! Sections 1 to 4: framing, pings and pongs, reserved bits, opcodes.

use super::{bad, echo, filler, good, pong, run_all, to_me, whole};
use crate::harness::wire::{self, FIN, opcode};

const HELLO: &str = "Hello, world!";
const BINARY: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

fn hello() -> Vec<u8> {
    whole(opcode::TEXT, to_me(HELLO))
}

fn ping(payload: impl AsRef<[u8]>) -> Vec<u8> {
    whole(opcode::PING, payload)
}

#[test]
fn messages_of_every_length_come_back() {
    let mut cases = vec![
        good("1.1.1", [whole(opcode::TEXT, "")], []),
        good("1.2.1", [whole(opcode::BINARY, "")], []),
        good("1.2.2, no JSON", [whole(opcode::BINARY, [0xFE; 125])], []),
    ];
    let numbers = ["2", "3", "4", "5", "6", "7 and 8"];
    for (number, len) in numbers.into_iter().zip([125, 126, 127, 128, 65_535, 65_536]) {
        let text = filler(len);
        let message = to_me(&text);
        assert_eq!(message.len(), len);
        cases.push(good(format!("1.1.{number}"), [whole(opcode::TEXT, &message)], [echo(&text)]));
        cases.push(good(format!("1.2.{number}"), [whole(opcode::BINARY, &message)], [echo(&text)]));
    }
    run_all(&cases);
}

#[test]
fn pings_are_answered_and_pongs_are_not() {
    let ten: Vec<String> = (0..10).map(|n| format!("payload-{n}")).collect();
    let unsolicited = whole(opcode::PONG, "unsolicited pong payload");
    run_all(&[
        good("2.1", [ping("")], [pong("")]),
        good("2.2", [ping(HELLO)], [pong(HELLO)]),
        good("2.3", [ping(BINARY)], [pong(BINARY)]),
        good("2.4 and 2.6", [ping([0xFE; 125])], [pong([0xFE; 125])]),
        bad("2.5", [ping([0xFE; 126])]),
        good("2.7", [whole(opcode::PONG, "")], []),
        good("2.8", [unsolicited.clone()], []),
        good("2.9", [unsolicited, ping("ping payload")], [pong("ping payload")]),
        good(
            "2.10 and 2.11",
            ten.iter().map(ping).collect::<Vec<_>>(),
            ten.iter().map(pong).collect::<Vec<_>>(),
        ),
    ]);
}

#[test]
fn a_reserved_bit_is_a_failure_and_nothing_behind_it_is_answered() {
    let reserved = |bits: u8, opcode, payload: &[u8]| wire::frame(FIN | bits << 4 | opcode, payload);
    let message = to_me(HELLO);
    let behind_a_message = |number, bits| {
        bad(number, [reserved(bits, opcode::TEXT, message.as_bytes()), ping("")])
            .behind([hello()], [echo(HELLO)])
    };
    run_all(&[
        bad("3.1", [reserved(1, opcode::TEXT, message.as_bytes())]),
        behind_a_message("3.2", 2),
        behind_a_message("3.3", 3),
        behind_a_message("3.4", 4),
        bad("3.5", [reserved(5, opcode::BINARY, BINARY)]),
        bad("3.6", [reserved(6, opcode::PING, HELLO.as_bytes())]),
        bad("3.7", [reserved(7, opcode::CLOSE, b"")]),
    ]);
}

#[test]
fn a_reserved_opcode_is_a_failure_and_nothing_behind_it_is_answered() {
    let mut cases = Vec::new();
    for (section, opcodes) in [("4.1", 0x3..=0x7), ("4.2", 0xB..=0xF)] {
        for (n, opcode) in (1..).zip(opcodes) {
            let number = format!("{section}.{n}");
            cases.push(match n {
                1 => bad(number, [whole(opcode, "")]),
                2 => bad(number, [whole(opcode, "reserved opcode payload")]),
                3 => bad(number, [whole(opcode, ""), ping("")]).behind([hello()], [echo(HELLO)]),
                _ => bad(number, [whole(opcode, HELLO), ping("")]).behind([hello()], [echo(HELLO)]),
            });
        }
    }
    run_all(&cases);
}
