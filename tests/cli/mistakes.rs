//! Beginners' mistakes, made as they make them: `tests/MISTAKES.md` has the table.

use std::fs;
use std::path::Path;

use crate::directory::Directory;
use crate::program::{Ended, Program, command, run};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program that must fail, and returns its one error.
fn error(args: &[&str], env: &[(&str, &str)], code: i32) -> String {
    let ended = run(args, env);
    assert_eq!(ended.status.code(), Some(code), "{args:?} {env:?}: {}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{args:?}: {:?}", ended.stdout);
    assert!(ended.stderr.starts_with("error: "), "{args:?}: {}", ended.stderr);
    ended.stderr
}

fn expect(text: &str, words: &[&str]) {
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
}

/// Starts a server, stops it, and returns its warnings.
fn warnings(args: &[&str], env: &[(&str, &str)]) -> Vec<String> {
    let stderr = Program::start_with_env(args, env).stop().stderr;
    stderr.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect()
}

fn one_warning(args: &[&str], env: &[(&str, &str)], words: &[&str]) {
    let warnings = warnings(args, env);
    assert_eq!(warnings.len(), 1, "{args:?} {env:?}: {warnings:#?}");
    expect(&warnings[0], words);
}

#[test]
fn a_misspelt_flag_or_command_is_suggested() {
    expect(&error(&["--prot", "9000"], &[], 2), &["'--prot'", "similar", "'--port'"]);
    expect(&error(&["keys", "lst"], &[], 2), &["'lst'", "similar", "'list'"]);
}

#[test]
fn a_misspelt_variable_is_suggested() {
    let prot = [("PEERBROKER_PROT", "9000")];
    one_warning(&[], &prot, &["unknown variable PEERBROKER_PROT: did you mean PEERBROKER_PORT?"]);
    let odd = [("PEERBROKER_QQQ\u{1b}", "1")];
    one_warning(&[], &odd, &["unknown variable PEERBROKER_QQQ\\u{1b}: `peerbroker --help`"]);
    let directory = Directory::new();
    let ended = run(&["keys", "add", "--data_dir", &directory.arg("d")], &[("PEERBROKER_DATADIR", "d")]);
    expect(
        &ended.stderr,
        &["warning: unknown variable PEERBROKER_DATADIR: did you mean PEERBROKER_DATA_DIR?"],
    );
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn a_wrong_value_in_a_variable_names_the_variable() {
    for (env, words) in [
        (&[("PEERBROKER_PORT", "x")][..], &["'x' for 'PEERBROKER_PORT'", "0 to 65535"][..]),
        (&[("PORT", "x")], &["'x' for 'PORT'", "0 to 65535"]),
        (&[("PEERSERVER_PATH", "/a b")], &["'/a b' for 'PEERSERVER_PATH'"]),
        (&[("PEERBROKER_PROXIED", "yes")], &["'yes' for 'PEERBROKER_PROXIED'", "true or false"]),
    ] {
        let text = error(&[], env, 2);
        expect(&text, words);
        assert!(!text.contains("--port") && !text.contains("--p "), "{text}");
    }
    // The flag is wrong, whatever the variable says.
    let env = [("PEERBROKER_PORT", "1")];
    for args in [&["--port", "x"][..], &["--port=x"], &["-px"]] {
        expect(&error(args, &env, 2), &["'x' for '--port <PORT>'"]);
    }
    let token = [("PEERBROKER_ADMIN_TOKEN", "short"), ("PEERBROKER_OPS_PORT", "0")];
    expect(&error(&[], &token, 2), &["for 'PEERBROKER_ADMIN_TOKEN'", "openssl rand"]);
    let both = [("PEERBROKER_ADMIN_TOKEN", "a")];
    expect(
        &error(&["--admin_token_file", "f"], &both, 2),
        &["'--admin_token_file <FILE>'", "'PEERBROKER_ADMIN_TOKEN'"],
    );
    let tls = [("PEERBROKER_SSLKEY", "/no/key"), ("PEERBROKER_SSLCERT", "/no/cert")];
    expect(&error(&[], &tls, 1), &["PEERBROKER_SSLCERT /no/cert"]);
}

#[test]
fn a_value_without_its_flag_says_what_to_write() {
    expect(&error(&["9000"], &[], 2), &["unexpected argument '9000'", "'--port 9000'"]);
    let text = error(&["--port", "9100", "extra"], &[], 2);
    expect(&text, &["unexpected argument 'extra'", "every value follows its flag"]);
}

#[test]
fn a_flag_in_front_of_its_command_says_the_order() {
    let text = error(&["--data_dir", "kd", "keys", "list"], &[], 2);
    expect(&text, &["the command 'keys' must come first, as in 'peerbroker keys … --data_dir <DIR>'"]);
}

#[test]
fn a_network_that_is_none_says_how_one_looks() {
    for value in ["10.0.0.0/33", "proxy.example.org"] {
        let text = error(&["--proxied", "--trusted_proxy", value], &[], 2);
        expect(&text, &[&format!("'{value}' for '--trusted_proxy"), "as in 192.0.2.7 or 10.0.0.0/8"]);
    }
    let list = [("PEERBROKER_TRUSTED_PROXY", "10.0.0.0/8,192.0.2.7")];
    expect(&error(&[], &list, 2), &["for 'PEERBROKER_TRUSTED_PROXY'", "by spaces, not by commas"]);
    assert_eq!(
        warnings(&["--proxied", "--trusted_proxy", "192.0.2.7"], &[]),
        [""; 0],
        "an address alone is one"
    );
}

#[test]
fn an_origin_that_no_page_has_says_how_one_looks() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    for (value, words) in [
        ("example.org", "a scheme and a host, as in https://example.org"),
        ("https://example.org/app", "without a path"),
        ("ftp://example.org", "no page has an origin with this scheme"),
        ("wss://example.org", "no page has an origin with this scheme"),
    ] {
        expect(&error(&["--cors", value], &[], 2), &[value, words]);
        expect(&error(&["keys", "add", "--data_dir", &data_dir, "--origin", value], &[], 2), &[value, words]);
    }
    expect(&error(&["--cors", "https://a.test,https://b.test"], &[], 2), &["by spaces, not by commas"]);
    assert!(!Path::new(&data_dir).exists());
}

