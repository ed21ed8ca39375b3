//! `--relay` alone: where it listens, the address that clients are told, and the places that say so.

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};
use testkit::ports::free_port;
use testkit::turn_client::{Datagrams, SECRET, TurnClient};

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

/// The lines of `config show` about calls.
fn about_calls(flags: &str) -> String {
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let ended = run(&[&["config", "show"], &flags[..]].concat(), &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{flags:?}");
    let lines = ended.stdout.iter().skip_while(|line| !line.starts_with("# calls: "));
    lines.cloned().collect::<Vec<_>>().join("\n")
}

#[test]
fn relay_and_turn_have_an_address_of_each_family_and_ports_of_their_own() {
    let at_both = "relayed at 203.0.113.1 and 2001:db8::7, UDP and TCP 3478 and 5000";
    let both = "--relay 198.51.100.7 [2001:db8::7]:5000 --relay_public 203.0.113.1";
    for (flags, words) in [
        (both, &*format!("{at_both}; STUN at UDP 5349")),
        (&format!("{both} --turn --turn_ports 50000-59999"), &format!("{at_both}; TURN at UDP and TCP 5349")),
        (
            "--relay 203.0.113.1 --relay_tcp_port 443",
            "relayed at 203.0.113.1, UDP and TCP 3478, TCP 443; STUN at UDP 5349",
        ),
        ("--relay udp://203.0.113.1:0", "relayed at 203.0.113.1, UDP and TCP 0; STUN at UDP 0"),
        ("--relay 203.0.113.1:0 --turn", "relayed at 203.0.113.1, UDP and TCP 0; TURN at UDP and TCP 0"),
        ("--turn 10.0.0.1 [fd00::1]:4000", "TURN at 10.0.0.1 and fd00::1, UDP and TCP 5349 and 4000"),
        // Two servers of one machine get different ports, and no port is out of range.
        ("--relay 10.0.0.1:3479", "relayed at 10.0.0.1, UDP and TCP 3479; STUN at UDP 5350"),
        ("--relay 10.0.0.1:65535", "relayed at 10.0.0.1, UDP and TCP 65535; STUN at UDP 63664"),
    ] {
        assert_eq!(about_calls(flags), format!("# calls: {words}"), "{flags}");
    }
}

#[test]
fn a_relay_without_an_address_is_at_all_of_them_and_clients_are_told_the_best_one() {
    let named = "# calls: relayed at 203.0.113.7, UDP and TCP 3478; STUN at UDP 5349";
    for alone in ["--relay", "--relay=true", "--relay --port 9001"] {
        // A family that the operator does not name has no address.
        assert_eq!(about_calls(&format!("{alone} --relay_public 203.0.113.7")), named);
        assert!(about_calls(alone).contains("UDP and TCP 3478; STUN at UDP 5349"), "{alone}");
    }
    assert!(about_calls("--turn").contains("UDP and TCP 5349"));
    let local = about_calls("--relay --relay_public localhost");
    assert!(local.contains("it serves no browser of another machine"), "{local}");
    let unknown = about_calls("--turn --relay_public broker.invalid");
    assert!(unknown.starts_with("# calls: TURN at "), "something is told meanwhile: {unknown}");
    assert!(unknown.contains("the address of broker.invalid yet"), "{unknown}");

    // Without another word, that of the certificate.
    for (relay, is_asked) in
        [("--relay", true), ("--relay 198.51.100.7", false), ("--relay --relay_public 203.0.113.7", false)]
    {
        let text = about_calls(&format!("{relay} --acme broker.invalid --data_dir /tmp"));
        assert_eq!(text.contains("the address of broker.invalid yet"), is_asked, "{relay}: {text}");
    }
    // Else the address at which clients find the broker itself. Those of a proxy do not come to it.
    let host = "--relay --host 198.51.100.9";
    let expected = "# calls: relayed at 198.51.100.9, UDP and TCP 3478; STUN at UDP 5349";
    assert_eq!(about_calls(host), expected);
    let proxied = about_calls(&format!("{host} --proxied"));
    assert!(!proxied.contains("198.51.100.9"), "{proxied}");
}

#[test]
fn an_address_that_no_machine_has_is_refused() {
    for flags in [
        "--relay_public 224.0.0.1",
        "--relay_public 255.255.255.255",
        "--relay_public 0.0.0.0",
        "--relay_public 0x0",
        "--relay_public 0x7f.1",
        "--relay_public 127.1",
        "--relay_public ff02::1",
        "--relay 224.0.0.1",
        "--turn [ff02::1]:3478",
    ] {
        let flags: Vec<&str> = ["config", "show", "--relay"].into_iter().chain(flags.split(' ')).collect();
        let ended = run(&flags, &[]);
        assert_ne!(ended.status.code(), Some(0), "{flags:?}");
        assert!(ended.stderr.contains("expected "), "{flags:?}: {}", ended.stderr);
    }
}

/// Runs the program in a network of its own, which `begin` makes, and which `later` changes at the first byte
/// on its stdin. `None` if this machine makes no networks.
fn start_in_network(begin: &str, later: &str, flags: &[&str]) -> Option<(Program, ChildStdin)> {
    let may = Command::new("unshare").args(["--net", "ip", "link", "add", "probe", "type", "veth"]).output();
    if !may.is_ok_and(|ended| ended.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "unshare and ip make no networks here");
        return None;
    }
    let program = command(flags);
    let script =
        format!("set -e; ip link set lo up; {begin}; (read -r _ <&3; {later}) & exec \"$0\" \"$@\" 3<&-");
    let mut shell = Command::new("unshare");
    shell.args(["--net", "sh", "-c", &format!("exec 3<&0; {script}")]);
    shell.arg(program.get_program()).args(program.get_args()).stdin(Stdio::piped());
    let (program, stdin) = Program::start_with_stdin(&mut shell);
    Some((program, stdin))
}

