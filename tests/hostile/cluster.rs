//! Attacks on a node of a cluster.

use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{pull, push};
use crate::harness::Target;
use crate::ids::message;

const FLOODERS: usize = 300;
const FLOOD: Duration = Duration::from_secs(7);
/// More than a client may send meanwhile: its burst, and 200 per second.
const MESSAGES: usize = 4000;

/// Each id is sought among all nodes, waits, and expires.
pub fn unknown_ids(target: &mut Target) {
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|number| {
            let stream = target.connect();
            let client = crate::harness::accepted(
                stream.try_clone().expect("a connection"),
                &format!("198.51.100.{}", number % 100),
                &format!("flooder-{number}"),
                "t",
            );
            let flood: Vec<u8> =
                (0..MESSAGES).flat_map(|id| message(&format!("unknown-{number}-{id}"), 8)).collect();
            (stream, client, flood)
        })
        .collect();
    let deadline = Instant::now() + FLOOD;
    thread::scope(|scope| {
        for (stream, _client, flood) in &flooders {
            scope.spawn(move || pull(stream, deadline, |_| {}));
            scope.spawn(move || push(stream, flood, deadline));
        }
    });
}