#[test]
fn one_port_for_clients_and_the_api_says_so() {
    for args in
        [&["--ops_port", "9000"][..], &["--port", "9000", "--ops_port", "9000", "--host", "127.0.0.1"]]
    {
        let text = error(args, &[], 2);
        expect(&text, &["--port and --ops_port are both 9000", "--ops_port 9001"]);
    }
    let env = [("PEERBROKER_OPS_PORT", "9000")];
    expect(&error(&[], &env, 2), &["--port and PEERBROKER_OPS_PORT are both 9000"]);
    // Two addresses of this machine may use one port each.
    let args = ["--check_config", "--port", "9000", "--host", "192.0.2.1", "--ops_port", "9000"];
    assert_eq!(run(&args, &[]).status.code(), Some(0));
}

#[test]
fn a_certificate_of_version_1_says_so_and_how_to_make_another() {
    let args = ["--sslkey", &fixture("ec-sec1.key"), "--sslcert", &fixture("version1.pem")];
    for more in [&[][..], &["--check_config"]] {
        let text = error(&[&args[..], more].concat(), &[], 1);
        expect(
            &text,
            &["version1.pem is an X.509 certificate of version 1", "openssl req -x509", "subjectAltName"],
        );
    }
}

#[test]
fn a_key_of_another_certificate_and_swapped_files_are_told_apart() {
    let (key, cert) = (fixture("rsa-pkcs8.key"), fixture("ec-chain.pem"));
    let text = error(&["--sslkey", &key, "--sslcert", &cert], &[], 1);
    expect(
        &text,
        &["rsa-pkcs8.key is not the key of the first certificate in", "ec-chain.pem", "before its chain"],
    );
    let text = error(&["--sslkey", &cert, "--sslcert", &fixture("ec-sec1.key")], &[], 1);
    expect(&text, &["are --sslkey and --sslcert swapped?"]);
}

