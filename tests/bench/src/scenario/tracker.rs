//! Clients of WebTorrent at a tracker: the memory of each, and the cost of an announce with offers.

use anyhow::Result;

use super::crowd::warm_up;
use super::{await_messages, one_by_one, settled};
use crate::figures::Record;
use crate::payload;
use crate::servers::Server;
use crate::ws;

const PEERS: usize = 10_000;
const SWARMS: usize = 100;
/// As many as a client of WebTorrent makes for an announce.
const OFFERS: usize = 5;

pub const GUEST: &str = "memory per guest, 10,000 guests";
pub const MEMBER: &str = "memory per guest in swarms of 100";
pub const ANNOUNCE: &str = "CPU per announce with 5 offers";

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.guests()?;
    let base = warm_up(&mut fleet, server)?;
    fleet.open(PEERS)?;
    record.add(GUEST, (settled(&mut fleet, server)? - base) / PEERS as f64);
    (0..PEERS).for_each(|peer| fleet.peer(peer).send(&announce(peer, 0)));
    await_messages(&mut fleet, PEERS)?;
    record.add(MEMBER, (settled(&mut fleet, server)? - base) / PEERS as f64);

    let announce_us = one_by_one(server, |number| {
        let peer = number % PEERS;
        fleet.peer(peer).send(&announce(peer, OFFERS));
        // The answer, and an offer for each of five other members.
        await_messages(&mut fleet, 1 + OFFERS)
    })?;
    record.add(ANNOUNCE, announce_us);
    Ok(())
}

fn announce(peer: usize, offers: usize) -> Vec<u8> {
    let text = payload::announce(peer, peer % SWARMS, offers, payload::OFFER_BYTES);
    ws::client_frame(ws::TEXT, text.as_bytes())
}
