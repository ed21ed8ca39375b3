//! The end of the program.

use std::io::ErrorKind;
use std::net::TcpStream;

use crate::http_client::{HttpConnection, connect};
use crate::program::Program;

#[test]
fn a_signal_with_nobody_connected_ends_it_with_0() {
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start(&[]);
        program.signal(signal);
        let ended = program.wait();
        assert_eq!(ended.status.code(), Some(0), "{signal}");
        assert_eq!(ended.stdout.last().map(String::as_str), Some("Http server closed."));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_signal_closes_every_client_with_1001_and_ends_it_with_0() {
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start(&[]);
        let mut clients: Vec<_> = ["a", "b", "c"].iter().map(|id| program.client(id)).collect();
        program.signal(signal);
        for client in &mut clients {
            client.expect_closed_with(Some(1001));
        }
        drop(clients);
        let ended = program.wait();
        assert_eq!(ended.status.code(), Some(0), "{signal}");
        let mut gone: Vec<&str> =
            ended.stdout.iter().filter_map(|line| line.strip_prefix("Client disconnected: ")).collect();
        gone.sort_unstable();
        assert_eq!(gone, ["a", "b", "c"]);
        assert_eq!(ended.stdout.last().map(String::as_str), Some("Http server closed."));
        assert!(TcpStream::connect(program.address).is_err());
    }
}

#[test]
fn an_idle_connection_and_half_a_request_do_not_delay_the_end() {
    let mut program = Program::start(&[]);
    let other = Program::start(&[]);
    // Servers close idle connections after a timeout. This program ends before that timeout.
    let elsewhere = connect(other.address);
    let mut idle = HttpConnection::open(program.address);
    assert_eq!(idle.request("GET", "/", "").status, 200);
    let mut half = HttpConnection::open(program.address);
    half.send("GET /peerjs/id HTTP/1.1\r\n");
    assert_eq!(program.stop().status.code(), Some(0));
    elsewhere.set_nonblocking(true).unwrap();
    let open = elsewhere.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(open, Err(ErrorKind::WouldBlock), "the program ended only when it had given up on them");
    idle.expect_end();
}

#[test]
fn a_client_that_ignores_its_close_frame_is_cut_off() {
    let mut program = Program::start(&[]);
    let mut deaf = program.client("deaf");
    program.signal("-TERM");
    assert_eq!(deaf.expect_close(), Some(1001));
    let ended = program.wait();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stdout.last().map(String::as_str), Some("Http server closed."));
}

/// A process group gets SIGTERM, and a launcher passes its own on.
#[test]
fn a_signal_that_comes_twice_counts_once() {
    let mut program = Program::start(&[]);
    program.signal("-TERM");
    program.signal("-TERM");
    assert_eq!(program.wait().status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start(&[]);
    let mut deaf = program.client("deaf");
    program.signal("-TERM");
    assert_eq!(deaf.expect_close(), Some(1001));
    program.signal("-INT");
    let ended = program.wait();
    assert_eq!(ended.status.code(), Some(130));
    assert!(!ended.stdout.iter().any(|line| line == "Http server closed."));
}
