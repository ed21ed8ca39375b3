//! A server takes over from the one before it, while clients connect all the time. None of them fails.

mod calls;
mod load;

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::api::Api;
use crate::directory::Directory;
use crate::http_client::TIMEOUT;
use crate::program::{Program, command, run};
use load::Load;
use testkit::ports::{free_port, free_ports};
use testkit::tls::trusting_everybody;
use testkit::wait::wait_until;

/// Opens before, between and after the steps of an update.
const SOME: usize = 200;

/// Updates of one test.
const UPDATES: usize = 3;

/// The next server at a port.
fn start_at(port: u16, args: &[&str]) -> Program {
    let port = port.to_string();
    let args = [&["--host", "127.0.0.1", "--port", &port], args].concat();
    Program::start_command(&mut command(&args))
}

/// A server with a socket of its parent, as systemd starts it.
fn start_with_socket(socket: &TcpListener, args: &[&str]) -> Program {
    Program::start_command(&mut command_with_socket("main", socket, args))
}

/// A command with a socket of that name. The shell moves the socket to where it belongs.
pub fn command_with_socket(name: &str, socket: &TcpListener, args: &[&str]) -> Command {
    let program = command(args);
    let mut shell = Command::new("/bin/sh");
    let variables = format!("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}");
    shell
        .args(["-c", &format!("exec 3<&0 </dev/null; {variables} exec \"$0\" \"$@\"")])
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .stdin(OwnedFd::from(socket.try_clone().unwrap()));
    shell
}

#[test]
fn a_setting_that_a_socket_of_systemd_overrides_is_warned_of_with_its_line() {
    let directory = Directory::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let file = directory.file("p.toml", "port = 443\nhost = '::1'\nops_port = 0\n");
    let program = start_with_socket(&socket, &["--config", &file]);
    program.expect_log(&format!(
        "port ({file}, line 1) does nothing: the service manager passes the socket for clients, which is at 127.0.0.1:{port}"
    ));
    program.expect_log(&format!("host ({file}, line 2) does nothing"));
    drop(program);
    // A file that says the same as the socket is right.
    let file = directory.file("same.toml", &format!("port = {port}\nhost = '127.0.0.1'\n"));
    let log = start_with_socket(&socket, &["--config", &file]).stop().stderr;
    assert!(!log.contains("does nothing"), "{log}");
}

#[test]
fn config_show_prints_what_a_socket_of_systemd_has() {
    let directory = Directory::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let file = directory.file("p.toml", "port = 443\nops_port = 9001\n");
    let line = |name: &str, n: u8| format!("{name}, in place of {file}, line {n}");
    let socket_of = "socket of the service manager";
    for (name, expected) in [
        (
            "main",
            [
                line(&format!("port = {port}  # {socket_of}"), 1),
                format!("host = \"127.0.0.1\"  # {socket_of}"),
                format!("ops_port = 9001  # {file}, line 2"),
            ],
        ),
        (
            "ops",
            [
                format!("port = 443  # {file}, line 1"),
                line(&format!("ops_port = {port}  # {socket_of}"), 2),
                format!("ops_host = \"127.0.0.1\"  # {socket_of}"),
            ],
        ),
    ] {
        let shown =
            command_with_socket(name, &socket, &["config", "show", "--config", &file]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        for line in expected {
            assert!(shown.lines().any(|there| there == line), "{line} in {shown}");
        }
    }
    // The API is off without its port, also on a socket.
    let shown = command_with_socket("ops", &socket, &["config", "show"]).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains("# ops_port is not set"));
}

/// The flags of TLS, with a certificate of this test, and a client that accepts it.
fn tls(directory: &Directory) -> ([String; 4], Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = directory.file("cert.pem", &made.cert.pem());
    let key = directory.file("key.pem", &made.signing_key.serialize_pem());
    (["--sslcert".to_owned(), cert, "--sslkey".to_owned(), key], trusting_everybody())
}

/// Stops a server that has clients, and that another one takes over from.
fn stop(mut old: Program) {
    let ended = old.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stdout.iter().any(|line| line.starts_with("Client connected: ")), "it had clients");
}

fn update_on_shared_port(flags: &[&str], tls: Option<Arc<ClientConfig>>) {
    let flags = [&["--reuse_port", "--drain_timeout", "1500"], flags].concat();
    let mut server = start_at(0, &flags);
    let address = server.address;
    let load = Load::start(address, tls);
    load.go_on(SOME);
    for _ in 0..UPDATES {
        let next = start_at(address.port(), &flags);
        load.go_on(SOME);
        stop(std::mem::replace(&mut server, next));
        load.go_on(SOME);
    }
    assert!(load.end() > 2 * UPDATES * SOME);
}

