use super::*;

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
        ("hello", "sent a message at the root that does nothing", false),
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
    let told = in_vain(RealmKind::Guests, defaults, r#"{"type":"Subscribe"}"#).told;
    assert_eq!(told.as_deref(), Some(r#"unknown type "Subscribe": did you mean "subscribe"?"#));
}

#[test]
fn the_hint_names_the_command_the_flag_or_the_address_that_was_meant() {
    let without_topics = || Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Topics).collect();
    let defaults = Dialects::default();
    for (realm, dialects, text, expected) in [
        (RealmKind::Guests, defaults, r#"{"type":"subcribe"}"#, r#"did it mean "subscribe"?"#),
        (RealmKind::Guests, defaults, r#"{"type":"publish"}"#, "it needs its `topic`"),
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
            "it is one of RxDB, at …/rxdb",
        ),
        (
            RealmKind::Guests,
            Dialects::from_iter([Dialect::Topics]),
            r#"{"type":"join","room":"my-room-1"}"#,
            "it is one of RxDB, at …/rxdb. --dialects +rxdb turns the protocol of RxDB on",
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
            "it names no command. This broker speaks the protocols of room codes, calls, y-webrtc, Trystero, Nostr and WebTorrent \
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
            r#"{"type":"join"}"#,
            "a room, which is the `topic` of the replication, has 6 to 99 characters, and it has no room",
        ),
        (
            RealmKind::RxDb,
            defaults,
            r#"{"type":"signal","senderPeerId":"a","receiverPeerId":"b"}"#,
            "its senderPeerId is another client's. The id in `init` is valid for one connection only",
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
        for command in advice(dialect).commands {
            let text = match advice(dialect).named_by {
                NamedBy::Member(member) => format!(r#"{{"{member}":"{command}"}}"#),
                NamedBy::FirstOfList => format!(r#"["{command}"]"#),
                NamedBy::Nothing => continue,
            };
            for realm in RealmKind::ALL {
                let hint = hint(realm, all(), &text);
                assert!(!hint.contains("this broker speaks"), "{text} at {realm:?}: {hint}");
            }
        }
    }
}

#[test]
fn texts_of_clients_are_shortened() {
    let long = "x".repeat(100_000);
    for text in [format!(r#"{{"type":"{long}"}}"#), format!(r#"{{"type":"join","room":"{long}"}}"#)] {
        let InVain { what, hint, .. } = in_vain(RealmKind::RxDb, all(), &text);
        assert!(what.len() < 200 && hint.len() < 300, "{what}: {hint}");
    }
}
