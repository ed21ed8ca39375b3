//! Flags and environment.

use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};

use crate::program::{Program, command, run};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_form_of_the_port_is_taken() {
    for form in [&["-p0"][..], &["-p", "0"], &["-p=0"], &["--port=0"], &["--port", "0"]] {
        let mut program = Program::start_command(&mut command(&[form, &["-H", "127.0.0.1"]].concat()));
        assert_eq!(program.get("/peerjs/id").status, 200, "{form:?}");
        assert!(program.stop().status.success());
    }
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
    let settings = flags.filter(|name| !["check_config", "help", "version"].contains(name));
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
fn switches_may_stand_alone_or_be_told_true_or_false() {
    for (args, env, status) in [
        (&["--allow_discovery"][..], &[][..], 200),
        (&["--allow-discovery"], &[], 200),
        (&["--allow_discovery", "true"], &[], 200),
        (&["--allow_discovery=true"], &[], 200),
        (&["--allow_discovery", "false"], &[], 401),
        (&["--allow_discovery", "--proxied"], &[], 200),
        (&[], &[("PEERBROKER_ALLOW_DISCOVERY", "true")], 200),
        (&[], &[], 401),
    ] {
        let program = Program::start_with_env(args, env);
        assert_eq!(program.get("/peerjs/peers").status, status, "{args:?} {env:?}");
    }
}

#[test]
fn origins_may_be_given_in_every_form() {
    for args in [
        &["--cors", "http://a.test", "http://b.test"][..],
        &["--cors", "http://a.test", "--cors", "http://b.test"],
        &["--cors=http://a.test", "--cors=http://b.test"],
    ] {
        let program = Program::start(args);
        for (origin, allowed) in [("http://a.test", true), ("http://b.test", true), ("http://c.test", false)]
        {
            let response = program.request("/peerjs/id", &format!("Origin: {origin}\r\n"));
            assert_eq!(response.header("access-control-allow-origin").is_some(), allowed, "{args:?}");
        }
    }
    let response =
        Program::start(&["--cors", "http://a.test", "*"]).request("/peerjs/id", "Origin: http://b.test\r\n");
    assert_eq!(response.header("access-control-allow-origin").as_deref(), Some("http://b.test"));
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
fn a_wrong_value_ends_with_2_and_names_its_flag() {
    let long = "k".repeat(129);
    for (args, words) in [
        (&["--port", "x"][..], "expected a port from 0 to 65535"),
        (&["--port", "65536"], "expected a port from 0 to 65535"),
        (&["--port=-1"], "expected a port from 0 to 65535"),
        (&["--port="], "expected a port from 0 to 65535"),
        (&["--reclaim_timeout", "soon"], "expected milliseconds from 0"),
        (&["--ping_interval=-3"], "expected milliseconds from 1"),
        (&["--room_code_timeout", "0"], "expected milliseconds from 1"),
        (&["--probe_timeout", ""], "expected milliseconds from 1"),
        (&["--relay_private=maybe"], "expected true or false"),
        (&["--reuse_port=2"], "expected true or false"),
        (&["--key", &long], "1 to 128 bytes"),
        (&["--key", "a\nb"], "1 to 128 bytes"),
        (&["--root_key="], "1 to 128 bytes"),
        (&["--max_message_bytes", "0"], "expected bytes of 1 or more"),
        (&["--queue_messages", "x"], "expected a whole number of 0 or more"),
        (&["--room_codes=-1"], "expected a whole number of 0 or more"),
        (&["--workers", "9999"], "expected a whole number from 0 to 1024"),
        (&["--log_format", "xml"], "expected text or json"),
        (&["--no_such_flag"], "unexpected argument"),
    ] {
        let ended = run(args, &[]);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", ended.stderr);
        let (name, _) = args[0].split_once('=').unwrap_or((args[0], ""));
        assert!(ended.stderr.contains(name) && ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{args:?}: {:?}", ended.stdout);
    }
    for name in ["PORT", "PEERBROKER_PORT", "PEERBROKER_EXPIRE_TIMEOUT"] {
        let ended = run(&[], &[(name, "x")]);
        assert_eq!(ended.status.code(), Some(2), "{name}: {}", ended.stderr);
        let flag = name.replace("PEERBROKER_", "").to_lowercase();
        assert!(ended.stderr.to_lowercase().contains(&flag), "{name}: {}", ended.stderr);
    }
}

#[test]
fn help_and_version_end_with_0() {
    for flag in ["--help", "--version"] {
        let ended = run(&[flag], &[]);
        assert_eq!(ended.status.code(), Some(0));
        assert!(ended.stdout.concat().contains(if flag == "--help" { "--port" } else { "peerbroker" }));
    }
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

#[test]
fn tls_files_that_cannot_be_used_end_with_1_and_are_named() {
    let [key, cert, rsa_key, locked] =
        ["ec-pkcs8.key", "ec-chain.pem", "rsa-pkcs8.key", "ec-passphrase.key"].map(fixture);
    for (key, cert, named) in [
        ("/no/such/key.pem", cert.as_str(), "/no/such/key.pem"),
        (&key, "/no/such/cert.pem", "/no/such/cert.pem"),
        ("/", &cert, "--sslkey /"),
        ("/dev/zero", &cert, "--sslkey /dev/zero: it has more than 1048576 bytes"),
        (&key, "/dev/zero", "--sslcert /dev/zero: it has more than 1048576 bytes"),
        (&cert, &key, "are --sslkey and --sslcert swapped?"),
        (&rsa_key, &cert, "is not the key of the first certificate in --sslcert"),
        (&locked, &cert, "passphrase"),
        ("", &cert, "--sslkey"),
    ] {
        for check in [&[][..], &["--check_config"]] {
            let args = [&["--port", "0", "--sslkey", key, "--sslcert", cert], check].concat();
            let ended = run(&args, &[]);
            let code = ended.status.code();
            assert!(code == Some(1) || key.is_empty() && code == Some(2), "{args:?}: {}", ended.stderr);
            assert!(ended.stderr.contains(named), "{args:?}: {}", ended.stderr);
            assert!(ended.stdout.is_empty(), "{args:?}: {:?}", ended.stdout);
        }
    }
}

#[test]
fn tls_files_that_belong_together_are_served() {
    let (key, cert) = (fixture("ec-sec1.key"), fixture("ec-chain.pem"));
    let mut program = Program::start(&["--sslkey", &key, "--sslcert", &cert]);
    let hint = (program.expect_line(), program.expect_line()).1;
    assert!(hint.contains("secure: true"), "{hint}");
    assert!(program.stop().status.success());
}

#[test]
fn files_of_a_directory_are_served_beside_the_broker() {
    let directory = fixture("");
    for (args, env) in [
        (&["--static_dir", &directory][..], &[][..]),
        (&["--static-dir", &directory], &[]),
        (&[&format!("--static_dir={directory}")], &[("PEERBROKER_STATIC_DIR", "/no/such/directory")]),
        (&[], &[("PEERBROKER_STATIC_DIR", &*directory)]),
    ] {
        let program = Program::start_with_env(args, env);
        assert_eq!(program.get("/make.sh").status, 200, "{args:?} {env:?}");
        assert_eq!(program.get("/peerjs/id").status, 200);
    }
    let program = Program::start_with_env(&[], &[("PEERBROKER_STATIC_DIR", "")]);
    assert_eq!(program.get("/make.sh").status, 404);
}

#[test]
fn a_directory_that_cannot_be_served_ends_with_1_and_is_named() {
    for path in ["/no/such/directory", &fixture("make.sh")] {
        for check in [&[][..], &["--check_config"]] {
            let ended = run(&[&["--port", "0", "--static_dir", path], check].concat(), &[]);
            assert_eq!(ended.status.code(), Some(1), "{path}: {}", ended.stderr);
            assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("--static_dir"));
            assert!(ended.stderr.contains(path), "{}", ended.stderr);
            assert!(ended.stdout.is_empty(), "{path}: {:?}", ended.stdout);
        }
    }
    let ended = run(&["--check_config", "--static_dir", &fixture("")], &[]);
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
fn a_host_that_cannot_be_bound_ends_with_1_and_is_named() {
    for host in ["192.0.2.1", "no such host"] {
        let ended = run(&["--host", host, "--port", "0"], &[]);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(host), "{}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn a_configuration_can_be_checked_without_taking_the_port() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let (key, cert) = (fixture("ec-pkcs8.key"), fixture("ec-chain.pem"));
    let args = ["--check_config", "--port", &port, "--sslkey", &key, "--sslcert", &cert];
    let ended = run(&args, &[]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, ["The configuration is valid. No file was read: --config names one."]);
}
