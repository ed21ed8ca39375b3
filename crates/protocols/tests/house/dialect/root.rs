//! The dialects of the root, as a property: messages are forwarded unchanged, except for one member.

use std::fmt;

use peerbroker_protocols::calls::{self, CallCommand};
use peerbroker_protocols::json;
use peerbroker_protocols::room_codes::{self, RoomCodeCommand};
use peerbroker_protocols::root::{self, RootCommand};
use peerbroker_protocols::signal::SignalKind;
use peerbroker_protocols::topics::{self, TopicCommand};
use peerbroker_protocols::tracker::{self, Counts, TrackerCommand};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::written::*;
use super::{cases, json_string, tree, unframe};

/// The members of an object as serde_json finds them: all of them, in order, with unescaped names and
/// raw values.
#[derive(Debug, Default, PartialEq, Eq)]
struct Members(Vec<(Name, String)>);

/// A name. It may have lone surrogates, which Rust strings cannot represent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name(Vec<u8>);

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(text.as_bytes().to_vec())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                Ok(Name(bytes.to_vec()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<Name, &RawValue>()? {
                    members.0.push((name, value.get().to_owned()));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Map)
    }
}

impl Members {
    fn of(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The last of duplicate members counts.
    fn get(&self, name: &str) -> Option<&str> {
        let name = Name::from(name);
        self.0.iter().rev().find(|(there, _)| *there == name).map(|(_, value)| value.as_str())
    }

    /// The same with one member replaced, added at the end, or removed.
    fn with(mut self, name: &str, value: Option<String>) -> Self {
        let name = Name::from(name);
        let at = self.0.iter().position(|(there, _)| *there == name);
        self.0.retain(|(there, _)| *there != name);
        if let Some(value) = value {
            self.0.insert(at.unwrap_or(self.0.len()), (name, value));
        }
        self
    }
}

/// Members that must be ignored: any names except `not`, which the test adds.
fn others(not: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, String)>> {
    let known = select(vec![
        "type",
        "sdp",
        "\\u0073dp",
        "clientUsername",
        "action",
        "data",
        "room",
        "username",
        "offer",
        "response",
        "remoteId",
        "__proto__",
        "constructor",
        "",
        "\\ud800",
        "candidate",
    ]);
    let name = prop_oneof![4 => known.prop_map(|name| format!("\"{name}\"")), 1 => quoted()];
    vec((name, json()), 0..6).prop_map(move |mut members| {
        members.retain(|(name, _)| !not.iter().any(|not| means(name, not)));
        members
    })
}

/// True if a raw name means this one.
fn means(written: &str, name: &str) -> bool {
    serde_json::from_str::<String>(written).is_ok_and(|written| written == name)
}

/// Inserts a member after all others of its name, so that it counts.
fn insert(members: &mut Vec<(String, String)>, name: &str, spelling: &[bool], value: String, at: &Index) {
    let first = members.iter().rposition(|(there, _)| means(there, name)).map_or(0, |last| last + 1);
    let at = first + at.index(members.len() + 1 - first);
    members.insert(at, (spell(name, spelling), value));
}

fn object(members: &[(String, String)], space: &str) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{space}{name}{space}:{space}{value}{space}")).collect();
    format!("{space}{{{space}{}}}{space}", members.join(","))
}

/// An object with odd members and odd whitespace.
fn any_object(not: &'static [&'static str]) -> impl Strategy<Value = String> {
    (others(not), white_space()).prop_map(|(members, space)| object(&members, &space).trim().to_owned())
}

fn cut(name: &str) -> String {
    name.chars().take(20).collect()
}

