//! `--relay` alone: where it listens, the address that clients are told, and the places that say so.

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};

use crate::directory::Directory;
use crate::http_client::HttpConnection;
use crate::program::{Program, command, run};

/// The port of the relay in the lines of a program that has started.
fn relay_port(lines: &[String]) -> u16 {
    let line = lines.iter().find_map(|line| line.trim().strip_prefix("Calls:")).expect("a line about calls");
    let (_, port) = line.split_once("UDP and TCP ").expect("its ports");
    port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Loopback has a whole network of addresses, so others than the one that clients are told can be tried.
#[test]
fn it_listens_at_all_addresses_and_says_which_one_clients_are_told() {
    let flags = ["--port", "0", "--relay", "0.0.0.0:0", "--relay_public", "127.0.0.1"];
    let mut program = Program::start_command(&mut command(&flags));
    program
        .expect_log("clients find the relay at 127.0.0.1 only, so it serves no browser of another machine");
    let broker = program.address.port();
    let landing =
        HttpConnection::open(([127, 0, 0, 1], broker).into()).request("GET", "/", "Accept: text/html\r\n");
    let (_, at) =
        landing.text().split_once("cannot go directly, at 127.0.0.1:").expect("the landing page says it");
    let port: u16 = at.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for address in ["127.0.0.1", "127.0.0.2"] {
        let binding = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
        client.send_to(&binding, (address, port)).unwrap();
        let mut buffer = [0; 512];
        let (length, from) = client.recv_from(&mut buffer).expect(address);
        assert!(Message::from_bytes(&buffer[..length]).unwrap().is_response());
        assert_eq!(from.to_string(), format!("127.0.0.1:{port}"), "the address that clients are told");
        TcpStream::connect((address, port)).expect(address);
    }

    let lines = program.stop().stdout;
    assert_eq!(relay_port(&lines), port);
    let told = format!("Calls:   relayed at 127.0.0.1, UDP and TCP {port}, TCP {broker}; STUN at UDP ");
    assert!(lines.iter().any(|line| line.contains(&told)), "{lines:#?}");
}

#[test]
fn a_file_turns_it_on_and_config_show_says_what_that_means() {
    let directory = Directory::new();
    let file = directory.file("peerbroker.toml", "relay = true\nrelay_public = [\"203.0.113.7\"]\n");
    let text = run(&["config", "show", "--config", &file], &[]).stdout.join("\n");
    assert!(text.contains("relay = [\"all\"]"), "{text}");
    assert!(text.ends_with("# calls: relayed at 203.0.113.7, UDP and TCP 3478; STUN at UDP 5349"), "{text}");
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let program = Program::start(&["--turn", "0.0.0.0:0", "--relay_public", "broker.invalid"]);
    program.expect_log("clients of the relay are not told the address of broker.invalid yet");
}
