//! Shutdown of a server, as by a signal.

use std::io::ErrorKind;
#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::time::Duration;

use peerbroker::wire::CloseReason;

use crate::harness::http_client::connect;
use crate::harness::messages::offer;
use crate::harness::{TestServer, Told, Transport, on_both, wait_until};

#[test]
fn clients_are_closed_with_1001_and_the_server_ends() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let mut clients: Vec<_> = (0..20).map(|n| server.client(&format!("peer-{n}"))).collect();
    server.begin_stop();
    for client in &mut clients {
        client.expect_closed_with(Some(1001));
    }
    drop(clients);
    server.join();
    assert!(server.realm().is_empty());
    let gone = Told::Disconnected("peer-0".into(), CloseReason::Shutdown);
    assert_eq!(server.told_about("peer-0")[1..], [gone]);
}

#[test]
fn a_client_that_does_not_answer_its_close_does_not_hold_up_the_end() {
    let configure = |config: &mut peerbroker::Config| config.close_timeout = Duration::from_millis(50);
    let mut server = TestServer::start(Transport::Own, configure);
    let mut client = server.client("a");
    server.begin_stop();
    server.join();
    assert_eq!(client.expect_close(), Some(1001));
    client.expect_end();
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_comes_back_while_the_server_stops_is_refused_at_once() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let mut client = server.client("a");
    server.begin_stop();
    assert_eq!(client.expect_close(), Some(1001));
    // The server waits for the answer of the first client.
    let refused = TcpStream::connect(server.address).map_err(|error| error.kind());
    assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
    client.close(Some(1001));
    client.expect_end();
    server.join();
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let other = TestServer::start(Transport::Own, |_| {});
    // Servers close idle connections after a timeout. This server stops before that timeout.
    let elsewhere = connect(other.address);
    let mut http = server.http();
    assert_eq!(http.request("GET", "/", "").status, 200);
    let mut silent = server.http();
    server.begin_stop();
    server.join();
    elsewhere.set_nonblocking(true).unwrap();
    let open = elsewhere.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(open, Err(ErrorKind::WouldBlock), "the server ended only when it had given up on them");
    http.expect_end();
    silent.expect_end();
}

#[test]
fn nobody_is_admitted_while_the_server_stops() {
    on_both(|server| {
        let mut a = server.client("a");
        server.node().close();
        a.expect_closed_with(Some(1001));
        for id in ["a", "b"] {
            let mut late = server.begin(id, "t");
            late.expect_accepted();
            late.expect(crate::harness::messages::error("Server is stopping"));
            late.expect_closed_with(Some(1001));
        }
        assert!(server.realm().is_empty());
    });
}

#[test]
fn messages_of_a_client_that_is_being_closed_harm_nobody() {
    on_both(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        server.node().close();
        for n in 0..100 {
            a.send(offer("b", &n.to_string()));
        }
        b.expect_closed_with(Some(1001));
        a.expect_closed_with(Some(1001));
        wait_until("both to be gone", || server.told_about("a").len() + server.told_about("b").len() == 4);
    });
}

#[test]
fn a_stopped_server_lets_go_of_its_port() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let address = server.address;
    let _client = server.client("a");
    drop(_client);
    server.begin_stop();
    server.join();
    assert!(std::net::TcpStream::connect(address).is_err());
}
