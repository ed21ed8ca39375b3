//! Settings: the forms of their flags, the values that they take, and combinations of them.

use crate::directory::Directory;
use crate::program::run;

/// The lines of `config show` with these flags.
fn shown(flags: &[&str]) -> Vec<String> {
    let ended = run(&[&["config", "show"], flags].concat(), &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{flags:?}");
    ended.stdout
}

fn expect_shown(flags: &[&str], settings: &[&str]) {
    let shown = shown(flags);
    for setting in settings {
        let line = format!("{setting}  # flag");
        assert!(shown.contains(&line), "{line} with {flags:?} in {shown:#?}");
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn every_form_of_a_flag_that_the_reference_takes_is_taken() {
    for form in ["-p9001", "-p 9001", "-p=9001", "--port=9001", "--port 9001"] {
        expect_shown(&words(form), &["port = 9001"]);
    }
    expect_shown(
        &words(
            "-H 127.0.0.1 -k abc --path /x/ -t 1 --alive-timeout 2 -c 3 --allow_discovery --proxied true \
             --cors http://a http://b --cors=http://c --sslkey k --sslcert c --data-dir d",
        ),
        &[
            "host = \"127.0.0.1\"",
            "key = \"abc\"",
            "path = \"/x\"",
            "expire_timeout = 1",
            "alive_timeout = 2",
            "concurrent_limit = 3",
            "proxied = true",
            "cors = [\"http://a\", \"http://b\", \"http://c\"]",
            "sslkey = \"k\"",
            "sslcert = \"c\"",
            "data_dir = \"d\"",
        ],
    );
    for (form, value) in [
        ("--allow-discovery", "true"),
        ("--allow_discovery", "true"),
        ("--allow_discovery true", "true"),
        ("--allow_discovery=true", "true"),
        ("--allow_discovery=1", "true"),
        ("--allow_discovery false", "false"),
        ("--allow_discovery near", "\"near\""),
        ("--allow_discovery=pin", "\"pin\""),
        ("--allow_discovery --proxied", "true"),
    ] {
        expect_shown(&words(form), &[&format!("allow_discovery = {value}")]);
    }
    expect_shown(&["--no_default_key=false"], &["no_default_key = false"]);
    for filter in ["INFO", "peerbroker", "info,peerbroker_relay", "warn,hyper=debug"] {
        expect_shown(&["--log", filter], &[&format!("log = \"{filter}\"")]);
    }
}

#[test]
fn values_may_have_units() {
    for (flag, text, plain) in [
        ("expire_timeout", "10s", "10000"),
        ("expire_timeout", "500ms", "500"),
        ("drain_timeout", "0", "0"),
        ("expire_timeout", "1", "1"),
        ("alive_timeout", "2 m", "120000"),
        ("alive_timeout", "1h", "3600000"),
        ("turn_ttl", "2h", "7200"),
        ("registration_ttl", "48h", "2"),
        ("max_message_bytes", "2MiB", "2097152"),
        ("max_message_bytes", "64KiB", "65536"),
        ("max_message_bytes", "1MB", "1000000"),
        ("relay_bytes_per_second", "10Mbit/s", "1250000"),
        ("relay_bytes_per_second", "1MB/s", "1000000"),
    ] {
        expect_shown(&[&format!("--{flag}={text}")], &[&format!("{flag} = {plain}")]);
    }
}

#[test]
fn a_wrong_value_names_its_flag_and_what_is_accepted() {
    let long = "k".repeat(129);
    const NUMBER: &str = "whole number";
    const RELAY: &str = "expected an IP address with or without a port";
    const PORTS: &str = "two ports of 1024 or more";
    const NETWORK: &str = "as in 192.0.2.7 or 10.0.0.0/8";
    for (flag, values, accepted) in [
        ("--port", &["65536", "x", "-1", ""][..], "0 to 65535"),
        ("--drain_timeout", &["soon"], "milliseconds from 0 to"),
        ("--cluster_lease", &["soon", "-3", "0", "1KiB", ""], "milliseconds from 1000 to"),
        ("--reclaim_timeout", &["soon", "10x"], "500ms, 10s, 2m, 1h or 7d"),
        ("--turn_ttl", &["500ms"], "seconds from 1 to"),
        ("--pipes", &["x", "10k", ""], "on, off or a whole number"),
        ("--max_message_bytes", &["10s"], "64KiB, 2MiB or 1MB"),
        ("--relay_bytes_per_second", &["1MB"], "10Mbit/s or 1MB/s"),
        ("--relay_bytes_per_second", &["100Gbit/s"], "bytes per second of 0 or more"),
        ("--connections_per_address", &["-1", "x", "", "1.5", "4294967296"], NUMBER),
        ("--messages_per_second", &["-1", "x", "", "0.5", "4294967296"], NUMBER),
        ("--registration_ttl", &["-1", "x", "", "1.5", "4294967296", "36h"], "days of 0 or more"),
        ("--registration", &["true", "Open", "", "yes"], "open"),
        ("--turn_peers", &["x", "!", "!!10.0.0.0/8", ""], NETWORK),
        ("--trusted_proxy", &["proxy.example.org", "", "10.0.0.0/33", "10.0.0.0/"], NETWORK),
        ("--trusted_proxy", &["300.0.0.0/8", "::/129"], NETWORK),
        ("--log", &["verbose", "warning", "trace,hyper"], "error, warn, info, debug, trace or off"),
        ("--reuse_port", &["maybe", "2"], "true or false"),
        ("--relay_private", &["maybe"], "true or false"),
        ("--log_format", &["xml"], "json"),
        ("--root_key", &[""], "1 to 128 bytes"),
        ("--key", &[&long, "a\nb"], "1 to 128 bytes"),
        ("--max_message_bytes", &["0"], "1 or more"),
        ("--workers", &["9999"], ""),
        ("--relay", &["example.org", "10.0.0.1:", "10.0.0.1:99999", "tcp://10.0.0.1"], RELAY),
        ("--turn", &["example.org"], RELAY),
        ("--turn_ports", &["80-90", "6000-5000", "5000"], PORTS),
        ("--relay_public", &["0.0.0.0", "10.0.0.1:3478", "10.0.0.256", "a..test", "https://a.test"], "host"),
    ] {
        for value in values {
            let ended = run(&[&format!("{flag}={value}")], &[]);
            let text = ended.stderr;
            assert!(text.contains(&format!("'{value}' for '{flag} <")), "{flag}={value}: {text}");
            assert!(text.contains(accepted), "{flag}={value}: {text}");
            assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0), "{flag}={value}");
        }
    }
    let text = run(&["--turn_secret", "two words"], &[]).stderr;
    assert!(text.contains("invalid value for '--turn_secret <SECRET>': a secret has"), "{text}");
    assert!(!text.contains("two words"), "{text}");
    let text = run(&["--turn_users", "hushhush"], &[]).stderr;
    assert!(text.contains("expected NAME:PASSWORD") && !text.contains("hushhush"), "{text}");
}

#[test]
fn urls_of_ice_servers_that_browsers_refuse_are_errors() {
    let stun = "stun: stun example.org:3478 stun://example.org stun::3478 stun:a:0 stun:a:65536 stun:a:+1 stun:a: \
                stun:2001:db8::1 stun:2001:db8::1:3478 stun:[::g] stun:[::1]1 stun:[a] turn:example.org \
                stun:example.org?transport=udp stun:a,stun:b STUN:example.org";
    let turn = "stun:example.org turn:a?transport=tls turn:a? turn:a?x=1 turn:user@a turn:?transport=udp";
    for (flag, urls) in [("--stun_url", stun), ("--turn_url", turn)] {
        for url in urls.split(' ').chain([""]) {
            let ended = run(&[&format!("{flag}={url}")], &[]);
            let (kind, _) = flag[2..].split_once('_').unwrap();
            assert!(ended.stderr.contains(&format!("expected {kind}:HOST or {kind}s:HOST")), "{flag}={url}");
        }
    }
}

#[test]
fn settings_that_cannot_go_together_are_errors() {
    for (flags, error, code) in [
        ("--registration open --pages false", "cannot be used with --pages false", 2),
        ("--turn_url turn:a.test", "--turn_url needs --turn_secret or --turn_secret_file", 2),
        (
            "--turn 10.0.0.1 --turn_secret_file Cargo.toml",
            "invalid value for '--turn_secret_file': a secret has",
            1,
        ),
        (
            "--turn 10.0.0.1 --turn_secret_file /nowhere/secret",
            "cannot read --turn_secret_file /nowhere/secret",
            1,
        ),
        ("--relay 10.0.0.1 10.0.0.2", "--relay takes one IPv4 address", 2),
        ("--relay_public 10.0.0.1", "--relay_public needs --relay or --turn", 2),
        ("--relay --relay_public a.test b.test", "--relay_public takes one host name", 2),
        ("--relay --relay_public 10.0.0.1 10.0.0.2", "--relay_public takes one host name", 2),
        ("--relay_private", "--relay_private needs --relay or --turn", 2),
        ("--turn 10.0.0.1 10.0.0.2", "--turn takes one IPv4 address", 2),
        ("--turn auto 10.0.0.2", "--turn takes one IPv4 address", 2),
        ("--turn_ports 5000-6000", "--turn_ports needs --turn", 2),
        ("--relay 10.0.0.1 --turn 10.0.0.1:3478", "have the same port", 2),
        ("--relay 0.0.0.0 --turn 10.0.0.1:3478", "have the same port", 2),
    ] {
        let ended = run(&words(flags), &[]);
        assert!(ended.stderr.contains(error), "{flags}: {}", ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{flags}");
    }
}

#[test]
fn ice_servers_are_told_with_a_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    let urls = "--stun_url stun:a.test stun:192.0.2.1:3478 stuns:[2001:db8::1]:5349 stun:[::1] \
                --turn_url turn:a.test turn:a.test:3478?transport=udp --turn_url turns:[::1]:443?transport=tcp";
    expect_shown(
        &words(&format!("{urls} --turn_secret {secret} --turn_ttl 60")),
        &[
            "stun_url = [\"stun:a.test\", \"stun:192.0.2.1:3478\", \"stuns:[2001:db8::1]:5349\", \"stun:[::1]\"]",
            "turn_url = [\"turn:a.test\", \"turn:a.test:3478?transport=udp\", \"turns:[::1]:443?transport=tcp\"]",
            "turn_secret = \"(hidden)\"",
            "turn_ttl = 60",
        ],
    );
}

#[test]
fn users_of_turn_are_lines_of_a_file_that_nobody_is_shown() {
    let directory = Directory::new();
    let file = directory.file("users", "alice:hushhush\nbob:hush:hush\n");
    let of_file = format!("turn_users_file = {file:?}");
    expect_shown(&["--turn", "10.0.0.1", "--turn_users_file", &file], &[&of_file]);
    let hidden = r#"turn_users = ["(hidden)", "(hidden)"]"#;
    expect_shown(&words("--turn 10.0.0.1 --turn_users alice:hushhush bob:hush"), &[hidden]);
    let bad = directory.file("bad", "alice:hushhush\nbob\n");
    let text = run(&["config", "check", "--turn", "10.0.0.1", "--turn_users_file", &bad], &[]).stderr;
    assert!(
        text.contains("'--turn_users_file': expected NAME:PASSWORD") && !text.contains("hushhush"),
        "{text}"
    );
}

#[test]
fn combinations_that_do_nothing_or_lock_everybody_out_warn_and_others_do_not() {
    let secret = "0123456789abcdef0123456789abcdef";
    for (flags, warning) in [
        ("", ""),
        ("--admin_token sixteen-letters-or-more", "--admin_token does nothing without --ops_port"),
        ("--admin_token_file f", "--admin_token_file does nothing without --ops_port"),
        ("--ops_host ::1", "--ops_host does nothing without --ops_port"),
        ("--ops_port 1 --data_dir d --admin_token sixteen-letters-or-more --ops_host 0.0.0.0", ""),
        ("--ops_port 1 --data_dir d --ops_host 0.0.0.0", "opens the API to other machines"),
        ("--ops_port 1 --data_dir d --ops_host localhost", ""),
        ("--ops_port 1", "are lost when it stops"),
        ("--trusted_proxy 10.0.0.0/8", "--trusted_proxy does nothing without --proxied"),
        ("--trusted_proxy 10.0.0.0/8 192.0.2.7 --proxied", ""),
        // Unused keys are deleted even after registration closes.
        ("--registration_ttl 1", ""),
        ("--registration open", "are lost when it stops"),
        ("--registration open --data_dir d", ""),
        ("--no_default_key", "no client can connect: --no_default_key"),
        ("--no_default_key --data_dir d", ""),
        ("--no_default_key --registration open", "are lost when it stops"),
        ("--no_default_key --key k --data_dir d", "--key does nothing with --no_default_key"),
        ("--acme localhost --data_dir d", "--acme localhost: no public authority certifies this name"),
        ("--acme a.test 192.168.1.20 --data_dir d", "--acme 192.168.1.20: no public authority"),
        ("--acme a.test 198.51.100.7 --data_dir d", ""),
        ("--acme laptop.local --acme_directory https://ca.local/ --data_dir d", ""),
        ("--node_name a", "--node_name does nothing without --redis"),
        ("--cluster_lease 5000", "--cluster_lease does nothing without --redis"),
        ("--cluster_degraded refuse --redis redis://h", ""),
        ("--no_default_key --redis redis://h --keys redis --ops_port 1", ""),
        ("--redis redis://h --ops_port 1", "are lost when it stops"),
        ("--turn_secret SECRET", "--turn_secret does nothing without --turn or --turn_url"),
        (
            "--turn_users a:b --turn_url turn:a.test --turn_secret SECRET",
            "--turn_users does nothing without --turn",
        ),
        ("--turn 10.0.0.1 --turn_peers 10.0.0.0/8", "--turn_peers does nothing without --turn_ports"),
        ("--turn_ttl 60", "--turn_ttl does nothing without --turn or --turn_url"),
        ("--turn_url turn:a.test --turn_secret SECRET --turn_ttl 60", ""),
        ("--turn_url turn:a.test --turn_secret north", "is short: a client can find it"),
        ("--turn 10.0.0.1 --turn_secret SECRET --turn_ttl 60", ""),
        ("--stun_url stun:a.test stun:b.test", ""),
        ("--concurrent_limit 0", "no client can connect: --concurrent_limit 0"),
        ("--room_members 60 --room_deliveries_per_second 2", "can never have 60 members"),
        ("--room_deliveries_per_second 49", "--room_deliveries_per_second 49 has a burst of 490"),
        ("--room_members 20 --room_deliveries_per_second 2", ""),
        ("--room_members 60000 --room_deliveries_per_second 0", ""),
        ("--max_message_bytes 1GiB", "--max_message_bytes 1073741824 is never reached"),
        ("--alive_timeout 3000", ""),
        ("--alive_timeout 60", "--alive_timeout is 60 milliseconds: write 60s for seconds, or 60ms"),
        ("--alive_timeout 60ms --expire_timeout 1000 --reclaim_timeout 0", ""),
        ("--acme example.org --acme_http_port 0 --data_dir d", ""),
        ("--relay_tcp_port 443", "--relay_tcp_port does nothing without --relay"),
        ("--relay_tcp_port 443 --relay 10.0.0.1", ""),
        (
            "--relay_bytes_per_second 500",
            "--relay_bytes_per_second is 500 bytes per second, too few for a call even without video: write 500kB/s for kilobytes, or \
             500B/s",
        ),
        ("--relay_bytes_per_second 500B/s", ""),
        ("--relay_bytes_per_second 12500", ""),
        (
            "--relay 10.0.0.1 --stun_url stun:10.0.0.1:3478",
            "--stun_url stun:10.0.0.1:3478 is at the port of --relay, so Chromium never uses the relay: leave it out",
        ),
        (
            "--relay 10.0.0.1:443 --relay_public 198.51.100.7 --turn_secret SECRET --turn_url turn:198.51.100.7:443?transport=udp",
            "--turn_url turn:198.51.100.7:443?transport=udp is at the port of --relay",
        ),
        ("--ban 192.0.2.7 127.0.0.0/8", "--ban 127.0.0.0/8: this bans programs of this machine"),
        (
            "--ban ::/0,key=game",
            "--ban ::/0,key=game: this bans a large part of the internet, and perhaps you",
        ),
        ("--relay 10.0.0.1 --stun_url stun:10.0.0.1:5349 stun:a.test:3478", ""),
    ] {
        let flags = flags.replace("SECRET", secret);
        let ended = run(&[&["config", "check"], &*words(&flags)].concat(), &[]);
        assert_eq!(ended.status.code(), Some(0), "{flags}: {}", ended.stderr);
        let warnings: Vec<&str> = ended.stderr.lines().collect();
        let fits = warnings.len() == usize::from(!warning.is_empty());
        assert!(fits && warnings.iter().all(|line| line.contains(warning)), "{flags}: {warnings:?}");
        assert!(!ended.stderr.contains("north"), "{}", ended.stderr);
    }
}
