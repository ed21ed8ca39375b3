use peerbroker::config::TurnConfig;

use super::*;

/// The flags, without the environment.
pub(crate) fn parsed(args: &[&str]) -> Cli {
    let command = without_variables();
    let matches = command.clone().get_matches_from(["peerbroker"].iter().chain(args));
    Cli::of(&command, &matches, None).unwrap()
}

pub(super) fn without_variables() -> clap::Command {
    Cli::command().mut_args(|arg| arg.env(None::<&'static str>))
}

fn settings(args: &[&str]) -> Settings {
    parsed(args).settings().unwrap()
}

#[test]
fn the_flags_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_is_in_a_group_and_the_short_help_names_flags_that_exist() {
    let command = Cli::command();
    let ids: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
    assert!(help::SHORT.iter().all(|id| ids.contains(id)), "{:?}", help::SHORT);
    let ungrouped: Vec<&clap::Arg> =
        command.get_arguments().filter(|arg| arg.get_help_heading().is_none()).collect();
    assert!(ungrouped.is_empty(), "{ungrouped:?}");
}

#[test]
fn the_defaults_shown_are_those_of_the_library() {
    let Settings { config, listen, given_path, cluster, relay, turn, stored_keys } =
        settings(&["--port", "9000", "--path", "/"]);
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(format!("{listen:?}"), format!("{:?}", Listen::default()));
    assert_eq!((given_path.as_str(), cluster, relay, turn), ("/", None, None, None));
    assert!(stored_keys == StoredKeys::InMemory);
}

#[test]
fn ice_servers_are_told_with_a_secret_and_a_weak_one_warns() {
    let secret = "0123456789abcdef0123456789abcdef";
    let urls = [
        "--stun_url",
        "stun:a.test",
        "stun:b.test",
        "--turn_url",
        "turn:a.test",
        "--turn_url",
        "turns:b.test:443",
    ];
    let told = settings(&[&urls[..], &["--turn_secret", secret, "--turn_ttl", "60"]].concat());
    assert_eq!(told.config.ice.stun_urls, ["stun:a.test", "stun:b.test"]);
    assert_eq!(told.config.ice.turn_urls, ["turn:a.test", "turns:b.test:443"]);
    assert_eq!(told.config.ice.turn_secret.as_ref().map(|secret| secret.as_str()), Some(secret));
    assert_eq!(told.config.ice.ttl.as_secs(), 60);
    assert_eq!(told.warnings(), None);
    let weak = settings(&["--turn_url", "turn:a.test", "--turn_secret", "north"]);
    assert!(
        weak.warnings().is_some_and(|warning| warning.contains("is short") && !warning.contains("north"))
    );
}

#[test]
fn a_turn_server_without_a_secret_and_a_secret_that_none_can_have_are_errors() {
    for (args, words, code) in [
        (&["--turn_url", "turn:a.test"][..], "--turn_url needs --turn_secret or --turn_secret_file", 2),
        (&["--turn_secret", "two words"], "invalid value for '--turn_secret': a secret has", 2),
        (&["--turn_secret_file", "/nowhere/secret"], "cannot read --turn_secret_file /nowhere/secret", 1),
    ] {
        let error = parsed(args).settings().err().expect("an error");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("two words"), "{error}");
        assert_eq!(error.exit_code(), code, "{error}");
    }
}

#[test]
fn the_relay_has_an_address_of_each_family_and_a_port_of_its_own() {
    let relay = |flags: &[&str]| settings(flags).relay.unwrap();
    let found = relay(&["--relay", "198.51.100.7", "[2001:db8::7]:5000", "--relay_public", "203.0.113.1"]);
    let [v4, v6] = &found.listen[..] else { panic!("{found:?}") };
    assert_eq!(
        (v4.to_string().as_str(), v6.to_string().as_str()),
        ("198.51.100.7:3478", "[2001:db8::7]:5000")
    );
    assert_eq!((found.public, found.private), (vec!["203.0.113.1".parse().unwrap()], false));
    assert!(found.tcp && !relay(&["--relay", "127.0.0.1", "--relay_tcp=false"]).tcp);
    assert_eq!(
        relay(&["--relay", "udp://127.0.0.1:0", "--relay_private"]).listen[0].to_string(),
        "127.0.0.1:0"
    );
    for (flags, error) in [
        (&["--relay", "10.0.0.1", "10.0.0.2"][..], "takes one IPv4 address"),
        (&["--relay_public", "10.0.0.1"], "--relay_public needs --relay or --turn"),
        (&["--relay_private"], "--relay_private needs --relay or --turn"),
    ] {
        let cli = Cli::try_parse_from([&["peerbroker"], flags].concat()).unwrap();
        let Err(found) = cli.settings() else { panic!("{flags:?}") };
        assert!(found.to_string().contains(error), "{found}");
    }
    for wrong in ["example.org", "10.0.0.1:", "10.0.0.1:99999", "tcp://10.0.0.1"] {
        assert!(Cli::try_parse_from(["peerbroker", "--relay", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn turn_has_the_addresses_of_the_relay_and_a_port_of_its_own() {
    let turn = |flags: &[&str]| settings(flags).turn.unwrap();
    let at = |flags: &[&str]| turn(flags).listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    let relay = ["--relay", "198.51.100.7", "[2001:db8::7]:5000"];
    assert_eq!(at(&relay), ["198.51.100.7:5349", "[2001:db8::7]:5349"]);
    assert!(turn(&relay).only_stun, "a relay brings a STUN server");
    let both =
        [&relay[..], &["--turn", "--turn_ports", "50000-59999", "--relay_public", "203.0.113.1"]].concat();
    assert_eq!(at(&both), ["198.51.100.7:5349", "[2001:db8::7]:5349"]);
    let TurnConfig { public, only_stun, ports, private, loopback, .. } = turn(&both);
    assert_eq!(public, ["203.0.113.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((only_stun, ports, private, loopback), (false, Some(50_000..=59_999), false, false));
    assert_eq!(at(&["--turn", "10.0.0.1", "[fd00::1]:4000"]), ["10.0.0.1:5349", "[fd00::1]:4000"]);
    assert_eq!(at(&["--relay", "127.0.0.1:0", "--turn"]), ["127.0.0.1:0"]);
    // Two servers of one machine do not meet at neighbouring ports, and no port is out of range.
    assert_eq!(at(&["--relay", "10.0.0.1:3479"]), ["10.0.0.1:5350"]);
    assert_eq!(at(&["--relay", "10.0.0.1:65535"]), ["10.0.0.1:63664"]);
    assert!(turn(&["--turn", "10.0.0.1", "--relay_private"]).private, "without a relay too");
    for (flags, error) in [
        (&["--turn", "10.0.0.1", "10.0.0.2"][..], "--turn takes one IPv4 address"),
        (&["--turn", "auto", "10.0.0.2"], "--turn takes one IPv4 address"),
        (&["--turn_ports", "5000-6000"], "--turn_ports needs --turn"),
        (&["--relay", "10.0.0.1", "--turn", "10.0.0.1:3478"], "have the same port"),
    ] {
        let cli = Cli::try_parse_from([&["peerbroker"], flags].concat()).unwrap();
        let Err(found) = cli.settings() else { panic!("{flags:?}") };
        assert!(found.to_string().contains(error), "{found}");
    }
    for wrong in [
        ["--turn", "example.org"],
        ["--turn_ports", "80-90"],
        ["--turn_ports", "6000-5000"],
        ["--turn_ports", "5000"],
    ] {
        assert!(Cli::try_parse_from([&["peerbroker"], &wrong[..]].concat()).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_form_of_a_flag_that_the_reference_takes_is_taken() {
    for form in [&["-p9001"][..], &["-p", "9001"], &["-p=9001"], &["--port=9001"], &["--port", "9001"]] {
        assert_eq!(settings(form).listen.port, 9001, "{form:?}");
    }
    let all = settings(&[
        "-H",
        "127.0.0.1",
        "-k",
        "123",
        "--path",
        "/x/",
        "-t",
        "1",
        "--alive-timeout",
        "2",
        "-c",
        "3",
        "--allow_discovery",
        "--proxied",
        "true",
        "--cors",
        "http://a",
        "http://b",
        "--cors=http://c",
        "--sslkey",
        "k",
        "--sslcert",
        "c",
    ]);
    assert_eq!(all.config.key.as_str(), "123");
    assert_eq!(all.config.cors, ["http://a", "http://b", "http://c"].map(|text| text.parse().unwrap()));
    assert_eq!(settings(&["--cors", "http://a", "*"]).config.cors, []);
    assert!(all.config.allow_discovery && all.config.proxied);
    assert!(!settings(&["--allow_discovery", "false"]).config.allow_discovery);
    assert_eq!(all.config.limits.concurrent_limit, 3);
    assert_eq!(all.given_path, "/x/");
}

#[test]
fn keys_may_come_from_a_directory_alone() {
    let Settings { config, stored_keys, .. } = settings(&["--data-dir", "data", "--no_default_key"]);
    assert!(stored_keys == StoredKeys::Directory(PathBuf::from("data")) && !config.default_key);
    assert!(settings(&["--no_default_key=false"]).config.default_key);
}

#[test]
fn a_wrong_value_names_its_flag_and_what_is_accepted() {
    for (flag, value, accepted) in [
        ("--port", "65536", "0 to 65535"),
        ("--expire_timeout", "soon", "milliseconds"),
        ("--alive_timeout", "0", "milliseconds"),
        ("--concurrent_limit", "-1", "whole number"),
        ("--allow_discovery", "maybe", "true or false"),
        ("--log_format", "xml", "json"),
        ("--key", "", "1 to 128 bytes"),
        ("--max_message_bytes", "0", "1 or more"),
    ] {
        let error = Cli::try_parse_from(["peerbroker", &format!("{flag}={value}")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(flag) && text.contains(accepted), "{text}");
        assert_eq!(error.exit_code(), 2);
    }
}
