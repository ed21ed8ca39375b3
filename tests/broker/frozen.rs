//! Clients of every protocol are written down and read again in the middle of what they do, and nobody notices.

use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use peerbroker::node::Awaited;
use peerbroker::session::Turn;
use peerbroker_config::{Config, Dialect, Dialects, Limits};
use peerbroker_core::vocabulary::CloseReason;
use peerbroker_protocols::client::{Context, Protocol};
use peerbroker_protocols::frozen::Frozen;
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::matchbox::Matchbox;
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_protocols::root::{Guest, Guests};
use peerbroker_protocols::rxdb::RxDb;
use peerbroker_router::{Disconnect, IdLease};
use serde_json::Value;

use crate::House;
use crate::register;
use crate::socket::Socket;

/// A session without its loop.
struct Session<'a, C> {
    house: &'a House,
    key: Arc<KeyState>,
    client: C,
    lease: IdLease,
    socket: Socket,
    asked: Option<Awaited>,
}

impl<'a, C: Protocol> Session<'a, C> {
    fn open(house: &'a House, id: &str, query: &str) -> Self {
        let key = Arc::clone(&*house.broker.tenant("peerjs").unwrap());
        let socket = Socket::open();
        let lease = register(&key.realm(C::REALM), id, "token", &mut socket.outbox(1 << 20)).expect("an id");
        let client = C::new(&key, query, lease.address()).unwrap();
        let mut session = Session { house, key, client, lease, socket, asked: None };
        session.handle(|client, context| client.on_open(context));
        session.go_on();
        session
    }

    fn handle<'t>(&mut self, act: impl FnOnce(&mut C, &mut Context<'_, 't>)) {
        let mut flushes = Vec::new();
        let mut turn = Turn::new(&self.house.broker, &self.lease, &self.key, &mut flushes);
        turn.handle(&mut self.client, act);
        if let Some(ask) = turn.asked {
            self.asked = Some(self.house.broker.ask(&self.lease, &self.key, ask));
        }
    }

    fn say(&mut self, text: &str) {
        assert!(!self.client.waits(), "it reads nothing now");
        self.handle(|client, context| client.on_text(text, context));
        self.go_on();
    }

    /// Handles the answers that are there.
    fn go_on(&mut self) {
        while let Some(asked) = &mut self.asked
            && let Poll::Ready(answer) = asked.as_mut().poll(&mut Task::from_waker(Waker::noop()))
        {
            self.asked = None;
            self.handle(|client, context| client.on_answer(answer, context));
        }
    }

    /// Writes the client down, and reads it again.
    fn again(self) -> Self {
        let Session { house, key, client, lease, socket, .. } = self;
        let Frozen { state, held } = client.freeze();
        let client = C::thaw(Frozen { state, held }, &key).expect("the client");
        let asked = client.awaited().map(|ask| house.broker.ask(&lease, &key, ask));
        let mut session = Session { house, key, client, lease, socket, asked };
        session.go_on();
        session
    }

    /// The last frame that it has heard.
    fn heard(&self) -> Value {
        serde_json::from_str(self.socket.texts().last().expect("a frame")).unwrap()
    }

    fn close(self) {
        let Session { key, mut client, lease, .. } = self;
        client.release();
        let end = Disconnect::ByServer(CloseReason::Left);
        let departure = lease.part(end.reason(), false);
        client.departed(departure.as_ref(), end, &key);
    }
}

const JOIN: &str = r#"{"action":"joinRoom","room":"CODE","username":"ann","offer":{"sdp":1}}"#;

