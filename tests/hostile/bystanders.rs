//! Clients that use the server normally while others attack it.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::accepted;
use crate::http_client::connect;
use crate::raw_client::RawClient;
use crate::wire::{FIN, opcode};

/// The pause between two rounds, so that the pair stays below its rate limit.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(15);
/// One round in this many opens a new client.
const NEWCOMER_EVERY: usize = 20;

/// Two peers, and whether new clients connect and leave meanwhile. In a cluster, one of the two is at another
/// node, and the new ones are.
pub struct Bystanders {
    other: SocketAddr,
    newcomers: bool,
    a: RawClient,
    b: RawClient,
}

impl Bystanders {
    pub fn open(address: SocketAddr, other: SocketAddr, newcomers: bool) -> Self {
        let a = open(address, "203.0.113.1", "bystander-a");
        let b = open(other, "203.0.113.2", "bystander-b");
        Bystanders { other, newcomers, a, b }
    }

    /// The peers send each other messages until `is_done` is true for the number of a round.
    /// Returns the longest time that one of them waited for an answer. Panics if an answer is missing.
    pub fn talk(&mut self, is_done: impl Fn(usize) -> bool) -> Duration {
        let mut longest = Duration::ZERO;
        // The last round comes after the attack, so it notices a server that has stopped.
        for round in 0.. {
            let last = is_done(round);
            let began = Instant::now();
            relay(&mut self.a, &mut self.b, round);
            relay(&mut self.b, &mut self.a, round);
            if self.newcomers && (last || round % NEWCOMER_EVERY == 0) {
                // An id that nobody has sent anything to.
                let mut newcomer = open(self.other, "203.0.113.3", &format!("newcomer-{round}"));
                relay(&mut self.a, &mut newcomer, round);
                newcomer.expect_closed_by_us(Some(1000));
            }
            longest = longest.max(began.elapsed());
            if last {
                break;
            }
            thread::sleep(BETWEEN_ROUNDS);
        }
        longest
    }
}

fn open(address: SocketAddr, from: &str, id: &str) -> RawClient {
    let mut client = accepted(connect(address), from, id, "t");
    client.expect_open();
    client
}

fn relay(from: &mut RawClient, to: &mut RawClient, round: usize) {
    let src = &from.name;
    let dst = to.name.clone();
    let relayed = format!(r#"{{"type":"OFFER","src":"{src}","dst":"{dst}","payload":{round}}}"#);
    from.send(format!(r#"{{"type":"OFFER","dst":"{dst}","payload":{round}}}"#));
    // On a busy machine a round may last until the server pings.
    let received = loop {
        let frame = to.next_frame(&relayed).unwrap_or_else(|| panic!("{dst}: ended instead of {relayed}"));
        if frame.first != FIN | opcode::PING {
            break frame;
        }
        to.pong(&frame.payload);
    };
    assert_eq!(String::from_utf8_lossy(&received.payload), relayed, "{dst}");
}
