//! Attempts at the ids, the queues and the rate limits of peers.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{ShutDown, connect_with_small_segments, ended, pull, push};
use crate::harness::{Target, accepted};
use crate::http_client::{TIMEOUT, connect, connect_with_small_buffer};
use crate::raw_client::RawClient;
use crate::wire::{self, FIN, Frame, opcode};

const SECOND: Duration = Duration::from_secs(1);
const ATTACKER: &str = "198.51.100.1";
const THIEF: &str = "198.51.100.2";
const VICTIM: &str = "203.0.113.10";
const FRIEND: &str = "203.0.113.11";
/// The payload of a forwarded message of the friend.
const FROM_FRIEND: &str = r#""src":"friend""#;

/// A message with this many bytes in its payload.
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
    /// The messages of the friend that the peer has read.
    from_friend: AtomicUsize,
}

impl SlowPeer {
    fn new(target: &Target, bytes_per_second: usize) -> Self {
        SlowPeer {
            address: target.address,
            bytes_per_second,
            done: AtomicBool::new(false),
            closed: AtomicUsize::new(0),
            from_friend: AtomicUsize::new(0),
        }
    }

    fn open(&self) -> (TcpStream, RawClient) {
        let stream = connect_with_small_buffer(self.address);
        let mut client = accepted(stream.try_clone().expect("a connection"), VICTIM, "victim", "its-own");
        client.expect_open();
        (stream, client)
    }

    /// Reads until `done`, or the end of the connection.
    fn read(&self, (stream, mut client): (TcpStream, RawClient)) {
        let tenth = SECOND / 10;
        let mut received = Vec::new();
        let mut budget = 0;
        while !self.done.load(Ordering::SeqCst) {
            thread::sleep(tenth);
            budget += self.bytes_per_second / 10;
            let mut chunk = vec![0; budget.min(64 << 10)];
            stream.set_read_timeout(Some(tenth)).expect("a timeout");
            let count = match std::io::Read::read(&mut &stream, &mut chunk) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => return,
            };
            budget -= count;
            received.extend_from_slice(&chunk[..count]);
            while let Some(frame) = Frame::take(&mut received) {
                match frame.opcode() {
                    opcode::PING => client.pong(&frame.payload),
                    opcode::CLOSE => return,
                    _ if String::from_utf8_lossy(&frame.payload).contains(FROM_FRIEND) => {
                        self.from_friend.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => {}
                }
            }
            if count == 0 {
                return;
            }
        }
    }

    /// Runs until `done`.
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

    /// Lets the peer read during `attack`.
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

    /// A client with another token claims the id and is refused.
    fn expect_not_stolen(&self, from: &str) {
        let mut thief = accepted(connect(self.address), from, "victim", "another");
        let told = loop {
            match thief.expect_text() {
                told if told.contains("WAITING") => {}
                told => break told,
            }
        };
        assert!(told.contains("ID-TAKEN"), "the thief is told: {told}");
    }
}

pub fn delayed_probe(target: &mut Target) {
    let flooder = open(target, ATTACKER, "flooder");
    let victim = SlowPeer::new(target, 100 << 10);
    victim.lives_while(|| {
        let flood = message("victim", 16 << 10).repeat(55);
        push(&flooder.0, &flood, Instant::now() + 3 * SECOND);
        // The messages are on their way to the victim when the thief connects.
        ended(&flooder.0, Instant::now() + SECOND);
        victim.expect_not_stolen(THIEF);
        assert_eq!(victim.closed.load(Ordering::SeqCst), 0, "times that the victim was closed");
    });
}

pub fn probed_from_its_network(target: &mut Target) {
    let flooder = open(target, VICTIM, "flooder");
    let victim = SlowPeer::new(target, 8 << 10);
    victim.lives_while(|| {
        let flood = message("victim", 12 << 10).repeat(5);
        assert_eq!(push(&flooder.0, &flood, Instant::now() + 3 * SECOND), flood.len(), "it is read");
        ended(&flooder.0, Instant::now() + SECOND / 2);
        victim.expect_not_stolen(VICTIM);
        assert_eq!(victim.closed.load(Ordering::SeqCst), 0, "times that the victim was closed");
    });
}

