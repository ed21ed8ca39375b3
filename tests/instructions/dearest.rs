//! The dearest messages of each protocol cost no more than [`MOST`] heartbeats for each message that the
//! client's rate is charged, and for each 1,000 bytes, so a client that sends as much as it may takes no more
//! of a worker than its rate says. The same holds for the next messages of others, which find what the dear
//! ones have left behind.

use std::collections::HashMap;

use testkit::program::Program;
use testkit::raw_client::RawClient;
use testkit::wire::{self, opcode};

use crate::callgrind::{Callgrind, wait_until_asleep};

/// Most heartbeats that a message may cost, or 1,000 bytes. Each byte of JSON takes some steps of its
/// grammar, and each member that a protocol knows far more, so only a bounded number of members is read.
const MOST: f64 = 20.0;

/// Heartbeats that the first message in vain of a client may cost besides: the operator is told of it, in the
/// log too. For the next one, somebody has to open a connection.
const TOLD: f64 = 100.0;

/// Bytes of a long message, which come in one read.
const LONG: usize = 10_000;

/// Each message is handled this often, and the mean counts.
const TIMES: u32 = 2;

/// Heartbeats that one read brings.
const HEARTBEATS: usize = 10;

/// Such reads in a round. With so many, and in the cheapest of the rounds, timers hardly count: each run
/// finds the same within 1 %.
const READS: u32 = 20;

const PEERJS: &str = "/peerjs?key=peerjs&token=t&id=one";
const ROOT: &str = "/";
const RXDB: &str = "/rxdb";
const MATCHBOX: &str = "/matchbox/room";
const HASH: &str = "torrent-torrent-torr";
const UUID: &str = "5b0c1f5e-6f5f-4d5c-8a3b-7b9f2a6f2d10";

/// Topics of a list that are read, and charged as messages.
const TOPICS: usize = 65;

/// A message with a hole for a value.
struct Hole {
    name: &'static str,
    target: &'static str,
    before: &'static str,
    after: &'static str,
    /// True if the message does nothing.
    is_in_vain: bool,
}

const fn hole(name: &'static str, target: &'static str, before: &'static str, after: &'static str) -> Hole {
    Hole { name, target, before, after, is_in_vain: false }
}

const fn in_vain(
    name: &'static str,
    target: &'static str,
    before: &'static str,
    after: &'static str,
) -> Hole {
    Hole { name, target, before, after, is_in_vain: true }
}

/// An event with a right signature.
const EVENT: &str = include_str!("../fixtures/nostr-event.json");

/// The same with 30 tags: `t`, 15 of the letter `a`, and one of each letter from `b` to `o`, whose value is
/// the letter.
const EVENT_WITH_TAGS: &str = include_str!("../fixtures/nostr-event-tags.json");

