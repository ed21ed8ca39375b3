//! The snippets of docs/CHOOSING.md are JavaScript, and the server understands their messages. Tests in browsers run those of
//! docs/USE.md.

use peerbroker_protocols::root::{self, Command};
use peerbroker_protocols::{calls, room_codes};
use serde_json::{Map, Value, json};

use crate::docs::pages::{blocks, tool};

#[test]
fn messages_of_the_snippets_are_understood_and_those_that_they_await_are_known() {
    let mut understood = Vec::new();
    let mut awaited = Vec::new();
    for block in blocks("docs/CHOOSING.md", "js") {
        let text = block.lines.join("\n");
        tool("node", &["--input-type=module", "--check", "-"], "", &text);
        for frame in text.split(" send(").skip(1).map(frame) {
            let name = match root::decode(&frame) {
                Command::RoomCodes(room_codes::Command::Create) => "createRoom",
                Command::RoomCodes(room_codes::Command::Join { room, username: Some(_), offer: Some(_) })
                    if room == "QXZP" =>
                {
                    "joinRoom"
                }
                Command::RoomCodes(room_codes::Command::Answer { username: Some(_), response: Some(_) }) => {
                    "offerResponse"
                }
                Command::Calls(calls::Command::Start) => "start",
                Command::Calls(calls::Command::Send(_)) => "message",
                other => panic!("{}: {frame} is {other:?}", block.at(1)),
            };
            understood.push(name);
        }
        let compared = ["message.type === \"", "action === \""].map(|before| text.split(before).skip(1));
        let words = compared.into_iter().flatten().filter_map(|rest| rest.split('"').next());
        awaited.extend(words.map(str::to_owned));
    }
    assert_eq!(understood, ["createRoom", "offerResponse", "joinRoom", "message", "message", "start"]);
    let known = ["confirmRoom", "error", "error", "answer", "start", "start", "iceCandidate", "offer"];
    assert_eq!(awaited, known);
}

/// The frame of a call of `send({ action: … })` or `send("action", { … })`, with sample values.
fn frame(call: &str) -> String {
    let arguments = call.split(')').next().unwrap();
    let (action, members) = arguments.split_once('{').unwrap_or((arguments, ""));
    let members = members.trim_end_matches([' ', '}']).split(',').map(str::trim).filter(|it| !it.is_empty());
    let members: Map<String, Value> = members.map(member).collect();
    let frame = match action.trim_end_matches([',', ' ']) {
        "" => json!(members),
        action => json!({"action": literal(action).unwrap_or_else(|| json!("offer")), "data": members}),
    };
    frame.to_string()
}

/// A member of an object literal: `name: "text"`, `name: value` or `name`.
fn member(text: &str) -> (String, Value) {
    let (name, value) = text.split_once(": ").unwrap_or((text, ""));
    let sample = || match name {
        "room" => json!("QXZP"),
        "username" | "clientUsername" | "remoteId" => json!("a"),
        "offer" | "response" | "description" | "candidate" => json!({}),
        other => panic!("the server knows no {other}"),
    };
    (name.to_owned(), literal(value).unwrap_or_else(sample))
}

fn literal(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}
