//! Attacks on the relay of calls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{connect_with_small_segments, ended};
use crate::harness::{Target, accepted};
use crate::http_client::connect;
use crate::raw_client::RawClient;
use crate::relay_client::{Side, candidate, payload, relay_in};
use crate::turn::attacker;
use crate::turn_floods::framed;

const VICTIM: &str = "203.0.113.10";
/// Time in which the server must give something up.
const GIVES_UP: Duration = Duration::from_secs(60);

/// The address of the relay, as an offer names it.
fn relay_of(target: &Target) -> SocketAddr {
    let mut client = target.client(VICTIM, "asks", "t");
    client.send(message("OFFER", "asks", &payload("offer", "askufrag", &[])));
    relay_in(&client.expect_text())
}

fn message(kind: &str, dst: &str, payload: &str) -> String {
    format!(r#"{{"type":"{kind}","dst":"{dst}","payload":{payload}}}"#)
}

/// Two clients call each other twenty times, and each time both are told the candidate of the relay.
fn call_each_other(target: &Target, when: &str) {
    let mut a = target.client(VICTIM, "a", "t");
    let mut b = target.client(VICTIM, "b", "t");
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
    let server = target.address;
    let messages = &messages;
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

/// Each hears the other, and answers the relay's checks meanwhile. The kernel may lose a datagram beside a
/// flood.
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
