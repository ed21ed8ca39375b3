//! Tests of the table of settings. Those of values and combinations are in `tests/cli/settings.rs`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::{env, fs};

use peerbroker::{Config, Listen};
use peerbroker_config::TurnConfig;

use super::draft::Draft;
use super::row::ALL_NODES;
use super::table::{GONE, ROWS};
use super::values::show_peer_rule;
use super::*;
use crate::stored_keys::StoredKeys;

/// The flags, without the environment.
pub(crate) fn parsed(args: &[&str]) -> Cli {
    let args: Vec<OsString> = [&["peerbroker"], args].concat().into_iter().map(OsString::from).collect();
    Cli::of(&args, |_| None).unwrap()
}

fn settings(words: &str) -> Settings {
    parsed(&words.split_whitespace().collect::<Vec<_>>()).settings().unwrap()
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
        assert_eq!(ROWS.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
    }
}

/// The table of flags in `docs/CONFIG.md`.
fn markdown() -> String {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let rows = ROWS.iter().filter(|row| row.file_of.is_none()).map(|row| {
        let short = row.short.map(|short| format!(", `-{short}`")).unwrap_or_default();
        let default = code(&row.default(&mut Draft::default()).unwrap_or_default());
        let has_unit = matches!(row.value_name, "MS" | "S" | "DAYS" | "BYTES" | "BYTES/S");
        let unit = has_unit.then(|| row.value_name.to_lowercase());
        let live = row.is_live.then(|| "live".to_owned());
        let scope = (row.scope != ALL_NODES).then(|| row.scope.to_owned());
        let kind: Vec<String> = [unit, live, scope].into_iter().flatten().collect();
        let more = if row.more.is_empty() { String::new() } else { format!(". {}", row.more) };
        let name = row.name;
        let help = row.help;
        let kind = kind.join(", ");
        format!("| `--{name}`{short} | {default} | {kind} | {help}{more} |\n")
    });
    let head = "| Flag | Default | Unit, live, scope | |\n|---|---|---|---|\n".to_owned();
    let others = "\
        | `--help`, `-h` | | | Print the flags; `-h` is shorter |\n\
        | `--version`, `-V` | | | Print the version |\n";
    rows.fold(head, |text, row| text + &row) + others
}

#[test]
fn there_are_at_most_85_settings() {
    let settings = ROWS.iter().filter(|row| row.file_of.is_none()).count();
    assert!(settings <= 85, "{settings}: derive it, or take another one away");
}

#[test]
fn a_setting_that_is_gone_is_ignored_with_a_warning_wherever_it_is_given() {
    for (name, instead) in GONE {
        assert!(ROWS.iter().all(|row| row.name != *name), "{name}");
        let cli = parsed(&[&format!("--{name}"), "1", "--port", "1"]);
        assert_eq!(cli.warnings(), [format!("--{name} is ignored. Now: {instead}")]);
        assert_eq!(cli.draft.listen.port, 1);
    }
    assert_eq!(parsed(&["--relay-tcp"]).warnings().len(), 1);
    let variables = |name: &str| (name == "PEERBROKER_PING_INTERVAL").then(|| "1s".into());
    let cli = Cli::of(&["peerbroker".into()], variables).unwrap();
    assert_eq!(cli.warnings(), ["PEERBROKER_PING_INTERVAL is ignored. Now: a third of --alive_timeout"]);
}

/// Writes the table with `UPDATE=1`.
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
    let Settings { config, listen, cluster, calls, stored_keys, secret_stamps, secrets } =
        settings("--port 9000 --path /");
    assert!(secret_stamps.is_empty() && secrets.is_empty());
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(format!("{listen:?}"), format!("{:?}", Listen::default()));
    assert_eq!((cluster, calls.is_empty()), (None, true));
    assert!(stored_keys == StoredKeys::InMemory);
}

