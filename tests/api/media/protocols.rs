//! Candidates of the relay in the messages of each protocol.

use peerbroker_keys::RelayMode;

use super::{REAL, bound, signal_of_y_webrtc, with_relay};
use crate::harness::guests::{call, join, respond};
use crate::harness::relay_client::{candidate, sdp};
use crate::harness::{RawClient, TestServer};
use crate::matchbox;
use crate::rxdb::{replica, signal};
use crate::topics::{settle, subscribe};
use crate::tracker::with_tracker;

#[test]
fn a_description_without_an_end_gets_the_candidate_in_every_other_protocol_too() {
    let (relay, address) = bound();
    let server = TestServer::start_with_relay(relay, |config| {
        matchbox::with_matchbox(config);
        config.key_settings.relay = RelayMode::Fallback;
    });
    const LAST: &str = "a=max-message-size:262144";
    let line = candidate(address);
    let whole = sdp("aufrag", &[LAST, &line]);
    let sdp = sdp("aufrag", &[LAST]).trim_end_matches(r"\r\n").to_owned();
    let offer = format!(r#"{{"type":"offer","sdp":"{sdp}"}}"#);
    let hears = |client: &mut RawClient| {
        let heard = client.expect_text();
        assert!(heard.contains(&whole), "{}: {heard}", client.name);
    };

    let mut host = server.guest("room code");
    let mut player = server.guest("player");
    let room = host.create_room();
    player.send(join(&room, "ann", &offer));
    hears(&mut host);

    let mut one = server.guest("one");
    let mut other = server.guest("call");
    one.start();
    let other_id = other.start();
    one.send(call("offer", &other_id, &format!(r#","sdp":"{sdp}""#)));
    hears(&mut other);

    let mut subscriber = server.guest("topic");
    subscriber.send(subscribe(&["doc"]));
    settle(&mut subscriber);
    let data = format!(r#""to":"B","from":"A","type":"signal","signal":{offer}"#);
    subscriber.send(format!(r#"{{"type":"publish","topic":"doc","data":{{{data}}}}}"#));
    hears(&mut subscriber);

    let [(mut one, one_id), (mut other, other_id)] = ["one", "RxDB"].map(|name| replica(&server, name));
    one.send(signal(&one_id, &other_id, &format!(r#""type":"offer","sdp":"{sdp}""#)));
    hears(&mut other);

    let (mut one, _) = matchbox::peer(&server, "/r");
    let (mut other, other_id) = matchbox::newcomer(&server, "/r");
    one.expect(matchbox::new_peer(&other_id));
    one.send(matchbox::signal(&other_id, &format!(r#"{{"Offer":"{sdp}"}}"#)));
    hears(&mut other);

    let mut one = server.guest("one");
    let mut other = server.guest("tracker");
    let announce = |peer: &str, rest: &str| {
        let torrent = "t".repeat(20);
        let peer = peer.repeat(20);
        format!(r#"{{"action":"announce","info_hash":"{torrent}","peer_id":"{peer}",{rest}}}"#)
    };
    other.send(announce("b", r#""left":1"#));
    other.expect_text();
    one.send(announce("a", &format!(r#""offers":[{{"offer_id":"1","offer":{offer}}}]"#)));
    hears(&mut other);
}

#[test]
fn where_all_calls_are_relayed_candidates_of_guests_tell_no_address_either() {
    let (server, _) = with_relay(RelayMode::Always);
    let mut host = server.guest("host");
    let room = host.create_room();
    let mut one = server.guest("one");
    let mut other = server.guest("other");
    one.start();
    let other_id = other.start();
    let text = REAL.trim_start_matches("a=");
    one.send(call("candidate", &other_id, &format!(r#","candidate":{{"candidate":"{text}"}}"#)));
    let told = other.expect_text();
    assert!(told.starts_with(r#"{"action":"candidate""#) && !told.contains("192.0.2.7"), "{told}");
    let mut player = server.guest("player");
    player.send(join(&room, "ann", &format!(r#"{{"type":"candidate","candidate":"{text}"}}"#)));
    let told = host.expect_text();
    assert!(told.contains("clientUsername") && !told.contains("192.0.2.7"), "{told}");
}

#[test]
fn room_codes_and_calls_get_the_candidate_too() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let signal = |kind: &str, ufrag: &str, more: &[&str], members: &str| {
        format!(r#"{{"type":"{kind}","sdp":"{}"{members}}}"#, sdp(ufrag, more))
    };
    let line = candidate(relay);
    let mut host = server.guest("host");
    let room = host.create_room();
    let mut player = server.guest("player");
    player.send(join(&room, "ann", &signal("offer", "aufrag", &[], "")));
    host.expect(signal("offer", "aufrag", &[&line], r#","clientUsername":"ann""#));
    host.send(respond("ann", &signal("answer", "bufrag", &[], "")));
    player.expect(signal("answer", "bufrag", &[&line], ""));

    let mut one = server.guest("one");
    let mut other = server.guest("other");
    let one_id = one.start();
    let other_id = other.start();
    one.send(call("offer", &other_id, &format!(r#","sdp":"{}""#, sdp("cufrag", &[]))));
    other.expect(call("offer", &one_id, &format!(r#","sdp":"{}""#, sdp("cufrag", &[&line]))));
    other.send(call("answer", &one_id, &format!(r#","sdp":"{}""#, sdp("dufrag", &[]))));
    one.expect(format!(r#"{{"action":"answer","data":{{"sdp":"{}"}}}}"#, sdp("dufrag", &[&line])));
}

#[test]
fn replicas_of_rxdb_get_the_candidate_too() {
    let described = |from: &str, to: &str, kind: &str, ufrag: &str, more: &[&str]| {
        signal(from, to, &format!(r#""type":"{kind}","sdp":"{}""#, sdp(ufrag, more)))
    };
    for mode in [RelayMode::Fallback, RelayMode::Always] {
        let (server, relay) = with_relay(mode);
        let line = candidate(relay);
        let [(mut a, a_id), (mut b, b_id)] = ["a", "b"].map(|name| replica(&server, name));
        a.send(described(&a_id, &b_id, "offer", "aufrag", &[]));
        b.expect(described(&a_id, &b_id, "offer", "aufrag", &[&line]));
        b.send(described(&b_id, &a_id, "answer", "bufrag", &[]));
        a.expect(described(&b_id, &a_id, "answer", "bufrag", &[&line]));
        let candidate = signal(&a_id, &b_id, r#""type":"candidate","candidate":{"candidate":"host"}"#);
        a.send(&candidate);
        match mode {
            RelayMode::Always => b.expect_quiet(),
            _ => b.expect(&candidate),
        }
    }
}

#[test]
fn signals_of_y_webrtc_get_the_candidate_too() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let line = candidate(relay);
    let mut clients = ["a", "b", "stranger", "another"].map(|name| server.guest(name));
    for client in &mut clients {
        client.send(subscribe(&["doc"]));
        settle(client);
    }
    let mut say = |speaker: usize, data: &str, heard: &str| {
        let publication = |data: &str, clients: &str| {
            format!(r#"{{"type":"publish","topic":"doc","data":{{{data}}}{clients}}}"#)
        };
        clients[speaker].send(publication(data, ""));
        clients.iter_mut().for_each(|client| client.expect(publication(heard, r#","clients":4"#)));
    };
    let signal = signal_of_y_webrtc;
    let announce = |from: &str| format!(r#""type":"announce","from":"{from}""#);
    // A stranger may have used a name before its owner, or use it later.
    for (speaker, name) in [(2, "B"), (0, "A"), (1, "B"), (3, "A")] {
        say(speaker, &announce(name), &announce(name));
    }
    say(1, &signal("B", "A", "offer", "bufrag", &[]), &signal("B", "A", "offer", "bufrag", &[&line]));
    say(0, &signal("A", "B", "answer", "aufrag", &[]), &signal("A", "B", "answer", "aufrag", &[&line]));
    say(0, &signal("A", "B", "offer", "cufrag", &[]), &signal("A", "B", "offer", "cufrag", &[&line]));
    say(1, &signal("B", "A", "answer", "dufrag", &[]), &signal("B", "A", "answer", "dufrag", &[&line]));
    // Nobody has offered this one anything.
    let answer = signal("C", "A", "answer", "eufrag", &[]);
    say(1, &answer, &answer);
}

#[test]
fn where_all_calls_are_relayed_topics_tell_no_address_that_can_be_read() {
    let (server, _) = with_relay(RelayMode::Always);
    let mut client = server.guest("client");
    client.send(subscribe(&["doc"]));
    settle(&mut client);
    let publication = |signal: &str| {
        format!(r#"{{"type":"publish","topic":"doc","data":{{"from":"A","to":"B","signal":{signal}}}}}"#)
    };
    client.send(publication(
        r#"{"type":"candidate","candidate":{"candidate":"candidate:7 1 udp 2122 192.0.2.7 5 typ host"}}"#,
    ));
    client.expect_quiet();
    client.send(publication(&format!(r#"{{"type":"offer","sdp":"{}"}}"#, sdp("aufrag", &[REAL]))));
    let told = client.expect_text();
    assert!(told.contains("aufrag") && !told.contains("192.0.2.7"), "{told}");
}

#[test]
fn members_of_a_swarm_get_the_candidate_for_each_offer() {
    let (relay, address) = bound();
    let server = TestServer::start_with_relay(relay, |config| {
        with_tracker(config);
        config.key_settings.relay = RelayMode::Fallback;
    });
    let line = candidate(address);
    let mut one = server.guest("one");
    let mut other = server.guest("other");
    let [torrent, a, b] = ["t", "a", "b"].map(|name| name.repeat(20));
    let announce = |peer: &str, rest: &str| {
        format!(r#"{{"action":"announce","info_hash":"{torrent}","peer_id":"{peer}",{rest}}}"#)
    };
    let signal = |kind: &str, ufrag: &str, more: &[&str]| {
        format!(r#"{{"type":"{kind}","sdp":"{}"}}"#, sdp(ufrag, more))
    };
    let heard = |kind: &str, text: &str, id: &str, from: &str| {
        format!(
            r#"{{"action":"announce","{kind}":{text},"offer_id":"{id}","peer_id":"{from}","info_hash":"{torrent}"}}"#
        )
    };
    other.send(announce(&b, r#""left":1"#));
    other.expect_text();
    for (ufrag, id) in [("aufrag", "é1"), ("cufrag", "é2")] {
        let offer = signal("offer", ufrag, &[]);
        one.send(announce(&a, &format!(r#""offers":[{{"offer_id":"{id}","offer":{offer}}}]"#)));
        one.expect_text();
        other.expect(heard("offer", &signal("offer", ufrag, &[&line]), id, &a));
    }
    // Clients may write an id in another way.
    for (ufrag, id) in [("bufrag", r"\u00e91"), ("dufrag", r"\u00e92")] {
        let answer = signal("answer", ufrag, &[]);
        other.send(announce(&b, &format!(r#""to_peer_id":"{a}","offer_id":"{id}","answer":{answer}"#)));
        one.expect(heard("answer", &signal("answer", ufrag, &[&line]), id, &b));
    }
}

#[test]
fn peers_of_matchbox_get_the_candidate_too() {
    let described =
        |kind: &str, ufrag: &str, more: &[&str]| format!(r#"{{"{kind}":"{}"}}"#, sdp(ufrag, more));
    for mode in [RelayMode::Fallback, RelayMode::Always] {
        let (relay, address) = bound();
        let server = TestServer::start_with_relay(relay, |config| {
            matchbox::with_matchbox(config);
            config.key_settings.relay = mode;
        });
        let line = candidate(address);
        let [(mut a, a_id), (mut b, b_id)] = [(); 2].map(|()| matchbox::peer(&server, "/lobby"));
        a.expect(matchbox::new_peer(&b_id));
        a.send(matchbox::signal(&b_id, &described("Offer", "aufrag", &[])));
        b.expect(matchbox::signalled(&a_id, &described("Offer", "aufrag", &[&line])));
        b.send(matchbox::signal(&a_id, &described("Answer", "bufrag", &[])));
        a.expect(matchbox::signalled(&b_id, &described("Answer", "bufrag", &[&line])));
        // Matchbox writes a candidate as JSON in a string.
        let candidate =
            r#"{"IceCandidate":"{\"candidate\":\"candidate:7 1 udp 2122 192.0.2.7 5 typ host\"}"}"#;
        a.send(matchbox::signal(&b_id, candidate));
        match mode {
            RelayMode::Always => b.expect_quiet(),
            _ => b.expect(matchbox::signalled(&a_id, candidate)),
        }
    }
}
