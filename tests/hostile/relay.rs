//! Attacks on the relay of calls, and on what clients are told about it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{connect_with_small_segments, ended};
use crate::harness::{Target, accepted};
use crate::http_client::connect;
use crate::raw_client::RawClient;
use crate::relay_client::{Side, candidate, payload, relay_in, sdp};
use crate::turn::attacker;
use crate::turn_floods::framed;

const VICTIM: &str = "203.0.113.10";
/// Time in which the server must give something up.
const GIVES_UP: Duration = Duration::from_secs(60);
const CANDIDATE: &str = "candidate:7 1 udp 2122 192.0.2.7 5 typ host";

/// The address of the relay, as an offer names it.
fn relay_of(target: &Target) -> SocketAddr {
    let mut client = target.client(VICTIM, "asks", "t");
    client.send(message("OFFER", "asks", &payload("offer", "askufrag", &[])));
    relay_in(&client.expect_text())
}

fn message(kind: &str, dst: &str, payload: &str) -> String {
    format!(r#"{{"type":"{kind}","dst":"{dst}","payload":{payload}}}"#)
}

/// A client of the root, and its id.
fn guest(target: &Target, from: &str) -> (RawClient, String) {
    let mut guest = RawClient::over(target.connect(), from);
    let handshake = RawClient::handshake("/");
    guest.send_raw(handshake.replacen("\r\n\r\n", &format!("\r\nX-Forwarded-For: {from}\r\n\r\n"), 1));
    guest.expect_accepted();
    guest.send(r#"{"action":"start"}"#);
    let started = guest.expect_text();
    let id = started.strip_prefix(r#"{"action":"start","id":""#).and_then(|id| id.strip_suffix(r#""}"#));
    let id = id.unwrap_or_else(|| panic!("{started}")).to_owned();
    (guest, id)
}

fn call(action: &str, to: &str, more: &str) -> String {
    format!(r#"{{"action":"{action}","data":{{"remoteId":"{to}"{more}}}}}"#)
}

/// Where all calls are relayed, no text tells a browser an address.
pub fn told_addresses(target: &mut Target) {
    let mut stranger = target.client("198.51.100.1", "stranger", "t");
    let mut victim = target.client(VICTIM, "victim", "t");
    let silent = |told: String| assert!(!told.contains("192.0.2.7"), "{told}");
    for blanks in ["", " ", "  ", r"\t", ":"] {
        stranger.send(message(
            "OFFER",
            "victim",
            &payload("offer", "aufrag", &[&format!("a={blanks}{CANDIDATE}")]),
        ));
        silent(victim.expect_text());
    }
    let ((mut stranger, _), (mut victim, id)) = (guest(target, "198.51.100.1"), guest(target, VICTIM));
    for text in [
        format!("{CANDIDATE} x v=0"),
        format!(r"v=0\r\n{CANDIDATE}"),
        format!(r"v=0\nx:{}", &CANDIDATE[10..]),
    ] {
        stranger.send(call("candidate", &id, &format!(r#","candidate":{{"candidate":"{text}"}}"#)));
        silent(victim.expect_text());
    }
}

/// A stranger answers a guest before the one who was called.
pub fn early_answers(target: &mut Target) {
    let ((mut one, one_id), (mut other, other_id)) = (guest(target, VICTIM), guest(target, VICTIM));
    let (mut stranger, _) = guest(target, "198.51.100.1");
    let description = |ufrag: &str| format!(r#","sdp":"{}""#, sdp(ufrag, &[]));
    one.send(call("offer", &other_id, &description("aufrag")));
    assert!(other.expect_text().contains("typ host"));
    stranger.send(call("answer", &one_id, &description("mufrag")));
    one.expect_text();
    other.send(call("answer", &one_id, &description("bufrag")));
    let told = one.expect_text();
    assert!(told.contains("typ host"), "the real answer has no candidate: {told}");
}

/// Two clients call each other twenty times, and each time both are told the candidate of the relay.
fn call_each_other(target: &Target, when: &str) {
    let (mut a, mut b) = (target.client(VICTIM, "a", "t"), target.client(VICTIM, "b", "t"));
    for number in 0..20 {
        let described = |kind: &str, side: char| {
            payload(kind, &format!("{side}{number}{when}"), &[]).replace("dc_1", &format!("dc_{number}"))
        };
        a.send(message("OFFER", "b", &described("offer", 'a')));
        assert!(b.expect_text().contains("typ host"), "offer {number} has no candidate");
        b.send(message("ANSWER", "a", &described("answer", 'b')));
        assert!(a.expect_text().contains("typ host"), "answer {number} has no candidate");
    }
}

/// Clients at several addresses that send messages to themselves, and stay.
fn crowd(
    target: &Target,
    addresses: usize,
    of_each: usize,
    messages: impl Fn(&str) -> Vec<String> + Sync,
) -> Vec<RawClient> {
    let (server, messages) = (target.address, &messages);
    let crowd = move |address: usize| -> Vec<RawClient> {
        let client = |number: usize| {
            let id = format!("m{address}x{number}");
            let mut client = accepted(connect(server), &format!("198.51.100.{address}"), &id, "t");
            client.expect_open();
            for batch in messages(&id).chunks(32) {
                batch.iter().for_each(|message| client.send(message));
                batch.iter().for_each(|_| drop(client.expect_text()));
            }
            client
        };
        (0..of_each).map(client).collect()
    };
    thread::scope(|scope| {
        let crowds: Vec<_> = (0..addresses).map(|address| scope.spawn(move || crowd(address))).collect();
        crowds.into_iter().flat_map(|crowd| crowd.join().expect("an attacker")).collect()
    })
}

pub fn all_calls(target: &mut Target) {
    call_each_other(target, "before");
    let _crowd = crowd(target, 4, 11, |id| {
        let call = |number: usize| {
            ["offer", "answer"].map(|kind| {
                let described = payload(kind, &format!("{id}{kind}{number}"), &[]);
                message(&kind.to_uppercase(), id, &described.replace("dc_1", &format!("dc_{number}")))
            })
        };
        (0..500).flat_map(call).collect()
    });
    let relay = &target.api.get("/api/stats").json["relay"];
    assert!(relay["calls"].as_u64().is_some_and(|calls| (19_000..=20_000).contains(&calls)), "{relay}");
    call_each_other(target, "after");
}

pub fn all_offers(target: &mut Target) {
    call_each_other(target, "before");
    let crowd = crowd(target, 16, 100, |id| {
        let offer = |number: usize| {
            let described = payload("offer", &format!("{id}{number}"), &[]);
            message("OFFER", id, &described.replace("dc_1", &format!("dc_{number}")))
        };
        (0..64).map(offer).collect()
    });
    call_each_other(target, "after");
    drop(crowd);
}

/// The two sides of a call that goes through the relay.
fn joined(target: &Target) -> [Side; 2] {
    let sides = answered(target, ["aufrag", "bufrag"]);
    sides.iter().for_each(Side::prove);
    sides
}

/// The two sides of a call that may go through the relay.
fn answered(target: &Target, [one_ufrag, other_ufrag]: [&'static str; 2]) -> [Side; 2] {
    let relay = relay_of(target);
    let mut clients = [one_ufrag, other_ufrag].map(|ufrag| target.client("198.51.100.1", ufrag, "t"));
    let [one, other] = &mut clients;
    one.send(message("OFFER", other_ufrag, &payload("offer", one_ufrag, &[])));
    assert!(other.expect_text().contains(&candidate(relay)));
    other.send(message("ANSWER", one_ufrag, &payload("answer", other_ufrag, &[])));
    assert!(one.expect_text().contains(&candidate(relay)));
    [Side::new(relay, one_ufrag, other_ufrag), Side::new(relay, other_ufrag, one_ufrag)]
}

/// Each hears the other, and answers the relay's checks meanwhile. The kernel may lose a datagram beside a flood.
fn talk([one, other]: &[Side; 2]) {
    for (from, to) in [(one, other), (other, one)] {
        to.socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let deadline = Instant::now() + GIVES_UP;
        'said: loop {
            assert!(Instant::now() < deadline, "a call that was there before goes on");
            from.socket.send(b"\xc8hello").expect("a socket");
            let mut buffer = [0; 2048];
            while let Ok(length) = to.socket.recv(&mut buffer) {
                match &buffer[..length] {
                    b"\xc8hello" => break 'said,
                    // A Binding request (RFC 8489, section 5).
                    check @ [0, 1, ..] => to.answer(check),
                    _ => {}
                }
            }
        }
    }
}

/// Requests of strangers with every name of a call but the right one.
pub fn strangers(target: &mut Target) {
    let pair = joined(target);
    let relay = pair[0].socket.peer_addr().expect("the relay");
    let stranger = Side::new(relay, "nobodys", "other");
    let ports: Vec<UdpSocket> =
        (0..1000).map(|number| UdpSocket::bind((attacker(number), 0)).expect("a port")).collect();
    for _ in 0..100 {
        let check = stranger.new_check();
        for port in &ports {
            // The kernel drops what is too fast.
            let _ = port.send_to(&check, relay);
        }
        talk(&pair);
    }
}

/// Connections whose first bytes are almost those of a call's client.
pub fn garbage(target: &mut Target) {
    let pair = joined(target);
    let relay = pair[0].socket.peer_addr().expect("the relay");
    let check = framed(&pair[0].new_check());
    let mut random = 1_usize;
    let connections: Vec<TcpStream> = (0..2000)
        .map(|number| {
            let mut bytes = check.clone();
            for _ in 0..8 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 33) % bytes.len();
                bytes[at] = (random >> 48) as u8;
            }
            let mut stream = connect(relay);
            let _ = stream.write_all(&bytes);
            if number % 100 == 0 {
                talk(&pair);
            }
            stream
        })
        .collect();
    let deadline = Instant::now() + GIVES_UP;
    assert!(connections.iter().all(|stream| ended(stream, deadline)), "all of them end");
    talk(&pair);
}

/// Sides of calls that come over TCP and read nothing.
pub fn slow_readers(target: &mut Target) {
    let pair = joined(target);
    let mut slow = Vec::new();
    for number in 0..6 {
        let ufrags = ["s", "r"].map(|side| &*format!("{side}{number}ufrag").leak());
        let [sender, reader] = answered(target, ufrags);
        let mut stream = connect_with_small_segments(sender.socket.peer_addr().expect("the relay"));
        stream.write_all(&framed(&reader.new_check())).expect("a connection");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a challenge");
        let mut challenge = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut challenge).expect("a challenge");
        stream.write_all(&framed(&reader.answer_to(&challenge))).expect("a connection");
        sender.prove();
        for _ in 0..5000 {
            let _ = sender.socket.send(&[200; 1000]);
        }
        talk(&pair);
        slow.push((stream, sender));
    }
}

/// Sends for three seconds, and counts the datagrams and bytes that pass.
fn flood(from: &Side, to: &Side, datagram: &[u8]) -> (usize, usize, Duration) {
    let begun = Instant::now();
    to.socket.set_nonblocking(true).expect("a socket");
    let (mut datagrams, mut bytes, mut buffer) = (0, 0, [0; 2048]);
    while begun.elapsed() < Duration::from_secs(3) {
        // The kernel drops what is too fast.
        let _ = from.socket.send(datagram);
        while let Ok(length) = to.socket.recv(&mut buffer) {
            (datagrams, bytes) = (datagrams + 1, bytes + length);
        }
    }
    (datagrams, bytes, begun.elapsed())
}

/// The bytes that the relay's limit allows in that time, with a burst of ten seconds.
fn allowed(time: Duration) -> usize {
    (time + Duration::from_secs(10)).as_secs() as usize * 10_000
}

pub fn tiny_datagrams(target: &mut Target) {
    let [one, other] = joined(target);
    let (datagrams, _, time) = flood(&one, &other, &[200]);
    let most = allowed(time) / 61 + 100;
    assert!(datagrams <= most, "{datagrams} datagrams of one byte, at most {most}");
    assert!(datagrams > 100, "{datagrams}");
}

pub fn padded_checks(target: &mut Target) {
    let [one, other] = joined(target);
    let (datagrams, bytes, time) = flood(&one, &other, &one.padded_check(400));
    // Five checks per second are free.
    let most = allowed(time) + 70 * 548;
    assert!(bytes <= most, "{bytes} bytes of checks, at most {most}");
    assert!(datagrams > 10, "{datagrams}");
}
