//! Relayed calls while servers take over from each other: they go on, new ones are relayed by the new server,
//! and a call that has to end is told to both clients.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixSocketAddr, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use testkit::messages::message;
use testkit::ports::free_ports;
use testkit::relay_client::{Line, Side, payload, relay_in};
use testkit::tools::lacks;
use testkit::turn_client::{Datagrams, SECRET, TurnClient, tcp};

use super::{UPDATES, start_at, start_with_socket};
use crate::program::Program;
use crate::raw_client::RawClient;

/// The username fragments of calls.
const UFRAGS: [[&str; 2]; UPDATES + 1] =
    [["a0ufrag", "b0ufrag"], ["a1ufrag", "b1ufrag"], ["a2ufrag", "b2ufrag"], ["a3ufrag", "b3ufrag"]];

/// A call over UDP that was relayed, and the clients that made it.
struct Call {
    sides: [Side; 2],
    clients: [RawClient; 2],
}

impl Call {
    /// Calls from a client to another one.
    fn begin(server: &Program, ufrags: [&'static str; 2]) -> Self {
        let clients = offer_and_answer(server, ufrags);
        let (clients, relay) = clients;
        let [one, other] = ufrags;
        let sides = [Side::new(relay, one, other), Side::new(relay, other, one)];
        sides.iter().for_each(Side::prove);
        let call = Call { sides, clients };
        call.go_on();
        call
    }

    /// Both sides hear each other, and check their path.
    fn go_on(&self) {
        let [one, other] = &self.sides;
        one.talk_to(other);
        other.talk_to(one);
        one.exchange_checks(other);
    }

    fn expect_closed_clients(&mut self) {
        self.clients.iter_mut().for_each(|client| client.expect_closed_with(Some(1001)));
    }
}

/// Two clients that describe a call to each other, and the address of the relay that they are told.
fn offer_and_answer(server: &Program, [one, other]: [&str; 2]) -> ([RawClient; 2], std::net::SocketAddr) {
    let [mut caller, mut callee] = [one, other].map(|id| server.client(id));
    caller.send(message("OFFER", other, &payload("offer", one, &[])));
    let relay = relay_in(&callee.expect_text());
    callee.send(message("ANSWER", one, &payload("answer", other, &[])));
    assert_eq!(relay_in(&caller.expect_text()), relay);
    ([caller, callee], relay)
}

/// A relay and a TURN server at free ports of loopback, as flags.
fn media_flags() -> [String; 8] {
    let [relay, turn] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    ["--relay", &relay, "--turn", &turn, "--turn_secret", SECRET, "--relay_private", "--reuse_port"]
        .map(str::to_owned)
}

/// Stops a server and waits until the next one relays and gets all new clients.
fn hand_over(old: &Program, next: &Program, call: &mut Call) {
    old.signal("-TERM");
    next.expect_log("accepts clients now");
    // Before it closes a client, a server has left its port.
    call.expect_closed_clients();
}

#[test]
fn relayed_calls_go_on_through_updates_and_each_server_relays_new_ones() {
    let flags = media_flags();
    let flags = [&["--drain_timeout", "500"], &flags.each_ref().map(String::as_str)[..]].concat();
    let mut server = start_at(0, &flags);
    let port = server.address.port();
    let mut calls = vec![Call::begin(&server, UFRAGS[0])];
    let mut old = Vec::new();
    for ufrags in &UFRAGS[1..] {
        let next = start_at(port, &flags);
        next.expect_log("the port is in use");
        hand_over(&server, &next, calls.last_mut().unwrap());
        calls.iter().for_each(Call::go_on);
        calls.push(Call::begin(&next, *ufrags));
        calls.iter().for_each(Call::go_on);
        old.push(std::mem::replace(&mut server, next));
    }
    for mut old in old {
        old.expect_log("1 relayed call goes on for up to 600s");
        old.signal("-TERM");
        assert_eq!(old.wait().status.code(), Some(130), "a second signal ends a server at once");
    }
    let last = calls.pop().unwrap();
    last.go_on();
    drop(last);
}

#[test]
fn a_call_over_tcp_goes_on_through_an_update() {
    let flags = media_flags();
    let flags = flags.each_ref().map(String::as_str);
    let old = start_at(0, &flags);
    let (mut clients, relay) = offer_and_answer(&old, UFRAGS[0]);
    let [one, other] = UFRAGS[0];
    let over_tcp = Side::new(relay, one, other);
    let over_udp = Side::new(relay, other, one);
    over_udp.prove();
    let mut line = Line::open(relay);
    line.prove(&over_tcp);
    // The check of the other one, which has waited.
    let check = line.receive();
    line.send(&over_tcp.answer_to(&check));
    let next = start_at(old.address.port(), &flags);
    for number in 0..100 {
        if number == 10 {
            old.signal("-TERM");
            next.expect_log("accepts clients now");
            clients.iter_mut().for_each(|client| client.expect_closed_with(Some(1001)));
        }
        line.send(&[0x80, number]);
        over_udp.receive_until(&[0x80, number]);
        over_udp.socket.send(&[0x81, number]).unwrap();
        while line.receive() != [0x81, number] {}
    }
}

#[test]
fn clients_of_turn_stay_through_an_update_over_udp_and_tcp() {
    let flags = media_flags();
    let turn = flags[3].parse().unwrap();
    let flags = [&["--drain_timeout", "100"], &flags.each_ref().map(String::as_str)[..]].concat();
    let old = start_at(0, &flags);
    let [mut one, mut other] = [TurnClient::allocate(Datagrams::to(turn)), TurnClient::allocate(tcp(turn))];
    assert!(one.bind(other.relayed) && other.bind(one.relayed), "channels");
    let mut talk = || {
        one.send(b"there");
        assert_eq!(other.receive(), b"there");
        other.send(b"back");
        assert_eq!(one.receive(), b"back");
    };
    talk();
    let next = start_at(old.address.port(), &flags);
    talk();
    old.signal("-TERM");
    next.expect_log("accepts clients now");
    old.expect_log("2 TURN allocations go on for up to 600s");
    talk();
    TurnClient::allocate(Datagrams::to(turn));
    TurnClient::allocate(tcp(turn));
    talk();
}

/// Waits until a server has relayed a call for as long as it may after its stop.
fn expect_end_of_drain(mut old: Program, seconds: u64) {
    let ended = old.wait();
    assert_eq!(ended.status.code(), Some(0));
    for line in [format!("goes on for up to {seconds}s"), format!("ends, because {seconds}s have passed")] {
        assert!(ended.stderr.contains(&format!("1 relayed call {line}")), "{}", ended.stderr);
    }
}

/// Each of both clients hears that the other one has left: PeerJS closes all connections to it then.
fn expect_leave(clients: &mut [RawClient; 2]) {
    let [one, other] = UFRAGS[0];
    for (client, (from, to)) in clients.iter_mut().zip([(other, one), (one, other)]) {
        client.expect(format!(r#"{{"type":"LEAVE","src":"{from}","dst":"{to}"}}"#));
    }
}

#[test]
fn calls_end_when_their_time_has_passed_and_both_clients_hear_it_on_their_path() {
    let flags = media_flags();
    let flags = [&["--relay_drain_timeout", "1000"], &flags.each_ref().map(String::as_str)[..]].concat();
    let mut old = start_at(0, &flags);
    let call = Call::begin(&old, UFRAGS[0]);
    drop(call.clients);
    while !old.expect_event().starts_with("Client disconnected") {}
    while !old.expect_event().starts_with("Client disconnected") {}
    old.signal("-TERM");
    call.sides.iter().for_each(Side::expect_revoked);
    expect_end_of_drain(old, 1);
}

#[test]
fn the_next_server_tells_clients_that_the_old_one_ends_their_calls() {
    let flags = media_flags();
    // Long enough to connect to the next server on a busy machine.
    let timeouts = ["--relay_drain_timeout", "8000", "--drain_timeout", "0"];
    let flags = [&timeouts, &flags.each_ref().map(String::as_str)[..]].concat();
    let old = start_at(0, &flags);
    let mut call = Call::begin(&old, UFRAGS[0]);
    let next = start_at(old.address.port(), &flags);
    hand_over(&old, &next, &mut call);
    let mut clients = UFRAGS[0].map(|id| next.client(id));
    call.go_on();
    expect_leave(&mut clients);
    next.expect_log("1 pair of clients heard that the server before this one ends their relayed calls");
    call.sides.iter().for_each(Side::expect_revoked);
    expect_end_of_drain(old, 8);
}

/// A user of nobody, for connections that are not the server's own.
const STRANGER: u32 = 12345;

/// The variable with the name of the socket for a stranger.
const SOCKET_OF_SERVER: &str = "TEST_SOCKET_OF_SERVER";

/// The socket on which the server at an address hears which calls end.
fn connect_to_calls(address: &str) -> io::Result<UnixStream> {
    let name = format!("peerbroker-calls-{address}");
    UnixStream::connect_addr(&UnixSocketAddr::from_abstract_name(name)?)
}

#[test]
fn connections_of_another_user_hold_up_no_end_of_calls() {
    let server = Program::start(&[]);
    let mut clients = UFRAGS[0].map(|id| server.client(id));
    let address = server.address.to_string();
    let mut strangers = Command::new(env::current_exe().expect("this test"));
    strangers.args([
        "--exact",
        "handover::calls::child_of_another_user_that_connects",
        "--ignored",
        "--nocapture",
    ]);
    strangers.env(SOCKET_OF_SERVER, &address).stdin(Stdio::piped()).stdout(Stdio::piped()).uid(STRANGER);
    let mut strangers = match strangers.spawn() {
        Ok(strangers) => strangers,
        Err(error) => return lacks(&format!("cannot start a program of another user: {error}")),
    };
    let output = BufReader::new(strangers.stdout.take().expect("piped"));
    assert!(output.lines().map_while(Result::ok).any(|line| line == "connected"));
    let [one, other] = UFRAGS[0];
    let report = format!(r#"[["peerjs",["{one}","{other}"]]]"#);
    connect_to_calls(&address).unwrap().write_all(report.as_bytes()).unwrap();
    expect_leave(&mut clients);
    drop(strangers.stdin.take());
    strangers.wait().unwrap();
}

#[test]
#[ignore = "the child of the test above, which lets it end"]
fn child_of_another_user_that_connects() {
    let Some(address) = env::var_os(SOCKET_OF_SERVER) else { return };
    let connections: Vec<_> =
        (0..100).map(|_| connect_to_calls(address.to_str().unwrap()).unwrap()).collect();
    // Not through `println!`, which the test would catch.
    writeln!(io::stdout(), "connected").unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(connections);
}

fn clients_stay_until_the_next_server_can_relay(mut old: Program, next: &Program) {
    next.expect_log("the port is in use");
    // Otherwise the next server would get about every second one.
    let clients: Vec<RawClient> = (0..20).map(|number| old.client(&format!("client-{number}"))).collect();
    let mut call = Call::begin(&old, UFRAGS[0]);
    for _ in &clients {
        while !old.expect_event().starts_with("Client connected: client-") {}
    }
    hand_over(&old, next, &mut call);
    Call::begin(next, UFRAGS[1]);
}

#[test]
fn clients_stay_with_the_old_server_until_the_next_one_can_relay() {
    let flags = media_flags();
    let flags = [&["--drain_timeout", "0"], &flags.each_ref().map(String::as_str)[..]].concat();
    let old = start_at(0, &flags);
    let next = start_at(old.address.port(), &flags);
    clients_stay_until_the_next_server_can_relay(old, &next);
}

#[test]
fn clients_stay_with_the_old_server_on_a_socket_of_systemd_too() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let [relay] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let timeouts = ["--relay_drain_timeout", "600000", "--drain_timeout", "0"];
    let flags = [&["--relay", &relay, "--relay_private"], &timeouts[..]].concat();
    let [old, next] = [(); 2].map(|()| start_with_socket(&socket, &flags));
    clients_stay_until_the_next_server_can_relay(old, &next);
}

#[test]
fn a_server_on_a_socket_of_systemd_does_not_wait_for_a_relay_if_nobody_else_serves() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let other_program = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let relay = other_program.local_addr().unwrap().to_string();
    let mut server = start_with_socket(&socket, &["--relay", &relay, "--relay_private"]);
    server.expect_log("the port is in use");
    server.client("a").expect_nothing("a");
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn a_server_that_waits_for_a_relay_serves_if_nobody_else_does() {
    let flags = media_flags();
    let flags = flags.each_ref().map(String::as_str);
    let old = start_at(0, &flags);
    // At another port, so it is not the next one there.
    let other = start_at(0, &flags);
    other.expect_log("the port is in use");
    other.client("a").expect_nothing("a");
    let mut waiting = start_at(old.address.port(), &flags);
    assert_eq!(waiting.stop().status.code(), Some(0), "a server may stop while it waits");
}

#[test]
fn without_a_next_server_at_the_port_calls_end_at_once() {
    let mut server = Program::start(&["--relay", "127.0.0.1:0", "--relay_private"]);
    let mut call = Call::begin(&server, UFRAGS[0]);
    server.signal("-TERM");
    expect_leave(&mut call.clients);
    call.expect_closed_clients();
    drop(call);
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(0));
    assert!(!ended.stderr.contains("relayed"), "{}", ended.stderr);
}