/// The warnings about a certificate, at the start and at a check.
fn warnings_of_certificate(name: &str) -> Vec<String> {
    let (key, cert) = (fixture("ec-sec1.key"), fixture(name));
    let args = ["--sslkey", &key, "--sslcert", &cert];
    let checked = run(&[&["--check_config", "--host", "127.0.0.1"], &args[..]].concat(), &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    let warnings = warnings(&args, &[]);
    let text = |line: &str| line.split("] ").nth(1).expect(line).to_owned();
    let (warnings, checked): (Vec<_>, Vec<_>) =
        (warnings.iter().map(|line| text(line)).collect(), checked.stderr.lines().map(text).collect());
    assert_eq!(warnings, checked);
    warnings
}

#[test]
fn a_certificate_that_clients_will_refuse_is_served_with_a_warning() {
    for (name, words) in [
        ("expired.pem", &["expired.pem has expired on 2020-01-02: clients refuse it", "Renew it"][..]),
        (
            "elsewhere.pem",
            &[
                "elsewhere.pem is for elsewhere.test, 192.0.2.1 and for no name of this machine",
                "(localhost, ",
            ],
        ),
        ("nameless.pem", &["nameless.pem has no subjectAltName: browsers refuse it", "-addext"]),
    ] {
        let warnings = warnings_of_certificate(name);
        assert_eq!(warnings.len(), 1, "{name}: {warnings:#?}");
        expect(&warnings[0], words);
    }
    assert_eq!(warnings_of_certificate("ec-chain.pem"), [""; 0]);
}

#[test]
fn a_server_without_any_key_warns() {
    let words = ["no client can connect: --no_default_key", "peerbroker keys add"];
    one_warning(&["--no_default_key"], &[], &words);
    one_warning(&[], &[("PEERBROKER_NO_DEFAULT_KEY", "true")], &["PEERBROKER_NO_DEFAULT_KEY disables"]);
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let args = ["--no_default_key", "--data_dir", &data_dir];
    one_warning(&args, &[], &["no client can connect yet", "has no keys", "peerbroker keys add --data_dir"]);
    assert_eq!(run(&["keys", "add", "--data_dir", &data_dir], &[]).status.code(), Some(0));
    assert_eq!(warnings(&args, &[]), [""; 0]);
}

#[test]
fn a_limit_of_no_clients_warns() {
    one_warning(&["--concurrent_limit", "0"], &[], &["--concurrent_limit 0 refuses every client"]);
}

#[test]
fn a_flag_that_does_nothing_alone_names_the_missing_one() {
    let token = [("PEERBROKER_ADMIN_TOKEN", "a-secret-of-sixteen-or-more")];
    one_warning(&[], &token, &["PEERBROKER_ADMIN_TOKEN does nothing without --ops_port"]);
    let trusted = ["--trusted_proxy", "10.0.0.0/8"];
    one_warning(&trusted, &[], &["--trusted_proxy does nothing without --proxied"]);
}

#[test]
fn a_second_server_on_a_data_directory_warns_that_their_peers_never_meet() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let args = ["--data_dir", data_dir.as_str()];
    let mut first = Program::start(&args);
    one_warning(&args, &[], &["another server uses --data_dir", "their peers never meet"]);
    // The commands edit keys beside a server.
    let Ended { status, stderr, .. } = run(&["keys", "add", "--data_dir", &data_dir], &[]);
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
    // It may have seen the new key, which the audit tells.
    let log = first.stop().stderr;
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    assert_eq!(warnings(&args, &[]), [""; 0], "the first one has ended");
}

#[test]
fn a_check_creates_and_changes_nothing() {
    let directory = Directory::new();
    let (absent, data_dir) = (directory.arg("not/there"), directory.arg("data"));
    let check = |dir: &str| run(&["--check_config", "--data_dir", dir], &[]);
    assert_eq!(check(&absent).status.code(), Some(0));
    assert!(!directory.at("not").exists());

    run(&["keys", "add", "--data_dir", &data_dir], &[]);
    let state = || {
        let entries = fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap());
        let mut state: Vec<_> = entries
            .map(|entry| {
                (
                    entry.file_name(),
                    fs::read(entry.path()).unwrap(),
                    entry.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        state.sort();
        state
    };
    let before = state();
    assert_eq!(check(&data_dir).status.code(), Some(0));
    assert_eq!(state(), before);

    let mut server = Program::start(&["--data_dir", &data_dir]);
    let ended = check(&data_dir);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "beside a server");
    assert_eq!(server.stop().stderr, "");

    let file = directory.file("file", "");
    for (dir, words) in [(directory.arg("file/below"), "Not a directory"), (file, "not a directory")] {
        expect(&error(&["--check_config", "--data_dir", &dir], &[], 1), &[words]);
    }
    fs::write(directory.at("data/peerbroker.db"), "no database").unwrap();
    expect(
        &error(&["--check_config", "--data_dir", &data_dir], &[], 1),
        &["peerbroker.db", "not a database"],
    );
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_named_peerbroker_are_left_alone() {
    let env = [
        ("PEERBROKER_PORT", "tcp://10.0.0.1:9000"),
        ("PEERBROKER_PORT_9000_TCP", "tcp://10.0.0.1:9000"),
        ("PEERBROKER_SERVICE_HOST", "10.0.0.1"),
        ("PORT", "0"),
        ("PEERBROKER_HOST", "127.0.0.1"),
    ];
    let mut program = Program::start_command(command(&[]).envs(env));
    assert_eq!(program.get("/peerjs/id").status, 200);
    assert_eq!(program.stop().stderr, "");
}

#[test]
fn a_host_that_is_no_address_of_this_machine_says_what_to_give() {
    let text = error(&["--host", "192.0.2.123", "--port", "0"], &[], 1);
    expect(&text, &["--host 192.0.2.123", "Give an address of this machine, or leave --host out"]);
    let text = error(&["--host", "2001:db8::1", "--port", "0"], &[], 1);
    expect(&text, &["--host 2001:db8::1", "without IPv6, 0.0.0.0"]);
}
