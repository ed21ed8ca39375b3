use super::*;
use crate::json::MAX_MEMBERS;

/// The hint for a text of a client of a realm.
fn hint(realm: RealmKind, dialects: Dialects, text: &str) -> String {
    in_vain(realm, dialects, text).hint
}

fn all() -> Dialects {
    Dialect::ALL.into_iter().collect()
}

#[test]
fn a_message_that_does_nothing_is_told_by_its_own_name() {
    let defaults = Dialects::default();
    for (text, what, told) in [
        (r#"{"type":"subcribe"}"#, r#"sent the type "subcribe" at the root, which does nothing"#, false),
        (r#"{"type":"Subscribe"}"#, r#"sent the type "Subscribe" at the root, which does nothing"#, true),
        (
            r#"{"action":"createroom"}"#,
            r#"sent the action "createroom" at the root, which does nothing"#,
            true,
        ),
        (r#"["REQ","a",{}]"#, r#"sent the message "REQ" at the root, which does nothing"#, false),
        ("hello", "sent a text that is no JSON object to the root, which does nothing", false),
        (
            r#"{"type":"subscribe""#,
            "sent a text that is no JSON object to the root, which does nothing",
            false,
        ),
        (r#"{"type":5}"#, r#"sent the message "type" at the root, which does nothing"#, false),
        (r#"{"a":1,"b":2}"#, "sent a message at the root that does nothing", false),
        ("[]", "sent a message at the root that does nothing", false),
    ] {
        let said = in_vain(RealmKind::Guests, defaults, text);
        assert_eq!((said.what.as_str(), said.told.is_some()), (what, told), "{text}");
    }
    let what = |realm, text| in_vain(realm, defaults, text).what;
    assert_eq!(
        what(RealmKind::RxDb, r#"{"type":"hello"}"#),
        r#"sent the type "hello" at …/rxdb, which does nothing"#
    );
    assert_eq!(
        what(RealmKind::Matchbox, r#"{"Hello":{"more":1}}"#),
        r#"sent the message "Hello" at …/matchbox/ROOM, which does nothing"#
    );
    assert_eq!(
        what(RealmKind::PeerJs, "hello"),
        "sent a text that is no JSON object to …/peerjs, which does nothing"
    );
    let told = in_vain(RealmKind::Guests, defaults, r#"{"type":"Subscribe"}"#).told;
    assert_eq!(told.as_deref(), Some(r#"unknown type "Subscribe": did you mean "subscribe"?"#));
}

#[test]
fn the_hint_names_the_command_the_flag_or_the_address_that_was_meant() {
    let without_topics = || Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Topics).collect();
    let defaults = Dialects::default();
    for (realm, dialects, text, expected) in [
        (RealmKind::Guests, defaults, r#"{"type":"subcribe"}"#, r#"did it mean "subscribe"?"#),
        (RealmKind::Guests, defaults, r#"{"type":"publish"}"#, "it needs its `topic`, which is a text"),
        (
            RealmKind::Guests,
            defaults,
            r#"{"type":"subscribe","topics":"minutes"}"#,
            r#"`topics` is a list, as in {"type":"subscribe","topics":["minutes"]}"#,
        ),
        (
            RealmKind::Guests,
            defaults,
            r#"{"type":"unsubscribe"}"#,
            "it needs `topics`, a list of texts, or `topic`",
        ),
        (
            RealmKind::Guests,
            Dialects::from_iter([Dialect::Topics]),
            "\u{10}\u{1b}\0\u{4}MQTT\u{4}\u{2}\0<\0\u{f}mqttjs_1a2b3c4d",
            "it speaks MQTT, which this broker does not. Of the strategies of Trystero, use ws-relay, Nostr or torrent. This broker speaks \
             the protocols of y-webrtc and Trystero at …/",
        ),
        (RealmKind::Guests, defaults, r#"{"action":"offer"}"#, "messages of calls need data.remoteId"),
        (
            RealmKind::Guests,
            without_topics(),
            r#"{"type":"subscribe","topics":["x"]}"#,
            "--dialects +topics turns the protocol of y-webrtc and Trystero on",
        ),
        (
            RealmKind::Guests,
            defaults,
            r#"{"action":"announce"}"#,
            "--dialects +tracker turns the protocol of WebTorrent on",
        ),
        (
            RealmKind::Guests,
            defaults,
            r#"{"type":"join","room":"my-room-1"}"#,
            "it is one of RxDB, at …/rxdb. An app of your own has rooms.js, or `subscribe` and `publish` here",
        ),
        (
            RealmKind::Guests,
            Dialects::from_iter([Dialect::Topics]),
            r#"{"type":"join","room":"my-room-1"}"#,
            "it is one of RxDB, at …/rxdb. --dialects +rxdb turns the protocol of RxDB on. An app of your own has rooms.js, or \
             `subscribe` and `publish` here",
        ),
        (RealmKind::Guests, defaults, r#"{"type":"HEARTBEAT"}"#, "it is one of PeerJS, at …/peerjs"),
        (
            RealmKind::Guests,
            defaults,
            r#"{"type":"createRoom"}"#,
            r#"write it as the action: {"action":"createRoom"}"#,
        ),
        (
            RealmKind::Guests,
            defaults,
            r#"{"action":"hello"}"#,
            "this broker speaks the protocols of room codes, calls, y-webrtc, Trystero and Nostr at …/; PeerJS at …/peerjs; \
             RxDB at …/rxdb. Messages of calls need data.remoteId",
        ),
        (
            RealmKind::Guests,
            all(),
            "hello",
            "it begins with \"hello\". This broker speaks the protocols of room codes, calls, y-webrtc, Trystero, Nostr and WebTorrent \
             at …/; PeerJS at …/peerjs; RxDB at …/rxdb; Matchbox at …/matchbox/ROOM",
        ),
        (
            RealmKind::RxDb,
            defaults,
            r#"{"type":"join","room":"todo"}"#,
            r#"a room, which is the `topic` of the replication, has 6 to 99 characters, and its room "todo" has 4"#,
        ),
        (
            RealmKind::RxDb,
            defaults,
            r#"{"type":"join","room":"todos\nof May"}"#,
            "a room, which is the `topic` of the replication, has no control characters, such as line breaks",
        ),
        (
            RealmKind::RxDb,
            defaults,
            r#"{"type":"join"}"#,
            "a room, which is the `topic` of the replication, has 6 to 99 characters, and it has no room",
        ),
        (
            RealmKind::RxDb,
            defaults,
            r#"{"type":"signal","senderPeerId":"a","receiverPeerId":"b"}"#,
            "its senderPeerId is another client's. The id in `init` is valid for one connection only",
        ),
        (
            RealmKind::Guests,
            Dialects::from_iter([Dialect::Topics]),
            "[object Object]",
            "the page sends an object without JSON.stringify: send JSON.stringify(message). This broker speaks the protocols of y-webrtc and Trystero at …/",
        ),
        (
            RealmKind::PeerJs,
            defaults,
            r#"{"type":"OFFER"}"#,
            "peer.connect and peer.call need the id of the other peer, and peer.id is known only after its `open`",
        ),
        (RealmKind::PeerJs, defaults, r#"{"type":"ANSWER"}"#, "it needs the id of its recipient as `dst`"),
        (RealmKind::PeerJs, defaults, r#"{"type":"offer"}"#, r#"did it mean "OFFER"?"#),
        (RealmKind::PeerJs, defaults, r#"{"type":"ROOM-JION"}"#, r#"did it mean "ROOM-JOIN"?"#),
        (
            RealmKind::PeerJs,
            defaults,
            r#"{"type":"subscribe","topics":["x"]}"#,
            "it is one of y-webrtc and Trystero, at …/",
        ),
        (
            RealmKind::PeerJs,
            defaults,
            r#"{"action":"announce"}"#,
            "it is one of WebTorrent, at …/. --dialects +tracker turns the protocol of WebTorrent on",
        ),
        (
            RealmKind::PeerJs,
            Dialects::from_iter([Dialect::PeerJs]),
            r#"{"more":1,"type":5}"#,
            "it names no command. This broker speaks the protocols of PeerJS at …/peerjs",
        ),
        (
            RealmKind::Matchbox,
            all(),
            r#"{"Signal":{"receiver":"nobody","data":1}}"#,
            "a signal needs `receiver`, which is the UUID of a peer, and `data`",
        ),
        (RealmKind::Matchbox, all(), r#"{"signal":{}}"#, r#"did it mean "Signal"?"#),
        (
            RealmKind::Matchbox,
            Dialects::from_iter([Dialect::Matchbox]),
            "",
            "it is empty, or binary. This broker speaks the protocols of Matchbox at …/matchbox/ROOM",
        ),
        (RealmKind::RxDb, defaults, r#"{"type":"signal"}"#, "a signal needs senderPeerId and receiverPeerId"),
        (RealmKind::RxDb, defaults, r#"{"type":"Join"}"#, r#"did it mean "join"?"#),
        (RealmKind::RxDb, defaults, r#"{"type":"subscribe"}"#, "it is one of y-webrtc and Trystero, at …/"),
    ] {
        assert_eq!(hint(realm, dialects, text), expected, "{text}");
    }
}

#[test]
fn a_command_of_each_protocol_is_known_at_every_address() {
    for dialect in Dialect::ALL {
        for command in advice(dialect).commands() {
            let text = match advice(dialect).named_by {
                NamedBy::Member(member) => format!(r#"{{"{member}":"{command}"}}"#),
                NamedBy::FirstOfList => format!(r#"["{command}"]"#),
                NamedBy::OnlyMember => format!(r#"{{"{command}":1}}"#),
            };
            for realm in RealmKind::ALL {
                let hint = hint(realm, all(), &text);
                assert!(!hint.contains("this broker speaks"), "{text} at {realm:?}: {hint}");
            }
        }
    }
}

#[test]
fn only_the_beginning_of_a_long_message_is_read() {
    let more = "x".repeat(MAX_READ);
    let what = |text: &str| in_vain(RealmKind::PeerJs, all(), text).what;
    assert!(what(&format!(r#"{{"type":"subscribe","more":"{more}"}}"#)).contains(r#"the type "subscribe""#));
    assert_eq!(
        what(&format!(r#"{{"a":1,"more":"{more}","type":"subscribe"}}"#)),
        "sent a message at …/peerjs that does nothing"
    );
    assert!(what(&more.repeat(2)).contains("no JSON object"));
    // In the middle of a character.
    assert!(what(&format!(r#"{{"type":"subscribe","m":"{}"}}"#, "ä".repeat(MAX_READ))).contains("subscribe"));
    assert!(
        what(&format!(r#"{{"type":"subscribe","mo":"{}"}}"#, "ä".repeat(MAX_READ))).contains("subscribe")
    );
}

#[test]
fn too_many_members_are_the_reason_whatever_the_command_is() {
    let more = |count: usize| (0..count).map(|n| format!(r#","member{n}":{n}"#)).collect::<String>();
    for realm in RealmKind::ALL {
        for first in [r#""type":"publish""#, r#""action":"createRoom""#, r#""hello":1"#] {
            let text = format!("{{{first}{}}}", more(MAX_MEMBERS));
            assert_eq!(hint(realm, all(), &text), "it has more than 32 members", "{text}");
            let text = format!("{{{first}{}}}", more(MAX_MEMBERS - 1));
            assert!(!hint(realm, all(), &text).contains("members"), "{text}");
        }
    }
}

#[test]
fn a_ping_alone_is_told_the_address_of_rxdb_and_the_flag_if_that_is_off() {
    assert_eq!(lost_ping(Dialects::default()).1, "the address of RxDB is …/rxdb");
    assert_eq!(
        lost_ping(Dialects::from_iter([Dialect::Topics])).1,
        "the address of RxDB is …/rxdb, and --dialects +rxdb turns the protocol of RxDB on"
    );
}

#[test]
fn texts_of_clients_are_shortened() {
    let long = "x".repeat(100_000);
    for text in [format!(r#"{{"type":"{long}"}}"#), format!(r#"{{"type":"join","room":"{long}"}}"#)] {
        let InVain { what, hint, .. } = in_vain(RealmKind::RxDb, all(), &text);
        assert!(what.len() < 200 && hint.len() < 300, "{what}: {hint}");
    }
}