/// Networks that the machine has. The kernel says a moment later that such a link is up.
const WIFI: &str = "ip link add wlan0 type veth peer name air; ip addr add 192.168.4.1/24 dev wlan0; ip link set air up; ip link set wlan0 up; until ip link show wlan0 | grep -q 'state UP'; do sleep 0.02; done";

const CABLE: &str = "ip link add eth7 type veth peer name cable; ip addr add 10.7.0.1/24 dev eth7; ip link set cable up; ip link set eth7 up; until ip link show eth7 | grep -q 'state UP'; do sleep 0.02; done";

#[test]
fn in_a_network_without_a_way_out_the_addresses_of_all_interfaces_are_told() {
    let bridge =
        "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up";
    let flags = ["--port", "0", "--relay"];
    for (begin, expected) in [
        (WIFI.to_owned(), &["192.168.4.1"][..]),
        (format!("{bridge}; {WIFI}"), &["192.168.4.1"]),
        (format!("{WIFI}; {CABLE}"), &["192.168.4.1", "10.7.0.1"]),
    ] {
        let Some((mut program, stdin)) = start_in_network(&begin, "true", &flags) else { return };
        // The shell that waits for it has the program's output open.
        drop(stdin);
        let port = program.address.port();
        let lines = program.stop().stdout;
        let network = lines.iter().filter_map(|line| line.trim().strip_prefix("Network: "));
        let network: Vec<String> = network.map(str::to_owned).collect();
        let urls: Vec<String> = expected.iter().map(|ip| format!("http://{ip}:{port}/")).collect();
        assert_eq!(network, urls, "{begin}: {lines:#?}");
        let peer = format!("new Peer({{host: \"{}\"", expected[0]);
        assert!(lines.iter().any(|line| line.contains(&peer)), "{lines:#?}");
        let relay = format!("relayed at {}, ", expected.join(" and "));
        assert!(lines.iter().any(|line| line.contains(&relay)), "{lines:#?}");
    }
}