#[test]
fn an_update_on_a_shared_port_fails_no_open() {
    update_on_shared_port(&[], None);
}

#[test]
fn an_update_on_a_shared_port_fails_no_open_over_tls() {
    let directory = Directory::new();
    let (flags, config) = tls(&directory);
    update_on_shared_port(&flags.each_ref().map(String::as_str), Some(config));
}

fn update_on_inherited_socket(flags: &[&str], tls: Option<Arc<ClientConfig>>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = start_with_socket(&socket, flags);
    assert_eq!(server.address, address, "the port of the socket");
    let load = Load::start(address, tls);
    load.go_on(SOME);
    for _ in 0..UPDATES {
        let next = start_with_socket(&socket, flags);
        load.go_on(SOME);
        stop(std::mem::replace(&mut server, next));
        load.go_on(SOME);
    }
    // The same as `systemctl restart`: clients wait in the socket.
    stop(server);
    let _server = start_with_socket(&socket, flags);
    load.go_on(SOME);
    assert!(load.end() > 2 * UPDATES * SOME);
}

#[test]
fn an_update_on_a_socket_of_systemd_fails_no_open() {
    update_on_inherited_socket(&[], None);
}

#[test]
fn an_update_on_a_socket_of_systemd_fails_no_open_over_tls() {
    let directory = Directory::new();
    let (flags, config) = tls(&directory);
    update_on_inherited_socket(&flags.each_ref().map(String::as_str), Some(config));
}

#[test]
fn a_port_is_shared_only_if_both_servers_say_so() {
    for (first, second) in [(&["--reuse_port"][..], &[][..]), (&[], &["--reuse_port"])] {
        let server = Program::start(first);
        let port = server.address.port().to_string();
        let refused = run(&[&["--host", "127.0.0.1", "--port", &port], second].concat(), &[]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains(&format!("port {port} is in use")), "{}", refused.stderr);
    }
}

#[test]
fn a_server_beside_another_one_at_its_port_says_so() {
    let mut first = Program::start(&["--reuse_port"]);
    let port = first.address.port().to_string();
    let second = ["--host", "127.0.0.1", "--port", &port, "--reuse_port"];
    let second = Program::start_command(&mut command(&second));
    second.expect_log(&format!("another server takes clients at port {port} too"));
    let log = first.stop().stderr;
    assert!(!log.contains("another server"), "the first one was alone: {log}");
}

#[test]
fn a_server_without_clients_does_not_wait() {
    let mut program = Program::start(&["--drain_timeout", "3600000"]);
    program.client("a").expect_nothing("a");
    assert_eq!(program.stop().status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_long_drain() {
    let mut program = Program::start(&["--drain_timeout", "3600000"]);
    let mut client = program.client("a");
    program.signal("-TERM");
    // The port is closed when the drain has begun.
    wait_until("the port to be closed", || std::net::TcpStream::connect(program.address).is_err());
    client.expect_nothing("a");
    program.signal("-INT");
    assert_eq!(program.wait().status.code(), Some(130));
}

#[test]
fn a_port_that_another_program_keeps_is_named_and_no_call_is_said_to_be_relayed() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    // None of those that the system gives out: the end of a connection could have it for a minute, and the
    // relay needs it for TCP too.
    let other = std::net::UdpSocket::bind(("127.0.0.1", free_port())).unwrap();
    let relay = other.local_addr().unwrap();
    let mut server = start_with_socket(&socket, &["--relay", &relay.to_string()]);
    server.expect_log(&format!("no call is relayed yet, because UDP or TCP port {} is in use", relay.port()));
    server.expect_log("such as coturn: `ss -lunpt 'sport = :");
    let url = server.address.to_string();
    let examined = run(&["doctor", &url], &[]).stdout.join("\n");
    assert!(examined.contains("no call is relayed: another program has the port of the relay"), "{examined}");
    drop(other);
    server.expect_log("the relay: the port is free");
    let examined = run(&["doctor", &url], &[]).stdout.join("\n");
    assert!(!examined.contains("no call is relayed"), "{examined}");
    let lines = server.stop().stdout;
    let said = format!("not relayed yet, because another program has UDP and TCP {}", relay.port());
    assert!(lines.iter().any(|line| line.contains(&said)), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains(": relayed at")), "{lines:#?}");
}

