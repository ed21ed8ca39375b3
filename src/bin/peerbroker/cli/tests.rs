//! Tests of the table of settings, and of what becomes of flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, fs};

use peerbroker::config::TurnConfig;
use peerbroker::{Config, Listen};

use super::row::ALL_NODES;
use super::table::ROWS;
use super::*;
use crate::stored_keys::StoredKeys;

/// The flags, without the environment.
pub(crate) fn parsed(args: &[&str]) -> Cli {
    try_parsed(args).unwrap()
}

fn try_parsed(args: &[&str]) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = [&["peerbroker"], args].concat().into_iter().map(OsString::from).collect();
    Cli::of(&args, |_| None)
}

/// The command line of some words.
fn line(words: &str) -> Result<Cli, clap::Error> {
    try_parsed(&words.split_whitespace().collect::<Vec<_>>())
}

fn settings(words: &str) -> Settings {
    line(words).unwrap().settings().unwrap()
}

/// The error of a combination of flags, each of which is fine.
fn error(words: &str) -> Failure {
    line(words).unwrap().settings().err().expect(words)
}

#[test]
fn the_flags_are_consistent() {
    help::command(&[]).debug_assert();
}

#[test]
fn the_names_in_rows_are_those_of_rows() {
    let has = |name: &str| ROWS.iter().any(|row| row.name == name);
    for row in ROWS.iter() {
        assert!(row.excludes.iter().chain(&row.with).all(|name| has(name)), "{}", row.name);
        for name in row.names() {
            let names = ROWS.iter().flat_map(|other| other.names());
            assert_eq!(names.filter(|other| *other == name).count(), 1, "{name}");
        }
    }
}

#[test]
fn values_may_have_units() {
    for (flag, text, plain) in [
        ("expire_timeout", "10s", "10000"),
        ("expire_timeout", "500ms", "500"),
        ("room_code_timeout", "2 m", "120000"),
        ("alive_timeout", "1h", "3600000"),
        ("turn_ttl", "2h", "7200"),
        ("registration_ttl", "48h", "2"),
        ("queue_bytes", "2MiB", "2097152"),
        ("queue_bytes", "64KiB", "65536"),
        ("max_message_bytes", "1MB", "1000000"),
        ("relay_bytes_per_second", "10Mbit/s", "1250000"),
        ("relay_bytes_per_second", "1MB/s", "1000000"),
    ] {
        let cli = parsed(&[&format!("--{flag}={text}")]);
        let effective = cli.effective();
        let shown = effective.iter().find(|setting| setting.row.name == flag).unwrap();
        assert_eq!(shown.values, [plain], "{flag} {text}");
    }
    for (flag, text, accepted) in [
        ("reclaim_timeout", "10x", "500ms, 10s, 2m, 1h or 7d"),
        ("ping_interval", "1KiB", "milliseconds from 1 to"),
        ("registration_ttl", "36h", "days of 0 or more"),
        ("turn_ttl", "500ms", "seconds from 1 to"),
        ("queue_bytes", "10s", "64KiB, 2MiB or 1MB"),
        ("relay_bytes_per_second", "1MB", "10Mbit/s or 1MB/s"),
        ("relay_bytes_per_second", "100Gbit/s", "bytes per second of 0 or more"),
        ("queue_messages", "10k", "a whole number of 0 or more"),
    ] {
        let error = try_parsed(&[&format!("--{flag}={text}")]).err().expect(text).to_string();
        let words = format!("invalid value '{text}' for '--{flag} <");
        assert!(error.contains(&words) && error.contains(accepted), "{error}");
    }
}

/// The table of flags in `docs/CONFIG.md`.
fn markdown() -> String {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let rows = ROWS.iter().map(|row| {
        let short = row.short.map(|short| format!(", `-{short}`")).unwrap_or_default();
        let default = code(&row.default(&mut Draft::default()).unwrap_or_default());
        let has_unit = matches!(row.value_name, "MS" | "S" | "DAYS" | "BYTES" | "BYTES/S");
        let unit = has_unit.then(|| row.value_name.to_lowercase());
        let live = row.is_live.then(|| "live".to_owned());
        let scope = (row.scope != ALL_NODES).then(|| row.scope.to_owned());
        let kind: Vec<String> = [unit, live, scope].into_iter().flatten().collect();
        let more = if row.more.is_empty() { String::new() } else { format!(". {}", row.more) };
        let (name, help, kind) = (row.name, row.help, kind.join(", "));
        format!("| `--{name}`{short} | {default} | {kind} | {help}{more} |\n")
    });
    let head = "| Flag | Default | Unit, live, scope | |\n|---|---|---|---|\n".to_owned();
    let others = "\
        | `--check_config` | | | Check the flags, the TLS files, the stored keys and --static_dir, and exit. Changes nothing; does not try the port |\n\
        | `--help`, `-h` | | | Print the flags; `-h` is shorter |\n\
        | `--version`, `-V` | | | Print the version |\n";
    rows.fold(head, |text, row| text + &row) + others
}

