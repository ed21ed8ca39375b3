//! Attacks on seats and state, from within a room.

use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{exchange, push};
use crate::harness::Target;
use crate::rooms::{among_friends, attacker, deaf, join, request};

const SECOND: Duration = Duration::from_secs(1);
/// The names of a room that is full.
const NAMES: usize = 256;

fn join_with_seat(room: &str) -> Vec<u8> {
    request("JOIN", room, r#","seat":true"#)
}

fn set(name: &str, value: &str) -> Vec<u8> {
    request("SET", "r", &format!(r#","name":"{name}","value":{value}"#))
}

/// Members that write as fast as they can, while others of the room do not read.
pub fn writers(target: &mut Target) {
    among_friends(target, || {
        let quiet: Vec<_> = (0..100).map(|n| deaf(target, n)).collect();
        for member in &quiet {
            push(member, &join_with_seat("r"), Instant::now() + SECOND);
        }
        target.settle();
        let deadline = Instant::now() + 3 * SECOND;
        thread::scope(|scope| {
            for n in 200..210 {
                let (stream, _) = attacker(target, n);
                push(&stream, &join_with_seat("r"), Instant::now() + SECOND);
                let write = set("n", &format!("\"{n}{}\"", "x".repeat(4000))).repeat(8);
                scope.spawn(move || exchange(&stream, &write, deadline, |_| {}));
            }
        });
    });
    target.expect_metric("peerbroker_rooms", 0);
}

/// A state at its bound, whose names are deleted and replaced, and that nobody reads.
pub fn floods_of_names(target: &mut Target) {
    among_friends(target, || {
        let quiet: Vec<_> = (0..100).map(|n| deaf(target, n)).collect();
        for member in &quiet {
            push(member, &join_with_seat("r"), Instant::now() + SECOND);
        }
        let value = format!("\"{}\"", "x".repeat(180));
        let deadline = Instant::now() + 3 * SECOND;
        thread::scope(|scope| {
            for n in 0..10 {
                let (stream, _) = attacker(target, 200 + n);
                push(&stream, &join_with_seat("r"), Instant::now() + SECOND);
                let value = &value;
                scope.spawn(move || {
                    for round in 0.. {
                        if Instant::now() > deadline {
                            break;
                        }
                        let names = (0..NAMES).map(|name| format!("{n}-{round}-{name}"));
                        let name_of = |name: &String| request("SET", "r", &format!(r#","name":"{name}""#));
                        let names: Vec<String> = names.collect();
                        let writes: Vec<u8> = names.iter().flat_map(|name| set(name, value)).collect();
                        let deletes: Vec<u8> = names.iter().flat_map(name_of).collect();
                        push(&stream, &[writes, deletes].concat(), Instant::now() + SECOND);
                    }
                });
            }
        });
    });
    target.expect_metric("peerbroker_rooms", 0);
}

/// Hosts that come and go: each makes a room of its own first, whose state stays with nobody.
pub fn hosts_that_come_and_go(target: &mut Target) {
    const TIMES: usize = 1000;
    among_friends(target, || {
        let (_stream, mut host) = attacker(target, 0);
        for time in 0..TIMES {
            let room = format!("room-{time}");
            let value = request("SET", &room, r#","name":"n","value":1"#);
            host.send_raw([join_with_seat(&room), value, request("LEAVE", &room, "")].concat());
            host.send_raw([join_with_seat("r"), request("LEAVE", "r", "")].concat());
            for wanted in ["ROOM-MEMBERS", "ROOM-STATE", "ROOM-MEMBERS"] {
                let heard = host.expect_text();
                assert!(heard.contains(wanted), "{heard}");
            }
        }
        target.expect_metric("peerbroker_rooms", 1);
    });
    target.expect_metric("peerbroker_rooms", 0);
}

/// States of very many rooms, which nobody reads: the key has a bound.
pub fn states_that_nobody_reads(target: &mut Target) {
    const ATTACKERS: usize = 400;
    let value = format!("\"{}\"", "x".repeat(60_000));
    let mut refused = 0;
    let mut attackers: Vec<_> = (0..ATTACKERS).map(|n| attacker(target, n)).collect();
    for (n, (_, client)) in attackers.iter_mut().enumerate() {
        let room = format!("room-{n}");
        client.send_raw(join(&room));
        client.expect_text();
        client.send_raw(request("SET", &room, &format!(r#","name":"n","value":{value}"#)));
        let answer = client.expect_text();
        assert!(answer.contains("ROOM-STATE") || answer.contains("key_state_full"), "{}", answer.len());
        refused += usize::from(answer.contains("key_state_full"));
    }
    // 16 MiB are 279 of them.
    assert!((120..=200).contains(&refused), "{refused} are refused");
}
