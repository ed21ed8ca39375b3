//! The lines that docs/LOGS.md quotes: running programs write each of them, with the level that it names.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use crate::program::Program;
use crate::redis_server::RedisServer;
use testkit::wait::wait_until;

const TRACED: &[(&str, &str)] =
    &[("RUST_LOG", "peerbroker=debug,peerbroker::messages=trace"), ("PEERBROKER_DRAIN_TIMEOUT", "0")];

/// Longer than what a test waits for, so that no node dies of a pause.
const LONG_LEASE: [&str; 2] = ["--cluster_lease", "10000"];

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/LOGS.md")).unwrap()
}

/// The texts in backticks.
fn quotes(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Numbers, addresses and lives of nodes are other ones each time.
fn plain(text: &str) -> String {
    let is_hex = |word: &str| word.len() == 16 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words: Vec<String> = text
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_hex(word) { part.replacen(word, "0", 1) } else { part.to_owned() }
        })
        .collect();
    let mut plain = words.concat().replace("::", "0");
    while let Some(at) = plain.find(|c: char| c.is_ascii_digit() && c != '0') {
        plain.replace_range(at..=at, "0");
    }
    while let Some(at) = plain.find("00").or_else(|| plain.find("0.0")) {
        let end = if plain[at..].starts_with("00") { at + 1 } else { at + 2 };
        plain.replace_range(at..end, "");
    }
    plain
}

/// True if a line is a quoted one, where `…` stands for any text.
fn is_quoted(line: &str, quote: &str) -> bool {
    let parts: Vec<String> = quote.split('…').map(plain).collect();
    let line = plain(line);
    let [first, middle @ .., last] = &parts[..] else { return line == plain(quote) };
    let Some(mut rest) = line.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    middle.iter().all(|part| {
        let found = rest.split_once(part.as_str());
        rest = found.map_or("", |(_, rest)| rest);
        found.is_some()
    })
}

#[test]
fn a_quote_stands_for_lines_that_differ_in_numbers_and_in_what_is_left_out() {
    for (line, quote, fits) in [
        ("node b1 left", "… left", true),
        ("node b1 left early", "… left", false),
        ("#3: from 127.0.0.1", "#17: from 192.0.2.7", true),
        ("#3: from a", "#17: from 192.0.2.7", false),
        ("the node 00ab34cd56ef7890 said", "the node 4dcd8df6dbb9c0ce said", true),
        ("cannot: x; alone", "cannot: …; alone", true),
        ("cannot: x", "cannot: …; alone", false),
        ("on ::, port: 9000", "on 127.0.0.1, port: 0", true),
    ] {
        assert_eq!(is_quoted(line, quote), fits, "{line} / {quote}");
    }
}

/// The level and the text of each line of a log.
fn lines_of(log: &str) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let (head, text) = line.strip_prefix('[')?.split_once("] ")?;
        Some((head.split_whitespace().nth(1)?.to_ascii_lowercase(), text.to_owned()))
    };
    log.lines().filter_map(parse).collect()
}

fn log_of(args: &[&str], use_it: impl FnOnce(&Program)) -> Vec<(String, String)> {
    let mut program = Program::start_with_env(args, TRACED);
    use_it(&program);
    lines_of(&program.stop().stderr)
}

