//! Beginners' mistakes, made as they make them: `tests/MISTAKES.md` has the table.

mod certificates;
mod hosts;
mod secrets;
mod texts;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt as _, chown};
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
        (&[("PEERBROKER_PATH", "/a b")], &["'/a b' for 'PEERBROKER_PATH'"]),
        (&[("PEERBROKER_PROXIED", "yes")], &["'yes' for 'PEERBROKER_PROXIED'", "true or false"]),
        (&[("PEERBROKER_TRUSTED_PROXY", "10.0.0.0/8,192.0.2.7")], &["by spaces, not by commas"]),
        (&[("RUST_LOG", "verbose")], &["'verbose' for 'RUST_LOG'"]),
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
fn an_origin_that_no_page_has_says_how_one_looks() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    for (value, words) in [
        ("example.org", "a scheme and a host, as in https://example.org"),
        ("https://example.org/app", "without a path"),
        ("ftp://example.org", "no page has an origin with this scheme"),
        ("wss://example.org", "no page has an origin with this scheme"),
    ] {
        expect(&error(&[], &[("PEERBROKER_CORS", value)], 2), &[value, "no browser sends it as an origin"]);
        expect(&error(&["keys", "add", "--data_dir", &data_dir, "--origin", value], &[], 2), &[value, words]);
    }
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
    let relay = error(&["--port", "23478", "--relay", "192.0.2.2:23478"], &[], 2);
    expect(&relay, &["--port and --relay are both TCP port 23478"]);
    let turn = error(&["--port", "0", "--ops_port", "5349", "--ops_host", "::", "--turn"], &[], 2);
    expect(&turn, &["--ops_port and --turn are both TCP port 5349"]);
    // Two addresses of this machine may use one port each.
    let args = ["config", "check", "--port", "9000", "--host", "192.0.2.1", "--ops_port", "9000"];
    assert_eq!(run(&args, &[]).status.code(), Some(0));
}

#[test]
fn files_may_begin_with_a_byte_order_mark() {
    const TOKEN: &str = "a-secret-of-sixteen-or-more";
    let directory = Directory::new();
    let marked = |name: &str, text: &str| directory.file(name, &format!("\u{feff}{text}"));
    let of_fixture = |name: &str| marked(name, &fs::read_to_string(fixture(name)).unwrap());
    let config = format!(
        "sslkey = '{}'\nsslcert = '{}'\nops_port = 0\nadmin_token_file = '{}'\n",
        of_fixture("ec-pkcs8.key"),
        of_fixture("ec-chain.pem"),
        marked("token", TOKEN)
    );
    let mut program = Program::start(&["--config", &marked("p.toml", &config)]);
    let (api, _) = program.expect_api();
    assert_eq!(api.with_token(TOKEN).get("/api/stats").status, 200);
    let url = format!("https://localhost:{}", program.address.port());
    let examined = run(&["doctor", &url, "--ca", &of_fixture("root.pem")], &[]);
    assert_eq!(examined.status.code(), Some(0), "{:?} {}", examined.stdout, examined.stderr);

    let key_set = marked("keys.jwks", &fs::read_to_string(fixture("../jwt/jwks.json")).unwrap());
    let data_dir = directory.arg("data");
    let keys = |args: &[&str]| {
        let ended = run(&[&["keys"], args, &["--data_dir", &data_dir]].concat(), &[]);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        ended.stdout.join("\n")
    };
    keys(&["add", "-k", "a", "--jwks_file", &key_set]);
    keys(&[
        "add",
        "-k",
        "b",
        "--jwt_key_file",
        &marked("ed.pem", &fs::read_to_string(fixture("../jwt/ed.pem")).unwrap()),
    ]);
    let export = marked("export.json", &keys(&["export"]));
    assert_eq!(keys(&["import", "--replace", &export]), "Imported 2 keys.");
}

