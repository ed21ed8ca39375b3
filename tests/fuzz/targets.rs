//! The targets of `fuzz/` and of the test of its corpus. Each target reads hostile input and panics if the
//! code breaks an invariant.

mod browsers;
mod forwarding;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;

use actix_http::header::{HeaderName, HeaderValue};
use actix_http::{Method, RequestHead, Version};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::public::{forwarded, handshake, routes};
use crate::keys::{Origin, verifier};
use peerbroker_config::{Config, Dialect, Dialects, MountPath};
use peerbroker_core::vocabulary::{CloseReason, Frame};
use peerbroker_limits::Quota;
use peerbroker_node::descriptions::without_addresses;
use peerbroker_node::session::Credentials;
use peerbroker_protocols::calls::CallCommand;
use peerbroker_protocols::json::{LONGEST_NAME, members};
use peerbroker_protocols::peerjs::{self, PeerJsCommand};
use peerbroker_protocols::room_codes::{self, RoomCodeCommand};
use peerbroker_protocols::root::{self, RootCommand};
use peerbroker_router::Disconnect;
use peerbroker_transport::decoder::Decoder;
use peerbroker_transport::{MessageLimits, SocketEvent, proxy_protocol};

/// Frames are decoded the same however reads split them, and parts of messages are the same messages. The
/// first byte is the seed of the splits.
pub fn decoder(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else { return };
    let whole = decode(&mut bytes.to_vec(), |decoder| decoder, |rest| rest);
    let split = || {
        let mut state = u32::from(seed) + 1;
        move |rest: usize| {
            // Xorshift. Most splits are short, some are long.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let longest = if state.is_multiple_of(8) { 300 } else { 4 };
            rest.min(1 + (state >> 8) as usize % longest)
        }
    };
    assert_eq!(whole, decode(&mut bytes.to_vec(), |decoder| decoder, split()));
    let (messages, ended) = decode(&mut bytes.to_vec(), Decoder::in_parts, split());
    let fragment = format!("{:?}", SocketEvent::Fragment);
    let is_message = |event: &&String| **event != fragment;
    let wanted: Vec<&String> = whole.0.iter().filter(is_message).collect();
    if whole.1 == Err(Disconnect::ByServer(CloseReason::NotUtf8)) {
        // Parts are not read.
        assert!(messages.iter().take(wanted.len()).eq(wanted));
    } else {
        assert_eq!((messages.iter().collect(), ended), (wanted, whole.1));
    }
}

/// The complete messages, and the end.
fn decode(
    mut bytes: &mut [u8],
    kind: fn(Decoder) -> Decoder,
    mut next: impl FnMut(usize) -> usize,
) -> (Vec<String>, Result<(), Disconnect>) {
    let unfinished = Quota::new(usize::MAX);
    let limits = MessageLimits { max_message_bytes: 1000, unfinished: Arc::clone(&unfinished), permit: None };
    let mut decoder = kind(Decoder::new(limits));
    let mut events = Vec::new();
    let mut parts = Vec::new();
    let mut ended = Ok(());
    while !bytes.is_empty() && ended.is_ok() {
        let (piece, rest) = bytes.split_at_mut(next(bytes.len()));
        ended = decoder.feed(piece, &mut |event| {
            let SocketEvent::Part { text, bytes, place } = event else {
                events.push(format!("{event:?}"));
                return ControlFlow::Continue(());
            };
            assert_eq!(place.is_first, parts.is_empty());
            parts.push(bytes.to_vec());
            if place.is_last {
                let message = std::mem::take(&mut parts).concat();
                let event = match std::str::from_utf8(&message) {
                    Ok(message) if text => SocketEvent::Text(message),
                    _ => SocketEvent::Binary(&message),
                };
                events.push(format!("{event:?}"));
            }
            ControlFlow::Continue(())
        });
        bytes = rest;
    }
    drop(decoder);
    assert_eq!(unfinished.used(), 0, "nothing is charged after the end");
    (events, ended)
}

