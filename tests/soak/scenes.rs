//! Short plays of a few clients. Each has ids of its own, so that all are played at once.

use std::mem::swap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use stun_types::message::{Message, MessageWriteExt as _};
use turn_types::attribute::Lifetime;
use turn_types::message::REFRESH;

use crate::Stage;
use crate::fate::{Heard, check, send};
use crate::http_client::{HttpConnection, TIMEOUT, connect_with_small_buffer};
use crate::messages::message;
use crate::raw_client::RawClient;
use crate::relay_client::{Side, payload, relay_in};
use crate::turn_client::{Datagrams, Line, TurnClient, USERNAME, tcp};
use crate::wire::{FIN, frame, opcode};

/// A name, and a scene.
type Scene = (&'static str, fn(&Stage));

pub const ALL: &[Scene] = &[
    ("pairs that talk", talk),
    ("recipients that come late", come_late),
    ("recipients that never come", stay_away),
    ("takeovers during a stream of messages", take_over),
    ("recipients that read slowly", read_slowly),
    ("floods", flood),
    ("crowds that leave in every way", churn),
    ("keys added, disabled, enabled and removed", change_keys),
    ("calls through the relay", call),
    ("TURN channels", turn),
    ("reloads", reload),
];

/// Outcomes that must happen, or else the scenes prove nothing.
pub const OUTCOMES: &[&str] = &["messages delivered", "messages expired", "slow readers that lost messages"];

fn new_id() -> String {
    static IDS: AtomicUsize = AtomicUsize::new(0);
    format!("soak-{}", IDS.fetch_add(1, Ordering::Relaxed))
}

fn client(stage: &Stage) -> (RawClient, String) {
    let id = new_id();
    (open(stage, &id), id)
}

fn open(stage: &Stage, id: &str) -> RawClient {
    let mut client = connect(stage, "peerjs", id);
    client.expect_open();
    client
}

/// A client whose handshake is accepted.
fn connect(stage: &Stage, key: &str, id: &str) -> RawClient {
    shake_hands(RawClient::connect(stage.address, id), key, id)
}

fn shake_hands(mut client: RawClient, key: &str, id: &str) -> RawClient {
    client.send_raw(RawClient::handshake(&format!("/peerjs?key={key}&id={id}&token=t")));
    client.expect_accepted();
    client
}

fn talk(stage: &Stage) {
    let mut from = client(stage);
    let mut to = client(stage);
    for length in [10, 2_000, 60_000, 10, 2_000, 60_000] {
        let mut sender = Heard::default();
        let mut recipient = Heard::default();
        send(&mut from.0, &to.1, 20, length);
        sender.until_now(&mut from.0);
        recipient.until_now(&mut to.0);
        check(stage, 20, &recipient, &sender);
        assert_eq!(recipient.messages.len(), 20, "the recipient was here");
        swap(&mut from, &mut to);
    }
}

fn come_late(stage: &Stage) {
    let (mut a, _) = client(stage);
    let late = new_id();
    let mut sender = Heard::default();
    let mut recipient = Heard::default();
    send(&mut a, &late, 20, 500);
    sender.until_now(&mut a);
    recipient.until_now(&mut open(stage, &late));
    // On a busy machine the recipient comes too late.
    sender.until_now(&mut a);
    check(stage, 20, &recipient, &sender);
}

fn stay_away(stage: &Stage) {
    let (mut a, _) = client(stage);
    let absent = new_id();
    let mut sender = Heard::default();
    let mut recipient = Heard::default();
    send(&mut a, &absent, 20, 500);
    sender.until_expiry(&mut a);
    recipient.until_now(&mut open(stage, &absent));
    sender.until_now(&mut a);
    check(stage, 20, &recipient, &sender);
    assert_eq!((recipient.messages.len(), sender.expiries), (0, 1), "one batch expires, once");
}

fn take_over(stage: &Stage) {
    const SENT: usize = 400;
    let (mut a, _) = client(stage);
    let id = new_id();
    let first = open(stage, &id);
    let mut sender = Heard::default();
    let mut recipient = Heard::default();
    let mut holders = thread::scope(|scope| {
        scope.spawn(|| send(&mut a, &id, SENT, 2_000));
        let takeovers = (0..3).map(|_| open(stage, &id));
        std::iter::once(first).chain(takeovers).collect::<Vec<_>>()
    });
    sender.until_now(&mut a);
    let mut last = holders.pop().expect("the last of four");
    holders.iter_mut().for_each(|old| recipient.until_replaced(old));
    recipient.until_now(&mut last);
    check(stage, SENT, &recipient, &sender);
    assert_eq!(recipient.messages.len(), SENT, "somebody was always here");
}

fn read_slowly(stage: &Stage) {
    // More than the kernel and the outbox hold.
    const SENT: usize = 150;
    let (mut a, _) = client(stage);
    let id = new_id();
    let slow = RawClient::over(connect_with_small_buffer(stage.address), &id);
    let mut slow = shake_hands(slow, "peerjs", &id);
    slow.expect_open();
    let mut sender = Heard::default();
    let mut recipient = Heard::default();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            send(&mut a, &id, SENT, 60_000);
            sender.until_now(&mut a);
        });
        // A client that reads nothing for five seconds is closed.
        while !sending.is_finished() {
            thread::sleep(Duration::from_secs(1));
            recipient.until_now(&mut slow);
        }
    });
    recipient.until_now(&mut slow);
    sender.until_now(&mut a);
    check(stage, SENT, &recipient, &sender);
    stage.count("slow readers that lost messages", usize::from(sender.expiries > 0));
}