#[test]
fn a_server_without_any_key_warns() {
    let words = ["no client can connect: PEERBROKER_NO_DEFAULT_KEY disables", "peerbroker keys add"];
    one_warning(&[], &[("PEERBROKER_NO_DEFAULT_KEY", "true")], &words);
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let args = ["--no_default_key", "--data_dir", &data_dir];
    one_warning(&args, &[], &["no client can connect yet", "has no keys", "peerbroker keys add --data_dir"]);
    let check = [&["config", "check"], &args[..]].concat();
    let checked = run(&check, &[]).stdout.concat();
    let advice =
        format!("No client can connect yet: add a key with 'peerbroker keys add --data_dir {data_dir}'.");
    assert!(checked.ends_with(&advice), "{checked}");
    assert_eq!(run(&["keys", "add", "--data_dir", &data_dir], &[]).status.code(), Some(0));
    let checked = run(&check, &[]).stdout.concat();
    assert!(checked.ends_with("has 1 key."), "{checked}");
    assert_eq!(warnings(&args, &[]), [""; 0]);
}

#[test]
fn protocols_that_a_list_leaves_out_are_named_and_a_sign_adds_one_or_takes_it_away() {
    let stderr = |dialects: &str| Program::start(&[&format!("--dialects={dialects}")]).stop().stderr;
    let off = "--dialects peerjs,tracker turns these off: room_codes, calls, topics, nostr, rxdb. To add to the defaults, write --dialects +tracker";
    expect(&stderr("peerjs,tracker"), &[" INFO ", off]);
    assert_eq!(stderr("peerjs,room_codes"), "", "such a list is meant");

    let mut program = Program::start(&["--dialects=+tracker,-calls"]);
    let mut client = program.connect("/");
    client.send(r#"{"action":"announce"}"#);
    assert!(client.expect_text().contains("invalid info_hash"), "the tracker is on");
    client.send(r#"{"type":"ping"}"#);
    client.expect(r#"{"type":"pong"}"#);
    client.send(r#"{"action":"start"}"#);
    let stderr = program.stop().stderr;
    assert!(!stderr.contains("turns these off"), "{stderr}");
    expect(&stderr, &["--dialects +calls turns the protocol of calls on"]);
    let mut program = Program::start(&["--dialects", "-room_codes,-calls"]);
    let mut client = program.connect("/");
    client.send(r#"{"action":"createRoom"}"#);
    client.send(r#"{"type":"ping"}"#);
    client.expect(r#"{"type":"pong"}"#);
    expect(&program.stop().stderr, &["--dialects +room_codes turns the protocol of room codes on"]);
    expect(&error(&["--dialects", "-nostrr"], &[], 2), &["-nostrr", "expected peerjs"]);
    expect(&error(&["--dialects", "+trackr"], &[], 2), &["+trackr", "expected peerjs"]);
}

/// `make lint-features` builds such a program.
#[cfg(not(feature = "nostr"))]
#[test]
fn a_protocol_that_the_build_leaves_out_is_refused_and_its_messages_do_nothing() {
    for dialects in ["nostr", "+nostr"] {
        let words = [dialects, "this program was built without it: enable the feature `nostr` of peerbroker"];
        expect(&error(&["--dialects", dialects], &[], 2), &words);
    }
    let mut program = Program::start(&[]);
    let mut client = program.connect("/");
    client.send(r#"["REQ","s",{"kinds":[20000]}]"#);
    client.send(r#"{"type":"ping"}"#);
    client.expect(r#"{"type":"pong"}"#);
    expect(&program.stop().stderr, &["sent the message \"REQ\" at the root, which does nothing"]);
}

#[test]
fn a_url_or_a_port_in_a_host_is_named() {
    let url = error(&["--host", "http://localhost", "--port", "0"], &[], 1);
    expect(&url, &["--host http://localhost", "It is a URL: --host is its host alone, and --port its port."]);
    let port = error(&["--host", "127.0.0.1:9000"], &[], 1);
    expect(&port, &["The port belongs into --port: --host 127.0.0.1 --port 9000."]);
    let ops = run(&["--port", "0", "--ops_port", "0", "--ops_host", "localhost:9001"], &[]);
    assert_eq!(ops.status.code(), Some(1), "{}", ops.stderr);
    expect(&ops.stderr, &["The port belongs into --ops_port: --ops_host localhost --ops_port 9001."]);
}

#[test]
fn a_url_as_path_is_taken_as_its_path_or_refused() {
    let words =
        [r#"--path "http://localhost/myapp" is a URL, of which only the path is taken: write /myapp"#];
    one_warning(&["--path", "http://localhost/myapp"], &[], &words);
    expect(&error(&[], &[("PEERBROKER_PATH", "http://localhost/myapp")], 2), &["http://localhost/myapp"]);
}

#[test]
fn several_values_with_commas_between_them_say_to_write_spaces() {
    for (args, value) in [
        (&["--acme", "a.example.org,b.example.org"][..], "a.example.org,b.example.org"),
        (&["--stun_url", "stun:a.test, stun:b.test"], "stun:a.test,"),
        (&["--ban", "192.0.2.7,192.0.2.8"], "192.0.2.7,192.0.2.8"),
    ] {
        expect(&error(args, &[], 2), &[value, "separate several by spaces, not by commas"]);
    }
    for wrong in [&["--acme", "a.test,*"][..], &["--ban", "192.0.2.7,until=tomorrow"]] {
        let text = error(wrong, &[], 2);
        assert!(!text.contains("by spaces"), "{text}");
    }
}

#[test]
fn a_redis_of_the_host_that_is_not_used_is_named_with_its_flag() {
    let url = [("REDIS_URL", "redis://:hushhush@redis.internal:6379")];
    let log = Program::start_with_env(&[], &url).stop().stderr;
    expect(&log, &[" INFO ", "REDIS_URL is ignored", "pass the URL in --redis or PEERBROKER_REDIS"]);
    assert!(log.lines().count() == 1 && !log.contains("hushhush"), "{log}");
    let used = run(&["config", "check", "--redis", "redis://localhost"], &url).stderr;
    assert_eq!(used, "");
}

#[test]
fn a_relay_that_cannot_be_bound_has_a_way_out() {
    let nat = error(&["--port", "0", "--relay", "198.51.100.7:0"], &[], 1);
    let way_out = "This machine has no such address. Behind a NAT, leave it out here, and write --relay_public 198.51.100.7";
    expect(&nat, &["cannot relay at 198.51.100.7:0", way_out]);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let in_use = run(&["--port", "0", "--relay", &at], &[]);
    assert_eq!(in_use.status.code(), Some(1), "{}", in_use.stderr);
    expect(&in_use.stderr, &["Another program has the port: is coturn running?"]);
}

#[test]
fn a_relay_at_a_private_address_warns() {
    let args = ["--relay", "0.0.0.0:0", "--relay_public", "192.168.1.9"];
    let words =
        "--relay_public 192.168.1.9 is a private address: only clients of the same network reach the relay";
    one_warning(&args, &[], &[words]);
    let tailscale = ["--relay", "0.0.0.0:0", "--relay_public", "100.64.1.9"];
    assert_eq!(warnings(&tailscale, &[]), [""; 0]);
    let http_only = warnings(&["--proxied", "--relay", "0.0.0.0:0", "--relay_public", "localhost"], &[]);
    expect(
        &http_only.concat(),
        &["if this host passes HTTP only, calls cannot reach the relay: leave --relay and --turn out"],
    );
}

#[test]
fn a_metrics_token_alone_leaves_the_rest_to_local_programs() {
    let token = [("PEERBROKER_METRICS_TOKEN", "a-secret-of-sixteen-or-more")];
    let words =
        "without --admin_token, every program of this machine may use the rest of the API without a token";
    one_warning(&["--ops_port", "0", "--data_dir", &Directory::new().arg("d")], &token, &[words]);
}

#[test]
fn a_password_of_redis_that_is_not_encoded_is_refused() {
    for login in ["u:p#ss", "u:p@s/s", "u:p/ss", ":p?ss"] {
        let url = format!("redis://{login}@localhost:6379");
        let refused = error(&["config", "check", "--redis", &url], &[], 2);
        expect(&refused, &["in a user name, a password or a path, write # as %23, @ as %40"]);
        assert!(!refused.contains("ss@") && !refused.contains("s/s"), "{refused}");
    }
    assert_eq!(
        run(&["config", "check", "--redis", "redis://u:p%40ss@localhost"], &[]).status.code(),
        Some(0)
    );
}

/// `tests/cli/settings.rs` has the others.
#[test]
fn a_flag_that_does_nothing_alone_names_the_missing_one() {
    let token = [("PEERBROKER_ADMIN_TOKEN", "a-secret-of-sixteen-or-more")];
    one_warning(&[], &token, &["PEERBROKER_ADMIN_TOKEN does nothing without --ops_port"]);
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
    let absent = directory.arg("not/there");
    let data_dir = directory.arg("data");
    let check = |dir: &str| run(&["config", "check", "--data_dir", dir], &[]);
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
        expect(&error(&["config", "check", "--data_dir", &dir], &[], 1), &[words]);
    }
    fs::write(directory.at("data/peerbroker.db"), "no database").unwrap();
    expect(
        &error(&["config", "check", "--data_dir", &data_dir], &[], 1),
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
fn variables_that_kubernetes_sets_for_any_service_make_one_line() {
    let env = [
        ("PEERBROKER_PORT", "udp://[fd00:10::1]:3478"),
        ("PEERBROKER_OPS_PORT", "tcp://10.0.0.2:9001"),
        ("PEERBROKER_OPS_SERVICE_HOST", "10.0.0.2"),
        ("PEERBROKER_OPS_SERVICE_PORT", "9001"),
        ("PEERBROKER_OPS_PORT_9001_TCP", "tcp://10.0.0.2:9001"),
        ("PEERBROKER_RELAY_TCP_PORT", "tcp://10.0.0.3:3478"),
        ("PEERBROKER_ACME_HTTP_PORT", "tcp://10.0.0.4:80"),
        ("PEERBROKER_REDIS_SERVICE_HOST", "10.0.0.5"),
        ("PEERBROKER_REDIS_SERVICE_PORT", "6379"),
        ("PEERBROKER_REDIS_SERVICE_PORT_REDIS", "6379"),
        ("PEERBROKER_REDIS_PORT", "tcp://10.0.0.5:6379"),
        ("PEERBROKER_REDIS_PORT_6379_TCP", "tcp://10.0.0.5:6379"),
        ("PEERBROKER_REDIS_PORT_6379_TCP_PROTO", "tcp"),
        ("PEERBROKER_REDIS_PORT_6379_TCP_PORT", "6379"),
        ("PEERBROKER_REDIS_PORT_6379_TCP_ADDR", "10.0.0.5"),
        ("PORT", "0"),
        ("PEERBROKER_HOST", "127.0.0.1"),
    ];
    let mut program = Program::start_command(command(&[]).envs(env));
    assert_eq!(program.get("/peerjs/id").status, 200);
    let log = program.stop().stderr;
    let services = "peerbroker, peerbroker-acme-http, peerbroker-ops, peerbroker-redis, peerbroker-relay-tcp";
    expect(&log, &["ignored the variables that Kubernetes sets for these Services: ", services]);
    assert_eq!(log.lines().count(), 1, "{log}");
    // Beside them, a mistake is still one.
    let mut env = env.to_vec();
    env.push(("PEERBROKER_REDIS_CAA", "x"));
    expect(&run(&["config", "check"], &env).stderr, &["unknown variable PEERBROKER_REDIS_CAA"]);
}

#[test]
fn a_host_that_is_no_address_of_this_machine_says_what_to_give() {
    let text = error(&["--host", "192.0.2.123", "--port", "0"], &[], 1);
    expect(&text, &["--host 192.0.2.123", "Give an address of this machine, or leave --host out"]);
    let text = error(&["--host", "2001:db8::1", "--port", "0"], &[], 1);
    expect(&text, &["--host 2001:db8::1", "without IPv6, 0.0.0.0"]);
    expect(&error(&["--host", "no such host", "--port", "0"], &[], 1), &["no such host"]);
}

/// The error of a configuration file, or its warnings.
fn of_file(text: &str) -> String {
    let directory = Directory::new();
    let file = directory.file("p.toml", text);
    run(&["config", "check", "--config", &file], &[]).stderr
}

#[test]
fn a_check_without_a_file_says_that_it_has_read_none() {
    let checked = run(&["config", "check"], &[]).stdout.concat();
    expect(&checked, &["valid. No file was read: --config names one."]);
    expect(&error(&["--check_config"], &[], 2), &["'peerbroker config check' checks the flags"]);
    expect(
        &run(&["config", "check", "-h"], &[]).stdout.join("\n"),
        &["Usage: peerbroker config check --config <FILE>"],
    );
    expect(&error(&["config", "check", "p.toml"], &[], 2), &["'p.toml'", "as in '--config p.toml'"]);
    expect(&error(&["p.toml"], &[], 2), &["'p.toml'", "as in '--config p.toml'"]);
}

#[test]
fn words_of_other_programs_say_what_to_write() {
    for args in [&["serve"][..], &["start", "--port", "9000"], &["--port", "9000", "run"]] {
        expect(
            &error(args, &[], 2),
            &["the server starts without a command, as in 'peerbroker --port 9000'"],
        );
    }
    for flag in ["--verbose", "--debug", "-v"] {
        expect(&error(&[flag], &[], 2), &[flag, "'--log debug' makes the log longer"]);
    }
    for (args, words) in [
        (&["-port", "9000"][..], "'-port': a long flag has two hyphens, as in '--port'"),
        (&["-host=127.0.0.1"], "as in '--host=127.0.0.1'"),
        (&["keys", "list", "-data-dir", "d"], "as in '--data-dir'"),
    ] {
        expect(&error(args, &[], 2), &[words]);
    }
    for (args, words) in [
        (&["help"][..], "Usage: peerbroker"),
        (&["help", "keys"], "Usage: peerbroker keys"),
        (&["version"], "peerbroker "),
        (&["--version"], "peerbroker "),
    ] {
        let ended = run(args, &[]);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        expect(&ended.stdout.join("\n"), &[words]);
    }
}

#[test]
fn a_key_of_the_file_or_of_a_flag_says_where_it_is_changed() {
    let directory = Directory::new();
    let data = directory.arg("data");
    let file = directory.file("p.toml", &format!("data_dir = '{data}'\n[[api_key]]\nkey = 'game'\n"));
    let keys = |args: &[&str]| run(&[&["keys"], args, &["--config", &file]].concat(), &[]);
    let added = keys(&["add", "--key", "own"]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    expect(&keys(&["list"]).stdout.join("\n"), &["own"]);
    for args in
        [&["set", "game", "-c", "3"][..], &["disable", "game"], &["remove", "game"], &["show", "game"]]
    {
        let ended = keys(args);
        assert_eq!(ended.status.code(), Some(1), "{args:?}");
        expect(
            &ended.stderr,
            &["no stored key game: it is the [[api_key]] at", "p.toml, line 2. Edit it there"],
        );
    }
    expect(&keys(&["set", "peerjs", "-c", "3"]).stderr, &["it is the key of --key", "flags of the server"]);
    let text = error(&["keys", "show", "game", "--data_dir", &data], &[], 1);
    expect(&text, &["A key of the configuration file is changed there, and --config names the file"]);

    // A server without stored keys.
    let live = directory.file("live.toml", "port = 9000\n\n\n[[api_key]]\nkey = 'game'\n");
    for args in [&["set", "game", "-c", "3"][..], &["remove", "game"], &["token", "list", "game"]] {
        let text = error(&[&["keys"], args, &["--config", &live]].concat(), &[], 1);
        expect(&text, &["no stored key game: it is the [[api_key]] at", "live.toml, line 4. Edit it there"]);
    }
    expect(&error(&["keys", "disable", "peerjs"], &[], 1), &["it is the key of --key"]);
    expect(
        &error(&["keys", "set", "other", "-c", "3", "--config", &live], &[], 2),
        &["--data_dir is missing"],
    );

    // Two places.
    let text = error(&["keys", "list", "--redis", "redis://127.0.0.1", "--data_dir", &data], &[], 2);
    expect(&text, &["keys are stored in one place: leave --redis or --data_dir out"]);
}

#[test]
fn a_data_directory_that_keys_make_is_named() {
    let directory = Directory::new();
    let data_dir = directory.arg("wrong");
    let add = || run(&["keys", "add", "--data_dir", &data_dir], &[]).stderr;
    expect(&add(), &[&format!("Created --data_dir {data_dir}: the server accepts its keys if")]);
    assert_eq!(add(), "");
}

#[test]
fn keys_that_root_adds_belong_to_the_owner_of_the_data_directory() {
    const OWNER: u32 = 12345;
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    fs::create_dir(&data_dir).unwrap();
    if chown(&data_dir, Some(OWNER), Some(OWNER)).is_err() {
        // Only root meets the mistake.
        return;
    }
    assert_eq!(run(&["keys", "add", "--data_dir", &data_dir], &[]).status.code(), Some(0));
    for entry in fs::read_dir(&data_dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), OWNER, "{:?}", entry.file_name());
    }
}

#[test]
fn a_server_that_does_not_share_its_port_says_so_to_the_next_one() {
    let first = Program::start(&[]);
    let port = first.address.port().to_string();
    let text = error(&["--host", "127.0.0.1", "--port", &port, "--reuse_port"], &[], 1);
    expect(&text, &[&format!("port {port} is in use"), "only if it was started with --reuse_port too"]);
}

#[test]
fn a_setting_that_has_no_effect_or_too_much_is_named() {
    for (args, words) in [
        (
            &["--ban", "192.0.2.7/24,until=2999-01-01T00:00:00Z"][..],
            "--ban 192.0.2.7/24 is all of 192.0.2.0/24",
        ),
        (
            &["--proxied", "--trusted_proxy", "10.0.0.1/8"],
            "10.0.0.0/8: write that, or 10.0.0.1 for this address alone",
        ),
        (
            &["--ban", "192.0.2.0/24,until=2020-01-01T00:00:00Z"],
            "it is over, so it bans nobody: leave it out",
        ),
        (&["--ban", "192.0.2.1,key=nope"], "--ban 192.0.2.1,key=nope bans nobody: there is no key \"nope\""),
        (
            &["--proxied", "--relay_tcp_port", "443"],
            "--relay_tcp_port 443 with --proxied: clients try the relay there in vain",
        ),
        (&["--call_reports"], "--call_reports does nothing without --ops_port or --webhook"),
    ] {
        let found = warnings(args, &[]);
        assert_eq!(found.iter().filter(|warning| warning.contains(words)).count(), 1, "{args:?}: {found:#?}");
    }
    let fine = ["--ban", "192.0.2.1,key=peerjs", "--ban", "192.0.2.0/24", "--call_reports=false"];
    assert_eq!(warnings(&fine, &[]), [""; 0]);
    let webhook = [
        "config",
        "check",
        "--webhook",
        "https://a.test/",
        "--webhook_secret",
        "whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=",
    ];
    expect(&run(&webhook, &[]).stderr, &[" INFO ", "--webhook gets all events but these", "peer.wanted"]);
    let named = [&webhook[..], &["--webhook_events", "peer.connected"]].concat();
    assert_eq!(run(&named, &[]).stderr, "");
}

#[test]
fn private_rooms_without_a_proof_are_named() {
    let directory = Directory::new();
    let add = ["keys", "add", "--key", "k", "--data_dir", &directory.arg("data"), "--private_rooms"];
    expect(&run(&add, &[]).stderr, &["nobody can enter a room", "without --auth"]);
    let file = directory.file("p.toml", "[[api_key]]\nkey = 'k'\nprivate_rooms = true\n");
    one_warning(&["--config", &file], &[], &["the [[api_key]] \"k\": nobody can enter a room"]);
}

#[test]
fn values_that_peerjs_server_starts_with_are_taken_with_a_warning() {
    for (args, words) in [
        (
            &["--cors", "example.org"][..],
            &["no browser sends it as an origin: write https://example.org"][..],
        ),
        (&["--cors", "localhost:3000"], &["write http://localhost:3000"]),
        (&["--cors", "https://example.org/app"], &["write https://example.org"]),
        (
            &["--cors", "https://a.test,https://b.test"],
            &["by spaces, not by commas: write https://a.test https://b.test"],
        ),
        (
            &["--cors", "c1a70bd8-3b57-4d4e-8a4b-2f6ed9dbb9f8"],
            &["a scheme and a host, as in https://example.org"],
        ),
        (&["--expire_timeout", "soon"], &["\"soon\" is no time, so the default of 5000 is active"]),
        (&["-t", "0"], &["--expire_timeout \"0\" is less than a millisecond", "expire at once"]),
        (&["--alive_timeout", "2500.5"], &["is taken as 2501: write a whole number"]),
        (&["--alive_timeout=never"], &["the default of 60000 is active"]),
        (&["--concurrent_limit", "many"], &["is no number, so there is no limit"]),
        (&["--proxied", "yes"], &["is taken as true"]),
        (&["--allow_discovery=off"], &["is taken as false"]),
        (&["--allow_discovery", "nearby"], &["is no word of this flag, which is off: write near"]),
        (&["--allow_discovery", "Near"], &["is no word of this flag, which is off: write near"]),
        (&["--proxied", "maybe"], &["\"maybe\" is neither true nor false, so the flag is off"]),
        (&["--path", "/a b"], &["clients need path: '/a%20b'"]),
        (&["--path", "http://localhost:9000/myapp"], &["of which only the path is taken: write /myapp"]),
        (&["--path", "https://localhost"], &["of which only the path is taken: write /"]),
        (&["--key", ""], &["is empty, so the key is peerjs"]),
        (&["--key", "--allow_discovery"], &["is empty, so the key is peerjs"]),
        (&["--expire_timeout"], &["is no time, so the default of 5000 is active"]),
    ] {
        one_warning(args, &[], words);
    }
    let fine = ["null", "https://*.a.test", "app://.", "capacitor://localhost", "file://"];
    assert_eq!(warnings(&[&["--cors"], &fine[..]].concat(), &[]), [""; 0]);
    let mut program = Program::start_command(command(&["--host", "127.0.0.1"]).env("PORT", "0abc"));
    assert_eq!(program.get("/peerjs/id").status, 200);
    expect(&program.stop().stderr, &["PORT \"0abc\" is taken as 0"]);
    // Other sources and flags of our own have no such past.
    expect(&error(&["--drain_timeout", "soon"], &[], 2), &["'soon' for '--drain_timeout"]);
    expect(
        &error(&[], &[("PEERBROKER_ALIVE_TIMEOUT", "soon")], 2),
        &["'soon' for 'PEERBROKER_ALIVE_TIMEOUT'"],
    );
    expect(
        &of_file("cors = 'example.org'"),
        &["error: ", "line 1)': it lets no page read answers", "write https://example.org"],
    );
}

#[test]
fn a_value_of_cors_is_compared_exactly() {
    let program = Program::start(&["--cors", "first", "--cors", "*.example.org", "null"]);
    for (origin, is_allowed) in [
        ("first", true),
        ("*.example.org", true),
        ("null", true),
        ("a.example.org", false),
        ("https://first", false),
    ] {
        let response = program.request("/peerjs/id", &format!("Origin: {origin}\r\n"));
        let allowed = response.header("access-control-allow-origin");
        assert_eq!((response.status, allowed.as_deref()), (200, is_allowed.then_some(origin)), "{origin}");
    }
    program.client("a");
    let program = Program::start(&["--cors", "http://first", "*"]);
    let response = program.request("/peerjs/id", "Origin: http://another\r\n");
    assert!(response.header("access-control-allow-origin").is_some(), "the star is for all");
}
