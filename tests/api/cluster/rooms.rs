//! Rooms whose members are on different nodes.

use std::sync::Arc;
use std::time::Duration;

use peerbroker::{Config, PeerBroker};
use peerbroker_config::{Degraded, WebhookEvent};
use peerbroker_core::vocabulary::RealmKind;
use peerbroker_keys::KeyStore;
use peerbroker_keys::memory::MemoryKeys;
use serde_json::{Value, json};

use super::{Nodes, membership};
use crate::harness::keys::plain_key;
use crate::harness::receiver::Receiver;
use crate::harness::{RawClient, TestServer, wait_until};
use crate::identity::rooms::{private_rooms_by_token, token_with_rooms};

/// A member that keeps what it hears.
struct Member {
    id: &'static str,
    client: RawClient,
    /// Joined, left, and messages since the last look, as `+id`, `-id` and `src: payload`.
    heard: Vec<String>,
    view: Vec<String>,
}

impl Member {
    fn join(nodes: &Nodes, node: usize, id: &'static str) -> Self {
        let mut member = Member::open(nodes, node, id);
        member.client.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
        member.hear();
        assert!(member.view.iter().any(|other| other == id), "{:?}", member.view);
        member
    }

    fn open(nodes: &Nodes, node: usize, id: &'static str) -> Self {
        let client = nodes[node].client(id);
        Member { id, client, heard: Vec::new(), view: Vec::new() }
    }

    /// Waits for the next frame.
    fn hear(&mut self) {
        let text = self.client.expect_text();
        let frame: Value = serde_json::from_str(&text).unwrap();
        let member = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        match &*member("type") {
            "ROOM-MEMBERS" => {
                let listed = frame["members"].as_array().unwrap().iter();
                self.view = listed.map(|of| of["id"].as_str().unwrap().to_owned()).collect();
            }
            "ROOM-JOINED" => {
                assert!(!self.view.contains(&member("id")), "{} hears {text}", self.id);
                self.view.push(member("id"));
                self.view.sort();
                self.heard.push(format!("+{}", member("id")));
            }
            "ROOM-LEFT" => {
                assert!(self.view.contains(&member("id")), "{} hears {text}", self.id);
                self.view.retain(|other| *other != member("id"));
                self.heard.push(format!("-{}", member("id")));
            }
            "ROOM-UPDATED" => self.heard.push(format!("{} is {}", member("id"), frame["data"])),
            "ROOM-MESSAGE" => self.heard.push(format!("{}: {}", member("src"), frame["payload"])),
            "PRESENCE-OK" => {}
            "PRESENCE" => self.heard.push(format!("{} {}", member("id"), frame["online"])),
            _ => panic!("{} hears {text}", self.id),
        }
    }

    /// Waits until it sees exactly these members.
    fn sees(&mut self, ids: &[&str]) {
        while self.view != ids {
            self.hear();
        }
    }

    /// Waits for exactly these news.
    fn hears(&mut self, news: &[&str]) {
        while self.heard.len() < news.len() {
            self.hear();
        }
        assert_eq!(self.heard, news, "{}", self.id);
        self.heard.clear();
    }

