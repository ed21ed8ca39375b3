//! Odd frames at the root, as a property: for any frames of one client, other clients are served, and
//! the odd client gets only well-formed JSON.

use std::cell::RefCell;

use peerbroker_config::DEFAULT_MAX_MESSAGE_BYTES;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use serde_json::Value;

use crate::harness::guests::{call, join, respond};
use crate::harness::wire::{self, FIN, opcode};
use crate::harness::{RawClient, TestServer, Transport, wait_until};

const CASES: u32 = 48;

/// A room and an id of other clients, for use in odd frames.
const ROOM: &str = "<room>";
const ID: &str = "<id>";

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().expect("a number")),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/proptest-regressions/odd_frames.txt",
        ))),
        ..ProptestConfig::default()
    }
}

#[derive(Clone, Debug)]
enum Said {
    Text(String),
    Bytes(Vec<u8>),
    /// A text in two frames.
    Split(String),
}

fn name() -> impl Strategy<Value = String> {
    let known = select(vec![
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "",
        "anna",
        "null",
        "\u{0}",
        "\u{2028}",
        "🙂",
    ]);
    prop_oneof![
        6 => known.prop_map(str::to_owned),
        2 => any::<String>(),
        1 => (0usize..1_000_000).prop_map(|len| "n".repeat(len)),
        1 => Just("é".repeat(500_000)),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "null",
        "true",
        "5",
        "-0.0",
        "1e400",
        "12345678901234567890",
        "[]",
        "{}",
        "\"\"",
        "\"\\ud800\"",
        "[[[[[[]]]]]]",
        r#"{"toString":1,"remoteId":"<id>"}"#,
        r#"{"remoteId":"<id>"}"#,
        r#"{"remoteId":"nobody"}"#,
        r#"{"remoteId":{"remoteId":"<id>"}}"#,
        r#"{"type":"offer","sdp":"v=0"}"#,
        r#"{"clientUsername":"anna"}"#,
        "\"<room>\"",
        "\"<id>\"",
        "\"anna\"",
        "tru",
        "{\"a\"",
        "[1,]",
        "\"unended",
    ]);
    prop_oneof![4 => odd.prop_map(str::to_owned), 1 => name().prop_map(|name| Value::from(name).to_string())]
}

fn action() -> impl Strategy<Value = String> {
    let known = select(vec![
        "createRoom",
        "joinRoom",
        "offerResponse",
        "startGame",
        "start",
        "offer",
        "answer",
        "iceCandidate",
        "bye",
        "__proto__",
        "constructor",
        "createroom",
    ]);
    prop_oneof![8 => known.prop_map(|known| format!("{known:?}")), 1 => value()]
}

/// A frame of either dialect or neither: members of both, missing, repeated, and of any type.
fn frame() -> impl Strategy<Value = String> {
    let member = select(vec![
        "action",
        "type",
        "room",
        "username",
        "offer",
        "clientUsername",
        "response",
        "data",
        "remoteId",
        "ro\\u006fm",
        "__proto__",
        "\\ud800",
        "",
    ]);
    let members = vec((member, value()), 0..6);
    (action(), members, any::<Index>(), any::<bool>()).prop_map(|(action, members, at, whole)| {
        let mut members: Vec<String> =
            members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        members.insert(at.index(members.len() + 1), format!("\"action\":{action}"));
        format!("{{{}{}", members.join(","), if whole { "}" } else { "" })
    })
}

