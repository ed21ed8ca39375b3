//! Expensive or malformed frames and messages.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::flow::{Dice, ended, exchange, push};
use crate::harness::Target;
use crate::ids::{message, ping};
use crate::process::Process;
use crate::raw_client::RawClient;
use crate::wire::{self, Frame, opcode};

const SECOND: Duration = Duration::from_secs(1);

pub fn escaped_names(target: &mut Target) {
    let server = Process(target.program.id());
    let mut client = target.client("198.51.100.1", "writer", "t");
    let mut cpu = |member: &str| {
        let members = member.repeat((1 << 20) / member.len() - 20);
        let text = wire::text(&format!(r#"{{{members}"type":"OFFER","dst":"nobody","payload":1}}"#));
        let before = server.cpu().expect("the CPU time of the server");
        for _ in 0..8 {
            client.send_raw(&text);
        }
        client.ping(b"");
        while client.next_frame("a pong").expect("a connection").opcode() != opcode::PONG {}
        server.cpu().expect("the CPU time of the server") - before
    };
    for escape in [r"\n", r"\u0061", r#"\""#, r"\\q"] {
        for times in [1, 100] {
            let name = escape.repeat(times);
            let plain = cpu(&format!(r#""{}":0,"#, "a".repeat(name.len())));
            let escaped = cpu(&format!(r#""{name}":0,"#));
            println!("    8 MiB of plain names: {plain:?} of CPU time, of {times} {escape}: {escaped:?}");
            assert!(
                escaped < 12 * plain + SECOND / 20,
                "{escaped:?} for names of {times} {escape}, {plain:?} for plain ones"
            );
        }
    }
}

pub fn ping_flood(target: &mut Target) {
    let stream = target.connect();
    let mut client =
        crate::harness::accepted(stream.try_clone().expect("a connection"), "198.51.100.1", "a", "t");
    client.expect_open();
    let (began, mut received, mut pongs) = (Instant::now(), Vec::new(), 0);
    exchange(&stream, &ping().repeat(1000), began + 4 * SECOND, |bytes| {
        received.extend_from_slice(bytes);
        let frames = std::iter::from_fn(|| Frame::take(&mut received));
        pongs += frames.filter(|frame| frame.opcode() == opcode::PONG).count();
    });
    assert!(pongs >= 2000, "{pongs} pings were answered, at least the burst");
    // One burst, the rate, and the credit of one read of 64 KiB.
    let most = 2000 + 200 * (1 + began.elapsed().as_secs() as usize) + (64 << 10) / ping().len();
    assert!(pongs <= most, "{pongs} pings were answered, at most {most}");
}

pub fn mutated_frames(target: &mut Target) {
    let mut dice = Dice::new();
    let alphabet: Vec<u8> = (0..=255).collect();
    let mut frames = message("bystander-a-not", 100);
    frames.extend(message("nobody", 300));
    frames.extend(ping());
    frames.extend(wire::frame(opcode::TEXT, br#"{"type":"CANDIDATE","#));
    frames.extend(wire::frame(wire::FIN, br#""dst":"nobody","payload":1}"#));
    frames.extend(wire::close(Some(1000), b"bye"));
    for n in 0..4000 {
        let from = format!("198.18.{}.{}", n / 250, n % 250);
        let mut bytes = frames.clone();
        dice.mutate(&mut bytes, &alphabet);
        let stream = target.connect();
        let client = stream.try_clone().expect("a connection");
        let _client = crate::harness::accepted(client, &from, &format!("mutated-{n}"), "t");
        push(&stream, &bytes, Instant::now() + SECOND);
        let _ = stream.shutdown(Shutdown::Write);
        assert!(ended(&stream, Instant::now() + 10 * SECOND), "keeps the connection: {bytes:x?}");
    }
}

/// A forwarded message, as `JSON.parse` would read it.
#[derive(Deserialize)]
struct Relayed {
    #[serde(rename = "type")]
    kind: String,
    src: String,
    dst: String,
    #[serde(default)]
    #[allow(dead_code, reason = "it has to be valid, whatever it is")]
    payload: Option<Box<RawValue>>,
}

pub fn odd_json(target: &mut Target) {
    let mut dice = Dice::new();
    let alphabet = br#"{}[]",:\/ -+.0129eEtrufalsn'uU"#;
    let good =
        r#"{"type":"OFFER","src":"forged","dst":"reader","payload":{"a":[1,-2.5e3,"\u00e9\n\"",null,true]}}"#;
    let mut reader = target.client("203.0.113.10", "reader", "t");
    for sender in 0..15 {
        let id = format!("sender-{sender}");
        let mut client = target.client("198.51.100.1", &id, "t");
        for _ in 0..1900 {
            let mut text = good.as_bytes().to_vec();
            dice.mutate(&mut text, alphabet);
            client.send_raw(wire::text(std::str::from_utf8(&text).expect("ASCII")));
        }
        client.send(r#"{"type":"ANSWER","dst":"reader","payload":"the last"}"#);
        while !is_last(&mut reader, &id) {}
    }
}

fn is_last(reader: &mut RawClient, sender: &str) -> bool {
    let text = reader.expect_text();
    let relayed: Relayed = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((relayed.src.as_str(), relayed.dst.as_str()), (sender, "reader"), "{text}");
    relayed.kind == "ANSWER" && text.contains("the last")
}