/// The output parses to the same tree except for one member, if serde_json can parse it.
fn assert_same_tree(came: &str, went: &str, name: &str) {
    if let (Some(mut came), Some(mut went)) = (tree(came), tree(went)) {
        for tree in [&mut came, &mut went] {
            tree.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(came, went);
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_host_gets_an_offer_unchanged_except_for_the_name(
        members in others(&[]),
        room in id(),
        username in id(),
        named in id(),
        offer in any_object(&[]),
        spellings in (escapes(), escapes(), escapes(), escapes()),
        order in any::<[Index; 4]>(),
        space in white_space(),
    ) {
        let mut members = members;
        for ((name, value), (spelling, at)) in [
            ("action", spell("joinRoom", &spellings.0)),
            ("room", spell(&room, &spellings.1)),
            ("username", spell(&username, &spellings.2)),
            ("offer", offer.clone()),
        ].into_iter().zip([&spellings.3, &spellings.0, &spellings.1, &spellings.2].into_iter().zip(&order)) {
            insert(&mut members, name, spelling, value, at);
        }
        let text = object(&members, &space);
        let RootCommand::RoomCodes(RoomCodeCommand::Join { room: asked, username: found, offer: Some(object) }) = root::decode(&text)
        else { panic!("{text}") };
        prop_assert_eq!(&asked, &room);
        prop_assert_eq!(found, Some(cut(&username)));
        let frame = object.frame(&named);
        let went = unframe(&frame);
        prop_assert_eq!(Members::of(went), Members::of(&offer).with("clientUsername", Some(json_string(&named))));
        assert_same_tree(&offer, went, "clientUsername");
    }

    #[test]
    fn the_player_gets_a_response_with_nothing_changed(
        members in others(&[]),
        username in id(),
        response in any_object(&[]),
        spellings in (escapes(), escapes(), escapes()),
        order in any::<[Index; 3]>(),
        space in white_space(),
    ) {
        let mut members = members;
        insert(&mut members, "action", &spellings.0, spell("offerResponse", &spellings.1), &order[0]);
        insert(&mut members, "clientUsername", &spellings.1, spell(&username, &spellings.2), &order[1]);
        insert(&mut members, "response", &spellings.2, response.clone(), &order[2]);
        let text = object(&members, &space);
        let RootCommand::RoomCodes(RoomCodeCommand::Answer { username: found, response: Some(found_response) }) = root::decode(&text)
        else { panic!("{text}") };
        prop_assert_eq!(found.as_deref(), Some(&*username));
        prop_assert_eq!(found_response, &response);
        let frame = room_codes::response(found_response);
        prop_assert_eq!(unframe(&frame), response);
    }

    #[test]
    fn a_call_is_relayed_unchanged_except_for_its_sender(
        members in others(&[]),
        action in prop_oneof![select(vec!["offer", "answer", "iceCandidate", "Offer", "__proto__"]).prop_map(str::to_owned), id()],
        to in id(),
        sender in "[a-zA-Z0-9]{21}",
        data in others(&[]),
        spellings in (escapes(), escapes(), escapes()),
        order in any::<[Index; 3]>(),
        space in white_space(),
    ) {
        prop_assume!(!["start", "createRoom", "joinRoom", "offerResponse", "startGame"].contains(&&*action));
        let mut members = members;
        let mut data = data;
        insert(&mut data, "remoteId", &spellings.2, spell(&to, &spellings.0), &order[0]);
        let data = object(&data, &space).trim().to_owned();
        insert(&mut members, "data", &spellings.0, data.clone(), &order[1]);
        insert(&mut members, "action", &spellings.1, spell(&action, &spellings.2), &order[2]);
        let text = object(&members, &space);
        let RootCommand::Calls(CallCommand::Send(message)) = root::decode(&text) else { panic!("{text}") };
        prop_assert_eq!(&message.to, &to);
        prop_assert_eq!(message.kind == SignalKind::Answer, action == "answer");
        let frame = message.frame(&sender);
        let went = unframe(&frame);
        let remote_id = (action == "offer").then(|| json_string(&sender));
        let came = Members::of(&text);
        let found = Members::of(went);
        let data_went = found.get("data").expect("data").to_owned();
        prop_assert_eq!(&found, &came.with("data", Some(data_went.clone())));
        prop_assert_eq!(Members::of(&data_went), Members::of(&data).with("remoteId", remote_id));
        assert_same_tree(&data, &data_went, "remoteId");
        assert_same_tree(&text, went, "data");
    }

    #[test]
    fn subscribers_hear_a_publication_unchanged_except_for_their_number(
        members in others(&["action", "payload"]),
        topic in id(),
        clients in any::<usize>(),
        spellings in (escapes(), escapes(), escapes()),
        order in any::<[Index; 2]>(),
        space in white_space(),
    ) {
        let mut members = members;
        insert(&mut members, "type", &spellings.0, spell("publish", &spellings.1), &order[0]);
        insert(&mut members, "topic", &spellings.1, spell(&topic, &spellings.2), &order[1]);
        let text = object(&members, &space);
        let RootCommand::Topics(TopicCommand::Publish(found)) = root::decode(&text) else { panic!("{text}") };
        prop_assert_eq!(&found, &topic);
        let frame = topics::publication(&topic, &text, clients);
        let went = unframe(&frame);
        prop_assert_eq!(Members::of(went), Members::of(&text).with("clients", Some(clients.to_string())));
        assert_same_tree(&text, went, "clients");
    }

    #[test]
    fn members_of_a_swarm_hear_an_offer_and_its_ids_as_their_sender_has_written_them(
        members in others(&["action", "data"]),
        names in any::<[[u8; 20]; 3]>(),
        (offer, answer, offer_id) in (json(), json(), json()),
        spellings in (escapes(), escapes(), escapes()),
        order in any::<[Index; 5]>(),
        space in white_space(),
    ) {
        let latin = |name: [u8; 20]| name.map(char::from).iter().collect::<String>();
        let [info_hash, peer_id, to] = names.map(|name| spell(&latin(name), &spellings.0));
        let offer = format!("{{\"o\":{offer}}}");
        let answer = format!("{{\"a\":{answer}}}");
        let listed = format!("[{space}{{\"offer\":{offer},\"offer_id\":{offer_id}}},null]");
        let mut members = members;
        insert(&mut members, "action", &spellings.1, spell("announce", &spellings.2), &order[0]);
        for (n, (name, value)) in [
            ("info_hash", &info_hash), ("peer_id", &peer_id), ("to_peer_id", &to), ("offer_id", &offer_id),
            ("offers", &listed), ("answer", &answer),
        ].into_iter().enumerate() {
            insert(&mut members, name, &spellings.1, value.clone(), &order[n % 5]);
        }
        let text = object(&members, &space);
        let RootCommand::Tracker(TrackerCommand::Announce(said)) = root::decode(&text) else { panic!("{text}") };
        prop_assert_eq!(said.offers.len(), 1);
        prop_assert_eq!([said.info_hash.bytes, said.peer_id.bytes, said.answer.as_ref().unwrap().to], names);
        let heard = |kind: &str, text: &str| {
            format!(r#"{{"action":"announce","{kind}":{text},"offer_id":{offer_id},"peer_id":{peer_id},"info_hash":{info_hash}}}"#)
        };
        let frames = [said.offer(&said.offers[0]), said.answer(said.answer.as_ref().unwrap())];
        prop_assert_eq!(unframe(&frames[0]), heard("offer", &offer));
        prop_assert_eq!(unframe(&frames[1]), heard("answer", &answer));
    }

    #[test]
    fn a_call_to_an_invalid_id_is_ignored(action in id(), data in json()) {
        prop_assume!(!["start", "createRoom", "joinRoom", "offerResponse", "startGame"].contains(&&*action));
        let to = data.starts_with('{').then(|| Members::of(&data).get("remoteId").map(str::to_owned)).flatten();
        let names_one = to.is_some_and(|to| serde_json::from_str::<String>(&to).is_ok());
        let text = format!(r#"{{"action":{},"data":{data}}}"#, json_string(&action));
        let understood = matches!(root::decode(&text), RootCommand::Calls(CallCommand::Send(_)));
        prop_assert_eq!(understood, names_one, "{}", text);
    }

    #[test]
    fn a_member_of_the_wrong_type_counts_as_missing(room in json(), username in json(), offer in json(), response in json()) {
        let as_text = |value: &str| serde_json::from_str::<String>(value).ok();
        let text = format!(r#"{{"action":"joinRoom","room":{room},"username":{username},"offer":{offer}}}"#);
        let RootCommand::RoomCodes(RoomCodeCommand::Join { room: found, username: found_name, offer: found_offer }) = root::decode(&text)
        else { panic!("{text}") };
        prop_assert_eq!(found.into_owned(), as_text(&room).unwrap_or_default());
        prop_assert_eq!(found_name, as_text(&username).map(|name| cut(&name)));
        prop_assert_eq!(found_offer.is_some(), offer.starts_with('{'));
        let text = format!(r#"{{"action":"offerResponse","clientUsername":{username},"response":{response}}}"#);
        let RootCommand::RoomCodes(RoomCodeCommand::Answer { username: found, response: found_response }) = root::decode(&text)
        else { panic!("{text}") };
        prop_assert_eq!(found.map(|name| name.into_owned()), as_text(&username));
        prop_assert_eq!(found_response, response.starts_with('{').then_some(&*response));
    }

    #[test]
    fn the_action_decides_alone(action in json(), members in others(&["action"])) {
        let mut members = members;
        members.push(("\"action\"".to_owned(), action.clone()));
        let text = object(&members, "");
        let decoded = root::decode(&text);
        match serde_json::from_str::<String>(&action).ok().as_deref() {
            None => prop_assert!(matches!(decoded, RootCommand::Ignored), "{}", text),
            Some("createRoom" | "joinRoom" | "offerResponse" | "startGame") => prop_assert!(matches!(decoded, RootCommand::RoomCodes(_))),
            Some(_) => prop_assert!(matches!(decoded, RootCommand::Calls(_)), "{}", text),
        }
    }

    #[test]
    fn messages_of_the_server_itself_are_well_formed(message in any::<String>(), id in "[a-zA-Z0-9_-]{21}", room in "[A-Z]{4,5}") {
        let error = json::error(&message);
        let started = calls::started(&id);
        let confirm = room_codes::confirm(&room);
        prop_assert_eq!(unframe(&error), format!(r#"{{"type":"error","val":{}}}"#, json_string(&message)));
        prop_assert_eq!(unframe(&started), format!(r#"{{"action":"start","id":"{id}"}}"#));
        prop_assert_eq!(unframe(&confirm), format!(r#"{{"type":"confirmRoom","room":"{room}"}}"#));
    }
}

/// Every decoded command can be written as an object.
fn check_any(text: &str) {
    let frame = match root::decode(text) {
        RootCommand::RoomCodes(RoomCodeCommand::Join { offer: Some(offer), .. }) => offer.frame("me"),
        RootCommand::RoomCodes(RoomCodeCommand::Answer { response: Some(response), .. }) => {
            room_codes::response(response)
        }
        RootCommand::Calls(CallCommand::Send(message)) => message.frame("me"),
        RootCommand::Topics(TopicCommand::Publish(topic)) => topics::publication(&topic, text, 1),
        RootCommand::Tracker(TrackerCommand::Announce(said)) => match &said.offers[..] {
            [offer, ..] => said.offer(offer),
            [] => said
                .answer
                .as_ref()
                .map_or_else(|| said.counted(Counts::default()), |answer| said.answer(answer)),
        },
        RootCommand::Tracker(TrackerCommand::Scrape(names)) => {
            tracker::scraped(names.into_iter().map(|name| (name, Counts::default())))
        }
        RootCommand::Tracker(TrackerCommand::Invalid(problem)) => tracker::invalid(problem),
        _ => return,
    };
    let went = unframe(&frame);
    let raw = serde_json::from_str::<&RawValue>(went);
    assert!(raw.is_ok_and(|raw| raw.get().starts_with('{')), "{text:?} became {went:?}");
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn scraps_of_frames_never_panic_and_only_objects_go_out(
        scraps in vec(select(vec![
            "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u", "\\ud800", "\"action\":", "\"data\":", "\"remoteId\":",
            "\"offer\"", "\"start\"", "\"a\"", "\"joinRoom\"", "\"type\":\"publish\"", "\"topic\":\"a\"", "\"payload\":", "\"room\":", "\"username\":", "\"offer\":", "\"response\":",
            "null", "1e", "0", "\u{0}", "é", " ", "{}", "{\"remoteId\":\"a\"}",
        ]), 0..24),
        whole in select(vec!["", "offer", "x", "joinRoom", "offerResponse"]),
    ) {
        let scraps = scraps.concat();
        check_any(&if whole.is_empty() { scraps } else {
            format!("{{\"action\":\"{whole}\",\"data\":{{\"remoteId\":\"a\",\"b\":1}},\"offer\":{{}},\"response\":{{}},{scraps}}}")
        });
    }

    #[test]
    fn a_frame_cut_short_or_changed_never_panics(
        frame in select(vec![
            r#"{"action":"offer","data":{"remoteId":"\u0061b","offer":{"type":"offer","sdp":"v=0\r\n"}}}"#,
            r#"{"action":"joinRoom","room":"QXZP","username":"\u0061","offer":{"clientUsername":"x","sdp":"v=0"}}"#,
            r#"{"action":"offerResponse","clientUsername":"a","response":{"sdp":"v=0"}}"#,
            r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbb\u00ff","event":"started","left":0,"offers":[{"offer":{"sdp":"v=0"},"offer_id":"\u0001"}]}"#,
            r#"{"action":"scrape","info_hash":["aaaaaaaaaaaaaaaaaaaa","bbbbbbbbbbbbbbbbbbb\u00ff"]}"#,
        ]),
        at in any::<Index>(), with in any::<char>(), cut in any::<bool>(),
    ) {
        let mut chars: Vec<char> = frame.chars().collect();
        let at = at.index(chars.len());
        if cut { chars.truncate(at) } else { chars[at] = with }
        check_any(&chars.into_iter().collect::<String>());
    }
}

#[test]
fn a_name_of_a_megabyte_is_cut_and_depth_has_no_limit() {
    let name = "é".repeat(1 << 19);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text =
        format!(r#"{{"action":"joinRoom","room":"{name}","username":"{name}","offer":{{"a":{deep}}}}}"#);
    let RootCommand::RoomCodes(RoomCodeCommand::Join {
        username: Some(username), offer: Some(offer), ..
    }) = root::decode(&text)
    else {
        panic!("not understood")
    };
    assert_eq!(username, "é".repeat(20));
    let went = offer.frame(&username);
    assert!(unframe(&went) == format!(r#"{{"a":{deep},"clientUsername":"{username}"}}"#));
    let text = format!(r#"{{"action":"x","data":{{"a":{deep},"remoteId":"b"}},"b":{deep}}}"#);
    let RootCommand::Calls(CallCommand::Send(message)) = root::decode(&text) else {
        panic!("not understood")
    };
    assert!(unframe(&message.frame("me")) == format!(r#"{{"action":"x","data":{{"a":{deep}}},"b":{deep}}}"#));
}