#[test]
fn a_host_and_its_players_go_on() {
    let house = House::new(Limits::default());
    let mut host = Session::<Guest>::open(&house, "host", "");
    host.say(r#"{"action":"createRoom"}"#);
    let join = JOIN.replace("CODE", host.heard()["room"].as_str().unwrap());
    let host = host.again();
    let mut player = Session::<Guest>::open(&house, "player", "");
    player.say(&join);
    let mut player = player.again();
    let mut host = host.again();
    assert_eq!(host.heard()["clientUsername"], "ann");
    host.say(r#"{"action":"offerResponse","clientUsername":"ann","response":{"sdp":2}}"#);
    assert_eq!(player.heard()["sdp"], 2);
    player.say(r#"{"action":"startGame"}"#);
    assert_eq!(player.heard()["val"], "not the host", "it is still in the room");

    // One with the same name waits until it is known if the first one lives.
    let mut second = Session::<Guest>::open(&house, "second", "");
    second.say(&join);
    assert!(second.client.waits() && second.client.kept_bytes() > 0);
    let mut second = second.again();
    assert!(second.client.waits() && second.client.kept_bytes() > 0);
    player.lease.mark_alive();
    second.go_on();
    assert!(!second.client.waits());
    let name = host.heard()["clientUsername"].as_str().unwrap().to_owned();
    assert!(name.starts_with("ann") && name.len() == 4, "{name}");

    let guests: Arc<Guests> = host.key.part();
    host.again().close();
    assert!(guests.room_codes.is_empty());
    second.say(r#"{"action":"startGame"}"#);
    assert_eq!(second.heard()["val"], "wrong room");
}

#[test]
fn a_callee_keeps_its_alias_until_it_leaves() {
    let house = House::new(Limits::default());
    let mut callee = Session::<Guest>::open(&house, "callee", "");
    callee.say(r#"{"action":"start"}"#);
    callee.say(r#"{"action":"start"}"#);
    let alias = callee.heard()["id"].as_str().unwrap().to_owned();
    let callee = callee.again();
    let mut caller = Session::<Guest>::open(&house, "caller", "");
    caller.say(&format!(r#"{{"action":"offer","data":{{"remoteId":"{alias}","sdp":1}}}}"#));
    assert_eq!(callee.heard()["data"]["sdp"], 1);
    let guests: Arc<Guests> = callee.key.part();
    assert!(guests.aliases.guest(&alias).is_some());
    callee.close();
    assert!(guests.aliases.guest(&alias).is_none());
}

#[test]
fn a_subscriber_and_a_member_of_a_swarm_stay_where_they_are() {
    let house = House::new(Limits::default());
    house
        .broker
        .config()
        .update(|config| Config { dialects: Dialects::from_iter(Dialect::ALL), ..config.clone() });
    let mut client = Session::<Guest>::open(&house, "client", "");
    client.say(r#"{"type":"subscribe","topics":["news"]}"#);
    let announce = r#"{"action":"announce","info_hash":"a-torrent-of-20-byte","peer_id":"-a-peer-of-20-bytes-","left":1}"#;
    client.say(announce);
    let mut client = client.again();
    client.say(r#"{"type":"publish","topic":"news","data":7}"#);
    assert_eq!(client.heard()["data"], 7);

    // Another one with its id waits until it is known if it lives.
    let mut other = Session::<Guest>::open(&house, "other", "");
    other.say(announce);
    assert!(other.client.waits());
    let mut other = other.again();
    assert!(other.client.waits());
    client.lease.mark_alive();
    other.go_on();
    assert_eq!(other.heard()["failure reason"], "another client has this peer_id");

    let swarms = Arc::clone(&client.key.part::<Guests>().swarms);
    assert_eq!(swarms.memberships(), 1);
    client.close();
    assert_eq!(swarms.memberships(), 0);
}

/// An event that its author has signed.
const EVENT: &str = include_str!("../fixtures/nostr-event.json");

#[test]
fn a_listener_hears_events_meanwhile_and_changes_its_subscription_later() {
    let house = House::new(Limits::default());
    let mut client = Session::<Guest>::open(&house, "client", "");
    client.say(r##"["REQ","s",{"#x":["nobody"]}]"##);
    let frozen = client.client.freeze();
    let mut other = Session::<Guest>::open(&house, "other", "");
    other.say(&format!(r#"["EVENT",{}]"#, EVENT.trim_end()));
    let text = client.socket.texts().last().cloned();
    assert_eq!(text.as_deref(), Some(&*format!(r#"["EVENT","s",{}]"#, EVENT.trim_end())));

    let thawed = Guest::thaw(frozen, &client.key).expect("the client");
    let mut client = Session { client: thawed, ..client };
    let rooms = client.key.rooms(Guest::REALM);
    client.say(r##"["REQ","s",{"#x":["somebody"]}]"##);
    assert!(!rooms.contains("nostr #x nobody") && rooms.contains("nostr #x somebody"));
    client.close();
    assert!(!rooms.contains("nostr #x somebody"));
}

#[test]
fn a_peer_of_a_group_keeps_its_place() {
    let house = House::new(Limits::default());
    let first = Session::<Matchbox>::open(&house, "00000000-0000-4000-8000-000000000001", "room=a&next=2");
    let mut first = first.again();
    assert!(first.client.is_open());
    let second = Session::<Matchbox>::open(&house, "00000000-0000-4000-8000-000000000002", "room=a&next=2");
    assert_eq!(first.client.group(), second.client.group());
    assert_eq!(first.heard()["NewPeer"], second.lease.id().as_str());
    first.go_on();
    let mut first = first.again();
    let third = Session::<Matchbox>::open(&house, "00000000-0000-4000-8000-000000000003", "room=a&next=2");
    assert_ne!(first.client.group(), third.client.group());
    let signal =
        format!(r#"{{"Signal":{{"receiver":"{}","data":{{"Offer":"o"}}}}}}"#, second.lease.id().as_str());
    first.say(&signal);
    assert_eq!(second.heard()["Signal"]["data"]["Offer"], "o");
}

#[test]
fn members_of_rooms_go_on() {
    let house = House::new(Limits::default());
    let mut member = Session::<PeerJs>::open(&house, "member", "");
    member.say(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    let mut member = member.again();
    member.say(r#"{"type":"ROOM-UPDATE","room":"r","data":1,"request":1}"#);
    assert_eq!(member.heard()["type"], "ROOM-OK");
    let mut one = Session::<RxDb>::open(&house, "one", "");
    one.say(r#"{"type":"join","room":"a room"}"#);
    let one = one.again();
    let mut other = Session::<RxDb>::open(&house, "other", "");
    other.say(r#"{"type":"join","room":"a room"}"#);
    assert_eq!(one.heard()["otherPeerIds"].as_array().unwrap().len(), 2);
}
