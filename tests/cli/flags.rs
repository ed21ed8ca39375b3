//! Flags and environment.

use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};

use crate::program::{Program, command, run};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_port_may_come_from_the_environment_and_the_flag_beats_it() {
    let host = ("PEERBROKER_HOST", "127.0.0.1");
    for (args, env) in [
        (&[][..], &[host, ("PORT", "0")][..]),
        (&[], &[host, ("PEERBROKER_PORT", "0")]),
        (&[], &[host, ("PEERBROKER_PORT", "0"), ("PORT", "1")]),
        (&["--port", "0"], &[host, ("PEERBROKER_PORT", "1"), ("PORT", "1")]),
    ] {
        let program = Program::start_command(command(args).envs(env.iter().copied()));
        assert_ne!(program.address.port(), 1, "{args:?} {env:?}");
        assert_eq!(program.get("/peerjs/id").status, 200);
    }
}

#[test]
fn the_path_may_come_from_the_environment_and_the_flag_beats_it() {
    for (args, env, path) in [
        (&[][..], &[("PEERSERVER_PATH", "/env")][..], "/env"),
        (&[], &[("PEERSERVER_PATH", "")], ""),
        (&["--path", "/flag/"], &[("PEERSERVER_PATH", "/env")], "/flag"),
        (&[], &[("PEERBROKER_PATH", "/own"), ("PEERSERVER_PATH", "/env")], "/own"),
        (&["--path=x"], &[], "/x"),
    ] {
        let program = Program::start_with_env(args, env);
        assert_eq!(program.get(&format!("{path}/peerjs/id")).status, 200, "{args:?} {env:?}");
        assert_eq!(program.get(&format!("{path}/")).status, 200);
        if !path.is_empty() {
            assert_eq!(program.get("/peerjs/peers").status, 404);
        }
    }
}

/// The variables of all settings.
fn variables() -> Vec<String> {
    let page = include_str!("../../docs/CONFIG.md");
    let flags = page.lines().filter_map(|line| line.strip_prefix("| `--")?.split('`').next());
    let settings = flags.filter(|name| !["help", "version"].contains(name));
    settings.map(|name| format!("PEERBROKER_{}", name.to_uppercase())).collect()
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let variables = variables();
    assert!(variables.len() > 80, "{variables:?}");
    let env: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(run(&["config", "show"], &env).stdout, run(&["config", "show"], &[]).stdout);
}

#[test]
fn a_variable_of_a_file_with_line_breaks_of_windows_is_read() {
    let env = [("PEERBROKER_PORT", "9000\r"), ("PEERBROKER_QUIET", "true\r"), ("PEERSERVER_PATH", "/a\r")];
    let shown = run(&["config", "show"], &env);
    assert_eq!(shown.status.code(), Some(0), "{}", shown.stderr);
    assert!(shown.stdout.iter().any(|line| line.starts_with("path = \"/a\"")), "{:#?}", shown.stdout);
}