/// More than the rate limit allows at once. The server reads it later.
fn flood(stage: &Stage) {
    const SENT: usize = 6_000;
    let (mut a, _) = client(stage);
    let (mut b, b_id) = client(stage);
    let mut sender = Heard::default();
    let mut recipient = Heard::default();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            send(&mut a, &b_id, SENT, 100);
            sender.until_now(&mut a);
        });
        while !sending.is_finished() {
            recipient.until_now(&mut b);
        }
    });
    recipient.until_now(&mut b);
    check(stage, SENT, &recipient, &sender);
}

fn churn(stage: &Stage) {
    let crowd: Vec<RawClient> = (0..60).map(|_| client(stage).0).collect();
    for (number, mut client) in crowd.into_iter().enumerate() {
        match number % 4 {
            0 => {
                client.close(Some(1000));
                // On a busy machine the server has pinged it.
                while client.next_frame("a close frame").is_some_and(|frame| frame.opcode() != opcode::CLOSE)
                {
                }
            }
            1 => client.reset(),
            // In the middle of a frame.
            2 => client.send_raw(&frame(FIN | opcode::TEXT, &[b'x'; 500])[..300]),
            _ => drop(client),
        }
    }
}

fn change_keys(stage: &Stage) {
    let key = new_id();
    let path = format!("/api/keys/{key}");
    let open = || connect(stage, &key, "x");
    assert_eq!(stage.api.post("/api/keys", &json!({ "key": key })).status, 201);
    let mut client = open();
    client.expect_open();
    assert_eq!(stage.api.patch(&path, &json!({ "enabled": false })).status, 200);
    client.expect_closed_with(Some(4004));
    open().expect_text();
    assert_eq!(stage.api.patch(&path, &json!({ "enabled": true })).status, 200);
    let mut client = open();
    client.expect_open();
    assert_eq!(stage.api.delete(&path).status, 204);
    client.expect_closed_with(Some(4004));
}

fn call(stage: &Stage) {
    let (mut a, a_id) = client(stage);
    let (mut b, b_id) = client(stage);
    // A side keeps its name for ever. An hour has a few thousand.
    let [one, other] = [&a_id, &b_id].map(|id| &*format!("ufrag{id}").replace('-', "").leak());
    a.send(message("OFFER", &b_id, &payload("offer", one, &[])));
    let relay = relay_in(&b.expect_text());
    b.send(message("ANSWER", &a_id, &payload("answer", other, &[])));
    a.expect_text();
    let sides = [Side::new(relay, one, other), Side::new(relay, other, one)];
    sides.iter().for_each(Side::prove);
    for _ in 0..20 {
        sides[0].talk_to(&sides[1]);
        sides[1].talk_to(&sides[0]);
    }
    sides[0].exchange_checks(&sides[1]);
}

fn turn(stage: &Stage) {
    let ways: [Box<dyn Line>; 2] = [Box::new(Datagrams::to(stage.turn)), Box::new(tcp(stage.turn))];
    let allocate = |line| TurnClient::allocate_as(USERNAME, line).expect("an allocation");
    let [mut one, mut other] = ways.map(allocate);
    assert!(one.bind(other.relayed) && other.bind(one.relayed), "channels");
    for number in 0..50_u32 {
        let said = number.to_be_bytes().repeat(200);
        // The first way may lose what it carries. Over loopback, one datagram at a time is safe.
        one.send(&said);
        assert_eq!(other.receive(), said);
        other.send(&said);
        assert_eq!(one.receive(), said);
    }
    for mut client in [one, other] {
        let answer = client.ask(REFRESH, |request| request.add_attribute(&Lifetime::new(0)).expect("room"));
        assert!(Message::from_bytes(&answer).expect("an answer").is_response());
    }
}

fn reload(stage: &Stage) {
    let origin = format!("https://{}.example", new_id());
    stage.configure(&origin);
    let deadline = Instant::now() + TIMEOUT;
    let allowed = || {
        let response =
            HttpConnection::open(stage.address).request("GET", "/", &format!("Origin: {origin}\r\n"));
        response.header("access-control-allow-origin")
    };
    while allowed().as_ref() != Some(&origin) {
        assert!(Instant::now() < deadline, "the server does not reload");
        thread::sleep(Duration::from_millis(20));
    }
}
