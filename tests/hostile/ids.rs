//! Attempts at the ids, the queues and the rate limits of peers.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{connect_with_small_segments, ended, pull, push};
use crate::harness::{Target, accepted};
use crate::http_client::{connect, connect_with_small_buffer};
use crate::raw_client::RawClient;
use crate::wire::{self, FIN, Frame, opcode};

const SECOND: Duration = Duration::from_secs(1);
const ATTACKER: &str = "198.51.100.1";
const THIEF: &str = "198.51.100.2";
const VICTIM: &str = "203.0.113.10";

/// A message with so many bytes in its payload.
pub fn message(dst: &str, bytes: usize) -> Vec<u8> {
    wire::text(&format!(r#"{{"type":"OFFER","dst":"{dst}","payload":"{}"}}"#, "x".repeat(bytes)))
}

/// A peer on a slow link that does everything right: it reads steadily, answers each ping, and
/// comes back half a second after it was closed.
struct SlowPeer {
    address: SocketAddr,
    bytes_per_second: usize,
    done: AtomicBool,
    closed: AtomicUsize,
}

impl SlowPeer {
    fn new(target: &Target, bytes_per_second: usize) -> Self {
        let address = target.address;
        SlowPeer { address, bytes_per_second, done: AtomicBool::new(false), closed: AtomicUsize::new(0) }
    }

    fn open(&self) -> (TcpStream, RawClient) {
        let stream = connect_with_small_buffer(self.address);
        let mut client = accepted(stream.try_clone().expect("a connection"), VICTIM, "victim", "its-own");
        client.expect_open();
        (stream, client)
    }

    /// Reads until `done`, or the end of the connection.
    fn read(&self, (stream, mut client): (TcpStream, RawClient)) {
        let (tenth, mut received, mut budget) = (SECOND / 10, Vec::new(), 0);
        while !self.done.load(Ordering::SeqCst) {
            thread::sleep(tenth);
            budget += self.bytes_per_second / 10;
            let mut chunk = vec![0; budget.min(64 << 10)];
            stream.set_read_timeout(Some(tenth)).expect("a timeout");
            let Ok(count) = std::io::Read::read(&mut &stream, &mut chunk) else { continue };
            budget -= count;
            received.extend_from_slice(&chunk[..count]);
            while let Some(frame) = Frame::take(&mut received) {
                match frame.opcode() {
                    opcode::PING => client.pong(&frame.payload),
                    opcode::CLOSE => return,
                    _ => {}
                }
            }
            if count == 0 {
                return;
            }
        }
    }

    /// Lives until `done`.
    fn live(&self, mut connection: (TcpStream, RawClient)) {
        loop {
            self.read(connection);
            if self.done.load(Ordering::SeqCst) {
                return;
            }
            self.closed.fetch_add(1, Ordering::SeqCst);
            thread::sleep(SECOND / 2);
            connection = self.open();
        }
    }

    /// Has the peer read while `attack` lasts.
    fn lives_while(&self, attack: impl FnOnce()) {
        // Set also if the attack panics, so that the thread ends.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let connection = self.open();
        thread::scope(|scope| {
            let done = Done(&self.done);
            scope.spawn(|| self.live(connection));
            attack();
            drop(done);
        });
    }

    /// Somebody with another token asks for the id and is refused.
    fn expect_not_stolen(&self) {
        let mut thief = accepted(connect(self.address), THIEF, "victim", "another");
        let told = thief.expect_text();
        assert!(told.contains("ID-TAKEN"), "the thief is told: {told}");
    }
}

pub fn delayed_probe(target: &mut Target) {
    let flooder = open(target, ATTACKER, "flooder");
    let victim = SlowPeer::new(target, 100 << 10);
    victim.lives_while(|| {
        let flood = message("victim", 16 << 10).repeat(55);
        push(&flooder.0, &flood, Instant::now() + 3 * SECOND);
        // What was sent is on its way to the victim when the thief comes.
        ended(&flooder.0, Instant::now() + SECOND);
        victim.expect_not_stolen();
        assert_eq!(victim.closed.load(Ordering::SeqCst), 0, "times that the victim was closed");
    });
}

pub fn overfilled_outbox(target: &mut Target) {
    let flooder = open(target, ATTACKER, "flooder");
    let victim = SlowPeer::new(target, 400 << 10);
    victim.lives_while(|| {
        let flood = message("victim", 16 << 10).repeat(500);
        let flooded = Instant::now() + 3 * SECOND;
        push(&flooder.0, &flood, flooded);
        while victim.closed.load(Ordering::SeqCst) == 0 && Instant::now() < flooded {
            thread::sleep(SECOND / 50);
        }
        victim.expect_not_stolen();
    });
}

pub fn self_takeover(target: &mut Target) {
    let (sender, _client) = open(target, ATTACKER, "sender");
    let message = message("me", 900 << 10);
    let (mut unsent, mut holder) = (Vec::new(), None);
    for _ in 0..400 {
        holder = Some(accepted(connect_with_small_segments(target.address), ATTACKER, "me", "t"));
        if unsent.is_empty() {
            unsent.extend_from_slice(&message);
        }
        let sent = push(&sender, &unsent, Instant::now() + SECOND / 100);
        unsent.drain(..sent);
        ended(&sender, Instant::now() + SECOND / 200);
    }
    drop(holder);
}

pub fn leaving_and_coming_back(target: &mut Target) {
    let arrived = AtomicUsize::new(0);
    let (sink, _client) = open(target, VICTIM, "sink");
    let mut messages = message("sink", 1).repeat(2000);
    messages.extend(wire::close(Some(1000), b""));
    let (began, most) = (Instant::now(), 5 * SECOND);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut received = Vec::new();
            pull(&sink, began + most, |bytes| {
                received.extend_from_slice(bytes);
                while Frame::take(&mut received).is_some() {
                    arrived.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        for _ in 0..20 {
            if began.elapsed() > most {
                break;
            }
            let (stream, _client) = open(target, ATTACKER, "restless");
            push(&stream, &messages, Instant::now() + SECOND / 2);
            ended(&stream, Instant::now() + SECOND / 2);
        }
    });
    // One burst, the rate, and as much again as a busy machine may be late by.
    let most = 2 * (2000 + 200 * began.elapsed().as_secs() as usize);
    let arrived = arrived.into_inner();
    assert!(arrived <= most, "{arrived} messages arrived, at most {most}");
}

fn open(target: &Target, from: &str, id: &str) -> (TcpStream, RawClient) {
    let stream = target.connect();
    let mut client = accepted(stream.try_clone().expect("a connection"), from, id, "t");
    client.expect_open();
    (stream, client)
}

/// A frame that says how to go on: a ping.
pub fn ping() -> Vec<u8> {
    wire::frame(FIN | opcode::PING, b"x")
}
