//! Attacks on pipes: on memory, on time, and on the places of others.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{connect_with_small_segments, pull, push};
use crate::harness::{Target, with_address};
use crate::raw_client::RawClient;
use crate::wire::{self, FIN, opcode};

/// The id of a number, for a pipe or an end.
fn id(n: usize) -> String {
    const DIGITS: &[u8; 16] = b"ABCDEFGHIJKLMNOP";
    let digit = |at: usize| char::from(DIGITS[n >> (4 * at) & 0xF]);
    format!("{}{}A", "A".repeat(13), (0..8).map(digit).collect::<String>())
}

/// An end of a pipe.
fn end(stream: TcpStream, from: &str, pipe: usize, end: usize) -> RawClient {
    let mut client = RawClient::over(stream, &format!("end {end} of {pipe}"));
    let target = format!("/pipe/{}?key=peerjs&end={}", id(pipe), id(end));
    client.send_raw(with_address(&RawClient::handshake(&target), from));
    client.expect_accepted();
    client
}

fn open(client: &mut RawClient) {
    assert!(client.expect_text().starts_with(r#"{"type":"OPEN""#));
}

/// Each address has as many waiting ends as it may, and wants more. A pipe of others still opens.
pub fn ends_that_wait(target: &mut Target) {
    /// All of them leave room under the default for a key.
    const ADDRESSES: usize = 9;
    /// A twentieth of the default of `--pipes`.
    const ENDS: usize = 100;
    let mut waiting = Vec::new();
    for address in 0..ADDRESSES {
        let from = format!("198.51.100.{}", 1 + address);
        for n in 0..ENDS {
            waiting.push(end(target.connect(), &from, address * ENDS + n, 1));
        }
        for n in 0..20 {
            end(target.connect(), &from, 100_000 + address * ENDS + n, 1).expect_closed_with(Some(1013));
        }
    }
    target.expect_metric("peerbroker_pipes", waiting.len());
    let mut one = end(target.connect(), "203.0.113.20", 200_000, 1);
    let mut other = end(target.connect(), "203.0.113.21", 200_000, 2);
    open(&mut one);
    open(&mut other);
    one.send_binary(b"through");
    assert_eq!(other.next_frame("what went through").map(|frame| frame.payload), Some(b"through".to_vec()));
    // A waiting end of which nothing is left is away for a while.
    for mut waiting in waiting {
        waiting.close(Some(1000));
    }
    one.expect_closed_by_us(Some(1000));
    target.expect_metric("peerbroker_pipes", 0);
}

/// A sender is read only while the other end reads.
pub fn ends_that_do_not_read(target: &mut Target) {
    const PIPES: usize = 300;
    let record = wire::frame(FIN | opcode::BINARY, &[b'x'; 64 << 10]).repeat(16);
    let mut ends = Vec::new();
    for n in 0..PIPES {
        let from = format!("198.51.100.{}", 1 + n / 40);
        let mut deaf = end(connect_with_small_segments(target.address), &from, n, 1);
        let stream = target.connect();
        let mut loud = end(stream.try_clone().expect("a connection"), &from, n, 2);
        open(&mut deaf);
        open(&mut loud);
        push(&stream, &record, Instant::now() + Duration::from_millis(50));
        ends.push((deaf, stream));
    }
    target.expect_metric("peerbroker_pipes", PIPES);
    drop(ends);
}

/// Frames of one byte cost as much as longer ones.
pub fn tiny_frames(target: &mut Target) {
    let tiny = wire::frame(FIN | opcode::BINARY, b"x").repeat(8000);
    let deadline = Instant::now() + Duration::from_secs(4);
    let pairs: Vec<_> = (0..8)
        .map(|n| {
            let streams = [target.connect(), target.connect()];
            for (at, stream) in streams.iter().enumerate() {
                end(stream.try_clone().expect("a connection"), "198.51.100.1", n, at);
            }
            streams
        })
        .collect();
    thread::scope(|scope| {
        for [one, other] in &pairs {
            scope.spawn(|| while push(one, &tiny, deadline) == tiny.len() {});
            scope.spawn(|| pull(other, deadline, |_| {}));
        }
    });
}