/// Clients that come and leave, are refused, and send messages.
fn of_clients() -> Vec<(String, String)> {
    let mut lines = log_of(&["--expire_timeout", "1000"], |program| {
        let mut alice = program.client("alice");
        alice.send(r#"{"type":"OFFER","dst":"bob","payload":{}}"#);
        program.expect_log("lost, expired");
        assert!(alice.expect_text().contains("EXPIRE"));
        let mut bob = program.client("bob");
        alice.send(r#"{"type":"OFFER","dst":"bob","payload":{}}"#);
        bob.expect_text();
        alice.send("no message");
        program.expect_log("ignored a message");
        alice.expect_closed_by_us(Some(1000));
        program.connect("/peerjs?key=x&id=a&token=t").expect_text();
        program.connect("/peerjs?key=peerjss&id=a&token=t").expect_text();
        program.expect_log("a client asked for the key \"peerjss\"");
    });
    lines.extend(log_of(&["--key", "x", "--room_members", "1"], |program| {
        for id in ["alice", "bob"] {
            let mut client = program.connect(&format!("/peerjs?key=x&id={id}&token=t"));
            client.expect_open();
            client.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
            client.expect_text();
        }
        program.expect_log("room_members, key");
    }));
    lines
}

/// Answers 1 if an inbox has a batch with this text, and empties it if it is to be lost.
const FIND: &str = "
    for _, key in ipairs(redis.call('KEYS', 'peerbroker:inbox:*')) do
      for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
        if string.find(entry[2][2], ARGV[1], 1, true) then
          if ARGV[2] == '1' then redis.call('XTRIM', key, 'MAXLEN', 0) end
          return 1
        end
      end
    end
    return 0";

/// Nodes that join, leave, die, have other settings, and send each other messages.
fn of_nodes() -> Vec<(String, String)> {
    let redis = RedisServer::start();
    let url = redis.url();
    let start = |name: &str, args: &[&str]| {
        let own = ["--redis", &url, "--node_name", name];
        Program::start_with_env(&[&own, args].concat(), TRACED)
    };
    let third = start("n3", &["--cluster_lease", "2000"]);
    third.expect_log("node n3 joined");
    let mut second = start("n2", &LONG_LEASE);
    second.expect_log("node n2 joined (1 other: n3)");
    let mut first = start("n1", &LONG_LEASE);
    first.expect_log("(2 others: ");
    let mut fourth = start("n4", &[&LONG_LEASE[..], &["--key", "game"]].concat());
    first.expect_log("node n4 has other settings");
    fourth.stop();
    let mut bob = first.client("bob");
    let mut alice = second.client("alice");
    alice.send(r#"{"type":"OFFER","dst":"bob","payload":{}}"#);
    bob.expect_text();
    // Redis forgets what the second one says while the first one does not read.
    first.signal("-STOP");
    let mut client = redis.client();
    // The first one answers a read that has begun, so it is not lost.
    for (text, is_lost) in [("\"read\"", 0), ("\"forgotten\"", 1)] {
        alice.send(format!(r#"{{"type":"OFFER","dst":"bob","payload":{text}}}"#));
        wait_until("the message is in the inbox", || {
            redis::cmd("EVAL").arg(FIND).arg(0).arg(text).arg(is_lost).query(&mut client).unwrap()
        });
    }
    first.signal("-CONT");
    first.expect_log("is lost: ");
    third.signal("-KILL");
    first.expect_log("node n3 died");
    let second = second.stop();
    first.expect_log("node n2 left");
    let mut again = start("n2", &LONG_LEASE);
    first.expect_log("node n2 joined");
    let elsewhere = format!("{url}/3");
    let mut alone = Program::start(&["--redis", &elsewhere]);
    alone.expect_log("is alone in database");
    again.stop();
    [first.stop().stderr, second.stderr, alone.stop().stderr].iter().flat_map(|log| lines_of(log)).collect()
}

/// Redis that stops, and one that lets nobody read.
fn of_outages() -> Vec<(String, String)> {
    let mut redis = RedisServer::start();
    let args = ["--redis", &redis.url(), "--cluster_lease", "2000", "--node_name", "n1"];
    let mut cut_off = Program::start_with_env(&args, TRACED);
    cut_off.expect_log("node n1 joined");
    redis.kill();
    cut_off.expect_log("the lease of this node has ended");
    let redis = RedisServer::with(&["--user", "deaf", "on", ">secret", "~*", "+@all", "-xread"]);
    let url = format!("redis://deaf:secret@127.0.0.1:{}", redis.port());
    let mut deaf = Program::start(&["--redis", &url, "--cluster_lease", "2000"]);
    deaf.expect_log("cannot read what other nodes say");
    [cut_off.stop().stderr, deaf.stop().stderr].iter().flat_map(|log| lines_of(log)).collect()
}

#[test]
fn every_line_that_the_document_quotes_is_written_with_its_level() {
    let page = page();
    let lines = [of_clients(), of_nodes(), of_outages()].concat();
    let mut missing = BTreeSet::new();
    let mut expect = |quote: &str, levels: &[String]| {
        let mut found = lines.iter().filter(|(_, text)| is_quoted(text, quote));
        if !found.any(|(level, _)| levels.is_empty() || levels.contains(level)) {
            missing.insert(format!("{quote} {levels:?}"));
        }
    };
    let (_, table) = page.split_once("| Line | Level | When |\n").expect("the table");
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 8, "{rows:#?}");
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let levels = quotes(cells[1]);
        assert!(!levels.is_empty(), "{row}");
        quotes(cells[0]).iter().for_each(|quote| expect(quote, &levels));
    }
    let (_, messages) = page.split_once("## Where a message went").expect("the part");
    let steps: Vec<&str> = messages.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(steps.len(), 3, "{steps:?}");
    steps.iter().for_each(|step| expect(step, &[]));
    let others = messages.lines().find_map(|line| line.strip_prefix("Other steps: ")).expect("the steps");
    quotes(others).iter().for_each(|step| expect(&format!("…{step}"), &[]));
    assert!(missing.is_empty(), "not written: {missing:#?}\nof {lines:#?}");
}

/// The lines of stdout are those of a server that anybody may reach, so `::` and `localhost` stand for its
/// address. The line about the network needs one.
#[test]
fn every_line_of_stdout_that_the_document_quotes_is_printed() {
    let page = page();
    let (_, after) = page.split_once("    Started PeerServer on ").expect("the lines");
    let (quoted, _) = after.split_once("\n\n`--log").expect("their end");
    let quoted = format!("    Started PeerServer on {quoted}");
    let mut program = Program::start(&["--ops_port", "0", "--admin_token", "0123456789abcdef"]);
    program.expect_api();
    program.client("alice").expect_closed_by_us(Some(1000));
    while !program.expect_line().starts_with("Client disconnected: alice") {}
    let printed = program.stop().stdout;
    let any_host = |line: &str| plain(&line.replace("localhost", "0"));
    let quoted: Vec<&str> = quoted.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(quoted.len(), 8, "{quoted:#?}");
    for line in quoted.iter().filter(|line| !line.starts_with("  Network: ")) {
        assert!(printed.iter().any(|printed| any_host(printed) == any_host(line)), "{line}: {printed:#?}");
    }
}

#[test]
fn the_json_of_each_event_has_the_documented_fields() {
    let page = page();
    let example = page.lines().find_map(|line| line.strip_prefix("    {")).expect("an example");
    let example = format!("{{{}}}", example.strip_suffix(",…}").expect("more fields"));
    let example: Map<String, Value> = serde_json::from_str(&example).unwrap();
    let (_, fields) = page.split_once("Each `event` has these fields:\n\n").expect("the list");
    let (fields, _) = fields.split_once("\n\n").unwrap();
    let mut program = Program::start(&["--ops_port", "0", "--log_format", "json"]);
    program.expect_api();
    program.client("alice").expect_closed_by_us(Some(1000));
    while !program.expect_line().contains("disconnected") {}
    let printed = program.stop().stdout;
    let printed: Vec<Value> = printed.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| {
        let found = printed.iter().find(|line| line["event"] == event);
        found.unwrap_or_else(|| panic!("{event}: {printed:#?}"))
    };
    for (name, value) in example {
        let found = &of("connected")[&name];
        match name.as_str() {
            "address" => assert!(found.is_string(), "{found}"),
            "connection_id" => assert!(found.is_u64(), "{found}"),
            _ => assert_eq!(*found, value, "{name}"),
        }
    }
    let mut events = 0;
    for line in fields.lines() {
        let (event, fields) = line.split_once(": ").expect("an event");
        // In parentheses are values.
        let mut depth = 0;
        let is_outside = |c: &char| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        };
        for name in quotes(&fields.chars().filter(is_outside).collect::<String>()) {
            assert!(of(&quotes(event)[0]).get(&name).is_some(), "{line}: {name}");
        }
        events += 1;
    }
    assert_eq!(events, 5);
}