/// A frame that is almost valid.
fn likely() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#"{"action":"createRoom"}"#.to_owned()),
        Just(r#"{"action":"start"}"#.to_owned()),
        Just(r#"{"action":"startGame"}"#.to_owned()),
        (name(), value()).prop_map(|(name, offer)| join(ROOM, &name, &offer)),
        (name(), value()).prop_map(|(name, response)| respond(&name, &response)),
        (select(vec!["offer", "x"]), select(vec![ID, "nobody", ""]), value())
            .prop_map(|(action, to, more)| call(action, to, &format!(r#","more":{more}"#))),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        6 => frame().prop_map(Said::Text),
        4 => likely().prop_map(Said::Text),
        1 => any::<String>().prop_map(Said::Text),
        1 => frame().prop_map(Said::Split),
        1 => likely().prop_map(|text| Said::Bytes(text.into_bytes())),
        1 => vec(any::<u8>(), 0..40).prop_map(Said::Bytes),
    ]
}

/// A host and its player, a caller and its callee.
struct WellBehaved {
    host: RawClient,
    player: RawClient,
    room: String,
    caller: RawClient,
    callee: RawClient,
    ids: [String; 2],
    turn: usize,
}

impl WellBehaved {
    fn begin(server: &TestServer) -> Self {
        let (host, room) = server.host();
        let (caller, a) = server.caller("caller");
        let (callee, b) = server.caller("callee");
        let player = server.guest("player");
        WellBehaved { host, player, room, caller, callee, ids: [a, b], turn: 0 }
    }

    /// Plays one round in the room and in the call. Messages that the odd client sent to them come
    /// first.
    fn expect_served(&mut self) {
        self.turn += 1;
        let offer = format!(r#"{{"turn":{}}}"#, self.turn);
        self.player.send(join(&self.room, "well", &offer));
        let at_host = skip_to(&mut self.host, &format!(r#"{{"turn":{},"clientUsername":"#, self.turn));
        let name: Value = serde_json::from_str(&at_host).unwrap();
        self.host.send(respond(name["clientUsername"].as_str().unwrap(), &offer));
        self.player.expect(&offer);
        self.player.expect_quiet();
        let [a, b] = &self.ids;
        let more = format!(r#","turn":{}"#, self.turn);
        self.caller.send(call("offer", b, &more));
        skip_to(&mut self.callee, &call("offer", a, &more));
        self.callee.send(call("answer", a, &more));
        self.caller.expect(format!(r#"{{"action":"answer","data":{{"turn":{}}}}}"#, self.turn));
        self.caller.expect_quiet();
    }
}

/// Reads up to the text with this prefix; all texts before it must be JSON.
fn skip_to(client: &mut RawClient, beginning: &str) -> String {
    loop {
        let text = client.expect_text();
        if text.starts_with(beginning) {
            return text;
        }
        expect_object(&text);
    }
}

/// Parses JSON, except for values that serde_json cannot represent: lone surrogates, and numbers
/// that are too large.
fn expect_object(text: &str) {
    let raw = serde_json::from_str::<&serde_json::value::RawValue>(text);
    assert!(raw.is_ok_and(|raw| raw.get().starts_with('{')), "{text}");
}

/// Sends it, and returns its length.
fn say(odd: &mut RawClient, said: &Said, pair: &WellBehaved) -> usize {
    let known = |text: &str| text.replace(ROOM, &pair.room).replace(ID, &pair.ids[1]).into_bytes();
    match said {
        Said::Text(text) => {
            let text = known(text);
            odd.send_raw(wire::frame(FIN | opcode::TEXT, &text));
            text.len()
        }
        Said::Bytes(bytes) => {
            odd.send_binary(bytes);
            bytes.len()
        }
        Said::Split(text) => {
            let text = known(text);
            let (first, second) = text.split_at(text.len() / 2);
            odd.send_raw(wire::frame(opcode::TEXT, first));
            odd.send_raw(wire::frame(FIN | opcode::CONTINUATION, second));
            text.len()
        }
    }
}

/// The odd client is still connected, unless it sent too much, and it got only objects.
fn expect_alive(odd: &mut RawClient, too_much: bool) {
    odd.ping(b"still there?");
    loop {
        let frame = odd.next_frame("a pong").expect("the connection goes on");
        match frame.opcode() {
            opcode::TEXT => expect_object(std::str::from_utf8(&frame.payload).expect("UTF-8")),
            opcode::PONG => return assert_eq!(frame.payload, b"still there?"),
            opcode::CLOSE if too_much => {
                assert_eq!(frame.payload[..2], 1009_u16.to_be_bytes());
                return assert_eq!(&frame.payload[2..], b"a message over --max_message_bytes");
            }
            other => panic!("{other:#x}: {:?}", String::from_utf8_lossy(&frame.payload)),
        }
    }
}

fn odd_frames_harm_nobody(transport: Transport) {
    // These tests do not check the queue of the other clients.
    let server = TestServer::start(transport, |config| config.limits.outbox_bytes = 64 << 20);
    let pair = RefCell::new(WellBehaved::begin(&server));
    let result = TestRunner::new(config()).run(&vec(said(), 1..12), |all| {
        let mut pair = pair.borrow_mut();
        let mut odd = server.guest("odd");
        let longest = all.iter().map(|said| say(&mut odd, said, &pair)).max();
        expect_alive(&mut odd, longest > Some(DEFAULT_MAX_MESSAGE_BYTES));
        pair.expect_served();
        odd.reset();
        wait_until("the odd one to be gone", || server.guests().len() == 4);
        // It shares its address with another host, so its own room does not wait for it.
        wait_until("the end of its room", || server.room_codes().len() == 1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn odd_frames_at_the_root_harm_nobody() {
    odd_frames_harm_nobody(Transport::Own);
}

#[test]
fn odd_frames_at_the_root_of_an_embedded_broker_harm_nobody() {
    odd_frames_harm_nobody(Transport::Actix);
}
