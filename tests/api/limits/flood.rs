//! Floods of connections from one address, and floods of messages.
//!
//! Some run on both transports: each of them reads floods in its own way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::{RawClient, TestServer, on_both_with, token_of, wait_until};

const LIMIT: u32 = 100;
const CONNECTIONS: usize = 10_000;
/// Maximum pending connections, so that file descriptors suffice.
const BATCH: usize = 50;

/// Opens all connections, and keeps those that are admitted.
fn flood(server: &TestServer) -> Vec<RawClient> {
    let mut admitted = Vec::new();
    for batch in 0..CONNECTIONS / BATCH {
        let opened: Vec<RawClient> = (0..BATCH)
            .map(|n| {
                let target = server.target(&format!("flood-{batch}-{n}"), "t");
                server.begin_with(&target, "X-Forwarded-For: 192.0.2.1\r\n")
            })
            .collect();
        for mut client in opened {
            match client.expect_response().status {
                101 => {
                    client.expect_open();
                    admitted.push(client);
                }
                status => {
                    assert_eq!(status, 429);
                    client.reset();
                }
            }
        }
    }
    admitted
}

#[test]
fn of_ten_thousand_connections_from_one_address_a_hundred_get_in_and_others_are_served() {
    on_both_with(
        |config| {
            config.proxied = true;
            config.address_limits.connections = LIMIT;
            config.address_limits.opens_per_second = 0;
        },
        |server| {
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                let flooding = scope.spawn(|| {
                    let admitted = flood(server);
                    over.store(true, Ordering::SeqCst);
                    admitted
                });
                let come = |id: &str| {
                    let mut client =
                        server.begin_with(&server.target(id, "t"), "X-Forwarded-For: 192.0.2.2\r\n");
                    client.expect_accepted();
                    client.expect_open();
                    client
                };
                let mut a = come("a");
                let mut served = 0;
                while !over.load(Ordering::SeqCst) || served == 0 {
                    let mut b = come("b");
                    a.send(offer("b", &served.to_string()));
                    b.expect(forwarded_offer("a", "b", &served.to_string()));
                    drop(b);
                    server.wait_until_gone("b");
                    served += 1;
                }
                let admitted = flooding.join().unwrap();
                assert_eq!(admitted.len(), LIMIT as usize);
                // The last b may still be counted when its id is free.
                server.wait_for_peers(LIMIT as usize + 1);
                drop(admitted);
                wait_until("all places", || server.realm().len() == 1);
                a.expect_nothing("a");
            });
        },
    );
}

const RATE: u32 = 20;
/// Messages of each flooder: 100 seconds of its rate limit, or ten bursts.
const FLOOD: usize = 100 * RATE as usize;
/// One per worker of the server, and one more.
const FLOODERS: [&str; 3] = ["flooder 1", "flooder 2", "flooder 3"];
/// So long that a flood does not fit into one read, while a burst fits into an outbox.
const FILLER: usize = 500;

#[test]
fn at_a_hundred_times_the_rate_a_flood_is_not_read_on_and_others_are_served_meanwhile() {
    on_both_with(
        |config| {
            config.key_settings.messages_per_second = RATE;
            config.limits.alive_timeout = Duration::from_secs(1_000_000);
        },
        |server| {
            let mut a = server.client("a");
            let mut b = server.client("b");
            let mut victim = server.client("victim");
            let mut flooders = FLOODERS.map(|id| server.client(id));
            let read = || FLOODERS.map(|id| server.realm().present(id).map_or(0, |there| there.messages));
            let arrived = AtomicUsize::new(0);
            thread::scope(|scope| {
                for flooder in &mut flooders {
                    let message = offer("victim", &format!("\"{}\"", "x".repeat(FILLER)));
                    scope.spawn(move || (0..FLOOD).for_each(|_| flooder.send(&message)));
                }
                scope.spawn(|| {
                    for _ in 0..FLOODERS.len() * FLOOD {
                        victim.expect_text();
                        arrived.fetch_add(1, Ordering::SeqCst);
                    }
                });
                let burst = u64::from(10 * RATE);
                wait_until("all of them to have to wait", || read().iter().all(|read| *read > burst));
                let before = read();
                assert!(before.iter().all(|read| *read < FLOOD as u64 / 2), "{before:?}");
                for n in 0..u64::from(RATE) {
                    let payload = n.to_string();
                    a.send(offer("b", &payload));
                    b.expect(forwarded_offer("a", "b", &payload));
                    b.send(offer("a", &payload));
                    a.expect(forwarded_offer("b", "a", &payload));
                }
                let mut late = server.begin("late", &token_of("late"));
                late.expect_accepted();
                late.expect_open();
                assert_eq!(server.get("/peerjs/id").status, 200);
                assert_eq!(read(), before, "and nothing of the flood was read");
                // Everything arrives in the end, as fast as the victim reads it.
                wait_until("the whole flood", || {
                    let arrived = arrived.load(Ordering::SeqCst);
                    if arrived as u64 >= read().iter().sum() {
                        server.advance(Duration::from_secs(1));
                    }
                    arrived == FLOODERS.len() * FLOOD
                });
            });
            a.expect_nothing("a");
        },
    );
}
