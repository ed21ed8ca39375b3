//! Certificates that change while the program runs: from files, and from a real ACME server.

mod view;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::directory::Directory;
use crate::program::{Program, command, run};
use crate::raw_client::RawClient;
use crate::wire::opcode;
use testkit::pebble::{Behaviour, Pebble};
use testkit::ports::free_ports;
use testkit::tls::trusting_everybody;
use testkit::wait::{wait_for, wait_until};

/// A program that gets certificates from this server.
fn start(pebble: &Pebble, more: &[&str]) -> Program {
    let flags = pebble.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Program::start_command(&mut command(&flags))
}

fn http_port(pebble: &Pebble) -> String {
    pebble.http_port.to_string()
}

/// Clients that trust the ACME server talk to the program under these names.
fn expect_trusted(pebble: &Pebble, program: &Program, names: &[&str]) {
    let trust = pebble.trust();
    for name in names {
        let mut client =
            RawClient::connect_tls_to(name, program.address, name, std::sync::Arc::clone(&trust));
        client.send_raw(RawClient::handshake("/peerjs?key=peerjs&id=a&token=t"));
        client.expect_accepted();
        client.expect_open();
    }
}

#[test]
fn a_certificate_by_http_is_stored_and_used_again_after_a_restart() {
    // A refused nonce is sent again, twice at most: more would be an attempt that fails.
    let behaviour = Behaviour { refused_nonces: 10, ..Behaviour::default() };
    let Some(mut pebble) = Pebble::start(behaviour) else { return };
    let port = http_port(&pebble);
    let flags = ["--acme", "broker.test", "www.broker.test", "--acme_http_port", &port];
    let mut program = start(&pebble, &flags);
    let certificate = view::wait_for_new(program.address, None);
    expect_trusted(&pebble, &program, &["broker.test", "www.broker.test"]);
    let http: SocketAddr = ([127, 0, 0, 1], pebble.http_port).into();
    let answer = view::plain(http, "GET /a?b HTTP/1.1\r\nHost: www.broker.test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 301"), "{answer}");
    assert!(answer.contains("location: https://www.broker.test/a?b\r\n"), "{answer}");
    let ended = program.stop();
    let url = format!("https://broker.test:{}/", program.address.port());
    assert!(ended.stdout.iter().any(|line| line.contains(&url)), "{:?}", ended.stdout);
    assert!(
        ended.stderr.contains("there is no certificate for broker.test, www.broker.test yet"),
        "{}",
        ended.stderr
    );

    // Nothing is ordered: nobody would answer.
    pebble.stop();
    let mut program = start(&pebble, &flags);
    assert_eq!(view::shown(program.address).0, certificate);
    let ended = program.stop();
    assert!(ended.stderr.contains("certificate loaded from"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("orders a certificate"), "{}", ended.stderr);
}

#[test]
fn a_certificate_by_tls_needs_no_http_port() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    let program = start(&pebble, &["--acme", "broker.test", "--acme_http_port", "0"]);
    view::wait_for_new(program.address, None);
    expect_trusted(&pebble, &program, &["broker.test"]);
    // No validation is under way.
    assert!(!view::accepts(program.address, "broker.test", b"acme-tls/1"));
    assert!(view::accepts(program.address, "broker.test", b"http/1.1"));
    assert!(view::accepts(program.address, "broker.test", b"stun.turn"));
}

#[test]
fn an_address_gets_a_certificate_both_ways() {
    for with_http in [true, false] {
        let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
        let port = if with_http { http_port(&pebble) } else { "0".to_owned() };
        let program = start(&pebble, &["--acme", "127.0.0.1", "broker.test", "--acme_http_port", &port]);
        view::wait_for_new(program.address, None);
        expect_trusted(&pebble, &program, &["127.0.0.1", "broker.test"]);
    }
}

#[test]
fn the_other_challenge_is_tried_if_one_fails() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    // The validator goes to another port than this one.
    let [elsewhere] = free_ports();
    let mut program = start(&pebble, &["--acme", "broker.test", "--acme_http_port", &elsewhere.to_string()]);
    view::wait_for_new(program.address, None);
    let log = program.stop().stderr;
    assert!(log.contains("could not validate broker.test by HTTP-01"), "{log}");
    assert!(log.contains("let port 80 of broker.test through"), "{log}");
}

