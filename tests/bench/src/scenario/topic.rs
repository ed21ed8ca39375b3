//! Subscribers of a topic who publish, as clients of y-webrtc do.

use anyhow::Result;

use super::{await_messages, one_by_one, room};
use crate::Pace;
use crate::figures::Record;
use crate::payload;
use crate::servers::Server;
use crate::ws;

const SUBSCRIBERS: usize = 100;

/// A load: its figure; the publications in flight, from as many subscribers, because all answer a client that
/// comes; and the messages in flight between two peers, for comparison.
pub struct Load {
    pub delivery: &'static str,
    pub message: &'static str,
    in_flight: usize,
    pace: Pace,
}

pub const LOADS: [Load; 2] = [
    Load {
        delivery: "CPU per delivery to a topic of 100, 1 in flight",
        message: "CPU per forwarded message, 1 in flight",
        in_flight: 1,
        pace: Pace::InFlight(1),
    },
    Load {
        delivery: "CPU per delivery to a topic of 100, 10 in flight",
        message: "CPU per forwarded message, 4 in flight",
        in_flight: 10,
        pace: Pace::InFlight(4),
    },
];

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.guests()?;
    fleet.open(SUBSCRIBERS)?;
    for text in [payload::SUBSCRIBE, payload::PING] {
        let frame = ws::client_frame(ws::TEXT, text.as_bytes());
        (0..SUBSCRIBERS).for_each(|guest| fleet.peer(guest).send(&frame));
    }
    // A subscription has no answer. The ping behind it has.
    await_messages(&mut fleet, SUBSCRIBERS)?;

    let publication = ws::client_frame(ws::TEXT, payload::publication(payload::OFFER_BYTES).as_bytes());
    for Load { delivery, in_flight, .. } in LOADS {
        let round_us = one_by_one(server, |round| {
            for number in 0..in_flight {
                fleet.peer((round * in_flight + number) % SUBSCRIBERS).send(&publication);
            }
            // Their senders get them, too.
            await_messages(&mut fleet, in_flight * SUBSCRIBERS)
        })?;
        record.add(delivery, round_us / (in_flight * SUBSCRIBERS) as f64);
    }
    Ok(())
}

/// The same, and messages of PeerJS.
pub fn beside_messages(server: &mut Server, record: &mut Record) -> Result<()> {
    run(server, record)?;
    let mut fleet = server.fleet()?;
    for Load { message, pace, .. } in LOADS {
        record.add(message, room::forwarded_us(&mut fleet, server, pace)?);
    }
    Ok(())
}
