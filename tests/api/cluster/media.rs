//! Calls through the relay between clients of different nodes: the node of the offer relays.

use std::net::SocketAddr;

use peerbroker::{Config, PeerBroker};
use peerbroker_config::{ClusterConfig, Degraded};
use peerbroker_core::vocabulary::RealmKind;
use peerbroker_keys::RelayMode;
use serde_json::json;

use super::Nodes;
use crate::harness::relay_client::{candidate, sdp};
use crate::harness::{TestServer, wait_until};
use crate::media::{bound, signal_of_y_webrtc};
use crate::topics::subscribe;
use crate::tracker::{INFO_HASH, announce, heard, id, swarms, with_tracker};

/// Two nodes with a relay each, and the addresses of these.
fn start() -> (Nodes, [SocketAddr; 2]) {
    let mut nodes = Nodes::start(0);
    let relays = [(); 2].map(|()| {
        let (relay, address) = bound();
        let mut config = Config::default();
        with_tracker(&mut config);
        config.key_settings.relay = RelayMode::Fallback;
        let cluster = ClusterConfig { degraded: Degraded::Allow, ..nodes.cluster() };
        nodes.push(TestServer::start_node_of(PeerBroker::builder().config(config).relay(relay), cluster));
        address
    });
    (nodes, relays)
}

#[test]
fn signals_of_y_webrtc_get_the_candidate_of_the_node_of_the_offer() {
    let (nodes, relays) = start();
    let mut clients = [0, 1, 0, 1].map(|node| nodes[node].guest("client"));
    clients.iter_mut().for_each(|client| client.send(subscribe(&["doc"])));
    wait_until("both", || {
        let rooms = |node: &TestServer| node.tenant("peerjs").rooms(RealmKind::Guests);
        nodes.nodes.iter().all(|node| rooms(node).members("doc").len() == 4)
    });
    let mut say = |speaker: usize, data: &str, heard: [&str; 2]| {
        let publication = |data: &str, clients: &str| {
            format!(r#"{{"type":"publish","topic":"doc","data":{{{data}}}{clients}}}"#)
        };
        clients[speaker].send(publication(data, ""));
        for (client, heard) in clients.iter_mut().zip(heard.into_iter().cycle()) {
            client.expect(publication(heard, r#","clients":4"#));
        }
    };
    // Strangers use the names first.
    for (speaker, name) in [(2, "B"), (3, "A"), (0, "A"), (1, "B")] {
        let announce = format!(r#""type":"announce","from":"{name}""#);
        say(speaker, &announce, [&announce; 2]);
    }
    for (offerer, [from, to]) in [(0, ["A", "B"]), (1, ["B", "A"])] {
        let line = candidate(relays[offerer]);
        let [ufrag, other] = ["aufrag", "bufrag"].map(|ufrag| format!("{ufrag}{offerer}"));
        let offer = |more: &[&str]| signal_of_y_webrtc(from, to, "offer", &ufrag, more);
        say(offerer, &offer(&[]), [&offer(&[&line]); 2]);
        let answer = |more: &[&str]| signal_of_y_webrtc(to, from, "answer", &other, more);
        let plain = answer(&[]);
        let relayed = answer(&[&line]);
        // The client that has answered hears its own text, and does not use it.
        let heard = if offerer == 0 { [&relayed, &plain] } else { [&plain, &relayed] };
        say(1 - offerer, &plain, heard.map(String::as_str));
    }
}

#[test]
fn members_of_a_swarm_get_the_candidate_of_the_node_of_the_offer() {
    let (nodes, relays) = start();
    let [mut a, mut b] = [0, 1].map(|node| nodes[node].guest("member"));
    a.send(announce(INFO_HASH, 'a', &json!({})));
    a.expect_text();
    wait_until("the news", || swarms(&nodes[1]).len() == 1);
    let line = candidate(relays[1]);
    let described = |kind: &str, ufrag: &str, more: &[&str]| {
        format!(r#"{{"type":"{kind}","sdp":"{}"}}"#, sdp(ufrag, more))
    };
    let [torrent, one, other] = [INFO_HASH.to_owned(), id('b'), id('a')];
    for (n, [offered, answered]) in [["aufrag", "bufrag"], ["cufrag", "dufrag"]].into_iter().enumerate() {
        let offer = described("offer", offered, &[]);
        b.send(format!(
            r#"{{"action":"announce","info_hash":"{torrent}","peer_id":"{one}","offers":[{{"offer":{offer},"offer_id":"{n}"}}]}}"#
        ));
        b.expect_text();
        a.expect(heard("offer", &described("offer", offered, &[&line]), &n.to_string(), 'b'));
        let answer = described("answer", answered, &[]);
        a.send(format!(
            r#"{{"action":"announce","info_hash":"{torrent}","peer_id":"{other}","to_peer_id":"{one}","answer":{answer},"offer_id":"{n}"}}"#
        ));
        b.expect(heard("answer", &described("answer", answered, &[&line]), &n.to_string(), 'a'));
    }
}