#[test]
fn a_turn_server_has_the_public_and_private_addresses_of_the_relay() {
    let turn = |flags: &str| settings(flags).calls.turn.unwrap();
    let flags = "--relay 198.51.100.7 --turn --turn_ports 50000-59999 --relay_public 203.0.113.1";
    let TurnConfig { public, only_stun, realm, ports, peers, .. } = turn(flags);
    assert_eq!(public, ["203.0.113.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((only_stun, realm, ports, peers), (false, None, Some(50_000..=59_999), vec![]));
    let peers = |flags: &str| turn(flags).peers.iter().map(show_peer_rule).collect::<Vec<_>>();
    assert_eq!(peers("--turn 10.0.0.1 --relay_private"), ["0.0.0.0/0", "::/0"], "without a relay too");
    let own = "--turn --turn_ports 50000-59999 --turn_peers 127.0.0.1 !198.51.100.0/24";
    assert_eq!(peers(own), ["127.0.0.1/32", "!198.51.100.0/24"]);
    for (name, realm) in
        [("turn.example.org", Some("turn.example.org")), (&*format!("{}.org", "x".repeat(40)), None)]
    {
        assert_eq!(turn(&format!("--turn --relay_public {name}")).realm.as_deref(), realm);
    }
    // Clients of a private address are served there.
    let mut calls = settings("--relay --relay_public localhost").calls;
    calls.find_addresses();
    assert!(calls.relay.unwrap().private);
}

#[test]
fn a_relay_with_a_name_that_leads_nowhere_yet_is_not_for_private_clients() {
    let mut calls = settings("--relay --relay_public nowhere.invalid").calls;
    let warnings = calls.find_addresses();
    assert!(
        warnings.iter().any(|warning| warning.contains("the address of nowhere.invalid yet")),
        "{warnings:?}"
    );
    assert!(!calls.relay.unwrap().private);
    let mut calls = settings("--relay --relay_public nowhere.invalid --relay_private").calls;
    calls.find_addresses();
    assert!(calls.relay.unwrap().private);
}

#[test]
fn defaults_of_what_strangers_can_fill_follow_the_memory() {
    const MIB: usize = 1 << 20;
    for (memory, unfinished, queued) in [(None, 256, 64), (Some(4096), 256, 64), (Some(256), 32, 16)] {
        let config = Draft::for_memory(memory.map(|mib| mib << 20)).config;
        assert_eq!(config.unfinished_total_bytes, unfinished * MIB, "{memory:?}");
        assert_eq!(config.limits.queue_total_bytes, queued * MIB, "{memory:?}");
        assert_eq!(config.limits.queue_bytes, queued * MIB / 16, "{memory:?}");
        assert_eq!(config.limits.outbox_total_bytes, unfinished * MIB, "{memory:?}");
    }
}

#[test]
fn what_strangers_can_fill_leaves_room_for_the_clients_of_the_machine_of_fly() {
    /// Memory of an idle client, with the kernel's: docs/OPERATING.md has 200,000 in a GiB.
    const CLIENT: usize = (1 << 30) / 200_000;
    let file: toml::Table = fs::read_to_string("deploy/fly.toml").unwrap().parse().unwrap();
    let memory = file["vm"][0]["memory"].as_str().unwrap();
    let memory = memory.strip_suffix("mb").unwrap().parse::<usize>().unwrap() << 20;
    let mut draft = Draft::for_memory(Some(memory as u64));
    for (variable, value) in file["env"].as_table().unwrap() {
        let row = ROWS.iter().find(|row| row.variables().any(|name| name == *variable)).unwrap();
        (row.set)(&mut draft, &[value.as_str().unwrap().into()]).unwrap();
    }
    let Config { unfinished_total_bytes, limits, .. } = draft.config;
    let filled = unfinished_total_bytes + limits.queue_total_bytes + limits.outbox_total_bytes;
    let clients = file["http_service"]["concurrency"]["hard_limit"].as_integer().unwrap() as usize;
    assert!(2 * filled + clients * CLIENT < memory, "{filled} {clients}");
}
