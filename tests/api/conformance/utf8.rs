//! Section 6: UTF-8.

use super::{Case, End, ME, NOT_UTF8, case, echo, first, fragments, good, run_all, to_me, whole};
use crate::harness::on_both;
use crate::harness::wire::opcode::{CONTINUATION, TEXT};

const HELLO: &str = "Hello-µ@ßöäüàá-UTF-8!!";
const KOSME: &str = "κόσμε";

/// A text frame that is not UTF-8, split as the case says.
fn not_utf8(number: impl Into<String>, frames: impl Into<Vec<Vec<u8>>>) -> Case {
    case(number, frames, End::Failed(NOT_UTF8))
}

#[test]
fn fragments_may_be_empty_and_end_within_a_character() {
    let [hello, kosme, middle] = [HELLO, KOSME, "middle frame payload"].map(to_me);
    let (left, right) = hello.split_at(hello.find('ü').unwrap());
    let broken = [KOSME.as_bytes(), b"\xed\xa0\x80edited"].concat();
    let nothing = || first(CONTINUATION, "");
    run_all(&[
        good("6.1.1", [whole(TEXT, "")], []),
        good("6.1.2", [first(TEXT, ""), nothing(), whole(CONTINUATION, "")], []),
        good(
            "6.1.3",
            [first(TEXT, ""), first(CONTINUATION, middle), whole(CONTINUATION, "")],
            [echo("middle frame payload")],
        ),
        good("6.2.1", [whole(TEXT, &hello)], [echo(HELLO)]),
        good("6.2.2", [first(TEXT, left), whole(CONTINUATION, right)], [echo(HELLO)]),
        good("6.2.3", fragments(TEXT, hello.as_bytes(), 1), [echo(HELLO)]),
        good("6.2.4", fragments(TEXT, kosme.as_bytes(), 1), [echo(KOSME)]),
        not_utf8("6.3.1", [whole(TEXT, &broken)]),
        not_utf8("6.3.2", fragments(TEXT, &broken, 1)),
    ]);
}

/// 6.4: Autobahn prefers that the second part ends the connection. Here a ping after each part
/// shows that the connection stays open until the text is complete.
#[test]
fn a_text_is_judged_when_it_is_whole() {
    let text = [KOSME.as_bytes(), b"\xf4\x90\x80\x80edited"].concat();
    on_both(|server| {
        for (number, one, two) in [("6.4.1", 11, 15), ("6.4.2", 12, 13)] {
            eprintln!("{number}");
            let mut client = server.client(ME);
            client.send_raw(first(TEXT, &text[..one]));
            client.ping(b"A");
            assert_eq!(client.expect_pong(), b"A");
            client.send_raw(first(CONTINUATION, &text[one..two]));
            client.ping(b"B");
            assert_eq!(client.expect_pong(), b"B");
            client.send_raw(whole(CONTINUATION, &text[two..]));
            client.expect_closed_with(Some(NOT_UTF8));
            server.wait_until_gone(ME);
        }
        // The same as pieces of one frame, between which no ping is possible.
        let frame = whole(TEXT, &text);
        let header = frame.len() - text.len();
        for (number, one, two) in [("6.4.3", 11, 15), ("6.4.4", 12, 13)] {
            eprintln!("{number}");
            let mut client = server.client(ME);
            for part in [&frame[..header + one], &frame[header + one..header + two], &frame[header + two..]] {
                client.send_raw(part);
                server.get("/healthz");
            }
            client.expect_closed_with(Some(NOT_UTF8));
            server.wait_until_gone(ME);
        }
    });
}

