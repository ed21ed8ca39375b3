//! Attacks on the relay of Nostr: on memory, and with events whose signatures are checked.

use std::time::{Duration, Instant};

use crate::flow::exchange;
use crate::harness::Target;
use crate::topics::{guest, hear};
use crate::wire;

/// Events with a right signature, the second one with 30 tags.
const EVENT: &str = include_str!("../fixtures/nostr-event.json");
const EVENT_WITH_TAGS: &str = include_str!("../fixtures/nostr-event-tags.json");

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

/// Each event fits a filter of each guest behind 40 long ones. The guests do not read.
pub fn compared_events(target: &mut Target) {
    const READERS: usize = 60;
    const PUBLISHERS: usize = 4;
    let values = serde_json::to_string(&vec!["zzz"; 250]).expect("JSON");
    let long = format!(r##"{{"#t":["t"],"#a":{values}}}"##);
    let readers: Vec<_> = (0..READERS)
        .map(|n| {
            let (stream, mut client) = guest(target.connect(), n);
            for (id, last) in [("1", r##"{"#n":["m"]}"##), ("2", r##"{"#o":["o"]}"##)] {
                let filters = vec![long.as_str(); 15].join(",");
                client.send_raw(wire::text(&format!(r#"["REQ","{id}",{filters},{last}]"#)));
                assert_eq!(hear(&mut client), format!(r#"["EOSE","{id}"]"#));
            }
            (stream, client)
        })
        .collect();
    let event = wire::text(&format!(r#"["EVENT",{}]"#, EVENT_WITH_TAGS.trim_end()));
    let attackers: Vec<_> = (0..PUBLISHERS).map(|n| guest(target.connect(), READERS + n)).collect();
    let deadline = Instant::now() + Duration::from_secs(5);
    std::thread::scope(|scope| {
        for (stream, _client) in &attackers {
            scope.spawn(|| exchange(stream, &event, deadline, |_| {}));
        }
    });
    drop(readers);
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
