//! Checks of all that the clients saw.

use std::time::Duration;

use super::fate::{Arrival, Fates, is_in_doubt, round_of};
use super::world::{Conn, World};
use crate::harness::Seen;
use crate::harness::client::Stamp;

/// Time that the ids of a dead node may stay taken: its lease, and as much again for a busy machine.
const FREED: Duration = Duration::from_secs(4);

/// All that must not be.
pub fn violations(world: &World) -> Vec<String> {
    let fates = Fates::of(world);
    let mut found = fates.strange.clone();
    owners(world, &mut found);
    endings(world, &mut found);
    refusals(world, &mut found);
    arrivals(world, &fates, &mut found);
    order(world, &fates, &mut found);
    expiries(world, &fates, &mut found);
    found
        .extend(fates.missing(world).iter().map(|message| format!("m{message} neither arrived nor expired")));
    found
}

fn is_calm(world: &World, at: Stamp) -> bool {
    !round_of(world, at).is_disturbed(at)
}

fn others(world: &World, conn: usize) -> impl Iterator<Item = (usize, &Conn)> {
    let id = &world.conns[conn].client.id;
    world.conns.iter().enumerate().filter(move |(place, other)| *place != conn && other.client.id == *id)
}

/// While a client has an id, nobody with another token gets it.
fn owners(world: &World, found: &mut Vec<String>) {
    for (place, new) in world.conns.iter().enumerate() {
        let Some(opened) = new.opened().filter(|at| is_calm(world, *at)) else { continue };
        for (old_place, old) in others(world, place) {
            let held = old.opened().is_some_and(|at| at < opened) && old.over().is_none_or(|at| at > opened);
            let evicted = matches!(old.ended(), Some((_, Seen::Closed(Some(4002)))));
            // It has left by itself only after the new one had the id.
            if held && old.client.token != new.client.token && !evicted {
                found.push(format!("#{place} got the id of #{old_place}, which had it with another token"));
            }
        }
    }
}

/// A client is closed for a reason.
fn endings(world: &World, found: &mut Vec<String>) {
    for (place, conn) in world.conns.iter().enumerate() {
        let Some((at, end)) = conn.ended().filter(|_| conn.own_end.is_none()) else { continue };
        if conn.opened().is_none() {
            continue;
        }
        let round = round_of(world, at);
        let rivals = |same: bool| {
            others(world, place).any(|(_, other)| {
                (other.client.token == conn.client.token) == same && other.client.begun < at
            })
        };
        let is_right = match end {
            Seen::Closed(Some(4001)) => rivals(true),
            Seen::Closed(Some(4002)) => rivals(false),
            Seen::Closed(Some(4006)) => round.is_disturbed(at) && (rivals(true) || rivals(false)),
            Seen::Closed(Some(1001)) => round.stopped[conn.node],
            Seen::End => round.harmed[conn.node] || round.stopped[conn.node] || rivals(true),
            _ => false,
        };
        if !is_right {
            found.push(format!("#{place} ended with {end:?}, for no reason"));
        }
    }
}

/// A client that gets no id hears why, and the reason is true.
fn refusals(world: &World, found: &mut Vec<String>) {
    for (place, conn) in world.conns.iter().enumerate() {
        if conn.opened().is_some() || conn.own_end.is_some() {
            continue;
        }
        let why = conn.client.find(|(at, seen)| match seen {
            Seen::Refused(why) => Some((*at, why.clone())),
            Seen::Closed(_) | Seen::End => Some((*at, String::new())),
            _ => None,
        });
        let Some((at, why)) = why else { continue };
        let round = round_of(world, at);
        let is_rival = |other: &Conn, same: bool| {
            let is_over = other.over().is_some_and(|over| over < conn.client.begun);
            (other.client.token == conn.client.token) == same && other.client.begun < at && !is_over
        };
        let rivals = |same: bool| others(world, place).any(|(_, other)| is_rival(other, same));
        // A client that was cut off may be taken for one that lives: in this round, or until the lease of its node ends.
        let broken = others(world, place).any(|(_, other)| {
            let cut = |over: Stamp| {
                let dead = round_of(world, over).harmed[other.node] && at.at - over.at < FREED;
                over < at && (over >= round.from || dead)
            };
            other.over().is_some_and(cut) && other.client.token != conn.client.token
        });
        let node_gone = round.harmed[conn.node] || round.stopped[conn.node];
        let is_right = match why.as_str() {
            "ID is taken" => rivals(false) || broken,
            // The node was paused between the connection and the handshake.
            "HTTP/1.1 408 Request Timeout" => round.is_disturbed(at),
            "" => node_gone || rivals(true),
            "Server is stopping" => round.stopped[conn.node],
            _ => false,
        };
        if !is_right {
            found.push(format!("#{place} was refused with {why:?}, for no reason"));
        }
    }
}