/// The response to a handshake has exactly the intended headers, for any headers of the client. The first
/// line is the method, the others are headers.
pub fn handshake(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let mut head = RequestHead::default();
    head.method = lines.next().and_then(|line| Method::from_bytes(line).ok()).unwrap_or_default();
    head.version = if head.method == Method::GET { Version::HTTP_11 } else { Version::HTTP_10 };
    for (name, value) in headers(lines) {
        if name == "connection" && value.as_bytes().eq_ignore_ascii_case(b"upgrade") {
            head.set_connection_type(actix_http::ConnectionType::Upgrade);
        }
        head.headers.append(name, value);
    }
    let decision = handshake::decide(&head, routes::Route::Socket(Dialect::PeerJs), Dialects::default());
    let Some(Ok(accepted)) = decision else { return };
    let answer = String::from_utf8(accepted.to_bytes()).expect("headers of ASCII");
    let lines: Vec<&str> = answer.split("\r\n").collect();
    assert_eq!(lines.first(), Some(&"HTTP/1.1 101 Switching Protocols"));
    assert!(matches!(lines.len(), 6 | 7) && answer.ends_with("\r\n\r\n"), "{answer:?}");
    assert!(!answer.replace("\r\n", "").contains(|c: char| c.is_control() && c != '\t'), "{answer:?}");
}

fn headers<'a>(
    lines: impl Iterator<Item = &'a [u8]> + 'a,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + 'a {
    lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = line.get(..colon)?;
        let value = line.get(colon + 1..)?;
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.trim_ascii()).ok()?))
    })
}

/// An object has the same members as serde_json finds, and forwarding preserves their meaning.
pub fn json(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut ours = Vec::new();
    let is_object = members(text, |name, value| ours.push((name, value))).is_some();
    let raw = serde_json::from_str::<&RawValue>(text).ok();
    assert_eq!(is_object, raw.is_some_and(|raw| raw.get().starts_with('{')));
    for (name, value) in &ours {
        let alone = serde_json::from_str::<&RawValue>(value).map(RawValue::get);
        assert_eq!(alone.ok(), Some(*value), "a value is its own text");
        let read = serde_json::from_str::<String>(name.written()).ok();
        for wanted in ["type", "dst", "payload"] {
            assert_eq!(name.is(wanted), read.as_deref() == Some(wanted));
        }
        assert!(read.is_none_or(|read| name.is(&read) || read.len() > LONGEST_NAME));
    }
    if let PeerJsCommand::Forward(peerjs::Envelope { kind, dst, payload }) = peerjs::decode(text) {
        let frame = peerjs::forward(kind, "sen\"der", &dst, payload);
        if let (Ok(sent), Some(got)) = (value(text), object(&frame)) {
            assert_eq!(got["type"], sent["type"]);
            assert_eq!((&got["src"], &got["dst"]), (&Value::from("sen\"der"), &sent["dst"]));
            assert_eq!(got.get("payload"), sent.get("payload"));
        }
    }
}

/// Messages reach their recipient unchanged, except for the members that the server sets. No browser finds a
/// candidate in one whose addresses are withheld.
pub fn dialects(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let sent = value(text).ok();
    if sent.is_some() {
        let told = value(&without_addresses(text)).expect("JSON");
        assert!(!browsers::find_a_candidate(&told), "{told}");
    }
    forwarding::rxdb(text, sent.as_ref());
    forwarding::matchbox(text, sent.as_ref());
    let command = root::decode(text);
    assert!(matches!(command, RootCommand::Ignored) || forwarding::is_object(text), "{command:?}");
    match command {
        RootCommand::Topics(command) => forwarding::topics(&command, text, sent.as_ref()),
        RootCommand::Tracker(command) => forwarding::tracker(command, text, sent.as_ref()),
        RootCommand::Calls(CallCommand::Send(message)) => {
            if let (Some(mut sent), Some(got)) = (sent, object(&message.frame("caller"))) {
                assert_eq!(sent["data"]["remoteId"], Value::from(&*message.to));
                let is_offer = sent["action"] == "offer";
                let data = sent.get_mut("data").and_then(Value::as_object_mut).expect("an object");
                data.remove("remoteId");
                if is_offer {
                    data.insert("remoteId".to_owned(), "caller".into());
                }
                assert_eq!(got, sent);
            }
        }
        RootCommand::RoomCodes(RoomCodeCommand::Join { username, offer: Some(offer), .. }) => {
            let username = username.unwrap_or_default();
            assert!(username.chars().count() <= 20);
            if let (Some(mut sent), Some(got)) = (sent, object(&offer.frame(&username))) {
                sent["offer"]["clientUsername"] = Value::from(username);
                assert_eq!(got, sent["offer"]);
            }
        }
        RootCommand::RoomCodes(RoomCodeCommand::Answer { response: Some(response), .. }) => {
            object(&room_codes::response(response));
            assert!(sent.is_none_or(|sent| value(response).is_ok_and(|got| got == sent["response"])));
        }
        _ => {}
    }
}

