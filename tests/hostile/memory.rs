//! Attacks that fill memory, which the server must return afterwards.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::flow::{connect_with_small_segments, push};
use crate::harness::{Target, accepted};
use crate::http_client::{HttpConnection, connect};
use crate::ids::message;
use crate::wire::{self, MASKED, opcode};

const SECOND: Duration = Duration::from_secs(1);

pub fn unfinished_messages(target: &mut Target) {
    // Slightly below the message limit.
    const LEN: usize = (1 << 20) - 1024;
    let mut fragment = wire::frame(opcode::TEXT, &[b'x'; LEN]);
    let mut begun = wire::header(opcode::CONTINUATION, MASKED, LEN as u64);
    begun.resize(begun.len() + LEN - 1, b'x');
    fragment.extend(begun);
    let mut unfinished = wire::header(opcode::TEXT, MASKED, LEN as u64);
    unfinished.resize(unfinished.len() + LEN - 1, b'x');

    let connections: Vec<TcpStream> = (0..600)
        .map(|n| {
            let stream = target.connect();
            let from = if n < 300 { "198.51.100.1" } else { "198.51.100.2" };
            accepted(stream.try_clone().expect("a connection"), from, &format!("unfinished-{n}"), "t");
            push(&stream, if n % 2 == 0 { &fragment } else { &unfinished }, Instant::now() + SECOND);
            stream
        })
        .collect();
    drop(connections);
}

pub fn flood_for_an_absent_peer(target: &mut Target) {
    let stream = target.connect();
    let mut client = accepted(stream.try_clone().expect("a connection"), "198.51.100.1", "flooder", "t");
    client.expect_open();
    let message = message("absent", 16 << 10);
    let (mut left, batch) = (200_000_000 / message.len(), 64);
    let messages = message.repeat(batch);
    std::thread::scope(|scope| {
        scope.spawn(|| while client.next_frame("an expiry").is_some() {});
        while left > 0 {
            assert_eq!(push(&stream, &messages, Instant::now() + 10 * SECOND), messages.len(), "it is read");
            left = left.saturating_sub(batch);
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
}

pub fn unread_outboxes(target: &mut Target) {
    let peers: Vec<_> = (0..200)
        .map(|n| {
            let stream = connect_with_small_segments(target.address);
            accepted(stream, "198.51.100.2", &format!("unread-{n}"), "t")
        })
        .collect();
    // In turn, so that the memory of different peers is interleaved.
    let round: Vec<u8> = (0..200).flat_map(|n| message(&format!("unread-{n}"), 15 << 10)).collect();
    let stream = target.connect();
    let mut client = accepted(stream.try_clone().expect("a connection"), "198.51.100.1", "flooder", "t");
    client.expect_open();
    let deadline = Instant::now() + 4 * SECOND;
    for _ in 0..60 {
        push(&stream, &round, deadline);
    }
    drop(peers);
}

pub fn endless_key_set(target: &mut Target) {
    let fifo = target.directory.arg("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    for file in ["/dev/zero", &fifo] {
        let body = json!({"auth": {"method": "jwt", "kind": "jwks", "value": file}}).to_string();
        let stream = connect(target.api.address);
        stream.set_read_timeout(Some(3 * SECOND)).expect("a timeout");
        let mut http = HttpConnection::over(stream);
        http.send(format!(
            "POST /api/keys HTTP/1.1\r\nHost: t\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            target.api.headers,
            body.len()
        ));
        assert_eq!(http.response(false).status, 422, "{file} as a key set");
    }
}
