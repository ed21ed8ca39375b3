//! Shutdown of a server, as by a signal.
//!
//! Some run on both transports: each says goodbye and ends TCP in its own way.

use std::io::ErrorKind;
#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::time::Duration;

use peerbroker::Listen;
use peerbroker_config::ListenOps;
use peerbroker_core::vocabulary::CloseReason;

use crate::harness::api::Api;
use crate::harness::http_client::connect;
use crate::harness::messages::{forwarded_offer, offer};
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
fn messages_of_a_client_that_is_being_closed_harm_nobody() {
    on_both(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
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

/// A server that closes its clients over ten seconds, with an API. It judges no client by its silence: on a
/// slow machine, tests advance the clock often before the drain looks at it.
fn draining_over_ten_seconds() -> (TestServer, Api) {
    const LONG: Duration = Duration::from_hours(24);
    let ops = ListenOps::default();
    let drain_timeout = Some(Duration::from_secs(10));
    let listen = Listen { ops: Some(ops), drain_timeout, ..Listen::default() };
    let server =
        TestServer::start_listening(Transport::Own, |config| config.limits.alive_timeout = LONG, listen);
    let api = Api { address: server.ops.expect("an API"), headers: String::new() };
    (server, api)
}

#[cfg(target_os = "linux")]
fn wait_until_the_port_is_closed(server: &TestServer) {
    wait_until("a closed port", || TcpStream::connect(server.address).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn clients_are_closed_evenly_over_the_time_that_is_given() {
    const CLIENTS: usize = 200;
    let (mut server, _) = draining_over_ten_seconds();
    let ids: Vec<String> = (0..CLIENTS).map(|n| format!("peer-{n:03}")).collect();
    let clients: Vec<_> = ids.iter().map(|id| server.client(id)).collect();
    server.begin_stop();
    wait_until_the_port_is_closed(&server);
    assert_eq!(server.realm().len(), CLIENTS, "nobody is closed before time passes");
    let here = || server.realm().ids().iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
    let mut passed = 0;
    let mut advance = |by: usize| {
        server.advance(Duration::from_millis(by as u64));
        passed += by;
        passed
    };
    for tenth in 1..10 {
        let goal = CLIENTS * tenth / 10;
        let mut passed = advance(1000);
        let mut polls = 0;
        wait_until("a tenth to be closed", || {
            let closed = CLIENTS - server.realm().len();
            assert!(closed <= CLIENTS * passed / 10_000 + 1, "{closed} are closed after {passed} ms");
            // The drain may have begun, or looked at the clock, only after it was advanced. Then it waits for
            // some more time.
            polls += 1;
            if closed < goal && polls % 100 == 0 {
                passed = advance(50);
            }
            closed >= goal
        });
        // A drain that begins only after the first advance is a second behind, and each slow look adds to it.
        assert!(passed < 1000 * tenth + 2000, "tenth {tenth} took until {passed} ms");
        if tenth == 5 {
            let stay = here();
            assert_ne!(stay, ids[ids.len() - stay.len()..], "not those that came last");
            assert_ne!(stay, ids[..stay.len()], "not those that came first");
        }
    }
    wait_until("the end", || {
        advance(50);
        server.realm().is_empty()
    });
    for mut client in clients {
        client.expect_closed_with(Some(1001));
    }
    server.join();
}

#[cfg(target_os = "linux")]
#[test]
fn a_draining_server_is_not_ready_and_serves_connections_that_it_has() {
    let (mut server, api) = draining_over_ten_seconds();
    assert_eq!(api.get("/readyz").status, 200);
    let mut a = server.client("a");
    let mut b = server.client("b");
    let target = server.target("late", "t");
    let mut late = server.connect("late");
    let mut http = server.http();
    assert_eq!(http.request("GET", "/peerjs/id", "").status, 200);
    server.begin_stop();
    wait_until_the_port_is_closed(&server);
    let unready = api.get("/readyz");
    assert_eq!(unready.status, 503);
    assert_eq!(unready.json["reasons"][0], "the server is stopping");
    assert_eq!(api.get("/healthz").status, 200);

    late.send_raw(super::harness::RawClient::handshake(&target));
    late.expect_accepted();
    late.expect_open();
    assert_eq!(http.request("GET", "/peerjs/id", "").status, 200);
    a.send(offer("b", "1"));
    b.expect(forwarded_offer("a", "b", "1"));
    a.send(offer("late", "2"));
    late.expect(forwarded_offer("a", "late", "2"));

    let close = |server: &TestServer| {
        server.advance(Duration::from_secs(1));
        server.realm().is_empty()
    };
    wait_until("the end", || close(&server));
    for mut client in [a, b, late] {
        client.expect_closed_with(Some(1001));
    }
    server.join();
}