#[test]
fn a_host_outside_ascii_is_told_how_browsers_write_it() {
    for (flag, value) in [
        ("--acme", "bücher.example"),
        ("--turn_url", "turn:bücher.example"),
        ("--stun_url", "stun:bücher.example"),
    ] {
        let ended = run(&["config", "check", flag, value], &[]);
        assert!(ended.stderr.contains("xn--"), "{flag}: {}", ended.stderr);
    }
    let shown = run(&["config", "show", "--cors", "https://bücher.example", "http://127.1"], &[]);
    let is_cors = |line: &&String| line.starts_with("cors = ");
    let cors = shown.stdout.iter().find(is_cors).unwrap();
    assert!(cors.contains(r#"["https://xn--bcher-kva.example", "http://127.0.0.1"]"#), "{cors}");
}

#[test]
fn every_setting_may_come_from_its_variable_and_is_shown_with_it() {
    for variable in variables() {
        let ended = run(&["config", "show"], &[(&variable, "\n")]);
        let is_shown = ended.stdout.iter().any(|line| line.ends_with(&format!("# {variable}")));
        // Few settings take a line break, and the error of a configuration file names the file.
        let is_wrong = ended.stderr.starts_with("error: ") && ended.stderr.contains(&variable);
        let is_file = ended.stderr.starts_with("error: cannot read the configuration file");
        assert!(is_shown || is_wrong || is_file, "{variable}: {}", ended.stderr);
    }
}

#[test]
fn key_limit_and_times_are_kept() {
    let args = ["-k", "123", "-c", "2", "-t", "100", "--alive-timeout", "600000"];
    let program = Program::start(&args);
    let mut wrong = program.connect("/peerjs?key=peerjs&id=a&token=t");
    wrong.expect(r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#);
    let mut a = program.connect("/peerjs?key=123&id=a&token=t");
    a.expect_open();
    let _b = program.connect("/peerjs?key=123&id=b&token=t");
    let mut c = program.connect("/peerjs?key=123&id=c&token=t");
    c.expect(r#"{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}"#);
    a.send(r#"{"type":"OFFER","dst":"absent"}"#);
    a.expect(r#"{"type":"EXPIRE","src":"absent","dst":"a"}"#);
}

#[test]
fn a_silent_client_is_cut_off_in_time() {
    let program = Program::start(&["--alive_timeout", "300"]);
    let mut a = program.client("a");
    while let Some(frame) = a.next_frame("pings and the end") {
        match frame.opcode() {
            0x9 => {}
            0x8 => return assert_eq!(frame.payload, b""),
            _ => panic!("{frame:?}"),
        }
    }
    panic!("no close frame");
}

#[test]
fn a_trusted_proxy_says_where_the_client_found_the_server() {
    let headers = "X-Forwarded-Host: broker.test\r\nX-Forwarded-Proto: https\r\n";
    let text = Program::start(&["--proxied"]).request("/nothing", headers).text().to_owned();
    assert!(text.contains("broker.test") && text.contains("secure: true"), "{text}");
    let text = Program::start(&[]).request("/nothing", headers).text().to_owned();
    assert!(!text.contains("broker.test") && !text.contains("secure: true"), "{text}");
}

#[test]
fn ipv4_and_ipv6_are_served_by_default() {
    let mut program = Program::start_command(&mut command(&["--port", "0"]));
    assert_eq!(program.get("/peerjs/id").status, 200);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        TcpStream::connect((Ipv6Addr::LOCALHOST, program.address.port())).expect("IPv6 as well");
    }
    program.stop();
}

#[test]
fn half_a_pair_of_tls_files_ends_with_1() {
    for (flag, missing) in [("--sslkey", "sslcert"), ("--sslcert", "sslkey")] {
        let ended = run(&["--port", "0", flag, &fixture("ec-both.pem")], &[]);
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains(&format!("--{missing} is missing")), "{}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
}

/// `tests/api/tls.rs` has all that may be wrong with them.
#[test]
fn tls_files_that_cannot_be_used_end_with_1_and_are_named() {
    let [key, cert] = ["ec-pkcs8.key", "ec-chain.pem"].map(fixture);
    for (key, cert, named, code) in [
        ("/no/such/key.pem", cert.as_str(), "/no/such/key.pem", 1),
        (&key, "/no/such/cert.pem", "/no/such/cert.pem", 1),
        ("/", &cert, "--sslkey /", 1),
        (&key, "/dev/zero", "--sslcert /dev/zero: it is not a regular file", 1),
        ("", &cert, "--sslkey", 2),
    ] {
        for check in [&[][..], &["config", "check"]] {
            let args = [check, &["--port", "0", "--sslkey", key, "--sslcert", cert]].concat();
            let ended = run(&args, &[]);
            assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", ended.stderr);
            assert!(ended.stderr.contains(named), "{args:?}: {}", ended.stderr);
            assert!(ended.stdout.is_empty(), "{args:?}: {:?}", ended.stdout);
        }
    }
}

#[test]
fn files_of_a_directory_are_served_beside_the_broker() {
    let program = Program::start(&["--static_dir", &fixture("")]);
    assert_eq!(program.get("/make.sh").status, 200);
    assert_eq!(program.get("/peerjs/id").status, 200);
}

#[test]
fn a_directory_that_cannot_be_served_ends_with_1_and_is_named() {
    for path in ["/no/such/directory", &fixture("make.sh")] {
        for check in [&[][..], &["config", "check"]] {
            let ended = run(&[check, &["--port", "0", "--static_dir", path]].concat(), &[]);
            assert_eq!(ended.status.code(), Some(1), "{path}: {}", ended.stderr);
            assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("--static_dir"));
            assert!(ended.stderr.contains(path), "{}", ended.stderr);
            assert!(ended.stdout.is_empty(), "{path}: {:?}", ended.stdout);
        }
    }
    let ended = run(&["config", "check", "--static_dir", &fixture("")], &[]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn a_port_in_use_ends_with_1_and_is_named() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let ended = run(&["--host", "127.0.0.1", "--port", &port], &[]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(&port), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "no start line: {:?}", ended.stdout);
}

#[test]
fn without_the_port_of_its_stun_server_a_relay_starts_and_says_so() {
    const APART: u16 = 5349 - 3478;
    let is_free =
        |port| UdpSocket::bind(("127.0.0.1", port)).and(TcpListener::bind(("127.0.0.1", port))).is_ok();
    let (taken, port) = std::iter::repeat_with(|| {
        let taken = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port() - APART;
        (taken, port)
    })
    .find(|(_, port)| is_free(*port))
    .unwrap();
    let relay = format!("127.0.0.1:{port}");
    let stderr = Program::start(&["--relay", &relay, "--relay_private"]).stop().stderr;
    let at = taken.local_addr().unwrap();
    assert!(stderr.contains(&format!("cannot answer STUN at {at}")), "{stderr}");
}

#[test]
fn a_configuration_can_be_checked_without_taking_the_port() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let args = ["config", "check", "--port", &port, "--sslkey", &key, "--sslcert", &cert];
    let ended = run(&args, &[]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, ["The configuration is valid. No file was read: --config names one."]);
}
