//! Attacks on the relay of Nostr: on memory, and with events whose signatures are checked.

use std::time::{Duration, Instant};

use crate::flow::exchange;
use crate::harness::Target;
use crate::topics::{guest, hear};
use crate::wire;

/// An event with a right signature.
const EVENT: &str = include_str!("../fixtures/nostr-event.json");

pub fn many_subscriptions(target: &mut Target) {
    const ATTACKERS: usize = 200;
    const TOPICS: usize = 240;
    let mut attackers: Vec<_> = (0..ATTACKERS).map(|n| guest(target.connect(), n).1).collect();
    for round in 0..4 {
        for (n, client) in attackers.iter_mut().enumerate() {
            let topics: Vec<_> =
                (0..TOPICS).map(|topic| format!("{:x<250}", format!("{round}-{n}-{topic}-"))).collect();
            let topics = serde_json::to_string(&topics).expect("JSON");
            client.send_raw(wire::text(&format!(r##"["REQ","s",{{"#x":{topics}}}]"##)));
            assert_eq!(hear(client), r#"["EOSE","s"]"#);
        }
        target.expect_metric("peerbroker_topics", ATTACKERS * TOPICS);
        for client in &mut attackers {
            client.send_raw(wire::text(r#"["CLOSE","s"]"#));
        }
        target.expect_metric("peerbroker_topics", 0);
    }
}

/// A right signature costs as much as a wrong one.
pub fn signed_events(target: &mut Target) {
    const ATTACKERS: usize = 16;
    let attackers: Vec<_> = (0..ATTACKERS).map(|n| guest(target.connect(), n)).collect();
    let event = wire::text(&format!(r#"["EVENT",{}]"#, EVENT.trim_end()));
    let deadline = Instant::now() + Duration::from_secs(5);
    std::thread::scope(|scope| {
        for (stream, _client) in &attackers {
            scope.spawn(|| exchange(stream, &event, deadline, |_| {}));
        }
    });
}