/// The server does not trust invalid paths, queries and headers. The first line is the path and query, the
/// others are headers.
pub fn requests(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let target = lines.next().map(String::from_utf8_lossy).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    for mount in ["/", "/a/b/"] {
        let mount = MountPath::parse(mount).expect("a mount path");
        let route = routes::find(&mount, path);
        let below = path.starts_with(mount.as_str()) || format!("{path}/") == mount.as_str();
        assert!(below || matches!(route, routes::Route::Outside | routes::Route::Health), "{route:?}");
        let _ = routes::find_post(&mount, path);
    }
    if let Ok(credentials) = Credentials::parse(query) {
        for text in [credentials.key.as_str(), credentials.id.as_str(), credentials.token.as_str()] {
            assert!(!text.is_empty() && text.len() <= 4096 && !text.contains(char::is_control));
        }
    }
    let mut map = actix_http::header::HeaderMap::new();
    headers(lines).for_each(|(name, value)| map.append(name, value));
    for value in map.get_all("origin").filter_map(|value| value.to_str().ok()) {
        let _ = Origin::of_page(value);
        if let Ok(origin) = Origin::parse(value) {
            assert!(value.contains('*') || origin.matches(origin.as_str()));
        }
    }
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let seen = |proxied| {
        let config = Config { proxied, ..Config::default() };
        let address = |peer| forwarded::proxy_chain(&config, &map, SocketAddr::new(peer, 1)).client;
        [stranger, IpAddr::V4(Ipv4Addr::LOCALHOST)].map(address)
    };
    assert_eq!(seen(false), [stranger, IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    assert_eq!(seen(true)[0], stranger, "an address that is no trusted proxy is not believed");
}

/// Tokens without a valid signature are refused. The first line is the token, the rest a key set.
pub fn tokens(input: &[u8]) {
    const KEY_SET: &[u8] = include_bytes!("../fixtures/jwt/jwks.json");
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let token = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
    assert!(!verifier::is_signed(&token, KEY_SET));
    let _ = verifier::is_signed(&token, parts.next().unwrap_or_default());
}

/// A text that names a client is a header, and a line that is written anew names the same one.
pub fn proxy_protocol(input: &[u8]) {
    let Some(named) = proxy_protocol::parse(input) else { return };
    assert!(proxy_protocol::is_header(input));
    if let Some(client) = named {
        let family = if client.is_ipv4() { 4 } else { 6 };
        let ip = client.ip();
        let port = client.port();
        let line = format!("PROXY TCP{family} {ip} {ip} {port} {port}\r\n");
        assert_eq!(proxy_protocol::parse(line.as_bytes()), Some(named));
    }
}

/// The object in a frame, and nothing else is there. `Value` cannot represent deep nesting, numbers outside
/// of f64, and lone surrogates.
fn object(frame: &Frame) -> Option<Value> {
    let text = text_of(frame);
    assert!(forwarding::is_object(text));
    value(text).ok()
}

fn text_of(frame: &Frame) -> &str {
    std::str::from_utf8(frame.payload()).expect("text")
}

/// Parses JSON as JavaScript does.
fn value(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Inputs that once failed must pass.
    #[test]
    fn every_input_of_the_corpus_passes() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 7] = [
            ("decoder", decoder),
            ("handshake", handshake),
            ("json", json),
            ("dialects", dialects),
            ("requests", requests),
            ("tokens", tokens),
            ("proxy_protocol", proxy_protocol),
        ];
        for (name, target) in targets {
            let inputs: Vec<_> =
                fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(inputs.len() > 3, "{name} has a corpus");
            for input in inputs {
                eprintln!("{}", input.display());
                target(&fs::read(input).unwrap());
            }
        }
    }
}
