//! Requests that do not end, unread responses, and malformed requests.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{Dice, ended, exchange, expect_all_ended, pull, push};
use crate::harness::{Target, handshake};
use crate::http_client::HttpConnection;

const SECOND: Duration = Duration::from_secs(1);
/// The server must close a request without progress within this time.
const GIVEN_UP: Duration = Duration::from_secs(30);

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";

pub fn silent_bodies(target: &mut Target) {
    let silent = HEALTH.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Half of the connections are kept as those of proxies before.
    let requests = [&silent, &[HEALTH, &silent].concat()];
    let connections: Vec<TcpStream> = (0..1100).map(|_| target.connect()).collect();
    for (connection, request) in connections.iter().zip(requests.into_iter().cycle()) {
        push(connection, request.as_bytes(), Instant::now() + SECOND);
    }
    expect_all_ended(&connections, GIVEN_UP);
}

pub fn dripping_heads(target: &mut Target) {
    let mut dripping: Vec<TcpStream> = (0..100).map(|_| target.connect()).collect();
    for connection in &dripping {
        push(connection, HEALTH.as_bytes(), Instant::now() + SECOND);
    }
    let began = Instant::now();
    for byte in HEALTH.bytes().cycle() {
        // A head that never ends.
        let byte = if byte.is_ascii_control() { b'x' } else { byte };
        dripping.retain(|connection| {
            let now = Instant::now();
            push(connection, &[byte], now + SECOND) == 1 && !ended(connection, now + Duration::from_millis(5))
        });
        if dripping.is_empty() {
            return;
        }
        assert!(began.elapsed() < GIVEN_UP, "{} connections are open after {GIVEN_UP:?}", dripping.len());
        thread::sleep(SECOND / 2);
    }
}

pub fn unread_answers(target: &mut Target) {
    let requests = HEALTH.repeat((16 << 20) / HEALTH.len());
    let deadline = Instant::now() + 4 * SECOND;
    let unread: Vec<TcpStream> = (0..20).map(|_| target.connect()).collect();
    thread::scope(|scope| {
        for connection in &unread {
            scope.spawn(|| push(connection, requests.as_bytes(), deadline));
        }
    });
}

pub fn pipelined_posts(target: &mut Target) {
    let post = |n: usize| {
        format!("POST /peerjs/absent-{n}/t/offer HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{{}}")
    };
    let posts: String = (0..20_000).map(post).collect();
    exchange(&target.connect(), posts.as_bytes(), Instant::now() + 6 * SECOND, |_| {});
}

/// A request in a body, or after one, that must never be answered.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n";

/// Heads without their first line, and their bodies; `@` is the smuggled request.
const AMBIGUOUS: &[(&str, &str)] = &[
    ("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\n@"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 6", "0\r\n\r\n@"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n@"),
    ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "0\r\n\r\n@"),
    ("Transfer-Encoding: xchunked", "0\r\n\r\n@"),
    ("Transfer-Encoding: chunked, identity", "0\r\n\r\n@"),
    ("Transfer-Encoding : chunked", "0\r\n\r\n@"),
    ("Transfer-Encoding\t: chunked", "0\r\n\r\n@"),
    ("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n@"),
    ("X: y\rTransfer-Encoding: chunked", "0\r\n\r\n@"),
    ("X: y\0Transfer-Encoding: chunked", "0\r\n\r\n@"),
    ("Content-Length: 0\r\nContent-Length: 5", "@"),
    ("Content-Length: 5\r\nContent-Length: 0", "@"),
    ("Content-Length: 0, 5", "@"),
    ("Content-Length: +0", "@"),
    ("Content-Length: -1", "@"),
    ("Content-Length: 0x0", "@"),
    ("Content-Length: 0 0", "@"),
    ("Content-Length: 99999999999999999999", "@"),
    ("Content-Length : 0", "@"),
    ("Transfer-Encoding: chunked", "+0\r\n\r\n@"),
    ("Transfer-Encoding: chunked", "0x0\r\n\r\n@"),
    ("Transfer-Encoding: chunked", "-1\r\n\r\n@"),
    ("Transfer-Encoding: chunked", "10000000000000000\r\n\r\n@"),
    ("Transfer-Encoding: chunked", "1\r\nxx\r\n0\r\n\r\n@"),
    ("Transfer-Encoding: chunked", "1\nx\n0\n\n@"),
];

pub fn smuggled_requests(target: &mut Target) {
    for (head, body) in AMBIGUOUS {
        let body = body.replace('@', SMUGGLED);
        let request = format!("POST /healthz HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n{body}");
        let connection = target.connect();
        push(&connection, request.as_bytes(), Instant::now() + SECOND);
        connection.shutdown(Shutdown::Write).expect("a connection");
        let mut answers = Vec::new();
        let ended = pull(&connection, Instant::now() + 10 * SECOND, |bytes| answers.extend_from_slice(bytes));
        let answers = String::from_utf8_lossy(&answers);
        assert!(ended, "{head:?} {body:?} keeps the connection: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "answers to {head:?} {body:?}: {answers}");
    }
}

pub fn mutated_handshakes(target: &mut Target) {
    let mut dice = Dice::new();
    for n in 0..10_000 {
        let from = format!("198.18.{}.{}", n / 250, n % 250);
        let mut bytes = handshake(&from, &format!("mutated-{n}"), "t").into_bytes();
        let alphabet: Vec<u8> = (0..=255).collect();
        dice.mutate(&mut bytes, &alphabet);
        let connection = target.connect();
        push(&connection, &bytes, Instant::now() + SECOND);
        let _ = connection.shutdown(Shutdown::Write);
        let shown = String::from_utf8_lossy(&bytes);
        assert!(ended(&connection, Instant::now() + 10 * SECOND), "keeps the connection: {shown:?}");
    }
}

pub fn posts_for_somebody(target: &mut Target) {
    let post = |token: &str, what: &str| {
        let connection = target.connect();
        let body = r#"{"type":"OFFER","dst":"owner","payload":1}"#;
        let body = if what.starts_with("id") { "" } else { body };
        let request = format!(
            "POST /peerjs/owner/{token}/{what} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = push(&connection, request.as_bytes(), Instant::now() + 10 * SECOND);
        assert_eq!(sent, request.len(), "the server reads a post");
        connection
    };
    let wrong: Vec<TcpStream> = (0..64).map(|_| post("wrong", "offer")).collect();
    target.settle();
    for connection in &wrong {
        connection.set_nonblocking(true).expect("a connection");
        let peeked = connection.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(peeked, Err(ErrorKind::WouldBlock), "a post waits for its id");
        connection.set_nonblocking(false).expect("a connection");
    }
    let mut stream = HttpConnection::over(post("right", "id?i=0"));
    assert_eq!(stream.head().status, 200, "the stream of the owner");
    while !String::from_utf8_lossy(&stream.chunk().expect("a stream that goes on")).contains("OPEN") {}
    let mut candidate = HttpConnection::over(post("right", "candidate"));
    assert_eq!(candidate.response(false).status, 200, "a post of the owner");
    for connection in wrong {
        let answer = HttpConnection::over(connection).response(false);
        assert_eq!(answer.status, 401, "a post with a wrong token");
    }
}
