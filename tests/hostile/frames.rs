//! Expensive frames and messages.

use std::time::{Duration, Instant};

use crate::flow::exchange;
use crate::harness::Target;
use crate::ids::ping;
use crate::process::Process;
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
    let began = Instant::now();
    let mut received = Vec::new();
    let mut pongs = 0;
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
