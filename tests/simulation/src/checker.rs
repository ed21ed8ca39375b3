//! Reads a history, and lists the broken promises in it.

mod rooms;

use std::collections::{BTreeMap, HashMap};

use peerbroker_protocols::tracker::Counts;

use crate::history::{Conn, History, Millis, What};

/// Time after the end of a fault in which a node may still notice losses: a lease, and some rounds.
const NOTICED: Millis = 6_000;

/// Time in which a client that asks for an id hears if it is taken, where nothing has failed.
const PROBED: Millis = 2_000;

/// Time in which messages find a client that has come, where nothing has failed.
const FOUND: Millis = 500;

/// Time passes in such steps.
const STEP: Millis = 25;

#[derive(Debug)]
struct Span {
    conn: Conn,
    id: &'static str,
    token: u8,
    node: usize,
    from: Millis,
    /// Its place in the history, and that of its end.
    opened: usize,
    ended: usize,
    until: Millis,
}

/// One message.
#[derive(Debug)]
struct Message {
    conn: Conn,
    to: &'static str,
    waits: bool,
    sent: usize,
    received: Vec<(usize, Conn)>,
}

pub fn check(history: &History) -> Vec<String> {
    let spans = spans(history);
    let messages = messages(history);
    let mut faults = Vec::new();
    check_owners(history, &spans, &mut faults);
    check_messages(history, &spans, &messages, &mut faults);
    check_order(history, &spans, &messages, &mut faults);
    check_end(history, &spans, &messages, &mut faults);
    check_without_faults(history, &spans, &messages, &mut faults);
    rooms::check(history, &spans, &mut faults);
    check_swarm(history, &mut faults);
    for (at, what) in &history.events {
        if matches!(what, What::Refused { why: "NO ANSWER", .. } | What::Contradiction { .. }) {
            faults.push(format!("{at}: {what:?}"));
        }
    }
    faults
}

/// Where nothing has failed, a client is closed, refused, or told of a loss only for a reason.
fn check_without_faults(
    history: &History,
    spans: &[Span],
    messages: &BTreeMap<u32, Message>,
    faults: &mut Vec<String>,
) {
    if history.events.iter().any(|(_, what)| matches!(what, What::Fault { .. })) {
        return;
    }
    for (place, (at, what)) in history.events.iter().enumerate() {
        let has_reason = match what {
            What::Ended { why, .. } => ["closed", "replaced", "stopped"].contains(why),
            // One that has left since may have answered the probe.
            What::Refused { id, why: "taken", .. } => spans
                .iter()
                .any(|span| span.id == *id && span.from <= *at && *at <= span.until.saturating_add(PROBED)),
            What::Refused { .. } => false,
            What::Expired { conn, to } => {
                let sender = spans.iter().find(|span| span.conn == *conn);
                messages.values().any(|message| {
                    let by = spans.iter().find(|span| span.conn == message.conn);
                    message.waits
                        && message.to == to
                        && message.sent < place
                        && message.received.is_empty()
                        && by.map(|span| span.id) == sender.map(|span| span.id)
                })
            }
            _ => true,
        };
        if !has_reason {
            faults.push(format!("{at}: nothing has failed, and there is no reason for {what:?}"));
        }
    }
    for (number, message) in
        messages.iter().filter(|(_, message)| message.waits && message.received.is_empty())
    {
        let expired = history.events.iter().skip(message.sent).find(|(_, what)| {
            matches!(what, What::Expired { conn, to } if *conn == message.conn && to == message.to)
        });
        // The oldest message decides when all of a sender expire.
        let has_come = |at: Millis| {
            spans.iter().any(|span| span.id == message.to && span.from + FOUND < at && at < span.until)
        };
        if let Some((at, _)) = expired.filter(|(at, _)| has_come(*at)) {
            faults.push(format!("{at}: message {number} expires although its recipient is there"));
        }
    }
}

/// In the end all nodes know how many members the swarm has, and an offer of each came to each other one.
fn check_swarm(history: &History, faults: &mut Vec<String>) {
    let complete = history.swarm.values().filter(|is_complete| **is_complete).count();
    let truth = Counts { complete, incomplete: history.swarm.len() - complete };
    if history.swarms.iter().any(|counts| *counts != truth) {
        faults.push(format!("the swarm has {truth:?}, and the nodes know {:?}", history.swarms));
    }
    let mut offers: Vec<(Conn, Conn)> = history
        .events
        .iter()
        .filter_map(|(_, what)| match what {
            What::Offered { conn, from } => Some((*from, *conn)),
            _ => None,
        })
        .collect();
    offers.sort_unstable();
    let members = || history.swarm.keys().copied();
    let pairs = members().flat_map(|from| members().map(move |to| (from, to)));
    let wanted: Vec<(Conn, Conn)> = pairs.filter(|(from, to)| from != to).collect();
    if offers != wanted {
        faults.push(format!("the members {wanted:?} should hear offers of each other, and hear {offers:?}"));
    }
}