/// With `UPDATE=1`, writes it.
#[test]
fn the_table_of_flags_in_the_docs_is_that_of_the_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIG.md");
    let page = fs::read_to_string(path).unwrap();
    let start = page.find("| Flag | Default |").unwrap();
    let end = page[start..].find("\n\n").map_or(page.len(), |end| start + end + 1);
    if env::var_os("UPDATE").is_some() {
        fs::write(path, [&page[..start], &markdown(), &page[end..]].concat()).unwrap();
    } else {
        assert_eq!(page[start..end], markdown(), "UPDATE=1 writes docs/CONFIG.md");
    }
}

#[test]
fn the_defaults_shown_are_those_of_the_library() {
    let Settings { config, listen, cluster, calls, stored_keys } = settings("--port 9000 --path /");
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(format!("{listen:?}"), format!("{:?}", Listen::default()));
    assert_eq!((cluster, calls.is_empty()), (None, true));
    assert!(stored_keys == StoredKeys::InMemory);
}

#[test]
fn ice_servers_are_told_with_a_secret_and_a_weak_one_warns() {
    let secret = "0123456789abcdef0123456789abcdef";
    let urls = "--stun_url stun:a.test stun:b.test --turn_url turn:a.test --turn_url turns:b.test:443";
    let told = settings(&format!("{urls} --turn_secret {secret} --turn_ttl 60"));
    assert_eq!(told.config.ice.stun_urls, ["stun:a.test", "stun:b.test"]);
    assert_eq!(told.config.ice.turn_urls, ["turn:a.test", "turns:b.test:443"]);
    assert_eq!(told.config.ice.turn_secret.as_ref().map(|secret| secret.as_str()), Some(secret));
    assert_eq!(told.config.ice.ttl.as_secs(), 60);
    assert_eq!(told.warnings(), None);
    let warning = settings("--turn_url turn:a.test --turn_secret north").warnings().unwrap();
    assert!(warning.contains("is short") && !warning.contains("north"));
}

#[test]
fn a_turn_server_without_a_secret_and_a_secret_that_none_can_have_are_errors() {
    for (args, words, code) in [
        ("--turn_url turn:a.test", "--turn_url needs --turn_secret or --turn_secret_file", 2),
        ("--turn_secret_file Cargo.toml", "invalid value for '--turn_secret_file': a secret has", 1),
        ("--turn_secret_file /nowhere/secret", "cannot read --turn_secret_file /nowhere/secret", 1),
    ] {
        let error = error(args);
        assert!(error.text.contains(words) && error.exit_code == code, "{error:?}");
    }
    let error = try_parsed(&["--turn_secret", "two words"]).err().unwrap().to_string();
    assert!(error.contains("invalid value for '--turn_secret <SECRET>': a secret has"), "{error}");
    assert!(!error.contains("two words"), "{error}");
}

