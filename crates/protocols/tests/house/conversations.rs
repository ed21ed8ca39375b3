//! What clients hear of each other: each is a value, and the test does its effects as a session would.

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{Limit, PeerId, RealmKind};
use peerbroker_events::{Count, Event};
use peerbroker_protocols::client::{Answer, Context, Effect, Effects, Message, Protocol, Publication};
use peerbroker_protocols::client::{Published, unguessable};
use peerbroker_protocols::key_state::Spent;
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_protocols::root::Guest;
use peerbroker_protocols::with_clients;
use peerbroker_rooms::Requester;
use peerbroker_router::{Flushes, IdLease};

use crate::House;
use crate::clients::{register, text};
use crate::socket::Socket;

struct Client<'h, P> {
    house: &'h House,
    protocol: P,
    lease: IdLease,
    socket: Socket,
    /// The texts that the test has read.
    read: usize,
}

impl<'h, P: Protocol> Client<'h, P> {
    fn new(house: &'h House, id: &str) -> Self {
        let socket = Socket::open();
        let mut outbox = socket.outbox(1 << 20);
        let lease = register(&house.key.realm(P::REALM), id, "token", &mut outbox).expect("an id");
        let protocol = P::new(&house.key, "", None).expect("a client");
        let mut client = Client { house, protocol, lease, socket, read: 1 };
        client.handle(|protocol, context| protocol.on_open(context));
        client
    }

    /// Does messages, and returns the other effects.
    fn handle<'t>(&mut self, act: impl FnOnce(&mut P, &mut Context<'_, 't>)) -> Vec<String> {
        let mut others = Vec::new();
        let key = &self.house.key;
        Flushes::with(|flushes| {
            let mut effects = Effects::default();
            let context = &mut Context { peer: &self.lease, key, flushes, effects: &mut effects };
            act(&mut self.protocol, context);
            if effects.is_empty() {
                return;
            }
            effects.drain(|effect| match effect {
                Effect::Send(Message { to, kind, frame, .. }) => {
                    self.lease.route(&to, kind, frame).collect_flush(flushes).expect("a recipient");
                }
                Effect::Publish(Publication { topic, text, frame, mut read, .. }) => {
                    let requester = &mut Requester { peer: &self.lease, request: None, flushes };
                    let write = |count| frame(&topic, &text, count);
                    key.rooms(P::REALM).publish(requester, &topic, write, &mut read).expect("members");
                }
                other => others.push(format!("{other:?}")),
            });
        });
        others
    }

    fn say(&mut self, text: &str) -> Vec<String> {
        self.handle(|protocol, context| protocol.on_text(text, context))
    }

    /// The texts that are new.
    fn hears(&mut self) -> Vec<String> {
        let texts = self.socket.texts().split_off(self.read);
        self.read += texts.len();
        texts
    }
}

