//! Matchbox, as a property: what a signal has is what its recipient gets, and the rest is as serde reads its
//! enum.

use peerbroker_protocols::matchbox::{self, MatchboxRooms, Signal};
use peerbroker_protocols::signal::SignalKind;
use peerbroker_rooms::{Change, MemberView, RoomFrames as _};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::written::*;
use super::{cases, json_string, unframe};

/// The types of matchbox_protocol 0.15.0, `src/lib.rs`, but for ids that are any text.
#[derive(Debug, Deserialize)]
enum PeerRequest<'a> {
    Signal {
        receiver: String,
        #[serde(borrow)]
        data: &'a RawValue,
    },
    KeepAlive,
}

#[derive(Debug, Deserialize)]
enum PeerEvent<'a> {
    IdAssigned(String),
    NewPeer(String),
    PeerLeft(String),
    Signal {
        sender: String,
        #[serde(borrow)]
        data: &'a RawValue,
    },
}

fn heard(frame: &peerbroker_core::vocabulary::Frame) -> PeerEvent<'_> {
    serde_json::from_str(unframe(frame)).expect("an event")
}

/// The kind of a signal, as matchbox_socket reads its data.
fn kind(data: &str) -> SignalKind {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only the name of a variant counts")]
    enum PeerSignal<'a> {
        IceCandidate(#[serde(borrow)] &'a RawValue),
        Offer(#[serde(borrow)] &'a RawValue),
        Answer(#[serde(borrow)] &'a RawValue),
    }
    match serde_json::from_str(data) {
        Ok(PeerSignal::Offer(_)) => SignalKind::Offer,
        Ok(PeerSignal::Answer(_)) => SignalKind::Answer,
        Ok(PeerSignal::IceCandidate(_)) => SignalKind::Candidate,
        Err(_) => SignalKind::Other,
    }
}

/// Members that serde ignores.
fn others() -> impl Strategy<Value = Vec<Member>> {
    let name = select(vec!["sender", "Receiver", "data ", "", "__proto__", "Signal"]);
    vec((name, escapes(), json()), 0..4).prop_map(|members| {
        members.into_iter().map(|(name, spelling, value)| Member { name, spelling, value }).collect()
    })
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_signal_goes_to_its_recipient_with_its_data_unchanged(
        members in others(),
        receiver in id(),
        sender in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
        value in json(),
        signal in prop::option::of(select(vec!["Offer", "Answer", "IceCandidate", "offer"])),
        spellings in (escapes(), escapes(), escapes(), escapes()),
        at in any::<[prop::sample::Index; 2]>(),
        space in white_space(),
    ) {
        let data = match signal {
            Some(name) => format!("{{{space}{}:{value}}}", spell(name, &spellings.3)),
            None => value,
        };
        let mut members = members;
        for (name, value, spelling, at) in [
            ("receiver", spell(&receiver, &spellings.0), &spellings.1, &at[0]),
            ("data", data.clone(), &spellings.2, &at[1]),
        ] {
            let at = at.index(members.len() + 1);
            members.insert(at, Member { name, spelling: spelling.clone(), value });
        }
        let signal = frame_text(&members, &space);
        let text = frame_text(&[Member { name: "Signal", spelling: spellings.0, value: signal }], &space);
        let decoded = matchbox::decode(&text);
        prop_assert_eq!(&decoded, &Some(Signal { receiver: receiver.into(), kind: kind(&data), data: &data }), "{}", text);
        let frame = matchbox::signal(&sender, &data);
        match heard(&frame) {
            PeerEvent::Signal { sender: from, data: got } => prop_assert_eq!((from, got.get()), (sender.clone(), &*data)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_are_understood_as_by_the_reference(
        name in prop_oneof![select(vec!["Signal", "KeepAlive", "signal"]).prop_map(str::to_owned), id()],
        receiver in json(),
        data in prop::option::of(json()),
        more in prop::option::of(json()),
    ) {
        let data = data.map_or_else(String::new, |data| format!(r#","data":{data}"#));
        let more = more.map_or_else(String::new, |more| format!(r#","x":{more}"#));
        let text = format!(r#"{{{}:{{"receiver":{receiver}{data}}}{more}}}"#, json_string(&name));
        match (matchbox::decode(&text), serde_json::from_str(&text)) {
            (Some(ours), Ok(PeerRequest::Signal { receiver, data })) => {
                prop_assert_eq!((&*ours.receiver, ours.data), (&*receiver, data.get()));
            }
            (None, Ok(PeerRequest::KeepAlive) | Err(_)) => {}
            (ours, theirs) => panic!("{text}: {ours:?}, {theirs:?}"),
        }
    }

    #[test]
    fn events_are_those_of_the_reference(id in id()) {
        let [assigned, joined, left] = [
            Some(matchbox::id_assigned(&id)),
            MatchboxRooms.changed(Change::Joined, "r", MemberView::of_id(&id)),
            MatchboxRooms.changed(Change::Left, "r", MemberView::of_id(&id)),
        ].map(|frame| frame.expect("a frame"));
        prop_assert!(matches!(heard(&assigned), PeerEvent::IdAssigned(of) if of == id));
        prop_assert!(matches!(heard(&joined), PeerEvent::NewPeer(of) if of == id));
        prop_assert!(matches!(heard(&left), PeerEvent::PeerLeft(of) if of == id));
        prop_assert!(MatchboxRooms.changed(Change::Updated, "r", MemberView::of_id(&id)).is_none());
        let error = matchbox::error(&id);
        prop_assert_eq!(unframe(&error), format!(r#"{{"Error":{}}}"#, json_string(&id)));
    }

    #[test]
    fn scraps_never_panic(scraps in vec(select(vec![
        "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u", "\"Signal\":", "\"KeepAlive\"", "\"receiver\":", "\"data\":", "\"a\"",
        "{\"Signal\":{", "\"Offer\":", "null", "1e", " ", "é", "{}",
    ]), 0..16)) {
        let text = scraps.concat();
        if let Some(Signal { receiver, data, .. }) = matchbox::decode(&text) {
            let frame = matchbox::signal(&receiver, data);
            prop_assert!(serde_json::from_str::<&RawValue>(unframe(&frame)).is_ok(), "{}", text);
        }
    }
}
