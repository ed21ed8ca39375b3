//! A room whose members send to all, and then the same peers in pairs, for comparison.

use anyhow::Result;

use super::exchange::Pairs;
use super::{TIME, await_messages, one_by_one};
use crate::Pace;
use crate::figures::Record;
use crate::fleet::Fleet;
use crate::payload;
use crate::servers::Server;
use crate::ws;

const MEMBERS: usize = 500;

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    fleet.open(MEMBERS)?;
    let join = ws::client_frame(ws::TEXT, payload::ROOM_JOIN.as_bytes());
    (0..MEMBERS).for_each(|peer| fleet.peer(peer).send(&join));
    // A list for each, and a change for each that was there before.
    await_messages(&mut fleet, MEMBERS + MEMBERS * (MEMBERS - 1) / 2)?;

    let message = ws::client_frame(ws::TEXT, payload::room_message(payload::OFFER_BYTES).as_bytes());
    let message_us = one_by_one(server, |number| {
        fleet.peer(number % MEMBERS).send(&message);
        await_messages(&mut fleet, MEMBERS - 1)
    })?;
    let delivery_us = message_us / (MEMBERS - 1) as f64;
    let forwarded_us = forwarded_us(&mut fleet, server, Pace::InFlight(1))?;
    record.add("CPU per delivery in a room of 500", delivery_us / forwarded_us);
    Ok(())
}

/// CPU time of a message of PeerJS between two peers of a fleet, which opens as many as the room has.
pub fn forwarded_us(fleet: &mut Fleet, server: &Server, pace: Pace) -> Result<f64> {
    fleet.open(MEMBERS)?;
    Ok(Pairs::new(0, MEMBERS / 2).cost(fleet, server, pace, TIME)?.cpu_us)
}
