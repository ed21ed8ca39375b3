//! Endpoints that do not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use super::{FIRST_RETRY_DELAY, server_for, started};
use crate::harness::receiver::{Receiver, Says, ok};
use crate::harness::wait_until;

const CLIENTS: usize = 6000;

#[test]
fn while_an_endpoint_hangs_pairs_are_dropped_whole_and_the_others_come_later() {
    let receiver = Receiver::start();
    receiver.says(Says::Nothing);
    let server = server_for(&receiver);
    for n in 0..CLIENTS {
        drop(server.client(&format!("peer-{n}")));
    }
    wait_until("all to be gone", || server.realm().is_empty());
    let totals = server.webhooks();
    assert_eq!(totals.queued + totals.dropped, 2 * CLIENTS as u64 + 1);
    assert!(totals.dropped > 0 && totals.waiting <= 10_000 + 16, "{totals:?}");

    receiver.says(ok());
    // Ten thousand events. If the clients took longer than a request may, some of them wait for a pause of
    // the server's clock.
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.webhooks().waiting > 0 {
        assert!(Instant::now() < deadline, "{:?}", server.webhooks());
        server.advance(FIRST_RETRY_DELAY);
        thread::sleep(Duration::from_millis(5));
    }
    let totals = server.webhooks();
    assert_eq!((totals.delivered, totals.failed), (totals.queued, 0));
    let mut connections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = receiver.all();
    let mut known = BTreeSet::new();
    // An event whose first request timed out came twice.
    for told in all.iter().filter(|told| known.insert(&told.id)) {
        if let Some(connection) = told.event["data"]["connection"].as_str() {
            let kinds = connections.entry(connection.to_owned()).or_default();
            kinds.push(told.event["type"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(2 * connections.len() as u64 + 1, totals.delivered);
    for (connection, kinds) in connections {
        assert_eq!(kinds, ["peer.connected", "peer.disconnected"], "{connection}");
    }
}

#[test]
fn an_endpoint_that_hangs_does_not_hold_up_the_end_for_long() {
    let receiver = Receiver::start();
    let mut server = started(&receiver);
    receiver.says(Says::Nothing);
    let client = server.client("alice");
    assert_eq!(receiver.next_of_peer().0, "peer.connected");
    drop(client);
    server.begin_stop();
    server.join();
    assert_eq!(server.webhooks().delivered, 1);
}
