//! The dialect as a property: for any JSON, the recipient gets the sender's own bytes.

mod matchbox;
mod root;
mod written;

use peerbroker_core::vocabulary::{Frame, Opcode};
use peerbroker_protocols::peerjs::{self, Envelope, Kind, PeerJsCommand};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use written::*;

const KINDS: [Kind; 4] = Kind::ALL;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(cases, |cases| cases.parse().expect("a number")),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/proptest-regressions/dialect.txt",
        ))),
        ..ProptestConfig::default()
    }
}

/// A frame as the recipient's client reads it.
#[derive(Deserialize)]
struct Received<'a> {
    r#type: String,
    src: String,
    dst: String,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

// ---- JSON as text, as odd as the grammar allows (RFC 8259) ----

fn payload_of(text: &str) -> Option<Envelope<'_>> {
    match peerjs::decode(text) {
        PeerJsCommand::Forward(envelope) => Some(envelope),
        _ => None,
    }
}

// ---- What came out, checked byte by byte (RFC 6455, section 5.2) ----

fn unframe(frame: &Frame) -> &str {
    let bytes = frame.as_bytes();
    assert_eq!(bytes[0], 0x81, "one unfragmented text frame");
    assert_eq!(bytes[1] & 0x80, 0, "a server does not mask");
    let (header, len) = match bytes[1] {
        126 => (4, u64::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap())),
        short => (2, u64::from(short)),
    };
    assert_eq!(
        header,
        if len < 126 {
            2
        } else if len < 1 << 16 {
            4
        } else {
            10
        },
        "the shortest header"
    );
    assert_eq!(bytes.len() as u64, header as u64 + len, "no more and no less than the header says");
    assert_eq!(frame.opcode(), Some(Opcode::Text));
    assert_eq!(frame.payload(), &bytes[header..]);
    std::str::from_utf8(&bytes[header..]).expect("text is UTF-8")
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Parses without serde_json's recursion limit.
fn tree(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn assert_relayed(text: &str, kind: Kind, src: &str, dst: &str, payload: Option<&str>) {
    let envelope = payload_of(text).unwrap_or_else(|| panic!("nothing understood of {text}"));
    assert_eq!(envelope.kind, kind);
    assert_eq!(envelope.dst, dst);
    assert_eq!(envelope.payload, payload);

    let frame = peerjs::forward(kind, src, &envelope.dst, envelope.payload);
    let out = unframe(&frame);
    let mut expected =
        format!(r#"{{"type":"{}","src":{},"dst":{}"#, kind.as_str(), json_string(src), json_string(dst));
    if let Some(payload) = payload {
        expected = expected + ",\"payload\":" + payload;
    }
    assert_eq!(out, expected + "}");

    let received: Received<'_> = serde_json::from_str(out).expect("well-formed JSON");
    assert_eq!((&*received.r#type, &*received.src, &*received.dst), (kind.as_str(), src, dst));
    // The reader of this test treats `null` as absent; the writer does not.
    assert_eq!(received.payload.map(RawValue::get), payload.filter(|payload| *payload != "null"));
    if let Some(value) = payload.and_then(tree) {
        assert_eq!(tree(out).expect("a tree like its payload")["payload"], value);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_payload_goes_out_as_the_bytes_that_came_in(
        kind in select(KINDS.to_vec()),
        src in id(),
        dst in id(),
        dst_escapes in escapes(),
        spellings in (escapes(), escapes(), escapes()),
        payload in proptest::option::weighted(0.9, json()),
        noise in noise(),
        order in any::<[Index; 3]>(),
        space in white_space(),
    ) {
        let mut members: Vec<Member> = noise;
        // Without a payload, no earlier payload may count.
        members.retain(|member| payload.is_some() || member.name != "payload");
        let last = [
            Some(Member { name: "type", spelling: spellings.0, value: json_string(kind.as_str()) }),
            Some(Member { name: "dst", spelling: spellings.1, value: spell(&dst, &dst_escapes) }),
            payload.clone().map(|value| Member { name: "payload", spelling: spellings.2, value }),
        ];
        // Anywhere after the earlier ones of its name.
        for (member, at) in last.into_iter().flatten().zip(order) {
            let first = members.iter().rposition(|earlier| earlier.name == member.name).map_or(0, |at| at + 1);
            members.insert(first + at.index(members.len() + 1 - first), member);
        }
        assert_relayed(&frame_text(&members, &space), kind, &src, &dst, payload.as_deref());
    }

    #[test]
    fn the_last_of_repeated_members_counts(
        types in vec(select(vec!["\"OFFER\"", "\"LEAVE\"", "\"CANDIDATE\"", "\"HEARTBEAT\"", "\"EXPIRE\"", "7"]), 1..4),
        destinations in vec(select(vec!["\"a\"", "\"b\"", "\"\"", "null", "5"]), 0..4),
        payloads in vec(json(), 0..4),
        order in vec(any::<Index>(), 12),
    ) {
        let of = |name, values: Vec<String>| values.into_iter().map(move |value| Member { name, spelling: vec![], value });
        let types: Vec<String> = types.into_iter().map(str::to_owned).collect();
        let destinations: Vec<String> = destinations.into_iter().map(str::to_owned).collect();
        let mut groups: Vec<Vec<Member>> = vec![
            of("type", types.clone()).rev().collect(),
            of("dst", destinations.clone()).rev().collect(),
            of("payload", payloads.clone()).rev().collect(),
        ];
        let mut members = Vec::new();
        for choice in &order {
            groups.retain(|group| !group.is_empty());
            if groups.is_empty() { break }
            let group = choice.index(groups.len());
            members.extend(groups[group].pop());
        }
        let text = frame_text(&members, "");
        let kind = types.last().map(String::as_str);
        let dst = destinations.last().map(String::as_str);
        match (kind, dst) {
            (Some(kind @ ("\"OFFER\"" | "\"LEAVE\"" | "\"CANDIDATE\"")), Some(dst @ ("\"a\"" | "\"b\""))) => {
                let kind = KINDS.into_iter().find(|known| json_string(known.as_str()) == kind).unwrap();
                assert_relayed(&text, kind, "me", dst.trim_matches('"'), payloads.last().map(String::as_str));
            }
            (Some("\"HEARTBEAT\""), _) => prop_assert!(matches!(peerjs::decode(&text), PeerJsCommand::Heartbeat)),
            (Some("\"LEAVE\""), None | Some("null" | "\"\"")) => {
                prop_assert!(matches!(peerjs::decode(&text), PeerJsCommand::Leave));
            }
            _ => prop_assert!(matches!(peerjs::decode(&text), PeerJsCommand::Ignored)),
        }
    }

    #[test]
    fn a_destination_that_is_not_a_string_is_ignored(
        kind in select(vec!["OFFER", "ANSWER", "CANDIDATE"]),
        dst in json().prop_filter("no text", |dst| serde_json::from_str::<String>(dst).map_or(true, |dst| dst.is_empty())),
        payload in json(),
    ) {
        let text = format!(r#"{{"type":"{kind}","dst":{dst},"payload":{payload}}}"#);
        prop_assert!(matches!(peerjs::decode(&text), PeerJsCommand::Ignored), "{}", text);
    }

    #[test]
    fn only_the_five_types_mean_anything(kind in json(), dst in id()) {
        let text = format!(r#"{{"type":{kind},"dst":{}}}"#, json_string(&dst));
        let understood = !matches!(peerjs::decode(&text), PeerJsCommand::Ignored);
        let known = serde_json::from_str::<String>(&kind)
            .is_ok_and(|kind| ["OFFER", "ANSWER", "CANDIDATE", "LEAVE", "HEARTBEAT"].contains(&&*kind));
        prop_assert_eq!(understood, known, "{}", text);
    }

    #[test]
    fn text_that_is_not_an_object_is_not_a_command(value in json(), space in white_space()) {
        let value = if value.starts_with('{') { format!("[{value}]") } else { value };
        let text = format!("{space}{value}{space}");
        prop_assert!(matches!(peerjs::decode(&text), PeerJsCommand::Ignored));
    }

    #[test]
    fn text_after_an_object_makes_it_invalid(behind in "[^ \t\r\n]{1,3}", payload in json()) {
        let text = format!(r#"{{"type":"OFFER","dst":"a","payload":{payload}}}{behind}"#);
        prop_assert!(matches!(peerjs::decode(&text), PeerJsCommand::Ignored));
    }

    #[test]
    fn notices_are_well_formed_for_any_ids(absent in id(), sender in id(), message in any::<String>()) {
        let notice = peerjs::expire(&absent, &sender);
        let expected =
            format!(r#"{{"type":"EXPIRE","src":{},"dst":{}}}"#, json_string(&absent), json_string(&sender));
        prop_assert_eq!(unframe(&notice), expected);
        let error = peerjs::error(&message);
        let error = tree(unframe(&error)).unwrap();
        prop_assert_eq!(&error["payload"]["msg"], &Value::from(message));
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn arbitrary_text_never_panics_and_only_objects_mean_anything(text in any::<String>()) {
        check_any(&text);
    }

    #[test]
    fn scraps_of_json_never_panic_and_only_objects_mean_anything(
        scraps in vec(select(vec![
            "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u", "\\ud800", "type", "dst", "payload", "\"type\"", "\"dst\"",
            "\"payload\"", "\"OFFER\"", "\"LEAVE\"", "\"HEARTBEAT\"", "\"a\"", "null", "1e", "-", "0", "\u{0}", "é", " ",
        ]), 0..24),
        whole in any::<bool>(),
    ) {
        let text = scraps.concat();
        check_any(&if whole { format!("{{\"type\":\"OFFER\",\"dst\":\"a\",{text}}}") } else { text });
    }

    #[test]
    fn a_frame_cut_short_or_changed_never_panics(payload in json(), at in any::<Index>(), with in any::<char>(), cut in any::<bool>()) {
        let whole = format!(r#"{{"type":"OFFER","dst":"\u0061b","payload":{payload}}}"#);
        let mut chars: Vec<char> = whole.chars().collect();
        let at = at.index(chars.len());
        if cut { chars.truncate(at) } else { chars[at] = with }
        check_any(&chars.into_iter().collect::<String>());
    }
}

fn check_any(text: &str) {
    let command = peerjs::decode(text);
    if !matches!(command, PeerJsCommand::Ignored) {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        assert!(text.starts_with('{') && text.ends_with('}'), "{text:?} gave {command:?}");
        // serde_json accepts raw control characters in names that it reads as bytes. Names are not
        // forwarded, so this is harmless.
        let strict = text.replace(|c: char| c < ' ', " ");
        assert!(
            serde_json::from_str::<&RawValue>(&strict).is_ok(),
            "{text:?} is no JSON and gave {command:?}"
        );
    }
    if let PeerJsCommand::Forward(Envelope { kind, dst, payload }) = command {
        assert!(!dst.is_empty());
        assert_relayed(text, kind, "me", &dst, payload);
    }
}

#[test]
fn nesting_has_no_limit() {
    for depth in [10_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let deep = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let text = format!(r#"{{"x":{deep},"payload":{deep},"type":"OFFER","dst":"b"}}"#);
            let envelope = payload_of(&text).expect("understood");
            let frame = peerjs::forward(envelope.kind, "a", &envelope.dst, envelope.payload);
            let expected = format!(r#"{{"type":"OFFER","src":"a","dst":"b","payload":{deep}}}"#);
            assert!(unframe(&frame) == expected, "depth {depth} of {open}");

            for odd in [
                deep.clone(),
                format!(r#"{{"type":{deep},"dst":"b"}}"#),
                format!(r#"{{"type":"OFFER","dst":{deep}}}"#),
                // Never closed.
                format!(r#"{{"type":"OFFER","dst":"b","payload":{}"#, open.repeat(depth)),
            ] {
                assert!(
                    !matches!(peerjs::decode(&odd), PeerJsCommand::Forward(_)),
                    "depth {depth} of {open}"
                );
            }
        }
    }
}

#[test]
fn a_null_payload_is_a_payload() {
    let text = r#"{"type":"ANSWER","dst":"b","payload": null }"#;
    assert_relayed(text, Kind::Answer, "a", "b", Some("null"));
}

#[test]
fn a_lone_surrogate_is_nobody_as_a_destination_and_untouched_as_a_payload() {
    for dst in [r#""\ud800""#, r#""a\udc00b""#, r#""\ud800\ud800""#] {
        let text = format!(r#"{{"type":"OFFER","dst":{dst}}}"#);
        assert!(matches!(peerjs::decode(&text), PeerJsCommand::Ignored), "{text}");
    }
    let text = r#"{"type":"OFFER","dst":"b","\ud800":1,"payload":{"\udc00":"\ud800","a":"\ud83d\ude00"}}"#;
    assert_relayed(text, Kind::Offer, "a", "b", Some(r#"{"\udc00":"\ud800","a":"\ud83d\ude00"}"#));
}

#[test]
fn a_client_cannot_choose_its_sender_id() {
    let text = r#"{"src":"somebody","type":"OFFER","dst":"b","payload":{"src":"somebody"}}"#;
    assert_relayed(text, Kind::Offer, "a", "b", Some(r#"{"src":"somebody"}"#));
}

#[test]
fn headers_are_right_at_every_change_of_length() {
    let empty = unframe(&peerjs::forward(Kind::Offer, "a", "b", None)).len() + ",\"payload\":\"\"".len();
    for total in [125, 126, 127, 65_535, 65_536, 65_537, 1 << 20] {
        let payload = json_string(&"x".repeat(total - empty));
        let text = format!(r#"{{"type":"OFFER","dst":"b","payload":{payload}}}"#);
        assert_relayed(&text, Kind::Offer, "a", "b", Some(&payload));
        let envelope = payload_of(&text).expect("understood");
        assert_eq!(peerjs::forward(Kind::Offer, "a", "b", envelope.payload).payload().len(), total);
    }
}