#[test]
fn a_caller_is_called_by_the_last_id_that_it_was_told() {
    const START: &str = r#"{"action":"start"}"#;
    let offer = |to: &str| format!(r#"{{"action":"offer","data":{{"remoteId":"{to}","sdp":1}}}}"#);
    let house = House::new(Limits::default());
    let [mut a, mut b] = ["a", "b"].map(|id| Client::<Guest>::new(&house, id));
    for (client, id) in [(&mut a, "a"), (&mut b, "b")] {
        assert!(client.say(START).is_empty());
        assert_eq!(client.hears(), [format!(r#"{{"action":"start","id":"{id}"}}"#)]);
    }
    a.say(&offer("b"));
    assert_eq!(b.hears(), [offer("a")]);
    b.say(r#"{"action":"answer","data":{"remoteId":"a","sdp":2}}"#);
    assert_eq!(a.hears(), [r#"{"action":"answer","data":{"sdp":2}}"#]);
    let mut renew = || {
        b.say(START);
        let told = b.hears().pop().expect("an id");
        told.split('"').nth(7).expect("its text").to_owned()
    };
    let ids = [renew(), renew()];
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == unguessable().len()), "{ids:?}");
    for to in ["b", &ids[0], "nobody", &ids[1]] {
        a.say(&offer(to));
    }
    assert_eq!(b.hears(), [offer("a")]);
    b.protocol.release();
    a.say(&offer(&ids[1]));
    a.say(r#"{"action":"createRoom"}"#);
    assert!(b.hears().is_empty() && a.hears()[0].contains("confirmRoom"));
}

#[test]
fn the_name_of_a_player_that_is_gone_is_free() {
    let house = House::new(Limits::default());
    let [mut host, mut player, mut next] =
        ["host", "player", "next"].map(|id| Client::<Guest>::new(&house, id));
    host.say(r#"{"action":"createRoom"}"#);
    let confirmed = host.hears().pop().expect("a room");
    let code = confirmed.split('"').nth(7).expect("its code");
    let join = format!(r#"{{"action":"joinRoom","room":"{code}","username":"anna","offer":{{"sdp":1}}}}"#);
    player.say(&join);
    assert_eq!(host.hears(), [r#"{"sdp":1,"clientUsername":"anna"}"#]);
    host.say(r#"{"action":"offerResponse","clientUsername":"anna","response":{"sdp":2}}"#);
    assert_eq!(player.hears(), [r#"{"sdp":2}"#]);
    assert_eq!(next.say(&join), [r#"Ask(IsAlive("player"))"#]);
    assert!(next.protocol.waits() && next.protocol.kept_bytes() > 0);
    next.handle(|protocol, context| protocol.on_answer(Answer::IsAlive(false), context));
    assert!(!next.protocol.waits());
    assert_eq!(host.hears(), [r#"{"sdp":1,"clientUsername":"anna"}"#]);
}

#[test]
fn a_message_without_meaning_is_reported_once_and_messages_of_peerjs_are_done() {
    let house = House::new(Limits::default());
    let [mut a, mut b] = ["a", "b"].map(|id| Client::<PeerJs>::new(&house, id));
    assert_eq!([a.say("hello"), a.say("hello")].concat(), [r#"InVain("hello")"#, "Ignored"]);
    assert_eq!([a.say(r#"{"type":"HEARTBEAT"}"#), a.say(r#"{"type":"LEAVE"}"#)].concat(), ["Leave"]);
    a.say(r#"{"type":"OFFER","dst":"b","payload":1}"#);
    assert_eq!(b.hears(), [r#"{"type":"OFFER","src":"a","dst":"b","payload":1}"#]);
}

#[test]
fn a_subscriber_that_publishes_too_fast_waits_and_loses_nothing() {
    // A burst of 10.
    let house = House::new(Limits { room_deliveries_per_second: 1, ..Limits::default() });
    let mut events = house.router.events().subscribe();
    let mut a = Client::<Guest>::new(&house, "a");
    a.say(r#"{"type":"subscribe","topics":["x",""]}"#);
    let refused = std::iter::from_fn(|| events.try_next());
    assert_eq!(refused.filter(|notice| matches!(notice.event(), Some(Event::ClientMistake(_)))).count(), 1);
    a.say(r#"{"type":"ping"}"#);
    assert_eq!(a.hears(), [r#"{"type":"pong"}"#]);
    let publication = r#"{"type":"publish","topic":"x","data":1}"#;
    let paused = (1..100).find_map(|said| {
        let asked = a.say(publication);
        a.protocol.waits().then_some((said, asked))
    });
    let (said, asked) = paused.expect("a pause");
    assert!(asked[0].starts_with("Ask(Sleep("), "{asked:?}");
    assert_eq!(a.protocol.kept_bytes(), publication.len());
    assert!((10..14).contains(&said), "{said}");
    let hits = house.router.events().counters().total(Count::LimitHits(Limit::RoomDeliveries));
    assert_eq!(hits, 1);
    house.pass(10_000);
    a.handle(|protocol, context| protocol.on_answer(Answer::Slept, context));
    assert!(!a.protocol.waits());
    assert_eq!(a.hears(), vec![r#"{"type":"publish","topic":"x","data":1,"clients":1}"#; said]);
}

#[test]
fn each_topic_of_a_list_counts_as_a_message() {
    let house = House::new(Limits::default());
    let mut a = Client::<Guest>::new(&house, "a");
    let listed: Vec<String> = (0..60).map(|topic| format!("\"{topic}\"")).collect();
    let subscribe = format!(r#"{{"type":"subscribe","topics":[{}]}}"#, listed.join(","));
    let rate = house.key.data().settings.messages_per_second;
    for _ in 0..10 * rate / 60 {
        a.say(&subscribe);
        assert!(house.key.charge(&a.lease, &Spent::default()).is_none());
    }
    a.say(&subscribe);
    let pause = house.key.charge(&a.lease, &Spent::default()).expect("a pause");
    assert_eq!((pause.limit, pause.per_second), (Limit::MessagesPerSecond, rate));
}

#[test]
fn a_protocol_has_a_frame_or_a_room_only_if_it_is_its_own() {
    let id = PeerId::parse("id").expect("an id");
    let house = House::new(Limits::default());
    let words = RealmKind::ALL.map(|realm| {
        with_clients!(realm, C => {
            let has = [
                C::is_room("room"),
                C::odd_parameter("next=x").is_some(),
                C::greeting(&id).is_some(),
                C::waiting().is_some(),
                C::in_vain("why").is_some(),
                C::may_hear(None, None, &text("{}")),
                C::published("{}").is_some(),
            ];
            let mut client = Client::<C>::new(&house, "id");
            let mut is_read = false;
            client.handle(|protocol, context| is_read = protocol.on_binary(b"{}", context));
            (realm, has.map(u8::from), is_read)
        })
    });
    assert_eq!(
        words,
        [
            (RealmKind::PeerJs, [0, 0, 1, 1, 0, 1, 0], false),
            (RealmKind::Guests, [0, 0, 0, 0, 1, 0, 0], false),
            (RealmKind::RxDb, [0, 0, 1, 0, 0, 0, 0], false),
            (RealmKind::Matchbox, [1, 1, 0, 0, 0, 0, 0], true),
        ]
    );
    assert_eq!(Published::name("a\"b"), r#""a\"b""#);
}