#[test]
fn the_relay_has_an_address_of_each_family_and_a_port_of_its_own() {
    let relay = |flags: &str| settings(flags).calls.relay.unwrap();
    let found = relay("--relay 198.51.100.7 [2001:db8::7]:5000 --relay_public 203.0.113.1");
    assert_eq!(texts(&found.listen), ["198.51.100.7:3478", "[2001:db8::7]:5000"]);
    assert_eq!((texts(&found.public), found.private), (vec!["203.0.113.1".to_owned()], false));
    assert!(found.tcp && !relay("--relay 127.0.0.1 --relay_tcp=false").tcp);
    assert_eq!(texts(&relay("--relay udp://127.0.0.1:0 --relay_private").listen), ["127.0.0.1:0"]);
    for (flags, words) in [
        ("--relay 10.0.0.1 10.0.0.2", "takes one IPv4 address"),
        ("--relay_public 10.0.0.1", "--relay_public needs --relay or --turn"),
        ("--relay --relay_public a.test b.test", "--relay_public takes one host name"),
        ("--relay --relay_public 10.0.0.1 10.0.0.2", "--relay_public takes one host name"),
        ("--relay_private", "--relay_private needs --relay or --turn"),
    ] {
        assert!(error(flags).text.contains(words), "{flags}");
    }
    for wrong in ["example.org", "10.0.0.1:", "10.0.0.1:99999", "tcp://10.0.0.1"] {
        assert!(line(&format!("--relay {wrong}")).is_err(), "{wrong}");
    }
    for wrong in ["0.0.0.0", "10.0.0.1:3478", "10.0.0.256", "a..test", "https://a.test"] {
        assert!(line(&format!("--relay --relay_public {wrong}")).is_err(), "{wrong}");
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

#[test]
fn a_relay_without_an_address_is_at_all_of_them_and_clients_are_told_the_best_one() {
    let calls = |flags: &str| {
        let mut calls = settings(flags).calls;
        let warnings = calls.find_addresses().join("\n");
        (calls, warnings)
    };
    for alone in ["--relay", "--relay=true", "--relay --port 9001"] {
        let listen = settings(alone).calls.relay.unwrap().listen;
        assert_eq!(texts(&listen), ["0.0.0.0:3478", "[::]:3478"], "{alone}");
    }
    assert_eq!(texts(&settings("--turn").calls.turn.unwrap().listen), ["0.0.0.0:5349", "[::]:5349"]);

    // The operator's word wins, and a family that he does not name has no address.
    let (named, warnings) = calls("--relay --relay_public 203.0.113.7");
    let relay = named.relay.as_ref().unwrap();
    assert_eq!(texts(&relay.listen), ["0.0.0.0:3478"]);
    assert_eq!((texts(&relay.public), relay.private), (vec!["203.0.113.7".to_owned()], false));
    assert_eq!(warnings, "");
    let words = |broker: &str, proxied| named.words(broker.parse().ok(), proxied).unwrap();
    let at = "relayed at 203.0.113.7, UDP and TCP 3478";
    assert_eq!(words("[::]:9000", false), format!("{at}, TCP 9000; STUN at UDP 5349"));
    assert_eq!(words("127.0.0.1:9000", false), format!("{at}; STUN at UDP 5349"));
    assert_eq!(words("[::]:9000", true), format!("{at}; STUN at UDP 5349"));

    // A name is looked up, and clients of a private address are served there.
    let (local, warnings) = calls("--relay --relay_public localhost");
    let relay = local.relay.unwrap();
    assert!(relay.private && relay.public.iter().all(|ip| ip.is_loopback()), "{relay:?}");
    assert!(warnings.contains("it serves no browser of another machine"), "{warnings}");
    let (unknown, warnings) = calls("--turn --relay_public broker.invalid");
    assert!(warnings.contains("the address of broker.invalid yet"), "{warnings}");
    assert!(!unknown.turn.unwrap().public.is_empty(), "something is told meanwhile");

    // Without another word, that of the certificate, but not where the operator has named the address.
    let names = |relay: &str| settings(&format!("{relay} --acme broker.invalid --data_dir /tmp")).calls.names;
    assert_eq!(names("--relay"), ["broker.invalid"]);
    assert!(names("--relay 198.51.100.7").is_empty());
    assert!(names("--relay --relay_public 203.0.113.7").is_empty());

    // Else the address at which clients find the broker itself.
    let host = "--relay --host 198.51.100.9";
    assert_eq!(texts(&calls(host).0.relay.unwrap().public), ["198.51.100.9"]);
    let proxied = settings(&format!("{host} --proxied")).calls;
    assert_eq!(proxied.host, None, "those of a proxy do not come to it");

    // The interface that leads out may have a private address: then the log says for whom that is enough.
    let (own, warnings) = calls("--relay");
    let is_private = own.relay.unwrap().private;
    assert_eq!(is_private, warnings.contains("--relay_public"), "{warnings}");
}

#[test]
fn turn_has_the_addresses_of_the_relay_and_a_port_of_its_own() {
    let turn = |flags: &str| settings(flags).calls.turn.unwrap();
    let at = |flags: &str| texts(&turn(flags).listen);
    let relay = "--relay 198.51.100.7 [2001:db8::7]:5000";
    assert_eq!(at(relay), ["198.51.100.7:5349", "[2001:db8::7]:5349"]);
    assert!(turn(relay).only_stun, "a relay brings a STUN server");
    let both = format!("{relay} --turn --turn_ports 50000-59999 --relay_public 203.0.113.1");
    assert_eq!(at(&both), ["198.51.100.7:5349", "[2001:db8::7]:5349"]);
    let TurnConfig { public, only_stun, ports, private, loopback, .. } = turn(&both);
    assert_eq!(texts(&public), ["203.0.113.1"]);
    assert_eq!((only_stun, ports, private, loopback), (false, Some(50_000..=59_999), false, false));
    assert_eq!(at("--turn 10.0.0.1 [fd00::1]:4000"), ["10.0.0.1:5349", "[fd00::1]:4000"]);
    assert_eq!(at("--relay 127.0.0.1:0 --turn"), ["127.0.0.1:0"]);
    // Two servers of one machine get different ports, and no port is out of range.
    assert_eq!(at("--relay 10.0.0.1:3479"), ["10.0.0.1:5350"]);
    assert_eq!(at("--relay 10.0.0.1:65535"), ["10.0.0.1:63664"]);
    assert!(turn("--turn 10.0.0.1 --relay_private").private, "without a relay too");
    for (flags, words) in [
        ("--turn 10.0.0.1 10.0.0.2", "--turn takes one IPv4 address"),
        ("--turn auto 10.0.0.2", "--turn takes one IPv4 address"),
        ("--turn_ports 5000-6000", "--turn_ports needs --turn"),
        ("--relay 10.0.0.1 --turn 10.0.0.1:3478", "have the same port"),
    ] {
        assert!(error(flags).text.contains(words), "{flags}");
    }
    for wrong in ["--turn example.org", "--turn_ports 80-90", "--turn_ports 6000-5000", "--turn_ports 5000"] {
        assert!(line(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_form_of_a_flag_that_the_reference_takes_is_taken() {
    for form in ["-p9001", "-p 9001", "-p=9001", "--port=9001", "--port 9001"] {
        assert_eq!(settings(form).listen.port, 9001, "{form:?}");
    }
    let all = settings(
        "-H 127.0.0.1 -k 123 --path /x/ -t 1 --alive-timeout 2 -c 3 --allow_discovery --proxied true \
         --cors http://a http://b --cors=http://c --sslkey k --sslcert c",
    );
    assert_eq!(all.config.key.as_str(), "123");
    assert_eq!(all.config.cors, ["http://a", "http://b", "http://c"].map(|text| text.parse().unwrap()));
    assert_eq!(settings("--cors http://a *").config.cors, []);
    assert!(all.config.key_settings.allow_discovery && all.config.proxied);
    for (form, is_on) in [
        ("--allow-discovery", true),
        ("--allow_discovery true", true),
        ("--allow_discovery=true", true),
        ("--allow_discovery false", false),
        ("", false),
    ] {
        assert_eq!(settings(form).config.key_settings.allow_discovery, is_on, "{form:?}");
    }
    assert_eq!(all.config.key_settings.concurrent_limit, 3);
    assert_eq!(all.config.path.shown(), "/x");
}

#[test]
fn keys_may_come_from_a_directory_alone() {
    let Settings { config, stored_keys, .. } = settings("--data-dir data --no_default_key");
    assert!(stored_keys == StoredKeys::Directory(PathBuf::from("data")) && !config.default_key);
    assert!(settings("--no_default_key=false").config.default_key);
}

#[test]
fn a_wrong_value_names_its_flag_and_what_is_accepted() {
    let long = "k".repeat(129);
    const NUMBER: &str = "whole number";
    for (flag, values, accepted) in [
        ("--port", &["65536", "x", "-1", ""][..], "0 to 65535"),
        ("--ping_interval", &["soon", "-3"], "milliseconds"),
        ("--probe_timeout", &[""], "milliseconds"),
        ("--reclaim_timeout", &["soon"], "milliseconds"),
        ("--room_code_timeout", &["0"], "milliseconds"),
        ("--room_codes", &["-1"], NUMBER),
        ("--queue_messages", &["x"], NUMBER),
        ("--connections_per_address", &["-1", "x", "", "1.5", "4294967296"], NUMBER),
        ("--opens_per_second_per_address", &["-1", "x", "", "0.5", "4294967296"], NUMBER),
        ("--messages_per_second", &["-1", "x", "", "0.5", "4294967296"], NUMBER),
        ("--registrations_per_day", &["-1", "x", "", "1.5", "4294967296"], NUMBER),
        ("--registration_limit", &["-1", "x", "", "1.5"], NUMBER),
        ("--registration_ttl", &["-1", "x", "", "1.5", "4294967296"], "days"),
        ("--registration", &["true", "Open", "", "yes"], "open"),
        ("--trusted_proxy", &["x", "", "10.0.0.0/33", "10.0.0.0/", "300.0.0.0/8", "::/129"], "network"),
        ("--reuse_port", &["maybe", "2"], "true or false"),
        ("--relay_private", &["maybe"], "true or false"),
        ("--log_format", &["xml"], "json"),
        ("--root_key", &[""], "1 to 128 bytes"),
        ("--key", &[&long, "a\nb"], "1 to 128 bytes"),
        ("--max_message_bytes", &["0"], "1 or more"),
        ("--workers", &["9999"], ""),
    ] {
        for value in values {
            let error = try_parsed(&[&format!("{flag}={value}")]).err().expect(flag);
            let text = error.to_string();
            assert!(text.contains(flag) && text.contains(accepted), "{flag}={value}: {text}");
            assert_eq!(error.exit_code(), 2, "{flag}={value}");
        }
    }
}