#[test]
fn a_port_that_is_taken_leaves_the_other_challenge() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    let taken = std::net::TcpListener::bind(("127.0.0.1", pebble.http_port)).unwrap();
    let mut program = start(&pebble, &["--acme", "broker.test", "--acme_http_port", &http_port(&pebble)]);
    view::wait_for_new(program.address, None);
    let log = program.stop().stderr;
    assert!(log.contains("HTTP-01 is not possible, only TLS-ALPN-01"), "{log}");
    assert!(log.contains("choose another --acme_http_port"), "{log}");
    drop(taken);
}

#[test]
fn a_renewal_closes_nobody_and_new_clients_see_the_new_certificate() {
    let Some(pebble) = Pebble::start(Behaviour { validity: 30, ..Behaviour::default() }) else { return };
    let program = start(&pebble, &["--acme", "broker.test", "--acme_http_port", &http_port(&pebble)]);
    let first = view::wait_for_new(program.address, None);
    let trust = pebble.trust();
    let mut client = RawClient::connect_tls_to("broker.test", program.address, "stays", trust);
    client.send_raw(RawClient::handshake("/peerjs?key=peerjs&id=stays&token=t"));
    client.expect_accepted();
    client.expect_open();
    view::wait_for_new(program.address, Some(&first));
    client.ping(b"still here");
    // The server pings silent clients.
    let pong =
        std::iter::from_fn(|| client.next_frame("a pong")).find(|frame| frame.opcode() == opcode::PONG);
    assert_eq!(pong.unwrap().payload, b"still here");
    expect_trusted(&pebble, &program, &["broker.test"]);
}

