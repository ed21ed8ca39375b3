//! Clients that act while instructions are counted. One thing is under way at a time, so that each run does
//! the same.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::client::Resumption;

use testkit::http_client::TIMEOUT;
use testkit::messages::{message, offer};
use testkit::program::Program;
use testkit::raw_client::RawClient;
use testkit::relay_client::{Side, payload, relay_in};
use testkit::tls;
use testkit::tools::fixture;
use testkit::turn_client::{Datagrams, SECRET, TurnClient, turn_of};
use testkit::wire;

use crate::callgrind::{Callgrind, Cost, wait_until_asleep};

/// A name, and a function that counts.
type Scenario = (&'static str, fn() -> Cost);

pub const ALL: &[Scenario] = &[
    ("message", || messages(&Connection::Plain)),
    ("message over TLS", || messages(&Connection::Tls)),
    ("ten heartbeats and a message, at once", heartbeats),
    ("message to a room of twenty", room),
    ("open, register and close", || opens(&Connection::Plain)),
    ("open, register and close over TLS, in full", || opens(&Connection::Tls)),
    ("open, register and close over TLS, resumed", || opens(&Connection::TlsResumed)),
    ("twenty messages kept for a peer that comes", kept),
    ("sweep of 500 peers", sweep),
    ("datagram through the relay", relayed),
    ("datagram through a channel of TURN", channel),
];

/// A datagram of media.
const DATAGRAM: [u8; 1_200] = [0x80; 1_200];

/// A kind of connection.
enum Connection {
    Plain,
    /// Each connection has a full handshake.
    Tls,
    /// The first has a full handshake, and the others resume its session.
    TlsResumed,
}

impl Connection {
    fn start(&self) -> Callgrind {
        let chain = fixture("ec-chain.pem");
        let key = fixture("ec-pkcs8.key");
        let text = |path: &std::path::Path| path.display().to_string();
        match self {
            Connection::Plain => Callgrind::start(&[]),
            Connection::Tls | Connection::TlsResumed => {
                Callgrind::start(&["--sslcert", &text(&chain), "--sslkey", &text(&key)])
            }
        }
    }

    /// Returns a function that opens a registered client.
    fn opener(&self) -> impl Fn(&Program, &str) -> RawClient {
        let config = match self {
            Connection::Plain => None,
            Connection::Tls => {
                let mut config = (*tls::trust()).clone();
                config.resumption = Resumption::disabled();
                Some(config.into())
            }
            Connection::TlsResumed => Some(tls::trust()),
        };
        move |program, id| {
            let target = format!("/peerjs?key=peerjs&id={id}&token=t");
            let mut client = match &config {
                None => RawClient::connect(program.address, id),
                Some(config) => RawClient::connect_tls(program.address, id, config.clone()),
            };
            client.send_raw(RawClient::handshake(&target));
            client.expect_accepted();
            client.expect_open();
            client
        }
    }
}

/// An offer of some 1,200 bytes, as a browser makes one.
fn description() -> String {
    let candidate = "a=candidate:1467250027 1 udp 2122260223 192.0.2.7 46243 typ host generation 0";
    payload("offer", "aufrag", &[candidate; 12])
}

fn messages(connection: &Connection) -> Cost {
    let mut server = connection.start();
    let open = connection.opener();
    let mut one = open(&server.program, "one");
    let mut other = open(&server.program, "other");
    let sent = offer("other", &description());
    server.count(200, |_| {
        one.send(&sent);
        other.expect_text();
    })
}

fn heartbeats() -> Cost {
    let mut server = Connection::Plain.start();
    let mut client = server.program.client("one");
    let heartbeat = wire::text(r#"{"type":"HEARTBEAT"}"#);
    let burst = [heartbeat.repeat(10), wire::text(&message("CANDIDATE", "one", "1"))].concat();
    server.count(50, |_| {
        client.send_raw(&burst);
        client.expect_text();
    })
}

/// As large as the other messages, so nineteen of those are the comparison.
fn room() -> Cost {
    let mut server = Connection::Plain.start();
    let mut members: Vec<RawClient> =
        (0..20).map(|n| server.program.client(&format!("member-{n}"))).collect();
    for n in 0..members.len() {
        members[n].send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
        // A list for the new one, and a change for each that was there before.
        members.iter_mut().take(n + 1).for_each(|member| drop(member.expect_text()));
    }
    let sent = format!(r#"{{"type":"ROOM-SEND","room":"r","payload":{}}}"#, description());
    server.count(20, |_| {
        members[0].send(&sent);
        members.iter_mut().skip(1).for_each(|member| drop(member.expect_text()));
    })
}

fn opens(connection: &Connection) -> Cost {
    let mut server = connection.start();
    let open = connection.opener();
    server.count(20, |program| open(program, "one").expect_closed_by_us(Some(1000)))
}

fn kept() -> Cost {
    let mut server = Connection::Plain.start();
    let mut sender = server.program.client("one");
    let sent = wire::text(&offer("late", &description()));
    server.count(5, |program| {
        sender.send_raw(sent.repeat(20));
        // The answer to a ping comes after all messages before it.
        sender.ping(b"");
        sender.expect_pong();
        let mut late = program.client("late");
        for _ in 0..20 {
            late.expect_text();
        }
        late.expect_closed_by_us(Some(1000));
    })
}

fn sweep() -> Cost {
    let mut server = Connection::Plain.start();
    let _peers: Vec<RawClient> = (0..500).map(|n| server.program.client(&format!("peer-{n}"))).collect();
    // Shorter than the interval of the sweeper, because a busy machine takes long to dump: some rounds have
    // one sweep, in the only thread that does anything.
    server.count(1, |_| sleep(Duration::from_millis(100)))
}

fn relayed() -> Cost {
    let mut server =
        Callgrind::start(&["--relay", "127.0.0.1:0", "--relay_private", "--relay_bytes_per_second", "0"]);
    let mut one = server.program.client("one");
    let mut other = server.program.client("other");
    one.send(message("OFFER", "other", &payload("offer", "aufrag", &[])));
    let relay = relay_in(&other.expect_text());
    other.send(message("ANSWER", "one", &payload("answer", "bufrag", &[])));
    one.expect_text();
    let [a, b] = [Side::new(relay, "aufrag", "bufrag"), Side::new(relay, "bufrag", "aufrag")];
    a.prove();
    b.prove();
    let send = || a.socket.send(&DATAGRAM).expect("a datagram is sent");
    // The relay may not have handled the last answer yet, and then it drops what comes.
    b.socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let begun = Instant::now();
    while send() > 0 && b.socket.recv(&mut [0; 2048]).is_err() {
        assert!(begun.elapsed() < TIMEOUT, "nothing passes");
    }
    b.socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    server.count(100, |program| {
        send();
        while b.receive() != DATAGRAM {}
        wait_until_asleep(program);
    })
}

fn channel() -> Cost {
    let flags = ["--turn", "127.0.0.1:0", "--turn_secret", SECRET, "--relay_bytes_per_second", "0"];
    let mut server = Callgrind::start(&flags);
    let turn = turn_of(&server.program);
    let [mut one, mut other] = [(); 2].map(|()| TurnClient::allocate(Datagrams::to(turn)));
    assert!(one.bind(other.relayed) && other.bind(one.relayed), "channels");
    server.count(100, |program| {
        one.send(&DATAGRAM);
        other.receive();
        wait_until_asleep(program);
    })
}