#[test]
fn a_relay_and_the_keys_go_to_the_next_server_when_the_first_has_ended() {
    let directory = Directory::new();
    let [relay, turn, ops] = free_ports();
    let [relay, turn, ops_port] = [relay, turn, ops].map(|port| port.to_string());
    let relay = format!("127.0.0.1:{relay}");
    let turn = format!("127.0.0.1:{turn}");
    let data = directory.arg("data");
    let flags =
        ["--reuse_port", "--relay", &relay, "--turn", &turn, "--data_dir", &data, "--ops_port", &ops_port];
    let mut old = start_at(0, &flags);
    let mut next = start_at(old.address.port(), &flags);
    assert_eq!(old.stop().status.code(), Some(0));
    let api = Api { address: ([127, 0, 0, 1], ops).into(), headers: String::new() };
    wait_until("the relay and TURN to begin", || {
        let stats = api.get("/api/stats").json;
        !stats["relay"].is_null() && !stats["turn"].is_null()
    });
    let log = next.stop().stderr;
    assert!(log.contains("TURN and the relay: the port is in use"), "{log}");
    assert!(log.contains("the relay: the port is free"), "{log}");
    assert!(!log.contains("another server uses"), "{log}");
}

#[test]
fn sockets_of_unknown_names_are_refused() {
    let socket = File::open("/dev/null").unwrap();
    for (names, complaint) in [
        ("main", "the socket \"main\" of the service manager cannot be used"),
        ("web:api", "2 sockets, and one is named \"web\""),
    ] {
        let count = names.split(':').count();
        let program = command(&[]);
        let script =
            format!("exec 3<&0 4<&0; LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names} exec \"$0\"");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script]).arg(program.get_program()).env_clear().stdin(socket.try_clone().unwrap());
        let ended = shell.output().unwrap();
        let log = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{log}");
        assert!(log.contains(complaint), "{log}");
    }
}

#[test]
fn a_socket_of_systemd_that_is_not_tcp_says_how_to_write_one() {
    let directory = Directory::new();
    fs::create_dir_all(directory.at("")).unwrap();
    let unix = UnixListener::bind(directory.at("socket")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (socket, words) in [
        (OwnedFd::from(unix), "it is a Unix socket: write a TCP port, as in ListenStream=9000"),
        (OwnedFd::from(udp), "it takes datagrams: write ListenStream= in place of ListenDatagram="),
    ] {
        let ended = command_with_socket("main", &TcpListener::from(socket), &[]).output().unwrap();
        let log = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{log}");
        assert!(log.contains("the socket \"main\" of the service manager cannot be used"), "{log}");
        assert!(log.contains(words), "{log}");
    }
}

#[test]
fn a_socket_of_systemd_for_a_certificate_that_nobody_ordered_warns() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let args = ["--host", "127.0.0.1", "--port", "0"];
    let log = Program::start_command(&mut command_with_socket("http", &socket, &args)).stop().stderr;
    assert!(log.contains(" WARN ") && log.contains("a socket for HTTP-01, but there is no --acme"), "{log}");
    assert!(log.contains("`systemctl disable --now peerbroker-http.socket`, or set --acme"), "{log}");
}

#[test]
fn a_socket_of_a_unit_with_accept_ends_the_program_with_the_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (connection, _) = listener.accept().unwrap();
    let connection = TcpListener::from(OwnedFd::from(connection));
    let ended = command_with_socket("main", &connection, &["--port", "0"]).output().unwrap();
    let log = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{log}");
    assert!(log.contains("the socket \"main\" of the service manager is a connection"), "{log}");
    assert!(log.contains("take Accept=yes out of the socket unit"), "{log}");
}

#[test]
fn the_start_line_has_the_address_of_the_socket_of_systemd() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let stdout = start_with_socket(&socket, &["--host", "192.0.2.2"]).stop().stdout.join("\n");
    assert!(stdout.contains(&format!("Started PeerServer on 127.0.0.1, port: {port}")), "{stdout}");
}

#[test]
fn systemd_is_told_of_the_start_and_the_end() {
    let directory = Directory::new();
    fs::create_dir_all(directory.at("")).unwrap();
    let path = directory.arg("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    told.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut program = Program::start_with_env(&[], &[("NOTIFY_SOCKET", &path)]);
    let expect = |line: &str| loop {
        let mut text = [0; 1000];
        let length = told.recv(&mut text).expect("a message of the program");
        if String::from_utf8_lossy(&text[..length]).lines().any(|there| there == line) {
            return;
        }
    };
    expect("READY=1");
    expect("STATUS=clients: 0");
    program.signal("-TERM");
    expect("STOPPING=1");
    assert_eq!(program.wait().status.code(), Some(0));
}
