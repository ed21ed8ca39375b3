//! STUN and TURN servers that the broker names: its own, and others that do not work.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use super::authority::{Authority, Wanted};
use super::fake::{http, serve};
use super::{Examined, examine, url};
use crate::program::{self, Program};
use testkit::ports::free_port;
use testkit::tools::lacks;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A broker with a TURN server. Returns where that is.
fn with_turn(secret: &str) -> (Program, String) {
    let turn = format!("127.0.0.1:{}", free_port());
    let program = Program::start(&["--turn", &turn, "--turn_secret", secret, "--relay_private"]);
    (program, turn)
}

/// A broker that names this TURN server.
fn naming(turn_url: &str) -> Program {
    Program::start(&["--turn_url", turn_url, "--turn_secret", SECRET])
}

#[test]
fn the_servers_own_stun_and_turn_are_tried_over_each_transport() {
    let (program, turn) = with_turn(SECRET);
    let examined = examine(&[&url(&program)]);
    examined.expect_failed(&[]);
    let text = examined.json.to_string();
    for found in [
        format!("stun:{turn} answers: it sees this machine at 127.0.0.1"),
        format!("turn:{turn}?transport=udp relays at"),
        format!("turn:{turn}?transport=tcp relays at"),
    ] {
        assert!(text.contains(&found), "{found} in {text}");
    }
}

#[test]
fn turn_over_tls_needs_the_certificate_that_browsers_need() {
    let authority = Authority::new("the authority");
    let turn = format!("127.0.0.1:{}", free_port());
    let flags = ["--turn", &turn, "--turn_secret", SECRET, "--relay_private"];
    let program = authority.serve(&Wanted::default(), &flags);
    let place = format!("https://{}", program.address);
    let examined = examine(&[&place, "--ca", &authority.root()]);
    examined.expect_failed(&[]);
    // The port that firewalls let through, and not that of TURN as well.
    let found = format!("turns:{}?transport=tcp relays at", program.address);
    assert!(examined.json.to_string().contains(&found), "{found} in {}", examined.json);
    examine(&[&place]).expect("turn", "failed", &["turns:127.0.0.1", "not a public authority"]);
}

#[test]
fn turn_over_tls_at_a_port_without_it_is_told() {
    let plain = Program::start(&[]);
    let naming = naming(&format!("turns:{}", plain.address));
    examine(&[&url(&naming)]).expect("turn", "failed", &["turns:127.0.0.1", "with TLS for turns:"]);
}

#[test]
fn a_relay_answers_stun() {
    let relay = format!("127.0.0.1:{}", free_port());
    let program = Program::start(&["--relay", &relay, "--relay_private"]);
    let examined = examine(&[&url(&program)]);
    examined.expect_failed(&[]);
    examined.expect("stun", "ok", &["answers"]);
    examined.expect("peers", "ok", &[]);
}

#[test]
fn the_relay_is_asked_at_each_address_that_clients_are_told() {
    let relay = format!("127.0.0.1:{}", free_port());
    let program = Program::start(&["--relay", &relay, "--relay_private"]);
    let examined = examine(&[&url(&program)]);
    let text = examined.json.to_string();
    for found in [
        format!("the relay at {relay} answers over UDP: it sees this machine at 127.0.0.1"),
        format!("the relay at {relay} answers over TCP"),
        format!("the relay at {} answers over TCP", program.address),
    ] {
        assert!(text.contains(&found), "{found} in {text}");
    }
    examine(&[&url(&Program::start(&[]))]).expect("relay", "skipped", &["no relay"]);
    let off = Program::start(&["--relay", &relay_beside(&relay), "--relay_mode", "off"]);
    examine(&[&url(&off)]).expect("relay", "skipped", &["no relay for calls of this key"]);
}

/// Another free port.
fn relay_beside(relay: &str) -> String {
    let mut others = std::iter::repeat_with(|| format!("127.0.0.1:{}", free_port()));
    others.find(|other| other != relay).unwrap()
}

#[test]
fn a_relay_behind_a_nat_that_forwards_nothing_is_told() {
    // Clients are told an address of this machine where nothing listens, as where a firewall is in front.
    let relay = format!("127.0.0.1:{}", free_port());
    let flags =
        ["--relay", &relay, "--relay_public", "127.0.0.2", "--relay_private", "--relay_tcp_port", "0"];
    let program = Program::start(&flags);
    let examined = examine(&[&url(&program)]);
    let port = relay.split_once(':').unwrap().1;
    let advice = format!("Open UDP and TCP port {port}");
    examined.expect("relay", "failed", &["127.0.0.2", "is closed for UDP", &advice, "--relay_public"]);
}

