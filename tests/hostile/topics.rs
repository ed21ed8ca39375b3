//! Attacks on topics: on other subscribers, and on memory.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::flow::{connect_with_small_segments, exchange, push};
use crate::harness::{Target, with_address};
use crate::process::Process;
use crate::raw_client::RawClient;
use crate::wire::{self, opcode};

const SECOND: Duration = Duration::from_secs(1);

/// A guest behind an address. They are spread, so that limits of addresses do not stop them.
pub fn guest(stream: TcpStream, n: usize) -> (TcpStream, RawClient) {
    let mut client = RawClient::over(stream.try_clone().expect("a connection"), &format!("guest-{n}"));
    let from = format!("198.51.100.{}", n % 200);
    client.send_raw(with_address(&RawClient::handshake("/"), &from));
    client.expect_accepted();
    (stream, client)
}

fn command(kind: &str, topics: &[String]) -> Vec<u8> {
    let topics = serde_json::to_string(topics).expect("JSON");
    wire::text(&format!(r#"{{"type":"{kind}","topics":{topics}}}"#))
}

fn publish(topic: &str, data: &str) -> Vec<u8> {
    wire::text(&format!(r#"{{"type":"publish","topic":"{topic}","data":"{data}"}}"#))
}

/// The next text. The attack may take so long that pings come.
pub fn hear(client: &mut RawClient) -> String {
    loop {
        let frame = client.next_frame("a publication").expect("a frame");
        match frame.opcode() {
            opcode::PING => client.pong(&frame.payload),
            _ => return String::from_utf8(frame.payload).expect("UTF-8"),
        }
    }
}

pub fn many_topics(target: &mut Target) {
    const ATTACKERS: usize = 200;
    let mut attackers: Vec<_> = (0..ATTACKERS).map(|n| guest(target.connect(), n).1).collect();
    for round in 0..4 {
        // One more than is permitted.
        let topics =
            |n| (0..65).map(|topic| format!("{:x<256}", format!("{round}-{n}-{topic}-"))).collect::<Vec<_>>();
        for (n, client) in attackers.iter_mut().enumerate() {
            client.send_raw(command("subscribe", &topics(n)));
        }
        target.expect_metric("peerbroker_topics", ATTACKERS * 64);
        for (n, client) in attackers.iter_mut().enumerate() {
            client.send_raw(command("unsubscribe", &topics(n)));
        }
        target.expect_metric("peerbroker_topics", 0);
    }
}

/// The CPU time that the server needs for each of these messages of one guest. They are fewer than its rate
/// limit has it wait for.
fn work_on(target: &Target, guest: &mut RawClient, messages: &[Vec<u8>], times: u32) -> Duration {
    let server = Process(target.program.id());
    let before = server.cpu().expect("a server");
    for _ in 0..times {
        messages.iter().for_each(|message| guest.send_raw(message));
    }
    guest.send(r#"{"type":"ping"}"#);
    assert_eq!(hear(guest), r#"{"type":"pong"}"#);
    let work = server.cpu().expect("a server").saturating_sub(before);
    work / times / u32::try_from(messages.len()).expect("a few")
}

/// Guests subscribe to one topic, 240,000 times in each message. The server uses no more of such a list than
/// its limit, so it needs about as long as for one that is of no use.
pub fn long_lists(target: &mut Target) {
    const ATTACKERS: usize = 16;
    const MOST: u32 = 3;
    let topics = vec!["a".to_owned(); 240_000];
    let commands = ["subscribe", "unsubscribe"].map(|kind| command(kind, &topics));
    let (_, mut first) = guest(target.connect(), ATTACKERS);
    let unused = work_on(target, &mut first, &[command("unknown", &topics)], 100);
    let used = work_on(target, &mut first, &commands, 7);
    assert!(used < MOST * unused, "{used:?} for a list, {unused:?} for one that is of no use");
    let attackers: Vec<_> = (0..ATTACKERS).map(|n| guest(target.connect(), n)).collect();
    let deadline = Instant::now() + 5 * SECOND;
    std::thread::scope(|scope| {
        for (stream, _client) in &attackers {
            scope.spawn(|| exchange(stream, &commands.concat(), deadline, |_| {}));
        }
    });
}

/// Friends in another topic hear each other all the time.
pub fn flooded_topic(target: &mut Target) {
    // As the row raises `--room_members`.
    const SUBSCRIBERS: usize = 5000;
    const REFUSED: usize = 500;
    let topic = ["crowd".to_owned()];
    let mut friends = [0, 1].map(|n| guest(target.connect(), n).1);
    for friend in &mut friends {
        friend.send_raw(command("subscribe", &["friends".to_owned()]));
    }
    let deaf: Vec<_> =
        (0..SUBSCRIBERS + REFUSED).map(|n| guest(connect_with_small_segments(target.address), n).0).collect();
    for subscriber in &deaf {
        push(subscriber, &command("subscribe", &topic), Instant::now() + SECOND);
    }
    target.expect_metric("peerbroker_topic_subscriptions", SUBSCRIBERS + friends.len());
    target.expect_metric(r#"peerbroker_limit_hits_total{limit="room_members"}"#, REFUSED);
    let message = publish("crowd", &"x".repeat(512));
    for (n, publishers) in deaf.chunks(25).take(10).enumerate() {
        for publisher in publishers {
            push(publisher, &message, Instant::now() + SECOND);
        }
        // Beyond its own rate limit.
        push(&publishers[0], &message.repeat(200), Instant::now() + SECOND);
        let [one, other] = &mut friends;
        one.send_raw(publish("friends", &n.to_string()));
        for friend in [one, other] {
            let said = format!(r#"{{"type":"publish","topic":"friends","data":"{n}","clients":2}}"#);
            assert_eq!(hear(friend), said);
        }
    }
    drop(deaf);
    target.expect_metric("peerbroker_topic_subscriptions", friends.len());
}
