//! A room whose members send to all, and then the same peers in pairs, for comparison.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ensure_none_lost;
use super::exchange::Pairs;
use crate::Pace;
use crate::figures::{Record, micros};
use crate::fleet::Fleet;
use crate::payload;
use crate::servers::Server;
use crate::ws;

/// Timeout of the answers to one message, or to all joins.
const PATIENCE: Duration = Duration::from_secs(60);
const MEMBERS: usize = 500;
/// Messages before the measurement starts.
const WARM_UP: usize = 50;
const TIME: Duration = Duration::from_secs(2);

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    fleet.open(MEMBERS)?;
    let join = ws::client_frame(ws::TEXT, payload::ROOM_JOIN.as_bytes());
    (0..MEMBERS).for_each(|peer| fleet.peer(peer).send(&join));
    // A list for each, and a change for each that was there before.
    await_messages(&mut fleet, MEMBERS + MEMBERS * (MEMBERS - 1) / 2)?;

    let message = ws::client_frame(ws::TEXT, payload::room_message(payload::OFFER_BYTES).as_bytes());
    let mut send = |number: usize| {
        fleet.peer(number % MEMBERS).send(&message);
        await_messages(&mut fleet, MEMBERS - 1)
    };
    (0..WARM_UP).try_for_each(&mut send)?;
    let (cpu, start, mut sent) = (server.cpu()?, Instant::now(), 0);
    while start.elapsed() < TIME {
        send(sent)?;
        sent += 1;
    }
    let delivery_us = micros(server.cpu()? - cpu) / (sent * (MEMBERS - 1)) as f64;
    let forwarded = Pairs::new(0, MEMBERS / 2).cost(&mut fleet, server, Pace::InFlight(1), TIME)?;
    record.add("CPU per delivery in a room of 500", delivery_us / forwarded.cpu_us);
    Ok(())
}

fn await_messages(fleet: &mut Fleet, count: usize) -> Result<()> {
    let (deadline, mut arrived) = (Instant::now() + PATIENCE, 0);
    while arrived < count {
        let arrivals = fleet.turn(Duration::from_millis(100))?;
        arrived += arrivals.iter().map(|arrival| arrival.messages).sum::<usize>();
        ensure_none_lost(fleet)?;
        ensure!(Instant::now() < deadline, "only {arrived} of {count} messages arrived within {PATIENCE:?}");
    }
    Ok(())
}
