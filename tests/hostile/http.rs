//! Requests that do not end, unread responses, and malformed requests.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{exchange, expect_all_ended, pull, push};
use crate::harness::Target;

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

pub fn call_reports(target: &mut Target) {
    let mut connection = target.connect();
    for number in 0..20_000 {
        let id = format!("{number:0>500}");
        let body = format!(
            r#"{{"id":"{id}","peer":"{id}","connection":"{number:0>64}","kind":"data","caller":true,"reason":"no_udp"}}"#
        );
        let head =
            format!("POST /peerjs/reports HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.write_all(format!("{head}{body}").as_bytes()).expect("a connection");
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 204");
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).expect("the rest of its head");
            rest.extend(byte);
        }
    }
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
