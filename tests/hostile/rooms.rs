//! Attacks on rooms, from within: on the other members, and on memory.

use std::net::TcpStream;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{ShutDown, connect_with_small_segments, ended, exchange, push};
use crate::harness::{Target, accepted};
use crate::http_client::connect;
use crate::raw_client::RawClient;
use crate::room_views::RoomViews;
use crate::wire::{self, opcode};

const SECOND: Duration = Duration::from_secs(1);
const FRIENDS: &str = "203.0.113.20";
/// The last message of each friend.
const END: &str = r#""payload":"the end""#;
/// The longest data of a member.
const DATA_BYTES: usize = 1024;

pub(crate) fn request(kind: &str, room: &str, rest: &str) -> Vec<u8> {
    wire::text(&format!(r#"{{"type":"ROOM-{kind}","room":"{room}"{rest}}}"#))
}

pub(crate) fn join(room: &str) -> Vec<u8> {
    request("JOIN", room, "")
}

/// Data of the longest permitted length, which begin with a number.
fn data(n: usize) -> String {
    let number = format!("{n} ");
    format!(r#","data":"{number}{}""#, "x".repeat(DATA_BYTES - 2 - number.len()))
}

/// An attacker. They are spread over addresses, so that limits of addresses do not stop them.
pub(crate) fn attacker(target: &Target, n: usize) -> (TcpStream, RawClient) {
    open(target.connect(), &address(n), &format!("attacker-{n}"))
}

fn address(n: usize) -> String {
    format!("198.51.100.{}", n % 200)
}

/// An attacker that never reads.
pub(crate) fn deaf(target: &Target, n: usize) -> TcpStream {
    open(connect_with_small_segments(target.address), &address(n), &format!("attacker-{n}")).0
}

fn open(stream: TcpStream, from: &str, id: &str) -> (TcpStream, RawClient) {
    let mut client = accepted(stream.try_clone().expect("a connection"), from, id, "t");
    client.expect_open();
    (stream, client)
}

/// Runs an attack on the room `r`. Two of its members do everything right: neither is closed, each hears a
/// list and exactly the changes after it, and the message of the other one. Returns the changes that one of
/// them heard.
pub(crate) fn among_friends(target: &Target, attack: impl FnOnce()) -> Vec<String> {
    let friends = ["friend-a", "friend-b"].map(|id| open(target.connect(), FRIENDS, id));
    let writers = friends.each_ref().map(|(stream, _)| stream.try_clone().expect("a connection"));
    thread::scope(|scope| {
        // Also if the attack panics, so that the threads end.
        let _ends = writers.each_ref().map(ShutDown);
        let listening = friends.map(|(_, client)| scope.spawn(|| changes(client)));
        let all_send = |bytes: &[u8]| {
            for writer in &writers {
                assert_eq!(push(writer, bytes, Instant::now() + SECOND), bytes.len(), "a friend is heard");
            }
        };
        all_send(&join("r"));
        target.settle();
        attack();
        all_send(&request("SEND", "r", &format!(",{END}")));
        let [heard, _] = listening.map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        heard
    })
}

/// Reads until the last message.
fn changes(mut client: RawClient) -> Vec<String> {
    let mut views = RoomViews::new(&client.name);
    let mut changes = Vec::new();
    loop {
        let frame = client.next_frame("the last message");
        let frame = frame.unwrap_or_else(|| panic!("{} was cut off", client.name));
        match frame.opcode() {
            opcode::TEXT => {
                let text = String::from_utf8(frame.payload).expect("UTF-8");
                if text.contains(END) {
                    return changes;
                }
                views.hear(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
                if !text.contains("ROOM-ME") {
                    changes.push(text);
                }
            }
            opcode::PING => client.pong(&frame.payload),
            other => panic!("{} got {other:#x} {:?}", client.name, frame.payload),
        }
    }
}

pub fn many_rooms(target: &mut Target) {
    const ATTACKERS: usize = 400;
    const ROOMS: usize = 16;
    let name = |round: usize, n: usize, room: usize| format!("{:x<64}", format!("{round}-{n}-{room}-"));
    let mut attackers: Vec<_> = (0..ATTACKERS).map(|n| attacker(target, n)).collect();
    for round in 0..4 {
        for (n, (_, client)) in attackers.iter_mut().enumerate() {
            // One more than is permitted.
            let joins = (0..=ROOMS).map(|room| request("JOIN", &name(round, n, room), &data(room)));
            client.send_raw(joins.collect::<Vec<_>>().concat());
            (0..ROOMS).for_each(|_| drop(client.expect_text()));
            let refused = client.expect_text();
            assert!(refused.contains("too_many_rooms"), "{refused}");
        }
        target.expect_metric("peerbroker_rooms", ATTACKERS * ROOMS);
        for (n, (_, client)) in attackers.iter_mut().enumerate() {
            let leaves = (0..ROOMS).map(|room| request("LEAVE", &name(round, n, room), ""));
            client.send_raw(leaves.collect::<Vec<_>>().concat());
        }
        target.expect_metric("peerbroker_rooms", 0);
    }
}

pub fn giant_room(target: &mut Target) {
    among_friends(target, || {
        let members: Vec<_> = (0..498).map(|n| deaf(target, n)).collect();
        for member in &members {
            push(member, &join("r"), Instant::now() + SECOND);
        }
        target.settle();
        // Each message has 499 recipients, so the burst of a sender is 20 messages. One at a time: those of
        // one read are written together.
        let message = request("SEND", "r", r#","payload":"hello""#);
        for _ in 0..30 {
            for member in &members {
                push(member, &message, Instant::now() + SECOND);
            }
        }
        target.settle();
    });
    target.expect_metric("peerbroker_rooms", 0);
}

pub fn presence_flapping(target: &mut Target) {
    const QUIET: usize = 200;
    let server = target.address;
    let heard = among_friends(target, || {
        let quiet: Vec<_> = (0..QUIET).map(|n| attacker(target, n)).collect();
        for (stream, _) in &quiet {
            push(stream, &join("r"), Instant::now() + SECOND);
        }
        let flap = [join("r"), request("LEAVE", "r", "")].concat().repeat(20);
        let deadline = Instant::now() + 3 * SECOND;
        let is_time = || Instant::now() < deadline;
        thread::scope(|scope| {
            for n in 1000..1020 {
                let flap = &flap;
                let stream = attacker(target, n).0;
                scope.spawn(move || exchange(&stream, flap, deadline, |_| {}));
            }
            // These come back, so the others may not notice them.
            for n in 2000..2005 {
                scope.spawn(move || {
                    let mut before = None;
                    let id = format!("returning-{n}");
                    for number in 0.. {
                        if !is_time() {
                            break;
                        }
                        let (stream, client) = open(connect(server), &address(number), &id);
                        push(&stream, &join("r"), Instant::now() + SECOND);
                        // Half of the connections are taken over, the others are cut off.
                        before = before.is_none().then_some(client);
                    }
                });
            }
            // Each new id has a burst of its own.
            for n in 0..5 {
                scope.spawn(move || {
                    for number in 0.. {
                        if !is_time() {
                            break;
                        }
                        let from = format!("198.51.{}.{}", 101 + n, number % 200);
                        let (stream, _) = open(connect(server), &from, &format!("new-{n}-{number}"));
                        push(&stream, &join("r"), Instant::now() + SECOND);
                        push(&stream, &wire::close(Some(1000), b""), Instant::now() + SECOND);
                        ended(&stream, Instant::now() + 10 * SECOND);
                    }
                });
            }
        });
    });
    let of = |id: &str| heard.iter().filter(|change| change.contains(id)).count();
    for n in 2000..2005 {
        assert_eq!(of(&format!("\"returning-{n}\"")), 1, "changes of a member that comes back at once");
    }
    assert!(of("\"new-") > 100 && of("\"attacker-10") > 100, "the attack goes on: {}", heard.len());
}

pub fn data_at_its_bound(target: &mut Target) {
    const MEMBERS: usize = 100;
    among_friends(target, || {
        let members: Vec<_> = (0..MEMBERS).map(|n| deaf(target, n)).collect();
        let deadline = Instant::now() + 5 * SECOND;
        // All changes together fit the outbox of a friend that is slow to read.
        for round in 0..12 {
            // A member that joins again gets the list again, and the others its new data.
            let again = request("JOIN", "r", &data(round));
            for member in &members {
                push(member, &again, deadline);
            }
        }
        target.settle();
    });
    target.expect_metric("peerbroker_rooms", 0);
}

/// A member that reads slowly is not closed. It hears the latest change in the end.
pub fn changes_for_a_slow_member(target: &mut Target) {
    const CHANGES: usize = 2000;
    /// Pauses after so many bytes make 1 MB a second.
    const CHUNK: usize = 16_000;
    among_friends(target, || {
        let (_stream, mut slow) = open(connect_with_small_segments(target.address), FRIENDS, "slow");
        slow.send_raw(join("r"));
        let (stream, _client) = attacker(target, 0);
        push(&stream, &join("r"), Instant::now() + SECOND);
        target.settle();
        let burst: Vec<u8> = (0..CHANGES).flat_map(|n| request("UPDATE", "r", &data(n))).collect();
        thread::scope(|scope| {
            scope.spawn(|| push(&stream, &burst, Instant::now() + 20 * SECOND));
            let mut views = RoomViews::new("slow");
            let mut read = 0;
            let mut heard = 0;
            let last = format!("\"{} xx", CHANGES - 1);
            loop {
                let frame = slow.next_frame("the last change").expect("the slow member is not cut off");
                assert!(matches!(frame.opcode(), opcode::TEXT | opcode::PING), "{:?}", frame.payload);
                read += frame.payload.len();
                if read > CHUNK {
                    thread::sleep(SECOND * 16 / 1000);
                    read = 0;
                }
                let text = String::from_utf8(frame.payload).expect("UTF-8");
                if !text.is_empty() {
                    views.hear(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
                    heard += 1;
                }
                if text.contains(&last) {
                    break;
                }
            }
            assert!(heard < CHANGES, "what waits for a slow member is put together");
        });
    });
}

/// As many watched ids as a key may have: each costs little more than its text.
pub fn many_watched_ids(target: &mut Target) {
    const WATCHERS: usize = 1000;
    const WATCHED: usize = 100;
    let watch = |n: usize, ids: std::ops::Range<usize>| {
        let ids: Vec<String> = ids.map(|id| format!("\"{n:x<12}-{id}\"")).collect();
        wire::text(&format!(r#"{{"type":"PRESENCE-WATCH","ids":[{}],"request":1}}"#, ids.join(",")))
    };
    let mut watchers: Vec<_> = (0..WATCHERS).map(|n| attacker(target, n)).collect();
    let mut watched = 0;
    let mut refused = None;
    for (n, (stream, client)) in watchers.iter_mut().enumerate() {
        push(stream, &watch(n, 0..WATCHED), Instant::now() + SECOND);
        loop {
            let told = client.expect_text();
            match told.contains(r#""type":"PRESENCE""#) {
                true => watched += 1,
                false if told.contains("PRESENCE-OK") => break,
                false => refused = Some(told),
            }
            if refused.is_some() {
                break;
            }
        }
        if refused.is_some() {
            break;
        }
    }
    // An address leaves as many as it has, so the last ones get fewer.
    assert!(watched > 99_000, "{watched}");
    let refused = refused.expect("a limit");
    assert!(refused.contains("key_too_many_watched"), "{refused}");
}

/// Each attacker watches as many ids as it may, of which one comes and goes as fast as it can.
pub fn watched_ids(target: &mut Target) {
    const WATCHERS: usize = 300;
    const WATCHED: usize = 100;
    const FLAPS: usize = 200;
    const FLAPPING: &str = "flapping";
    let watch = |n: usize, ids: std::ops::Range<usize>| {
        let ids = ids.map(|id| if id == 0 { FLAPPING.to_owned() } else { format!("{n}-{id:x<500}") });
        let ids: Vec<String> = ids.map(|id| format!("\"{id}\"")).collect();
        wire::text(&format!(r#"{{"type":"PRESENCE-WATCH","ids":[{}]}}"#, ids.join(",")))
    };
    let presence = |online: bool| format!(r#"{{"type":"PRESENCE","id":"{FLAPPING}","online":{online}}}"#);
    let mut watchers: Vec<_> = (0..WATCHERS).map(|n| attacker(target, n)).collect();
    for (n, (stream, client)) in watchers.iter_mut().enumerate() {
        push(stream, &watch(n, 0..WATCHED), Instant::now() + SECOND);
        assert_eq!(client.expect_text(), presence(false));
        (1..WATCHED).for_each(|_| drop(client.expect_text()));
        push(stream, &watch(n, WATCHED..WATCHED + 1), Instant::now() + SECOND);
        let refused = client.expect_text();
        assert!(refused.contains("too_many_watched"), "{refused}");
    }
    let (_, mut reader) = watchers.swap_remove(0);
    for number in 0..FLAPS {
        let (stream, _) = open(target.connect(), &address(number), FLAPPING);
        push(&stream, &wire::close(Some(1000), b""), Instant::now() + SECOND);
        assert!(ended(&stream, Instant::now() + 10 * SECOND), "a client that has closed is let go");
    }
    for _ in 0..FLAPS {
        assert_eq!(reader.expect_text(), presence(true));
        assert_eq!(reader.expect_text(), presence(false));
    }
    target.expect_metric("peerbroker_rooms", 0);
}