fn spans(history: &History) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (place, (at, what)) in history.events.iter().enumerate() {
        match what {
            What::Opened { conn, id, token, node } => spans.push(Span {
                conn: *conn,
                id,
                token: *token,
                node: *node,
                from: *at,
                opened: place,
                ended: usize::MAX,
                until: Millis::MAX,
            }),
            What::Ended { conn, .. } => {
                if let Some(span) = spans.iter_mut().find(|span| span.conn == *conn) {
                    span.ended = place;
                    span.until = *at;
                }
            }
            _ => {}
        }
    }
    spans
}

fn messages(history: &History) -> BTreeMap<u32, Message> {
    let mut messages = BTreeMap::new();
    for (place, (_, what)) in history.events.iter().enumerate() {
        match what {
            What::Sent { conn, to, number, waits } => {
                let conn = *conn;
                let to = *to;
                let waits = *waits;
                messages.insert(*number, Message { conn, to, waits, sent: place, received: Vec::new() });
            }
            What::Received { conn, number, .. } => {
                if let Some(message) = messages.get_mut(number) {
                    message.received.push((place, *conn));
                }
            }
            _ => {}
        }
    }
    messages
}

/// Spans in which the backplane, or the node's connection to it, was faulty, each with the time until nodes
/// notice.
fn outages(history: &History, node: usize) -> Vec<(Millis, Millis)> {
    let mut outages: Vec<(Millis, Millis)> = Vec::new();
    let mut open: HashMap<(Option<usize>, bool), Millis> = HashMap::new();
    for (at, what) in &history.events {
        match what {
            What::Fault { node: whose, what } if whose.is_none_or(|whose| whose == node) => {
                match what.as_str() {
                    "ends" | "resumed" | "started" => {
                        outages.extend(open.remove(&(*whose, false)).map(|from| (from, at + NOTICED)));
                    }
                    // By its own account.
                    "up" => outages.extend(open.remove(&(*whose, true)).map(|from| (from, at + NOTICED))),
                    "out" => {
                        open.entry((*whose, true)).or_insert(*at);
                    }
                    "wipe" | "failover" | "lost appends" => outages.push((*at, at + NOTICED)),
                    // Single calls fail, each within its bound: that costs no lease.
                    "chaos" => {}
                    _ => {
                        open.entry((*whose, false)).or_insert(*at);
                    }
                }
            }
            What::Healed => outages.extend(open.drain().map(|(_, from)| (from, at + NOTICED))),
            _ => {}
        }
    }
    outages
}

/// Spans in which a node was killed, paused, or cut off alone.
fn absences(history: &History, node: usize) -> Vec<(Millis, Millis)> {
    let own = |(_, what): &&(Millis, What)| match what {
        What::Fault { node: whose, what } => *whose == Some(node) && what != "out" && what != "up",
        _ => true,
    };
    let events = history.events.iter().filter(own).cloned().collect();
    outages(&History { events, ..History::default() }, node)
}

/// Two connections have one id only in an outage of one of their nodes.
fn check_owners(history: &History, spans: &[Span], faults: &mut Vec<String>) {
    for (at, one) in spans.iter().enumerate() {
        for other in spans.iter().skip(at + 1).filter(|other| other.id == one.id) {
            let from = one.opened.max(other.opened);
            let until = one.ended.min(other.ended);
            if from >= until {
                continue;
            }
            let from = one.from.max(other.from);
            let until = one.until.min(other.until);
            // That a connection has ended is read at the next step.
            let is_over = until <= from + STEP;
            // An outage of all nodes together gives no id to another client if nodes refuse new clients.
            let excuses = if history.is_strict && one.token != other.token { absences } else { outages };
            let excused = [one.node, other.node].into_iter().any(|node| {
                excuses(history, node).iter().any(|(begin, end)| *begin <= until && until <= *end)
            });
            if !is_over && !excused {
                faults.push(format!(
                    "two connections have {:?} from {from} to {until}: {one:?}, {other:?}",
                    one.id
                ));
            }
        }
    }
}