/// The longest parts of the messages of each protocol. A client of RxDB loses its connection by such a
/// message, so it has none.
const HOLES: &[Hole] = &[
    hole("peerjs", PEERJS, r#"{"type":"OFFER","dst":"nobody","payload":"#, "}"),
    in_vain("peerjs, unknown", PEERJS, r#"{"type":"SOMETHING","dst":"nobody","payload":"#, "}"),
    in_vain("peerjs, no type", PEERJS, r#"{"payload":"#, "}"),
    in_vain("peerjs, a list", PEERJS, "[", "]"),
    in_vain("peerjs, no JSON", PEERJS, "x", ""),
    hole("rooms, join", PEERJS, r#"{"type":"ROOM-JOIN","room":"r","data":"#, "}"),
    hole("rooms, send", PEERJS, r#"{"type":"ROOM-SEND","room":"none","payload":"#, "}"),
    hole("rooms, watch", PEERJS, r#"{"type":"PRESENCE-WATCH","ids":"#, "}"),
    hole("rooms, unwatch", PEERJS, r#"{"type":"PRESENCE-UNWATCH","ids":"#, "}"),
    hole("app", PEERJS, r#"{"type":"SERVER-MESSAGE","payload":"#, "}"),
    hole("room codes, join", ROOT, r#"{"action":"joinRoom","room":"AAAA","username":"u","offer":"#, "}"),
    hole("room codes, answer", ROOT, r#"{"action":"offerResponse","clientUsername":"u","response":"#, "}"),
    hole("calls", ROOT, r#"{"action":"offer","data":{"remoteId":"nobody","sdp":"#, "}}"),
    hole("calls, any action", ROOT, r#"{"action":"any","data":{"remoteId":"nobody"},"more":"#, "}"),
    hole("topics, subscribe", ROOT, r#"{"type":"subscribe","topics":"#, "}"),
    hole("topics, unsubscribe", ROOT, r#"{"type":"unsubscribe","topics":"#, "}"),
    hole("topics, publish", ROOT, r#"{"type":"publish","topic":"none","data":"#, "}"),
    hole(
        "tracker, announce",
        ROOT,
        r#"{"action":"announce","info_hash":"torrent-torrent-torr","peer_id":"peer-peer-peer-peer-","offers":"#,
        "}",
    ),
    hole(
        "tracker, answer",
        ROOT,
        r#"{"action":"announce","info_hash":"torrent-torrent-torr","peer_id":"peer-peer-peer-peer-","to_peer_id":"peer-peer-peer-peer-","answer":"#,
        "}",
    ),
    hole("tracker, scrape", ROOT, r#"{"action":"scrape","info_hash":"#, "}"),
    hole("nostr, filter", ROOT, r#"["REQ","s","#, "]"),
    hole("nostr, values", ROOT, r##"["REQ","s",{"#x":"##, "}]"),
    hole("nostr, event", ROOT, r#"["EVENT","#, "]"),
    hole(
        "nostr, tags",
        ROOT,
        r#"["EVENT",{"id":"","pubkey":"","sig":"","created_at":1,"kind":20001,"content":"","tags":"#,
        "}]",
    ),
    hole(
        "nostr, content",
        ROOT,
        r#"["EVENT",{"id":"","pubkey":"","sig":"","created_at":1,"kind":20001,"tags":[],"content":"#,
        "}]",
    ),
    in_vain("root, unknown type", ROOT, r#"{"type":"something","more":"#, "}"),
    in_vain("root, no type", ROOT, r#"{"more":"#, "}"),
    hole(
        "matchbox",
        MATCHBOX,
        r#"{"Signal":{"receiver":"5b0c1f5e-6f5f-4d5c-8a3b-7b9f2a6f2d10","data":"#,
        "}}",
    ),
    in_vain("matchbox, unknown", MATCHBOX, r#"{"Signal":"#, "}"),
];

/// Values that take long to read: their beginning, what is repeated, and their end.
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("a text", "\"", "x", "\""),
    ("escapes", "\"", r"\u0041", "\""),
    ("quotes", "\"", r#"\""#, "\""),
    ("numbers", "[1", ",1", "]"),
    ("texts", "[\"\"", ",\"\"", "]"),
    ("objects", "[{}", ",{}", "]"),
    ("lists in lists", "", "[", ""),
    ("members", "{\"\":1", ",\"\":1", "}"),
    ("members with escapes", "{\"\":1", r#","\u0074\u0079\u0070\u0065":1"#, "}"),
    // Behind the value, in the object around it.
    ("more members", "1", ",\"\":1", ""),
    ("more members with escapes", "1", r#","\u0064ata":1"#, ""),
    ("more members that are known", "1", r#","data":1"#, ""),
];

/// Messages, and the number that is charged for them.
struct Dear {
    name: String,
    target: &'static str,
    texts: Vec<String>,
    charged: usize,
    /// The deliveries for which another client pays with its next messages, beside those of [`next`].
    later: usize,
    /// The operator is told of the first one of a client, so each has a client of its own.
    is_in_vain: bool,
}

/// Lists that are as long as their limits, and charged by their elements.
fn lists() -> Vec<Dear> {
    let quoted = |count: usize, name: &dyn Fn(usize) -> String| {
        serde_json::to_string(&(0..count).map(name).collect::<Vec<_>>()).expect("JSON")
    };
    let topics = quoted(TOPICS, &|n| format!("{n:x}"));
    let many_topics = quoted(1_000, &|n| format!("{n:x}"));
    let ids = quoted(100, &|n| format!("{n:x}"));
    let hashes = quoted(100, &|n| format!("{n:020}"));
    let dear = |name: &str, target, texts: Vec<String>, charged| Dear {
        name: name.to_owned(),
        target,
        texts,
        charged,
        later: 0,
        is_in_vain: false,
    };
    let subscriptions = |name: &str, filters: &[String], values: usize, later| {
        let requests = filters.chunks(16).enumerate();
        let texts: Vec<_> =
            requests.map(|(n, filters)| format!(r#"["REQ","{n}",{}]"#, filters.join(","))).collect();
        let charged = texts.len()
            + texts.iter().map(|text| text.len() / 250).sum::<usize>()
            + filters.len()
            + values / 16;
        Dear { later, ..dear(name, ROOT, texts, charged) }
    };
    let others = quoted(250, &|n| format!("{n:03}"));
    let fitting: String = ('b'..='n').map(|letter| format!(r##""#{letter}":["{letter}"],"##)).collect();
    let command = |kind: &str, list: &str, name: &str| format!(r#"{{"type":"{kind}","{name}":{list}}}"#);
    let request = |topics: &str| format!(r##"["REQ","s",{{"kinds":[20001],"#x":{topics}}}]"##);
    let of_topics =
        |list: &str| vec![command("subscribe", list, "topics"), command("unsubscribe", list, "topics")];
    vec![
        dear("topics, as many as are read", ROOT, of_topics(&topics), 2 * (1 + TOPICS)),
        dear("topics, too many", ROOT, of_topics(&many_topics), 2 * (1 + TOPICS)),
        dear(
            "ids to watch",
            PEERJS,
            vec![command("PRESENCE-WATCH", &ids, "ids"), command("PRESENCE-UNWATCH", &ids, "ids")],
            2 * 101,
        ),
        dear("info hashes", ROOT, vec![format!(r#"{{"action":"scrape","info_hash":{hashes}}}"#)], 101),
        dear(
            "offers",
            ROOT,
            vec![format!(
                r#"{{"action":"announce","info_hash":"{HASH}","peer_id":"{HASH}","offers":[{}]}}"#,
                [r#"{"offer":{}}"#; 82].join(",")
            )],
            83,
        ),
        subscriptions(
            "filters of many values",
            &vec![format!(r##"{{"#t":["t"],"#a":{others}}}"##); 42],
            42 * 251,
            42 * 16 / 64,
        ),
        subscriptions(
            "filters of which the last condition fails",
            &vec![format!(r##"{{"#t":["t"],{fitting}"#o":["no"]}}"##); 256],
            256 * 15,
            256 * 14 / 64,
        ),
        subscriptions("filters that all fit", &vec![r##"{"#t":["t"]}"##.to_owned(); 256], 256, 15),
        dear(
            "an end and a begin of filters with one topic",
            ROOT,
            vec![
                format!(
                    r##"["REQ","x",{}]"##,
                    vec![format!(r##"{{"#t":{}}}"##, quoted(250, &|_| "t".to_owned())); 6].join(",")
                ),
                r#"["CLOSE","x"]"#.to_owned(),
            ],
            2 + 6 * 1_000 / 250 + 6 * 250 / 16,
        ),
        dear("an event", ROOT, vec![format!("[\"EVENT\",{EVENT}]")], 1 + 1 + 20 + 3),
        dear(
            "events to hear",
            ROOT,
            ["a", "b"].map(|mark| request(&quoted(250, &|n| format!("{mark}{n:063}")))).into(),
            2 * 251,
        ),
        dear("room codes", ROOT, vec![r#"{"action":"createRoom"}"#.to_owned()], 1),
        dear("start of a call", ROOT, vec![r#"{"action":"start"}"#.to_owned()], 1),
        dear(
            "join and leave",
            PEERJS,
            ["JOIN", "LEAVE"].map(|kind| format!(r#"{{"type":"ROOM-{kind}","room":"r"}}"#)).into(),
            2,
        ),
        dear("join", RXDB, vec![r#"{"type":"join","room":"my-room"}"#.to_owned()], 1),
        dear("signal", MATCHBOX, vec![format!(r#"{{"Signal":{{"receiver":"{UUID}","data":1}}}}"#)], 1),
        dear("offer", PEERJS, vec![r#"{"type":"OFFER","dst":"nobody","payload":1}"#.to_owned()], 1),
    ]
}

fn long() -> Vec<Dear> {
    let mut all = Vec::new();
    for hole in HOLES {
        for (value, begin, repeated, end) in VALUES {
            let times = LONG / repeated.len();
            let ends = if *repeated == "[" { "]".repeat(times / 2) } else { String::new() };
            let times = times - ends.len();
            let text = [hole.before, begin, &repeated.repeat(times), &ends, end, hole.after].concat();
            let name = format!("{}: {value}", hole.name);
            let charged = 1 + match *value {
                _ if hole.name.starts_with("nostr") => text.len() / 250,
                "texts" if hole.before.ends_with("\"topics\":") => TOPICS,
                _ => 0,
            };
            let Hole { target, is_in_vain, .. } = *hole;
            all.push(Dear { name, target, texts: vec![text], charged, later: 0, is_in_vain });
        }
    }
    all
}

/// The next messages of another client at this address, and what is charged for them.
fn next(target: &str) -> (Vec<String>, usize) {
    let rooms = ["JOIN", "SEND", "LEAVE"].map(|kind| format!(r#"{{"type":"ROOM-{kind}","room":"r"}}"#));
    match target {
        PEERJS => (rooms.into(), 3 + 3),
        ROOT => (
            vec![
                format!("[\"EVENT\",{}]", EVENT_WITH_TAGS.trim_end()),
                r#"{"type":"publish","topic":"none"}"#.to_owned(),
                format!(r#"{{"action":"announce","info_hash":"{HASH}","peer_id":"another-anoth-anothe"}}"#),
            ],
            3 + 20 + EVENT_WITH_TAGS.len() / 250 + 32 + 1,
        ),
        RXDB => (vec![r#"{"type":"join","room":"my-room"}"#.to_owned()], 2),
        _ => (vec![format!(r#"{{"Signal":{{"receiver":"{UUID}","data":1}}}}"#)], 1),
    }
}

impl Dear {
    /// The number of messages for which its client pays, or of 1,000 bytes.
    fn units(&self) -> f64 {
        let bytes: usize = self.texts.iter().map(String::len).sum();
        self.charged.max(bytes.div_ceil(1000)) as f64
    }
}

/// Sends texts, and waits until they are handled. The ping has a read of its own: otherwise the load of the
/// machine would decide it.
fn handle(program: &Program, client: &mut RawClient, frames: &[u8]) {
    client.send_raw(frames);
    wait_until_asleep(program);
    client.ping(b"");
    while client.next_frame("a pong").expect("a frame").opcode() != opcode::PONG {}
}

/// The instructions of these texts, and of a ping behind them. The clients take turns.
fn instructions<'c>(
    server: &mut Callgrind,
    clients: impl IntoIterator<Item = &'c mut RawClient>,
    texts: &[String],
) -> f64 {
    let frames: Vec<u8> = texts.iter().flat_map(|text| wire::text(text)).collect();
    let mut clients: Vec<&mut RawClient> = clients.into_iter().collect();
    let mut turn = 0;
    server.count_once(TIMES, |program| {
        let among = clients.len();
        handle(program, clients[turn % among], &frames);
        turn += 1;
    })
}

/// Clients that have sent nothing, for a message of each. Their opening is not counted.
fn newcomers(server: &mut Callgrind, target: &str, number: &mut u32) -> Vec<RawClient> {
    let mut open = |program: &Program| {
        *number += 1;
        program.connect(&if target == ROOT { ROOT.to_owned() } else { format!("{target}{number}") })
    };
    let opened = (0..TIMES).map(|_| open(&server.program)).collect();
    wait_until_asleep(&server.program);
    server.forget();
    opened
}

/// Prints the messages that are dear, and returns the names of those that are too dear.
pub fn too_dear(wants: impl Fn(&str) -> bool) -> (usize, Vec<String>) {
    let rows: Vec<Dear> = lists().into_iter().chain(long()).filter(|row| wants(&row.name)).collect();
    if rows.is_empty() {
        return (0, Vec::new());
    }
    let dialects = "peerjs,room_codes,calls,topics,nostr,rxdb,tracker,matchbox";
    let mut server = Callgrind::start(&["--dialects", dialects]);
    // Opened before anything is counted.
    let mut clients: HashMap<&str, RawClient> =
        [PEERJS, ROOT, RXDB, MATCHBOX].map(|target| (target, server.program.connect(target))).into();
    let mut others: HashMap<&str, RawClient> = [PEERJS, ROOT, RXDB, MATCHBOX]
        .map(|target| (target, server.program.connect(&target.replace("id=one", "id=other"))))
        .into();
    let heartbeats = wire::text(r#"{"type":"HEARTBEAT"}"#).repeat(HEARTBEATS);
    let read = server
        .count(READS, |program| handle(program, clients.get_mut(PEERJS).expect("a client"), &heartbeats));
    let heartbeat = read.instructions / HEARTBEATS as f64;
    println!("{:<60} {heartbeat:>8.0} instructions", "heartbeat");
    let mut failed = Vec::new();
    let mut number = 0;
    // They stay to the end, so that no row has their leaving.
    let mut all = Vec::new();
    for row in &rows {
        let cost = if row.is_in_vain {
            let mut opened = newcomers(&mut server, row.target, &mut number);
            let cost = instructions(&mut server, &mut opened, &row.texts);
            all.push(opened);
            cost
        } else {
            let client = clients.get_mut(row.target).expect("a client of each protocol");
            instructions(&mut server, [client], &row.texts)
        };
        let (texts, charged) = next(row.target);
        let later = instructions(&mut server, others.get_mut(row.target), &texts);
        let later = later / heartbeat / (charged + row.later) as f64;
        if row.later > 0 {
            let ends: String = (0..16).map(|n| format!(r#"["CLOSE","{n}"]"#) + "\n").collect();
            let ends: Vec<u8> = ends.lines().flat_map(wire::text).collect();
            handle(&server.program, clients.get_mut(row.target).expect("a client"), &ends);
            server.forget();
        }
        let told = if row.is_in_vain { TOLD } else { 0.0 };
        let cost = (cost / heartbeat - told).max(0.0) / row.units();
        let is_too_dear = cost.max(later) > MOST;
        if is_too_dear || cost.max(later) > MOST / 2.0 {
            let verdict = if is_too_dear { "  TOO DEAR" } else { "" };
            println!("{:<60} {cost:>8.1} heartbeats each, others pay {later:>8.1}{verdict}", row.name);
        }
        failed.extend(is_too_dear.then(|| row.name.clone()));
    }
    (rows.len(), failed)
}
