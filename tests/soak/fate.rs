//! The fate of messages: each arrives once, in order, or its sender gets EXPIRE.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::Stage;
use crate::messages::offer;
use crate::raw_client::RawClient;
use crate::wire::{self, FIN, Frame, opcode};

/// All that a client got.
#[derive(Default)]
pub struct Heard {
    pub messages: Vec<usize>,
    pub expiries: usize,
}

/// Most messages in one write, so that they arrive together on a busy machine, too.
const BATCH_SIZE: usize = 20;

/// Sends this many messages of this length, numbered from 0.
pub fn send(from: &mut RawClient, dst: &str, count: usize, length: usize) {
    let padding = "x".repeat(length);
    let message = |number: usize| wire::text(&offer(dst, &format!(r#"[{number},"{padding}"]"#)));
    for begin in (0..count).step_by(BATCH_SIZE) {
        let batch: Vec<u8> = (begin..count.min(begin + BATCH_SIZE)).flat_map(message).collect();
        from.send_raw(batch);
    }
}

impl Heard {
    /// True if a frame was a message or EXPIRE. The server pings clients when the machine is busy.
    fn take(&mut self, client: &mut RawClient, frame: &Frame) -> bool {
        if frame.opcode() == opcode::PING {
            client.pong(&frame.payload);
            return true;
        }
        if frame.first != FIN | opcode::TEXT {
            return false;
        }
        let told: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        match told["type"].as_str() {
            Some("OFFER") => self.messages.push(told["payload"][0].as_u64().expect("a number") as usize),
            Some("EXPIRE") => self.expiries += 1,
            _ => panic!("{}: {told}", client.name),
        }
        true
    }

    /// Hears all that the server has for a client now: the answer to a ping comes after it, and after the
    /// server has handled all messages of the client.
    pub fn until_now(&mut self, client: &mut RawClient) {
        static MARKERS: AtomicUsize = AtomicUsize::new(0);
        let marker = format!("now {}", MARKERS.fetch_add(1, Ordering::Relaxed));
        client.ping(marker.as_bytes());
        loop {
            let frame = client.next_frame("the answer to a ping").expect("an open connection");
            if frame.first == FIN | opcode::PONG && frame.payload == marker.as_bytes() {
                return;
            }
            assert!(self.take(client, &frame), "{}: {frame:?}", client.name);
        }
    }

    /// Hears all that comes before the end of a connection that was replaced. It is cut off in the middle of
    /// a message, which then comes to its successor, or closed with 4001.
    pub fn until_replaced(&mut self, client: &mut RawClient) {
        while let Some(frame) = client.next_frame("the end of a connection") {
            if !self.take(client, &frame) {
                assert_eq!(
                    (frame.opcode(), frame.payload.get(..2)),
                    (opcode::CLOSE, Some(&[0x0f, 0xa1][..]))
                );
            }
        }
    }

    /// Waits until something expires.
    pub fn until_expiry(&mut self, client: &mut RawClient) {
        while self.expiries == 0 {
            let frame = client.next_frame("EXPIRE").expect("an open connection");
            assert!(self.take(client, &frame), "{}: {frame:?}", client.name);
        }
    }
}

/// Checks that each of `sent` messages arrived once, in order, or expired. Their sender must have heard
/// `EXPIRE`, but not more often than messages were lost.
pub fn check(stage: &Stage, sent: usize, recipient: &Heard, sender: &Heard) {
    let arrived: BTreeSet<usize> = recipient.messages.iter().copied().collect();
    assert_eq!(arrived.len(), recipient.messages.len(), "a message came twice: {:?}", recipient.messages);
    assert!(recipient.messages.is_sorted(), "out of order: {:?}", recipient.messages);
    assert!(arrived.last().is_none_or(|last| *last < sent), "nobody sent that: {:?}", recipient.messages);
    let lost = sent - arrived.len();
    let told = sender.expiries;
    assert!(
        told <= lost && (told > 0 || lost == 0),
        "{lost} of {sent} are lost, and EXPIRE came {told} times"
    );
    stage.count("messages", sent);
    stage.count("messages delivered", arrived.len());
    stage.count("messages expired", lost);
    stage.count("EXPIRE", told);
}
