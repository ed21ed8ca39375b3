//! Attacks on the program from outside, and the limits that must hold during them and after them.
//!
//! `make test-hostile` runs them against the release binary; arguments choose attacks by parts of
//! their names. Every attack has its own server, which also serves bystanders.

mod bystanders;
mod cluster;
mod flow;
mod frames;
mod games;
mod harness;
mod http;
mod ids;
mod matchbox;
mod memory;
mod nostr;
mod operator;
mod pipes;
mod relay;
mod resources;
mod rooms;
mod topics;
mod tracker;
mod turn;
mod turn_floods;

use testkit::rows::{Arguments, verdict};
use testkit::{
    api, directory, guests, http_client, process, program, raw_client, redis_server, relay_client,
    room_views, turn_client, wire,
};

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use harness::{Attack, Ended, Row};

/// An attack with the path of its function as its name.
macro_rules! attack {
    ($theme:ident::$name:ident, $sends:literal) => {
        Attack::new(concat!(stringify!($theme), "::", stringify!($name)), $sends, $theme::$name)
    };
}

/// A TURN server on a free port, whose clients may send as fast as they can.
const TURN: &[&str] =
    &["--turn", "127.0.0.1:0", "--turn_secret", turn_client::SECRET, "--relay_bytes_per_second", "0"];
/// The same with few allocations.
const SMALL_TURN: &[&str] =
    &["--turn", "127.0.0.1:0", "--turn_secret", turn_client::SECRET, "--relay_calls", "4000"];

/// A relay on a free port, for clients of this machine.
const RELAY: &[&str] = &["--relay", "127.0.0.1:0", "--relay_private"];
/// The same, whose clients may send as fast as they can.
const UNBOUND_RELAY: &[&str] =
    &["--relay", "127.0.0.1:0", "--relay_private", "--relay_bytes_per_second", "0"];

/// For attacks that would take too long at the default rate limit.
const NO_RATE: &[&str] = &["--messages_per_second", "0"];

/// The same with the limits of bytes that a small server has.
const SLOW_TURN: &[&str] =
    &["--turn", "127.0.0.1:0", "--turn_secret", turn_client::SECRET, "--relay_bytes_per_second", "125000"];
/// The same with the default limits of bytes.
const DEFAULT_TURN: &[&str] = &["--turn", "127.0.0.1:0", "--turn_secret", turn_client::SECRET];
/// The same with few allocations, which twenty addresses can take.
const HOARDED_TURN: &[&str] =
    &["--turn", "127.0.0.1:0", "--turn_secret", turn_client::SECRET, "--relay_calls", "4000"];

/// For attacks that wait until their members have gone.
const SOON_GONE: &[&str] = &["--reclaim_timeout", "1000"];

/// Pipes that are as fast as the machine.
const FAST_PIPES: &[&str] = &["--pipe_total_bytes_per_second", "0"];

/// A tracker is off by default.
const TRACKER: &[&str] = &["--dialects", "peerjs,tracker"];

/// The same, for an attack that would take too long at the default rate limit.
const FAST_TRACKER: &[&str] = &["--dialects", "peerjs,tracker", "--messages_per_second", "0"];

/// Matchbox is off by default, too.
const MATCHBOX: &[&str] = &["--dialects", "peerjs,matchbox"];

