//! RFC 6455 by the case list of the Autobahn test suite, each case under its number there.
//! `tests/CONTRACT.md` says which test has which section. Cases that Autobahn lacks are in
//! [`crate::protocol`].
//!
//! This server is not an echo server. Here a peer sends offers to itself, and gets them back as its
//! echo. The server ignores text that is not a message, and the connection stays open.
//!
//! Differences to the behaviour that Autobahn prefers:
//!
//! - Text is checked when it is complete (6.4). Its size is limited, so an earlier end gains little.
//!   Autobahn calls this non-strict and accepts it.
//! - A message over the limit of 1 MiB is refused (9.1 to 9.4 go up to 16 MiB).
//! - The codes 1012 to 1014 are accepted as well; Autobahn has no case for them.
//! - In an embedded broker actix-ws decides 7.1.6.

mod closing;
mod fragmentation;
mod framing;
mod limits;
mod utf8;

use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::wire::{self, FIN, Frame, opcode};
use crate::harness::{RawClient, TestServer, Transport, on_both};

const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// The peer that sends to itself.
const ME: &str = "a";

/// A case: the frames of the client, and the expected answers.
struct Case {
    number: String,
    /// The expected answers.
    frames: Vec<Vec<u8>>,
    answers: Vec<Frame>,
    /// The bytes that end the connection, and any bytes after them.
    last: Vec<Vec<u8>>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    /// The client closes, and gets this code back.
    Closed(Option<u16>),
    /// The server closes with this code.
    Failed(u16),
}

/// The split of a case's bytes into writes.
#[derive(Clone, Copy, Debug)]
enum Way {
    AtOnce,
    FrameByFrame,
    InChops(usize),
}

/// A case in which the only answer is the end.
fn case(number: impl Into<String>, last: impl Into<Vec<Vec<u8>>>, end: End) -> Case {
    Case { number: number.into(), frames: Vec::new(), answers: Vec::new(), last: last.into(), end }
}

/// A case that breaks the protocol.
fn bad(number: impl Into<String>, frames: impl Into<Vec<Vec<u8>>>) -> Case {
    case(number, frames, End::Failed(PROTOCOL))
}

/// A valid case, after which the client closes.
fn good(number: impl Into<String>, frames: impl Into<Vec<Vec<u8>>>, answers: impl Into<Vec<Frame>>) -> Case {
    let close = wire::close(Some(NORMAL), b"");
    case(number, [close], End::Closed(Some(NORMAL))).behind(frames, answers)
}

impl Case {
    /// The same after frames that are answered.
    fn behind(mut self, frames: impl Into<Vec<Vec<u8>>>, answers: impl Into<Vec<Frame>>) -> Self {
        (self.frames, self.answers) = (frames.into(), answers.into());
        self
    }

    fn run(&self, server: &TestServer, way: Way) {
        let name = format!("{}, {way:?}, {:?}", self.number, server.transport);
        eprintln!("{name}");
        let mut client = server.client(ME);
        let mut answers = Vec::new();
        if server.transport == Transport::Own {
            send(server, &mut client, &[&self.frames[..], &self.last].concat(), way);
        } else {
            // An end overtakes answers that are not written yet. Autobahn accepts both.
            send(server, &mut client, &self.frames, way);
            answers.extend(self.answers.iter().map(|_| client.next_frame("an answer").expect("an answer")));
            send(server, &mut client, &self.last, way);
        }
        let code = read_until_close(&mut client, &mut answers);
        assert!(answers == self.answers, "{name}: {}", shown(&answers));
        match self.end {
            End::Closed(wanted) => assert_eq!(code, wanted, "{name}"),
            End::Failed(wanted) => {
                assert!(code == Some(wanted), "{name}: {code:?} for {wanted}");
                client.close(code);
            }
        }
        client.expect_end();
        server.wait_until_gone(ME);
    }

    /// Small cases byte by byte, large ones in larger pieces, as Autobahn does.
    fn chops(&self) -> Way {
        let len: usize = self.frames.iter().chain(&self.last).map(Vec::len).sum();
        Way::InChops(if len < 1000 { 1 } else { 997 })
    }
}

/// Runs each case on both transports, with all splits.
fn run_all(cases: &[Case]) {
    on_both(|server| {
        let mut bystander = server.client("bystander");
        for case in cases {
            for way in [Way::AtOnce, Way::FrameByFrame, case.chops()] {
                case.run(server, way);
            }
        }
        bystander.expect_nothing("bystander");
    });
}

fn send(server: &TestServer, client: &mut RawClient, frames: &[Vec<u8>], way: Way) {
    match way {
        Way::AtOnce => client.send_raw(frames.concat()),
        Way::FrameByFrame => {
            for frame in frames {
                client.send_raw(frame);
                // The HTTP request gives the server time to read the input.
                server.get("/healthz");
            }
        }
        Way::InChops(size) => frames.concat().chunks(size).for_each(|chop| client.send_raw(chop)),
    }
}

/// Reads all frames up to the close frame, and returns its code.
fn read_until_close(client: &mut RawClient, frames: &mut Vec<Frame>) -> Option<u16> {
    loop {
        let frame = client.next_frame("an answer, or a close frame").expect("a close frame before the end");
        if frame.first == FIN | opcode::CLOSE {
            return frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        }
        frames.push(frame);
    }
}

fn shown(frames: &[Frame]) -> String {
    let one = |frame: &Frame| {
        let text = String::from_utf8_lossy(&frame.payload).chars().take(100).collect::<String>();
        format!("{:#x} {text:?} of {} bytes", frame.first, frame.payload.len())
    };
    frames.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A complete message in one frame.
fn whole(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    wire::frame(FIN | opcode, payload.as_ref())
}

/// The first or a middle fragment of a message.
fn first(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    wire::frame(opcode, payload.as_ref())
}

/// A message in fragments of this size.
fn fragments(opcode: u8, message: &[u8], size: usize) -> Vec<Vec<u8>> {
    let last = message.len().div_ceil(size) - 1;
    let frame = |(n, piece): (usize, &[u8])| {
        let opcode = if n == 0 { opcode } else { opcode::CONTINUATION };
        wire::frame(if n == last { FIN | opcode } else { opcode }, piece)
    };
    message.chunks(size).enumerate().map(frame).collect()
}

/// A message to its sender, with text that needs no escapes.
fn to_me(text: &str) -> String {
    offer(ME, &format!("\"{text}\""))
}

fn echo(text: &str) -> Frame {
    let payload = forwarded_offer(ME, ME, &format!("\"{text}\"")).into_bytes();
    Frame { first: FIN | opcode::TEXT, payload }
}

/// A text with which a message to its sender has this length.
fn filler(len: usize) -> String {
    "*".repeat(len - to_me("").len())
}

fn pong(payload: impl AsRef<[u8]>) -> Frame {
    Frame { first: FIN | opcode::PONG, payload: payload.as_ref().to_vec() }
}
