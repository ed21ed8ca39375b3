//! Messages of clients, and parameters of their addresses, that do nothing.

use serde_json::{Value, json};
use testkit::wait::wait_until;

use super::{line, log_of};
use crate::http_client::HttpConnection;
use crate::program::{Ended, Program};

#[test]
fn messages_at_the_root_that_do_nothing_are_logged_and_a_misspelt_one_is_answered() {
    let log = log_of(&[], |program| {
        let mut guest = program.connect("/");
        guest.send(r#"{"action":"createroom"}"#);
        assert!(
            guest.expect_text().contains(r#"unknown action \"createroom\": did you mean \"createRoom\"?"#)
        );
        guest.send(r#"{"action":"never logged, because it is the second"}"#);
        for message in [r#"{"action":"hello"}"#, r#"{"action":"offer","data":{}}"#, "hello"] {
            let mut guest = program.connect("/");
            guest.send(message);
            guest.send(r#"{"action":"createRoom"}"#);
            assert!(guest.expect_text().contains("confirmRoom"), "no answer to {message}");
        }
    });
    assert!(line(&log, r#""createroom" at the root"#).contains(r#"did it mean "createRoom"?"#));
    assert!(line(&log, r#""hello" at the root"#).contains("Messages of calls need data.remoteId"));
    assert!(line(&log, r#""offer" at the root"#).contains("messages of calls need data.remoteId"));
    assert!(
        line(&log, "sent a text that is no JSON object to the root")
            .contains("room codes, calls, y-webrtc, Trystero and Nostr at …/")
    );
    assert!(!log.concat().contains("never logged"), "{log:#?}");
}

/// A message in vain of the clients of each protocol, and the words of the log about it.
#[test]
fn a_message_in_vain_is_logged_with_the_protocol_the_flag_or_the_limit_that_was_meant() {
    let long = "x".repeat(257);
    let topics: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let cases = [
        (
            "/",
            json!({"type": "subcribe"}),
            r#"the type "subcribe" at the root"#,
            r#"did it mean "subscribe"?"#,
        ),
        (
            "/",
            json!({"type": "login", "name": "anna"}),
            r#"the type "login" at the root"#,
            "An app of your own has rooms.js, or `subscribe` and `publish` here",
        ),
        ("/", json!({"type": "Publish"}), r#"the type "Publish" at the root"#, r#"did it mean "publish"?"#),
        (
            "/",
            json!({"type": "join", "room": "my-room-1"}),
            r#"the type "join" at the root"#,
            "it is one of RxDB, at …/rxdb. An app of your own has rooms.js, or `subscribe` and `publish` here",
        ),
        (
            "/",
            json!({"type": "subscribe", "topics": "minutes"}),
            r#"the type "subscribe" at the root"#,
            r#"`topics` is a list, as in {"type":"subscribe","topics":["minutes"]}"#,
        ),
        (
            "/",
            json!({"action": "announce"}),
            r#"the action "announce" at the root"#,
            "--dialects +tracker turns the protocol of WebTorrent on",
        ),
        ("/rxdb", json!({"type": "hello"}), r#"the type "hello" at …/rxdb"#, "RxDB at …/rxdb"),
        (
            "/rxdb",
            json!({"type": "join", "room": "todo"}),
            r#"the type "join" at …/rxdb"#,
            r#"its room "todo" has 4"#,
        ),
        (
            "/rxdb",
            json!({"type": "signal", "senderPeerId": "bob", "receiverPeerId": "al"}),
            r#"the type "signal" at …/rxdb"#,
            "its senderPeerId is another client's",
        ),
        (
            "/",
            json!({"type": "subscribe", "topics": [long]}),
            "subscribed to a topic of 257 bytes",
            "a topic has at most 256",
        ),
        (
            "/",
            json!({"type": "subscribe", "topics": topics}),
            "subscribed to more than 64 topics",
            "it hears nothing of the others",
        ),
    ];
    let mut program = Program::start(&["--ops_port", "0"]);
    let (api, _) = program.expect_api();
    for (address, message, ..) in &cases {
        let mut client = program.connect(address);
        if *address == "/rxdb" {
            client.expect_text();
        }
        client.send(message.to_string());
        if *address == "/rxdb" {
            client.expect_closed_with(Some(4009));
        } else {
            client.send(r#"{"action":"createRoom"}"#);
            while !client.expect_text().contains("confirmRoom") {}
        }
    }
    // The dashboard's list "What clients do wrong".
    wait_until("all mistakes", || {
        api.get("/api/mistakes").json["mistakes"].as_array().unwrap().len() == cases.len()
    });
    let mistakes = api.get("/api/mistakes").json.to_string();
    let Ended { stderr, .. } = program.stop();
    let log: Vec<String> = stderr.lines().map(str::to_owned).collect();
    for (_, _, what, hint) in cases {
        assert!(line(&log, what).contains(hint), "{hint}: {}", line(&log, what));
        assert!(mistakes.contains(&hint.replace('"', "\\\"")), "{hint} in {mistakes}");
    }
}

#[test]
fn a_message_in_vain_at_peerjs_or_matchbox_is_logged_once_and_its_client_stays() {
    const PEERJS: &str = "/peerjs?key=peerjs&id=a&token=t";
    const MATCHBOX: &str = "/matchbox/room";
    const CASES: [(&str, &str, &str, &str); 10] = [
        (PEERJS, "hello", "no JSON object to …/peerjs", r#"it begins with "hello""#),
        (PEERJS, r#"{"data":1,"dst":"b"}"#, "sent a message at …/peerjs", "it names no command"),
        (
            PEERJS,
            r#"{"type":"HELLO"}"#,
            r#"the type "HELLO" at …/peerjs"#,
            "this broker speaks the protocols",
        ),
        (
            PEERJS,
            r#"{"type":"OFFER"}"#,
            r#"the type "OFFER" at …/peerjs"#,
            "peer.id is known only after its `open`",
        ),
        (
            PEERJS,
            r#"{"type":"subscribe"}"#,
            r#"the type "subscribe" at …/peerjs"#,
            "y-webrtc and Trystero, at …/",
        ),
        (PEERJS, r#"{"action":"announce"}"#, r#"the action "announce" at …/peerjs"#, "--dialects +tracker"),
        (MATCHBOX, "hello", "no JSON object to …/matchbox/ROOM", r#"it begins with "hello""#),
        (MATCHBOX, r#"{"Hello":1}"#, r#"the message "Hello" at …/matchbox/ROOM"#, "this broker speaks"),
        (
            MATCHBOX,
            r#"{"Signal":{"receiver":"b","data":1}}"#,
            r#""Signal" at …/matchbox/ROOM"#,
            "the UUID of a peer",
        ),
        (MATCHBOX, r#"{"type":"OFFER"}"#, r#"the type "OFFER" at …/matchbox/ROOM"#, "PeerJS, at …/peerjs"),
    ];
    let log = log_of(&["--dialects", "+matchbox"], |program| {
        for (n, (address, text, ..)) in CASES.into_iter().enumerate() {
            // In a room of its own: in another one it could hear that the one before leaves.
            let room = if address == MATCHBOX { format!("-{n}") } else { String::new() };
            let mut client = program.connect(&format!("{address}{room}"));
            let greeting: Value = serde_json::from_str(&client.expect_text()).unwrap();
            client.send(if address == MATCHBOX { r#""KeepAlive""# } else { r#"{"type":"HEARTBEAT"}"# });
            client.send(text);
            client.send(r#"{"type":"never logged, because it is the second"}"#);
            // It still hears what it sends to itself.
            match greeting["IdAssigned"].as_str() {
                Some(id) => client.send(format!(r#"{{"Signal":{{"receiver":"{id}","data":1}}}}"#)),
                None => client.send(r#"{"type":"ANSWER","dst":"a","payload":1}"#),
            }
            let own = client.expect_text();
            assert!(own.contains("ANSWER") || own.contains("Signal"), "{text}: {own}");
        }
    });
    for (_, text, what, hint) in CASES {
        assert!(line(&log, what).contains(hint), "{text}: {}", line(&log, what));
    }
    assert!(!log.concat().contains("never logged"), "{log:#?}");
}

#[test]
fn a_client_that_begins_with_a_ping_at_the_root_is_told_the_address_of_rxdb_and_one_of_topics_is_not() {
    const PING: &str = r#"{"type":"ping"}"#;
    let log = log_of(&[], |program| {
        let mut replication = program.connect("/");
        replication.send(PING);
        assert_eq!(replication.expect_text(), r#"{"type":"pong"}"#);
        for first in [r#"{"type":"subscribe","topics":["a"]}"#, r#"{"type":"hello"}"#] {
            let mut client = program.connect("/");
            client.send(first);
            client.send(PING);
            assert_eq!(client.expect_text(), r#"{"type":"pong"}"#);
        }
    });
    let line = line(&log, "sent only a ping at the root");
    assert!(line.ends_with("the address of RxDB is …/rxdb"), "{line}");
}

/// A component that creates a Peer at each render. A classroom behind one address has a connection for each
/// browser.
#[test]
fn a_page_that_creates_clients_again_and_again_is_told_of_and_many_browsers_of_one_address_are_not() {
    const PAGE: &str = "Origin: http://page.test\r\n";
    let ask = |program: &Program, headers: &str, connections: usize, requests: usize| {
        for _ in 0..connections {
            let mut browser = HttpConnection::open(program.address);
            for _ in 0..requests {
                assert_eq!(browser.request("GET", "/peerjs/id", headers).status, 200);
            }
        }
    };
    let classroom = log_of(&[], |program| {
        ask(program, PAGE, 30, 2);
        ask(program, &format!("{PAGE}X-Forwarded-For: 192.0.2.1\r\n"), 1, 30);
    });
    assert!(!classroom.concat().contains("again and again"), "{classroom:#?}");
    let log = log_of(&[], |program| ask(program, PAGE, 2, 30));
    let line = line(&log, "asked for ids of the key \"peerjs\" again and again, on one connection");
    assert!(line.contains(r#"(from 127.0.0.1, a page of "http://page.test")"#), "{line}");
    assert!(line.contains("does a component create a Peer at each render?"), "{line}");
}

/// MQTT.js sends CONNECT as bytes. From 128 on, those of its length are not UTF-8.
#[test]
fn a_client_that_speaks_mqtt_is_named_however_long_its_first_packet_is() {
    let log = log_of(&[], |program| {
        for length in [vec![30], vec![0x9a, 1], vec![0x80, 0x80, 1]] {
            let mut client = program.connect("/");
            let packet = [&[0x10], &length[..], b"\0\x04MQTT\x04\xc2\0<\0\x0fmqttjs_1a2b3c4d"].concat();
            client.send_binary(&packet);
            client.send(r#"{"type":"ping"}"#);
            client.expect(r#"{"type":"pong"}"#);
        }
    });
    let line = line(&log, "sent a text that is no JSON object to the root");
    assert!(line.contains("it speaks MQTT, which this broker does not"), "{line}");
    assert!(!log.concat().contains("binary"), "{log:#?}");
}

#[test]
fn an_answer_to_a_player_without_a_name_is_logged_with_the_field() {
    let log = log_of(&[], |program| {
        let mut host = program.connect("/");
        host.send(r#"{"action":"createRoom"}"#);
        host.expect_text();
        host.send(r#"{"action":"offerResponse","username":"anna","response":{}}"#);
        assert_eq!(host.expect_text(), r#"{"type":"error","val":"no player"}"#);
    });
    let line = line(&log, r#"sent the action "offerResponse" without clientUsername"#);
    assert!(line.contains("the name in the offer that it answers"), "{line}");
}

/// `peer.connect(null)` has no `dst`, and the text of a link may have one of these.
#[test]
fn an_offer_to_undefined_is_logged_when_it_is_lost() {
    let log = log_of(&["--expire_timeout", "1"], |program| {
        let mut phone = program.connect("/peerjs?key=peerjs&id=phone&token=t");
        phone.expect_open();
        for absent in ["undefined", "null", "somebody"] {
            phone.send(json!({"type": "OFFER", "dst": absent, "payload": {}}).to_string());
            assert!(phone.expect_text().contains("EXPIRE"), "{absent}");
        }
    });
    for absent in ["undefined", "null"] {
        let line = line(&log, &format!("sent messages to the id {absent:?}"));
        assert!(line.contains(r#"(id "phone")"#) && line.contains("only after its `open`"), "{line}");
    }
    assert!(!log.concat().contains("somebody"), "{log:#?}");
}

#[test]
fn a_message_that_is_too_long_and_a_flood_are_logged_with_their_flags() {
    let args = ["--max_message_bytes", "1000", "--messages_per_second", "1"];
    let log = log_of(&args, |program| {
        let mut client = program.connect("/");
        client.send("x".repeat(1001));
        let close = client.expect_frame(8, "a close frame");
        assert_eq!(&close[2..], b"a message over --max_message_bytes");
        let mut flood = program.connect("/peerjs?key=peerjs&id=flood&token=t");
        flood.expect_open();
        for _ in 0..12 {
            flood.send(r#"{"type":"ANSWER","dst":"flood","payload":1}"#);
        }
        flood.expect_text();
        program.expect_log("sends more messages than --messages_per_second allows");
    });
    let long = line(&log, "sent a message that is longer than --max_message_bytes allows");
    assert!(long.contains("a message has at most 1000 bytes"), "{long}");
    let flood = line(&log, "sends more messages than --messages_per_second allows");
    assert!(flood.contains(r#"id "flood""#) && flood.contains("It may send 1 per second"), "{flood}");
    assert!(flood.ends_with("Does its page answer every message with another one?"), "{flood}");
}

#[test]
fn a_parameter_of_matchbox_that_does_nothing_is_logged_with_the_values_it_may_have() {
    const CASES: [(&str, &str, &str); 5] = [
        ("next=two", r#"next="two""#, "the number of peers of a game, from 1 on"),
        ("next=0", r#"next="0""#, "the number of peers of a game, from 1 on"),
        ("topology=client-server", r#"topology="client-server""#, "topology is client_server or full_mesh"),
        ("players=2", r#"the parameter "players""#, "the parameters are next, topology and key"),
        (
            "key=peerjs&token=hushhush",
            r#"the parameter "token""#,
            "the parameters are next, topology and key",
        ),
    ];
    let log = log_of(&["--dialects", "+matchbox"], |program| {
        for (query, ..) in CASES {
            program.connect(&format!("/matchbox/{}?{query}", query.len())).expect_text();
        }
        program.connect("/matchbox/good?next=1&topology=client_server&key=peerjs").expect_text();
    });
    for (query, what, hint) in CASES {
        let line = line(&log, &format!("opened a room of Matchbox with {what}"));
        assert!(line.contains(hint), "{query}: {line}");
    }
    assert!(!log.concat().contains("hushhush"), "{log:#?}");
}

/// The same name with other parameters is another room, in which a client waits for ever.
#[test]
fn a_room_of_matchbox_beside_one_of_the_same_name_with_another_next_is_logged_once() {
    const MESH: &str = "without next";
    const TWO: &str = "with next=2";
    const THREE: &str = "with next=3";
    const HOSTED: &str = "with topology=client_server";
    let query = |parameters: &str| {
        parameters.strip_prefix("with ").map(|query| format!("?{query}")).unwrap_or_default()
    };
    let cases =
        [("a", TWO, MESH), ("b", MESH, TWO), ("c", TWO, THREE), ("d", HOSTED, TWO), ("e", MESH, HOSTED)];
    let log = log_of(&["--dialects", "+matchbox"], |program| {
        for (room, first, second) in cases {
            let open = |parameters: &str| {
                let mut client = program.connect(&format!("/matchbox/{room}{}", query(parameters)));
                assert!(client.expect_text().contains("IdAssigned"));
                client
            };
            let _waits = open(first);
            drop((open(second), open(second)));
        }
        // Nobody waits in these: the first ones are a whole group, and the others meet.
        let mut games = Vec::new();
        for target in ["full?next=2", "full?next=2", "full?next=3", "full?next=3", "mesh", "mesh", "other"] {
            let mut client = program.connect(&format!("/matchbox/{target}"));
            assert!(client.expect_text().contains("IdAssigned"));
            games.push(client);
        }
    });
    for (room, first, second) in cases {
        let line = line(
            &log,
            &format!("opened the room {room:?} of Matchbox {second}, while others wait there {first}"),
        );
        assert!(
            line.ends_with("these are two rooms, so they do not meet: open one address in all games"),
            "{line}"
        );
    }
    assert_eq!(log.iter().filter(|line| line.contains("of Matchbox")).count(), cases.len(), "{log:#?}");
}
