//! The demands of the target `dialects` on topics, the tracker, RxDB and Matchbox: a command has what its
//! frame has, and recipients get the text of the sender. `sent` is the frame as JavaScript reads it, unless
//! [`Value`] cannot represent it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{object, text_of};
use peerbroker_core::vocabulary::Frame;
use peerbroker_protocols::client::{Protocol as _, Published};
use peerbroker_protocols::matchbox;
use peerbroker_protocols::root::Guest;
use peerbroker_protocols::rxdb::{self, RxDbCommand};
use peerbroker_protocols::signal::SignalKind;
use peerbroker_protocols::topics::{self, TopicCommand};
use peerbroker_protocols::tracker::{self, TrackerCommand};
use peerbroker_rooms::{Change, MemberView, RoomFrames};

/// An id that has to be escaped.
const SENDER: &str = "sen\"der\n";

/// Subscribers hear the publication with their number, or its payload.
pub(super) fn topics(command: &TopicCommand<'_>, text: &str, sent: Option<&Value>) {
    match command {
        TopicCommand::Subscribe(named) | TopicCommand::Unsubscribe(named) => {
            let Some(sent) = sent else { return };
            let listed = sent["topics"].as_array().into_iter().flatten();
            let expected: Vec<&str> =
                sent.get("topic").into_iter().chain(listed).filter_map(Value::as_str).collect();
            assert_eq!(*named, expected);
        }
        TopicCommand::Publish(topic) => {
            let frame = topics::publication(topic, text, 3);
            if let (Some(sent), Some(got)) = (sent, object(&frame)) {
                assert_eq!(sent["topic"], Value::from(&**topic));
                let expected = match sent.get("payload") {
                    Some(payload) => json!({"topic": topic, "payload": payload}),
                    None => with(sent, "clients", 3.into()),
                };
                assert_eq!(got, expected);
            }
            expect_own(&frame, text, &["topic", "clients"]);
            if let (Some(Published { from, to, kind }), Some(sent)) = (Guest::published(text), sent) {
                let data = &sent["data"];
                assert_eq!((data["from"].as_str(), data["to"].as_str()), (Some(&*from), to.as_deref()));
                expect_kind(kind, &data["signal"]);
            }
        }
        TopicCommand::Ping => assert_eq!(object(&topics::pong()), Some(json!({"type": "pong"}))),
    }
}

/// Members of a swarm get offers and answers. The numbers of what a client may ask for at once are bounded.
pub(super) fn tracker(command: TrackerCommand<'_>, text: &str, sent: Option<&Value>) {
    match command {
        TrackerCommand::Announce(said) => announce(&said, text, sent),
        TrackerCommand::Scrape(names) => {
            assert!((1..=tracker::MAX_SCRAPED).contains(&names.len()));
            for name in &names {
                let hash = name.bytes.iter().copied().map(char::from).collect::<String>();
                let is_listed = |list: &Vec<Value>| list.contains(&hash.as_str().into());
                let is_sent = |sent: &Value| {
                    sent["info_hash"] == *hash || sent["info_hash"].as_array().is_some_and(is_listed)
                };
                assert!(sent.is_none_or(is_sent), "{hash:?}");
            }
            let bytes: Vec<_> = names.iter().map(|name| name.bytes).collect();
            let counts = tracker::Counts { complete: 2, incomplete: 1 };
            let counted = tracker::scraped(names.into_iter().map(|name| (name, counts)));
            let got = object(&counted).expect("names without lone surrogates");
            for hash in bytes {
                let file = &got["files"][hash.map(char::from).iter().collect::<String>()];
                assert_eq!(*file, json!({"complete": 2, "incomplete": 1, "downloaded": 2}));
            }
        }
        TrackerCommand::Invalid(problem) => {
            let told = object(&tracker::invalid(problem));
            assert_eq!(told, Some(json!({"failure reason": problem.label()})));
        }
    }
}

fn announce(said: &tracker::Announce<'_>, text: &str, sent: Option<&Value>) {
    assert!(said.offers.len() <= tracker::MAX_OFFERS);
    let frames = said.offers.iter().map(|offer| said.offer(offer));
    let frames: Vec<Frame> = frames.chain(said.answer.as_ref().map(|answer| said.answer(answer))).collect();
    let got: Vec<Option<Value>> = frames.iter().map(object).collect();
    let counted = object(&said.counted(tracker::Counts { complete: 2, incomplete: 1 }));
    let refused = object(&said.refused(tracker::Problem::TooFast));
    let (offers, answer) = frames.split_at(said.offers.len());
    for frame in offers {
        expect_own(frame, text, &["action", "offer", "offer_id"]);
        let offer = own_texts(text_of(frame)).map(|members| members["offer"].get());
        assert!(offer.is_none_or(|offer| text.contains(offer)));
    }
    for frame in answer {
        expect_own(frame, text, &["action"]);
    }
    let Some(sent) = sent else { return };
    let hash = &sent["info_hash"];
    let peer = &sent["peer_id"];
    assert_eq!((bytes(hash), bytes(peer)), (Some(said.info_hash.bytes), Some(said.peer_id.bytes)));
    let counts = json!({
        "complete": 2, "incomplete": 1, "action": "announce", "interval": 120, "info_hash": hash,
    });
    assert_eq!(counted, Some(counts));
    let reason = tracker::Problem::TooFast.label();
    assert_eq!(refused, Some(json!({"action": "announce", "failure reason": reason, "info_hash": hash})));
    assert!(sent["left"].as_f64() != Some(0.0) || said.is_complete);

    let told = |kind: &str, of: &Value| {
        let told = json!({"action": "announce", "peer_id": peer, "info_hash": hash, kind: of[kind]});
        of.get("offer_id").map_or(told.clone(), |id| with(&told, "offer_id", id.clone()))
    };
    let offers = sent["offers"].as_array().into_iter().flatten().filter(|offer| offer["offer"].is_object());
    let offers = offers.take(tracker::MAX_OFFERS).map(|offer| told("offer", offer));
    let answer = sent["answer"].is_object().then(|| told("answer", sent));
    assert_eq!(got, offers.chain(answer).map(Some).collect::<Vec<_>>());
    let to = said.answer.as_ref().map(|answer| answer.to);
    assert!(to.is_none() || to == bytes(&sent["to_peer_id"]));
}