pub fn overfilled_outbox(target: &mut Target) {
    let mut flooder = open(target, ATTACKER, "flooder");
    let victim = SlowPeer::new(target, 400 << 10);
    victim.lives_while(|| {
        let mut flood = message("victim", 16 << 10).repeat(500);
        flood.extend(ping());
        assert_eq!(push(&flooder.0, &flood, Instant::now() + 20 * SECOND), flood.len(), "it is read");
        // The pong proves that the server has handled the flood.
        let mut expired = 0;
        while flooder.1.next_frame("a pong").expect("a connection").opcode() != opcode::PONG {
            expired += 1;
        }
        assert!(expired > 0, "the outbox of the victim was too full");
        let mut friend = target.client(FRIEND, "friend", "t");
        friend.send_raw(message("victim", 1));
        victim.expect_not_stolen(THIEF);
        let deadline = Instant::now() + 20 * SECOND;
        while victim.from_friend.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "the message of a friend does not arrive");
            thread::sleep(SECOND / 50);
        }
        let peers = target.api.get("/api/keys/peerjs/peers").json;
        let is_victim = |peer: &serde_json::Value| peer["id"] == "victim";
        assert!(peers["peers"].as_array().is_some_and(|peers| peers.iter().any(is_victim)), "{peers}");
        assert_eq!(victim.closed.load(Ordering::SeqCst), 0, "times that the victim was closed");
    });
}

pub fn self_takeover(target: &mut Target) {
    let (sender, mut client) = open(target, ATTACKER, "sender");
    let mut bytes = message("me", 900 << 10);
    bytes.extend(ping());
    // Kept until the next one has taken over.
    let mut holder: Option<RawClient> = None;
    for takeover in 0..400 {
        let stream = connect_with_small_segments(target.address);
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let mut next = accepted(stream, ATTACKER, "me", "t");
        next.expect_open();
        drop(holder.replace(next));
        let sent = push(&sender, &bytes, Instant::now() + TIMEOUT);
        assert_eq!(sent, bytes.len(), "bytes that the server reads before takeover {takeover}");
        // The pong proves that the server has handled the message.
        while client.next_frame("a pong").expect("a connection").opcode() != opcode::PONG {}
    }
}

pub fn leaving_and_coming_back(target: &mut Target) {
    let arrived = AtomicUsize::new(0);
    let (sink, _client) = open(target, VICTIM, "sink");
    let mut messages = message("sink", 1).repeat(2000);
    messages.extend(wire::close(Some(1000), b""));
    let began = Instant::now();
    thread::scope(|scope| {
        // Also if a round panics, so that the thread ends.
        let _end = ShutDown(&sink);
        scope.spawn(|| {
            let mut received = Vec::new();
            pull(&sink, began + 60 * SECOND, |bytes| {
                received.extend_from_slice(bytes);
                while let Some(frame) = Frame::take(&mut received) {
                    arrived.fetch_add(usize::from(frame.opcode() == opcode::TEXT), Ordering::SeqCst);
                }
            });
        });
        for round in 0..20 {
            let (stream, _client) = open(target, ATTACKER, "restless");
            // The server takes the first burst at once, and the next ones at the rate.
            let most = if round == 0 { 10 * SECOND } else { SECOND / 8 };
            push(&stream, &messages, Instant::now() + most);
            ended(&stream, Instant::now() + most);
        }
    });
    let least = 2000;
    // One burst, the rate, and the same again for the delays of a busy machine.
    let most = 2 * (2000 + 200 * began.elapsed().as_secs() as usize);
    let arrived = arrived.into_inner();
    assert!(
        (least..=most).contains(&arrived),
        "{arrived} messages arrived: {least} to {most} were permitted"
    );
}

/// Many clients send their burst, and then what their rate permits, to ever new ids.
pub fn bursts_for_absent_peers(target: &mut Target) {
    const FLOODERS: usize = 300;
    const FLOOD: Duration = Duration::from_secs(7);
    /// More than a client may send meanwhile: its burst, and 200 per second.
    const MESSAGES: usize = 4000;
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|number| {
            let from = format!("198.51.100.{}", number % 100);
            let connection = open(target, &from, &format!("flooder-{number}"));
            let flood: Vec<u8> = (0..MESSAGES).flat_map(|id| message(&format!("{number}-{id}"), 8)).collect();
            (connection, flood)
        })
        .collect();
    let deadline = Instant::now() + FLOOD;
    thread::scope(|scope| {
        for ((stream, _client), flood) in &flooders {
            scope.spawn(move || pull(stream, deadline, |_| {}));
            scope.spawn(move || push(stream, flood, deadline));
        }
    });
}

fn open(target: &Target, from: &str, id: &str) -> (TcpStream, RawClient) {
    let stream = target.connect();
    let mut client = accepted(stream.try_clone().expect("a connection"), from, id, "t");
    client.expect_open();
    (stream, client)
}

/// A ping.
pub fn ping() -> Vec<u8> {
    wire::frame(FIN | opcode::PING, b"x")
}