/// A message is either delivered once, or its sender hears that it is lost.
fn check_messages(
    history: &History,
    spans: &[Span],
    messages: &BTreeMap<u32, Message>,
    faults: &mut Vec<String>,
) {
    let mut both = 0;
    for (number, message) in messages {
        let Some(sender) = spans.iter().find(|span| span.conn == message.conn) else { continue };
        if message.received.len() > 1 {
            faults.push(format!("message {number} was delivered {} times", message.received.len()));
        }
        let expired = history.events.iter().enumerate().skip(message.sent).find(|(_, (_, what))| {
            matches!(what, What::Expired { conn, to } if *conn == message.conn && to == message.to)
        });
        let received = message.received.first();
        if !message.waits {
            continue;
        }
        match (received, expired) {
            (None, None) if sender.ended == usize::MAX => {
                faults.push(format!("message {number} was neither delivered nor expired: {message:?}"));
            }
            (Some((received, _)), Some((expired, _)))
                if *received > expired
                    && !is_older_loss(history, spans, messages, sender, message, expired) =>
            {
                both += 1;
            }
            _ => {}
        }
    }
    // For each of these messages, the sender's node did not hear the outcome in time.
    if both > history.in_doubt {
        faults.push(format!("{both} messages were delivered and expired, {} are in doubt", history.in_doubt));
    }
    let is_quiet = !history.events.iter().any(|(_, what)| matches!(what, What::Fault { .. }));
    if is_quiet && history.in_doubt > 0 {
        faults.push(format!("{} messages are in doubt, and nothing has failed", history.in_doubt));
    }
}

/// True if an EXPIRE can be about other messages: those of an earlier connection of the same client, which
/// waited on another node; or an earlier message that is in doubt, and excludes the later ones.
fn is_older_loss(
    history: &History,
    spans: &[Span],
    messages: &BTreeMap<u32, Message>,
    sender: &Span,
    message: &Message,
    expired: usize,
) -> bool {
    messages.values().any(|older| {
        let is_lost = older.waits && older.received.first().is_none_or(|(received, _)| *received > expired);
        let is_other = older.conn != message.conn || (history.in_doubt > 0 && older.sent < message.sent);
        is_lost
            && is_other
            && older.to == message.to
            && older.sent < expired
            && spans.iter().any(|span| span.conn == older.conn && span.id == sender.id)
    })
}

/// Messages of one connection to one id arrive in the order in which they were sent.
fn check_order(
    history: &History,
    spans: &[Span],
    messages: &BTreeMap<u32, Message>,
    faults: &mut Vec<String>,
) {
    let at = |place: usize| history.events.get(place).map_or(Millis::MAX, |(at, _)| *at);
    for span in spans {
        let mut last: HashMap<&str, (usize, Conn, u32)> = HashMap::new();
        for (number, message) in messages.iter().filter(|(_, message)| message.conn == span.conn) {
            let Some((place, receiver)) = message.received.first() else { continue };
            if expired_between(history, message, *place)
                || is_by_itself(history, span.node, message.sent, *place)
            {
                // One in doubt, which its node gave up.
                continue;
            }
            if let Some((before, by, earlier)) = last.insert(message.to, (*place, *receiver, *number))
                && before > *place
                // Two sockets are read one after the other in a step.
                && (by == *receiver || at(before) > at(*place))
            {
                faults.push(format!("message {number} overtook {earlier}"));
            }
        }
    }
}

/// True if a node could not reach the others at a time between two places of the history.
fn is_by_itself(history: &History, node: usize, from: usize, until: usize) -> bool {
    let at = |place: usize| history.events.get(place).map_or(Millis::MAX, |(at, _)| *at);
    outages(history, node).iter().any(|(begin, end)| *begin <= at(until) && at(from) <= *end)
}

/// True if the sender of a message heard that it is lost before it was received.
fn expired_between(history: &History, message: &Message, received: usize) -> bool {
    let between = history.events.get(message.sent..received).unwrap_or_default();
    between.iter().any(
        |(_, what)| matches!(what, What::Expired { conn, to } if *conn == message.conn && to == message.to),
    )
}

/// Checks the end: all faults are over, so everybody reaches everybody, and nothing is left.
fn check_end(history: &History, spans: &[Span], messages: &BTreeMap<u32, Message>, faults: &mut Vec<String>) {
    let settled = history.events.iter().position(|(_, what)| matches!(what, What::Settled));
    let settled = settled.unwrap_or(usize::MAX);
    for (number, message) in messages.range(..).filter(|(_, message)| message.sent > settled) {
        if message.received.is_empty() {
            faults.push(format!("message {number} did not arrive although all was well: {message:?}"));
        }
    }
    let mut ids: Vec<&str> =
        spans.iter().filter(|span| span.ended == usize::MAX).map(|span| span.id).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    if ids.len() < all {
        faults.push("an id has two connections at the end".to_owned());
    }
    if history.queued > 0 {
        faults.push(format!("{} bytes wait at the end", history.queued));
    }
}