const ATTACKS: &[Attack] = &[
    // Requests and answers.
    attack!(http::silent_bodies, "1,100 requests whose chunked body never comes").peak_mib(100).waits(),
    attack!(http::unread_answers, "20 × 16 MiB of pipelined requests, and no answer is read").waits(),
    attack!(http::pipelined_posts, "20,000 pipelined posts for absent ids, again and again")
        .cores(0.25)
        .waits(),
    attack!(http::call_reports, "20,000 reports of connections, each of another client, from loopback")
        .flags(&["--call_reports"])
        .peak_mib(60),
    attack!(http::smuggled_requests, "26 requests whose end two readers could see in different places"),
    // Ids, queues and rates.
    attack!(ids::delayed_probe, "0.9 MB to a peer that reads 100 KB/s, then the id with another token"),
    attack!(
        ids::probed_from_its_network,
        "60 KB to a peer that reads 64 kbit/s, then its id from its own address with another token"
    )
    .waits(),
    attack!(ids::overfilled_outbox, "8 MB to a peer that reads 400 KB/s, then the id with another token")
        .waits(),
    attack!(ids::self_takeover, "400 times 0.9 MB to an id that does not read, and a takeover").peak_mib(100),
    attack!(ids::bursts_for_absent_peers, "small offers of 300 clients to ever new ids, for 7 s")
        .peak_mib(400)
        .longest_wait(Duration::from_secs(1)),
    attack!(ids::leaving_and_coming_back, "2,000 messages, leaves and comes back, 20 times"),
    // Frames and messages.
    attack!(frames::escaped_names, "8 MiB of members whose names are written with escapes"),
    attack!(frames::ping_flood, "pings on one connection, as fast as they are read").waits(),
    // Memory.
    attack!(
        memory::unfinished_messages,
        "600 messages of 1 MiB without their last byte, half of them in fragments"
    )
    .peak_mib(400),
    attack!(memory::waiting_offers, "600 offers of 0.95 MB for a room whose host was lost").peak_mib(250),
    attack!(memory::flood_for_an_absent_peer, "200 MB for a peer that is absent")
        .flags(NO_RATE)
        .peak_mib(150),
    attack!(memory::unread_outboxes, "0.9 MB for each of 200 peers that do not read")
        .flags(NO_RATE)
        .peak_mib(300),
    attack!(
        memory::messages_to_a_silent_app,
        "1,800 messages of 60 KiB of 9 keys to an app that never answers"
    )
    .flags(&["--webhook_private"])
    .peak_mib(150),
    // Rooms.
    attack!(rooms::many_rooms, "6,400 rooms with the longest names and data, left and replaced 4 times"),
    attack!(rooms::giant_room, "the burst of each member of a room of 500, who do not read")
        .flags(SOON_GONE)
        .peak_mib(300)
        // 2,500,000 frames, the burst of a key, keep two cores busy for a second or two.
        .longest_wait(Duration::from_secs(3)),
    attack!(
        rooms::presence_flapping,
        "joins, leaves and connections that begin and end in a room of 200 that do not read, for 3 s"
    )
    .peak_mib(250),
    attack!(rooms::changes_for_a_slow_member, "2,000 changes of 1 KB at once to a member that reads 1 MB/s"),
    attack!(rooms::data_at_its_bound, "12 lists for each of 100 members with 1 KB of data that do not read")
        .flags(SOON_GONE)
        .peak_mib(300),
    attack!(rooms::many_watched_ids, "100,000 watched ids of 1,000 clients"),
    attack!(
        rooms::watched_ids,
        "30,000 watched ids, of which one comes and goes 200 times, with 300 that watch it"
    )
    .flags(SOON_GONE)
    .peak_mib(150),
    // Games.
    attack!(games::writers, "writes of 4 KB of 10 members to a room of 100 that do not read, for 3 s")
        .flags(SOON_GONE)
        .peak_mib(100),
    attack!(games::floods_of_names, "256 names, deleted and replaced by each of 10 members, for 3 s")
        .flags(SOON_GONE)
        .peak_mib(100),
    attack!(games::hosts_that_come_and_go, "1,000 rooms with a host and a state, and 1,000 hosts of one room"),
    attack!(games::states_that_nobody_reads, "states of 60 KB of 400 rooms").peak_mib(100),
    // Nostr.
    attack!(nostr::many_subscriptions, "48,000 topics with the longest names in filters, left and replaced 4 times")
        .peak_mib(200),
    attack!(nostr::compared_events, "events that are compared with 46 KiB of filters of each of 60 guests, for 5 s"),
    attack!(nostr::signed_events, "events with signatures of 16 guests, for 5 s"),
    // Topics.
    attack!(topics::many_topics, "12,800 topics with the longest names, left and replaced 4 times")
        .peak_mib(100),
    attack!(topics::long_lists, "lists of 240,000 topics of 16 guests, for 5 s").peak_mib(150),
    attack!(
        topics::flooded_topic,
        "a publication of each of 250 guests, and 200 more of 10 of them, to 5,000 subscribers that do not read"
    )
    .flags(&["--room_members", "5000", "--concurrent_limit", "6000"])
    .peak_mib(400)
    // Half as many frames as in the giant room, which are written into ten times as many sockets.
    .longest_wait(Duration::from_secs(10)),
    // The tracker.
    attack!(tracker::many_swarms, "20 guests that announce 1,000 torrents each").flags(TRACKER),
    attack!(
        tracker::ten_thousand_hashes,
        "10,000 announces of one guest, and 10,000 info hashes in each scrape and announce of another one"
    )
    .flags(FAST_TRACKER),
    attack!(
        tracker::flooded_swarm,
        "200 announces with 82 offers of 1 KB in a swarm of 320, of whom 300 do not read"
    )
    .flags(TRACKER)
    .peak_mib(150),
    // Matchbox.
    attack!(
        matchbox::groups_that_are_never_full,
        "2,000 peers that wait in groups of their own for 1,000,000 others, replaced 4 times"
    )
    .flags(MATCHBOX)
    .peak_mib(100),
    attack!(
        matchbox::crowds_that_are_never_full,
        "2,000 peers that do not read and wait for 1,000,000 others in 4 rooms, and 200 more that are refused"
    )
    .flags(MATCHBOX)
    .peak_mib(150),
    // Pipes.
    attack!(pipes::ends_that_wait, "900 waiting ends of 9 addresses, and 180 more that are refused")
        .peak_mib(100),
    attack!(pipes::ends_that_do_not_read, "1 MiB into each of 300 pipes whose other end does not read")
        .flags(FAST_PIPES)
        .peak_mib(150),
    attack!(pipes::tiny_frames, "frames of one byte through 8 pipes of one address, for 4 s"),
    // A cluster.
    attack!(
        cluster::unknown_ids,
        "small offers of 300 clients to ever new ids, for 7 s, at a node of a cluster"
    )
    .clustered()
    .peak_mib(400)
    // The workers handle the bursts of all of them first, beside 600 threads that flood, another node and
    // Redis. Waits were from 1.7 to 5.6 s on two slow cores. A message expires after 5 s.
    .longest_wait(Duration::from_secs(10)),
    // The operator.
    attack!(operator::guessed_tokens, "wrong admin tokens, as fast as they are answered"),
    attack!(operator::many_keys, "8,000 keys that nobody uses"),
    // The machine.
    attack!(resources::descriptors, "400 connections to a server that may open 200 files")
        .descriptors(200)
        .waits(),
    attack!(resources::full_disk, "keys to store on a disk that is full"),
    // TURN.
    attack!(turn::strangers, "200,000 requests for an allocation from 2,000 ports, without credentials")
        .flags(TURN),
    attack!(turn::all_allocations, "4,000 requests for 2,000 allocations, and 4,000 with a wrong password")
        .flags(SMALL_TURN),
    attack!(turn::slow_readers, "5 MB for each of 20 TCP clients that do not read").flags(TURN).waits(),
    attack!(turn::garbage, "2,500 connections with bytes that are almost STUN, TURN or TLS")
        .flags(TURN)
        .waits(),
    attack!(turn_floods::empty_messages, "empty ChannelData over 4 connections, of strangers and of clients")
        .flags(DEFAULT_TURN),
    attack!(
        turn_floods::empty_frames,
        "empty, tiny and STUN frames to the relay and to the broker's port, over 8 connections"
    ),
    attack!(turn_floods::empty_messages_in_tls, "empty ChannelData inside TLS over 4 connections"),
    attack!(turn_floods::tiny_datagrams, "ChannelData of one byte, as fast as one client can")
        .flags(SLOW_TURN),
    attack!(turn_floods::hoarded_allocations, "2,000 requests for 2,000 allocations from 20 addresses")
        .flags(HOARDED_TURN),
    // The relay.
    attack!(relay::all_calls, "22,000 calls with themselves of 44 clients at 4 addresses")
        .flags(RELAY)
        .peak_mib(150),
    attack!(relay::all_offers, "102,400 offers of 1,600 clients at 16 addresses").flags(RELAY).peak_mib(200),
    attack!(relay::strangers, "100,000 checks of unknown calls from 1,000 ports").flags(RELAY),
    attack!(relay::garbage, "2,000 connections with bytes that are almost a check").flags(RELAY),
    attack!(relay::slow_readers, "5 MB for each of 6 sides of calls over TCP that do not read")
        .flags(UNBOUND_RELAY)
        .peak_mib(150)
        .waits(),
];

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read("test-hostile") else { return ExitCode::SUCCESS };
    // The rows show the failures.
    std::panic::set_hook(Box::new(|_| {}));
    // A server with its clients in one process needs two descriptors for each connection.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let wanted = ATTACKS.iter().filter(|attack| arguments.wants(attack.name));
    let (waiting, working): (Vec<_>, Vec<_>) = wanted.partition(|attack| attack.waits);
    println!("{}", Row::HEAD);
    let settled = |ended: Ended<'static>| {
        let row = ended.settle();
        row.print();
        row
    };
    let rows: Vec<Row> = thread::scope(|scope| {
        let mut attacks = Vec::new();
        for attack in waiting {
            attacks.push(scope.spawn(move || settled(attack.run())));
        }
        for attack in working {
            let ended = attack.run();
            // Servers give memory back after seconds.
            attacks.push(scope.spawn(move || settled(ended)));
        }
        attacks.into_iter().map(|row| row.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let broke: Vec<&Row> = rows.iter().filter(|row| !row.failures.is_empty()).collect();
    // Again at the end, which is the part of a long log that people see.
    broke.iter().for_each(|row| row.print());
    verdict(rows.len(), &broke.iter().map(|row| row.name()).collect::<Vec<_>>())
}