    fn say(&mut self, payload: u32) {
        self.client.send(format!(r#"{{"type":"ROOM-SEND","room":"r","payload":{payload}}}"#));
    }
}

/// One member on each of three nodes, who see each other.
fn three(nodes: &Nodes) -> [Member; 3] {
    let mut members = [(0, "a"), (1, "b"), (2, "c")].map(|(node, id)| Member::join(nodes, node, id));
    for member in &mut members {
        member.sees(&["a", "b", "c"]);
        member.heard.clear();
    }
    members
}

#[test]
fn members_of_all_nodes_see_each_other_change_and_send() {
    let nodes = Nodes::start(3);
    let [mut a, mut b, mut c] = three(&nodes);
    b.client.send(r#"{"type":"ROOM-UPDATE","room":"r","data":"busy"}"#);
    for n in 0..20 {
        b.say(n);
    }
    b.client.send(r#"{"type":"ROOM-SEND","room":"r","dst":"a","payload":"only you"}"#);
    let mut news = vec!["b is \"busy\"".to_owned()];
    news.extend((0..20).map(|n| format!("b: {n}")));
    let news: Vec<&str> = news.iter().map(String::as_str).collect();
    c.hears(&news);
    a.hears(&[&news[..], &["b: \"only you\""]].concat());
    c.client.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
    a.hears(&["-c"]);
    b.hears(&["-c"]);
    a.say(1);
    b.hears(&["a: 1"]);
    c.client.expect_nothing("c");
}

#[test]
fn a_node_that_joins_later_knows_the_members_of_the_others() {
    let mut nodes = Nodes::start(2);
    let mut a = Member::join(&nodes, 0, "a");
    nodes.add(Degraded::Allow, |_| {});
    let rooms = |node: usize| nodes[node].tenant("peerjs").rooms(RealmKind::PeerJs);
    wait_until("the news of the room", || !rooms(2).members("r").is_empty());
    let mut d = Member::join(&nodes, 2, "d");
    assert_eq!(d.view, ["a", "d"]);
    a.hears(&["+d"]);
    d.say(1);
    a.hears(&["d: 1"]);
}

#[test]
fn a_member_that_comes_back_to_another_node_was_never_away() {
    let nodes = Nodes::start(3);
    let [mut a, b, mut c] = three(&nodes);
    b.client.reset();
    wait_until("the end of a connection", || !nodes[1].realm().contains("b"));
    let mut back = Member::open(&nodes, 2, "b");
    back.sees(&["a", "b", "c"]);
    // The old node has to hear of the move: until then a message also waits there.
    wait_until("the move", || nodes[1].tenant("peerjs").rooms(RealmKind::PeerJs).own_members() == 0);
    back.say(1);
    a.hears(&["b: 1"]);
    c.hears(&["b: 1"]);
    a.say(2);
    c.hears(&["a: 2"]);
    back.hears(&["a: 2"]);
    back.client.expect_nothing("b");
    // It parts, and its first node does not wait for it any more.
    back.client.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
    a.hears(&["-b"]);
    c.hears(&["-b"]);
}

#[test]
fn a_stranger_with_the_id_of_a_member_of_another_node_ends_its_membership() {
    let nodes = Nodes::start(2);
    let mut a = Member::join(&nodes, 0, "a");
    let b = Member::join(&nodes, 1, "b");
    a.sees(&["a", "b"]);
    a.heard.clear();
    b.client.reset();
    wait_until("the end of a connection", || !nodes[1].realm().contains("b"));
    let mut stranger = nodes[0].client_with_token("b", "another");
    a.hears(&["-b"]);
    stranger.expect_nothing("b");
}

#[test]
fn members_of_a_node_that_leaves_have_the_reclaim_timeout_to_come_to_another_one() {
    let short = |config: &mut Config| config.limits.reclaim_timeout = Duration::from_secs(4);
    let mut nodes = Nodes::start_with(3, Degraded::Allow, short);
    let [mut a, mut b, c] = three(&nodes);
    let d = Member::join(&nodes, 2, "d");
    a.hears(&["+d"]);
    b.hears(&["+d"]);
    // In real time: the clock of a server that is dropped runs ahead, so its lease would end.
    let mut leaving = nodes.nodes.pop().expect("the third node");
    drop((c, d));
    leaving.begin_stop();
    leaving.join();
    let alive =
        |node: usize| membership(&nodes[node]).view().members.iter().filter(|node| node.alive).count();
    wait_until("the end of a node", || alive(0) == 2 && alive(1) == 2);
    a.say(1);
    b.hears(&["a: 1"]);
    let mut back = Member::open(&nodes, 1, "d");
    // It has heard nothing of the node on which the message waits.
    back.hears(&["a: 1"]);
    back.sees(&["a", "b", "c", "d"]);
    back.say(2);
    // Neither has heard of the absence of the one, and both hear once of the end of the other.
    a.hears(&["d: 2", "-c"]);
    b.hears(&["d: 2", "-c"]);
    back.hears(&["-c"]);
    assert!(membership(&nodes[0]).view().is_up);
}

#[test]
fn a_node_that_learns_of_a_key_late_learns_its_members() {
    let mut nodes = Nodes::start(0);
    let stores = [0, 1].map(|_| Arc::new(MemoryKeys::new()));
    for store in &stores {
        let cluster = nodes.cluster();
        nodes.push(TestServer::start_node_of(PeerBroker::builder().keys(store.clone()), cluster));
    }
    let learn = |node: usize| {
        stores[node].add(plain_key("late")).unwrap();
        nodes[node].read_keys();
    };
    learn(0);
    let mut a = nodes[0].client_of("late", "a");
    a.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    wait_until("a list of the room", || {
        !nodes[0].tenant("late").rooms(RealmKind::PeerJs).members("r").is_empty()
    });
    // The other node has heard of it now, because a message comes behind the news.
    let mut b = nodes[1].client("b");
    let mut c = nodes[0].client("c");
    c.send(r#"{"type":"OFFER","dst":"b"}"#);
    b.expect(r#"{"type":"OFFER","src":"c","dst":"b"}"#);
    learn(1);
    wait_until("the members", || nodes[1].tenant("late").rooms(RealmKind::PeerJs).members("r").len() == 1);
}

#[test]
fn ids_are_watched_on_all_nodes() {
    let mut nodes = Nodes::start(3);
    let mut a = Member::open(&nodes, 0, "a");
    let b = nodes[1].client("b");
    a.client.send(r#"{"type":"PRESENCE-WATCH","ids":["b","c"]}"#);
    // The other node tells that it has one of them.
    a.hears(&["b false", "c false", "b true"]);
    let c = nodes[2].client("c");
    a.hears(&["c true"]);
    // It comes back to another node, and was never away.
    b.reset();
    wait_until("the end of a connection", || !nodes[1].realm().contains("b"));
    let mut b = nodes[2].client("b");
    let mut w = Member::open(&nodes, 1, "w");
    w.client.send(r#"{"type":"PRESENCE-WATCH","ids":["b"]}"#);
    w.hears(&["b true"]);
    a.client.send(r#"{"type":"PRESENCE-UNWATCH","ids":["c"],"request":1}"#);
    b.send(r#"{"type":"LEAVE"}"#);
    a.hears(&["b false"]);
    w.hears(&["b false"]);
    drop((b, c));
    let b = nodes[2].client("b");
    a.hears(&["b true"]);
    w.hears(&["b true"]);
    drop(b);
    drop(nodes.nodes.pop());
    a.hears(&["b false"]);
    w.hears(&["b false"]);
}

#[test]
fn the_node_that_a_member_is_on_announces_it_once_also_after_a_move() {
    let receiver = Receiver::start();
    let nodes = Nodes::start_with(3, Degraded::Allow, |config| {
        config.webhooks.operator = receiver.webhook();
        config.webhooks.events = vec![WebhookEvent::RoomJoined, WebhookEvent::RoomLeft];
    });
    let [mut a, b, mut c] = three(&nodes);
    b.client.reset();
    wait_until("the end of a connection", || !nodes[1].realm().contains("b"));
    let mut d = Member::join(&nodes, 1, "d");
    let mut back = Member::open(&nodes, 2, "b");
    back.sees(&["a", "b", "c", "d"]);
    // Its first node hears of the move in order with this message.
    back.say(1);
    d.hears(&["b: 1"]);
    back.client.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
    d.hears(&["-b"]);
    a.hears(&["+d", "b: 1", "-b"]);
    c.hears(&["+d", "b: 1", "-b"]);
    for member in [&mut a, &mut c, &mut d] {
        member.client.send(r#"{"type":"ROOM-LEAVE","room":"r","request":1}"#);
    }
    let mut told: Vec<String> = (0..8)
        .map(|_| {
            let event = receiver.next().event;
            format!("{} {} {}", event["type"], event["data"]["id"], event["data"]["node"]).replace('"', "")
        })
        .collect();
    told.sort();
    let expected = [
        "room.joined a node-0",
        "room.joined b node-1",
        "room.joined c node-2",
        "room.joined d node-1",
        "room.left a node-0",
        "room.left b node-2",
        "room.left c node-2",
        "room.left d node-1",
    ];
    assert_eq!(told, expected);
    wait_until("all events to be delivered", || {
        (0..3).map(|node| nodes[node].webhooks().delivered).sum::<u64>() == 8
    });
}

#[test]
fn a_member_that_comes_back_to_another_node_without_the_room_in_its_proof_is_gone() {
    let nodes = Nodes::start_with(2, Degraded::Allow, |config| config.keys = vec![private_rooms_by_token()]);
    let enter = |node: usize, id: &str, rooms: &Value| {
        let token = token_with_rooms(id, rooms);
        let mut client = nodes[node].connect_with_query(&format!("key=app&id={id}&token={token}"));
        client.expect_open();
        client
    };
    let mut a = enter(0, "a", &json!({ "r": "join" }));
    a.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    a.expect(r#"{"type":"ROOM-MEMBERS","room":"r","members":[{"id":"a"}]}"#);
    let mut b = enter(0, "b", &json!({ "r": "join" }));
    b.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    a.expect(r#"{"type":"ROOM-JOINED","room":"r","id":"b"}"#);
    let members = |node: usize| nodes[node].tenant("app").rooms(RealmKind::PeerJs).members("r").len();
    wait_until("the news of the room", || members(1) == 2);
    b.reset();
    wait_until("the end of a connection", || !nodes[0].tenant("app").has_peer("b"));
    let mut back = enter(1, "b", &json!({}));
    a.expect(r#"{"type":"ROOM-LEFT","room":"r","id":"b"}"#);
    assert_eq!((members(0), members(1)), (1, 1));
    back.expect_nothing("b");
}
