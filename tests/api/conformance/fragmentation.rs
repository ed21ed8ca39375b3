//! Section 5, fragmentation, and section 10, which is the same with fragments of one size.

use super::{ME, bad, echo, filler, first, fragments, good, pong, run_all, to_me, whole};
use crate::harness::on_both;
use crate::harness::wire::opcode::{CONTINUATION, PING, PONG, TEXT};

const TEXT_OF_TWO: &str = "fragment1fragment2";

/// The two halves of a message to its sender.
fn halves() -> [Vec<u8>; 2] {
    let message = to_me(TEXT_OF_TWO);
    let (left, right) = message.split_at(message.len() / 2);
    [first(TEXT, left), whole(CONTINUATION, right)]
}

#[test]
fn only_data_is_fragmented_and_only_what_has_begun_goes_on() {
    let [left, right] = halves();
    let hello = whole(TEXT, to_me("Hello, world!"));
    let end_of_nothing = whole(CONTINUATION, "non-continuation payload");
    let part_of_nothing = first(CONTINUATION, "non-continuation payload");
    let twice = |stray: &Vec<u8>| vec![[stray.as_slice(), &left, &right].concat(); 2];
    let ping = whole(PING, "ping payload");
    let long = filler(65_536);
    run_all(&[
        bad("5.1", [first(PING, "fragment1"), whole(CONTINUATION, "fragment2")]),
        bad("5.2", [first(PONG, "fragment1"), whole(CONTINUATION, "fragment2")]),
        good("5.3 to 5.5", [left.clone(), right.clone()], [echo(TEXT_OF_TWO)]),
        good("5.6 to 5.8", [left.clone(), ping, right.clone()], [pong("ping payload"), echo(TEXT_OF_TWO)]),
        bad("5.9 to 5.11", [end_of_nothing.clone(), hello.clone()]),
        bad("5.12 to 5.14", [part_of_nothing.clone(), hello.clone()]),
        bad("5.15", [part_of_nothing.clone(), hello])
            .behind([left.clone(), right.clone()], [echo(TEXT_OF_TWO)]),
        bad("5.16", twice(&part_of_nothing)),
        bad("5.17", twice(&end_of_nothing)),
        bad("5.18", [left, whole(TEXT, "fragment2")]),
        good("10.1.1", fragments(TEXT, to_me(&long).as_bytes(), 1300), [echo(&long)]),
    ]);
}

/// 5.19 and 5.20.
#[test]
fn a_ping_within_a_message_is_answered_before_the_message_is_whole() {
    on_both(|server| {
        let mut client = server.client(ME);
        let message = to_me("fragment1fragment2fragment3fragment4fragment5");
        let [one, two, three, four, five]: [Vec<u8>; 5] =
            fragments(TEXT, message.as_bytes(), message.len().div_ceil(5)).try_into().unwrap();
        client.send_raw([one, two, whole(PING, "pongme 1!")].concat());
        assert_eq!(client.expect_pong(), b"pongme 1!");
        client.send_raw([three, four, whole(PING, "pongme 2!")].concat());
        assert_eq!(client.expect_pong(), b"pongme 2!");
        client.send_raw(five);
        let whole_again = echo("fragment1fragment2fragment3fragment4fragment5").payload;
        client.expect(String::from_utf8(whole_again).unwrap());
        client.expect_closed_by_us(Some(super::NORMAL));
    });
}