/// The bytes of an info hash, or of the id of a peer.
fn bytes(text: &Value) -> Option<tracker::Hash> {
    let bytes = text.as_str()?.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>();
    bytes.ok()?.try_into().ok()
}

/// A signal is forwarded as it is. Lists have the ids of members.
pub(super) fn rxdb(text: &str, sent: Option<&Value>) {
    let command = rxdb::decode(text);
    assert!(command.is_none() || is_object(text), "{command:?}");
    match command {
        Some(RxDbCommand::Join(room)) => {
            assert!((6..100).contains(&room.len()));
            assert!(sent.is_none_or(|sent| sent["room"] == *room));
        }
        Some(RxDbCommand::Signal(rxdb::Signal { from, to, kind })) => {
            if let Some(sent) = sent {
                assert!(sent["senderPeerId"] == *from && sent["receiverPeerId"] == *to);
                expect_kind(kind, &sent["data"]);
            }
            let init = object(&rxdb::init(&from));
            assert_eq!(init, Some(json!({"type": "init", "yourPeerId": from})));
            let mut members = [&*from, &*to].map(MemberView::of_id).into_iter();
            let list = rxdb::RxDbRooms.members("notes of May", &mut members, &mut std::iter::empty(), None);
            let list = list.as_ref().and_then(object);
            assert_eq!(list, Some(json!({"type": "joined", "otherPeerIds": [from, to]})));
        }
        Some(RxDbCommand::Ping) | None => {}
    }
}

/// A signal has the data of its sender.
pub(super) fn matchbox(text: &str, sent: Option<&Value>) {
    let signal = matchbox::decode(text);
    assert!(signal.is_none() || is_object(text), "{signal:?}");
    let Some(matchbox::Signal { receiver, kind, data }) = signal else { return };
    let frame = matchbox::signal(SENDER, data);
    let got = object(&frame);
    if let Some(sent) = sent {
        let sent = &sent["Signal"];
        assert_eq!(sent["receiver"], *receiver);
        assert_eq!(got, Some(json!({"Signal": {"sender": SENDER, "data": sent["data"]}})));
        let is_only = |name: &str| sent["data"].as_object().is_some_and(|data| data.keys().eq([name]));
        let kinds = [
            ("Offer", SignalKind::Offer),
            ("Answer", SignalKind::Answer),
            ("IceCandidate", SignalKind::Candidate),
        ];
        for (name, of) in kinds {
            assert!(kind != of || is_only(name));
        }
    }
    let inner = |text| own_texts(text).and_then(|texts| texts.get("Signal").map(|signal| signal.get()));
    if let (Some(sent), Some(got)) =
        (inner(text).and_then(own_texts), inner(text_of(&frame)).and_then(own_texts))
    {
        assert_eq!(got["data"].get(), sent["data"].get());
    }
    let joined = matchbox::MatchboxRooms.changed(Change::Joined, "lobby", MemberView::of_id(&receiver));
    assert_eq!(joined.as_ref().and_then(object), Some(json!({"NewPeer": receiver})));
    for (name, frame) in
        [("IdAssigned", matchbox::id_assigned(&receiver)), ("Error", matchbox::error(&receiver))]
    {
        assert_eq!(object(&frame), Some(json!({name: receiver})));
    }
}

/// True if the text is a JSON object.
pub(super) fn is_object(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'))
}

/// A copy of an object with one more member.
fn with(object: &Value, name: &str, member: Value) -> Value {
    let mut object = object.clone();
    object[name] = member;
    object
}

fn expect_kind(kind: SignalKind, signal: &Value) {
    let expected = match signal["type"].as_str() {
        Some("offer") => SignalKind::Offer,
        Some("answer") => SignalKind::Answer,
        Some("candidate") => SignalKind::Candidate,
        _ => SignalKind::Other,
    };
    assert_eq!(kind, expected);
}

/// Each member of a frame is the sender's own text, except for those that the server sets.
fn expect_own(frame: &Frame, sent: &str, set: &[&str]) {
    let (Some(got), Some(sent)) = (own_texts(text_of(frame)), own_texts(sent)) else { return };
    for (name, value) in got.iter().filter(|(name, _)| !set.contains(&name.as_str())) {
        assert_eq!(value.get(), sent[name].get(), "{name}");
    }
}

/// The members of an object as their own text; of those with the same name, the last one.
fn own_texts(text: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(text).ok()
}
