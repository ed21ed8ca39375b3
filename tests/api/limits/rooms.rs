//! The limits of what members of rooms cause.

use peerbroker::Config;
use peerbroker::events::Count;
use peerbroker::wire::Limit;

use crate::harness::{RawClient, TestServer, on_own_with, token_of};

const JOIN: &str = r#"{"type":"ROOM-JOIN","room":"r"}"#;

fn send(room: &str, number: usize) -> String {
    format!(r#"{{"type":"ROOM-SEND","room":"{room}","payload":{number},"request":{number}}}"#)
}

/// A member of a room, behind an address.
fn member(server: &TestServer, address: &str, room: &str, id: &str) -> RawClient {
    let headers = format!("X-Forwarded-For: {address}\r\n");
    let mut client = server.begin_with(&server.target(id, &token_of(id)), &headers);
    client.expect_accepted();
    client.expect_open();
    client.send(JOIN.replace("\"r\"", &format!("\"{room}\"")));
    assert!(client.expect_text().contains("ROOM-MEMBERS"));
    client
}

/// Sends to a room of one, which costs as much as to two. Returns the refusals.
fn refusals(client: &mut RawClient, room: &str, count: usize) -> usize {
    (0..count).for_each(|number| client.send(send(room, number)));
    (0..count).filter(|_| client.expect_text().contains("key_too_fast")).count()
}

#[test]
fn one_address_leaves_half_of_the_burst_of_a_key_to_others() {
    let configure = |config: &mut Config| {
        config.proxied = true;
        config.limits.room_deliveries_per_second = 0;
        config.limits.room_key_deliveries_per_second = 10;
    };
    on_own_with(configure, |server| {
        let mut crowd: Vec<RawClient> = (0..4)
            .map(|n| member(server, "192.0.2.1", &format!("crowd {n}"), &format!("crowd-{n}")))
            .collect();
        let refused: usize =
            crowd.iter_mut().enumerate().map(|(n, client)| refusals(client, &format!("crowd {n}"), 50)).sum();
        // Half of a burst of 100, in which are the four joins.
        assert_eq!(refused, 200 - 46);
        let hits = server.node().counters().total(Count::LimitHits(Limit::RoomKeyDeliveries));
        assert_eq!(hits, refused as u64);
        // An address has its tenth of the burst in any case.
        let mut other = member(server, "192.0.2.2", "another", "other");
        assert_eq!(refusals(&mut other, "another", 9), 0);
    });
}

#[test]
fn joining_again_without_a_change_costs_one_delivery() {
    let configure = |config: &mut Config| config.limits.room_deliveries_per_second = 1;
    on_own_with(configure, |server| {
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|id| server.client(id));
        for client in [&mut a, &mut b, &mut c] {
            client.send(JOIN);
            assert!(client.expect_text().contains("ROOM-MEMBERS"));
        }
        // Its join cost two: it came as the third, and two were told.
        for _ in 0..8 {
            c.send(JOIN);
            assert!(c.expect_text().contains("ROOM-MEMBERS"));
        }
        c.send(JOIN);
        assert!(c.expect_text().contains("too_fast"));
    });
}