/// Every message arrives at most once, and not at a connection that had lost the id before it was sent.
fn arrivals(world: &World, fates: &Fates, found: &mut Vec<String>) {
    for (message, all) in &fates.arrivals {
        let sent = &world.sent[*message];
        if all.len() > 1 {
            let conns: Vec<String> = all.iter().map(|one| format!("#{}", one.conn)).collect();
            found.push(format!("m{message} arrived {} times: at {}", all.len(), conns.join(" ")));
        }
        for Arrival { at, conn } in all {
            let opened = world.conns[*conn].opened();
            let successor = others(world, *conn).find(|(_, other)| {
                let since = other.opened().filter(|since| *since < sent.at);
                since > opened && other.over().is_none_or(|over| over > *at)
            });
            // A node that was paused asks who has its ids before it goes on.
            let only_slept = round_of(world, *at).only_slept(world.conns[*conn].node);
            if let Some((place, _)) = successor.filter(|_| only_slept || is_calm(world, *at)) {
                found.push(format!(
                    "m{message} arrived at #{conn} although #{place} had the id when it was sent"
                ));
            }
        }
    }
}

/// Messages of one connection arrive in the order in which it sent them.
fn order(world: &World, fates: &Fates, found: &mut Vec<String>) {
    let mut all: Vec<(usize, Arrival)> =
        fates.arrivals.iter().flat_map(|(message, all)| all.iter().map(|one| (*message, *one))).collect();
    all.sort_unstable_by_key(|(_, one)| one.at);
    for (at, (later, second)) in all.iter().enumerate() {
        for (earlier, first) in &all[..at] {
            // The one that arrived first was sent last.
            let wrong = earlier > later
                && world.sent[*earlier].from == world.sent[*later].from
                && world.conns[first.conn].client.id == world.conns[second.conn].client.id;
            if !wrong {
                continue;
            }
            // A client may read what it got before it lost its id after its successor has begun to read.
            let same = first.conn == second.conn;
            let opened = |conn: usize| world.conns[conn].opened();
            let across = opened(first.conn) < opened(second.conn)
                && is_calm(world, first.at)
                && is_calm(world, second.at);
            if same || across {
                found.push(format!(
                    "m{earlier} arrived at #{} before m{later} at #{}",
                    first.conn, second.conn
                ));
            }
        }
    }
}

/// Every EXPIRE tells of messages that did not arrive and that no EXPIRE before it told of.
fn expiries(world: &World, fates: &Fates, found: &mut Vec<String>) {
    for ((from, to), all) in &fates.expired {
        let lost: Vec<usize> = (0..world.sent.len())
            .filter(|message| {
                let sent = &world.sent[*message];
                sent.kind != "LEAVE"
                    && sent.to == *to
                    && world.conns[sent.from].client.id == *from
                    && !fates.is_delivered(*message)
            })
            .collect();
        for (number, one) in all.iter().enumerate() {
            let previous = number.checked_sub(1).map(|number| all[number]);
            // With several connections, each of their nodes tells of what it lost.
            let single = previous.is_none_or(|previous| {
                previous.conn == one.conn
                    && others(world, one.conn).all(|(_, other)| {
                        other.over().is_some_and(|over| over < round_of(world, previous.at).from)
                            || other.client.begun > one.at
                    })
            });
            let is_new = |message: &usize| {
                let sent = &world.sent[*message];
                let handled = sent.marker.and_then(|marker| fates.arrivals.get(&marker)).map(|all| all[0].at);
                let told = previous.zip(handled).is_some_and(|(previous, handled)| handled < previous.at);
                sent.at < one.at && !(single && told)
            };
            let any = lost.iter().filter(|message| is_new(message)).count();
            let in_doubt = |one: &Arrival| is_in_doubt(world, from, to, one.at);
            // Those that were told in doubt may have lost nothing.
            let told = || all[..number].iter().filter(|one| !in_doubt(one)).count();
            let enough = if single { any > 0 } else { any > told() };
            if !enough && !in_doubt(one) {
                found.push(format!(
                    "#{} heard EXPIRE {} for {to}, and nothing new was lost",
                    one.conn,
                    number + 1
                ));
            }
        }
    }
}