/// From 6.5 on: section, number of the first sequence, whether these are UTF-8, the sequences.
const SEQUENCES: &[(&str, usize, bool, &[&[u8]])] = &[
    // Some valid sequences.
    (
        "6.5",
        1,
        true,
        &[
            b"hello\x24world",
            b"hello\xc2\xa2world",
            b"hello\xe2\x82\xacworld",
            b"hello\xf0\xa4\xad\xa2world",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
        ],
    ),
    // The first of each length, including invalid lengths.
    ("6.7", 1, true, &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
    ("6.8", 1, false, &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
    // The last of each length, including invalid lengths and code points.
    ("6.9", 1, true, &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
    ("6.10", 1, false, &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
    // Before and after the surrogates, and around the last code point.
    ("6.11", 1, true, &[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"]),
    ("6.11", 5, false, &[b"\xf4\x90\x80\x80"]),
    // Continuation bytes without a first byte.
    (
        "6.12",
        1,
        false,
        &[
            b"\x80",
            b"\xbf",
            b"\x80\xbf",
            b"\x80\xbf\x80",
            b"\x80\xbf\x80\xbf",
            b"\x80\xbf\x80\xbf\x80",
            b"\x80\xbf\x80\xbf\x80\xbf",
        ],
    ),
    // Sequences without their last byte.
    ("6.14", 1, false, WITHOUT_THEIR_LAST),
    // Bytes that are never valid.
    ("6.16", 1, false, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    // Overlong forms: of a slash, the longest ones, and of NUL.
    (
        "6.17",
        1,
        false,
        &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
    ),
    (
        "6.18",
        1,
        false,
        &[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        "6.19",
        1,
        false,
        &[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    ),
    // Surrogates, one or two.
    (
        "6.20",
        1,
        false,
        &[
            b"\xed\xa0\x80",
            b"\xed\xad\xbf",
            b"\xed\xae\x80",
            b"\xed\xaf\xbf",
            b"\xed\xb0\x80",
            b"\xed\xbe\x80",
            b"\xed\xbf\xbf",
        ],
    ),
    (
        "6.21",
        1,
        false,
        &[
            b"\xed\xa0\x80\xed\xb0\x80",
            b"\xed\xa0\x80\xed\xbf\xbf",
            b"\xed\xad\xbf\xed\xb0\x80",
            b"\xed\xad\xbf\xed\xbf\xbf",
            b"\xed\xae\x80\xed\xb0\x80",
            b"\xed\xae\x80\xed\xbf\xbf",
            b"\xed\xaf\xbf\xed\xb0\x80",
            b"\xed\xaf\xbf\xed\xbf\xbf",
        ],
    ),
    // U+FFF9 to U+FFFF.
    (
        "6.23",
        1,
        true,
        &[
            b"\xef\xbf\xb9",
            b"\xef\xbf\xba",
            b"\xef\xbf\xbb",
            b"\xef\xbf\xbc",
            b"\xef\xbf\xbd",
            b"\xef\xbf\xbe",
            b"\xef\xbf\xbf",
        ],
    ),
];

const WITHOUT_THEIR_LAST: &[&[u8]] = &[
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

fn well_formed(number: String, text: &str) -> Case {
    // Raw control characters are invalid in JSON, so such a text is not a message.
    let echoed = !text.contains(|c: char| c < ' ');
    good(number, [whole(TEXT, to_me(text))], if echoed { vec![echo(text)] } else { vec![] })
}

#[test]
fn sequences_of_bytes_are_utf_8_or_the_end() {
    let mut cases = Vec::new();
    for (section, from, valid, sequences) in SEQUENCES {
        for (n, bytes) in (*from..).zip(*sequences) {
            let number = format!("{section}.{n}");
            cases.push(match std::str::from_utf8(bytes) {
                Ok(text) if *valid => well_formed(number, text),
                _ => {
                    assert!(!valid, "{number} is UTF-8");
                    not_utf8(number, [whole(TEXT, bytes)])
                }
            });
        }
    }
    run_all(&cases);
}

#[test]
fn long_rows_of_sequences_are_utf_8_or_the_end() {
    let mut cases = Vec::new();
    // All prefixes of a text.
    for len in 1..=KOSME.len() {
        let number = format!("6.6.{len}");
        cases.push(match KOSME.get(..len) {
            Some(text) => well_formed(number, text),
            None => not_utf8(number, [whole(TEXT, &KOSME.as_bytes()[..len])]),
        });
    }
    // Many continuation bytes without a first byte, and single first bytes.
    cases.push(not_utf8("6.12.8", [whole(TEXT, (0x80..0xbf).collect::<Vec<u8>>())]));
    for (n, firsts) in (1..).zip([0xc0..0xdf, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd_u8]) {
        let alone: Vec<u8> = firsts.flat_map(|first| [first, b' ']).collect();
        cases.push(not_utf8(format!("6.13.{n}"), [whole(TEXT, alone)]));
    }
    cases.push(not_utf8("6.15.1", [whole(TEXT, WITHOUT_THEIR_LAST.concat())]));
    // Noncharacters, which are still well-formed: the last two code points of each plane.
    let no_characters = (0..=0x10).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    for (n, point) in (1..).zip(no_characters) {
        cases.push(well_formed(format!("6.22.{n}"), &char::from_u32(point).unwrap().to_string()));
    }
    run_all(&cases);
}
