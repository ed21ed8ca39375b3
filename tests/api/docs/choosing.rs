//! The snippets of docs/CHOOSING.md and docs/USE.md. Their JavaScript also consists of valid Rust tokens, so a Rust
//! tokenizer can read it. The server must understand the messages that they send.

use peerbroker::dialect::root::{self, Command};
use peerbroker::dialect::{calls, room_codes};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde_json::{Map, Value, json};

use crate::docs::pages::{Block, blocks};

fn snippets(page: &str) -> Vec<(Block, Vec<TokenTree>)> {
    let parse = |block: Block| {
        let parsed: Result<TokenStream, _> = block.lines.join("\n").parse();
        let tokens = parsed.unwrap_or_else(|error| panic!("{}: {error}", block.at(1))).into_iter().collect();
        (block, tokens)
    };
    blocks(page, "js").into_iter().map(parse).collect()
}

#[test]
fn the_snippets_are_short_and_well_formed() {
    let snippets = [snippets("docs/USE.md"), snippets("docs/CHOOSING.md")];
    assert_eq!(snippets.each_ref().map(Vec::len), [3, 3]);
    for (block, tokens) in snippets.into_iter().flatten() {
        assert!(block.lines.len() < 25, "{}: {} lines", block.at(1), block.lines.len());
        assert!(!tokens.is_empty());
        let text = block.lines.join("\n");
        assert!(!text.contains(['“', '”', '’', '…', '\'', '`']), "{}", block.at(1));
    }
}

#[test]
fn messages_of_the_snippets_are_understood() {
    let mut understood = Vec::new();
    for (block, tokens) in snippets("docs/CHOOSING.md") {
        for frame in frames(&tokens) {
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
    }
    assert_eq!(understood, ["createRoom", "offerResponse", "joinRoom", "message", "message", "start"]);
}

#[test]
fn messages_that_the_snippets_expect_are_those_of_the_server() {
    let texts: Vec<String> =
        snippets("docs/CHOOSING.md").into_iter().map(|(block, _)| block.lines.join("\n")).collect();
    let [screen, phone, calls] = &texts[..] else { panic!("three snippets") };
    let awaited = |text: &str, member: &str| -> Vec<String> {
        let before = format!("{member} === \"");
        let found = text.split(&before).skip(1);
        found.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    assert_eq!(awaited(screen, "message.type"), ["confirmRoom", "offer"]);
    assert_eq!(awaited(phone, "message.type"), ["error", "answer"]);
    assert_eq!(awaited(calls, "action"), ["start", "start", "iceCandidate", "offer"]);
}

/// The frames that a snippet sends: `send({ action: … })` and `send("action", { … })`, with sample
/// values.
fn frames(tokens: &[TokenTree]) -> Vec<String> {
    let mut frames = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        // Not a method of the connection or the peer.
        let sends = match &tokens[..at] {
            [.., TokenTree::Punct(dot), TokenTree::Ident(_)] if dot.as_char() == '.' => false,
            [.., TokenTree::Ident(name)] => name == "send",
            _ => false,
        };
        if sends && group.delimiter() == Delimiter::Parenthesis {
            frames.extend(frame(&inner));
        }
        frames.extend(self::frames(&inner));
    }
    frames
}

fn frame(arguments: &[TokenTree]) -> Option<String> {
    let frame = match arguments {
        [TokenTree::Group(object)] if object.delimiter() == Delimiter::Brace => members(object.stream()),
        [TokenTree::Literal(action)] => Map::from_iter([("action".to_owned(), text(&action.to_string()))]),
        [action, _, TokenTree::Group(data)] => {
            let action = match action {
                TokenTree::Literal(action) => text(&action.to_string()),
                _ => json!("offer"),
            };
            let data = Value::Object(members(data.stream()));
            Map::from_iter([("action".to_owned(), action), ("data".to_owned(), data)])
        }
        _ => return None,
    };
    Some(Value::Object(frame).to_string())
}

/// The members of an object literal: `name: "text"`, `name: value` and `name`.
fn members(object: TokenStream) -> Map<String, Value> {
    let tokens: Vec<TokenTree> = object.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',');
    let members = tokens.split(is_comma).filter(|member| !member.is_empty());
    members
        .map(|member| match member {
            [name, _, TokenTree::Literal(value)] => (name.to_string(), text(&value.to_string())),
            [name, ..] => (name.to_string(), sample(&name.to_string())),
            [] => unreachable!("filtered"),
        })
        .collect()
}

fn text(literal: &str) -> Value {
    serde_json::from_str(literal).unwrap_or_else(|error| panic!("{error}: {literal}"))
}

fn sample(name: &str) -> Value {
    match name {
        "room" => json!("QXZP"),
        "username" | "clientUsername" | "remoteId" => json!("a"),
        "offer" | "response" | "description" | "candidate" => json!({}),
        other => panic!("the server knows no {other}"),
    }
}
