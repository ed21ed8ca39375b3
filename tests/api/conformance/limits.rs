//! Section 9, as far as the message limit allows: 1 MiB instead of up to 16.

use std::slice;

use peerbroker::config::DEFAULT_MAX_MESSAGE_BYTES as BOUND;
use testkit::tools::cases;

use super::{Case, End, ME, TOO_BIG, Way, case, echo, filler, fragments, good, to_me, whole};
use crate::harness::on_both;
use crate::harness::wire::opcode::{BINARY, TEXT};

fn run_in(way: Way, cases: &[Case]) {
    on_both(|server| cases.iter().for_each(|case| case.run(server, way)));
}

#[test]
fn messages_up_to_the_bound_come_back_and_larger_ones_are_refused() {
    let mut cases = Vec::new();
    for (section, opcode) in [("9.1", TEXT), ("9.2", BINARY)] {
        for (n, len) in (1..).zip([64 << 10, 256 << 10, BOUND]) {
            let text = filler(len);
            cases.push(good(format!("{section}.{n}"), [whole(opcode, to_me(&text))], [echo(&text)]));
        }
        let too_big = [whole(opcode, to_me(&filler(4 << 20)))];
        cases.push(case(format!("{section}.4"), too_big, End::Failed(TOO_BIG)));
    }
    run_in(Way::AtOnce, &cases);
}

#[test]
fn a_full_message_comes_back_however_fragments_split_it() {
    let text = filler(BOUND);
    let message = to_me(&text);
    let mut all = Vec::new();
    for (section, opcode) in [("9.3", TEXT), ("9.4", BINARY)] {
        for (n, size) in (1..).zip([64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, BOUND]) {
            all.push((format!("{section}.{n}"), fragments(opcode, message.as_bytes(), size)));
        }
    }
    on_both(|server| {
        for (number, fragments) in &all {
            good(number, fragments.as_slice(), [echo(&text)]).run(server, Way::AtOnce);
        }
    });
}

#[test]
fn a_message_of_too_many_fragments_is_refused() {
    let too_big = fragments(TEXT, to_me(&filler(4 << 20)).as_bytes(), 64 << 10);
    run_in(Way::AtOnce, &[case("9.3.6, with its 4 MiB", too_big, End::Failed(TOO_BIG))]);
}

#[test]
fn a_full_message_comes_back_however_writes_split_it() {
    let text = filler(BOUND);
    for (section, opcode) in [("9.5", TEXT), ("9.6", BINARY)] {
        let full = good(section, [whole(opcode, to_me(&text))], [echo(&text)]);
        for size in [64, 128, 256, 512, 1024, 2048] {
            run_in(Way::InChops(size), slice::from_ref(&full));
        }
    }
}

/// 9.7 and 9.8, without their times.
#[test]
fn many_messages_come_back_one_by_one() {
    let times = cases(50, 1000);
    on_both(|server| {
        let mut client = server.client(ME);
        for opcode in [TEXT, BINARY] {
            for len in [64, 256, 1024, 4096] {
                let text = filler(len);
                let (frame, answer) = (whole(opcode, to_me(&text)), Some(echo(&text)));
                for _ in 0..times {
                    client.send_raw(&frame);
                    assert!(client.next_frame("an echo") == answer, "of {len} bytes");
                }
            }
        }
    });
}
