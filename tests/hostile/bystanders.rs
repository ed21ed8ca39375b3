//! Clients that use the server as it is meant to be used, while others attack it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::accepted;
use crate::http_client::connect;
use crate::raw_client::RawClient;

/// Between two rounds, so that the pair stays below its rate limit.
const PAUSE: Duration = Duration::from_millis(15);
/// A newcomer opens in every round of so many.
const NEWCOMER_EVERY: usize = 20;

/// How the bystanders were served.
#[derive(Default)]
pub struct Service {
    /// The longest that one of them waited for an answer.
    pub longest: Duration,
}

/// Two peers send each other messages until `done`, and newcomers open and leave. Panics if one
/// does not get its answer.
pub fn talk(address: SocketAddr, newcomers: bool, done: &AtomicBool) -> Service {
    let (mut a, mut b) =
        (open(address, "203.0.113.1", "bystander-a"), open(address, "203.0.113.2", "bystander-b"));
    let mut service = Service::default();
    // One round comes after the attack, so that a server that has given up is noticed.
    for round in 0.. {
        let last = done.load(Ordering::SeqCst);
        let began = Instant::now();
        relay(&mut a, &mut b, round);
        relay(&mut b, &mut a, round);
        if newcomers && (last || round % NEWCOMER_EVERY == 0) {
            open(address, "203.0.113.3", "newcomer").expect_closed_by_us(Some(1000));
        }
        service.longest = service.longest.max(began.elapsed());
        if last {
            break;
        }
        thread::sleep(PAUSE);
    }
    service
}

fn open(address: SocketAddr, from: &str, id: &str) -> RawClient {
    let mut client = accepted(connect(address), from, id, "t");
    client.expect_open();
    client
}

fn relay(from: &mut RawClient, to: &mut RawClient, round: usize) {
    let (src, dst) = (&from.name, to.name.clone());
    let relayed = format!(r#"{{"type":"OFFER","src":"{src}","dst":"{dst}","payload":{round}}}"#);
    from.send(format!(r#"{{"type":"OFFER","dst":"{dst}","payload":{round}}}"#));
    to.expect(relayed);
}