#[test]
fn a_refused_order_says_what_to_do_and_leaves_the_server_up() {
    let blocked = Behaviour { blocked: &["broker.test"], ..Behaviour::default() };
    let Some(pebble) = Pebble::start(blocked) else { return };
    let mut program = start(&pebble, &["--acme", "broker.test", "--acme_http_port", "0", "--ops_port", "0"]);
    let api = program.expect_api().0;
    let error = wait_for("an error", || {
        let stats = api.get("/api/stats").json;
        // The self-signed certificate stands in.
        assert!(stats["certificate"]["expires"].is_u64(), "{stats}");
        stats["certificate"]["error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("the ACME server refuses the order"), "{error}");
    assert!(error.contains("Check the names in --acme (broker.test)"), "{error}");
    assert!(!view::shown(program.address).1.contains("Pebble"));
    let log = program.stop().stderr;
    assert!(log.contains("Next attempt in 5 minutes") || log.contains("Next attempt in 6 minutes"), "{log}");
}

#[test]
fn a_server_that_is_down_is_tried_again_and_a_forgotten_account_is_made_anew() {
    let Some(mut pebble) = Pebble::start(Behaviour { validity: 30, ..Behaviour::default() }) else { return };
    let flags = ["--acme", "broker.test", "--acme_http_port", &http_port(&pebble)];
    pebble.stop();
    let mut program = start(&pebble, &flags);
    assert!(!view::shown(program.address).1.contains("Pebble"));
    pebble.resume();
    let first = view::wait_for_new(program.address, None);
    // It comes back without its accounts.
    pebble.stop();
    pebble.resume();
    view::wait_for_new(program.address, Some(&first));
    let log = program.stop().stderr;
    assert!(log.contains("cannot talk to the ACME server https://localhost:"), "{log}");
}

#[test]
fn what_is_stored_is_private_and_other_names_are_ordered_anew() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    let port = http_port(&pebble);
    let mut program = start(&pebble, &["--acme", "broker.test", "--acme_http_port", &port]);
    let first = view::wait_for_new(program.address, None);
    program.stop();
    let dirs: Vec<_> =
        fs::read_dir(pebble.directory.join("data/acme")).unwrap().map(Result::unwrap).collect();
    assert_eq!(dirs.len(), 1);
    for file in fs::read_dir(dirs[0].path()).unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
    let program = start(&pebble, &["--acme", "broker.test", "more.test", "--acme_http_port", &port]);
    view::wait_for_new(program.address, Some(&first));
    expect_trusted(&pebble, &program, &["broker.test", "more.test"]);
}

#[test]
fn nodes_with_one_data_directory_share_the_certificate_of_the_one_that_orders() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    let flags = ["--acme", "broker.test", "--acme_http_port", &http_port(&pebble)];
    let one = start(&pebble, &flags);
    let certificate = view::wait_for_new(one.address, None);
    // Validators do not come to the other one.
    let flags: Vec<String> = pebble.flags();
    let flags = flags
        .iter()
        .map(String::as_str)
        .map(|flag| if flag == one.address.port().to_string() { "0" } else { flag });
    let flags: Vec<&str> = flags.chain(["--acme", "broker.test", "--acme_http_port", "0"]).collect();
    let mut other = Program::start_command(&mut command(&flags));
    assert_eq!(view::wait_for_new(other.address, None), certificate);
    let log = other.stop().stderr;
    assert!(!log.contains("orders a certificate"), "{log}");
}

#[test]
fn silent_clients_of_the_http_port_hold_up_nobody_for_long() {
    let directory = Directory::new();
    let [port] = free_ports();
    let program = Program::start(&[
        "--acme",
        "broker.test",
        "--acme_http_port",
        &port.to_string(),
        // Nobody listens there.
        "--acme_directory",
        "https://127.0.0.1:1/dir",
        "--data_dir",
        &directory.arg("data"),
    ]);
    let http: SocketAddr = ([127, 0, 0, 1], port).into();
    let silent: Vec<_> = (0..400).map(|_| std::net::TcpStream::connect(http).unwrap()).collect();
    let answer = view::plain(http, "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: broker.test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = view::plain(http, "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert!(answer.contains("location: https://broker.test/\r\n"), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\nHost: broker.test\r\n\r\n", "x".repeat(20_000));
    let answer = view::plain(http, &long);
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    drop((silent, program));
}

#[test]
fn changed_files_are_shown_to_new_clients_and_nobody_is_closed() {
    let directory = Directory::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let [key, cert] = ["key.pem", "cert.pem"].map(|name| directory.at(name));
    fs::copy(fixtures.join("ec-pkcs8.key"), &key).unwrap();
    fs::copy(fixtures.join("ec-chain.pem"), &cert).unwrap();
    let mut program =
        Program::start(&["--sslkey", key.to_str().unwrap(), "--sslcert", cert.to_str().unwrap()]);
    let first = view::shown(program.address).0;
    let mut client = RawClient::connect_tls(program.address, "stays", trusting_everybody());
    client.send_raw(RawClient::handshake("/peerjs?key=peerjs&id=stays&token=t"));
    client.expect_accepted();
    client.expect_open();
    // As certbot does it: another file takes the name.
    for (from, to) in [("rsa-chain.pem", &cert), ("rsa-pkcs8.key", &key)] {
        let new = directory.at("new");
        fs::copy(fixtures.join(from), &new).unwrap();
        fs::rename(new, to).unwrap();
    }
    wait_until("the new certificate", || view::shown(program.address).0 != first);
    client.ping(b"still here");
    assert_eq!(client.expect_pong(), b"still here");
    let log = program.stop().stderr;
    assert_eq!(log.matches("certificate loaded from").count(), 2, "{log}");
}

#[test]
fn flags_that_cannot_go_together_are_named() {
    for (args, words) in [
        (&["--acme", "broker.test"][..], "--acme needs --data_dir"),
        (
            &["--acme", "broker.test", "--data_dir", "d", "--redis", "redis://127.0.0.1"],
            "--acme cannot be used with --redis",
        ),
        (
            &["--acme", "broker.test", "--data_dir", "d", "--sslcert", "c", "--sslkey", "k"],
            "--acme cannot be used with --sslcert",
        ),
        (&["--acme", "*.broker.test", "--data_dir", "d"], "a wildcard needs DNS-01"),
        (&["--acme", "https://broker.test", "--data_dir", "d"], "expected a host name or an IP address"),
        (
            &["--acme", "a.test", "--data_dir", "d", "--acme_directory", "http://ca.test"],
            "expected the https:// URL",
        ),
        (&["--acme", "a.test", "--data_dir", "d", "--port", "80"], "--port and --acme_http_port are both 80"),
    ] {
        let ended = run(args, &[]);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
    let missing = ["config", "check", "--acme", "a.test", "--data_dir", "d", "--acme_ca", "/nothing.pem"];
    let ended = run(&missing, &[]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("cannot use --acme_ca /nothing.pem"), "{}", ended.stderr);
}