#[test]
fn an_address_that_changes_or_comes_later_is_told() {
    let flags = ["--port", "0", "--relay"];
    let change = "ip addr add 192.168.7.9/24 dev wlan0; ip addr del 192.168.4.1/24 dev wlan0";
    for (begin, later, told) in [
        (WIFI, change, "192.168.7.9"),
        ("true", WIFI, "192.168.4.1"),
        (WIFI, "ip addr add 203.0.113.9/24 dev wlan0", "203.0.113.9"),
        (WIFI, CABLE, "192.168.4.1 and 10.7.0.1"),
    ] {
        let Some((program, mut stdin)) = start_in_network(begin, later, &flags) else { return };
        stdin.write_all(b"\n").unwrap();
        program.expect_log(&format!("clients find the relay at {told} from now on"));
    }
}

/// A program in the network of another one examines it.
fn examine_in_network(program: &Program) -> String {
    let examiner = command(&["doctor", &program.address.to_string()]);
    let network = format!("--net=/proc/{}/ns/net", program.id());
    let mut inside = Command::new("nsenter");
    let ended = inside.arg(network).arg(examiner.get_program()).args(examiner.get_args()).output().unwrap();
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

#[test]
fn clients_reach_the_relay_at_each_of_several_addresses_and_at_one_of_a_family_that_comes_later() {
    let later = "ip -6 addr add fd00:4::1/64 dev wlan0 nodad";
    let begin = format!("{WIFI}; {CABLE}");
    let Some((program, mut stdin)) = start_in_network(&begin, later, &["--port", "0", "--relay"]) else {
        return;
    };
    let answers = |host: &str| format!("stun:{host}:5349 answers");
    let examined = examine_in_network(&program);
    for host in ["192.168.4.1", "10.7.0.1"] {
        assert!(examined.contains(&answers(host)), "{examined}");
    }
    if !std::path::Path::new("/proc/net/if_inet6").exists() {
        return;
    }
    stdin.write_all(b"\n").unwrap();
    program.expect_log("clients find the relay at 192.168.4.1 and 10.7.0.1 and fd00:4::1 from now on");
    let examined = examine_in_network(&program);
    assert!(examined.contains(&answers("[fd00:4::1]")), "{examined}");
}

/// That of `it_listens_at_all_addresses_and_says_which_one_clients_are_told` is.
#[test]
fn the_port_of_a_broker_that_clients_do_not_come_to_is_not_told() {
    for place in [&["--host", "127.0.0.1"][..], &["--host", "0.0.0.0", "--proxied"]] {
        let relay = ["--port", "0", "--relay", "0.0.0.0:0", "--relay_public", "203.0.113.7"];
        let mut program = Program::start_command(&mut command(&[&relay, place].concat()));
        let lines = program.stop().stdout;
        let told = format!("relayed at 203.0.113.7, UDP and TCP {}; STUN at UDP ", relay_port(&lines));
        assert!(lines.iter().any(|line| line.contains(&told)), "{lines:#?}");
    }
}

#[test]
fn a_server_for_turn_alone_refuses_clients_of_the_broker_with_words() {
    let turn = format!("127.0.0.1:{}", free_port());
    let own = ["--key", "unguessed", "--root_key", "unguessed", "--concurrent_limit", "0"];
    let program = Program::start(&[&["--turn", &turn, "--turn_secret", SECRET], &own[..]].concat());
    let line = Box::new(Datagrams::to(turn.parse().unwrap()));
    TurnClient::allocate_as("9999999999:@u:matrix.test", line).unwrap();
    for (key, words) in
        [("peerjs", "Invalid key provided"), ("unguessed", "Server has reached its concurrent user limit")]
    {
        let mut client = program.connect(&format!("/peerjs?key={key}&id=a&token=t"));
        assert!(client.expect_text().contains(words), "{key}");
    }
    assert_eq!(program.get("/peerjs/ice").status, 401);
}
