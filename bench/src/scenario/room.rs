//! A room whose members send to all, and then the same peers in pairs, for comparison.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::exchange::Pairs;
use super::micros;
use crate::fleet::Fleet;
use crate::measured::{Pace, Room};
use crate::payload;
use crate::servers::Servers;
use crate::ws;

/// Timeout of the answers to one message, or to all joins.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages before the measurement starts.
const WARM_UP: usize = 50;

pub fn run(fleet: &mut Fleet, server: &Servers, members: usize, time: Duration) -> Result<Room> {
    fleet.open(members)?;
    let join = ws::client_frame(ws::TEXT, payload::ROOM_JOIN.as_bytes());
    (0..members).for_each(|peer| send(fleet, peer, &join));
    // A list for each, and a change for each that was there before.
    await_messages(fleet, members + members * (members - 1) / 2)?;

    let text = payload::room_message(payload::OFFER_BYTES);
    let message = ws::client_frame(ws::TEXT, text.as_bytes());
    let mut senders = (0..members).cycle();
    let mut send_one = |fleet: &mut Fleet| {
        senders.next().into_iter().for_each(|peer| send(fleet, peer, &message));
        await_messages(fleet, members - 1)
    };
    (0..WARM_UP).try_for_each(|_| send_one(fleet))?;
    let (cpu, start, mut deliveries) = (server.cpu()?, Instant::now(), 0);
    while start.elapsed() < time {
        send_one(fleet)?;
        deliveries += members - 1;
    }
    let (cpu, seconds) = (server.cpu()? - cpu, start.elapsed().as_secs_f64());
    let forwarded = Pairs::new(0, members / 2).exchange(fleet, server, Pace::InFlight(1), time)?;
    Ok(Room {
        members,
        delivery_us: micros(cpu) / deliveries as f64,
        per_second: deliveries as f64 / seconds,
        message_us: forwarded.cpu_us,
    })
}

fn send(fleet: &mut Fleet, peer: usize, frame: &[u8]) {
    fleet.queue(peer, frame);
    fleet.flush(peer);
}

fn await_messages(fleet: &mut Fleet, count: usize) -> Result<()> {
    let (deadline, mut arrived) = (Instant::now() + PATIENCE, 0);
    while arrived < count {
        arrived +=
            fleet.turn(Duration::from_millis(100))?.iter().map(|arrival| arrival.messages).sum::<usize>();
        ensure!(fleet.lost() == 0, "the server ended {} connections", fleet.lost());
        ensure!(Instant::now() < deadline, "only {arrived} of {count} messages arrived within {PATIENCE:?}");
    }
    Ok(())
}