/// In a network of its own, which has the public address, and nothing there.
#[test]
fn a_wrong_public_address_of_the_relay_is_told_on_the_machine_itself() {
    let namespace = ["--user", "--map-root-user", "--net"];
    let with_address = "ip link set lo up && ip address add 203.0.113.7/32 dev lo";
    let allowed = Command::new("unshare").args(namespace).args(["sh", "-c", with_address]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return lacks("this user may not make networks");
    }
    let script = format!("{with_address} && exec \"$0\" \"$@\"");
    let mut shell = Command::new("unshare");
    shell.args(namespace).args(["sh", "-c", &script]).arg(program::path());
    shell.args(["--host", "127.0.0.1", "--port", "0"]);
    shell.args(["--relay", "127.0.0.1:3478", "--relay_public", "203.0.113.7"]);
    let program = Program::start_command(&mut shell);
    let mut doctor = Command::new("nsenter");
    doctor.args(["--preserve-credentials", "--user", "--net", "--target", &program.id().to_string()]);
    let ended = doctor.arg(program::path()).args(["doctor", &url(&program), "--json"]).output().unwrap();
    let json = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    let examined = Examined { code: ended.status.code(), json };
    examined.expect_failed(&[]);
    let ways = format!("(UDP 3478, TCP 3478, TCP {})", program.address.port());
    examined.expect(
        "relay",
        "warning",
        &[
            "clients are told that the relay is at 203.0.113.7, where nothing answers this machine",
            &ways,
            "If 203.0.113.7 is not the public address of this server, or of the NAT in front of it, correct --relay_public",
        ],
    );
    examined.expect(
        "stun",
        "skipped",
        &["stun:203.0.113.7:5349 is at the address of the relay", "not asked"],
    );
}

#[test]
fn a_port_for_the_relay_that_another_program_has_is_told() {
    let relay = format!("127.0.0.1:{}", free_port());
    let other = serve(|_| http("400 Bad Request", "", ""));
    let port = other.port().to_string();
    let program = Program::start(&["--relay", &relay, "--relay_private", "--relay_tcp_port", &port]);
    let examined = examine(&[&url(&program)]);
    examined.expect("relay", "failed", &[&format!("TCP port {port}"), "--relay_tcp_port"]);
}

/// Firewalls and providers have a rule for each protocol.
#[test]
fn a_port_that_is_open_for_tcp_alone_is_told() {
    let port = free_port();
    let _tcp = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let _udp = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let program = Program::start(&["--stun_url", &format!("stun:127.0.0.1:{port}")]);
    let examined = examine(&[&url(&program)]);
    let found = format!("does not answer, though TCP port {port} is open");
    examined.expect("stun", "failed", &[&found, &format!("Open UDP port {port} too")]);
}

#[test]
fn a_turn_server_at_another_port_is_told() {
    let port = free_port();
    for (transport, protocol) in [("udp", "UDP"), ("tcp", "TCP")] {
        let program = naming(&format!("turn:127.0.0.1:{port}?transport={transport}"));
        let examined = examine(&[&url(&program)]);
        examined.expect_failed(&["turn"]);
        examined.expect(
            "turn",
            "failed",
            &["is closed", &format!("Nothing listens at {protocol} port {port}")],
        );
    }
}

#[test]
fn a_turn_server_that_never_answers_is_told() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let program = naming(&format!("turn:127.0.0.1:{port}?transport=udp"));
    let examined = examine(&[&url(&program)]);
    examined.expect("turn", "failed", &["does not answer", &format!("Open UDP port {port}")]);
}

#[test]
fn a_turn_server_with_another_secret_is_told() {
    let (_other, turn) = with_turn("fedcba9876543210fedcba9876543210");
    let program = naming(&format!("turn:{turn}?transport=udp"));
    let examined = examine(&[&url(&program)]);
    examined.expect_failed(&["turn"]);
    examined.expect("turn", "failed", &["refuses the credentials", "--turn_secret", "static-auth-secret"]);
}

#[test]
fn a_stun_server_without_an_address_is_told() {
    let program = Program::start(&["--stun_url", "stun:nothing.invalid"]);
    let examined = examine(&[&url(&program)]);
    examined.expect_failed(&["stun"]);
    examined.expect("stun", "failed", &["no address of nothing.invalid"]);
}
