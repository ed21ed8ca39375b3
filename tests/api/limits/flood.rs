//! One address that opens connections without end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::messages::{offer, relayed_offer};
use crate::harness::{RawClient, TestServer, on_both_with, wait_until};

const LIMIT: u32 = 100;
const CONNECTIONS: usize = 10_000;
/// Open at a time beyond those that are in, so that descriptors suffice.
const BATCH: usize = 50;

/// Opens all of them, and keeps those that are let in.
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
                    b.expect(relayed_offer("a", "b", &served.to_string()));
                    drop(b);
                    server.wait_until_gone("b");
                    served += 1;
                }
                let admitted = flooding.join().unwrap();
                assert_eq!(admitted.len(), LIMIT as usize);
                assert_eq!(server.realm().len(), LIMIT as usize + 1);
                drop(admitted);
                wait_until("all places", || server.realm().len() == 1);
                a.expect_nothing("a");
            });
        },
    );
}
